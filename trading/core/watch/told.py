"""What another loop sees and the kernel cannot: CONDITION events, and the holds that they raise (MOEX-RISK-05).

A stage that is too slow, books that stay away, a gate that is not passed, a weak ensemble, an unhealthy or restricted
instrument: such a hold stands while its condition does.  Networks that failed, a refused token, a lost state: that one
comes down by its own rule, whatever is told.  Every other code says nothing.  Called by `notices`; the producers are
the loops, of restrictions the configuration.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from risk.core.holds import BIT, HOLD_CAPACITY
from trading.core.effects import hold_on, raise_hold, set_condition
from trading.core.records import State

_LATENCY = BIT["LATENCY"]
FOLLOWED = sum(1 << BIT[code] for code in ("HEARTBEAT", "INTEGRITY", "ENSEMBLE_WEAK"))
RAISED = sum(1 << BIT[code] for code in ("ML_FALLBACK", "BROKER_AUTH", "STATE_LOST"))
OF_INSTRUMENTS = sum(1 << BIT[code] for code in ("UNHEALTHY", "RESTRICTED"))
# Stages of LATENCY by their number, EVENT.ref: bits of the hold's value (MOEX-MON-04).  Append, never renumber.
STAGES = ("book", "features", "ml", "risk", "broker")
STAGE_COUNT = len(STAGES)


def stages_of(value: int) -> str:
    """The stages that LATENCY's value names, for people."""
    return ", ".join(name for at, name in enumerate(STAGES) if value >> at & 1)


@inner
def on_condition(state: State, e: np.record, out: np.ndarray, n: int) -> int:
    """One CONDITION.  Returns the output count."""
    bit, on, seen = np.int64(e.code), e.value == 1, e.qty
    if not 0 <= bit < HOLD_CAPACITY:
        return n
    if bit == _LATENCY:
        return _latency(state, e.ref, on, out, n)
    if FOLLOWED >> bit & 1:
        return set_condition(state, out, n, bit, on, seen, 0)
    if RAISED >> bit & 1 and on:
        return raise_hold(state, out, n, bit, NO_TIME, seen, 0)
    if OF_INSTRUMENTS >> bit & 1 and 0 <= e.instrument < state.account[0].instruments:
        return hold_on(state, out, n, np.int64(e.instrument), bit, on, seen, 0)
    return n


@inner
def _latency(state: State, stage: int, on: bool, out: np.ndarray, n: int) -> int:
    """LATENCY stands while any stage is too slow; its value has a bit for each of them."""
    if not 0 <= stage < STAGE_COUNT:
        return n
    hold = state.holds[_LATENCY]
    slow = hold.value if state.account[0].holds >> _LATENCY & 1 else 0
    slow = slow | 1 << stage if on else slow & ~(1 << stage)
    n = set_condition(state, out, n, _LATENCY, slow != 0, slow, 0)
    if slow != 0:
        hold.value = slow
    return n
