"""What a backtest writes down: trades as they close, and the account after every row of the grid.

Nothing here decides anything: it reads the kernel's records after each event.  Points of one value that follow each
other are one call; statistics count every one of them, whatever is kept (MES-BT-24).  Called by the loop over bars.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TIME
from risk.core.holds import label
from trading.core.history.records import NEVER_NS
from trading.core.records import STOP_LOSS, TARGET


@inner
def leaving(run: np.record, fill: np.record, slip_ticks: int) -> None:
    """The fill that closes the position, before the kernel hears of it."""
    run.exit_ns = fill.ts_ns
    run.exit_tick = fill.price_tick
    run.exit_role = fill.role
    run.exit_slip_ticks = slip_ticks


@inner
def entered(run: np.record, position: np.record, fill: np.record, trading_day: int, slip_ticks: int) -> None:
    """The kernel has heard the entry's fill and planned its bracket."""
    run.entry_ns = fill.ts_ns
    run.entry_tick = fill.price_tick
    run.entry_side = fill.side
    run.entry_qty = fill.qty
    run.entry_day = trading_day
    run.entry_slip_ticks = slip_ticks
    run.stop_tick = position.stop_tick
    run.target_tick = position.target_tick
    run.stop_ticks = position.stop_ticks
    run.confidence_ppm = run.asked_confidence_ppm
    run.bars_held = 0
    run.mfe_ticks = 0
    run.mae_ticks = 0
    run.exit_hold = -1


@inner
def held(run: np.record) -> None:
    """The position has stood to this bar's end: all of its range counts (MES-BT-23)."""
    up, down = run.high_tick - run.entry_tick, run.entry_tick - run.low_tick
    run.mfe_ticks = max(run.mfe_ticks, up if run.entry_side > 0 else down)
    run.mae_ticks = max(run.mae_ticks, down if run.entry_side > 0 else up)
    run.bars_held += 1


@inner
def _last_bar(run: np.record) -> None:
    """The bar that ended the trade (MES-BT-23): an exit at its open, or one that the venue made, holds none of it."""
    gain = (run.exit_tick - run.entry_tick) * run.entry_side
    if run.exit_role == STOP_LOSS:
        run.mae_ticks = max(run.mae_ticks, -gain)
        run.bars_held += 1
    elif run.exit_role == TARGET:
        adverse = run.entry_tick - run.low_tick if run.entry_side > 0 else run.high_tick - run.entry_tick
        run.mfe_ticks = max(run.mfe_ticks, gain)
        run.mae_ticks = max(run.mae_ticks, adverse)
        run.bars_held += 1
    else:
        run.mfe_ticks = max(run.mfe_ticks, gain)
        run.mae_ticks = max(run.mae_ticks, -gain)


@inner
def closed(run: np.record, trades: np.ndarray, o: np.record) -> None:
    """TRADE_CLOSED: one row.  The bars' loop has left room for it."""
    _last_bar(run)
    t = trades[run.trades]
    run.trades += 1
    t.trading_day = run.entry_day
    t.contract = run.contract
    t.entry_ns = run.entry_ns
    t.exit_ns = run.exit_ns
    t.side = run.entry_side
    t.entry_tick = run.entry_tick
    t.exit_tick = run.exit_tick
    t.qty = run.entry_qty
    t.gross_micros = o.volume
    t.fee_micros = o.fee_micros
    t.exit_slip_micros = run.exit_slip_ticks * run.tick_value_micros * run.entry_qty
    t.slip_micros = run.entry_slip_ticks * run.tick_value_micros * run.entry_qty + t.exit_slip_micros
    t.net_micros = o.value
    t.reason = run.forced if run.forced != 0 else o.code
    t.hold = -1 if run.forced != 0 else run.exit_hold
    t.confidence_ppm = run.confidence_ppm
    t.stop_tick = run.stop_tick
    t.target_tick = run.target_tick
    t.risk_micros = run.entry_qty * run.stop_ticks * run.tick_value_micros
    t.bars_held = run.bars_held
    t.mfe_ticks = run.mfe_ticks
    t.mae_ticks = run.mae_ticks


@inner
def write_point(run: np.record, p: np.record, ts_ns: int) -> None:
    """The account of the latest point into a row."""
    p.ts_ns = ts_ns
    p.equity_micros = run.equity_micros
    p.balance_micros = run.balance_micros
    p.peak_micros = run.peak_micros
    p.position = run.position
    p.status = run.status


@inner
def _keep(run: np.record, points: np.ndarray, ts_ns: int) -> None:
    write_point(run, points[run.points], ts_ns)
    run.points += 1
    run.unkept = 0


@inner
def _stretch_end(run: np.record, ts_ns: int) -> int:
    """End of the stretch that a point at this time belongs to: a point on a border belongs to the one before it."""
    if run.sample_ns == NEVER_NS:
        return NEVER_NS
    return -(-ts_ns // run.sample_ns) * run.sample_ns


@inner
def _measure(run: np.record, equity: int, first_ns: int) -> None:
    """Drawdown of a new equity, from the highest point so far (MES-METRIC-04)."""
    run.fall_share_sum += run.same * run.fall_share
    run.all_points += run.same
    run.same = 0
    if equity < run.peak_micros and run.equity_micros == run.peak_micros:
        run.peak_ns = run.point_ns  # the last moment at the peak
    if equity > run.peak_micros:
        run.peak_micros = equity
    fall = run.peak_micros - equity
    run.fall_share = fall / run.peak_micros
    if fall > run.worst_micros:
        run.worst_micros = fall
        run.worst_peak_ns = run.peak_ns
        run.worst_ns = first_ns
    if run.fall_share > run.deepest_share:
        run.deepest_share = run.fall_share
        run.deepest_peak_ns = run.peak_ns
        run.deepest_peak_micros = run.peak_micros
        run.deepest_ns = first_ns
        run.recovered_ns = NO_TIME
    elif run.recovered_ns == NO_TIME and run.deepest_ns != NO_TIME and equity >= run.deepest_peak_micros:
        run.recovered_ns = first_ns


@inner
def note(run: np.record, account: np.record, position: int, first_ns: int, last_ns: int, count: int) -> None:
    """`count` points of the account as it stands now, from `first_ns` to `last_ns`; none of them need be kept."""
    if account.equity_micros != run.equity_micros:
        _measure(run, account.equity_micros, first_ns)
    if account.holds != run.holds:
        run.holds = account.holds
        run.status = label(account.rules, account.holds)
    run.same += count
    run.equity_micros = account.equity_micros
    run.balance_micros = account.balance_micros
    run.position = position
    run.point_ns = last_ns
    run.unkept = 1


@inner
def point(run: np.record, account: np.record, position: int, points: np.ndarray, first_ns: int, last_ns: int) -> None:
    """The account as it stands now, at `first_ns`, a bar later … `last_ns`: that many points of the equity curve."""
    step = run.bar_ns
    if run.unkept == 1 and (first_ns > run.sample_end_ns or run.sample_ns <= step):
        _keep(run, points, run.point_ns)
    note(run, account, position, first_ns, last_ns, (last_ns - first_ns) // step + 1)
    if first_ns > run.sample_end_ns:
        run.sample_end_ns = _stretch_end(run, first_ns)
    while last_ns > run.sample_end_ns:
        at = first_ns + (run.sample_end_ns - first_ns) // step * step
        _keep(run, points, at)
        run.sample_end_ns = _stretch_end(run, at + step)
    run.unkept = 1


@inner
def end_curve(run: np.record, points: np.ndarray) -> None:
    """The last point is kept, every point is counted."""
    if run.unkept == 1:
        _keep(run, points, run.point_ns)
    run.fall_share_sum += run.same * run.fall_share
    run.all_points += run.same
    run.same = 0
