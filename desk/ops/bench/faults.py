"""Faults on a running private desk: kill loops and venue, stop Redis and lose its memory, lock the database.

Runs inside the environment of a private desk.  Each drill says what it did, how long the desk needed, and whether what
must hold held; `prove` then checks the whole session: journal, replay, ledger, venue, audit.
"""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db import connection

from desk.audit import services as audit
from desk.ops.bench.kernel import inputs_of
from desk.ops.bench.ring import BenchFailed, frames_of
from desk.ops.drills.record import row
from risk.core.holds import BIT
from trading import services
from trading.control import session_folder
from trading.core.records import DECISION, ENTRY, FILL, HOLD_CLEARED, HOLD_RAISED, SUBMIT
from trading.leases import want_loops
from trading.models import Fill, LoopLease, Order, Session
from trading.run import guard
from trading.run.journal.verify import verify_journal
from trading.run.replica import Kernel

LINK_HOLDS = {BIT[code] for code in ("STREAM_FULL", "FEED_STALE", "DATABASE_AWAY", "NOT_RECONCILED", "EXECUTION_AWAY")}
SETTLED_S = 3.0  # between two kills, so that each is a case of its own
WAIT_S = 30.0


class Drill(NamedTuple):
    """One fault: what was done, seconds until the desk had recovered, and what was seen."""

    name: str
    seconds: float
    ok: bool
    detail: str


def as_row(drill: Drill) -> dict[str, Any]:
    """The drill as a stored run keeps it."""
    return row(drill.name, drill.seconds or None, "s" if drill.seconds else "", ok=bool(drill.ok), detail=drill.detail)


def wait_until(what: str, true: Callable[[], bool], timeout_s: float = WAIT_S) -> float:
    """Seconds until `true()`; raises BenchFailed after `timeout_s`."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > timeout_s:
            raise BenchFailed(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - began


def lease(session: Session, loop: str) -> LoopLease:
    return LoopLease.objects.get(session=session, loop=loop)


def owner_pid(held_by: LoopLease) -> int:
    """The worker that holds a loop."""
    return int(held_by.owner.rpartition("#")[2])


def owner_lives(held_by: LoopLease) -> bool:
    """Whether that worker is there: a lease outlives its owner by the time that others grant it."""
    try:
        os.kill(owner_pid(held_by), 0)
    except ProcessLookupError:
        return False
    return True


def kill_owner(session: Session, loop: str) -> LoopLease:
    """SIGKILL the worker that holds this loop; the lease as it was then.  One that is dead already is waited out."""
    wait_until(f"{loop} is held by a worker that lives", lambda: owner_lives(lease(session, loop)))
    held_by = lease(session, loop)
    os.kill(owner_pid(held_by), signal.SIGKILL)
    return held_by


def kill_loop(session: Session, loop: str) -> Drill:
    """SIGKILL the worker that holds this loop; seconds until another holds it under a higher fence."""
    wait_until(f"{loop} runs", lambda: lease(session, loop).state == "running")
    before = kill_owner(session, loop)
    seconds = wait_until(
        f"{loop} is taken over",
        lambda: (held_by := lease(session, loop)).fence > before.fence and held_by.state == "running",
    )
    detail = f"pid {owner_pid(before)}, fence {before.fence} → {lease(session, loop).fence}"
    time.sleep(SETTLED_S)
    return Drill(f"SIGKILL worker of {loop}", seconds, seconds <= 5.0, detail)


def supervisorctl(*words: str) -> None:
    """One word to this desk's supervisor."""
    conf = Path(settings.VAR) / "supervisord.conf"
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(conf), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def held() -> dict[str, dict[str, object]]:
    return guard.look(Path(settings.VAR))


def kill_venue(session: Session) -> Drill:
    """SIGKILL the venue while stops rest there; they must be there again, unchanged, when it is back."""
    key = session.key
    wait_until("a position with its bracket", lambda: held().get(key, {}).get("orders") == 2, 60.0)
    before = held()[key]
    found = subprocess.run(["pgrep", "-f", "manage.py venue"], capture_output=True, text=True, check=True)
    for pid in (int(word) for word in found.stdout.split()):
        if f"DESK_VAR={settings.VAR}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGKILL)
    seconds = wait_until("the venue answers", lambda: "unknown" not in held().get(key, {"unknown": 1}))
    after = held().get(key, {})
    ok = after.get("orders") == before["orders"] and after.get("positions") == before["positions"]
    time.sleep(SETTLED_S)
    return Drill("SIGKILL paper venue", seconds, ok, f"before {before}, after {after}")


def lose_redis(session: Session, away_s: float) -> Drill:
    """Stop Redis, delete its memory, start it empty; entries must be refused meanwhile and come back by themselves."""
    mark = int(frames_of(session)["event"]["seq"][-1])
    supervisorctl("stop", "redis")
    shutil.rmtree(Path(settings.VAR) / "redis", ignore_errors=True)
    (Path(settings.VAR) / "redis").mkdir()
    time.sleep(away_s)
    supervisorctl("start", "redis")
    seconds = wait_until("decisions are made again", lambda: decisions_after(session, mark) > 0, 60.0)
    wait_until("every hold is down again", lambda: not standing_after(session), 60.0)
    raised, entries = holds_after(session, mark), entries_under(session, mark)
    ok = "STREAM_FULL" in raised and entries == 0
    return Drill(f"Redis away {away_s:.0f} s, back empty", seconds, ok, f"held {sorted(raised)}; {entries} entries")


def silence_feed(session: Session, silent_s: float) -> Drill:
    """End the feed loop for a while; entries must be refused and everything come back by itself."""
    mark = int(frames_of(session)["event"]["seq"][-1])
    want_loops(session.id, ("feed",), False)
    wait_until("the feed ended", lambda: lease(session, "feed").owner == "")
    time.sleep(silent_s)
    back_from = int(frames_of(session)["event"]["seq"][-1])
    want_loops(session.id, ("feed",), True)
    seconds = wait_until("decisions are made again", lambda: decisions_after(session, back_from) > 0, 60.0)
    wait_until("every hold is down again", lambda: not standing_after(session), 60.0)
    raised, entries = holds_after(session, mark), entries_under(session, mark)
    ok = "FEED_STALE" in raised and entries == 0
    return Drill(f"feed silent {silent_s:.0f} s", seconds, ok, f"held {sorted(raised)}; {entries} entries")


def lock_database(session: Session, locked_s: float) -> Drill:
    """Hold SQLite's write lock; entries must be held, exits go on, and all comes back by itself."""
    if connection.vendor != "sqlite":
        return Drill("database locked", 0.0, True, "not SQLite: not run")
    mark = int(frames_of(session)["event"]["seq"][-1])
    with _write_lock():
        time.sleep(locked_s)
        raised = holds_after(session, mark)
        entries = entries_under(session, mark)
        told = services.send_command(session.id, "flatten", "drill", "the database is locked")
        wait_until("flat while the database is locked", lambda: held() == {}, 10.0)
    seconds = wait_until("every hold is down again", lambda: not standing_after(session), 60.0)
    services.resume(session.id, "drill", "the lock is over")
    ok = "DATABASE_AWAY" in raised and entries == 0
    detail = f"held {sorted(raised)}; {entries} entries under it; Flatten {told.state}, flat proved while locked"
    return Drill(f"database locked {locked_s:.0f} s", seconds, ok, detail)


@contextlib.contextmanager
def _write_lock() -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=30, isolation_level=None)) as own:
        own.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            own.execute("ROLLBACK")


def decisions_after(session: Session, seq: int) -> int:
    events = frames_of(session)["event"]
    return int(((events["kind"] == DECISION) & (events["seq"] > seq)).sum())


def holds_after(session: Session, seq: int) -> set[str]:
    from risk.core.holds import hold_of

    events = frames_of(session)["event"]
    rows = events[(events["kind"] == HOLD_RAISED) & (events["seq"] > seq)]
    return {hold_of(session.rules, int(code)).code for code in rows["code"]}


def entries_under(session: Session, seq: int) -> int:
    """Entries that the kernel made after frame `seq` while a hold of LINK_HOLDS stood."""
    events = frames_of(session)["event"]
    up: set[int] = set()
    count = 0
    for event in events[events["seq"] > seq]:
        kind = int(event["kind"])
        if kind == HOLD_RAISED and int(event["code"]) in LINK_HOLDS:
            up.add(int(event["code"]))
        elif kind == HOLD_CLEARED:
            up.discard(int(event["code"]))
        elif kind == SUBMIT and event["role"] == ENTRY and up:
            count += 1
    return count


def standing_after(session: Session) -> bool:
    """True while a hold of LINK_HOLDS stands, by the journal."""
    events = frames_of(session)["event"]
    up: set[int] = set()
    for event in events[(events["kind"] == HOLD_RAISED) | (events["kind"] == HOLD_CLEARED)]:
        (up.add if event["kind"] == HOLD_RAISED else up.discard)(int(event["code"]))
    return bool(up & LINK_HOLDS)


def prove(session: Session) -> list[Drill]:
    """What must hold after everything: replay exact, ledger = fills, no order overfilled, audit chain valid, flat."""
    report = verify_journal(session_folder(session.id))
    events = frames_of(session)["event"]
    fills = events[events["kind"] == FILL]
    _, first = np.unique(fills["ref"], return_index=True)
    applied = fills[first]  # an answer may be delivered again after a crash; the kernel applies each number once
    rows = list(Fill.objects.filter(session=session).values_list("side", "qty"))
    net_rows = sum(side * qty for side, qty in rows)
    net_journal = int((applied["side"].astype(np.int64) * applied["qty"]).sum())
    over = [order.number for order in Order.objects.filter(session=session) if order.filled > order.qty]
    numbers = events["order_number"][events["kind"] == SUBMIT]
    chain = audit.verify()
    replayed = f"{report.frames} frames, {report.segments} segments, {report.difference or 'every output equal'}"
    same = len(rows) == len(applied) and net_rows == net_journal
    again = f"{len(applied)} fills, {len(fills) - len(applied)} delivered again and ignored"
    kernel = Kernel()
    kernel.apply(inputs_of(frames_of(session)))
    booked = int(kernel.state.account[0].fills)
    return [
        Drill("replay --verify", 0, report.ok, replayed),
        Drill("every fill booked once", 0, booked == len(applied), again),
        Drill("no order sent twice", 0, len(set(numbers.tolist())) == len(numbers), f"{len(numbers)} orders"),
        Drill("ledger = sum of fills", 0, same, f"{len(rows)} rows, net {net_rows}"),
        Drill("no order overfilled", 0, not over, f"{over or 'none'}"),
        Drill("audit chain", 0, chain.ok, chain.fault or f"{chain.rows} rows, head {chain.head[:16]}…"),
        Drill("flat at the venue", 0, held() == {}, f"{held() or 'nothing held, nothing working'}"),
    ]
