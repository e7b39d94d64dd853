"""The common work in NautilusTrader 1.221: bars, a bracket order list, a filled order's events told to the strategy.

Runs in the peer's own environment.  Not to be said in it: an entry at the next bar's open (a market order fills at the
close of the bar that decided), the stop before the target (it walks open, high, low, close), and slippage of stops
alone (its probability slips targets, too).  Logging and its own risk engine are switched off.
"""

from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import FillModel, PerContractFeeModel
from nautilus_trader.config import LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, AssetClass, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import FuturesContract
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from desk.ops.bench.peers.program import Prepared, serve
from desk.ops.bench.peers.work import (
    NANOS,
    SLIP_TICKS,
    STOP_TICKS,
    TARGET_TICKS,
    TICK,
    DayRules,
    Trip,
    Work,
    trip_rows,
)

VENUE = Venue("GLBX")
ID = InstrumentId(Symbol("MESM6"), VENUE)
BARS = BarType.from_str("MESM6.GLBX-1-SECOND-LAST-EXTERNAL")
START_USD = 1_000_000


def price(tick: int) -> Price:
    return Price(tick * TICK, 2)


def instrument() -> FuturesContract:
    return FuturesContract(
        ID,
        Symbol("MESM6"),
        AssetClass.INDEX,
        USD,
        2,
        Price.from_str("0.25"),
        Quantity.from_int(5),
        Quantity.from_int(1),
        "MES",
        0,
        2**62,
        0,
        0,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
    )


class Bracket(Strategy):
    """One contract, a stop and a target."""

    def __init__(self, work: Work, limited: bool) -> None:
        super().__init__(StrategyConfig())
        self._side, self._day = work.side.tolist(), work.day.tolist()
        self._start_ns, self._close = work.start_ns.tolist(), work.ticks[:, 3].tolist()
        self._flat_next = [*work.flat.tolist()[1:], 0]
        self._rules = DayRules(work, limited)
        self._i, self._held, self._busy, self._entry, self._entered = -1, 0, False, 0, 0
        self._one = Quantity.from_int(1)
        self.trips: list[Trip] = []

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self._i += 1
        i = self._i
        self._rules.begin(self._day[i])
        side = self._side[i]
        if self._busy:
            if self._flat_next[i] or side * self._held < 0:
                self.cancel_all_orders(ID)
                self.close_all_positions(ID)
            return
        if side and not self._flat_next[i] and self._rules.may_enter(self._start_ns[i]):
            entry = self._close[i] + SLIP_TICKS * side
            self._busy = True
            self.submit_order_list(
                self.order_factory.bracket(
                    ID,
                    OrderSide.BUY if side > 0 else OrderSide.SELL,
                    self._one,
                    tp_price=price(entry + TARGET_TICKS * side),
                    sl_trigger_price=price(entry - STOP_TICKS * side),
                    tp_post_only=False,
                )
            )

    def on_order_filled(self, event: object) -> None:
        tick = round(float(event.last_px) / TICK)  # type: ignore[attr-defined]
        if self._held == 0:
            self._held = 1 if event.order_side == OrderSide.BUY else -1  # type: ignore[attr-defined]
            self._entry, self._entered = tick, self._i
            return
        # matched before the strategy hears of that bar; a close that the strategy asks for comes after
        at = self._i + 1 if event.ts_event > self._start_ns[self._i] + NANOS else self._i  # type: ignore[attr-defined]
        self.trips.append(Trip(self._start_ns[self._entered], self._start_ns[at], self._held, self._entry, tick))
        self._rules.closed((tick - self._entry) * self._held, self._start_ns[at])
        self._held, self._busy = 0, False


def prepare(work: Work, limited: bool) -> Prepared:
    end_ns = (work.start_ns + NANOS).tolist()
    columns = [column.tolist() for column in work.ticks.T]
    volume = work.volume.tolist()
    bars = [
        Bar(BARS, price(o), price(h), price(lo), price(c), Quantity(v, 0), t, t)
        for o, h, lo, c, v, t in zip(*columns, volume, end_ns, strict=True)
    ]
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("T-001"),
            logging=LoggingConfig(bypass_logging=True),
            risk_engine=RiskEngineConfig(bypass=True),
            run_analysis=False,
        )
    )
    engine.add_venue(
        VENUE,
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(START_USD, USD)],
        base_currency=USD,
        fill_model=FillModel(prob_fill_on_limit=1.0, prob_slippage=1.0, random_seed=1),
        fee_model=PerContractFeeModel(Money(int(work.terms[1]) / 1_000_000, USD)),
        bar_execution=True,
    )
    engine.add_instrument(instrument())
    engine.add_data(bars, validate=False, sort=True)
    strategy = Bracket(work, limited)
    engine.add_strategy(strategy)
    return Prepared(engine.run, lambda: trip_rows(strategy.trips))


if __name__ == "__main__":
    serve("nautilus_trader", prepare)
