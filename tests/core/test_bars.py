"""Trades → bars: closing of seconds (MES-LIVE-03), carried bars (MES-DATA-20), the same bars for every cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketdata.core.bars import (
    CARRY_NS,
    GRACE_NS,
    add_trade,
    bars_of,
    close_at_timer,
    close_until,
    new_bars,
    reset_bars,
)
from marketdata.core.records import BAR, FLAG_CARRIED, NO_TIME, QUOTE, TRADE, new_events

S = 1_000_000_000
T0 = 1_772_636_400 * S
Trade = tuple[int, int, int]  # ns after T0, tick, qty


def trades(rows: list[Trade], instrument: int = 0) -> np.ndarray:
    events = new_events(len(rows))
    for event, (at, tick, qty) in zip(events, rows, strict=True):
        event.kind, event.instrument = TRADE, instrument
        event.ts_ns = event.ts_venue_ns = T0 + at
        event.price_tick, event.qty = tick, qty
    return events


def rows(bars: np.ndarray) -> list[tuple[int, ...]]:
    """(end in s after T0, open, high, low, close, volume, carried)."""
    names = ("open_tick", "high_tick", "low_tick", "close_tick", "volume")
    return [
        ((int(bar.ts_venue_ns) - T0) // S, *(int(bar[name]) for name in names), int(bar["flags"]) & FLAG_CARRIED)
        for bar in bars
    ]


def build(events: np.ndarray, room: int = 4096, bar_ns: int = S) -> np.ndarray:
    state, at = new_bars(2), 0
    parts = []
    while at < events.size:
        out = new_events(room)
        at, made = bars_of(state, events, at, bar_ns, out)
        parts.append(out[:made])
    return np.concatenate(parts) if parts else new_events(0)


def test_a_second_closes_at_the_first_trade_of_a_later_one() -> None:
    """MES-LIVE-03; the bar becomes known with that trade, its end is the end of the second."""
    bars = build(trades([(0, 10, 1), (S - 1, 12, 2), (S, 11, 5)]))
    assert rows(bars) == [(1, 10, 12, 10, 12, 3, 0)]
    assert bars[0].kind == BAR and bars[0].value == S and bars[0].price_tick == 12
    assert bars[0].ts_ns == T0 + S
    late_known = build(trades([(0, 10, 1), (S + 700_000_000, 11, 5)]))
    assert late_known[0].ts_venue_ns == T0 + S and late_known[0].ts_ns == T0 + S + 700_000_000


def test_a_second_closes_at_the_timer_with_its_grace() -> None:
    state, out = new_bars(1), new_events(8)
    assert close_at_timer(state, 0, T0, S, out, 0) == 0, "nothing to close before the first trade"
    assert add_trade(state, 0, T0 + 5, 10, 1, S) == 1
    assert close_at_timer(state, 0, T0 + S + GRACE_NS - 1, S, out, 0) == 0
    assert close_at_timer(state, 0, T0 + S + GRACE_NS, S, out, 0) == 1
    assert out[0].ts_ns == T0 + S + GRACE_NS
    assert rows(out[:1]) == [(1, 10, 10, 10, 10, 1, 0)]


def test_a_trade_of_a_closed_second_is_late() -> None:
    """MES-LIVE-03: counted and left out."""
    state, out = new_bars(1), new_events(8)
    add_trade(state, 0, T0, 10, 1, S)
    assert close_until(state, 0, T0 + S, S, T0 + S, out, 0) == 1
    assert add_trade(state, 0, T0 + S - 1, 99, 7, S) == 0
    assert state[0].late == 1
    assert add_trade(state, 0, T0 + S, 11, 2, S) == 1
    assert close_until(state, 0, T0 + 2 * S, S, T0 + 2 * S, out, 1) == 2
    assert rows(out[:2]) == [(1, 10, 10, 10, 10, 1, 0), (2, 11, 11, 11, 11, 2, 0)]


def test_seconds_without_a_trade_are_carried() -> None:
    """MES-DATA-20: o = h = l = c = previous close, v = 0."""
    bars = build(trades([(0, 10, 1), (1, 8, 1), (3 * S, 20, 4), (4 * S, 21, 1)]))
    assert rows(bars) == [
        (1, 10, 10, 8, 8, 2, 0),
        (2, 8, 8, 8, 8, 0, 1),
        (3, 8, 8, 8, 8, 0, 1),
        (4, 20, 20, 20, 20, 4, 0),
    ]


@pytest.mark.parametrize(("gap_s", "carried"), [(300, 299), (301, 300), (302, 300), (5000, 300)])
def test_the_grid_ends_300_seconds_after_the_last_print(gap_s: int, carried: int) -> None:
    """MES-DATA-20: second s is on the grid when a print exists in [s − 300 s, s]."""
    assert CARRY_NS == 300 * S
    bars = build(trades([(0, 10, 1), (gap_s * S, 30, 2), ((gap_s + 1) * S, 31, 2)]))
    assert rows(bars)[0] == (1, 10, 10, 10, 10, 1, 0)
    assert [row[6] for row in rows(bars)] == [0] + [1] * carried + [0]
    assert rows(bars)[-1] == (gap_s + 1, 30, 30, 30, 30, 2, 0)


def test_nothing_is_carried_over_the_border_of_a_segment() -> None:
    state, out = new_bars(1), new_events(8)
    add_trade(state, 0, T0, 10, 1, S)
    reset_bars(state, 0)
    assert state[0].start_ns == NO_TIME
    assert close_until(state, 0, T0 + 10 * S, S, T0 + 10 * S, out, 0) == 0


def test_only_trades_count_and_instruments_are_apart() -> None:
    mine, other = trades([(0, 10, 1), (S, 11, 1)]), trades([(0, 500, 9), (S, 501, 9)], instrument=1)
    quote = new_events(1)
    quote["kind"] = QUOTE
    mixed = np.concatenate([mine[:1], other[:1], quote, mine[1:], other[1:]])
    bars = build(mixed)
    assert sorted((int(bar.instrument), int(bar.close_tick)) for bar in bars) == [(0, 10), (1, 500)]


def naive(events: np.ndarray, bar_ns: int) -> list[tuple[int, ...]]:
    """The bars that are closed by the last trade, written the slow way."""
    times = events["ts_venue_ns"].tolist()
    starts = [time - time % bar_ns for time in times]
    found: list[tuple[int, ...]] = []
    last_print, close = starts[0], 0
    for start in range(starts[0], starts[-1], bar_ns):
        inside = events[[s == start for s in starts]]
        end = (start + bar_ns - T0) // S
        if inside.size > 0:
            price = inside["price_tick"]
            close, last_print = int(price[-1]), start
            found.append((end, int(price[0]), int(price.max()), int(price.min()), close, int(inside["qty"].sum()), 0))
        elif start - last_print <= CARRY_NS:
            found.append((end, close, close, close, close, 0, 1))
    return found


GAPS = st.lists(
    st.tuples(st.one_of(st.integers(0, 3 * S), st.integers(0, 700 * S)), st.integers(50, 60), st.integers(1, 9)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=120, deadline=None)
@given(gaps=GAPS, room=st.integers(1, 9), bar_s=st.sampled_from([1, 5, 60]))
def test_bars_equal_the_slow_way_for_any_room(gaps: list[Trade], room: int, bar_s: int) -> None:
    times = np.cumsum([gap for gap, _, _ in gaps])
    events = trades([(int(at), tick, qty) for at, (_, tick, qty) in zip(times, gaps, strict=True)])
    assert rows(build(events, room, bar_s * S)) == naive(events, bar_s * S)
