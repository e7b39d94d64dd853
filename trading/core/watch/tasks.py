"""The kernel's schedule: a task runs on the first TIMER at or past a multiple of its period (MOEX-RISK-11).

Multiples count from the epoch; ticks that were missed collapse into one.  The check of positions runs on every TIMER,
more often than its ten seconds; rotation, drift and checkpoints belong to other loops.  Called by the kernel's timer,
never without a period.
"""

import numpy as np
from numba import njit

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from trading.core.hedge.task import adjust
from trading.core.records import Params, State
from trading.core.watch.routes import routed


@njit(cache=True)
def due_ns(last_ns: int, now_ns: int, period_ns: int) -> int:
    """The multiple of the period that this TIMER answers for; NO_TIME when none lies in (`last_ns`, `now_ns`].

    `last_ns`: the TIMER before, NO_TIME for none: then a multiple counts at its very time alone.
    """
    if period_ns <= 0:
        return NO_TIME
    at = now_ns // period_ns * period_ns
    before = now_ns - 1 if last_ns == NO_TIME else last_ns
    return at if at > before else NO_TIME


@inner
def run_tasks(state: State, params: Params, out: np.ndarray, n: int) -> int:
    """What is due at this TIMER.  Returns the output count."""
    account = state.account[0]
    limits = params.limits[0]
    at_ns = due_ns(account.timer_ns, account.now_ns, limits.hedge_every_ns if routed(limits) else 0)
    account.timer_ns = account.now_ns
    return n if at_ns == NO_TIME else adjust(state, params, at_ns, out, n)
