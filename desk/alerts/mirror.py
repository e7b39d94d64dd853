"""The book's alerts as rows of the database, for the page; and what people answered there, back to the book.

Nothing waits for it: while the database is away or hangs alerts go out all the same, and the rows follow later.  Called
by `teller` alone.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol, TypeVar

from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from desk.alerts.kinds import OVERRIDE_ASKED
from desk.alerts.kinds import Alert as Found
from desk.alerts.models import Alert
from marketdata.core.units import NANOS
from trading.overrides.services import WAIT_S

TEST = "TEST"  # kind of the row that the page's button writes: a rehearsal, sent like an urgent alert
GATE_OVERRIDE = "GATE_OVERRIDE"  # kind of the row that a page writes when a person has the go-live gate skipped
BY_PAGES = (TEST, OVERRIDE_ASKED, GATE_OVERRIDE)  # kinds of rows that pages write and that are sent from there

LAPSED = "desk (its minute is over)"  # who answers a request for an override that nobody can agree to any more


class MirrorAway(RuntimeError):
    """The database takes no rows now."""


class Exchanged(NamedTuple):
    """What pages have for the book: (uid, who) of answers, and tests and overrides that nobody has sent yet."""

    answers: list[tuple[str, str]]
    rehearsals: list[Found]


T = TypeVar("T")


class Doer(Protocol):
    """Begins work; its Future has the result, or what was raised."""

    def __call__(self, work: Callable[[], T]) -> "Future[T]": ...


def at_once(work: Callable[[], T]) -> "Future[T]":
    """Do it here and now."""
    done: Future[T] = Future()
    try:
        done.set_result(work())
    except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
        done.set_exception(error)
    return done


class Aside:
    """Does it in a thread of its own, one after the other: a database that hangs holds up nobody else."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="database", daemon=True).start()

    def __call__(self, work: Callable[[], T]) -> "Future[T]":
        """Begin it."""
        done: Future[T] = Future()

        def do() -> None:
            try:
                close_old_connections()  # a server that came back takes a new one
                done.set_result(work())
            except Exception as error:  # noqa: BLE001 - as above
                done.set_exception(error)

        self._waiting.put(do)
        return done

    def _run(self) -> None:
        while True:
            self._waiting.get()()


def exchange(found: list[Found], deliveries: dict[str, tuple[list[str], int]], waiting: list[str]) -> Exchanged:
    """Rows out (see `write`), answers to `waiting` (uids) and tests in; lapsed requests end.  Raises MirrorAway."""
    write(found, [(uid, *how) for uid, how in deliveries.items()])
    end_lapsed()
    return Exchanged(answers(waiting) if waiting else [], rehearsals())


def when(at_ns: int) -> datetime:
    """Wall clock ns → UTC."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC)


def write(found: Iterable[Found], deliveries: Iterable[tuple[str, list[str], int]]) -> None:
    """Rows of new alerts, and where (uid, names of channels, first time in ns) they were sent.  Raises MirrorAway."""
    try:
        rows = [_row(alert) for alert in found]
        if rows:
            Alert.objects.bulk_create(rows, ignore_conflicts=True)
        for uid, names, at_ns in deliveries:
            Alert.objects.filter(uid=uid, first_sent_at=None).update(first_sent_at=when(at_ns))
            Alert.objects.filter(uid=uid).update(sent_through=names)
    except DatabaseError as error:
        raise MirrorAway(str(error)) from error


def _row(alert: Found) -> Alert:
    row = Alert(uid=alert.uid, raised_at=when(alert.at_ns), severity=alert.severity, kind=alert.kind[:60])
    row.session, row.text = alert.session, alert.text[:500]
    return row


def answers(uids: Iterable[str]) -> list[tuple[str, str]]:
    """(uid, who) of those of these alerts that a person has answered.  Raises MirrorAway."""
    try:
        rows = Alert.objects.filter(uid__in=list(uids), acknowledged_at__isnull=False)
        return [(uid, by) for uid, by in rows.values_list("uid", "acknowledged_by")]
    except DatabaseError as error:
        raise MirrorAway(str(error)) from error


def has_lapsed(alert: Found, at_ns: int) -> bool:
    """Whether it asks for something that nobody can give any more.  `at_ns`: wall clock."""
    return alert.kind == OVERRIDE_ASKED and at_ns - alert.at_ns >= WAIT_S * NANOS


def end_lapsed() -> None:
    """The same for the rows, sent or not: they stay, and wait for nobody.  Raises MirrorAway."""
    now = timezone.now()
    try:
        rows = Alert.objects.filter(kind=OVERRIDE_ASKED, acknowledged_at=None)
        ids = list(rows.filter(raised_at__lte=now - timedelta(seconds=WAIT_S)).values_list("id", flat=True))
        if ids:  # a look each second is no reason to write each second
            rows.filter(id__in=ids).update(acknowledged_at=now, acknowledged_by=LAPSED)
    except DatabaseError as error:
        raise MirrorAway(str(error)) from error


def rehearsals() -> list[Found]:
    """Tests, and what pages tell of overrides, that nobody has sent yet.  Raises MirrorAway."""
    try:
        rows = Alert.objects.filter(kind__in=BY_PAGES, first_sent_at=None, acknowledged_at=None).order_by("id")[:10]
        return [
            Found(row.uid, int(row.raised_at.timestamp() * 1e9), row.severity, row.kind, row.text, row.session)
            for row in rows
        ]
    except DatabaseError as error:
        raise MirrorAway(str(error)) from error
