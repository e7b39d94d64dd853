"""One backtest: chunks of bars into the compiled loop, trades and the equity curve out of it.

The loop is `trading.core.history.drive`; this file only feeds it, empties its buffers and names what came out.  The
same plan, bars and decisions give the same rows, byte for byte; no clock is read.  Called by the command `backtest`,
by studies and by tests.
"""

from typing import NamedTuple

import numpy as np

from risk.core.holds import BY_OPERATOR, FLATTEN, HOLDS, Hold
from trading.core.history.drive import drive
from trading.core.history.records import (
    BY_DATA_END,
    BY_ROLL,
    BY_SESSION_END,
    POINT,
    TRADE,
    Columns,
    Room,
    new_room,
)
from trading.core.protect import (
    BY_EXCESS,
    BY_HOLD,
    BY_NAKED,
    BY_REVERSAL,
    BY_SIGNAL,
    BY_STOP,
    BY_TARGET,
    BY_TIME,
    BY_TRAIL,
)
from trading.core.protect import (
    BY_OPERATOR as BY_PERSON,
)
from trading.run.backtest.plan import Calendar, Plan, desk_of, tables_of

REASONS = {  # MES-BT-21
    BY_TARGET: "target",
    BY_STOP: "stop",
    BY_TRAIL: "trailing_stop",
    BY_TIME: "time",
    BY_SIGNAL: "signal",
    BY_REVERSAL: "reversal",
    BY_PERSON: "manual",
    BY_NAKED: "risk_limit",
    BY_EXCESS: "risk_limit",
    BY_SESSION_END: "session_end",
    BY_ROLL: "contract_roll",
    BY_DATA_END: "end_of_data",
}
HOLD_REASONS = {
    "EOD": "eod_flatten",
    "DAILY_LOSS": "circuit_breaker",
    "ACCOUNT_DRAWDOWN": "circuit_breaker",
    "KILL_SWITCH": "manual",
    "SESSION_STOPPED": "manual",
}  # every other hold that flattens: risk_limit


KINDS = (np.int64, np.int64, np.int64, np.int64, np.int8, np.int32)  # of Columns


class HoldCount(NamedTuple):
    """How often a hold went up, and whether it stands at the end."""

    hold: Hold
    raised: int
    stands: bool
    since_ns: int


class Result(NamedTuple):
    """What a backtest has found.  Rows in order of time."""

    plan: Plan
    trades: np.ndarray  # (n,) TRADE
    points: np.ndarray  # (p,) POINT, the curve as sampled
    days: np.ndarray  # (m,) POINT, the account at the close of every session of the period
    trading_days: np.ndarray  # (m,) int64 YYYYMMDD
    run: np.record  # RUN: counts, and drawdown over every point
    first_ns: int  # start of the first bar; NO_TIME without any
    decisions: dict[int, int]  # by code, APPROVED among them
    holds: list[HoldCount]  # those that went up
    balance_micros: int
    reference_micros: int

    @property
    def rules(self) -> int:
        """Whose rulebook it ran under."""
        return self.plan.limits["rules"]

    @property
    def stopped_by(self) -> HoldCount | None:
        """The strongest hold that only an operator clears and that ended trading for the run (MES-BT-01)."""
        standing = [row for row in self.holds if row.stands and row.hold.clearing == BY_OPERATOR]
        return min(standing, key=lambda row: row.hold.label) if standing else None


class Run:
    """What a run over bars or over a tape is made of: a desk that was set up, buffers, and the rows that came out.

    `tape`: events of the run to keep, for who wants to replay them.
    """

    def __init__(
        self, plan: Plan, calendar: Calendar, bar_ns: int, first_ns: int, tape: int = 0, model: str = "bar"
    ) -> None:
        self.plan, self.first_ns = plan, first_ns
        self._calendar = calendar.from_bar(first_ns)
        self.kernel, self._desk, self.setup = desk_of(plan, bar_ns, first_ns, model)
        self._tables = tables_of(plan, self._calendar)
        self.venue = self._desk.venue
        self._raised = self.kernel.state.holds["raised"].copy()  # by the set-up: links that were not there yet
        self.room: Room = new_room(tape)
        self._trades: list[np.ndarray] = []
        self._points: list[np.ndarray] = []

    def result(self) -> Result:
        """Everything that came out so far."""
        run = self._desk.run[0]
        account = self.kernel.state.account[0]
        sessions = int(run.session)
        return Result(
            plan=self.plan,
            trades=np.concatenate([np.zeros(0, TRADE), *self._trades]),
            points=np.concatenate([np.zeros(0, POINT), *self._points]),
            days=self._tables.days[:sessions].copy(),
            trading_days=np.array([s.trading_day for s in self._calendar.sessions[:sessions]], np.int64),
            run=self._desk.run.copy()[0],
            first_ns=self.first_ns,
            decisions={int(code): int(self.room.decisions[code]) for code in np.flatnonzero(self.room.decisions)},
            holds=self._holds(),
            balance_micros=int(account.balance_micros),
            reference_micros=int(account.reference_micros),
        )

    def tape(self) -> np.ndarray:
        """(n,) EVENTs that the run kept, inputs and outputs as a journal has them; the set-up is in `setup`."""
        kept: np.ndarray = self.room.tape[: int(self._desk.run[0].tape)]
        return kept

    def _empty(self) -> None:
        """Take the rows out of the buffers."""
        run = self._desk.run
        trades, points = int(run["trades"][0]), int(run["points"][0])
        if trades:
            self._trades.append(self.room.trades[:trades].copy())
        if points:
            self._points.append(self.room.points[:points].copy())
        run["trades"], run["points"] = 0, 0

    def _holds(self) -> list[HoldCount]:
        state = self.kernel.state
        standing, rules = int(state.account[0].holds), int(state.account[0].rules)
        rows = [(hold, state.holds[hold.bit]) for hold in HOLDS[rules]]
        return [
            HoldCount(hold, int(row.raised - self._raised[hold.bit]), bool(standing >> hold.bit & 1), int(row.since_ns))
            for hold, row in rows
            if row.raised > self._raised[hold.bit]
        ]


class Backtest(Run):
    """Bars: feed it chunks in order, then `end()`."""

    def feed(self, columns: Columns) -> None:
        """The next bars."""
        # of other kinds or read-only ones the loop would be compiled once more
        plain = (np.require(column, kind, ["C", "W"]) for column, kind in zip(columns, KINDS, strict=True))
        self._drive(Columns(*plain), ends=False)

    def end(self) -> Result:
        """Close what is open and give the result.  Nothing may be fed after it."""
        none = np.zeros(0, np.int64)
        empty = Columns(none, np.zeros((0, 4), np.int64), none, none, np.zeros(0, np.int8), np.zeros(0, np.int32))
        self._drive(empty, ends=True)
        return self.result()

    def _drive(self, columns: Columns, *, ends: bool) -> None:
        n, done = len(columns.start_ns), 0
        while True:
            done = drive(self._desk, self.room, self._tables, columns, done, ends)
            self._empty()
            if done == n:
                return


def reason_of(trade: np.record, rules: int) -> str:
    """Why a trade ended, in the words of MES-BT-21."""
    if trade.reason == BY_HOLD:
        codes = {hold.bit: hold.code for hold in HOLDS[rules] if hold.effect == FLATTEN}
        return HOLD_REASONS.get(codes.get(int(trade.hold), ""), "risk_limit")
    return REASONS[int(trade.reason)]
