"""N6 from a journal alone: every decision explained by the rules themselves, every silence by its cause."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketdata.core.records import ACCOUNT_SCOPE, BUY, SELL, TRADE
from risk.core.records import LIMIT_INDEX
from tests.kernel.desk import Desk, S, kinds
from tests.why.recorded import REVERSING, life, quiet_end, record, shown_session, spec_of, write_frames
from trading.core import records as r
from trading.reports.why import find as why_find
from trading.reports.why import table as why_table
from trading.reports.why.answer import Why, why
from trading.reports.why.find import Journal
from trading.run.bodies.moment import NoJournal
from trading.run.journal.reader import JournalReader
from trading.run.journal.recovery import InboxPosition, Outstanding, encode_snapshot, store_snapshot
from trading.run.replica import Kernel
from trading.run.spec import save_spec


@pytest.fixture(autouse=True)
def forget() -> None:
    """No state of another test's questions."""
    why_find._kept.clear()


def decisions(frames: np.ndarray) -> np.ndarray:
    return frames[frames["kind"] == r.DECISION]


def codes_of(found: Why) -> list[str]:
    return [cause.code for cause in found.quiet]


def test_every_decision_of_a_life_is_explained_by_the_rules_themselves(tmp_path: Path) -> None:
    """N6: 0 unexplained.  Each row is reproduced bit for bit, and its first refusing rule gives the recorded reason."""
    frames = record(tmp_path / "7", life(5, 420, **REVERSING))
    rows = decisions(frames)
    assert len(rows) >= 40
    reasons, hashes = set(), set()
    for row in rows:
        found = why(tmp_path / "7", seq=int(row["seq"]))
        d = found.decided
        assert d is not None and d.same and d.proven, int(row["seq"])
        assert (d.code, d.ts_us, d.side) == (int(row["code"]), int(row["ts_ns"]) // 1000, int(row["side"]))
        if d.code == 0:
            assert d.refusing is None and all(rule.verdict == "passes" for rule in d.rows)
        else:
            assert d.refusing is not None and d.refusing.reached and d.sentence
            assert d.refusing.reason == d.verdict or d.verdict == "REVERSAL_LIMIT"
        reasons.add(d.verdict)
        hashes.add(d.inputs_sha256)
    assert len(reasons) >= 5, reasons
    assert len(hashes) == len(rows), "no two decisions saw the same"


def test_a_reversal_that_goes_on_is_explained_without_a_score_of_its_own(tmp_path: Path) -> None:
    desk = Desk(REVERSING)
    desk.enter()
    desk.quote(20_000, 20_001, wait_ns=S // 10)
    desk.score(SELL, 900_000)
    for order in [o for o in desk.live() if o.role in (r.STOP_LOSS, r.TARGET)]:
        desk.answer(r.CANCELLED, int(order.number))
    exits = desk.live(r.EXIT)
    desk.fill(int(exits[0].number), 20_000)
    frames = record(tmp_path / "7", desk.given)
    d = why(tmp_path / "7").decided
    assert d is not None and d.proven and d.continued and (d.code, d.side) == (0, SELL)
    assert frames["kind"][d.cause_seq - 1] == r.FILL


def test_around_a_decision_lead_the_one_before_and_the_one_behind(tmp_path: Path) -> None:
    frames = record(tmp_path / "7", life(2, 150))
    rows = decisions(frames)
    seqs = [int(seq) for seq in rows["seq"]]
    middle = why(tmp_path / "7", seq=seqs[4])
    assert (middle.previous and middle.previous[0], middle.following and middle.following[0]) == (seqs[3], seqs[5])
    assert why(tmp_path / "7", seq=seqs[0]).previous is None
    last = why(tmp_path / "7")
    assert last.decided is not None and last.decided.seq == seqs[-1] and last.following is None
    with pytest.raises(LookupError, match="no decision"):
        why(tmp_path / "7", seq=seqs[0] - 1)


def test_a_time_finds_the_nearest_decision(tmp_path: Path) -> None:
    desk = Desk()
    desk.score()
    desk.quote(20_000, 20_001, wait_ns=10 * S)
    desk.score()
    frames = record(tmp_path / "7", desk.given)
    first, second = (int(row["ts_ns"]) // 1000 for row in decisions(frames))
    for at, expected in ((first + 4_000_000, first), (first + 6_000_000, second), (second + 59_000_000, second)):
        d = why(tmp_path / "7", at_us=at).decided
        assert d is not None and d.ts_us == expected
    assert why(tmp_path / "7", at_us=second + 61_000_000).decided is None


def test_what_was_held_and_worked_and_stood(tmp_path: Path) -> None:
    """Position, working orders, holds with due ones, day figures and the version are those of that moment."""
    desk = Desk()
    desk.enter()
    desk.command(r.PAUSE)
    desk.quote(20_010, 20_011, wait_ns=6 * S)
    desk.score(SELL, 600_000)
    frames = record(tmp_path / "7", desk.given)
    d = why(tmp_path / "7", seq=int(decisions(frames)["seq"][-1])).decided
    assert d is not None and d.proven
    assert (d.position, {row["role"] for row in d.orders}) == (1, {"target", "stop"})
    assert [(row["code"], row["due"], row["stops"]) for row in d.holds] == [("OPERATOR_PAUSE", False, True)]
    assert (d.verdict, d.refusing and d.refusing.rule) == ("OPERATOR_PAUSE", "held")
    assert d.money["day_net_micros"] == -420_000 and d.version_id == 1
    assert "OPERATOR_PAUSE" in d.sentence


def test_a_limit_in_breach_is_due_before_its_hold_stands(tmp_path: Path) -> None:
    desk = Desk({"loss_total_micros_max": 20_000_000})
    desk.enter()
    desk.event(TRADE, price_tick=19_980, qty=1)  # one mark in breach: refused at once, held later (MES-RISK-11)
    desk.score()
    frames = record(tmp_path / "7", desk.given)
    d = why(tmp_path / "7", seq=int(decisions(frames)["seq"][-1])).decided
    assert d is not None and d.verdict == "EQUITY_KILL"
    assert [(row["code"], row["due"]) for row in d.holds] == [("EQUITY_KILL", True)]


def test_two_decisions_of_one_step_have_each_their_own_form(tmp_path: Path) -> None:
    """Two reversals wait until their scores are too old: one timer ends both, and the kernel keeps the later form."""
    desk = Desk(REVERSING | {"position_max": 5}, ready=False)
    desk.add_instrument(1)
    desk.configure()
    desk.connect()
    desk.command(r.START)
    for at in (0, 1):
        desk.quote(20_000, 20_001, instrument=at)
    desk.event(r.TIMER)
    entries = [desk.score(BUY, 700_000, instrument=at) for at in (0, 1)]
    for sent in entries:
        number = next(int(o.order_number) for o in sent if o.kind == r.SUBMIT)
        desk.ack(number)
        desk.answer(r.FILL, number, instrument=int(desk.order(number).instrument), side=1, qty=1, price_tick=20_001)
    for at in (0, 1):
        desk.quote(20_000, 20_001, instrument=at, wait_ns=S // 10)
        desk.score(SELL, 900_000, instrument=at)
    for order in desk.live(r.EXIT):
        at = int(order.instrument)
        desk.answer(r.FILL, int(order.number), instrument=at, side=-1, qty=1, price_tick=20_000)
    made = desk.event(r.TIMER, wait_ns=3 * S)  # their brackets still work: nothing went on
    assert [int(o.instrument) for o in made if o.kind == r.DECISION] == [0, 1], kinds(made)
    frames = record(tmp_path / "7", desk.given, 2)
    rows = decisions(frames)
    for row in rows:
        d = why(tmp_path / "7", seq=int(row["seq"])).decided
        assert d is not None and d.proven, (int(row["seq"]), int(row["instrument"]))
    ends = [why(tmp_path / "7", seq=int(seq)).decided for seq in rows["seq"][-2:]]
    assert [(d.continued, d.cause_seq, d.verdict) for d in ends if d] == [
        (True, ends[0].cause_seq if ends[0] else 0, "FEED_STALE")
    ] * 2
    assert ends[0] and ends[1] and ends[0].inputs_sha256 != ends[1].inputs_sha256


def committed(desk: Desk, version: int, wait_ns: int = 1, **limits: int) -> None:
    """Stage these limits and commit them."""
    for name, value in limits.items():
        desk.event(r.CONFIG, instrument=ACCOUNT_SCOPE, code=LIMIT_INDEX[name], value=value)
    desk.event(r.CONFIG_COMMIT, instrument=ACCOUNT_SCOPE, ref=version, wait_ns=wait_ns)


def waiting_reversal() -> Desk:
    """The exit of a reversal is filled, the old bracket still works: it waits until its score is too old."""
    desk = Desk(REVERSING)
    desk.enter()
    desk.quote(20_000, 20_001, wait_ns=S // 10)
    desk.score(SELL, 900_000)
    (exits,) = desk.live(r.EXIT)
    desk.answer(r.FILL, int(exits.number), side=-1, qty=1, price_tick=20_000)
    assert desk.position().qty == 0 and desk.position().rev_side == SELL
    return desk


def gauge_of(found: Why, limit: str) -> dict[str, Any]:
    assert found.decided is not None and found.decided.proven
    return next(gauge for row in found.decided.rows for gauge in row.gauges if gauge["name"] == limit)


def test_a_reversal_that_ends_as_a_version_comes_is_measured_by_that_version(tmp_path: Path) -> None:
    """The version is in force before the reversal is looked at: its tighter spread, not the one before it."""
    desk = waiting_reversal()
    committed(desk, 2, wait_ns=3 * S, spread_ticks_max=2, position_max=5)
    frames = record(tmp_path / "7", desk.given)
    row = decisions(frames)[-1]
    found = why(tmp_path / "7", seq=int(row["seq"]))
    d = found.decided
    assert d is not None and d.continued and frames["kind"][d.cause_seq - 1] == r.CONFIG_COMMIT
    assert gauge_of(found, "spread_ticks_max")["value"] == 2
    assert gauge_of(found, "position_max")["value"] == 3, "what loosens waits until nothing works"


def test_a_reversal_that_ends_before_a_version_is_measured_without_it(tmp_path: Path) -> None:
    desk = waiting_reversal()
    desk.event(r.TIMER, wait_ns=3 * S)
    committed(desk, 2, spread_ticks_max=2)
    frames = record(tmp_path / "7", desk.given)
    assert gauge_of(why(tmp_path / "7", seq=int(decisions(frames)["seq"][-1])), "spread_ticks_max")["value"] == 4


def test_between_the_two_changes_of_one_commit_only_the_tighter_values_hold(tmp_path: Path) -> None:
    """All is flat: the version's tighter values come with the commit, its looser ones at the end of the same step."""
    desk = Desk()
    committed(desk, 2, spread_ticks_max=2, position_max=5, confidence_ppm_min=500_000)
    frames = record(tmp_path / "7", desk.given)
    first, second = (int(seq) for seq in frames["seq"][frames["kind"] == r.CONFIG_ACTIVE][-2:])
    step = why_find.step_of(Journal(tmp_path / "7"), first)
    assert step.same and [int(row["seq"]) for row in step.outputs if row["kind"] == r.CONFIG_ACTIVE] == [first, second]
    names = ("spread_ticks_max", "position_max", "confidence_ppm_min")
    seen = [[int(why_find.limits_at(step, seq)[name][0]) for name in names] for seq in (first, second, second + 1)]
    assert seen == [[4, 3, 550_000], [2, 3, 550_000], [2, 5, 500_000]]


def test_the_order_of_an_entry_leads_to_its_decision_and_the_bracket_to_none(tmp_path: Path) -> None:
    desk = Desk()
    desk.enter()
    frames = record(tmp_path / "7", desk.given)
    journal = Journal(tmp_path / "7")
    sent = frames[frames["kind"] == r.SUBMIT]
    entry, leg = sent[sent["role"] == r.ENTRY][0], sent[sent["role"] == r.STOP_LOSS][0]
    found = journal.decision_of(int(entry["order_number"]), int(entry["seq"]))
    assert found["seq"].tolist() == decisions(frames)["seq"].tolist()
    assert len(journal.decision_of(int(leg["order_number"]), int(leg["seq"]))) == 0


def test_snapshots_and_kept_states_change_nothing(tmp_path: Path) -> None:
    """The same answer from the start, from the session's snapshot and from a state kept by an earlier question."""
    folder = tmp_path / "7"
    frames = record(folder, life(4, 200))
    rows = decisions(frames)
    seq, middle = int(rows["seq"][-1]), int(rows["seq"][len(rows) // 2])
    cold = why(folder, seq=seq)
    assert why(folder, seq=seq) == cold
    why_find._kept.clear()
    kernel = Kernel()
    kernel.apply(frames[: middle - 1][frames[: middle - 1]["kind"] < r.FIRST_OUTPUT_KIND])
    frame = JournalReader(folder).read(kernel.seq - 1, 1)["hash"][0].tobytes()
    data = encode_snapshot(kernel, 1, frame, InboxPosition(), 0, Outstanding())
    store_snapshot(folder, kernel.seq, data)
    assert why(folder, seq=seq) == cold
    assert why(folder, seq=int(rows["seq"][0])).decided is not None, "before the snapshot: from the start"


def test_a_row_that_the_kernel_would_not_write_is_never_explained(tmp_path: Path) -> None:
    """A recorded reason that replay does not give: said so, and no margin is shown."""
    frames = record(tmp_path / "7", life(6, 120)).copy()
    at = np.flatnonzero(frames["kind"] == r.DECISION)[3]
    frames["code"][at] += 1
    (tmp_path / "8").mkdir()
    save_spec(tmp_path / "8", spec_of())
    write_frames(tmp_path / "8", frames)
    d = why(tmp_path / "8", seq=int(frames["seq"][at])).decided
    assert d is not None and not d.same and not d.proven
    assert d.rows == [] and d.refusing is None
    assert any("REPLAY DIFFERS" in line for line in why_table.lines(why(tmp_path / "8", seq=int(frames["seq"][at]))))


def test_a_session_that_never_ran(tmp_path: Path) -> None:
    with pytest.raises(NoJournal):
        why(tmp_path / "nowhere")
    with pytest.raises(NoJournal):
        Journal(tmp_path)


# nothing was decided


def silence(tmp_path: Path, desk: Desk, back_s: int = 100, **fields: Any) -> Why:
    """What is said about a moment `back_s` before the journal's end."""
    frames = record(tmp_path / "7", desk.given, **fields)
    return why(tmp_path / "7", at_us=int(frames["ts_ns"][-1]) // 1000 - back_s * 1_000_000)


def test_a_silent_feed(tmp_path: Path) -> None:
    desk = Desk()
    desk.score()
    quiet_end(desk)
    found = silence(tmp_path, desk)
    assert found.decided is None and found.previous is not None
    assert codes_of(found)[0] == "FEED_SILENT"
    assert "HELD" in codes_of(found), "FEED_STALE stands, and a score would have been refused"


def test_a_paused_desk_whose_market_moves_and_whose_scorer_says_nothing(tmp_path: Path) -> None:
    desk = Desk()
    desk.score()
    desk.command(r.PAUSE)
    for second in range(200):
        desk.quote(20_000 + second % 3, 20_001 + second % 3, wait_ns=S)
    found = silence(tmp_path, desk)
    assert codes_of(found) == ["HELD", "NO_SCORE"]
    assert "OPERATOR_PAUSE" in found.quiet[0].text


def test_a_session_without_a_scorer(tmp_path: Path) -> None:
    from trading.run.spec import ScorerSpec

    desk = Desk()
    for _ in range(200):
        desk.quote(20_000, 20_001, wait_ns=S)
    assert "NO_SCORER" in codes_of(silence(tmp_path, desk, scorer=ScorerSpec("none")))


def test_a_quiet_market_with_a_feed_that_lives(tmp_path: Path) -> None:
    from marketdata.core.records import ACCOUNT_SCOPE, FEED, FEED_BEAT

    desk = Desk()
    for _ in range(200):
        desk.event(FEED, wait_ns=S, code=FEED_BEAT, instrument=ACCOUNT_SCOPE)
    assert codes_of(silence(tmp_path, desk))[0] == "MARKET_QUIET"


def test_a_desk_that_stood_still_and_times_beyond_the_journal(tmp_path: Path) -> None:
    desk = Desk()
    desk.quote(20_000, 20_001)
    desk.quote(20_000, 20_001, wait_ns=600 * S)
    frames = record(tmp_path / "7", desk.given)
    first, last = int(frames["ts_ns"][0]) // 1000, int(frames["ts_ns"][-1]) // 1000
    assert codes_of(why(tmp_path / "7", at_us=last - 300_000_000))[0] == "DESK_SILENT"
    assert codes_of(why(tmp_path / "7", at_us=last + 300_000_000))[0] == "AFTER_END"
    assert codes_of(why(tmp_path / "7", at_us=first - 1)) == ["BEFORE_START"]


def test_before_the_start_of_trading(tmp_path: Path) -> None:
    desk = Desk(ready=False)
    for _ in range(200):
        desk.event(r.TIMER, wait_ns=S)
    assert {"NO_CONFIGURATION", "NOT_TRADING"} <= set(codes_of(silence(tmp_path, desk)))


def test_the_session_of_the_pages_shows_all_there_is() -> None:
    """What the page's tests look at: a trade, refusals, a pause."""
    outputs = Kernel().apply(np.concatenate(shown_session()))
    assert {"DECISION", "SUBMIT", "HOLD_RAISED"} <= set(kinds([outputs[i] for i in range(len(outputs))]))
    assert len(set(decisions(outputs)["code"].tolist())) >= 3
