"""The common work in backtesting.py: market entries at the next open with a stop and a target from the bar's close.

Runs in the peer's own environment.  Not to be said in it: slippage in ticks (booked in the prices afterwards), and a
bracket from the fill's price, which is not known when the order is made.
"""

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

from desk.ops.bench.peers.program import Prepared, serve
from desk.ops.bench.peers.work import SLIP_TICKS, STOP_TICKS, TARGET_TICKS, DayRules, Trip, Work, trip_rows


def prepare(work: Work, limited: bool) -> Prepared:
    frame = pd.DataFrame(
        {name: work.ticks[:, k].astype(float) for k, name in enumerate(("Open", "High", "Low", "Close"))},
        index=pd.to_datetime(work.start_ns),
    )
    frame["Volume"] = work.volume
    side, day, start_ns = work.side.tolist(), work.day.tolist(), work.start_ns.tolist()
    flat_next = [*work.flat.tolist()[1:], 0]

    class Bracket(Strategy):
        def init(self) -> None:
            self.rules, self.told = DayRules(work, limited), 0

        def next(self) -> None:
            i = len(self.data) - 1
            self.rules.begin(day[i])
            for trade in self.closed_trades[self.told :]:
                gained = _gained(trade.entry_price, trade.exit_price, 1 if trade.size > 0 else -1, trade.sl)
                self.rules.closed(gained, start_ns[trade.exit_bar])
            self.told = len(self.closed_trades)
            if self.position:
                if flat_next[i] or side[i] * self.position.size < 0:
                    self.position.close()
            elif side[i] and not flat_next[i] and not self.orders and self.rules.may_enter(start_ns[i]):
                close, way = self.data.Close[-1], side[i]
                stop = close - (STOP_TICKS - SLIP_TICKS) * way
                target = close + (TARGET_TICKS + SLIP_TICKS) * way
                (self.buy if way > 0 else self.sell)(size=1, sl=stop, tp=target)

    engine = Backtest(frame, Bracket, cash=1e9)
    found = {}

    def run() -> None:
        found["trades"] = engine.run()["_trades"]

    def trips() -> np.ndarray:
        rows = found["trades"]
        made = []
        for entered, left, size, entry, tick in zip(
            rows.EntryBar, rows.ExitBar, rows.Size, rows.EntryPrice, rows.ExitPrice, strict=True
        ):
            way = 1 if size > 0 else -1
            gained = round((tick - entry) * way)
            slip = 0 if gained >= TARGET_TICKS else SLIP_TICKS
            made.append(
                Trip(
                    start_ns[entered],
                    start_ns[left],
                    way,
                    round(entry) + SLIP_TICKS * way,
                    round(tick) - slip * way,
                )
            )
        return trip_rows(made)

    return Prepared(run, trips)


def _gained(entry: float, left: float, way: int, stop: float | None) -> int:
    """Ticks of a round trip with the slippage that the engine does not know: one at the entry, one unless a target."""
    gained = round((left - entry) * way)
    return gained - SLIP_TICKS - (0 if gained >= TARGET_TICKS else SLIP_TICKS)


if __name__ == "__main__":
    serve("backtesting", prepare)
