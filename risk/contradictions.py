"""Limits that contradict each other, their rulebook or their market: each told in one sentence that names the value.

A profile whose every value is fine by itself may still be none that anybody meant.  `risk.schema` checks the values,
this file the whole; `trading.config.schema` asks both.
"""

from itertools import pairwise

from risk.core.records import MES, SIZE_TIERS
from risk.schema import FIELDS, text

# pairs that must not contradict each other: (smaller, larger, why)
ORDERED = (
    ("stop_ticks_min", "stop_ticks_max", "the nearest stop is farther than the farthest"),
    ("stop_ticks_min", "stop_ticks", "the stop is nearer than allowed"),
    ("stop_ticks", "stop_ticks_max", "the stop is farther than allowed"),
    ("qty_entry", "qty_max", "an entry is larger than the largest order"),
    ("qty_entry", "position_max", "an entry is larger than the largest position"),
    ("loss_trade_micros_max", "loss_day_micros_max", "one trade may lose more than a day (MES-CONF-06)"),
    ("loss_day_micros_max", "loss_total_micros_max", "a day may lose more than the whole (MES-CONF-06)"),
    ("loss_total_micros_max", "capital_micros", "the total limit is more than the capital"),
    ("messages_reserved", "messages_60s_max", "the reserve is larger than the budget"),
)


# of the rulebook MES alone: each less than the next (MES-CONF-06)
LADDER = (
    "loss_day_micros_max",
    "drawdown_day_micros_max",
    "drawdown_micros_max",
    "loss_total_micros_max",
)
STOP_BOUNDS = (4, 16)  # ticks
CONFIDENCE_LEAST = 600_000


def contradictions(limits: dict[str, int], currency: str) -> list[str]:
    """Sentences about limits that contradict each other; empty when they agree."""
    faults = [
        _told(small, large, limits, currency, why) for small, large, why in ORDERED if limits[small] > limits[large]
    ]
    if limits["rules"] == MES:
        faults += _mes_faults(limits, currency)
    elif limits["sizing"] == SIZE_TIERS:
        faults.append("risk.sizing: tiers are the futures' own (MES-SIZE); rules moex sizes by caps or a fixed size")
    return faults


def _told(small: str, large: str, limits: dict[str, int], currency: str, why: str) -> str:
    rows = {row.name: row for row in FIELDS}
    a, b = text(rows[small], limits[small], currency), text(rows[large], limits[large], currency)
    return f"risk.{rows[small].key} ({a}) is more than risk.{rows[large].key} ({b}): {why}"


def _mes_faults(limits: dict[str, int], currency: str) -> list[str]:
    """MES-CONF-06: the ladder of losses, the least balance, and what sizes by tiers take for granted."""
    rows = {row.name: row for row in FIELDS}
    faults = []
    for small, large in pairwise(LADDER):
        if limits[small] >= limits[large]:
            a, b = text(rows[small], limits[small], currency), text(rows[large], limits[large], currency)
            why = "losses must come one after the other (MES-CONF-06)"
            faults.append(f"risk.{rows[small].key} ({a}) is not less than risk.{rows[large].key} ({b}): {why}")
    if limits["capital_micros"] < limits["balance_micros_min"]:
        why = "the session would start below the balance that trades (MES-CONF-06)"
        faults.append(_told("balance_micros_min", "capital_micros", limits, currency, why))
    if limits["sizing"] == SIZE_TIERS:
        if limits["confidence_ppm_min"] < CONFIDENCE_LEAST:
            faults.append("risk.confidence_min is below 60 %: no size belongs to it (MES-CONF-06, MES-SIZE)")
        low, high = STOP_BOUNDS
        if limits["stop_ticks_min"] < low or limits["stop_ticks_max"] > high:
            faults.append(f"risk.stop_ticks_min and _max reach beyond {low} to {high} ticks (MES-CONF-06)")
    return faults
