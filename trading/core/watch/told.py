"""What another loop sees and the kernel cannot: CONDITION events, and the holds that they raise (MOEX-RISK-05).

A stage that is too slow, books that stay away, a gate that is not passed, a weak ensemble, a clock that is off, an
unhealthy, inactive or restricted instrument: such a hold stands while its condition does.  To lift a restriction
loosens: it waits until all is flat, as a looser limit does.  Networks that failed, a refused token, a lost state: that
one comes down by its own rule, whatever is told.  Every other code says nothing.  Called by `notices`; the producers
are the loops, of restrictions the configuration.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from risk.core.holds import BIT, HOLD_CAPACITY
from trading.core.effects import hold_on, raise_hold, set_condition
from trading.core.records import State

_LATENCY = BIT["LATENCY"]
FOLLOWED = sum(1 << BIT[code] for code in ("HEARTBEAT", "INTEGRITY", "ENSEMBLE_WEAK", "CLOCK_OFFSET"))
RAISED = sum(1 << BIT[code] for code in ("ML_FALLBACK", "BROKER_AUTH", "STATE_LOST"))
OF_INSTRUMENTS = sum(1 << BIT[code] for code in ("UNHEALTHY", "NOT_ACTIVE", "RESTRICTED"))
_RESTRICTED = BIT["RESTRICTED"]
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
        if bit == _RESTRICTED:
            return _restrict(state, np.int64(e.instrument), on, seen, out, n)
        return hold_on(state, out, n, np.int64(e.instrument), bit, on, seen, 0)
    return n


@inner
def _restrict(state: State, instrument: int, on: bool, seen: int, out: np.ndarray, n: int) -> int:
    """P-25: a restriction counts at once; its end is noted, and `lift_restrictions` does it."""
    a = state.account[0]
    if on:
        a.lifting &= ~(1 << instrument)
        return hold_on(state, out, n, instrument, _RESTRICTED, True, seen, 0)
    if state.positions[instrument].holds >> _RESTRICTED & 1:
        a.lifting |= 1 << instrument
    return n


@inner
def lift_restrictions(state: State, out: np.ndarray, n: int) -> int:
    """Those whose end was told, once everything is flat.  Returns the output count."""
    a = state.account[0]
    for i in range(a.instruments):
        if a.lifting >> i & 1:
            n = hold_on(state, out, n, i, _RESTRICTED, False, 0, 0)
    a.lifting = 0
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
