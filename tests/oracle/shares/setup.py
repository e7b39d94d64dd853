"""How a random desk of shares is set up: the document's own numbers, some of them unusual, or those of one theme."""

import random
from collections.abc import Sequence

from marketdata.core import records as m
from marketdata.core.records import ACCOUNT_SCOPE
from risk.core.records import SPEC_INDEX
from tests.oracle.around import setup as futures
from tests.oracle.around.setup import DAY, HOUR, MINUTE, T0, staged
from tests.oracle.rules.facts import AGGRESSIVE_EXIT, CLOSE_ONLY, NORMAL, Event, S
from trading.core import records as r

RUB = 1_000_000
MS = 1_000_000
OFF: tuple[int, ...] = ()
# name: (usual value, values that come now and then); what is not here is as for futures
OWN: dict[str, tuple[int, tuple[int, ...]]] = {
    "capital_micros": (500_000 * RUB, (100_000 * RUB, 20_000 * RUB)),
    "bar_mode": (0, OFF),
    "quote_age_ns_max": (S, (5 * S,)),
    "score_age_ns_max": (500 * MS, (2 * S, 2 * S)),
    "recon_age_ns_max": (120 * S, (20 * S, 2 * S)),
    "qty_max": (100, (3, 0)),
    "value_micros_max": (25_000 * RUB, (5_000 * RUB, 10**14)),
    "collar_ppm_max": (2_500, (300, 100)),
    "collar_ticks_max": (100, (3, 1_000)),
    "spread_ticks_max": (10, (1, 2)),
    "stop_ticks_min": (5, (60,)),
    "stop_ticks_max": (5_000, (52, 5_000)),
    "move_ticks_max": (300, (12, 30)),
    "move_window_ns": (MINUTE, (10 * S,)),
    "move_hold_ns": (5 * S, (S, 300 * S)),
    "position_max": (100, (10, 3)),
    "margin_micros_max": (250_000 * RUB, (3_000 * RUB,)),
    "loss_trade_micros_max": (1_250 * RUB, (100 * RUB,)),
    "loss_day_micros_max": (10_000 * RUB, (100 * RUB, 300 * RUB)),
    "loss_total_micros_max": (50_000 * RUB, (150 * RUB, 400 * RUB)),
    "slip_ticks_assumed": (2, (0,)),
    "messages_1s_max": (10, (4, 6)),
    "messages_60s_max": (100, (45, 60)),
    "messages_reserved": (40, (0,)),
    "score_ppm_min": (1_000, (600_000,)),
    "qty_entry": (5, (1, 6, 13, 25, 100)),
    "stop_ticks": (50, (20,)),
    "target_ticks": (0, (60, 8)),
    "target_ratio_ppm": (0, (1_000_000,)),
    "hold_ns_max": (300 * S, (5 * S, MINUTE)),
    "entry_ttl_ns": (500 * MS, (200 * MS, 5 * S)),
    "cooldown_entry_ns": (S, (0, 5 * S)),
    "cooldown_exit_ns": (S, (0, 30 * S)),
    "ack_timeout_ns": (2 * S, (S, 10 * S)),
    "rules": (1, OFF),
    "sizing": (2, (0, 0)),
    "half_keep_one": (1, (0,)),
    "stop_method": (3, OFF),
    "bracket_anchor": (0, (1,)),
    "trail_ticks": (0, OFF),
    "reverse_confidence_ppm_min": (0, (650_000,)),
    "balance_micros_min": (0, OFF),
    "drawdown_day_micros_max": (500_000 * RUB, OFF),
    "drawdown_micros_max": (500_000 * RUB, OFF),
    "day_loss_open": (1, (0,)),
    "streak_soft": (3, (1, 2)),
    "streak_soft_pause_ns": (10 * S, (300 * S,)),
    "streak_hard": (0, (4,)),
    "streak_restarts": (1, (0,)),
    "spread_hold_ns": (0, OFF),
    "errors_60s_max": (3, (2, 10)),
    "gross_ppm_max": (500_000, (60_000, 100_000)),
    "instrument_ppm_max": (50_000, (10_000, 100_000)),
    "loss_stop_ppm_max": (2_500, (300, 60)),
    "participation_ppm_max": (100_000, (2_000, 20_000)),
    "bucket_capacity": (20, (2, 3, 0)),
    "bucket_refill_ns": (600 * MS, (5 * S,)),
    "spread_ppm_max": (500, (150,)),
    "allow_short": (1, (0,)),
    "loss_day_share_ppm_max": (20_000, (500, 0)),
    "rvi_max": (4_000, (0,)),
    "rvi_clear_max": (3_800, OFF),
    "rvi_age_ns_max": (60 * S, (5 * S,)),
    "probe_slow_ns": (50 * MS, (0,)),
    "probe_good_ns": (40 * MS, OFF),
    "probe_lost_ns": (100 * MS, OFF),
    "loss_day_soft_ppm_max": (0, (500_000,)),
    "entries_max": (0, (1, 2)),
    "entries_window_ns": (10 * S, (MINUTE,)),
    "trades_day_max": (0, (1, 2)),
    "depth_ppm_max": (0, (10_000,)),
    "atr_ppm_min": (0, OFF),
    "atr_ppm_max": (0, (5_000_000, 2_000_000)),
    "costs_ppm": (500, (0, 5_000)),
    "spread_floor_ppm": (10_000, (1_000, 0)),
    "net_widen_ppm": (500_000, (0, 1_000_000)),
    "trail_anchor": (0, (1,)),
    "take_profit_ppm": (0, (2_000, 500)),
}
LIMITS = futures.LIMITS | OWN
VARIED = [name for name, (_, others) in LIMITS.items() if others]
# the bucket is described by its first version: what became of its tokens under another is nowhere written
FROM_THE_START = (*futures.FROM_THE_START, "stop_method", "bucket_capacity", "bucket_refill_ns")
GATE_ONLY = (
    "recon_age_ns_max", "value_micros_max", "collar_ppm_max", "collar_ticks_max", "margin_micros_max", "duplicate_ns",
    "orders_open_max", "cooldown_exit_ns", "allow_short", "spread_ppm_max",
)  # fmt: skip
BUSY = {"cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "score_age_ns_max": 2 * S}
WIDE = {"value_micros_max": 10**14, "loss_trade_micros_max": 10**13, "loss_day_micros_max": 10**13}
WIDE |= {"loss_total_micros_max": 10**13, "margin_micros_max": 10**14, "loss_day_share_ppm_max": 0}
# what a desk must be like for one reason or hold to be met again and again; a calm life has one of these
THEMES: tuple[dict[str, int], ...] = (
    BUSY,
    BUSY | {"allow_short": 0},
    BUSY | {"target_ticks": 60},
    BUSY | {"target_ticks": 8},
    BUSY | WIDE | {"sizing": 0, "qty_entry": 25, "instrument_ppm_max": 0, "gross_ppm_max": 0},
    BUSY | WIDE | {"sizing": 0, "qty_entry": 100, "instrument_ppm_max": 0, "gross_ppm_max": 0, "bucket_capacity": 3},
    BUSY | WIDE | {"sizing": 0, "qty_entry": 30, "position_max": 20, "gross_ppm_max": 0, "instrument_ppm_max": 0},
    BUSY | WIDE | {"sizing": 0, "qty_entry": 30, "qty_max": 20, "gross_ppm_max": 0, "instrument_ppm_max": 0},
    BUSY | WIDE | {"sizing": 0, "qty_entry": 30, "gross_ppm_max": 20_000},  # LIMIT:EXPOSURE
    BUSY | WIDE | {"sizing": 0, "qty_entry": 26, "gross_ppm_max": 400_000, "instrument_ppm_max": 52_010},
    BUSY | {"sizing": 0, "qty_entry": 1, "half_keep_one": 0, "probe_slow_ns": 10 * MS, "probe_good_ns": 5 * MS},
    BUSY | {"sizing": 0, "qty_entry": 20, "loss_trade_micros_max": 60 * RUB},
    BUSY | {"instrument_ppm_max": 1_000},
    BUSY | {"loss_stop_ppm_max": 8},
    BUSY | {"gross_ppm_max": 1_000},
    BUSY | WIDE | {"sizing": 0, "qty_entry": 25, "gross_ppm_max": 50_060, "instrument_ppm_max": 0},  # EXPOSURE
    BUSY | WIDE | {"sizing": 0, "qty_entry": 25, "gross_ppm_max": 400_000, "instrument_ppm_max": 50_060},
    BUSY | {"bucket_capacity": 2, "bucket_refill_ns": 5 * S},
    BUSY | {"position_max": 1},
    BUSY | {"participation_ppm_max": 100},
    BUSY | {"qty_max": 0},
    BUSY | {"value_micros_max": 3_000 * RUB},
    BUSY | {"loss_day_micros_max": 120 * RUB},
    BUSY | {"loss_total_micros_max": 120 * RUB},
    BUSY | {"loss_total_micros_max": 120 * RUB, "target_ticks": 60},
    BUSY | {"stop_ticks_max": 51},
    BUSY | {"margin_micros_max": 300 * RUB},
    BUSY | {"move_ticks_max": 8, "move_hold_ns": S // 100},
    BUSY | {"collar_ppm_max": 100},
    BUSY | {"orders_open_max": 4},
    BUSY | {"messages_60s_max": 45},
    BUSY | {"recon_age_ns_max": 2 * S},
    {"score_age_ns_max": 30 * S, "cooldown_entry_ns": 0, "cooldown_exit_ns": 0},  # DUPLICATE
    {"score_age_ns_max": 30 * S, "cooldown_entry_ns": 0, "cooldown_exit_ns": 0, "allow_short": 0},
    {"cooldown_entry_ns": 30 * S},
    BUSY | {"streak_soft": 1, "streak_soft_pause_ns": 2 * S},
    BUSY | {"errors_60s_max": 2},
    BUSY | {"loss_day_soft_ppm_max": 50_000, "loss_day_micros_max": 600 * RUB},
    BUSY | {"entries_max": 1, "entries_window_ns": 30 * S},
    BUSY | {"trades_day_max": 1},
    BUSY | {"depth_ppm_max": 5_000},
    BUSY | {"capital_micros": 2**61 - 300_000 * RUB, "instrument_ppm_max": 1},  # STATE_UNREADABLE
)
# tick value of a lot in micros, commission, tick in nanos of a rouble, a usual price in ticks
SHARES = (
    ({"tick_value_micros": 100_000, "tick_nanos": 10_000_000, "lot": 10}, 10_000),
    ({"tick_value_micros": 500_000, "tick_nanos": 500_000_000, "lot": 1}, 14_000),
    ({"tick_value_micros": 50_000, "tick_nanos": 5_000, "lot": 10_000}, 4_900),
)
USUAL = {"fee_micros": 0, "fee_ppm": 500, "margin_micros": 100 * RUB}


def draw_limits(rng: random.Random) -> dict[str, int]:
    """Mostly usual, a few unusual."""
    limits = {name: usual for name, (usual, _) in LIMITS.items()}
    for name in rng.sample(VARIED, rng.choice((0, 2, 3, 4, 5, 6, 9))):
        limits[name] = rng.choice(LIMITS[name][1])
    if rng.random() < 0.5:
        limits |= BUSY
    return sane(limits)


def draw_theme(rng: random.Random) -> dict[str, int]:
    """The limits of a calm life: all usual but those of one theme."""
    limits = {name: usual for name, (usual, _) in LIMITS.items()} | rng.choice(THEMES)
    if rng.random() < 0.5:
        limits["rvi_max"] = 0  # nobody watches the index
    return sane(limits)


def sane(limits: dict[str, int]) -> dict[str, int]:
    """A size by caps without a share of the capital would be none."""
    if limits["sizing"] == 2:
        for name in ("gross_ppm_max", "instrument_ppm_max"):
            limits[name] = limits[name] or LIMITS[name][0]
    return limits


def draw_change(rng: random.Random, limits: dict[str, int]) -> dict[str, int]:
    """A later version: some limits looser, some tighter, some the same."""
    names = [name for name in VARIED if name not in FROM_THE_START]
    return {
        name: rng.choice((LIMITS[name][0], *LIMITS[name][1], limits[name]))
        for name in rng.sample(names, rng.randint(1, 4))
    }


def windows(rng: random.Random, at: int, first: int) -> list[Event]:
    """Three short trading days of two sessions each: entries, then out before the close, then nothing."""
    rows = []
    start = at - rng.randrange(1, 10 * S) if rng.random() < 0.95 else at + MINUTE
    for day in range(first, first + 3):
        for _ in range(2):
            normal = rng.choice((10 * S, MINUTE, HOUR, HOUR))
            phases = [(NORMAL, normal), (AGGRESSIVE_EXIT, rng.choice((5 * S, MINUTE)))]
            if rng.random() < 0.1:
                phases.insert(1, (CLOSE_ONLY, 5 * S))
            for phase, length in phases:
                row = {"code": phase, "value": start, "until": start + length, "ref": day}
                rows.append(Event(r.WINDOW_SET, at, instrument=ACCOUNT_SCOPE, **row))
                start += length
            start += rng.choice((5 * S, MINUTE))
        start += rng.choice((MINUTE, 20 * HOUR))
    return rows


def history(rng: random.Random, at: int, index: int, price: int) -> list[Event]:
    """Candles of before, now and then too few of them."""
    rows = []
    start = at - at % MINUTE - 10 * MINUTE
    for k in range(rng.choice((0, 0, 3, 5, 6))):
        start += MINUTE if rng.random() < 0.9 else 4 * MINUTE
        high = rng.choice((2, 5, 20, 60))
        row = {"high": price + high, "low": price - high, "close": price + rng.randint(-2, 2), "volume": 100}
        end = {"value": MINUTE, "venue_ts": start + MINUTE + k, "flags": m.FLAG_BACKFILL}
        rows.append(Event(m.BAR, at, instrument=index, **row, **end))
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
    for index, (spec, _) in enumerate(SHARES):
        tradable = int(index == 0 or rng.random() < 0.97)
        for name, value in (USUAL | spec | {"tradable": tradable}).items():
            rows.append(Event(r.CONFIG, at, instrument=index, code=SPEC_INDEX[name], value=value))
    rows.append(Event(r.CONFIG_COMMIT, at, instrument=ACCOUNT_SCOPE, ref=1))
    rows += windows(rng, at, day)
    for link in (r.LINK_EXECUTION, r.LINK_DATABASE, r.LINK_STREAM):
        rows.append(Event(r.LINK, at, instrument=ACCOUNT_SCOPE, code=link, value=1))
    for code in (r.RECON_BEGIN, r.RECON_END):
        rows.append(Event(r.RECON, at, instrument=ACCOUNT_SCOPE, code=code))
    if rng.random() < 0.98:
        rows.append(Event(r.COMMAND, at, instrument=ACCOUNT_SCOPE, code=r.START))
    if rng.random() < 0.97:
        rows.append(Event(r.INDEX, at, instrument=ACCOUNT_SCOPE, value=2_800))
    for index, price in enumerate(prices):
        rows += history(rng, at, index, price)
        rows.append(Event(m.QUOTE, at, instrument=index, bid=price, ask=price + 1, bid_qty=1_000, ask_qty=1_000))
    rows.append(Event(r.TIMER, at))
    return rows
