"""T-03 with the simulated venue's own server and the ledger's rows: taken, compared, stored, told, settled."""

import asyncio
import dataclasses
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from desk.alerts.kinds import URGENT, WARNING
from desk.alerts.looking import Looks
from desk.audit.models import AuditRecord
from tests.brokers.conftest import ASKS, BIDS
from tests.brokers.desk import MES, START_NS, Order, PaperBench, answers, send
from tests.shell.frames import Tape, context_of, make_session
from trading import services as sessions
from trading.brokers.paper_venue import serve_venue
from trading.brokers.statement import FORM
from trading.control import CommandRefused
from trading.core import orders as life
from trading.core import states
from trading.core.records import ENTRY, EXIT, MARKET, REJECTED_EXPIRED, TIMER
from trading.models import Account, Fill, Session
from trading.models import Order as Row
from trading.preflight import statements as preflight
from trading.preflight.probes import FAIL, PASS, SKIP, WARN
from trading.run.spec import FeedSpec, SessionSpec
from trading.statements import services
from trading.statements import taker as taking
from trading.statements.models import Difference, Statement
from trading.statements.taker import StatementTaker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder")]
FEE, VALUE, CAPITAL = MES["fee_micros"], MES["tick_value_micros"], 10_000_000_000
LOST = VALUE + 2 * FEE  # of `trade`: bought at 101, sold at 100
DAY_NS = 86_400_000_000_000
REASON = "looked at the venue's own page"
SIMULATED = FeedSpec("simulated", ["MES"])


@pytest.fixture
def venue(own_folder: Path) -> Iterator[SimpleNamespace]:
    """The venue's server in a thread of this process."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    stop, failures = asyncio.Event(), list[BaseException]()
    folder = own_folder / "venue"
    work = serve_venue(folder, stop, failures, ready.set)
    thread = threading.Thread(target=loop.run_until_complete, args=(work,))
    thread.start()
    assert ready.wait(60)
    yield SimpleNamespace(socket=folder / "venue.sock")
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()
    assert not failures


def ended(**changes: Any) -> Session:
    """A session that is over, as its start and its end leave the row."""
    session = make_session(status=states.ENDED)
    session.spec["instruments"][0]["values"] |= MES
    session.started_at = session.ended_at = timezone.now()
    for name, value in changes.items():
        setattr(session, name, value)
    session.save()
    return session


def trade(venue: SimpleNamespace, session: Session) -> None:
    """One round trip at the venue."""
    bench = PaperBench(venue, session.key)  # type: ignore[arg-type]
    bench.book(BIDS, ASKS)
    send(bench, Order(1, +1))
    answers(bench, 2)
    send(bench, Order(2, -1, role=EXIT))
    answers(bench, 2)
    bench.close()


def book(session: Session, **changes: Any) -> None:
    """The same in the ledger; `changes` of the exit's fill."""
    for number, side, role, ref, tick in ((1, 1, ENTRY, 2, 101), (2, -1, EXIT, 4, 100)):
        order = {"instrument": 0, "symbol": "MES", "side": side, "qty": 1}
        Row.objects.create(
            session=session, number=number, seq=ref, last_seq=ref, order_type=MARKET, role=role, status=life.FILLED,
            request=0, filled=1, version_id=1, sent_ns=ref, changed_ns=ref, **order,
        )  # fmt: skip
        fill = {"venue_ref": ref, "price_tick": tick, "fee_micros": FEE, "ts_ns": ref} | (changes if ref == 4 else {})
        Fill.objects.create(session=session, seq=ref, order_number=number, **order, **fill)
    Session.objects.filter(id=session.id).update(balance_micros=CAPITAL - LOST, venue_ref=4)


def row(session: Session, mode: str = "paper") -> tuple[str, str]:
    found = preflight.row(session.account, mode, SIMULATED)
    return found.verdict, found.value


def test_a_session_that_ended_is_stated_equal_and_a_live_start_is_open_t_03(venue: SimpleNamespace) -> None:
    """T-03: the end of a session takes the venue's statement; orders, fills, fees and balance equal."""
    session = ended()
    trade(venue, session)
    book(session)
    assert row(session, "live")[0] == FAIL, "a statement that was never taken is missing"
    assert row(session)[0] == WARN and "no statement" in row(session)[1]
    assert sessions.finish_if_flat(session.id)
    made = Statement.objects.get()
    assert (made.final, made.fault, made.fills, made.orders) == (True, "", 2, [1, 2])
    assert made.closing_micros == CAPITAL - LOST
    assert not made.differences.exists(), list(made.differences.values())
    assert row(session, "live")[0] == row(session)[0] == PASS
    assert msgspec.json.decode((sessions.var() / "statements" / "open.json").read_bytes()) == []
    assert AuditRecord.objects.filter(action="statement_equal").count() == 1


def test_what_differs_refuses_live_warns_paper_and_is_an_alert_until_settled_t_03(venue: SimpleNamespace) -> None:
    """T-03: one fill at another price: the fill, and by it nothing that the ledger's balance does not say."""
    session = ended()
    trade(venue, session)
    book(session, price_tick=99, fee_micros=FEE + 1)
    Session.objects.filter(id=session.id).update(balance_micros=CAPITAL - LOST - VALUE - 1)
    (made,) = services.take(session.id)
    assert [(d.kind, d.about) for d in made.differences.order_by("id")] == [
        ("fill", "4"), ("fees", "of the day"), ("balance", "at the end"),
    ]  # fmt: skip
    balance = made.differences.get(kind="balance")
    assert (balance.venue, balance.desk) == ("9997.910000 USD", "9996.659999 USD")
    assert row(session, "live")[0] == FAIL and row(session)[0] == WARN
    looks = Looks(sessions.var(), "redis://127.0.0.1:1/0")
    told = [a for a in looks.look([], 1, 1) if a.kind == "STATEMENT_DIFFERS"]
    assert [(a.severity, a.session) for a in told] == [(URGENT, session.id)] and "differ in 3 points" in told[0].text
    assert [a.uid for a in looks.look([], 2, 2)] == [told[0].uid], "the book knows it by its uid"
    for wrong in ("short", " " * 20):
        with pytest.raises(CommandRefused):
            services.settle(made.pk, "alice", wrong)
    call_command("statements", "settle", str(made.pk), "--reason", REASON, "--by", "alice")
    assert row(session, "live")[0] == row(session)[0] == PASS and looks.look([], 3, 3) == []
    assert made.differences.count() == 3, "the record stays"
    (listed,) = services.listed(session.id)
    assert listed["settled"].by == "alice" and not listed["open"]
    with pytest.raises(CommandError, match="settled already by alice"):
        call_command("statements", "settle", str(made.pk), "--reason", REASON)


def test_orders_that_one_side_does_not_know_are_differences_t_03(venue: SimpleNamespace) -> None:
    session = ended()
    trade(venue, session)
    book(session)
    Row.objects.filter(number=2).delete()
    base = {"seq": 9, "last_seq": 9, "instrument": 0, "symbol": "MES", "side": 1, "order_type": MARKET, "role": ENTRY}
    base |= {"session": session, "request": 0, "qty": 1, "version_id": 1, "sent_ns": 9, "changed_ns": 9}
    Row.objects.create(number=3, status=life.WORKING, **base)
    Row.objects.create(number=4, status=life.REJECTED, code=REJECTED_EXPIRED, **base)
    (made,) = services.take(session.id)
    found = [(d.kind, d.about, d.venue, d.desk) for d in made.differences.order_by("id")]
    assert found == [
        ("order", "#2", "sell 1 MES, filled 1", ""),
        ("order", "#3", "", "buy 1 MES, filled 0"),
    ]


def test_a_venue_that_is_away_leaves_the_day_missing_until_it_is_asked_again_t_03(own_folder: Path) -> None:
    session = ended()
    assert sessions.finish_if_flat(session.id), "nothing holds up the end of a session"
    made = Statement.objects.get()
    assert made.final and "no venue" in made.fault
    assert row(session, "live")[0] == FAIL and row(session)[0] == WARN and "missing" in row(session)[1]
    alerts = Looks(own_folder, "redis://127.0.0.1:1/0").look([], 1, 1)
    assert [(a.kind, a.severity) for a in alerts] == [("STATEMENT_MISSING", WARNING)]


def test_a_statement_that_comes_later_takes_the_place_of_the_missing_one_t_03(
    own_folder: Path, request: pytest.FixtureRequest
) -> None:
    session = ended()
    services.take(session.id)
    venue = request.getfixturevalue("venue")
    trade(venue, session)
    book(session)
    call_command("statements", "take", str(session.id))
    assert [(s.current, bool(s.fault)) for s in Statement.objects.order_by("id")] == [(False, True), (True, False)]
    assert row(session, "live")[0] == PASS
    (own_folder / "venue" / "venue.sock").rename(own_folder / "gone.sock")
    with pytest.raises(CommandError, match="no venue"):
        call_command("statements", "take", str(session.id))
    assert row(session, "live")[0] == PASS, "a venue that is away takes no statement back"
    (own_folder / "gone.sock").rename(own_folder / "venue" / "venue.sock")


def test_a_venues_own_file_is_compared_and_replaces_that_of_its_day_t_03(
    venue: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = ended()
    trade(venue, session)
    book(session)
    services.take(session.id)
    (kept,) = (sessions.var() / "statements").glob(f"{session.key}-*.json")
    file = msgspec.json.decode(kept.read_bytes())
    del file["from_ref"]
    file["fees"] = "0.840001"
    path = tmp_path / "venue.json"
    path.write_bytes(msgspec.json.encode(file))
    call_command("statements", "import", str(session.id), str(path), "--by", "alice")
    assert "fees of the day: venue '0.840001 USD', desk '0.840000 USD'" in capsys.readouterr().out
    made = Statement.objects.get(current=True)
    assert (made.source, made.by, made.final) == ("venue.json", "alice", True)
    assert row(session, "live")[0] == FAIL
    for changed, words in (
        ({"currency": "RUB"}, "RUB"), ({"trading_day": 20300101}, "no trading day"),
        ({"account": "t99"}, f"it is of account t99 at paper, session {session.key} trades"),
        ({"venue": "cme"}, "it is of account .* at cme"),
    ):  # fmt: skip
        path.write_bytes(msgspec.json.encode(file | changed))
        with pytest.raises(CommandError, match=words):
            call_command("statements", "import", str(session.id), str(path))
    assert Statement.objects.count() == 2 and Difference.objects.count() == 1


def test_an_imported_day_is_the_last_word_only_where_it_is_the_last_day_t_03(tmp_path: Path) -> None:
    """T-03: the file of an earlier day, imported first, leaves the last day without its statement."""
    session = ended()
    numbers = (20260304, 20260305)
    session.spec["windows"] = [(-1, 1, START_NS + k * DAY_NS, START_NS + k * DAY_NS + 1, numbers[k]) for k in range(2)]
    session.save()
    book(session)
    Row.objects.update(changed_ns=START_NS + DAY_NS)
    file: dict[str, Any] = {"form": FORM, "venue": "paper", "account": session.key, "currency": "USD"}
    file |= {"opening": "10000.000000", "transfers": "0", "closing": "10000.000000", "fees": "0"}
    file |= {"orders": [], "fills": [], "positions": {}}
    for day, final in zip(numbers, (False, True), strict=True):
        path = tmp_path / f"{day}.json"
        path.write_bytes(msgspec.json.encode(file | {"trading_day": day}))
        assert services.import_file(session.id, path, "alice").final is final


def test_what_is_open_is_read_and_written_by_one_at_a_time_and_told_again_t_03(own_folder: Path) -> None:
    """T-03: an older answer never stands over a newer one, and a file that was lost comes back."""
    services.take(ended().id)
    folder, reads = own_folder / services.FOLDER, []

    def held(execute: Any, sql: str, *how: Any) -> Any:
        with (folder / services.OPEN_LOCK).open("a") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        reads.append(sql)
        return execute(sql, *how)

    with connection.execute_wrapper(held):
        services.tell_open()
    assert reads
    told = (folder / services.OPEN_FILE).read_bytes()
    (folder / services.OPEN_FILE).unlink()
    StatementTaker(context_of(Session.objects.get())).look()
    assert (folder / services.OPEN_FILE).read_bytes() == told and b"no venue" in told


@pytest.mark.parametrize("heals", [True, False])
def test_no_end_waits_for_a_statement_that_the_database_does_not_take_t_03(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch, heals: bool
) -> None:
    """T-03: a few tries with pauses, then the day is missing; where that is not taken either it is left to a person."""
    session, now_ns, broken = ended(), 1, True
    end = StatementTaker(context_of(session)).end
    monkeypatch.setattr(taking, "boot_ns", lambda: now_ns)

    def locked(execute: Any, sql: str, *how: Any) -> Any:
        if broken and sql.startswith('INSERT INTO "statements_statement"'):
            raise OperationalError("database is locked")
        return execute(sql, *how)

    with connection.execute_wrapper(locked):
        for _ in range(taking.END_TRIES):
            with pytest.raises(OperationalError):
                sessions.finish_if_flat(session.id, end)
            assert not sessions.finish_if_flat(session.id, end), "nobody is asked again at once"
            now_ns += taking.AGAIN_NS
        broken = not heals
        if broken:
            with pytest.raises(OperationalError):
                sessions.finish_if_flat(session.id, end)
            now_ns += taking.AGAIN_NS
        assert sessions.finish_if_flat(session.id, end) and end(session.id)
    assert [made.fault for made in Statement.objects.all()] == ["the database took none in 3 tries"] * heals
    assert row(session, "live")[0] == FAIL


def test_a_day_is_stated_once_the_sessions_clock_has_left_it_t_03(venue: SimpleNamespace) -> None:
    """T-03: of a running session the day before, when the ledger has all of it; its end takes the last day again."""
    session = ended(status=states.RUNNING)
    days = [(-1, 1, START_NS + k * DAY_NS, START_NS + k * DAY_NS + 1, 20260304 + k) for k in range(2)]
    session.spec["windows"] = days
    session.save()
    trade(venue, session)
    book(session, ts_ns=START_NS)
    Row.objects.update(sent_ns=START_NS)
    taker = StatementTaker(dataclasses.replace(context_of(session), spec=msgspec.convert(session.spec, SessionSpec)))
    taker.note(Tape().add(TIMER, ts_ns=START_NS + DAY_NS - 1).frames()["event"])
    taker.look()
    assert not Statement.objects.exists(), "the first day is not over"
    Session.objects.update(venue_ref=3)
    with pytest.raises(services.NotYet, match="has not heard"):
        services.take(session.id, now_ns=START_NS + DAY_NS)
    Session.objects.update(venue_ref=4)
    taker.note(Tape().add(TIMER, ts_ns=START_NS + DAY_NS).frames()["event"])
    taker.look()
    made = Statement.objects.get()
    assert (made.trading_day, made.final, made.to_ref) == (20260304, False, 4)
    assert not made.differences.exists(), list(made.differences.values())
    Session.objects.update(status=states.ENDED)
    assert row(session, "live")[0] == FAIL, "the last word is missing"
    (last,) = services.take(session.id)
    assert (last.trading_day, last.final, last.to_ref, last.fills) == (20260304, True, None, 2)
    assert not last.differences.exists() and row(session, "live")[0] == PASS


def test_preflight_of_an_account_without_a_past_t_03() -> None:
    session = ended(started_at=None)
    assert row(session) == (PASS, "no session of this account has traded")
    assert preflight.row(Account(), "live", SIMULATED).verdict == PASS
    assert preflight.row(session.account, "paper", FeedSpec("replay", ["MES"])).verdict == SKIP
