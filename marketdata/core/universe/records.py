"""The records of the universe: what is known of each monitored instrument, and the limits that it is judged by.

A MEMBER is one instrument: its place in the state machine, its newest valid book as far as metrics need it, and its
metrics.  A UNIVERSE is what they share.  Plain records, so that they can be copied, journaled and continued.  Floats
here are analytics: they decide who is watched, never a price or money.
"""

import numpy as np

from marketdata.core.records import NO_TIME

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS

# MEMBER.state (MOEX-DATA-05); OUTSIDE: not in the pool
OUTSIDE, MONITORED, SUBSCRIBING, ACTIVE = 0, 1, 2, 3
STATES = {OUTSIDE: "OUTSIDE", MONITORED: "MONITORED", SUBSCRIBING: "SUBSCRIBING", ACTIVE: "ACTIVE"}

# what MOEX-DATA-04 to -09 and -14 fix or name
POOL_MAX, ACTIVE_MAX, REPLACEMENTS_MAX = 30, 15, 3
BOOK_AGE_MAX_NS = 5 * SECOND_NS
SUBSCRIBE_WAIT_S = 10
FAILING_S = 60
DWELL_NS, COOLDOWN_NS = 300 * SECOND_NS, 900 * SECOND_NS
SAMPLES_MIN = 5
METRIC_AGE_MAX_NS = 60 * SECOND_NS
ALPHA, BASELINE_ALPHA, BASELINE_SAMPLES = 0.2, 1.0 / 1800.0, 300
SPREAD_ENTER, SPREAD_LEAVE = 0.0005, 0.001
LIQUIDITY_SHARE = 0.7
VOL_LIMIT = 0.05
VOL_RETURNS, VOL_RETURNS_MIN, MINUTES_A_YEAR = 30, 10, 131_040
CANDLES_KEPT = 240
NOBODY = -1

MEMBER = np.dtype(
    (
        np.record,
        [
            ("state", "<i8"),
            ("lot_tick_micros", "<i8"),  # RUB value of one tick of one lot, micros
            ("replaces", "<i8"),  # SUBSCRIBING: the ACTIVE member it waits to replace; NOBODY: a slot of its own
            ("successor", "<i8"),  # ACTIVE: the SUBSCRIBING member that waits to replace it, or NOBODY
            # told from outside
            ("pinned", "<i8"),  # a position or a working order
            ("trading", "<i8"),  # NORMAL_TRADING
            ("confirmed", "<i8"),  # the stream confirmed the subscription
            # counts of TIMERs in NORMAL_TRADING, one a second
            ("waited_s", "<i8"),  # SUBSCRIBING without being ready
            ("failing_s", "<i8"),  # ACTIVE without a valid fresh book
            ("entered_ns", "<i8"),  # became ACTIVE; NO_TIME: is not
            ("left_ns", "<i8"),  # was ACTIVE until; NO_TIME: never
            ("unhealthy", "<i8"),  # hold UNHEALTHY stands
            # books
            ("book_ns", "<i8"),  # receipt of the newest accepted book
            ("book_empty", "<i8"),
            ("valid_ns", "<i8"),  # receipt of the newest VALID one, and of it:
            ("bid_tick", "<i8"),
            ("ask_tick", "<i8"),
            ("value", "<f8"),  # RUB in the ten best levels of both sides
            ("rv_60", "<f8"),  # rv(60 s) at the newest row of features
            ("invalid_books", "<i8"),
            ("old_books", "<i8"),
            # metrics (MOEX-DATA-06)
            ("samples", "<i8"),
            ("sampled_ns", "<i8"),  # newest sample of spread and L
            ("spread", "<f8"),
            ("liquidity", "<f8"),
            ("baseline", "<f8"),
            ("baseline_samples", "<i8"),
            ("vol_sampled_ns", "<i8"),
            ("vol", "<f8"),
            # closed one-minute candles, by number % CANDLES_KEPT
            ("candles", "<i8"),
            ("candle_ns", "<i8", (CANDLES_KEPT,)),
            ("candle_close", "<i8", (CANDLES_KEPT,)),
            ("candle_vol", "<f8"),  # sqrt of the mean square of the last returns; negative: too few
        ],
    )
)

UNIVERSE = np.dtype(
    (
        np.record,
        [
            ("active_max", "<i8"),
            ("replacements_max", "<i8"),
            ("dwell_ns", "<i8"),
            ("cooldown_ns", "<i8"),
            ("minute", "<i8"),  # of the last decision; NO_TIME: none yet
            ("rotations", "<i8"),
            # indicators (MOEX-DATA-07); known_ns: when they were last known
            ("known", "<i8"),
            ("known_ns", "<i8"),
            ("volatility", "<f8"),
            ("market_liquidity", "<f8"),
            ("index", "<f8"),
        ],
    )
)

# What happened in a step: (kind, member, other member or NOBODY).  The feed obeys; the kernel holds.
SUBSCRIBED, ACTIVATED, DEMOTED, SWAP_VOID, UNHEALTHY_SET, UNHEALTHY_CLEARED = 1, 2, 3, 4, 5, 6
NEWS_MAX = 256


def new_members(lot_tick_micros: list[int]) -> np.ndarray:
    """(n,) MEMBER outside the pool that nothing is known of; `lot_tick_micros`: value of a tick of one lot, > 0."""
    assert all(value > 0 for value in lot_tick_micros)
    members = np.zeros(len(lot_tick_micros), MEMBER)
    members["lot_tick_micros"] = lot_tick_micros
    for name in ("entered_ns", "left_ns", "book_ns", "valid_ns", "sampled_ns", "vol_sampled_ns"):
        members[name] = NO_TIME
    members["replaces"] = NOBODY
    members["successor"] = NOBODY
    members["candle_vol"] = -1.0
    return members


def new_universe(
    active_max: int = ACTIVE_MAX,
    replacements_max: int = REPLACEMENTS_MAX,
    dwell_ns: int = DWELL_NS,
    cooldown_ns: int = COOLDOWN_NS,
) -> np.ndarray:
    """(1,) UNIVERSE before its first second."""
    assert 0 < active_max <= POOL_MAX and replacements_max >= 0 and dwell_ns >= 0 and cooldown_ns >= 0
    universe = np.zeros(1, UNIVERSE)
    universe["active_max"] = active_max
    universe["replacements_max"] = replacements_max
    universe["dwell_ns"] = dwell_ns
    universe["cooldown_ns"] = cooldown_ns
    universe["minute"] = NO_TIME
    universe["known_ns"] = NO_TIME
    return universe


def new_news() -> np.ndarray:
    """(NEWS_MAX + 1, 3) int64: row 0 holds the count, the rows after it (kind, member, other)."""
    return np.zeros((NEWS_MAX + 1, 3), np.int64)
