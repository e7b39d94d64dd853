"""How a random desk is set up: limits from roomy to impossible, two instruments, session windows, links, a start."""

import random
from collections.abc import Sequence

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.records import LIMIT_INDEX, SPEC_INDEX
from tests.oracle.rules.facts import (
    AFTER_HOURS,
    AGGRESSIVE_EXIT,
    CLOSE_ONLY,
    MUST_BE_FLAT,
    NORMAL,
    REDUCED,
    Event,
    S,
)
from trading.core import records as r

T0 = 1_772_600_000_000_000_000
DAY = 20260304
MINUTE, HOUR = 60 * S, 3600 * S
USD = 1_000_000

# name: (usual value, values that come now and then)
LIMITS: dict[str, tuple[int, tuple[int, ...]]] = {
    "capital_micros": (10_000 * USD, (1_000 * USD, 1_000 * USD, 1_000 * USD, 2**61 + 1, 2**62)),
    "bar_mode": (0, (1,)),
    "quote_age_ns_max": (2 * S, (S // 2, 30 * S)),
    "score_age_ns_max": (2 * S, (S // 2,)),
    "last_age_ns_max": (S, (10 * S,)),
    "recon_age_ns_max": (HOUR, (20 * S,)),
    "qty_max": (5, (1, 2)),
    "value_micros_max": (10**12, (25_000 * USD, 60_000 * USD)),
    "collar_ppm_max": (10_000, (20, 60)),
    "collar_ticks_max": (20, (0, 1)),
    "spread_ticks_max": (4, (1, 2)),
    "stop_ticks_min": (4, (5,)),
    "stop_ticks_max": (16, (7,)),
    "move_ticks_max": (60, (4, 12)),
    "move_window_ns": (10 * S, (S, MINUTE)),
    "move_hold_ns": (5 * S, (S, MINUTE)),
    "position_max": (5, (1, 2)),
    "margin_micros_max": (5_000 * USD, (49 * USD, 120 * USD)),
    "loss_trade_micros_max": (100 * USD, (12 * USD, 30 * USD)),
    "loss_day_micros_max": (500 * USD, (20 * USD, 60 * USD)),
    "loss_total_micros_max": (1_000 * USD, (30 * USD, 90 * USD)),
    "slip_ticks_assumed": (1, (0, 3)),
    "duplicate_ns": (S, (10 * S,)),
    "messages_1s_max": (20, (4, 6)),
    "messages_60s_max": (200, (40, 50)),
    "messages_reserved": (30, (0,)),
    "orders_open_max": (20, (2, 3, 4)),
    "score_ppm_min": (100_000, (1, 600_000)),
    "confidence_ppm_min": (550_000, (800_000,)),
    "qty_entry": (1, (2, 3, 3, 4)),
    "stop_ticks": (8, (4, 12)),
    "target_ticks": (16, (0, 4)),
    "hold_ns_max": (0, (5 * S, MINUTE)),
    "entry_ttl_ns": (5 * S, (S, 20 * S)),
    "cooldown_entry_ns": (S, (10 * S,)),
    "cooldown_exit_ns": (S, (10 * S,)),
    "ack_timeout_ns": (3 * S, (S, 10 * S)),
    "naked_ns_max": (3 * S, (S,)),
    "rules": (0, ()),
    "sizing": (0, (1, 1, 1)),
    "half_keep_one": (1, (0,)),
    "tier_ppm_max": (0, (10_000, 30_000)),
    "stop_method": (0, (1, 2)),
    "stop_atr_ppm": (1_500_000, (400_000, 3_000_000)),
    "stop_reduced_ppm": (750_000, (1_000_000, 300_000)),
    "target_ratio_ppm": (2_000_000, (0, 500_000)),
    "bracket_anchor": (0, (1,)),
    "trail_ticks": (0, (2, 4)),
    "exit_confidence_ppm_min": (550_000, (800_000,)),
    "reverse_confidence_ppm_min": (0, (650_000, 750_000)),
    "reverse_wait_ns": (S, (30 * S,)),
    "reversals_max": (2, (1,)),
    "balance_micros_min": (700 * USD, (0, 9_900 * USD)),
    "drawdown_day_micros_max": (750 * USD, (25 * USD, 75 * USD)),
    "drawdown_micros_max": (900 * USD, (30 * USD, 80 * USD)),
    "day_loss_open": (0, ()),
    "streak_soft": (3, (1, 2)),
    "streak_soft_pause_ns": (5 * S, (15 * MINUTE, S)),
    "streak_hard": (5, (2, 3)),
    "streak_hard_pause_ns": (10 * S, (30 * MINUTE,)),
    "streak_restarts": (0, ()),
    "spread_hold_ns": (S, (0, 0, 20 * S)),
    "presence_ns_max": (0, (5 * S, 20 * S)),
    "errors_60s_max": (10, (3,)),
    "gross_ppm_max": (0, ()),
    "instrument_ppm_max": (0, ()),
    "loss_stop_ppm_max": (0, ()),
    "participation_ppm_max": (0, ()),
    "bucket_capacity": (0, ()),
    "bucket_refill_ns": (0, ()),
    "spread_ppm_max": (0, ()),
    "allow_short": (1, (0,)),
    "loss_day_share_ppm_max": (0, ()),
    "rvi_max": (0, ()),
    "rvi_clear_max": (0, ()),
    "rvi_age_ns_max": (0, ()),
    "probe_slow_ns": (0, ()),
    "probe_good_ns": (0, ()),
    "probe_lost_ns": (0, ()),
    "hedge_every_ns": (0, ()),
    "hedge_min_net_ppm": (0, ()),
    "hedge_max_cost_ppm": (0, ()),
    "hedge_beta_ppm": (0, ()),
    "loss_day_soft_ppm_max": (0, (500_000,)),
    "entries_max": (0, (1, 2)),
    "entries_window_ns": (10 * S, (MINUTE,)),
    "trades_day_max": (0, (1, 2)),
    "depth_ppm_max": (0, (200_000,)),
    "atr_ppm_min": (0, (1_000_000, 2_500_000)),
    "atr_ppm_max": (0, (2_000_000,)),
    "costs_ppm": (500, ()),
    "spread_floor_ppm": (10_000, ()),
    "net_widen_ppm": (500_000, ()),
    "trail_anchor": (0, ()),
    "take_profit_ppm": (0, ()),
}
# what a desk must be like for one reason or hold to be met again and again; a calm life has one of these
BUSY = {"qty_entry": 3, "stop_ticks": 4, "slip_ticks_assumed": 0, "cooldown_entry_ns": S, "cooldown_exit_ns": S}
REPEATS = {"score_age_ns_max": 30 * S, "entry_ttl_ns": S}  # DUPLICATE: a score that comes again outlives its order
THEMES: tuple[dict[str, int], ...] = (
    BUSY | {"loss_total_micros_max": 20 * USD},  # EQUITY_KILL
    BUSY | {"loss_day_micros_max": 20 * USD},  # DAILY_LOSS
    BUSY | {"drawdown_day_micros_max": 20 * USD},
    BUSY | {"drawdown_micros_max": 20 * USD},
    BUSY | {"balance_micros_min": 9_990 * USD},
    BUSY | {"position_max": 2},
    BUSY | {"qty_max": 2},
    BUSY | {"errors_60s_max": 2},
    BUSY | {"margin_micros_max": 120 * USD},
    BUSY | {"loss_trade_micros_max": 12 * USD},
    {"capital_micros": 2**61 - 1_000 * USD},  # STATE_UNREADABLE by what it earns, or is paid in
    BUSY | {"loss_day_soft_ppm_max": 60_000, "loss_day_micros_max": 60 * USD},  # DAILY_LOSS_NEAR
    BUSY | {"entries_max": 1, "entries_window_ns": 30 * S},
    BUSY | {"trades_day_max": 1},
    BUSY | {"depth_ppm_max": 200_000},  # one contract of the five that are shown
    BUSY | {"atr_ppm_min": 1_500_000},
    {"half_keep_one": 0},  # SIZE_HALF_SKIPPED, of one contract
    {"spread_hold_ns": 0, "spread_ticks_max": 1},
    {"move_ticks_max": 8, "move_window_ns": MINUTE, "move_hold_ns": S // 100},  # a move outlasts its hold
    {"reverse_confidence_ppm_min": 650_000, "reversals_max": 0},
    REPEATS,
    REPEATS | {"target_ticks": 4},
    {"sizing": 1, "capital_micros": 9_000 * USD, "loss_trade_micros_max": 400 * USD, "qty_max": 1},  # VENUE_LIMIT
)
VARIED = [name for name, (_, others) in LIMITS.items() if others]
TIERS = (699, 700, 900, 959, 1_000, 1_001, 1_500, 1_600, 2_000, 2_400, 3_000, 3_100, 5_000)  # balances, dollars
HURRIED = {NORMAL: (5 * S, 10 * S), REDUCED: (S // 2, 5 * S), CLOSE_ONLY: (S // 10,), AGGRESSIVE_EXIT: (S // 10,)}
FROM_THE_START = ("capital_micros", "bar_mode", "rules", "sizing")
# limits that only the gate reads: with one of them missing the desk must refuse, and look after what it holds (P-07)
GATE_ONLY = (
    "recon_age_ns_max", "value_micros_max", "collar_ppm_max", "collar_ticks_max", "position_max",
    "margin_micros_max", "duplicate_ns", "orders_open_max", "cooldown_exit_ns", "allow_short",
)  # fmt: skip
FUTURE = {"tick_value_micros": 1_250_000, "fee_micros": 420_000, "fee_ppm": 0, "margin_micros": 50 * USD}
SHARE = {"tick_value_micros": 100_000, "fee_micros": 0, "fee_ppm": 500, "margin_micros": 0}


def draw_limits(rng: random.Random) -> dict[str, int]:
    """A desk's limits: mostly usual, a few of them unusual."""
    limits = {name: usual for name, (usual, _) in LIMITS.items()}
    for name in rng.sample(VARIED, rng.choice((0, 2, 3, 4, 5, 6, 9))):
        limits[name] = rng.choice(LIMITS[name][1])
    if rng.random() < 0.6:
        limits["qty_entry"] = rng.choice((1, 2, 3))
    if rng.random() < 0.1:
        limits["messages_60s_max"] = 40
    if rng.random() < 0.3:
        limits |= {"reverse_confidence_ppm_min": 650_000, "reversals_max": rng.choice((0, 1, 2))}
    if rng.random() < 0.08:
        limits |= {"spread_hold_ns": 0, "spread_ticks_max": 1}
    if rng.random() < 0.1:  # a move outlasts its hold: the gate's own rule refuses
        limits |= {"move_ticks_max": 4, "move_window_ns": MINUTE, "move_hold_ns": S}
    if rng.random() < 0.3:  # the rulebook's own numbers
        limits |= {
            "loss_day_micros_max": 50 * USD,
            "loss_total_micros_max": 300 * USD,
            "loss_trade_micros_max": 25 * USD,
        }
        limits |= {"drawdown_day_micros_max": 75 * USD, "drawdown_micros_max": 200 * USD, "target_ticks": 0}
        limits |= {"capital_micros": rng.choice(TIERS) * USD, "sizing": 1, "confidence_ppm_min": 600_000}
        if rng.random() < 0.2:  # a stop too far for the tier
            limits |= {"stop_ticks": 16, "capital_micros": 750 * USD}
        elif rng.random() < 0.4:  # wide budgets: the other caps of step 5 bind
            limits |= {
                "loss_day_micros_max": 500 * USD,
                "loss_trade_micros_max": 400 * USD,
                "capital_micros": 9_000 * USD,
                "qty_max": rng.choice((1, 2, 5)),
            }
    elif rng.random() < 0.2:  # a small account, whose loss limits are near
        limits |= {"capital_micros": 1_000 * USD, "loss_day_micros_max": 50 * USD, "loss_total_micros_max": 90 * USD}
        limits |= {"drawdown_day_micros_max": 60 * USD, "drawdown_micros_max": 80 * USD}
    return limits


def draw_theme(rng: random.Random) -> dict[str, int]:
    """The limits of a calm life: all usual but those of one theme."""
    return {name: usual for name, (usual, _) in LIMITS.items()} | rng.choice(THEMES)


def draw_change(rng: random.Random, limits: dict[str, int]) -> dict[str, int]:
    """A later version: some limits looser, some tighter, some the same."""
    names = [name for name in VARIED if name not in FROM_THE_START]
    return {
        name: rng.choice((LIMITS[name][0], *LIMITS[name][1], limits[name]))
        for name in rng.sample(names, rng.randint(1, 4))
    }


def staged(now: int, limits: dict[str, int]) -> list[Event]:
    return [
        Event(r.CONFIG, now, instrument=ACCOUNT_SCOPE, code=LIMIT_INDEX[name], value=value)
        for name, value in limits.items()
    ]


def windows(rng: random.Random, at: int = T0, first: int = DAY) -> list[Event]:
    """Three short trading days, each with all its phases, whole days between them; the first holds `at`."""
    rows = []
    hurried = rng.random() < 0.15  # no time to be flat before the cut-off
    start = at - rng.randrange(1, 10 * S) if rng.random() < 0.95 else at + MINUTE
    for day in range(first, first + 3):
        for phase in (NORMAL, REDUCED, CLOSE_ONLY, AGGRESSIVE_EXIT, MUST_BE_FLAT, AFTER_HOURS):
            longest = HOUR if phase == NORMAL else 2 * MINUTE
            lengths: tuple[int, ...] = (S // 2, 5 * S, longest)
            if phase == NORMAL:
                lengths = (10 * S, MINUTE, longest, longest)
            if hurried:
                lengths = HURRIED.get(phase, lengths)
            end = start + rng.choice(lengths)
            rows.append(Event(r.WINDOW_SET, at, instrument=ACCOUNT_SCOPE, code=phase, value=start, until=end, ref=day))
            start = end if phase != AGGRESSIVE_EXIT or rng.random() < 0.9 else end + S
        start += rng.choice((MINUTE, 20 * HOUR))
    return rows


def prologue(
    rng: random.Random, limits: dict[str, int], prices: list[int], at: int = T0, day: int = DAY,
    past: Sequence[Event] = (),
) -> list[Event]:  # fmt: skip
    """From nothing to a desk that may trade; now and then a step is missing.  `past`: what its account brings."""
    rows = [Event(r.TIMER, at)] if rng.random() < 0.05 else []
    rows += past
    skipped = rng.choice(GATE_ONLY) if rng.random() < 0.03 else ""
    rows += staged(at, {name: value for name, value in limits.items() if name != skipped})
    for index, spec in enumerate((FUTURE, SHARE if rng.random() < 0.5 else FUTURE)):
        tradable = int(index == 0 or rng.random() < 0.95)
        for name, value in (spec | {"tick_nanos": 10**7, "lot": 1, "tradable": tradable}).items():
            rows.append(Event(r.CONFIG, at, instrument=index, code=SPEC_INDEX[name], value=value))
    steps = [Event(r.CONFIG_COMMIT, at, instrument=ACCOUNT_SCOPE, ref=1)]
    rows += steps + windows(rng, at, day)
    for link in (r.LINK_EXECUTION, r.LINK_DATABASE, r.LINK_STREAM):
        rows.append(Event(r.LINK, at, instrument=ACCOUNT_SCOPE, code=link, value=1))
    for code in (r.RECON_BEGIN, r.RECON_END):
        rows.append(Event(r.RECON, at, instrument=ACCOUNT_SCOPE, code=code))
    if rng.random() < 0.98:
        rows.append(Event(r.COMMAND, at, instrument=ACCOUNT_SCOPE, code=r.START))
    for index, price in enumerate(prices):
        rows.append(Event(m.QUOTE, at, instrument=index, bid=price, ask=price + 1))
    rows.append(Event(r.TIMER, at))
    return rows
