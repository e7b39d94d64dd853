"""The kill, drilled: pressed by every road while one thing after another is dead, a position open each time (N2, K-07).

A case is good when the venue itself shows nothing held and nothing working within FLAT_MS of the press, the person was
told so, the latch stands, the thing was dead to the end, and the desk is still flat when everything lives again.  Runs
inside the environment of a private desk.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings

from desk.ops.bench import ring
from desk.ops.bench.faults import as_row, prove, wait_until
from desk.ops.drills.dead import FAULTS, Fault, whole_again
from desk.ops.drills.record import Row, row
from desk.ops.drills.roads import ROADS, Button, Form, Said, Shell
from trading.control import put, session_folder
from trading.core.records import RECEIPT, RECEIPT_DONE, RESET_HALT, SUBMIT
from trading.models import Session
from trading.run import guard
from trading.run.clock import boot_ns
from trading.run.journal.reader import JournalReader
from trading.run.latch import clear_latch, latch_age_s, read_latch
from trading.run.spec import load_spec
from trading.run.streams import StreamAway, StreamFull
from trading.services import StartRefused, start_session

FLAT_MS = 5000.0  # N2, UI-07
FLAT_UNIT = "ms to flat"
WATCH_S = 20.0
LOOK_S = 0.01
VOID_MAX = 5  # tries of a case that found nothing to close, or whose dead thing came back too early
QUIET_S = 3.0  # how long nothing may happen under the latch
RESET_S = 60.0
# Positions stay open until something closes them, and the next one comes at once.
CHANGED: dict[str, object] = {
    "hold_max": "5 min",
    "cooldown_entry": "0 s",
    "cooldown_exit": "0 s",
    "stop_ticks": 40,
    "target_ticks": 40,
    "loss_trade_max": "200 USD",
    "loss_day_max": "9000 USD",
    "drawdown_day_max": "9100 USD",
    "drawdown_max": "9300 USD",
    "loss_total_max": "9500 USD",
    "streak_soft": 0,  # every kill closes at a loss: a pause of two minutes would find nothing held
    "streak_hard": 0,
}


def open_session(seed: int = 21) -> Session:
    """A paper session that holds something nearly always."""
    return ring.start(seed=seed, changed=CHANGED)


def _held() -> dict[str, dict[str, Any]]:
    return guard.look(Path(settings.VAR))


def _words(held: dict[str, dict[str, Any]]) -> str:
    return ", ".join(
        f"{key}: {left.get('positions', left)}, {left.get('orders', 0)} orders" for key, left in held.items()
    )


class _Watch(threading.Thread):
    """Asks the venue, beside everything else, from the press on until it shows nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.flat_ms: float | None = None
        self._pressed = time.monotonic()

    def run(self) -> None:
        while time.monotonic() - self._pressed < WATCH_S:
            if not _held():
                self.flat_ms = round((time.monotonic() - self._pressed) * 1000, 1)
                return
            time.sleep(LOOK_S)


def case(session: Session, road: "Button | Form | Shell", fault: Fault, number: int, client: httpx.Client) -> Row:
    """One press, tried again when it was not the case that was meant.  Raises BenchFailed: the desk stays broken."""
    name = f"{road.name}, dead: {fault.name}"
    for _ in range(VOID_MAX):
        wait_until("something is held", lambda: ring.wait_for_position(session, 1.0), 120.0)
        road.prepare(client)
        with fault.dead(session) as still:
            held = _held()
            if not any(left.get("positions") for left in held.values()):
                continue
            reason = f"drill: {name}, {number}"
            watch = _Watch()
            watch.start()
            said = road.press(reason)
            watch.join()
            dead, latch = still(), read_latch(settings.VAR)
        whole_again(session)
        faults = _faults(said, watch.flat_ms, dead, fault, latch, reason)
        if left := _held():
            faults.append(f"not flat any more when everything was back: {_words(left)}")
        release(session)
        if not dead and len(faults) == 1:
            continue  # flat and told, but the thing was back too early: not the case that was meant
        return row(
            name,
            watch.flat_ms,
            FLAT_UNIT,
            goal=FLAT_MS,
            ok=not faults,
            detail="; ".join(faults) or f"held {_words(held)}; told by {said.by} after {said.ms:.0f} ms",
            road=said.road,
            told_ms=said.ms,
            number=number,
        )
    return row(name, None, FLAT_UNIT, goal=FLAT_MS, ok=False, detail=f"no case of it in {VOID_MAX} tries", road="")


def _faults(
    said: Said, flat_ms: float | None, dead: bool, fault: Fault, latch: dict[str, object] | None, reason: str
) -> list[str]:
    """Everything that is wrong with a case, in words."""
    found = []
    if flat_ms is None:
        found.append(f"the venue was not flat within {WATCH_S:.0f} s")
    elif flat_ms > FLAT_MS:
        found.append(f"flat after {flat_ms:.0f} ms")
    if not said.flat:
        found.append(f"the person was not told flat: {said.by}, road {said.road}")
    if not dead:
        found.append(f"{fault.name} was back before the end: not the case that was meant")
    if latch is None:
        found.append("no latch stands")
    elif not str(latch["reason"]).startswith(reason[:20]):
        found.append(f"the latch is another one: {latch['reason']}")
    return found


def matrix(roads: list[str], faults: list[str], times: int) -> Iterator[Row]:
    """Every road with every fault, `times` times, in rounds; then the proof of the whole session."""
    session = open_session()
    with contextlib.closing(ring.browser()) as client:
        for number in range(1, times + 1):
            for fault in faults:
                for road in roads:
                    yield case(session, ROADS[road](), FAULTS[fault], number, client)
    time.sleep(QUIET_S)  # the last answers come back by themselves
    ring.stop(session)
    for proof in prove(session):
        yield as_row(proof)


def release(session: Session) -> None:
    """Unlock without a person's minute of waiting: this desk is the drill's own.  Raises BenchFailed."""
    wait_until("the session takes its reset", lambda: _reset(session), RESET_S)
    road = guard.Road(guard.read_settings(settings.VAR))
    road.all("block", on=False)
    road.close()
    clear_latch(settings.VAR)
    put(load_spec(session_folder(session.id)), "resume", boot_ns())  # after a kill nothing trades by itself (K-05)


def _reset(session: Session) -> bool:
    """Ask once for RESET_HALT and look for its receipt in the journal."""
    reader = JournalReader(session_folder(session.id))
    mark, ref = reader.last_seq(), boot_ns()
    try:
        put(load_spec(session_folder(session.id)), "reset_halt", ref)
    except (StreamAway, StreamFull):
        return False
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        events = reader.read(mark, 4096)["event"]
        for event in events[(events["kind"] == RECEIPT) & (events["ref"] == ref)]:
            return bool(event["code"] == RECEIPT_DONE and event["value"] == RESET_HALT)
        mark = int(events["seq"][-1]) if len(events) else mark
        time.sleep(0.05)
    return False


# the latch across a stop and start of everything


def latch_down() -> Iterator[Row]:
    """Kill by the button and leave the latch where it is."""
    session = open_session(seed=22)
    with contextlib.closing(ring.browser()) as client:
        wait_until("something is held", lambda: ring.wait_for_position(session, 1.0), 120.0)
        road = Button()
        road.prepare(client)
        watch = _Watch()
        watch.start()
        said = road.press("drill: the latch and a reboot")
        watch.join()
    latch = read_latch(settings.VAR)
    good = said.flat and watch.flat_ms is not None and latch is not None
    yield row(
        "killed before the restarts",
        watch.flat_ms,
        FLAT_UNIT,
        goal=FLAT_MS,
        ok=good,
        detail=f"latched by {latch and latch['by']}; told by {said.by} after {said.ms:.0f} ms",
        road=said.road,
        session=session.id,
    )


def latch_stands(after: str, session_id: int) -> Iterator[Row]:
    """After a restart: the latch stands, everything is flat, the loops run and send nothing, and no session starts."""
    began = time.monotonic()
    session = Session.objects.get(id=session_id)
    latch = read_latch(settings.VAR)
    whole_again(session)
    reader = JournalReader(session_folder(session.id))
    mark = reader.last_seq()
    time.sleep(QUIET_S)  # nothing may happen in it: there is no event to wait for
    sent = reader.read(mark, 100_000)["event"]
    faults = []
    if latch is None:
        faults.append("the latch is gone")
    if held := _held():
        faults.append(f"not flat: {_words(held)}")
    if len(sent) == 0:
        faults.append("the session does not run again: nothing was journaled")
    if (count := int((sent["kind"] == SUBMIT).sum())) > 0:
        faults.append(f"{count} orders were sent under the latch")
    try:
        start_session(session.id, ring.BY)
        faults.append("a session was started under the latch")
    except StartRefused as refused:
        if refused.code != "LATCHED":
            faults.append(f"a start was refused for another reason: {refused}")
    detail = (
        "; ".join(faults) or f"latch of {latch and latch['by']} stands; {len(sent)} frames journaled, no order sent"
    )
    yield row(f"the latch after {after}", round((time.monotonic() - began) * 1000), "ms", ok=not faults, detail=detail)


def latch_released(session_id: int) -> Iterator[Row]:
    """K-05: refused before its minute, with too short a reason, and taken back by a person's command afterwards."""
    from trading.control import CommandRefused, unlock

    latch = read_latch(settings.VAR)
    faults = [] if latch is not None else ["there is no latch"]
    for reason, early in (("short", False), ("the drill is over, everything was looked at", True)):
        if latch is None or (early and latch_age_s(latch) > guard.UNLOCK_AFTER_S - 1):
            continue
        try:
            unlock(ring.BY, reason)
            faults.append(f"released with the reason {reason!r}")
        except CommandRefused:
            continue
    while latch is not None and latch_age_s(latch) < guard.UNLOCK_AFTER_S + 0.5:
        time.sleep(0.2)
    began = time.monotonic()
    try:
        unlock(ring.BY, "the drill is over, everything was looked at")
    except CommandRefused as refused:
        faults.append(f"not released: {refused}")
    if read_latch(settings.VAR) is not None:
        faults.append("the latch still stands")
    ms = round((time.monotonic() - began) * 1000)
    yield row("released by a person, K-05", ms, "ms", ok=not faults, detail="; ".join(faults) or "after its minute")
    with contextlib.suppress(ring.BenchFailed):
        ring.stop(Session.objects.get(id=session_id))
