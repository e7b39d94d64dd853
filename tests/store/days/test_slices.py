"""Slices of a day beside a plain loop over the same bars and books, cut into blocks at random."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from marketdata.core.records import NO_TICK
from marketdata.core.units import NANOS
from marketdata.store.days.slices import Candles, QuoteSlices, candles
from marketdata.store.days.span import DAY_MINUTES, POINTS_MAX, STEPS_S, span_of

DAY = date(2024, 1, 2)
MINUTE = 60 * NANOS


@pytest.mark.parametrize(
    ("first", "last", "bar_s", "step_s"),
    [
        (0, DAY_MINUTES, 0, 60),
        (0, DAY_MINUTES, 1, 60),
        (0, DAY_MINUTES, 7, 7 * 9),
        (840, 900, 1, 5),
        (840, 841, 1, 1),
        (0, DAY_MINUTES, 300, 300),
        (0, DAY_MINUTES, 86_400, 86_400),
        (1439, 1440, 300, 300),
    ],
)
def test_a_slice_holds_whole_bars_and_a_picture_few_points(first, last, bar_s, step_s):
    span = span_of(DAY, first, last, bar_s * NANOS)
    if bar_s == 7:  # no step of the list holds whole bars of 7 s
        assert span.step_ns == 7 * NANOS
    else:
        assert span.step_ns == step_s * NANOS and span.slices <= POINTS_MAX
    assert span.end_ns - span.begin_ns == (last - first) * MINUTE


def test_every_part_of_a_day_has_few_points():
    for first in range(0, DAY_MINUTES, 37):
        for last in range(first + 1, DAY_MINUTES + 1, 101):
            span = span_of(DAY, first, last)
            assert 1 <= span.slices <= POINTS_MAX and span.step_ns // NANOS in STEPS_S
    assert span_of(DAY, 5, 5).end_ns - span_of(DAY, 5, 5).begin_ns == MINUTE, "never nothing"


def plain_candles(span, rows) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for start, o, h, low, c, v in rows:
        if span.begin_ns <= start < span.end_ns:
            at = (start - span.begin_ns) // span.step_ns
            one = found.setdefault(at, [o, h, low, c, 0])
            one[1], one[2], one[3], one[4] = max(one[1], h), min(one[2], low), c, one[4] + v
    return found


@pytest.mark.parametrize("seed", range(4))
def test_candles_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    span = span_of(DAY, 600, 720, NANOS)
    start = np.sort(rng.choice(np.arange(-900, 8000), 3000, replace=False)) * NANOS + span.begin_ns
    close = 20_000 + rng.integers(-50, 50, start.size)
    rows = np.stack([start, close - 1, close + 3, close - 4, close, rng.integers(0, 9, start.size)], axis=1)
    made = candles(span, rows[:, 0], rows[:, 1:5], rows[:, 5])
    assert isinstance(made, Candles) and made.at.size > 100
    told = {int(at): [*map(int, ticks), int(v)] for at, ticks, v in zip(*made, strict=True)}
    assert told == plain_candles(span, rows.tolist())
    empty = candles(span, rows[:0, 0], rows[:0, 1:5], rows[:0, 5])
    assert empty.at.size == empty.volume.size == 0 and empty.ticks.shape == (0, 4)


def plain_quotes(span, rows, until) -> list[list[int]]:
    standing = [NO_TICK, NO_TICK]
    rows = list(rows)
    found = []
    for k in range(span.slices):
        begin, end = span.begin_ns + k * span.step_ns, min(span.begin_ns + (k + 1) * span.step_ns, span.end_ns)
        widest, books, invalid, bids, asks = NO_TICK, 0, 0, [], []
        while rows and rows[0][0] < end:
            at, bid, ask, valid = rows.pop(0)
            standing = [bid, ask] if valid else [NO_TICK, NO_TICK]
            if at < begin:
                continue
            books, invalid = books + 1, invalid + (not valid)
            bids += [standing[0]] if standing[0] != NO_TICK else []
            asks += [standing[1]] if standing[1] != NO_TICK else []
            if NO_TICK not in standing:
                widest = max(widest, ask - bid)
        shown = standing if begin <= until else [NO_TICK, NO_TICK]
        if NO_TICK not in shown:
            widest = max(widest, shown[1] - shown[0])
        low, high = (min(bids, default=NO_TICK), max(asks, default=NO_TICK)) if books else shown
        found.append([*shown, widest, books, invalid, low, high])
    return found


@pytest.mark.parametrize("seed", range(6))
def test_quotes_are_those_of_a_plain_loop_however_the_blocks_are_cut(seed):
    rng = np.random.default_rng(seed)
    span = span_of(DAY, 600, 660)
    n = 2000
    ts = np.sort(rng.integers(-600, (3000, 4000)[seed % 2], n)) * NANOS + span.begin_ns
    bid = 20_000 + rng.integers(-50, 50, n)
    ask = bid + rng.integers(-1, 6, n)
    bid[rng.random(n) < 0.05] = NO_TICK
    ask[rng.random(n) < 0.05] = NO_TICK
    valid = rng.random(n) > 0.1
    made = QuoteSlices(span)
    cuts = [0, *sorted(rng.integers(0, n, 9).tolist()), n]
    for begin, end in pairwise(cuts):
        made.see(ts[begin:end], bid[begin:end], ask[begin:end], valid[begin:end])
    made.passed(int(ts[-1]))
    told = np.stack(made.end(), axis=1).tolist()
    rows = zip(ts.tolist(), bid.tolist(), ask.tolist(), valid.tolist(), strict=True)
    assert told == plain_quotes(span, rows, int(ts[-1]))
