"""The win rate at which a configuration's bracket earns nothing, before and after costs (MES-COST-05).

Of the bracket as it is configured: a fixed stop and a target, one contract.  Where slippage is conditional the normal
tick of it is assumed, and said so.  Called by `outputs` and the reports.
"""

from typing import Any

import numpy as np

from marketdata.core.units import PPM
from risk.core.costs import break_even_ppm, outcome_micros
from risk.core.records import LIMITS
from risk.core.stops import target_ticks
from risk.schema import CHOICES
from trading.core.venue.state import CONDITIONAL
from trading.run.backtest.plan import Plan

FROM_SIGNAL = CHOICES["bracket_anchor"].index("signal")
FIXED = CHOICES["stop_method"].index("fixed")


def break_even(plan: Plan) -> dict[str, Any]:
    """`break_even` of summary.json: stop and target in ticks, shares before and after costs; null with `why` where the
    bracket has no two ends, or a fee that is no amount; `assumes`: where they rest on an assumption."""
    limits = np.zeros(1, LIMITS)
    for name in ("stop_ticks", "target_ticks", "target_ratio_ppm"):
        limits[name] = plan.limits[name]
    stop = plan.limits["stop_ticks"]
    target = int(target_ticks(limits[0], stop))
    values: dict[str, Any] = {"stop_ticks": stop, "target_ticks": target, "before": None, "after": None, "why": ""}
    if plan.slip_mode == CONDITIONAL:
        values["assumes"] = (
            f"slippage of {plan.usual_slip_ticks} tick a market or stop fill; conditional, it may be more"
        )
    if plan.limits["stop_method"] != FIXED:
        return values | {"why": "The stop is no fixed distance"}
    if target == 0:
        return values | {"why": "There is no target"}
    if plan.instrument.fee_ppm != 0:
        return values | {"why": "The commission is a share of the value"}
    tick, anchored = plan.instrument.tick_value_micros, plan.limits["bracket_anchor"] == FROM_SIGNAL
    free = outcome_micros(stop, target, tick, 0, 0, False)
    borne = outcome_micros(stop, target, tick, plan.instrument.fee_micros, plan.usual_slip_ticks, anchored)
    return values | {"before": break_even_ppm(*free) / PPM, "after": break_even_ppm(*borne) / PPM}


def spoken(values: dict[str, Any], win_rate: float | None) -> str:
    """The same in a line."""
    bracket = f"stop {values['stop_ticks']}, target {values['target_ticks']} ticks"
    if values["after"] is None:
        return f"no break-even win rate: {values['why'].lower()}"
    won = "" if win_rate is None else f"; {100 * win_rate:.1f} % won"
    before, after = (f"{100 * values[name]:.1f} %" for name in ("before", "after"))
    assumed = f"; assumed is {values['assumes']}" if values.get("assumes") else ""
    return f"breaks even at {after} won after costs, {before} before ({bracket}){won}{assumed}"
