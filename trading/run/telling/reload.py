"""What the kernel hears of the network that a session loads: that it cannot run, and when MODEL_RELOAD holds may end.

A MODEL_READY says why the network was loaded (MOEX-ML-10).  A loop that starts, in a session that runs, ends
MODEL_BLOCKED with a scorer that opens, and nothing else.  A person who starts a new session with a network ends by it
what the account's past left: ML_FALLBACK once that network has given an output, drift where none of those sessions had
it; one MODEL_READY ends all of them, so it is told once and only when each has its own reason to end.  Where a rulebook
has no hold of drift, a network that is not healthy any more is blocked, and ends as drift does (T-06).  What was told
stands in a mark beside the inbox, written with it; whoever takes the loop over goes on from there (MES-ML-15).  Used by
the inference loop.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from marketdata.core.records import NO_TIME
from risk.core.holds import BIT, MODEL_RELOAD_MASK
from risk.core.records import MES
from trading.core.records import CAUSE_OPERATOR, CAUSE_START, CONDITION, MODEL, MODEL_BLOCKED, MODEL_READY
from trading.run.journal.recovery import account_event
from trading.run.spec import SessionSpec
from trading.run.streams import StreamAway, StreamFull

MODEL_MARK = "inference:blocked"  # beside the inbox; absent: nothing was told in this session
FINE, BLOCKED, FELL, BOTH = b"0", b"1", b"2", b"3"  # FELL: ML_FALLBACK was told, BOTH: MODEL_BLOCKED as well
UNWELL = b"4"  # MODEL_BLOCKED by its health: no start of the loop ends it
BY_HEALTH = 1  # EVENT.ref of such a MODEL_BLOCKED; its value, and so the hold's, is above zero
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


def drift_holds(spec: SessionSpec) -> set[str]:
    """Holds of the past that say that its network did not fit the market any more."""
    if spec.past is None:
        return set()
    unwell = {held.code for held in spec.past.holds if held.code == "MODEL_BLOCKED" and held.value > 0}
    return (reload_holds(spec) - {"MODEL_BLOCKED", "ML_FALLBACK"}) | unwell


class Told(NamedTuple):
    """What a session's journal says of its network: anything at all, and how it stands."""

    anything: bool = False
    blocked: bool = False
    fell: bool = False
    unwell: bool = False

    def after(self, events: np.ndarray) -> "Told":
        """The same some EVENTs later."""
        kinds, codes = events["kind"], events["code"]
        models = np.flatnonzero(kinds == MODEL)
        fallen = (kinds == CONDITION) & (codes == BIT["ML_FALLBACK"]) & (events["value"] == 1)
        last = int(models[-1]) if len(models) else -1
        ends = np.flatnonzero((kinds == MODEL) & (codes == MODEL_READY) & (events["ref"] == CAUSE_OPERATOR))
        end = int(ends[-1]) if len(ends) else -1
        blocked = self.blocked if last < 0 else int(codes[last]) == MODEL_BLOCKED
        unwell = self.unwell if last < 0 else blocked and int(events["ref"][last]) == BY_HEALTH
        fell = bool(fallen[end + 1 :].any()) or (self.fell and end < 0)
        return Told(self.anything or last >= 0 or bool(fallen.any()), blocked, fell, unwell)


class ModelWatch:
    """One holding of the inference loop.

    `mark`: what the holder before left of MODEL_MARK.  `told`: what this session's journal says, asked when there is no
    mark: a Redis that came back empty forgets it, and what was told must have its end.
    """

    def __init__(self, spec: SessionSpec, mark: bytes | None, told: Callable[[], Told], send: Sender) -> None:
        self._send = send
        past = reload_holds(spec)
        self._drifted = bool(drift_holds(spec)) and not is_another(spec)
        journal = told() if mark is None else Told()
        self._inherits = past if mark is None and not journal.anything else set()
        self._is_unwell = mark == UNWELL or journal.unwell
        self._blocked = mark in (BLOCKED, BOTH, UNWELL) or journal.blocked
        self._fell = mark in (FELL, BOTH) or journal.fell  # in this session, in which no network is loaded anew
        self._waits = False  # for an output of the network that was opened

    def cannot_open(self) -> None:
        """The scorer cannot run: told once, however often it is tried."""
        if not self._blocked:
            event = account_event(MODEL, MODEL_BLOCKED, NO_TIME)
            self._send(event, (MODEL_MARK, BOTH if self._fell else BLOCKED))
            self._blocked = True

    def opened(self, name: str) -> None:
        """The scorer of this name is open and verified; a takeover where nothing waits tells nothing."""
        if self._drifted or self._is_unwell:
            return
        if self._inherits and not self._fell:
            self._waits = "ML_FALLBACK" in self._inherits and name == NETWORK
            if "ML_FALLBACK" not in self._inherits:
                self._ready(CAUSE_OPERATOR)
        elif self._blocked:
            self._ready(CAUSE_START)

    def unwell(self, worst: int) -> None:
        """The network does not fit the market any more, and the rulebook has no hold for that: told once.

        `worst`: how far it is off, millionths of a sigma.
        """
        if not self._is_unwell:
            event = account_event(MODEL, MODEL_BLOCKED, NO_TIME, value=max(1, worst))
            event["ref"] = BY_HEALTH
            self._send(event, (MODEL_MARK, UNWELL))
            self._blocked = self._is_unwell = True
            self._waits = False

    def answered(self) -> None:
        """The network's last output was one."""
        if self._waits:
            try:
                self._ready(CAUSE_OPERATOR)
            except (StreamAway, StreamFull):
                return  # it is told with a later one

    def tell(self, events: np.ndarray) -> None:
        """Send CONDITIONs; that a network fell is remembered, for its loop's next start ends nothing."""
        lost = (events["kind"] == CONDITION) & (events["code"] == BIT["ML_FALLBACK"]) & (events["value"] == 1)
        if not lost.any():
            self._send(events)
            return
        self._send(events, (MODEL_MARK, BOTH if self._blocked else FELL))
        self._fell, self._waits = True, False

    def _ready(self, cause: int) -> None:
        event = account_event(MODEL, MODEL_READY, NO_TIME)
        event["ref"] = cause
        self._send(event, (MODEL_MARK, FELL if self._fell else FINE))
        self._blocked = self._waits = False
        self._inherits = set()
