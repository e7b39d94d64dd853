"""Leases as database rows: who may try to run a loop.  One conditional update each; the row's count is the answer.

Times are CLOCK_BOOTTIME of this host, so a row also names the boot it belongs to: after a restart of the machine every
old lease has run out.  A database that does not answer within a moment is `StoreAway`, never a lost lease.  Called by
the worker; nothing here starts a loop.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from django.db import InterfaceError, InternalError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet

from trading.models import LoopLease
from trading.run.clock import boot_id, boot_ns
from trading.run.loops import Renewal, StoreAway

WAIT_MS = 400  # how long a lease waits for a locked database; far below the ttl
USUAL_WAIT_MS = 20_000


class Wanted(NamedTuple):
    """A loop that should run and that nobody holds from `free_at_ns` on."""

    session_id: int
    key: str
    loop: str
    free_at_ns: int

    @property
    def name(self) -> str:
        return lease_name(self.key, self.loop)


def lease_name(key: str, loop: str) -> str:
    """ "s12:risk"."""
    return f"{key}:{loop}"


@contextlib.contextmanager
def short_wait(milliseconds: int = WAIT_MS) -> Iterator[None]:
    """Statements inside give up quickly on a locked database.  Raises StoreAway instead of the database's errors."""
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"PRAGMA busy_timeout = {int(milliseconds)}")
            else:
                cursor.execute(
                    f"SET lock_timeout = {int(milliseconds)}; SET statement_timeout = {3 * int(milliseconds)}"
                )
        yield
    except (OperationalError, InterfaceError, InternalError) as error:  # the last: PostgreSQL, read-only
        _drop_connection()
        raise StoreAway(str(error)) from error
    else:
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.execute(f"PRAGMA busy_timeout = {USUAL_WAIT_MS}")
            else:
                cursor.execute("RESET lock_timeout; RESET statement_timeout")


def _drop_connection() -> None:
    """A connection that failed may be broken or hold the short waits; the next use makes a new one."""
    if not connection.in_atomic_block:
        connection.close()


class DatabaseLeases:
    """The lease store of one worker process (see `trading.run.loops.LeaseStore`).  `owner` names process and host."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.boot = boot_id()

    def acquire(self, name: str, now_ns: int, expires_ns: int) -> int | None:
        """The new fence where the lease has run out or is our own; None where it is held or not wanted."""
        free = Q(expires_boot_ns__lt=now_ns) | ~Q(boot_id=self.boot) | Q(owner=self.owner)
        with short_wait(), transaction.atomic():
            row = _named(name)
            taken = row.filter(free, desired=True).update(
                owner=self.owner,
                boot_id=self.boot,
                fence=F("fence") + 1,
                restarts=F("fence"),
                expires_boot_ns=expires_ns,
                beat_boot_ns=now_ns,
                state="opening",
            )
            return row.values_list("fence", flat=True).get() if taken == 1 else None

    def renew(self, name: str, fence: int, now_ns: int, expires_ns: int, shown: Mapping[str, object]) -> Renewal:
        """KEPT and UNWANTED extend the lease; LOST: another has it."""
        with short_wait(), transaction.atomic():
            row = _named(name).filter(owner=self.owner, fence=fence)
            kept = row.update(
                expires_boot_ns=expires_ns, beat_boot_ns=now_ns, state=str(shown.get("state", "")), detail=dict(shown)
            )
            if kept != 1:
                return Renewal.LOST
            return Renewal.KEPT if row.filter(desired=True).exists() else Renewal.UNWANTED

    def release(self, name: str, fence: int, free_at_ns: int, shown: Mapping[str, object]) -> None:
        """Give it up.  A lease that is another's already stays as it is."""
        with short_wait():
            _named(name).filter(owner=self.owner, fence=fence).update(
                owner="", expires_boot_ns=free_at_ns, state=str(shown.get("state", "")), detail=dict(shown)
            )

    def close(self) -> None:
        """Close this thread's connection."""
        _drop_connection()


def _named(name: str) -> "QuerySet[LoopLease]":
    key, _, loop = name.rpartition(":")
    return LoopLease.objects.filter(session__key=key, loop=loop)


def probe_write() -> None:
    """A write that changes nothing.  Raises StoreAway while the database takes none: reading may work all the same."""
    with short_wait(), transaction.atomic():
        LoopLease.objects.filter(id=0).update(fence=0)


def wanted_loops(before_ns: int) -> list[Wanted]:
    """Wanted loops whose lease has run out, or will have by boot clock `before_ns`.  Raises StoreAway."""
    run_out = Q(expires_boot_ns__lt=before_ns) | ~Q(boot_id=boot_id())
    with short_wait():
        rows = LoopLease.objects.filter(run_out, desired=True).order_by("id")
        found = list(rows.values_list("session_id", "session__key", "loop", "expires_boot_ns", "boot_id"))
    mine = boot_id()
    return [Wanted(sid, key, loop, expires if boot == mine else 0) for sid, key, loop, expires, boot in found]


def want_loops(session_id: int, loops: tuple[str, ...], desired: bool) -> int:
    """Say which loops of a session should run; rows are made as needed.  Returns how many rows changed."""
    changed = 0
    with transaction.atomic():
        for loop in loops:
            row, made = LoopLease.objects.get_or_create(session_id=session_id, loop=loop, defaults={"desired": desired})
            if not made:
                changed += LoopLease.objects.filter(id=row.id).exclude(desired=desired).update(desired=desired)
            changed += made
    return changed


def age_s(boot: str, beat_boot_ns: int) -> float | None:
    """Seconds since a heartbeat; None when there was none in this boot of the machine."""
    if boot != boot_id() or beat_boot_ns == 0:
        return None
    return max(0.0, (boot_ns() - beat_boot_ns) / 1e9)
