"""Conditional slippage worked by hand (MES-COST-06): shocks, a thin minute, segments that were not evaluated yet.

The shipped profile, its money's limits and pauses out of the way.  Prices are ticks above 6,000.00.  A minute's ATR is
that of its last 14 seconds: here the range of its one bar at :50, as Σ14 TR.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from marketdata.core.records import BAR, FLAG_CARRIED, new_events
from risk.core.records import MES
from tests.backtest.compare import shipped, through_loop, unlike
from tests.backtest.market import at
from tests.backtest.parts import Bar, S
from tests.core.venue.kit import Floor, Said, fills
from trading.core.records import ENTRY, EXIT, FLAG_DECIDED, MARKET, STOP, STOP_LOSS, SUBMIT
from trading.run.backtest import breakeven, summary
from trading.run.backtest.dearer import dearer_plan
from trading.run.backtest.engine import Result, reason_of
from trading.run.backtest.plan import Plan

BASE = 24_000
DAY = "2026-03-03"
FREE = {
    "capital_micros": 3 * 10**9, "move_ticks_max": 10**6, "streak_soft": 0, "streak_hard": 0, "stop_ticks": 16,
    "drawdown_micros_max": 9 * 10**8, "loss_day_micros_max": 9 * 10**8, "drawdown_day_micros_max": 9 * 10**8,
    "loss_total_micros_max": 9 * 10**8,
}  # fmt: skip

# New York's clock, open, high, low, close, volume, then the decision at the bar's end: class and confidence
BARS = """
10:00:00   0   0    0   0  100
10:00:50   0   5   -5   0  100         10 at 10:01, the first full minute's
10:01:50   0   5   -5   0  100         10 at 10:02
10:02:20   0   0    0   0  100 +1 .72  nothing is evaluated yet: ratio 1, a tick
10:02:21   0   0    0   0  100         in at 0 + 1, stop -15
10:02:50   0   5   -5   0  100         10
10:03:20   0   0    0   0  100 -1 .60
10:03:21   0   0    0   0  100         out at 0 - 1                                                          1
10:03:50   0   5   -5   0  100         10
10:04:50   0   5   -5   0  100         10: the fifth
10:05:50   0  16  -15   0  100         31 at 10:06 against 10: ratio 3.1, 2 + 1.05 make 4
10:06:10   0   0    0   0  100 +1 .72
10:06:11   0   0    0   0  100         in at 0 + 4, stop -12
10:06:20   0   0  -12 -12  100         out at -12 - 4                                                        2
10:06:21 -12   0  -12   0  100
10:06:50   0   5   -5   0  100         10 against 81 / 6
10:07:50   0  45  -45   0  100         90 at 10:08 against 91 / 7: ratio 6.92, 4 + 2.96 make 7
10:07:59   0   0    0   0  100 +1 .72  decided before 10:08 is evaluated: a tick
10:08:00   0   0    0   0  100         in at 0 + 1, stop -15
10:08:01   0   0  -20 -20  100         nobody decides on a stop: out at -15 - 7                              3
10:08:02 -20   0  -20   0  100
10:08:50   0   5   -5   0  100         10
10:09:50   0   5   -5   0    1         1 contract in this minute: thin
10:10:10   0   0    0   0  100 +1 .72
10:10:11   0   0    0   0  100         in at 0 + 2
10:10:50   0   5   -5   0  100         10
10:10:59   0   0    0   0  100 -1 .60  decided while 10:10 still says thin
10:11:00   0   0    0   0  100         out at 0 - 2, though 10:11 says no longer                              4
10:11:50   0   5   -5   0  100         10
10:12:50   0 100 -100   0  100         200 at 10:13 against 221 / 12: ratio 10.86, 4 + 4.93 make 9
10:13:10   0   0    0   0  100 +1 .72
10:13:11   0   0    0   0  100         in at 0 + 9, stop -7
10:20:00 -10 -10  -10 -10  100         a silence of 409 s: a new segment, out at -10 - 1                     5
10:25:50 -10  -5  -15 -10  100
"""
# reason, entry and exit in New York, in, out, ticks slipped at both
TRADES = """
signal  10:02:21 10:03:21   1  -1  1 1
stop    10:06:11 10:06:21   4 -16  4 4
stop    10:08:00 10:08:02   1 -22  1 7
signal  10:10:11 10:11:00   2  -2  2 2
stop    10:13:11 10:20:01   9 -11  9 1
"""
# the last print is at 16:57:50, and its minute's seconds are carried to the close: 16:58 and 16:59 trade nothing
NIGHT = """
16:50:00   0   0    0   0  100
16:50:50   0   5   -5   0  100
16:51:50   0   5   -5   0  100
16:52:50   0   5   -5   0  100
16:53:50   0   5   -5   0  100
16:54:50   0   5   -5   0  100
16:55:50   0   5   -5   0  100
16:56:50   0   5   -5   0  100
16:57:49   0   0    0   0  100 +1 .72
16:57:50   0   5   -5   0  100
18:00:00   0   0    0   0  100
"""


def bars_of(text: str) -> list[Bar]:
    """The table as bars."""
    found = []
    for words in (line.split() for line in text.strip().splitlines()):
        o, h, low, c = (BASE + int(word) for word in words[1:5])
        decides = len(words) > 7 and words[6] in ("+1", "-1")
        side, confidence = (int(words[6]), int(float(words[7]) * 100 + 0.5) * 10_000) if decides else (0, 1_000_000)
        found.append(Bar(at(DAY, words[0]), o, h, low, c, int(words[5]), 0, side, confidence))
    return found


def example(**changes: object) -> Plan:
    plan = shipped()
    plan = replace(plan, limits=plan.limits | FREE, capital_micros=FREE["capital_micros"], schedule="all_hours")
    return replace(plan, **({"slip_mode": "conditional"} | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def worked() -> Result:
    return through_loop(example(), bars_of(BARS))[1]


def table_of(result: Result) -> list[list[int | str]]:
    clock = at(DAY, "10:00:00")
    return [
        [reason_of(t, MES), int(t.entry_ns - clock) // S, int(t.exit_ns - clock) // S, int(t.entry_tick) - BASE,
         int(t.exit_tick) - BASE, int(t.slip_micros - t.exit_slip_micros) // (int(t.qty) * 1_250_000),
         int(t.exit_slip_micros) // (int(t.qty) * 1_250_000)]
        for t in result.trades
    ]  # fmt: skip


def rows_of(text: str) -> list[list[int | str]]:
    clock = at(DAY, "10:00:00")
    rows: list[list[int | str]] = []
    for reason, entry, leave, *ticks in (line.split() for line in text.strip().splitlines()):
        rows.append([reason, *((at(DAY, t) - clock) // S for t in (entry, leave)), *(int(word) for word in ticks)])
    return rows


def test_every_fill_slips_by_the_evaluation_that_it_is_due_mes_cost_06(worked: Result) -> None:
    assert table_of(worked) == rows_of(TRADES)


def test_slippage_is_told_apart_to_the_micro_and_counted_once_mes_bt_22(worked: Result) -> None:
    rows, free = worked.trades, through_loop(example(slip_mode="fixed", slip_ticks=0), bars_of(BARS))[1].trades
    assert int(rows["net_micros"].sum()) == worked.balance_micros - worked.plan.capital_micros
    assert (rows["slip_micros"] // rows["qty"]).tolist() == [ticks * 1_250_000 for ticks in (2, 8, 8, 4, 10)]
    assert int(rows["gross_micros"][0] + rows["slip_micros"][0]) == int(free["gross_micros"][0]), "of equal fills"


def test_a_session_that_ends_in_silence_ends_thin_mes_bt_16() -> None:
    result = through_loop(example(), bars_of(NIGHT))[1]
    assert table_of(result)[0][3:] == [1, -2, 1, 2]
    assert reason_of(result.trades[0], MES) == "session_end"
    assert int(result.trades[0].exit_ns) == at(DAY, "17:00:00")


def test_bars_passed_at_once_leave_the_same_bytes_mes_bt_01() -> None:
    plan = example(equity_sample="minute")
    differs, _, result = unlike(plan, bars_of(BARS), 20_000, (7, 20))
    assert not differs and len(result.trades) == 5


def test_costs_half_as_high_again_are_rounded_up_fill_by_fill_mes_guard_05() -> None:
    plan = dearer_plan(example(), Fraction(3, 2))
    rows = table_of(through_loop(replace(plan, equity_sample="bar"), bars_of(BARS))[1])
    assert [row[5:] for row in rows] == [[2, 2], [6, 6], [2, 11], [3, 3], [14, 2]]


def test_what_rests_on_a_tick_says_so_mes_cost_05(worked: Result) -> None:
    told = breakeven.spoken(breakeven.break_even(worked.plan), None)
    fixed = breakeven.break_even(replace(worked.plan, slip_mode="fixed", slip_ticks=1))
    assert "assumed is slippage of 1 tick a market or stop fill; conditional, it may be more" in told
    assert breakeven.break_even(worked.plan)["after"] == fixed["after"] and "assumes" not in fixed
    assert any("slippage is conditional" in line for line in summary.warnings(worked, 0, {}))


# behind the bar of this time: what is sent to the venue that hears the same bars as a stream
ORDERS = {
    "10:02:20": (MARKET, 1, ENTRY, 0, 0), "10:02:21": (STOP, -1, STOP_LOSS, -15, 0),
    "10:03:20": (MARKET, -1, EXIT, 0, FLAG_DECIDED), "10:06:10": (MARKET, 1, ENTRY, 0, 0),
    "10:06:11": (STOP, -1, STOP_LOSS, -12, 0), "10:07:59": (MARKET, 1, ENTRY, 0, 0),
    "10:08:00": (STOP, -1, STOP_LOSS, -15, 0), "10:10:10": (MARKET, 1, ENTRY, 0, 0),
    "10:10:59": (MARKET, -1, EXIT, 0, FLAG_DECIDED), "10:13:10": (MARKET, 1, ENTRY, 0, 0),
    "10:13:11": (STOP, -1, STOP_LOSS, -7, 0),
}  # fmt: skip


def streamed(floor: Floor, *, carried: bool) -> Iterator[Said]:
    """The bars one by one as events, `carried` seconds too, and the orders as requests."""
    before: Bar | None = None
    for number, b in enumerate(bars_of(BARS), 1):
        seconds = [b]
        if carried and before is not None:
            last = min(b.start, before.start + 301 * S)
            silent = range(before.start + S, last, S)
            seconds = [Bar(t, before.c, before.c, before.c, before.c, 0) for t in silent] + [b]
        for row in seconds:
            e = new_events(1)
            e["kind"], e["value"], e["flags"] = BAR, S, 0 if row is b else FLAG_CARRIED
            e["ts_ns"] = e["ts_venue_ns"] = row.start + S
            e["open_tick"], e["high_tick"], e["low_tick"], e["close_tick"] = row.o, row.h, row.low, row.c
            e["volume"] = row.volume
            yield from floor.hear(e)
        for clock, (kind, side, role, stop, flags) in ORDERS.items():
            if at(DAY, clock) == b.start:
                if role == EXIT:  # the stop of before goes
                    for old in floor.working():
                        yield from floor.cancel(b.start / S + 1, old)
                e = new_events(1)
                e["kind"], e["order_number"], e["ts_ns"], e["order_type"] = SUBMIT, number, b.start + S, kind
                e["side"], e["qty"], e["role"], e["flags"] = side, 1, role, flags
                if kind == STOP:
                    e["stop_tick"] = BASE + stop
                yield from floor.ask(e)
        before = b


@pytest.mark.parametrize("carried", [False, True])
def test_a_stream_of_the_same_bars_fills_alike_mes_cost_06(carried: bool) -> None:
    floor = Floor("bar", slip_mode="conditional")
    prices = [tick - BASE for _, _, tick in fills(list(streamed(floor, carried=carried)))]
    assert prices == [tick for row in rows_of(TRADES) for tick in row[3:5]]
