"""The compiled loop equals a slow oracle on random bars: gaps, jumps, session ends, half days, rolls, all rules.

MES-BT-04, MES-BT-05, MES-BT-18, MES-BT-24: times, approvals, brackets over gaps, a point for every row of the grid.

`python -m tests.backtest --sets 2000` is the long form.
"""

from collections import Counter
from datetime import datetime

from marketdata.calendars import SCHEDULES, cme_sessions, session_phases
from marketdata.core.sessions import PHASES
from risk.core.records import MES
from tests.backtest.compare import apart, difference, draw_shocks
from tests.backtest.market import STANDARD, TOPSTEP, WEEKS, days_of
from trading.run.backtest.engine import reason_of

SETS, SHOCK_SETS = 100, 12
MUST_REACH = {
    "target", "stop", "trailing_stop", "time", "session_end", "contract_roll", "end_of_data", "signal", "reversal",
    "eod_flatten", "risk_limit",
}  # fmt: skip


def test_random_bars_give_the_oracles_trades_and_curve_mes_bt_02() -> None:
    reached: Counter[str] = Counter()
    for seed in range(SETS):
        words, result = difference(seed)
        assert words == ""
        reached.update(reason_of(trade, MES) for trade in result.trades)
    assert set(reached) >= MUST_REACH
    assert sum(reached.values()) > 5 * SETS


def test_conditional_slippage_is_the_oracles_fill_by_fill_mes_cost_06() -> None:
    """Of bars told one by one and of many passed at once: the same bytes, and every size of shock is reached."""
    ticks: Counter[int] = Counter()
    for seed in range(SHOCK_SETS):
        drawn = draw_shocks(seed, 600)
        words, result = difference(seed, 600, drawn)
        assert words == ""
        rows = result.trades
        for slipped in (rows["exit_slip_micros"], rows["slip_micros"] - rows["exit_slip_micros"]):
            ticks.update((slipped // (rows["qty"] * 1_250_000)).tolist())
        assert apart(seed, 600, drawn)[0] == ""
    assert {0, 1, 2, 4, 7, 8} <= set(ticks)


def test_the_tests_table_of_sessions_is_the_products_mes_cal_01() -> None:
    for week, (dates, _) in enumerate(WEEKS):
        first, last = (datetime.fromisoformat(text).date() for text in (dates[0], dates[-1]))
        sessions = cme_sessions(first, last)
        for name in (STANDARD, TOPSTEP):
            own = days_of(week, name)
            assert [(s.trading_day, s.open_ns, s.close_ns) for s in sessions] == [
                (d.number, d.opens, d.closes) for d in own
            ]
            for session, day in zip(sessions, own, strict=True):
                phases = [(PHASES[phase], start) for phase, start, _ in session_phases(SCHEDULES[name], session)]
                assert phases == [pair for pair in day.phases if pair[0] != "AFTER_HOURS"]
