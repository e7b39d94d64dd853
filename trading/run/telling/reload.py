"""What the kernel hears of the network that a session loads: that it cannot run, and when MODEL_RELOAD holds may end.

One MODEL_READY ends all of them, so it is told once and only when each has its own reason to end: MODEL_BLOCKED with a
scorer that opens, ML_FALLBACK with a network that was opened anew and has given an output, what else the account's past
left (drift) with a network that none of those sessions had.  What was told stands in a mark beside the inbox, written
with it; whoever takes the loop over goes on from there (MES-ML-15, MOEX-ML-10).  Used by the inference loop.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from marketdata.core.records import NO_TIME
from risk.core.holds import BIT, MODEL_RELOAD_MASK
from risk.core.records import MES
from trading.core.records import CONDITION, MODEL, MODEL_BLOCKED, MODEL_READY
from trading.run.journal.recovery import account_event
from trading.run.spec import SessionSpec
from trading.run.streams import StreamAway, StreamFull

MODEL_MARK = "inference:blocked"  # beside the inbox; absent: nothing was told in this session
FINE, BLOCKED, FELL, BOTH = b"0", b"1", b"2", b"3"  # FELL: ML_FALLBACK was told, BOTH: MODEL_BLOCKED as well
NETWORK = "network"


class Sender(Protocol):
    """Appends EVENTs to the inbox, and a mark with them.  Raises StreamAway, StreamFull."""

    def __call__(self, events: np.ndarray, mark: tuple[str, bytes] | None = None) -> object: ...


def reload_holds(spec: SessionSpec) -> set[str]:
    """Holds of the session's past that end with a loaded network."""
    mask = int(MODEL_RELOAD_MASK[spec.limits.get("rules", MES)])
    return set() if spec.past is None else {held.code for held in spec.past.holds if mask >> BIT[held.code] & 1}


def is_another(spec: SessionSpec) -> bool:
    """Whether the session's network is none of those under which its past's holds stood; unknown ones: no."""
    networks = [] if spec.past is None else spec.past.networks
    return spec.scorer.name == NETWORK and len(networks) > 0 and spec.scorer.artifact not in networks


class ModelWatch:
    """One holding of the inference loop.

    `mark`: what the holder before left of MODEL_MARK.  `told`: whether this session's journal has a MODEL, asked when
    there is no mark though the past left a hold: a Redis that came back empty.
    """

    def __init__(self, spec: SessionSpec, mark: bytes | None, told: Callable[[], bool], send: Sender) -> None:
        self._send = send
        past = reload_holds(spec)
        self._drifted = bool(past - {"MODEL_BLOCKED", "ML_FALLBACK"}) and not is_another(spec)
        self._inherits = past if mark is None and past and not told() else set()
        self._blocked = mark in (BLOCKED, BOTH)
        self._fell = mark in (FELL, BOTH) or "ML_FALLBACK" in self._inherits
        self._waits = False  # for an output of the network that was opened

    def cannot_open(self) -> None:
        """The scorer cannot run: told once, however often it is tried."""
        if not self._blocked:
            event = account_event(MODEL, MODEL_BLOCKED, NO_TIME)
            self._send(event, (MODEL_MARK, BOTH if self._fell else BLOCKED))
            self._blocked = True

    def opened(self, name: str) -> None:
        """The scorer of this name is open and verified; a takeover where nothing waits tells nothing."""
        if self._drifted:
            return
        if self._fell:
            self._waits = name == NETWORK
        elif self._blocked or self._inherits:
            self._ready()

    def answered(self) -> None:
        """The network's last output was one."""
        if self._waits:
            try:
                self._ready()
            except (StreamAway, StreamFull):
                return  # it is told with a later one

    def tell(self, events: np.ndarray) -> None:
        """Send CONDITIONs; a network that fell is remembered by whoever opens the next one."""
        lost = (events["kind"] == CONDITION) & (events["code"] == BIT["ML_FALLBACK"]) & (events["value"] == 1)
        if not lost.any():
            self._send(events)
            return
        self._send(events, (MODEL_MARK, BOTH if self._blocked else FELL))
        self._fell, self._waits = True, False

    def _ready(self) -> None:
        self._send(account_event(MODEL, MODEL_READY, NO_TIME), (MODEL_MARK, FINE))
        self._blocked = self._fell = self._waits = False
        self._inherits = set()
