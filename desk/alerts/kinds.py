"""What in a session's journal somebody must hear of, and how urgently (T-04).  Pure: EVENTs in, alerts out.

Holds, refusals by a control, overrides, and orders that the venue refused.  What the calendar brings every day is no
alert, and what repeats within a minute is one.  Called by `watching`.
"""

from typing import Any

import msgspec
import numpy as np

from marketdata.core.units import NANOS, PPM
from risk.core import codes as c
from risk.core.gate import code_name
from risk.core.holds import EFFECTS, FLATTEN, HALTED, LABELS, MANUAL_REVIEW, STOPPED_FOR_DAY, Hold, hold_of
from trading.core.records import (
    COMMAND,
    DECISION,
    DRIFT,
    DRIFT_CRITICAL,
    HOLD_CLEARED,
    HOLD_RAISED,
    OVERRIDE,
    REJECT,
    REJECTED_EXPIRED,
    START,
)

URGENT, WARNING, NOTE = "urgent", "warning", "note"
SEVERITIES = (URGENT, WARNING, NOTE)  # the first asks for an answer until one comes
QUIET_NS = 60 * NANOS  # session time: what repeats within it is one alert
# The calendar's own, every day at the same time, and the rotation's: half of the instruments are never active.
SCHEDULED = {"AFTER_HOURS", "SESSION", "SESSION_END", "EOD", "CLOSE_ONLY", "EOD_REDUCED", "NOT_ACTIVE"}
OVERRIDE_ASKED, OVERRIDE_AGREED, OVERRIDE_USED = "OVERRIDE:ASKED", "OVERRIDE:AGREED", "OVERRIDE:USED"  # P-27
ASKED_FOR = {"OPERATOR_PAUSE", "SESSION_STOPPED", "OPERATOR_LOCK"}  # a person did it, at a screen of this desk
# Refusals that say that something is wrong, and not that there was nothing to do.
TRIPS = (
    c.LIMITS_UNKNOWN, c.BAD_STOP, c.QTY_LIMIT, c.VALUE_LIMIT, c.COLLAR, c.POSITION_LIMIT, c.MARGIN, c.RISK_PER_TRADE,
    c.RISK_DAILY, c.DUPLICATE, c.MESSAGE_RATE, c.OPEN_ORDERS, c.LIMIT_EXPOSURE, c.LIMIT_INSTRUMENT, c.RATE,
    c.SHORT_NOT_ALLOWED,
)  # fmt: skip


class Alert(msgspec.Struct, frozen=True):
    """One thing that somebody must hear of.  `uid` is the same for the same thing, whoever finds it again."""

    uid: str
    at_ns: int  # wall clock, when it was found
    severity: str
    kind: str  # a hold's or a refusal's code, or the name of what is wrong with the desk
    text: str
    session: int = 0  # 0: the desk itself


def severity_of(hold: Hold) -> str:
    """How urgent it is that this hold went up; empty: no alert at all."""
    if hold.code in SCHEDULED:
        return ""
    if hold.code in ASKED_FOR:
        return NOTE
    urgent = hold.label in (HALTED, MANUAL_REVIEW, STOPPED_FOR_DAY) or hold.effect == FLATTEN
    return URGENT if urgent else WARNING


class SessionKinds:
    """The alerts of one session, as its journal tells them.

    `started`: whether it trades already; until then holds only say that it is not ready, and are notes.
    """

    def __init__(self, session: int, key: str, rules: int, symbols: list[str], started: bool) -> None:
        self.session, self.key, self.rules, self.symbols = session, key, rules, symbols
        self._started = started
        self._last: dict[tuple[str, int], int] = {}  # (kind, instrument) → session time of its last alert

    def note(self, events: np.ndarray, at_ns: int) -> list[Alert]:
        """Alerts of these EVENTs, in order.  `at_ns`: wall clock."""
        kinds, codes = events["kind"], events["code"]
        trips = np.isin(codes, TRIPS) | (codes >= c.FIELD_BASE)
        shown = (kinds == HOLD_RAISED) | (kinds == HOLD_CLEARED) | (kinds == REJECT) | (kinds == COMMAND)
        shown |= (kinds == DECISION) & (trips | (events["role"] > 0))
        shown |= (kinds == DRIFT) & (codes > 0)
        found = [self._one(events[i], at_ns) for i in np.flatnonzero(shown)]
        return [alert for alert in found if alert is not None]

    def _one(self, e: Any, at_ns: int) -> Alert | None:
        kind = int(e["kind"])
        if kind == COMMAND:
            self._started = self._started or int(e["code"]) == START
            if int(e["code"]) != OVERRIDE:
                return None
            words = f"two persons agreed to let {code_name(self.rules, int(e['value']))} pass once"
            return self._alert(e, at_ns, URGENT, OVERRIDE_AGREED, words)
        if kind in (HOLD_RAISED, HOLD_CLEARED):
            return self._hold(e, at_ns)
        if kind == DECISION and e["role"] > 0:
            passed, code = code_name(self.rules, int(e["role"])), code_name(self.rules, int(e["code"]))
            words = f"an override was used: {passed} passed, decided {code}"
            return self._alert(e, at_ns, URGENT, OVERRIDE_USED, words)
        if kind == DRIFT:
            return self._health(e, at_ns)
        if kind == DECISION:
            name = code_name(self.rules, int(e["code"]))
            words = f"an entry was refused: {name} ({int(e['value'])} against {int(e['volume'])})"
            return self._alert(e, at_ns, WARNING, name, words)
        late = int(e["code"]) == REJECTED_EXPIRED  # our own edge let it run out
        words = f"order {int(e['order_number'])} was refused {'by the desk: too late' if late else 'by the venue'}"
        return self._alert(e, at_ns, WARNING, f"REJECTED:{int(e['code'])}", words)

    def _hold(self, e: Any, at_ns: int) -> Alert | None:
        hold = hold_of(self.rules, int(e["code"]))
        severity = severity_of(hold)
        if severity == "":
            return None
        if e["kind"] == HOLD_CLEARED:
            return self._alert(e, at_ns, NOTE, f"{hold.code}:CLEARED", f"{hold.code} has ended")
        words = f"{hold.code}: {hold.trigger}; {LABELS[hold.label]}, {EFFECTS[hold.effect]}"
        return self._alert(e, at_ns, severity if self._started else NOTE, hold.code, words)

    def _health(self, e: Any, at_ns: int) -> Alert | None:
        """A network that does not look as it did when it was made (T-06, MOEX-MON-03)."""
        severity = URGENT if int(e["code"]) == DRIFT_CRITICAL else WARNING
        words = f"the network's health: {int(e['ref'])} of {int(e['qty'])} compared features are out of their band"
        words += f", the worst by {int(e['value']) / PPM:.1f} sigma" if e["qty"] > 0 else ": nothing can be compared"
        return self._alert(e, at_ns, severity, "MODEL_HEALTH", words)

    def _alert(self, e: Any, at_ns: int, severity: str, kind: str, words: str) -> Alert | None:
        instrument, now_ns = int(e["instrument"]), int(e["ts_ns"])
        last = self._last.get((kind, instrument))
        if severity != URGENT and last is not None and 0 <= now_ns - last < QUIET_NS:
            return None
        self._last[kind, instrument] = now_ns
        whose = f"{self.key} {self.symbols[instrument]}" if instrument >= 0 else self.key
        uid = f"{self.key}:{int(e['seq'])}"
        return Alert(uid, at_ns, severity, kind, f"{whose} {words}", self.session)
