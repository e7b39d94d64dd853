"""N8: a recorded session lived again.  Under its own limits nothing differs; under others each order says why."""

import json
from io import StringIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from marketdata.core.records import BOOK, NO_TICK, QUOTE, new_events
from tests.shell.frames import make_session
from tests.why.recorded import write_frames
from tests.why.venue import Trading, trade
from trading import configs, services
from trading.core import records as r
from trading.models import Session
from trading.reports.impact import preview as impact
from trading.reports.impact.replay import Life, Version, best_levels
from trading.run.bodies.moment import NoJournal
from trading.run.journal.reader import JournalReader
from trading.run.spec import SessionSpec, load_spec, save_spec

STEPS = 900
HASH = "cd" * 32


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SessionSpec]:
    folder = tmp_path_factory.mktemp("sessions") / "7"
    return folder, trade(folder, 3, STEPS)


def under(recorded: tuple[Path, SessionSpec], **changes: int) -> impact.SessionRow:
    """The session under its own limits with these changes."""
    folder, spec = recorded
    return impact.impact(folder, Version(spec.limits | changes, 9, HASH))


def test_under_the_limits_that_ran_nothing_differs_and_the_replay_is_the_record(
    recorded: tuple[Path, SessionSpec],
) -> None:
    row = under(recorded)
    assert (row.blocked, row.added, row.resized, row.reasons, row.more, row.fewer) == (0, 0, 0, {}, {}, {})
    assert row.ran == row.would and row.difference_micros == 0
    assert row.recorded_orders >= 15 and row.ran.trades >= 10, "it traded"
    assert row.ran.orders == row.recorded_orders
    assert row.ran.closed_micros == row.recorded_net_micros, "the same venue, the same market: the same fills"
    assert row.notes in ([], ["a position is open at the end and counted at its mark"])


def test_a_tighter_spread_blocks_orders_and_says_so(recorded: tuple[Path, SessionSpec]) -> None:
    row = under(recorded, spread_ticks_max=1)
    assert row.blocked > 0 and row.reasons["SPREAD"] > 0
    assert row.would.orders == row.ran.orders - row.blocked + row.added
    assert sum(row.reasons.values()) == row.blocked
    assert row.difference_micros == row.would.net_micros - row.ran.net_micros


def test_a_looser_confidence_adds_orders(recorded: tuple[Path, SessionSpec]) -> None:
    row = under(recorded, confidence_ppm_min=400_000)
    assert row.added > 0
    assert row.would.orders == row.ran.orders - row.blocked + row.added


def test_a_restricted_instrument_blocks_every_order_of_it_p_25(recorded: tuple[Path, SessionSpec]) -> None:
    folder, spec = recorded
    row = impact.impact(folder, Version(spec.limits, 9, HASH, (spec.instruments[0].symbol,)))
    assert row.would.orders == 0 and row.blocked == row.ran.orders > 0
    assert row.reasons == {"RESTRICTED": row.blocked} and row.more["RESTRICTED"] == 1


def test_another_size_is_neither_blocked_nor_added(recorded: tuple[Path, SessionSpec]) -> None:
    row = under(recorded, qty_entry=2)
    assert row.resized > 0 and row.would.orders > 0


def test_a_hedge_is_money_and_no_trade_moex_hedge_05(recorded: tuple[Path, SessionSpec]) -> None:
    life = Life(recorded[1], None)
    made = new_events(2)
    made["kind"], made["value"], made["role"] = r.TRADE_CLOSED, [700, -200], [r.HEDGE, 0]
    life._note(r.SCORE, 1, made)
    assert (life.trades, life.won, life.closed_micros) == (1, 0, 500)


def test_a_shorter_streak_raises_its_hold(recorded: tuple[Path, SessionSpec]) -> None:
    row = under(recorded, streak_soft=2)
    assert row.more["LOSS_STREAK"] >= 1 and "LOSS_STREAK" not in row.ran.holds
    assert row.would.orders < row.ran.orders and row.reasons["LOSS_STREAK"] > 0


def test_what_a_session_keeps_for_itself_is_not_replaced(recorded: tuple[Path, SessionSpec]) -> None:
    row = under(recorded, capital_micros=1_000_000, bar_mode=1)
    assert row.ran == row.would
    with pytest.raises(ValueError, match="unknown limits: nonsense"):
        under(recorded, nonsense=1)


def test_a_version_that_came_while_it_ran_is_left_out_and_told(tmp_path: Path) -> None:
    trading = Trading(tmp_path / "7", 4).run(60)
    trading.desk.configure(version=2)
    trading.run(60)
    from tests.why.recorded import record

    fields = {name: getattr(trading.spec, name) for name in ("venue", "limits", "capital_micros")}
    record(tmp_path / "7", trading.desk.given, **fields)
    life = Life(trading.spec, Version(trading.spec.limits, 9, HASH))
    events = JournalReader(tmp_path / "7").read(0, 10**6)["event"]
    for cut in np.array_split(events, 7):  # any cut gives the same life
        life.live(cut)
    assert life.kernel.state.account[0].version == 9
    row = impact.impact(tmp_path / "7", Version(trading.spec.limits, 9, HASH))
    assert row.would.orders == life.orders and row.would.net_micros == life.net_micros
    assert any("changed while it ran" in note for note in row.notes)


def test_books_of_one_level_hide_what_nobody_saw() -> None:
    events = new_events(3)
    events["kind"] = BOOK, QUOTE, BOOK
    events["bid_tick"], events["ask_tick"] = (10, 10, NO_TICK), (12, 12, 13)
    events["bid_qty"], events["ask_qty"] = 5, 6
    depths, depth_of = best_levels(events)
    assert depth_of.tolist() == [0, -1, 1]
    assert (depths["bid_tick"][0, :2].tolist(), depths["bid_qty"][0, :2].tolist()) == ([10, 10], [5, 0])
    assert depths["bid_tick"][1, 0] == NO_TICK and depths["bid_qty"][1, 0] == 0 and depths["ask_qty"][1, 0] == 6


def test_a_journal_that_is_too_long_or_absent_is_refused(
    recorded: tuple[Path, SessionSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder, spec = recorded
    monkeypatch.setattr(impact, "FRAMES_MAX", 100)
    with pytest.raises(ValueError, match="more than a preview replays"):
        under(recorded)
    save_spec(tmp_path / "9", spec)
    with pytest.raises(NoJournal):
        impact.impact(tmp_path / "9", Version(spec.limits, 9, HASH))


# over sessions


def stored(recorded: tuple[Path, SessionSpec]) -> Session:
    """The recorded session as a row of the desk, with its journal in its folder."""
    folder, spec = recorded
    session = make_session(status="ended")
    mine = services.session_folder(session.id)
    plain = load_spec(mine)
    own = msgspec.structs.replace(
        spec, id=plain.id, key=plain.key, profile=plain.profile, version_id=plain.version_id,
        version_hash=plain.version_hash,
    )  # fmt: skip
    (mine / "spec.json").unlink()
    save_spec(mine, own)
    write_frames(mine, JournalReader(folder).read(0, 10**6)["event"])
    Session.objects.filter(id=session.id).update(started_at=timezone.now(), spec=msgspec.to_builtins(own))
    session.refresh_from_db()
    return session


@pytest.mark.django_db
def test_the_last_sessions_and_their_sums(recorded: tuple[Path, SessionSpec]) -> None:
    first, second = stored(recorded), stored(recorded)
    never = make_session(status="running")
    Session.objects.filter(id=never.id).update(started_at=timezone.now())
    make_session(status="created")  # not started: it cannot say anything
    profile = configs.profile_of(first.version)
    sessions = impact.last_sessions(profile.profile, 5)
    assert [session.id for session in sessions] == [never.id, second.id, first.id]
    seen: list[tuple[int, int, str]] = []
    found = impact.preview(profile, first.version_id, sessions, lambda *place: seen.append(place))
    assert [row.key for row in found.rows] == [second.key, first.key]
    assert found.skipped == [(never.key, f"{never.key} has no journal")]
    sums = impact.totals(found)
    assert sums["sessions"] == 2
    for name in ("blocked", "added", "decisions"):
        assert sums[name] == sum(getattr(row, name) for row in found.rows)
    assert sums["difference_micros"] == sum(row.difference_micros for row in found.rows)
    assert sums["error_micros"] == 0
    assert seen[0] == (0, 3, never.key) and seen[-1] == (3, 3, "")
    assert [len(impact.last_sessions(profile.profile, n)) for n in (0, 1, 99)] == [1, 1, 3]


@pytest.mark.django_db
def test_the_command_previews_a_file_and_tells_what_no_replay_shows(
    recorded: tuple[Path, SessionSpec], tmp_path: Path
) -> None:
    session = stored(recorded)
    text = configs.to_yaml(configs.profile_of(session.version))
    file = tmp_path / "tight.yaml"
    file.write_text(text.replace("fill_model: book", "fill_model: print"))
    out = StringIO()
    call_command("config", "impact", str(file), "--json", stdout=out)
    values = json.loads(out.getvalue())
    assert [row["key"] for row in values["rows"]] == [session.key]
    assert values["left_out"] == ["paper.fill_model: book → print"]
    assert len(values["notes"]) == 3
    assert len(impact.table(values)) == 2 and impact.table(values)[0][0] == "session"
    out = StringIO()
    call_command("config", "impact", str(file), "--session", str(session.id), stdout=out)
    assert "would have blocked" in out.getvalue() and "simulated venue" in out.getvalue()
    assert "no replay shows: paper.fill_model" in out.getvalue()
    out = StringIO()
    call_command("config", "impact", "demo-moex", stdout=out)
    assert "no session of demo-moex ever ran" in out.getvalue()
    with pytest.raises(CommandError, match="did you mean"):
        call_command("config", "impact", "demo-mse", stdout=StringIO())


def test_the_lives_end_flat_where_the_record_does(recorded: tuple[Path, SessionSpec]) -> None:
    """Venue and kernel of a life agree: what one holds, the other holds."""
    folder, spec = recorded
    life = Life(spec, None)
    life.live(JournalReader(folder).read(0, 10**6)["event"])
    held = life.venue.markets["qty"]
    assert (held == life.kernel.state.positions["qty"]).all()
    assert life.questions == 0 and life.orders > 0
    assert not life.kernel.state.account[0].holds >> 5 & 1, "no MISMATCH: its reconciliations were its own"
    assert r.DECISION and len(life.decisions) == int(life.kernel.state.account[0].decisions)
