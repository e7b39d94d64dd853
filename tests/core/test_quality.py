"""Verdicts, one by one (MES-DATA-03)."""

import numpy as np
import pytest

from marketdata.core.quality import (
    BAD_OHLC,
    CONFLICT,
    CROSSED,
    GOOD,
    MISSING,
    NOT_POSITIVE,
    OFF_GRID,
    OFF_SECOND,
    ONE_SIDED,
    OUT_OF_ORDER,
    OUT_OF_RANGE,
    REPEATED,
    bar_verdicts,
    book_verdict,
    nearest_tick,
    order_verdicts,
)
from marketdata.core.records import NO_TICK

TICK = 250_000_000
SECOND = 10**9


@pytest.mark.parametrize(
    ("bid", "ask", "verdict"),
    [(1, 2, GOOD), (2, 2, CROSSED), (3, 2, CROSSED), (NO_TICK, 2, ONE_SIDED), (1, NO_TICK, ONE_SIDED)],
)
def test_books(bid, ask, verdict):
    assert book_verdict(bid, ask) == verdict


def test_the_slack_is_a_millionth_of_a_tick():
    """MES-DATA-03, rule 3."""
    assert nearest_tick(5000 * SECOND + 250, TICK, 250) == 20000
    assert nearest_tick(5000 * SECOND - 250, TICK, 250) == 20000
    assert nearest_tick(5000 * SECOND + 251, TICK, 250) == NO_TICK
    assert nearest_tick(5000 * SECOND + 1, TICK, 0) == NO_TICK


@pytest.mark.parametrize(
    ("ohlc", "volume", "start", "verdict"),
    [
        ((5000, 5001, 4999, 5000.5), 3, 0, GOOD),
        ((5000, 5001, 4999, None), 3, 0, MISSING),
        ((5000, 5001, 4999, 5000), NO_TICK, 0, MISSING),
        ((5000, 5001, 0, 5000), 3, 0, NOT_POSITIVE),
        ((5000, 5001, 4999, 5000), -1, 0, NOT_POSITIVE),
        ((5000.1, 5001, 4999, 5000), 3, 0, OFF_GRID),
        ((5002, 5001, 4999, 5000), 3, 0, BAD_OHLC),
        ((5000, 5001, 4999, 4998), 3, 0, BAD_OHLC),
        ((5000, 5001, 4999, 5000), 3, 1, OFF_SECOND),
        ((5000, 7e8, 4999, 5000), 3, 0, OUT_OF_RANGE),
        ((5000, 5001, 4999, 5000), 2**60, 0, OUT_OF_RANGE),
    ],
)
def test_bars(ohlc, volume, start, verdict):
    prices = np.array([[NO_TICK if p is None else round(p * SECOND) for p in ohlc]], np.int64)
    ticks, verdicts = np.zeros((1, 4), np.int64), np.zeros(1, np.int64)
    bar_verdicts(np.array([start]), prices, np.array([volume]), TICK, 250, SECOND, ticks, verdicts)
    assert verdicts[0] == verdict


def test_order_over_the_border_of_chunks():
    """Rules 6 to 8 compare with the last good row, whatever chunk it was in."""
    last = np.full(7, NO_TICK)
    out = []
    for starts, closes in (([1, 2, 2], [1, 5, 5]), ([2, 2, 1, 3], [5, 6, 1, 1])):
        ticks = np.array([[1, 9, 1, close] for close in closes])
        verdicts = np.zeros(len(starts), np.int64)
        ones = np.ones(len(starts), np.int64)
        order_verdicts(np.array(starts), ticks, ones, ones, last, verdicts)
        out += verdicts.tolist()
    assert out == [GOOD, GOOD, REPEATED, REPEATED, CONFLICT, OUT_OF_ORDER, GOOD]
