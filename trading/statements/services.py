"""Statements taken from the simulated venue or imported, compared with the ledger, stored, told and settled (T-03).

A session's end takes what its venue says of every day that has no statement yet; the roll of the trading day takes the
day before.  What cannot be taken is a row with its fault: missing is never equal.  The alerts' process reads the file
of what is open, and pre-flight asks `open_statements`.  Rights were checked by the caller.
"""

import fcntl
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
from django.db import DataError, IntegrityError, transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from trading.brokers import paper_statement as paper
from trading.brokers.statement import DayStatement, StatementRefused, read_statement, write_statement
from trading.configs import tell_audit
from trading.control import CommandRefused, session_folder, var
from trading.core import states
from trading.models import Order, Session
from trading.run.clock import ClockMissing, load_clock, write_atomic
from trading.run.spec import SessionSpec
from trading.statements import ledger
from trading.statements.compare import Row, compare
from trading.statements.models import Difference, Settlement, Statement

FOLDER, OPEN_FILE, OPEN_LOCK = "statements", "open.json", "open.lock"
OPEN_MAX = 100
REASON_MIN = 10
DESK = "desk"
FAULTS = (OSError, ValueError, LookupError, DataError, IntegrityError)  # asking again soon does not mend these
log = structlog.get_logger("trading.statements")


class NotYet(RuntimeError):
    """The venue says nothing now: of a running session it is asked again, of one that is stated the statement stays."""


def take(session_id: int, by: str = DESK, now_ns: int | None = None) -> list[Statement]:
    """Take what the simulated venue says of the days that have no statement yet, compare and store it.

    Of a session that is over: to its end.  Of a running one: of the days before the present one, and none before the
    ledger has heard what the venue says: NotYet.  A venue that cannot say is a row with its fault where the session is
    over, and NotYet where it runs.  `now_ns`: of a running session, else by its own clock.
    """
    session = Session.objects.get(id=session_id)
    spec, final = _spec(session), session.status in states.SESSION_OVER
    after_ref, first = _told_until(session, spec, final)
    try:
        told = paper.ask(spec, after_ref)
    except paper.StatementAway as error:
        if not final or _is_stated(session):
            raise NotYet(str(error)) from None
        return [_store_fault(session, spec, str(error), by)]
    money = ledger.money_of(session)
    found = []
    if told is not None:
        until = None if final else _present(spec, now_ns)
        found = paper.statements(spec, told, money.opening, money.transfers, until, first)
    if final and not found:
        place = paper.days_of(spec).at(_last_ns(session, spec))
        found = [paper.nothing(spec, place, money.opening, money.transfers)]
    if not final and any((one.to_ref or 0) > session.venue_ref for one in found):
        raise NotYet("the ledger has not heard yet what the venue says")
    return [record(session, one, by=by, source="venue", final=final and one is found[-1]) for one in found]


def take_last(session_id: int) -> bool:
    """The last word on a session that is over; where it cannot be had, the day is missing.  Returns True: it is done.

    A database that is locked or away raises its own errors.
    """
    try:
        take(session_id)
    except NotYet as error:
        log.info("statement_stays", session=session_id, error=str(error))
    except FAULTS as error:
        log.warning("statement_missing", session=session_id, error=str(error))
        miss_last(session_id, str(error))
    return True


def miss_last(session_id: int, why: str) -> None:
    """Store that the last day of a session that is over has no statement, unless it has one."""
    session = Session.objects.get(id=session_id)
    if not _is_stated(session):
        _store_fault(session, _spec(session), why, DESK)


def _is_stated(session: Session) -> bool:
    return Statement.objects.filter(session=session, current=True, final=True, fault="").exists()


def import_file(session_id: int, path: Path, by: str) -> Statement:
    """Compare and store a statement that the venue gave as a file; that of the last day is the last word on a session
    that is over.  Raises StatementRefused, OSError.
    """
    session = Session.objects.get(id=session_id)
    statement, spec = read_statement(path.read_bytes()), _spec(session)
    venue, account = paper.VENUE, spec.key
    if session.mode != "paper":
        venue, account = session.account.venue, session.account.name
    if (statement.venue, statement.account) != (venue, account):
        told = f"account {statement.account} at {statement.venue}"
        raise StatementRefused(f"it is of {told}, session {session.key} trades {account} at {venue}")
    if statement.currency != spec.currency:
        raise StatementRefused(f"it is in {statement.currency}, the session in {spec.currency}")
    days = paper.days_of(spec)
    if statement.trading_day not in days.numbers:
        raise StatementRefused(f"session {session.key} has no trading day {statement.trading_day}")
    of_day = Statement.objects.filter(session=session, current=True, trading_day=statement.trading_day)
    is_last = days.numbers[days.at(_last_ns(session, spec))] == statement.trading_day
    final = session.status in states.SESSION_OVER and (is_last or of_day.filter(final=True).exists())
    return record(session, statement, by=by, source=path.name[:200], final=final)


def record(session: Session, statement: DayStatement, *, by: str, source: str, final: bool) -> Statement:
    """Keep the file, compare it with the ledger and store what differs; it replaces an earlier one of its day."""
    spec, data = _spec(session), write_statement(statement)
    folder = var() / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()
    write_atomic(folder / f"{session.key}-{statement.trading_day}-{digest[:12]}.json", data)
    named = Statement.objects.filter(session=session, current=True, trading_day__lt=statement.trading_day)
    before = {number for numbers in named.values_list("orders", flat=True) for number in numbers}
    demanded = ledger.demanded(session, spec, statement, before)
    rows = compare(statement, ledger.own_statement(session, spec, statement), demanded)
    made = Statement(
        session=session,
        trading_day=statement.trading_day,
        final=final,
        source=source,
        sha256=digest,
        to_ref=statement.to_ref,
        orders=[line.number for line in statement.orders],
        fills=len(statement.fills),
        closing_micros=statement.closing_micros,
        by=by,
        taken_at=timezone.now(),
    )
    _store(made, rows)
    return made


def _store(made: Statement, rows: list[Row]) -> None:
    with transaction.atomic():
        Session.objects.select_for_update().get(id=made.session_id)  # one statement of a session at a time
        same_day = Statement.objects.filter(session=made.session, trading_day=made.trading_day, current=True)
        same_day.update(current=False)
        if made.final and not made.fault:  # what was missing is there
            Statement.objects.filter(session=made.session, current=True).exclude(fault="").update(current=False)
        made.save()
        Difference.objects.bulk_create([Difference(statement=made, **row._asdict()) for row in rows])
        detail: dict[str, object] = {"day": made.trading_day, "sha256": made.sha256, "differences": len(rows)}
        detail |= {"source": made.source, "fault": made.fault}
        action = "statement_missing" if made.fault else "statement_differs" if rows else "statement_equal"
        tell_audit("session", action, made.by, made.session.key, detail)
    tell_open()


def _store_fault(session: Session, spec: SessionSpec, why: str, by: str) -> Statement:
    """The day that should have a statement has none."""
    days = paper.days_of(spec)
    day = days.numbers[days.at(_last_ns(session, spec))]
    made = Statement(session=session, trading_day=day, final=True, by=by)
    made.source, made.fault, made.taken_at = "venue", why[:300], timezone.now()
    _store(made, [])
    return made


def settle(statement_id: int, by: str, reason: str) -> Settlement:
    """A person says why the account may trade on although this statement differs or is missing.

    Raises CommandRefused: a short reason, nothing to settle, settled already, or one that was replaced.
    """
    if len(reason.strip()) < REASON_MIN:
        raise CommandRefused("NO_REASON", f"settling needs a reason of {REASON_MIN} characters or more")
    with transaction.atomic():
        row = Statement.objects.select_for_update().select_related("session").get(id=statement_id)
        if not row.current:
            raise CommandRefused("REPLACED", "a later statement of this day stands: look at that one")
        if not (row.fault or row.differences.exists()):
            raise CommandRefused("EQUAL", "venue and desk say the same: nothing is to be settled")
        made, new = Settlement.objects.get_or_create(
            statement=row, defaults={"by": by, "reason": reason[:500], "at": timezone.now()}
        )
        if not new:
            raise CommandRefused("SETTLED", f"settled already by {made.by}")
        detail: dict[str, object] = {"day": row.trading_day, "reason": reason, "differences": row.differences.count()}
        tell_audit("session", "statement_settled", by, row.session.key, detail)
    tell_open()
    return made


def open_statements() -> "QuerySet[Statement]":
    """Statements that differ or are missing and that nobody has settled, the newest first."""
    bad = ~Q(fault="") | Q(id__in=Difference.objects.values("statement_id"))
    rows = Statement.objects.filter(bad, current=True, settlement__isnull=True)
    return rows.select_related("session").order_by("-id")


def tell_open() -> None:
    """Write what is open where the alerts' process reads it, without the database.  A file that says it already stays.

    One writer at a time reads the rows and writes them: none writes an older answer over a newer one.
    """
    folder = var() / FOLDER
    path = folder / OPEN_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / OPEN_LOCK).open("a") as lock:  # closing it lets go
            fcntl.flock(lock, fcntl.LOCK_EX)
            data = _open_rows()
            if not path.exists() or path.read_bytes() != data:
                write_atomic(path, data)
    except OSError as error:
        log.warning("statements_not_told", error=str(error))


def _open_rows() -> bytes:
    rows = [
        {"id": row.pk, "session": row.session_id, "key": row.session.key, "day": row.trading_day, "fault": row.fault}
        | {"differences": row.differences.count()}
        for row in open_statements()[:OPEN_MAX]
    ]
    return msgspec.json.encode(rows)


def _spec(session: Session) -> SessionSpec:
    return msgspec.convert(session.spec, SessionSpec)


def _told_until(session: Session, spec: SessionSpec, final: bool) -> tuple[int, int]:
    """Last of the venue's numbers in the statements of earlier days, and the place of the day after them.

    The last word on a session takes its last day again.
    """
    rows = Statement.objects.filter(session=session, current=True, final=False, fault="", to_ref__isnull=False)
    told = list(rows.order_by("trading_day").values_list("to_ref", "trading_day"))
    if final:
        told = told[:-1]
    if not told:
        return 0, 0
    return int(told[-1][0] or 0), paper.days_of(spec).numbers.index(told[-1][1]) + 1


def _present(spec: SessionSpec, now_ns: int | None) -> int:
    """Place of the day in which a running session is; the first where no clock was stamped."""
    try:
        return paper.days_of(spec).at(load_clock(session_folder(spec.id)).now() if now_ns is None else now_ns)
    except ClockMissing:
        return 0


def _last_ns(session: Session, spec: SessionSpec) -> int:
    """When the ledger heard of an order last; of none: the session's begin."""
    found = Order.objects.filter(session=session).aggregate(at=Max("changed_ns"))["at"]
    return max(spec.created_ns, found or 0)


def listed(session_id: int) -> list[dict[str, Any]]:
    """Every statement of a session with its differences and its settlement, the newest first."""
    rows = Statement.objects.filter(session_id=session_id).order_by("-trading_day", "-id")
    found = []
    for row in rows.select_related("session", "settlement").prefetch_related("differences"):
        differences = [_plain(one) for one in row.differences.all()]
        settled = getattr(row, "settlement", None)
        state = "missing" if row.fault else "differs" if differences else "equal"
        found.append(
            {name: getattr(row, name) for name in ("id", "trading_day", "final", "current", "source", "by", "fault")}
            | {"day": _day(row.trading_day), "taken_at": row.taken_at, "sha256": row.sha256, "fills": row.fills}
            | {"orders": len(row.orders), "closing_micros": row.closing_micros, "state": state}
            | {"differences": differences, "settled": settled, "open": state != "equal" and settled is None}
        )
    return found


def _plain(row: Difference) -> dict[str, str]:
    return {"kind": row.kind, "about": row.about, "venue": row.venue, "desk": row.desk}


def _day(number: int) -> str:
    """20260304 → 2026-03-04."""
    try:
        return f"{datetime.strptime(str(number), '%Y%m%d').replace(tzinfo=UTC):%Y-%m-%d}"
    except ValueError:
        return str(number)
