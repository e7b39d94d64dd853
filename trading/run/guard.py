"""The second road to flat: latch, block, cancel, flatten, verify, at the venue itself (K-02), and the way back (K-05).

It needs files under `var/guard` and the venue's socket, and no Django, Redis, database or web (K-04).  The guard's
process (`trading.run.panic`) runs the sequence; `guard_kill` asks it, and runs the sequence itself when it is dead.
"""

import fcntl
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from trading.brokers.paper_link import VenueLink
from trading.brokers.port import OutcomeUnknown, RateLimited, Rejected, Unreachable
from trading.brokers.wire import UNKNOWN_ACCOUNT, Reply
from trading.run.clock import write_atomic
from trading.run.latch import clear_latch, guard_folder, latch_age_s, read_latch, write_latch

SETTINGS_FILE = "settings.json"
SOCKET_FILE = "guard.sock"
EVIDENCE_FILE = "kill.log"
FLAT_WITHIN_S = 5.0  # then the report says what is left, and the guard goes on trying
RETRY_S = 0.1
CALL_S = 1.0
UNLOCK_AFTER_S = 60.0
REASON_MIN = 10  # characters


class Target(msgspec.Struct, frozen=True):
    """One account that the guard can flatten."""

    session: int
    key: str
    account: str
    venue_socket: str


class UnlockRefused(Exception):
    """The latch stays; the message says which condition of K-05 is not met."""


def read_settings(var: Path) -> list[Target]:
    """The guard's own copy of what may be trading, read at every action.  Raises DecodeError on a broken file."""
    path = var / "guard" / SETTINGS_FILE
    return msgspec.json.decode(path.read_bytes(), type=list[Target]) if path.exists() else []


def write_settings(var: Path, targets: list[Target]) -> None:
    """Store the targets, whole or not at all."""
    path = guard_folder(var) / SETTINGS_FILE
    write_atomic(path, msgspec.json.format(msgspec.json.encode(targets)))
    path.chmod(0o600)


def watch(var: Path, target: Target, watched: bool) -> None:
    """Put one account on the guard's list, or take it off; one writer at a time, in whatever process."""
    with open(guard_folder(var) / "settings.lock", "a") as lock:  # closing it lets go
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = [other for other in read_settings(var) if other.session != target.session]
        write_settings(var, [*others, target] if watched else others)


class Road:
    """The guard's own sessions with every target's venue, and what each last said."""

    def __init__(self, targets: list[Target]) -> None:
        self.targets = targets
        self.links: dict[str, VenueLink] = {}
        self.truth: dict[str, Reply] = {}
        self.faults: dict[str, str] = {}

    def all(self, verb: str, **fields: object) -> dict[str, Reply]:
        """One call to every account, sent to all before the first reply is awaited."""
        sent, replies = {}, {}
        for target in self.targets:
            if (link := self._link(target)) is not None:
                try:
                    sent[target.key] = link, link.send(verb, **fields)
                except (Unreachable, OutcomeUnknown) as error:
                    self._fault(target.key, str(error))
        for key, (link, number) in sent.items():
            try:
                replies[key] = self.truth[key] = link.wait(number, CALL_S)
                self.faults.pop(key, None)
            except (OutcomeUnknown, Rejected, RateLimited) as error:
                self._fault(key, str(error))
        return replies

    def _link(self, target: Target) -> VenueLink | None:
        link = self.links.get(target.key)
        if link is not None and link.connected:
            return link
        link = VenueLink(Path(target.venue_socket), CALL_S)
        try:
            link.connect(target.account, "guard")
        except Rejected as error:
            if error.reason == UNKNOWN_ACCOUNT:  # never opened: nothing can be held there
                self.truth[target.key] = Reply()
                self.faults.pop(target.key, None)
            else:
                self._fault(target.key, str(error))
            return None
        except (Unreachable, OutcomeUnknown) as error:
            self._fault(target.key, str(error))
            return None
        self.links[target.key] = link
        return link

    def _fault(self, key: str, words: str) -> None:
        self.faults[key] = words
        self.truth.pop(key, None)  # what it said before is no evidence any longer
        if (link := self.links.pop(key, None)) is not None:
            link.close()

    def residual(self) -> dict[str, dict[str, Any]]:
        """What is not proved flat: positions, orders working or on their way, or the reason why nobody knows."""
        left: dict[str, dict[str, Any]] = {}
        for target in self.targets:
            reply = self.truth.get(target.key)
            if reply is None:
                left[target.key] = {"unknown": self.faults.get(target.key, "no answer")}
                continue
            orders = len(reply.events) // EVENT_BYTES
            if reply.positions or orders > 0 or reply.pending > 0:
                left[target.key] = {"positions": reply.positions, "orders": orders, "pending": reply.pending}
        return left

    def close(self) -> None:
        """End the sessions."""
        for link in self.links.values():
            link.close()
        self.links.clear()


EVENT_BYTES = 200  # of one working order in a snapshot


def look(var: Path) -> dict[str, dict[str, Any]]:
    """What is not proved flat at this moment, by the venue's word alone; empty: everything is flat."""
    road = Road(read_settings(var))
    try:
        road.all("snapshot")
        return road.residual()
    finally:
        road.close()


def run_kill(var: Path, by: str, reason: str, flat_within_s: float = FLAT_WITHIN_S) -> dict[str, Any]:
    """The sequence of K-02 in this process.  Returns the report {flat, ms, steps, cancelled, closed, residual, …}."""
    began = time.monotonic_ns()
    steps: list[dict[str, Any]] = []

    def note(name: str, since: int, **detail: object) -> None:
        steps.append({"step": name, "ms": round((time.monotonic_ns() - since) / 1e6, 3), **detail})

    latch = write_latch(var, by, reason)
    note("latch", began, **{name: latch[name] for name in ("fault",) if name in latch})
    try:
        road = Road(read_settings(var))
    except (msgspec.DecodeError, OSError) as error:
        report = {"flat": False, "residual": {"settings": {"unknown": f"{SETTINGS_FILE}: {error}"}}, "steps": steps}
        return _evidence(var, {**latch, **report, "cancelled": 0, "closed": 0, "ms": steps[0]["ms"]})
    try:
        since = time.monotonic_ns()
        road.all("block", on=True)
        note("block", since, accounts=len(road.targets))
        since = time.monotonic_ns()
        cancelled = sum(reply.cancelled for reply in road.all("cancel_all").values())
        note("cancel", since, cancelled=cancelled)
        since = time.monotonic_ns()
        closed = sum(reply.closed for reply in road.all("flatten_all").values())
        note("flatten", since, closed=closed)
        since = time.monotonic_ns()
        road.all("snapshot")
        tries = 1
        while (left := road.residual()) and (time.monotonic_ns() - began) / 1e9 < flat_within_s:
            time.sleep(RETRY_S)
            road.all("block", on=True)
            replies = road.all("flatten_all").values()
            cancelled += sum(reply.cancelled for reply in replies)
            closed += sum(reply.closed for reply in replies)
            road.all("snapshot")
            tries += 1
        note("verify", since, tries=tries, flat=not left)
    finally:
        road.close()
    ms = round((time.monotonic_ns() - began) / 1e6, 3)
    result = {"flat": not left, "residual": left, "cancelled": cancelled, "closed": closed, "ms": ms, "steps": steps}
    return _evidence(var, {**latch, **result})


def _evidence(var: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Append the report to the evidence: one line each, chained by hash (K-06).  The disk may refuse."""
    try:
        _append_evidence(guard_folder(var) / EVIDENCE_FILE, report)
    except OSError as error:
        return {**report, "fault": f"no evidence on disk: {error}"}
    return report


def _append_evidence(path: Path, report: dict[str, Any]) -> None:
    last = path.read_bytes().splitlines()[-1:] if path.exists() else []
    line = msgspec.json.encode({"after": hashlib.sha256(b"".join(last)).hexdigest(), "report": report}) + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def evidence_is_whole(var: Path) -> bool:
    """Whether every line of the evidence names the hash of the one before."""
    path = var / "guard" / EVIDENCE_FILE
    before = b""
    for line in path.read_bytes().splitlines() if path.exists() else []:
        if msgspec.json.decode(line)["after"] != hashlib.sha256(before).hexdigest():
            return False
        before = line
    return True


class Guard:
    """What the guard's process keeps: one kill at a time, and a second look until everything is flat."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self._acting = threading.Lock()
        self.report: dict[str, Any] | None = None  # of the last sequence

    def kill(self, by: str, reason: str) -> dict[str, Any]:
        """Latch and flatten.  A kill during a kill waits for it and runs again: it costs nothing when all is flat."""
        with self._acting:
            self.report = run_kill(self.var, by, reason)
            return self.report

    def unfinished(self) -> bool:
        """True while a latch stands and this process has not proved flat under that very latch."""
        latch = read_latch(self.var)
        return latch is not None and not self._proved(latch)

    def _proved(self, latch: dict[str, object]) -> bool:
        report = self.report
        return report is not None and bool(report["flat"]) and report["at_ns"] == latch["at_ns"]

    def go_on(self) -> None:
        """Once more, for a latch that stands without proof: after a restart, or after a kill that left something."""
        with self._acting:
            latch = read_latch(self.var)
            if latch is not None and not self._proved(latch):
                self.report = self._retry(latch)

    def _retry(self, latch: dict[str, object]) -> dict[str, Any]:
        """Look first; act only when something is left.  The latch itself is not touched."""
        road = Road(read_settings(self.var))
        since = time.monotonic_ns()
        cancelled = closed = 0
        try:
            road.all("snapshot")
            if road.residual():
                road.all("block", on=True)
                replies = road.all("flatten_all").values()
                cancelled, closed = sum(r.cancelled for r in replies), sum(r.closed for r in replies)
                road.all("snapshot")
            left = road.residual()
        finally:
            road.close()
        ms = round((time.monotonic_ns() - since) / 1e6, 3)
        report = {"flat": not left, "residual": left, "cancelled": cancelled, "closed": closed, "ms": ms, "steps": []}
        if left and self.report is not None and self.report["at_ns"] == latch["at_ns"]:
            return {**latch, **report}  # nothing new to keep as evidence
        return _evidence(self.var, {**latch, **report, "steps": [{"step": "verify", "ms": ms, "flat": not left}]})

    def status(self) -> dict[str, Any]:
        """Latch, last report, and what is held now by the venue's word."""
        left = look(self.var)
        return {"latch": read_latch(self.var), "flat": not left, "residual": left, "report": self.report}


def ask_guard(var: Path, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """One question to the guard's process over its local socket.  Raises OSError when it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect(os.fspath(var / "guard" / SOCKET_FILE))
        sock.sendall(msgspec.json.encode(message) + b"\n")
        data = bytearray()
        while not data.endswith(b"\n"):
            part = sock.recv(1 << 16)
            if part == b"":
                raise ConnectionResetError("the guard ended the connection")
            data += part
    answer = msgspec.json.decode(bytes(data))
    if not isinstance(answer, dict):
        raise ConnectionResetError("the guard answered nonsense")
    return answer


def guard_kill(var: Path, by: str, reason: str, timeout_s: float = FLAT_WITHIN_S + 5.0) -> dict[str, Any]:
    """Kill by the second road: the guard's process, or this one when that does not answer.  Returns the report.

    `road` in the report says which of them acted; running both is harmless.
    """
    try:
        report = ask_guard(var, {"verb": "kill", "by": by, "reason": reason}, timeout_s)
        return {**report, "road": "guard"}
    except OSError as error:
        return {**run_kill(var, by, reason), "road": "own", "guard": f"no answer: {error}"}


def unlock(var: Path, by: str, reason: str, journal: Callable[[str, str], object]) -> None:
    """Release the latch (K-05).  `journal(by, reason)` records it in every session, before the latch goes.

    Raises UnlockRefused: no latch, reason too short, too early, or flat not proved.
    """
    latch = read_latch(var)
    if latch is None:
        raise UnlockRefused("there is no latch to release")
    if len(reason.strip()) < REASON_MIN:
        raise UnlockRefused(f"the reason needs at least {REASON_MIN} characters")
    age_s = latch_age_s(latch)
    if age_s < UNLOCK_AFTER_S:
        raise UnlockRefused(f"the latch stands for {age_s:.0f} s; the earliest release is after {UNLOCK_AFTER_S:.0f} s")
    left = look(var)
    if left:
        raise UnlockRefused(f"flat is not proved: {msgspec.json.encode(left).decode()}")
    journal(by, reason)
    road = Road(read_settings(var))
    try:
        road.all("block", on=False)
        if road.faults:
            raise UnlockRefused(f"the venue did not take the block away: {road.faults}")
    finally:
        road.close()
    clear_latch(var)
