"""The event list reaches the kernel: with the start, while the session runs, and again where it was lost (NEWS)."""

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from marketdata.core.units import NANOS
from risk.core.holds import BIT
from tests.shell.frames import Tape, context_of, make_session, ring
from trading.control import put, send_command, session_folder
from trading.core import records as kinds
from trading.models import Session
from trading.news import services, teller
from trading.news.csvfile import Row
from trading.news.models import NewsWindow
from trading.news.teller import NewsTeller
from trading.news.windows import AHEAD_NS, ROOM, ahead, news_events
from trading.run.clock import SessionClock, boot_ns, save_clock
from trading.run.context import LoopContext
from trading.run.journal.recovery import account_event
from trading.run.journal.writer import JournalWriter
from trading.run.replica import Kernel
from trading.run.spec import load_spec, setup_events
from trading.run.streams import ZERO_ID, Stream, make_client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]

HOUR = 3600 * NANOS
START_NS = 1_772_636_400 * NANOS  # 2026-03-04 15:00 UTC


def listed(*hours: tuple[float, float], venue: str = "cme") -> None:
    """Windows by hours after START_NS."""
    rows = [Row(venue, START_NS + int(a * HOUR), START_NS + int(b * HOUR), f"{a}") for a, b in hours]
    services.add(rows, by="alice", source="test")


def hours(spans: list[tuple[int, int]]) -> list[tuple[float, float]]:
    return [((a - START_NS) / HOUR, (b - START_NS) / HOUR) for a, b in spans]


def told(inbox: Stream) -> list[np.ndarray]:
    """EVENTs that came into the inbox."""
    entries = inbox.read(ZERO_ID, 0, 99)
    return [event for entry in entries for event in entry.events]


def context_for(session: Session, url: str) -> LoopContext:
    import dataclasses

    return dataclasses.replace(context_of(session), connect=lambda: make_client(url))


def frames_at(now_ns: int, *spans: tuple[int, int]) -> np.ndarray:
    """EVENTs of a journal at this time, with the windows that it shows."""
    return np.concatenate([account_event(kinds.TIMER, 0, now_ns), *news_events(list(spans), now_ns)])


def test_what_touches_is_one_window_and_the_far_ones_wait():
    listed((1, 2), (2, 3), (2.5, 2.75), (5, 6), (-2, -1), (-1, 0.5), (24 * 8, 24 * 8 + 1))
    listed((1.5, 9), venue="moex")
    assert hours(ahead("cme", START_NS)) == [(-1, 0.5), (1, 3), (5, 6)]
    assert hours(ahead("cme", START_NS + 4 * HOUR)) == [(5, 6)]
    assert hours(ahead("cme", START_NS + 24 * 7 * HOUR)) == [(24 * 8, 24 * 8 + 1)], "a day before it"
    assert ahead("cme", START_NS - AHEAD_NS - 2 * HOUR) == []


def test_more_than_the_kernel_keeps_come_in_order_as_the_first_ones_end():
    listed(*[(2 * n, 2 * n + 1) for n in range(ROOM + 5)])
    assert hours(ahead("cme", START_NS)) == [(2 * n, 2 * n + 1) for n in range(ROOM)]
    assert hours(ahead("cme", START_NS + HOUR))[-1] == (2 * ROOM, 2 * ROOM + 1)


def test_a_start_brings_the_list_ahead_of_itself_and_the_hold_stands_and_ends_mes_hold_news(redis_server, redis_client):
    """From the table to the kernel: NEWS stands inside the window, and not a nanosecond longer."""
    listed((-1, 1), (3, 4), (30 * 24, 31 * 24))
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    save_clock(session_folder(session.id), SessionClock(START_NS, boot_ns(), 1.0))
    send_command(session.id, "start", "alice")
    sent = told(inbox)
    assert [int(e["kind"]) for e in sent] == [kinds.NEWS, kinds.NEWS, kinds.COMMAND]
    assert int(sent[-1]["code"]) == kinds.START
    kernel = Kernel()
    kernel.apply(setup_events(load_spec(session_folder(session.id)), START_NS))
    for event in sent:
        kernel.apply(event.reshape(1).copy())
    seen = []
    for at_ns in (START_NS + HOUR - 1, START_NS + HOUR, START_NS + 3 * HOUR, START_NS + 4 * HOUR):
        kernel.apply(account_event(kinds.TIMER, 0, at_ns))
        seen.append(bool(int(kernel.state.account[0].holds) >> BIT["NEWS"] & 1))
    assert seen == [True, False, True, False]


def test_no_other_command_brings_the_list(redis_server, redis_client):
    listed((-1, 1))
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    put(load_spec(session_folder(session.id)), "pause", 7)
    assert [int(e["kind"]) for e in told(inbox)] == [kinds.COMMAND]


def test_a_running_session_is_told_of_what_is_added_until_its_journal_shows_it(redis_server, redis_client, monkeypatch):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    following = NewsTeller(context_for(session, redis_server))
    assert following.tell() == 0, "nothing is known of the time yet"
    following.note(frames_at(START_NS))
    assert following.tell() == 0
    listed((1, 2))
    assert following.tell() == 1
    assert following.tell() == 0, "on its way"
    monkeypatch.setattr(teller, "AGAIN_NS", -1)
    assert following.tell() == 1, "the journal does not show it: it may be lost"
    (first, second) = told(inbox)
    assert first["value"] == second["value"] == START_NS + HOUR and first["until_ns"] == START_NS + 2 * HOUR
    following.note(frames_at(START_NS + NANOS, (START_NS + HOUR, START_NS + 2 * HOUR)))
    assert following.tell() == 0, "the kernel has it"
    listed((1.5, 3))
    assert following.tell() == 1
    assert int(told(inbox)[-1]["until_ns"]) == START_NS + 3 * HOUR


def test_a_redis_that_is_away_is_told_later(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    following = NewsTeller(context_for(session, "redis://127.0.0.1:1/0"))
    following.note(frames_at(START_NS))
    listed((1, 2))
    assert following.tell() == 0
    unopened = NewsTeller(context_for(session, redis_server))
    unopened.note(frames_at(START_NS))
    assert unopened.tell() == 0, "its reader has not made the stream"
    inbox = ring(session, redis_client)
    assert unopened.tell() == 1 and len(told(inbox)) == 1


def test_a_wrong_list_and_its_correction_hold_nothing_before_their_time_mes_hold_news(redis_server, redis_client):
    """The kernel forgets no window and has room for 16: what finds none waits, as long as it is not near."""
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    following = NewsTeller(context_for(session, redis_server))
    following.note(frames_at(START_NS))
    listed(*[(100 + 2 * n, 101 + 2 * n) for n in range(12)])
    assert following.tell() == 12
    NewsWindow.objects.all().delete()
    listed(*[(10 + 2 * n, 11 + 2 * n) for n in range(12)])
    assert following.tell() == 4
    following.note(np.concatenate([frames_at(START_NS), *[event.reshape(1) for event in told(inbox)]]))
    assert hours(sorted(following._heard))[:4] == [(10 + 2 * n, 11 + 2 * n) for n in range(4)], "the nearest first"
    assert following.tell() == 0
    NewsWindow.objects.all().delete()
    listed((5, 6))
    assert following.tell() == 0, "there is no room, and it is far"
    following.note(frames_at(START_NS + 5 * HOUR - teller.NEAR_NS))
    assert following.tell() == 1, "a near one does not wait: the kernel holds entries from now on"
    kernel = Kernel()
    kernel.apply(setup_events(load_spec(session_folder(session.id)), START_NS))
    stood = []
    for event in told(inbox):
        kernel.apply(event.reshape(1).copy())
        stood.append(bool(int(kernel.state.account[0].holds) >> BIT["NEWS"] & 1))
    assert stood == [False] * 16 + [True]


def test_a_window_within_one_that_was_told_is_not_told(redis_server, redis_client):
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    following = NewsTeller(context_for(session, redis_server))
    following.note(frames_at(START_NS, (START_NS + HOUR, START_NS + 3 * HOUR)))
    listed((1.5, 2))
    assert following.tell() == 0 and inbox.length() == 0


def test_a_follower_that_takes_over_knows_what_was_told_before(redis_server, redis_client):
    """From the journal: else it would take the kernel's room for empty."""
    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    events = frames_at(START_NS, *[(START_NS + n * HOUR, START_NS + n * HOUR + 1) for n in range(20, 36)])
    events["seq"] = np.arange(1, len(events) + 1)
    writer = JournalWriter(session_folder(session.id), session.id, 1, "code")
    writer.append(events, np.zeros((len(events), 2), np.int64), np.zeros(len(events), np.int64), durable=False)
    writer.close()
    following = NewsTeller(context_for(session, redis_server))
    following.note(frames_at(START_NS))
    listed((1, 2))
    assert following.tell() == 0 and inbox.length() == 0, "16 stand"


def test_the_ledgers_follower_tells(redis_server, redis_client):
    """Where it runs: the loop that sees the journal and the database."""
    from trading.sinks import LedgerFollower

    session = make_session(redis_url=redis_server)
    inbox = ring(session, redis_client)
    follower = LedgerFollower(context_for(session, redis_server))
    tape = Tape().add(kinds.TIMER, instrument=-1, ts_ns=START_NS)
    follower.apply(tape.frames())
    listed((1, 2))
    follower.publish()
    assert [int(e["value"]) for e in told(inbox)] == [START_NS + HOUR]


# the command


def test_the_list_is_kept_from_a_shell(tmp_path, capsys):
    path = tmp_path / "march.csv"
    path.write_text("starts,ends,venue,title\n2026-03-18T17:55:00Z,2026-03-18T18:30:00Z,cme,Rates\n")
    call_command("news", "import", str(path), "--by", "alice")
    call_command("news", "import", str(path))
    told_words = capsys.readouterr().out
    assert "1 added, 0 stood already" in told_words and "0 added, 1 stood already" in told_words
    call_command(
        "news", "add", "--starts", "2026-03-11 08:25", "--ends", "2026-03-11 08:45", "--zone", "America/New_York",
        "--venue", "cme", "--title", "CPI",
    )  # fmt: skip
    call_command("news", "list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines[-2:]] == ["CPI", "Rates"] and "2026-03-11 12:25:00 UTC" in lines[-2]
    row = NewsWindow.objects.get(title="Rates")
    assert (row.by, row.source) == ("alice", "march.csv")
    with pytest.raises(CommandError, match="reason of 10 characters"):
        call_command("news", "remove", str(row.id), "--reason", "no")
    call_command("news", "remove", str(row.id), "--reason", "the date was moved")
    assert list(NewsWindow.objects.values_list("title", flat=True)) == ["CPI"]
    with pytest.raises(CommandError, match="no window has the number"):
        call_command("news", "remove", str(row.id), "--reason", "the date was moved")
    path.write_text("starts,ends,venue,title\nsoon,later,cme,Rates\n")
    with pytest.raises(CommandError, match="line 2"):
        call_command("news", "import", str(path))
    with pytest.raises(CommandError, match=r"nowhere\.csv"):
        call_command("news", "import", str(tmp_path / "nowhere.csv"))
    assert NewsWindow.objects.count() == 1


def test_every_change_is_audited(settings):
    from desk.audit.models import AuditRecord

    listed((1, 2), (3, 4))
    services.remove(NewsWindow.objects.order_by("id")[0].id, by="bob", reason="moved to Friday")
    added, removed = AuditRecord.objects.filter(action__in=("news_added", "news_removed")).order_by("id")
    assert (added.actor, added.detail["windows"]) == ("alice", 2)
    assert (removed.actor, removed.detail["reason"]) == ("bob", "moved to Friday")
