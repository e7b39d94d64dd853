"""What one loop sees and the kernel cannot, kept as conditions and told as CONDITION events (MOEX-RISK-05, P-25).

Each change is told at once, and each condition now and then again: a loop that took over, or a Redis that lost its
entries, leaves no hold standing for ever and none forgotten.  Whether a hold goes up or comes down is the kernel's
(`trading.core.watch.told`); nothing here is an error, and what cannot be sent waits.  Used by the loops' bodies.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from marketdata.core.records import ACCOUNT_SCOPE, NO_TIME, new_events
from risk.core.holds import BIT, HOLDS
from trading.core.records import CONDITION
from trading.run.clock import boot_ns
from trading.run.streams import StreamAway, StreamFull

AGAIN_UP_NS = 5_000_000_000  # what stands is told again so often (boot clock)
AGAIN_DOWN_NS = 60_000_000_000  # and what does not


class _Key(NamedTuple):
    bit: int
    instrument: int
    stage: int


class _Seen(NamedTuple):
    on: bool
    value: int


class Conditions:
    """The conditions of one loop under one rulebook; a hold that the rulebook lacks is never told."""

    def __init__(self, rules: int) -> None:
        self._known = {hold.code for hold in HOLDS[rules]}
        self._now: dict[_Key, _Seen] = {}
        self._told: dict[_Key, tuple[bool, int]] = {}  # what was told last, and when (boot clock)

    def knows(self, code: str) -> bool:
        """Whether the rulebook has this hold."""
        return code in self._known

    def set(self, code: str, on: bool, seen: int = 0, *, instrument: int = ACCOUNT_SCOPE, stage: int = 0) -> None:
        """What is so now.  `seen`: what was measured; `stage`: of LATENCY alone."""
        if code in self._known:
            self._now[_Key(BIT[code], instrument, stage)] = _Seen(on, seen)

    def again(self, code: str) -> None:
        """Its next telling is due at once, whatever was told: what it says has begun anew."""
        for key in [key for key in self._told if key.bit == BIT[code]]:
            del self._told[key]

    def stands(self, code: str, instrument: int = ACCOUNT_SCOPE) -> bool:
        """Whether it is so now."""
        seen = self._now.get(_Key(BIT[code], instrument, 0))
        return seen is not None and seen.on

    def due(self, now_ns: int, boot: int) -> np.ndarray:
        """EVENTs (n,) of what changed and of what is to be told again, stamped with session time."""
        keys = [key for key, seen in self._now.items() if self._is_due(key, seen, boot)]
        events = new_events(len(keys))
        events["kind"], events["ts_ns"], events["ts_venue_ns"] = CONDITION, now_ns, now_ns
        for row, key in zip(events, keys, strict=True):
            seen = self._now[key]
            row["code"], row["instrument"], row["ref"] = key.bit, key.instrument, key.stage
            row["value"], row["qty"] = int(seen.on), seen.value
        return events

    def note(self, events: np.ndarray, boot: int) -> None:
        """These EVENTs of `due` were sent."""
        for row in events:
            key = _Key(int(row["code"]), int(row["instrument"]), int(row["ref"]))
            self._told[key] = (bool(row["value"] == 1), boot)

    def tell(self, now_ns: int, send: Callable[[np.ndarray], object]) -> int:
        """Send what is due; returns how many.  `send` raises StreamAway or StreamFull while it cannot: they wait."""
        if now_ns == NO_TIME:
            return 0
        boot = boot_ns()
        events = self.due(now_ns, boot)
        if len(events) == 0:
            return 0
        try:
            send(events)
        except (StreamAway, StreamFull):
            return 0
        self.note(events, boot)
        return len(events)

    def _is_due(self, key: _Key, seen: _Seen, boot: int) -> bool:
        told = self._told.get(key)
        if told is None or told[0] != seen.on:
            return True
        return boot - told[1] >= (AGAIN_UP_NS if seen.on else AGAIN_DOWN_NS)
