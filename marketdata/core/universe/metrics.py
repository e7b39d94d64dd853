"""Metrics of each monitored instrument and the market's indicators, once a second (MOEX-DATA-06, -07).

A sample is taken on a TIMER from a member in NORMAL_TRADING whose newest valid book is at most five seconds old.  What
had no sample for 60 s is unknown: it triggers nothing and satisfies nothing.  Called by `step`; it decides nothing.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from marketdata.core.compiled import inlined
from marketdata.core.records import NO_TIME
from marketdata.core.universe.records import (
    ACTIVE,
    ALPHA,
    BASELINE_ALPHA,
    BASELINE_SAMPLES,
    BOOK_AGE_MAX_NS,
    CANDLES_KEPT,
    LIQUIDITY_SHARE,
    METRIC_AGE_MAX_NS,
    MINUTE_NS,
    MINUTES_A_YEAR,
    OUTSIDE,
    SPREAD_ENTER,
    SPREAD_LEAVE,
    VOL_LIMIT,
    VOL_RETURNS,
    VOL_RETURNS_MIN,
)

Record = Any  # one record of MEMBER or UNIVERSE: the type checker cannot know its fields
UNKNOWN = -1.0  # of a mean that nobody contributes to: every real one is positive or 0


@inlined
def is_fresh(member: Record, now_ns: int) -> bool:
    """A valid book that is not older than 5.0 s; exactly 5.0 s is not older."""
    return bool(member.valid_ns != NO_TIME and now_ns - member.valid_ns <= BOOK_AGE_MAX_NS)


@inlined
def is_known(sampled_ns: int, now_ns: int) -> bool:
    """Whether a metric had a sample in the last 60 s."""
    return sampled_ns != NO_TIME and now_ns - sampled_ns < METRIC_AGE_MAX_NS


@inlined
def knows_ratio(member: Record, now_ns: int) -> bool:
    """Whether r is known: L is, and its baseline had 300 samples."""
    known = is_known(member.sampled_ns, now_ns) and member.baseline_samples >= BASELINE_SAMPLES
    return bool(known and member.baseline > 0.0)


@inlined
def ratio_of(member: Record) -> float:
    """r = L / baseline of a member that knows it."""
    return float(member.liquidity / member.baseline)


@inlined
def _sample(member: Record, now_ns: int) -> None:
    spread = 2.0 * (member.ask_tick - member.bid_tick) / (member.ask_tick + member.bid_tick)
    if member.samples == 0:
        member.spread = spread
        member.liquidity = member.value
    else:
        member.spread += ALPHA * (spread - member.spread)
        member.liquidity += ALPHA * (member.value - member.liquidity)
    if member.baseline_samples == 0:
        member.baseline = member.liquidity
    else:
        member.baseline += BASELINE_ALPHA * (member.liquidity - member.baseline)
    member.samples += 1
    member.baseline_samples += 1
    member.sampled_ns = now_ns
    if member.candle_vol >= 0.0:
        member.vol = member.candle_vol
        member.vol_sampled_ns = now_ns


@inlined
def sample_all(members: np.ndarray, now_ns: int) -> None:
    """The second's samples."""
    for i in range(len(members)):
        if members[i].state != OUTSIDE and members[i].trading != 0 and is_fresh(members[i], now_ns):
            _sample(members[i], now_ns)


@inlined
def mean_ratio(members: np.ndarray, now_ns: int) -> float:
    """Mean r of the ACTIVE members that know theirs; UNKNOWN without one."""
    total, count = 0.0, 0
    for i in range(len(members)):
        if members[i].state == ACTIVE and knows_ratio(members[i], now_ns):
            total += ratio_of(members[i])
            count += 1
    return total / count if count > 0 else UNKNOWN


@inlined
def ratio_floor(members: np.ndarray, now_ns: int) -> float:
    """The least r that may become active; infinity where there are active members and none of them knows its r."""
    for i in range(len(members)):
        if members[i].state == ACTIVE:
            mean = mean_ratio(members, now_ns)
            return LIQUIDITY_SHARE * mean if mean != UNKNOWN else np.inf
    return LIQUIDITY_SHARE


@inlined
def meets_criteria(member: Record, floor: float, now_ns: int) -> bool:
    """All three active criteria; an unknown metric meets none."""
    if not knows_ratio(member, now_ns) or not is_known(member.vol_sampled_ns, now_ns):
        return False
    return bool(member.spread <= SPREAD_ENTER and ratio_of(member) >= floor and member.vol > VOL_LIMIT)


@inlined
def is_triggered(member: Record, mean: float, now_ns: int) -> bool:
    """Any rotation trigger; an unknown metric triggers nothing."""
    if is_known(member.sampled_ns, now_ns) and member.spread > SPREAD_LEAVE:
        return True
    if mean != UNKNOWN and knows_ratio(member, now_ns) and ratio_of(member) < LIQUIDITY_SHARE * mean:
        return True
    return bool(is_known(member.vol_sampled_ns, now_ns) and member.vol < VOL_LIMIT)


@inlined
def indicate(universe: Record, members: np.ndarray, now_ns: int) -> None:
    """Market indicators over the active members whose spread and r are both known; without one they are unknown."""
    volatility, liquidity, spread, count = 0.0, 0.0, 0.0, 0
    for i in range(len(members)):
        member = members[i]
        if member.state == ACTIVE and knows_ratio(member, now_ns):
            volatility += member.rv_60
            liquidity += ratio_of(member)
            spread += member.spread
            count += 1
    universe.known = 1 if count > 0 else 0
    if count > 0:
        universe.known_ns = now_ns
        universe.volatility = volatility / count
        universe.market_liquidity = liquidity / count
        universe.index = min(max(1.0 - spread / count / SPREAD_LEAVE, 0.0), 1.0)


@inlined
def _candle_vol(member: Record) -> float:
    """sqrt(mean of r^2 x 131 040) over the last 30 returns of candles exactly 60 s apart; -1 for fewer than 10."""
    total, count = 0.0, 0
    at = member.candles - 1
    oldest = max(member.candles - CANDLES_KEPT, 0)
    while at > oldest and count < VOL_RETURNS:
        here, before = at % CANDLES_KEPT, (at - 1) % CANDLES_KEPT
        if member.candle_ns[here] - member.candle_ns[before] == MINUTE_NS:
            change = math.log(member.candle_close[here] / member.candle_close[before])
            total += change * change
            count += 1
        at -= 1
    return math.sqrt(total / count * MINUTES_A_YEAR) if count >= VOL_RETURNS_MIN else -1.0


@njit(cache=True)
def take_candle(members: np.ndarray, which: int, start_ns: int, close_tick: int) -> bool:
    """A closed one-minute candle of members[which]; False when it is not later than the one before or has no price."""
    member = members[which]
    if close_tick <= 0:
        return False
    if member.candles > 0 and start_ns <= member.candle_ns[(member.candles - 1) % CANDLES_KEPT]:
        return False
    at = member.candles % CANDLES_KEPT
    member.candle_ns[at] = start_ns
    member.candle_close[at] = close_tick
    member.candles += 1
    member.candle_vol = _candle_vol(member)
    return True
