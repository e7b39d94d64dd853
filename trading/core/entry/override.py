"""An override: two persons let one refusing rule of the gate pass, once, on one instrument, within a minute (P-27).

Who the two were, and why, the services know and the audit log keeps; here it is one journaled command, whose number
stands in the decision that used it.  Used up, out of time, taken back by any command that stops or starts entries, by
other limits or by the roll: in each case it is gone, and nothing of it is handed to a later session.
"""

import numpy as np

from marketdata.core.compiled import inner
from risk.core.codes import APPROVED
from risk.core.gate import OVERRIDE_NS_MAX, may_override
from trading.core import states as why
from trading.core.records import State


@inner
def grant_override(state: State, e: np.record) -> int:
    """Open it.  Returns 0, or why it is refused; `e`: one EVENT, the command OVERRIDE."""
    now_ns = state.account[0].now_ns
    if e.ref == 0:
        return why.NOBODY
    if not 0 <= e.instrument < state.account[0].instruments:
        return why.NO_INSTRUMENT
    if not may_override(e.value):
        return why.NOT_OVERRIDABLE
    if e.until_ns <= now_ns:
        return why.OVER
    if e.until_ns - now_ns > OVERRIDE_NS_MAX:
        return why.TOO_LONG
    p = state.positions[e.instrument]
    if open_override(p, now_ns) != APPROVED:
        return why.OVERRIDDEN
    p.override = e.value
    p.override_until_ns = e.until_ns
    p.override_ref = e.ref
    return 0


@inner
def open_override(p: np.record, now_ns: int) -> int:
    """The reason that may pass now, 0 = none.  `p`: one POSITION record."""
    return p.override if now_ns < p.override_until_ns else APPROVED


@inner
def end_override(p: np.record) -> None:
    """It was used, or is taken back."""
    p.override = APPROVED
    p.override_until_ns = 0
    p.override_ref = 0


@inner
def forget_overrides(state: State) -> None:
    """Take back what is open."""
    for i in range(state.account[0].instruments):
        end_override(state.positions[i])
