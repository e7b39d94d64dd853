"""A rehearsal of the kill on this desk, while its paper sessions run (K-07): a real kill, by both roads and the shell.

It latches, closes everything that the paper sessions hold and proves it, as the button would; nothing is broken on
purpose.  The latch stays until its minute has passed, and goes only when the person who called the drill asked for it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
from django.conf import settings

from desk.jitcache import BASE
from desk.ops.drills.kill import FLAT_MS, FLAT_UNIT, _held, _Watch, _words
from desk.ops.drills.record import Row, row
from trading import selectors
from trading.control import CommandRefused, kill, unlock
from trading.run import guard
from trading.run.latch import latch_age_s, read_latch
from trading.run.panic.page import make_token

HELD_WAIT_S = 20.0
REASON = "rehearsal of the kill"
ROWS, ROWS_RELEASED = 4, 5


class Refused(RuntimeError):
    """A rehearsal that may not be held now; the text says why."""


def check() -> None:
    """Raises Refused: a latch stands, a session is not a paper one, or none runs."""
    if read_latch(settings.VAR) is not None:
        raise Refused("the kill latch stands already: somebody killed; look first, then unlock")
    running = selectors.running_sessions()
    if not running:
        raise Refused("no session runs: start a paper session, then rehearse")
    if other := [session["key"] for session in running if session["mode"] != "paper"]:
        raise Refused(f"only paper sessions are rehearsed on; also running: {', '.join(other)}")


def rehearse(by: str, release: bool) -> Iterator[Row]:
    """The rows, as they come.  Raises Refused before anything is done."""
    check()
    deadline = time.monotonic() + HELD_WAIT_S
    while not any(left.get("positions") for left in _held().values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    held = _held()
    watch = _Watch()
    watch.start()
    report = kill(f"drill:{by}", REASON)
    watch.join()
    good = report.flat and watch.flat_ms is not None and watch.flat_ms <= FLAT_MS
    detail = f"held {_words(held) or 'nothing'}; " + ", ".join(f"{s.name} {s.ms:.0f} ms" for s in report.steps)
    yield row("the button's road", watch.flat_ms, FLAT_UNIT, goal=FLAT_MS, ok=good, detail=detail, road=report.road)
    yield _by_the_guard(by)
    yield _by_the_shell()
    latch = read_latch(settings.VAR)
    whole = guard.evidence_is_whole(settings.VAR)
    good = latch is not None and not _held() and whole
    words = f"latch: {latch and latch['reason']}; evidence {'whole' if whole else 'BROKEN'}; still flat: {not _held()}"
    yield row("latched, flat, and written down", None, "", ok=good, detail=words)
    if release:
        yield _release(by)


def _by_the_guard(by: str) -> Row:
    """The second road: the guard's own address with a reduce-only token.  Everything is flat: it must say so."""
    began = time.monotonic()
    form = {"token": make_token(settings.VAR, by), "reason": REASON}
    try:
        reply = httpx.post(f"http://127.0.0.1:{settings.GUARD_PORT}/kill", data=form, timeout=15)
        reply.raise_for_status()
        flat, said = bool(reply.json()["flat"]), "the guard's address answered"
    except httpx.HTTPError as error:
        flat, said = False, f"the guard's address did not answer: {error}"
    ms = round((time.monotonic() - began) * 1000, 1)
    return row("the guard's road", ms, "ms", goal=FLAT_MS, ok=flat and ms <= FLAT_MS, detail=said, road="guard")


def _by_the_shell() -> Row:
    began = time.monotonic()
    words = [sys.executable, str(BASE / "manage.py"), "kill", "--reason", REASON, "--json"]
    done = subprocess.run(words, cwd=BASE, capture_output=True, text=True, timeout=60, check=False)
    ms = round((time.monotonic() - began) * 1000, 1)
    flat = done.returncode == 0 and bool(json.loads(done.stdout)["flat"])
    said = "manage.py kill, its start included" if flat else done.stderr[-300:]
    return row("the shell", ms, "ms", ok=flat, detail=said, road="guard")


def _release(by: str) -> Row:
    """After its minute, by the person who asked for it (K-05)."""
    while (latch := read_latch(settings.VAR)) is not None and latch_age_s(latch) < guard.UNLOCK_AFTER_S + 0.5:
        time.sleep(0.2)
    try:
        unlock(by, f"{REASON} by {by} is over")
    except CommandRefused as refused:
        return row("released", None, "", ok=False, detail=f"the latch stays: {refused}")
    return row("released", None, "", ok=True, detail=f"by {by}, after its minute")
