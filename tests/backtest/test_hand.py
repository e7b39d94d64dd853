"""Fifteen trades worked by hand, to the cent: every way out that needs no operator.

MES-BT-10, MES-BT-12, MES-BT-15, MES-BT-17, MES-BT-20, MES-BT-23, MES-COST-01.

The shipped profile `mes-topstep` with three numbers changed for the example: the stop trails at 4 ticks, a trade lasts
15 minutes at most, and the limits on drawdown are near enough to be met (30 USD of the day's peak, 38.20 of the
balance's).  Prices are ticks above 6,000.00; a tick is 1.25 USD, a side costs 0.42.
"""

from dataclasses import replace

import pytest

from marketdata.core.units import text_from_micros
from risk.core.records import MES
from tests.backtest.compare import shipped, through_loop
from tests.backtest.market import at
from tests.backtest.parts import Bar, S
from trading.run.backtest.engine import Result, reason_of
from trading.run.backtest.plan import Plan

BASE = 24_000

# New York's clock, open, high, low, close, then the decision at the bar's end: class and confidence
BARS = """
2026-03-03
10:00:00   18  18  18  18  -1 .72   market order: the next print's open, a tick worse (BT-10)
10:00:01   18  20  16  19           in at 17, stop 25, target 1
10:00:02   20  26  20  22           25 is met: out at 25 + 1 (BT-12)                                     1 stop
10:01:00   22  22  22  22  +1 .72
10:01:01   22  23  21  22           in at 23, stop 15
10:01:02   13  14  12  13           opens beyond the stop: 13 - 1, not 15 - 1                            2 stop
10:02:00   13  13  13  13  +1 .72
10:02:01   13  15  13  15           in at 14, stop 6, target 30
10:02:02   15  20  15  19           closes 5 in profit: the stop goes to 15, for the next bar (STOP-05)
10:02:03   18  18  15  16           out at 15 - 1: nothing gained, fees paid, third loss in a row  3 trailing_stop
10:10:00   13  13  13  13  +1 .72   LOSS_STREAK until 10:17:04: refused
10:20:00   13  13  13  13  -1 .72
10:20:01   13  13  12  12           in at 12, stop 20, target -4
10:24:00   12  12  12  12
10:28:00   12  12  12  12
10:32:00   12  12  12  12
10:35:00   11  11  11  11           its end is 15 minutes after the fill
10:35:01    9  10   9   9           out at the open, 9 + 1 (STOP-06)                                     4 time
10:36:00    9   9   9   9  +1 .72
10:36:01    9  10   9  10           in at 10
10:36:02   11  11  11  11  -1 .60   against the position, not sure enough to turn it (REV-01)
10:36:03   11  11  11  11           out at 11 - 1                                                        5 signal
10:37:00   11  11  11  11  +1 .72
10:37:01   11  12  11  12           in at 12
10:37:06   13  13  13  13  -1 .80   sure enough: out, and the other way at the same open (REV-02)
10:37:07   13  13  12  12           out at 13 - 1; in again at 13 - 1, stop 20, target -4                6 reversal
10:37:08   10  10  -5  -5           -5 trades through -4                                                 7 target
10:38:00   -5  -5  -5  -5  +1 .72
10:38:01   -5  -3  -5  -3           in at -4, stop -12, target 12
10:38:02   -2  13  -2  13           13 trades through 12 (BT-13)                                         8 target
15:50:00   -5  -5  -5  -5  +1 .72   REDUCED: a stop of 6, half of two contracts (STOP-02, SIZE-02)
15:50:01   -5  -4  -5  -4           in at -4, stop -10, target 8
15:54:00   -4  -4  -4  -4
15:58:00   -4  -4  -4  -4
16:02:00   -4  -4  -4  -4
16:05:02   -4  -4  -4  -4           AGGRESSIVE_EXIT since 16:05:00: out at -4 - 1 (BT-15)                9 eod_flatten
2026-03-04
10:00:00    0   0   0   0  +1 .72   1,008.69 USD: two contracts
10:00:01    0   1   0   0           in at 1, stop -7
10:00:02   -2  -2  -8  -8           out at -7 - 1                                                       10 stop
10:01:00   -8  -8  -8  -8  +1 .72
10:01:01   -8  -8 -12 -12           in at -7; the close is 30.85 below the day's peak: DAILY_DRAWDOWN
10:01:02  -12 -12 -12 -12           out at the next open, -12 - 1                                       11 risk_limit
10:05:00  -12 -12 -12 -12  +1 .72   stopped for the day: refused
2026-03-05
11:00:00    0   0   0   0  -1 .72
11:00:01    0   0  -1   0           in at -1
11:00:02   50  50  50  50           another contract: out at the old one's last close, 0 + 1 (BT-17)  12 contract_roll
2026-03-06
10:00:00   50  50  50  50  -1 .72   972.83 USD: 37.95 below the highest balance
10:00:01   50  50  49  50           in at 49; its 0.42 makes it 38.37: ACCOUNT_DRAWDOWN
10:00:02   51  51  51  51           out at 51 + 1  13 circuit_breaker
10:05:00   51  51  51  51  +1 .72   an operator must look: refused
"""
NIGHT = """
2026-03-05
16:59:58    0   0   0   0  +1 .72
16:59:59    0   2   0   2           in at 1; the session closes at 17:00:00: out at 2 - 1 (BT-16)        1 session_end
2026-03-05
18:00:00    5   5   5   5  -1 .72
18:00:01    5   5   3   3           in at 4; the data ends: out at 3 + 1 (BT-19)                         2 end_of_data
"""

# reason, entry and exit in New York, side, contracts, in, out, gross, fees, slippage, net, bars held, MFE, MAE
TRADES = """
stop             10:00:01 10:00:03  -1 1   17   26  -11.25 0.84 2.50 -12.09  2   1   9
stop             10:01:01 10:01:03  +1 1   23   12  -13.75 0.84 2.50 -14.59  2   0  11
trailing_stop    10:02:01 10:02:04  +1 1   14   14    0.00 0.84 2.50  -0.84  3   6   1
time             10:20:01 10:35:01  -1 1   12   10    2.50 0.84 2.50   1.66  5   2   1
signal           10:36:01 10:36:03  +1 1   10   10    0.00 0.84 2.50  -0.84  2   1   1
reversal         10:37:01 10:37:07  +1 1   12   12    0.00 0.84 2.50  -0.84  2   1   1
target           10:37:07 10:37:09  -1 1   12   -4   20.00 0.84 1.25  19.16  2  16   1
target           10:38:01 10:38:03  +1 1   -4   12   20.00 0.84 1.25  19.16  2  16   1
eod_flatten      15:50:01 16:05:02  +1 1   -4   -5   -1.25 0.84 2.50  -2.09  4   0   1
stop             10:00:01 10:00:03  +1 2    1   -8  -22.50 1.68 5.00 -24.18  2   0   9
risk_limit       10:01:01 10:01:02  +1 1   -7  -13   -7.50 0.84 2.50  -8.34  1   0   6
contract_roll    11:00:01 11:00:02  -1 1   -1    1   -2.50 0.84 2.50  -3.34  1   0   2
circuit_breaker  10:00:01 10:00:02  -1 1   49   52   -3.75 0.84 2.50  -4.59  1   0   3
"""
NIGHT_TRADES = """
session_end      16:59:59 17:00:00  +1 1    1    1    0.00 0.84 2.50  -0.84  1   1   1
end_of_data      18:00:01 18:00:02  -1 1    4    4    0.00 0.84 2.50  -0.84  1   1   1
"""
END = "968.240000"  # 1,000 and the nets above


def bars_of(text: str) -> list[Bar]:
    """The table as bars; the contract changes at its only jump of 50."""
    found: list[Bar] = []
    day, contract = "", 0
    for line in text.strip().splitlines():
        words = line.split()
        if len(words) == 1:
            day = words[0]
            continue
        o, h, low, c = (BASE + int(word) for word in words[1:5])
        contract += 1 if found and abs(o - found[-1].c) == 50 else 0
        decides = len(words) > 6 and words[5] in ("+1", "-1")
        side, confidence = (int(words[5]), int(float(words[6]) * 100 + 0.5) * 10_000) if decides else (0, 1_000_000)
        found.append(Bar(at(day, words[0]), o, h, low, c, 0, contract, side, confidence))
    return found


def table_of(result: Result) -> list[list[str]]:
    """The loop's trades in the table's words."""
    rows = []
    for t in result.trades:
        money = [f"{int(t[name]) / 1e6:.2f}" for name in ("gross_micros", "fee_micros", "slip_micros", "net_micros")]
        rows.append(
            [
                reason_of(t, MES), clock(int(t.entry_ns)), clock(int(t.exit_ns)), f"{int(t.side):+d}", str(t.qty),
                str(t.entry_tick - BASE), str(t.exit_tick - BASE), *money, str(t.bars_held), str(t.mfe_ticks),
                str(t.mae_ticks),
            ]
        )  # fmt: skip
    return rows


def clock(ts_ns: int) -> str:
    """New York's wall clock in the winter of 2026: five hours behind UTC."""
    seconds = (ts_ns // S - 5 * 3600) % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def example(plan: Plan) -> Plan:
    changed = {
        "trail_ticks": 4,
        "hold_ns_max": 900 * S,
        "drawdown_day_micros_max": 30_000_000,
        "drawdown_micros_max": 38_200_000,
    }
    return replace(plan, limits=plan.limits | changed)


@pytest.fixture(scope="module")
def worked() -> Result:
    return through_loop(example(shipped()), bars_of(BARS))[1]


def test_every_trade_equals_the_table_to_the_cent_mes_bt_21(worked: Result) -> None:
    assert table_of(worked) == rows_of(TRADES)


def test_the_nets_are_the_change_of_equity_to_the_micro_mes_bt_22(worked: Result) -> None:
    net = int(worked.trades["net_micros"].sum())
    assert net == worked.balance_micros - 1_000_000_000 == int(worked.points["equity_micros"][-1]) - 1_000_000_000
    assert text_from_micros(worked.balance_micros) == END
    assert int((worked.trades["gross_micros"] - worked.trades["fee_micros"]).sum()) == net


def test_an_operators_hold_ends_trading_and_heads_the_result_mes_bt_01(worked: Result) -> None:
    stopped = worked.stopped_by
    assert stopped is not None
    assert stopped.hold.code == "ACCOUNT_DRAWDOWN"
    raised = {row.hold.code for row in worked.holds}
    assert {"LOSS_STREAK", "DAILY_DRAWDOWN", "ACCOUNT_DRAWDOWN", "EOD", "EOD_REDUCED", "CLOSE_ONLY"} <= raised


def test_stop_and_target_as_placed_at_the_entry_mes_bt_26(worked: Result) -> None:
    first, ninth = worked.trades[0], worked.trades[8]
    assert (int(first.stop_tick) - BASE, int(first.target_tick) - BASE) == (25, 1)
    assert (int(ninth.stop_tick) - BASE, int(ninth.target_tick) - BASE) == (-10, 8)
    assert int(first.risk_micros) == 10_000_000 and int(ninth.risk_micros) == 7_500_000


def test_the_night_ends_by_session_and_by_data_mes_bt_16_19() -> None:
    plan = replace(shipped(), schedule="all_hours")
    result = through_loop(plan, bars_of(NIGHT))[1]
    assert table_of(result) == rows_of(NIGHT_TRADES)
    assert [int(equity) for equity in result.days["equity_micros"]] == [999_160_000, 998_320_000]
    assert result.stopped_by is None


def test_stop_and_target_met_in_one_bar_is_the_stop_mes_bt_14() -> None:
    bars = """
    2026-03-03
    10:00:00  0  0   0  0  +1 .72
    10:00:01  0 40 -40  0
    """
    result = through_loop(shipped(), bars_of(bars))[1]
    assert table_of(result)[0][:7] == ["stop", "10:00:01", "10:00:02", "+1", "1", "1", "-8"]


def test_a_target_that_is_only_touched_does_not_fill_mes_bt_13() -> None:
    bars = """
    2026-03-03
    10:00:00  0  0   0  0  +1 .72
    10:00:01  0 17   0 10
    """
    through = through_loop(shipped(), bars_of(bars))[1]
    touch = through_loop(replace(shipped(), limit_fill="touch"), bars_of(bars))[1]
    assert [reason_of(t, MES) for t in through.trades] == ["end_of_data"]
    assert [reason_of(t, MES) for t in touch.trades] == ["target"]


@pytest.mark.parametrize(("print_at", "entered"), [("10:00:06", 1), ("10:00:07", 0)])
def test_an_entry_waits_five_seconds_for_its_print_mes_bt_11(print_at: str, entered: int) -> None:
    bars = f"""
    2026-03-03
    10:00:00  0  0  0  0  +1 .72
    {print_at}  0  0  0  0
    """
    assert len(through_loop(shipped(), bars_of(bars))[1].trades) == entered
