"""Conditional slippage of the venue's own evidence: quotes, bars, outages, back-fill, the guard (MES-COST-06)."""

import pytest

from marketdata.core.records import (
    BAR,
    FEED,
    FEED_GAP,
    FLAG_BACKFILL,
    FLAG_INVALID,
    QUOTE,
    new_events,
)
from tests.core.venue.kit import Floor, S, fills
from trading.core.records import ENTRY, EXIT, FILL, FLAG_DECIDED, STOP_LOSS
from trading.core.venue.state import new_venue

T = 1_200  # a whole minute, in seconds


def quote(floor: Floor, at_s: float, bid: int, ask: int, flags: int = 0) -> None:
    e = new_events(1)
    e["kind"], e["bid_tick"], e["ask_tick"], e["flags"] = QUOTE, bid, ask, flags
    e["ts_ns"] = e["ts_venue_ns"] = round(at_s * S)
    assert floor.hear(e) == []


def minutes(floor: Floor, ranges: list[int], volume: int = 100, flags: int = 0) -> int:
    """A bar of each range at every minute's 50th second from T on, the first one at T too; returns the end in s."""
    for k, height in enumerate([0, *ranges]):
        e = new_events(1)
        e["kind"], e["value"], e["volume"], e["flags"] = BAR, S, volume, flags
        start_s = T if k == 0 else T + 60 * (k - 1) + 50
        e["ts_ns"] = e["ts_venue_ns"] = (start_s + 1) * S
        e["open_tick"], e["high_tick"], e["low_tick"], e["close_tick"] = 100, 100 + height, 100, 100
        floor.hear(e)
    return T + 60 * len(ranges)


def test_a_wide_spread_costs_a_tick_more_mes_cost_06() -> None:
    floor = Floor("print", slip_mode="conditional")
    floor.market(10, 1, +1)
    assert fills(floor.trade(10.5, 100)) == [(1, 1, 101)], "no quote counts as a tick (MES-BREAK-03)"
    quote(floor, 11, 99, 101)
    floor.market(11, 2, +1)
    assert fills(floor.trade(11.5, 100)) == [(2, 1, 101)], "two ticks are not more than two"
    quote(floor, 12, 98, 101)
    floor.market(12, 3, -1, 2, role=EXIT)
    quote(floor, 12.2, 101, 99, FLAG_INVALID)  # no quote
    assert fills(floor.trade(12.5, 100)) == [(3, 2, 98)]
    floor.market(13, 4, +1)
    quote(floor, 13.1, 99, 100)
    assert fills(floor.trade(13.5, 100)) == [(4, 1, 102)], "an entry slips as its decision found the market"
    floor.stop(14, 5, -1, 99, role=STOP_LOSS)
    assert fills(floor.trade(14.5, 99)) == [(5, 1, 98)], "a stop as its fill does"


@pytest.mark.parametrize(("last", "ticks"), [(10, 1), (30, 1), (31, 4), (50, 4), (51, 7), (70, 7), (71, 8)])
def test_the_ratio_is_exact_and_half_of_it_rounded_up_mes_cost_06(last: int, ticks: int) -> None:
    floor = Floor("bar", slip_mode="conditional")
    end = minutes(floor, [10] * 5 + [last])
    floor.market(end, 1, -1, role=EXIT)  # nobody decided on it: the bar's own first step counts
    assert fills(floor.bar(end, 100, 100, 100, 100)) == [(1, 1, 100 - ticks)]


def test_what_a_decision_asked_for_slips_as_it_found_the_market_mes_rev_02() -> None:
    floor = Floor("bar", slip_mode="conditional")
    end = minutes(floor, [10] * 5 + [31])
    floor.market(end - 1, 1, -1, role=EXIT, flags=FLAG_DECIDED)
    assert fills(floor.bar(end, 100, 100, 100, 100)) == [(1, 1, 99)], "decided before the shock was evaluated"
    floor.market(end + 1, 2, -1, role=ENTRY, flags=FLAG_DECIDED)
    assert fills(floor.bar(end + 1, 100, 100, 100, 100)) == [(2, 1, 99)], "the reversal that it asked for, too"
    floor.market(end + 2, 3, +1, role=EXIT, flags=FLAG_DECIDED)
    assert fills(floor.bar(end + 2, 100, 100, 100, 100)) == [(3, 1, 104)]


@pytest.mark.parametrize("how", ["outage", "silence"])
def test_a_new_segment_has_no_evaluation_yet_mes_data_21(how: str) -> None:
    floor = Floor("bar", slip_mode="conditional")
    end = minutes(floor, [10] * 5 + [90])
    if how == "outage":
        e = new_events(1)
        e["kind"], e["code"], e["instrument"], e["ts_ns"] = FEED, FEED_GAP, -1, end * S
        floor.hear(e)
    at = end + (0 if how == "outage" else 300)
    floor.market(at, 1, +1, role=EXIT)
    assert fills(floor.bar(at, 100, 100, 100, 100)) == [(1, 1, 101)]


@pytest.mark.parametrize("how", ["outage", "silence"])
def test_no_spread_outlives_its_segment_mes_data_21(how: str) -> None:
    floor = Floor("bar", slip_mode="conditional")
    floor.bar(T, 100, 100, 100, 100)
    quote(floor, T + 1, 90, 95)
    assert floor.venue.slips[0].spread_ticks == 5
    if how == "outage":
        e = new_events(1)
        e["kind"], e["code"], e["instrument"], e["ts_ns"] = FEED, FEED_GAP, -1, (T + 1) * S
        floor.hear(e)
    at = T + (2 if how == "outage" else 301)
    floor.market(at, 1, +1, role=EXIT)
    assert fills(floor.bar(at, 100, 100, 100, 100)) == [(1, 1, 101)]
    floor.market(at + 1, 2, +1)
    assert fills(floor.bar(at + 1, 100, 100, 100, 100)) == [(2, 1, 101)], "nothing was quoted in it yet"
    quote(floor, at + 2, 90, 95)
    floor.market(at + 2, 3, +1)
    assert fills(floor.bar(at + 2, 100, 100, 100, 100)) == [(3, 1, 102)]


def test_history_is_heard_and_fills_nothing_mes_feat_06() -> None:
    floor = Floor("bar", slip_mode="conditional")
    floor.market(T - 5, 1, +1)
    end = minutes(floor, [10] * 5 + [31], flags=FLAG_BACKFILL)
    assert floor.rows[-1]["kind"] != FILL and floor.held() == 0
    floor.market(end, 2, +1)
    assert fills(floor.bar(end, 100, 100, 100, 100))[-1] == (2, 1, 101), "decided before the minute was evaluated"


def test_the_guard_closes_at_what_the_market_costs_k_02() -> None:
    floor = Floor("print", slip_mode="conditional")
    quote(floor, 9, 90, 95)
    floor.market(10, 1, +1)
    floor.trade(10.5, 100)
    assert fills(floor.flatten()) == [(-1, 1, 98)]


def test_a_mode_that_is_none_is_refused() -> None:
    terms = {"tick_value_micros": 1, "fee_micros": 0, "fee_ppm": 0}
    with pytest.raises(ValueError, match="fixed or conditional"):
        new_venue("bar", [terms], slip_mode="sometimes")
