"""What a loop over recorded bars remembers and hands out: its own place, the trades, the points of the equity curve.

RUN is one record that goes from chunk to chunk beside the kernel's and the venue's state; TRADE and POINT rows are what
a chunk has made.  Every price is in ticks, money in micros, time in ns UTC.  Filled by `books` and `drive`, read by
`trading.run.backtest`.
"""

from typing import NamedTuple

import numpy as np

from marketdata.core.records import EVENT, NO_TICK, NO_TIME, new_events
from risk.core.codes import FIELD_BASE
from risk.core.holds import ACTIVE
from trading.core.protect import CLOSE_REASONS
from trading.core.records import OUT_CAPACITY, Params, State
from trading.core.venue.state import ANSWER_CAPACITY, Venue

CARRY_NS = 300_000_000_000  # MES-DATA-20
MINUTE_NS = 60_000_000_000
AHEAD_NS = 86_400_000_000_000  # windows are told to the kernel a day before they begin
REFUSALS = FIELD_BASE + 100  # counters of decisions, by their code
NEVER_NS = 2**62
TRADES_KEPT, POINTS_KEPT = 4096, 1 << 15  # of one call
POINTS_ROOM = 1024  # most points of one bar: what is carried after the last print, and its own
TRADES_ROOM = 4

# why a trade ended (MES-BT-21), beyond the kernel's own reasons: by the venue's rule
BY_SESSION_END, BY_ROLL, BY_DATA_END = 51, 52, 53
assert max(CLOSE_REASONS) < BY_SESSION_END

TRADE = np.dtype(
    (
        np.record,
        [
            ("trading_day", "<i8"),
            ("contract", "<i8"),
            ("entry_ns", "<i8"),
            ("exit_ns", "<i8"),
            ("side", "<i8"),
            ("entry_tick", "<i8"),
            ("exit_tick", "<i8"),
            ("qty", "<i8"),
            ("gross_micros", "<i8"),
            ("fee_micros", "<i8"),
            ("slip_micros", "<i8"),  # inside the prices already: information only
            ("exit_slip_micros", "<i8"),  # of these, at the exit
            ("net_micros", "<i8"),
            ("reason", "<i8"),  # of CLOSE_REASONS, or BY_SESSION_END …
            ("hold", "<i8"),  # the bit of the hold that closed it, −1
            ("confidence_ppm", "<i8"),
            ("stop_tick", "<i8"),  # both as placed at the entry
            ("target_tick", "<i8"),  # NO_TICK: none
            ("risk_micros", "<i8"),  # quantity x stop distance: what one R is
            ("bars_held", "<i8"),
            ("mfe_ticks", "<i8"),
            ("mae_ticks", "<i8"),
        ],
    )
)

POINT = np.dtype(
    (
        np.record,
        [
            ("ts_ns", "<i8"),
            ("equity_micros", "<i8"),
            ("balance_micros", "<i8"),
            ("peak_micros", "<i8"),  # highest equity so far, this point included
            ("position", "<i8"),
            ("status", "<i8"),  # label of the account (MES-RISK-16)
        ],
    )
)

RUN = np.dtype(
    (
        np.record,
        [
            # what the run is
            ("bar_ns", "<i8"),
            ("tick_value_micros", "<i8"),
            ("sample_ns", "<i8"),  # a point is kept per so much time; NEVER_NS = none
            # its place
            ("start_ns", "<i8"),  # start of the last printed bar; NO_TIME before the first
            ("end_ns", "<i8"),  # end of it
            ("close_tick", "<i8"),
            ("high_tick", "<i8"),  # of the bar in progress
            ("low_tick", "<i8"),
            ("contract", "<i8"),
            ("session", "<i8"),  # index of the session that the last bar lies in
            ("window", "<i8"),  # index of the next window that the kernel does not know yet
            ("stop_ns", "<i8"),  # up to here neither a session ends nor a window is due
            ("row_ns", "<i8"),  # end of the last row of the grid, printed or carried
            ("on_grid", "<i8"),  # 1: seconds without a print are carried
            ("waiting", "<i8"),  # answers in line
            ("told", "<i8"),  # of these, given to the kernel
            ("tape", "<i8"),  # events kept
            # what happened
            ("bars", "<i8"),
            ("carried", "<i8"),
            ("trades", "<i8"),  # rows of this call
            ("points", "<i8"),
            ("scores", "<i8"),
            ("meet_end_ns", "<i8"),  # while a bar is met: its end; NO_TIME else
            ("stage", "<i8"),  # of what is due before a bar
            ("ended_ns", "<i8"),  # close of the session that ends
            ("forced", "<i8"),  # reason of the exit that the venue makes now, 0
            # the trade in progress
            ("asked_confidence_ppm", "<i8"),  # of the latest approval
            ("entry_ns", "<i8"),
            ("entry_tick", "<i8"),
            ("entry_side", "<i8"),
            ("entry_qty", "<i8"),
            ("entry_day", "<i8"),
            ("stop_tick", "<i8"),
            ("target_tick", "<i8"),
            ("stop_ticks", "<i8"),
            ("confidence_ppm", "<i8"),
            ("bars_held", "<i8"),
            ("mfe_ticks", "<i8"),
            ("mae_ticks", "<i8"),
            ("exit_hold", "<i8"),
            ("exit_ns", "<i8"),
            ("exit_tick", "<i8"),
            ("exit_role", "<i8"),
            ("entry_slip_ticks", "<i8"),
            ("exit_slip_ticks", "<i8"),
            # the equity curve
            ("point_ns", "<i8"),  # time of the latest point
            ("sample_end_ns", "<i8"),  # end of the stretch whose last point is kept
            ("same", "<i8"),  # points with this equity that `fall_share_sum` lacks
            ("unkept", "<i8"),  # 1: the latest point is not kept yet
            ("all_points", "<i8"),
            ("equity_micros", "<i8"),  # of the latest point
            ("balance_micros", "<i8"),
            ("position", "<i8"),
            ("status", "<i8"),
            ("holds", "<i8"),  # that this status is of
            ("peak_micros", "<i8"),
            ("peak_ns", "<i8"),
            ("fall_share", "<f8"),  # (peak − equity) / peak of the latest point
            ("fall_share_sum", "<f8"),  # over all points
            ("worst_micros", "<i8"),  # deepest fall in money, and when
            ("worst_peak_ns", "<i8"),
            ("worst_ns", "<i8"),
            ("deepest_share", "<f8"),  # deepest fall in parts of its peak, from when to when
            ("deepest_peak_ns", "<i8"),
            ("deepest_ns", "<i8"),
            ("deepest_peak_micros", "<i8"),
            ("recovered_ns", "<i8"),  # NO_TIME: not yet
        ],
    )
)


class Desk(NamedTuple):
    """One account on both sides of the line, and the loop's own record."""

    state: State
    params: Params
    venue: Venue
    run: np.ndarray  # (1,) RUN


class Tables(NamedTuple):
    """The calendar of a run, made once."""

    windows: np.ndarray  # (n, 4) int64: phase, start_ns, end_ns, trading_day; sorted
    close_ns: np.ndarray  # (m,) int64, of every session from the first bar's on
    days: np.ndarray  # (m,) POINT, the account at each of these closes; `ts_ns` is NO_TIME before


class Room(NamedTuple):
    """Buffers, made once."""

    bar: np.ndarray  # (1,) EVENT, the bar in progress
    one: np.ndarray  # (1,) EVENT, what the kernel is told now
    out: np.ndarray  # (OUT_CAPACITY,) EVENT, what it says
    line: np.ndarray  # EVENTs, the venue's answers that the kernel has not heard
    trades: np.ndarray  # (TRADES_KEPT,) TRADE
    points: np.ndarray  # (POINTS_KEPT,) POINT
    decisions: np.ndarray  # (REFUSALS,) int64, decisions of the whole run by code
    passed: np.ndarray  # (1,) int64, bars of the whole run that `glide` passed
    tape: np.ndarray  # (n,) EVENT, inputs and outputs as a journal has them; n = 0 keeps none


class Columns(NamedTuple):
    """A chunk of checked bars with the decisions made on them."""

    start_ns: np.ndarray  # (n,) int64
    ticks: np.ndarray  # (n, 4) int64: open, high, low, close
    volume: np.ndarray  # (n,) int64
    contract: np.ndarray  # (n,) int64
    side: np.ndarray  # (n,) int8: −1, 0, +1
    confidence_ppm: np.ndarray  # (n,) int32


def new_run() -> np.ndarray:
    """(1,) RUN before the first bar."""
    run = np.zeros(1, RUN)
    for name in ("start_ns", "end_ns", "point_ns", "peak_ns", "worst_peak_ns", "worst_ns"):
        run[name] = NO_TIME
    for name in ("row_ns", "meet_end_ns", "deepest_peak_ns", "deepest_ns", "recovered_ns", "sample_end_ns", "stop_ns"):
        run[name] = NO_TIME
    run["close_tick"] = NO_TICK
    run["exit_hold"] = -1
    run["status"] = ACTIVE
    return run


def new_room(tape: int = 0) -> Room:
    """Empty buffers; `tape` events of the run are kept."""
    return Room(
        bar=new_events(1),
        one=new_events(1),
        out=np.zeros(OUT_CAPACITY, EVENT),
        line=np.zeros(ANSWER_CAPACITY + OUT_CAPACITY, EVENT),
        trades=np.zeros(TRADES_KEPT, TRADE),
        points=np.zeros(POINTS_KEPT, POINT),
        decisions=np.zeros(REFUSALS, np.int64),
        passed=np.zeros(1, np.int64),
        tape=np.zeros(tape, EVENT),
    )
