"""Limits that contradict each other, their rulebook or their market: each told in one sentence that names the value.

A profile whose every value is fine by itself may still be none that anybody meant.  `risk.schema` checks the values,
this file the whole; `trading.config.schema` asks both.
"""

from itertools import pairwise
from typing import NamedTuple

from risk.core.records import MES, MOEX, RULEBOOKS, SIZE_CAPS, SIZE_TIERS, STOP_SHARES
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
    ("messages_1s_max", "messages_60s_max", "a second may carry more than a minute"),
)
# the same where the first, the switch, is not 0: (switch, smaller, larger, why)
WATCHED = (
    (
        "reverse_confidence_ppm_min",
        "exit_confidence_ppm_min",
        "reverse_confidence_ppm_min",
        "a reversal is an exit, too",
    ),
    ("rvi_max", "rvi_clear_max", "rvi_max", "RVI_HIGH could be lifted while the index is above its limit"),
    ("probe_slow_ns", "probe_good_ns", "probe_slow_ns", "a slow round trip would count as a good one"),
    ("probe_slow_ns", "probe_slow_ns", "probe_lost_ns", "a round trip would be lost before it is slow"),
    ("instrument_ppm_max", "instrument_ppm_max", "gross_ppm_max", "one instrument may hold more than all of them"),
    ("atr_ppm_max", "atr_ppm_min", "atr_ppm_max", "no market could pass both filters"),
    ("streak_hard", "streak_soft", "streak_hard", "the longer pause would come before the shorter one"),
    ("streak_hard", "streak_soft_pause_ns", "streak_hard_pause_ns", "the longer streak would pause for less"),
)
# what a switch that is not 0 needs, itself not 0: (switch, needed, why)
NEEDED = (
    ("bucket_capacity", "bucket_refill_ns", "an empty bucket would never fill again"),
    ("rvi_max", "rvi_age_ns_max", "every value of the index would be too old"),
    ("rvi_max", "rvi_clear_max", "RVI_HIGH could never be lifted"),
    ("probe_slow_ns", "probe_good_ns", "a slow connection would never be good again"),
    ("streak_soft", "streak_soft_pause_ns", "the pause after losses would end at once"),
    ("streak_hard", "streak_hard_pause_ns", "the pause after losses would end at once"),
    ("entries_max", "entries_window_ns", "no entry would ever be counted"),
    ("hedge_every_ns", "hedge_min_net_ppm", "any net exposure at all would be hedged"),
    ("hedge_every_ns", "hedge_max_cost_ppm", "no hedge could ever be paid for"),
    ("hedge_every_ns", "hedge_beta_ppm", "every hedge would be of no lots"),
)
CAPS = ("gross_ppm_max", "instrument_ppm_max", "loss_stop_ppm_max", "participation_ppm_max")
RULES_OF = {"cme": MES, "moex": MOEX}
SCHEDULES_OF = {"cme": ("standard", "topstep", "all_hours"), "moex": ("moex", "all_hours")}
LIVE_SCHEDULES = (
    "topstep",
    "moex",
)  # the others end at the close or never, later than a platform's cut-off (MES-EOD-02)


class Market(NamedTuple):
    """What the limits are for: the venue's name, the schedule's, and the modes in which sessions may run."""

    venue: str
    schedule: str
    modes: tuple[str, ...]


# of the rulebook MES alone: each less than the next (MES-CONF-06)
LADDER = (
    "loss_day_micros_max",
    "drawdown_day_micros_max",
    "drawdown_micros_max",
    "loss_total_micros_max",
)
STOP_BOUNDS = (4, 16)  # ticks
CONFIDENCE_LEAST = 600_000


def contradictions(limits: dict[str, int], currency: str, market: Market) -> list[str]:
    """Sentences about limits that contradict each other, their rulebook or their market; empty when they agree."""
    pairs = [*ORDERED, *((small, large, why) for switch, small, large, why in WATCHED if limits[switch] > 0)]
    faults = [
        _told(small, large, limits, currency, why)
        for small, large, why in pairs
        if limits[small] > limits[large] and not (large == "gross_ppm_max" and limits[large] == 0)  # 0: no limit
    ]
    for switch, needed, why in NEEDED:
        if limits[switch] > 0 and limits[needed] == 0:
            faults.append(f"{_key(needed)} ({_value(needed, limits, currency)}) with {_key(switch)} set: {why}")
    faults += _market_faults(limits, market)
    if limits["rules"] == MES:
        faults += _mes_faults(limits, currency)
    elif limits["sizing"] == SIZE_TIERS:
        faults.append("risk.sizing: tiers are the futures' own (MES-SIZE); rules moex sizes by caps or a fixed size")
    on_books = (limits["rules"], limits["stop_method"], limits["bar_mode"]) == (MOEX, STOP_SHARES, 0)
    if limits["hedge_every_ns"] > 0 and not on_books:
        faults.append("risk.hedge_every: only shares with their document's stops, on books, are hedged (MOEX-HEDGE)")
    if limits["sizing"] == SIZE_CAPS:
        faults += [
            f"{_key(name)} (0 %) with risk.sizing caps: every size would be 0 (MOEX-SIZE-01)"
            for name in CAPS
            if limits[name] == 0
        ]
    return faults


def _market_faults(limits: dict[str, int], market: Market) -> list[str]:
    """The rulebook is its venue's, and so is the schedule; where money is real it ends before the venue does."""
    faults = []
    rules = RULES_OF.get(market.venue, limits["rules"])
    if limits["rules"] != rules:
        faults.append(f"risk.rules ({RULEBOOKS[limits['rules']]}) is not the rulebook of market.venue ({market.venue})")
    if market.schedule not in SCHEDULES_OF.get(market.venue, (market.schedule,)):
        faults.append(f"market.schedule ({market.schedule}) does not belong to market.venue ({market.venue})")
    elif "live" in market.modes and market.schedule not in LIVE_SCHEDULES:
        fit = ", ".join(name for name in SCHEDULES_OF.get(market.venue, ()) if name in LIVE_SCHEDULES)
        faults.append(
            f"market.schedule ({market.schedule}) is not for live: it may end too late (MES-EOD-02); use {fit}"
        )
    return faults


def _key(name: str) -> str:
    return f"risk.{next(row.key for row in FIELDS if row.name == name)}"


def _value(name: str, limits: dict[str, int], currency: str) -> str | int | bool:
    return text(next(row for row in FIELDS if row.name == name), limits[name], currency)


def _told(small: str, large: str, limits: dict[str, int], currency: str, why: str) -> str:
    a, b = _value(small, limits, currency), _value(large, limits, currency)
    return f"{_key(small)} ({a}) is more than {_key(large)} ({b}): {why}"


def _mes_faults(limits: dict[str, int], currency: str) -> list[str]:
    """MES-CONF-06: the ladder of losses, the least balance, and what sizes by tiers take for granted."""
    faults = []
    for small, large in pairwise(LADDER):
        if limits[small] >= limits[large]:
            a, b = _value(small, limits, currency), _value(large, limits, currency)
            why = "losses must come one after the other (MES-CONF-06)"
            faults.append(f"{_key(small)} ({a}) is not less than {_key(large)} ({b}): {why}")
    if limits["sizing"] == SIZE_CAPS:
        faults.append("risk.sizing: caps are the shares' own (MOEX-SIZE-01); rules mes sizes by tiers or a fixed size")
    if limits["stop_method"] == STOP_SHARES:
        faults.append("risk.stop_method: shares is the shares' own (MOEX-STOP-01); rules mes has fixed, atr, structure")
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
