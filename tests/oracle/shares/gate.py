"""The entry gate of the shares' rulebook, re-stated: MOEX-RISK-08 row by row, then the controls that it lacks, in the
order of their numbers (P-03 … P-26).

A question that both rulebooks ask in the same words is asked by the futures' function.  Rows that the desk does not ask
yet (6 whole; currency, the day's price limits) are not here either.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.oracle.rules import gate
from tests.oracle.rules.facts import PPM, PRICE_MOST, Event
from tests.oracle.shares import exposure

if TYPE_CHECKING:
    from tests.oracle.shares.desk import SharesDesk
    from tests.oracle.shares.plan import SharesPlan

STOP_MOST = 100_000  # ticks that the form believes


class SharesAsk(gate.Ask):
    """What one score asks for, with its plan."""

    plan: "SharesPlan"

    def __init__(self, desk: "SharesDesk", e: Event) -> None:
        super().__init__(desk, e)
        self.cost = self.plan.cost
        self.children = max(1, len(self.plan.slices))  # nothing to send is asked as one

    def buys_sells(self) -> tuple[int, int, int | None]:
        """This order as lots more of its instrument, and their limit."""
        limit = None if self.price is None or not self.desk_routes else self.price
        return (self.qty if self.e.side > 0 else 0), (self.qty if self.e.side < 0 else 0), limit

    @property
    def desk_routes(self) -> bool:
        return bool(self.limits.stop_method == 3 and self.limits.bar_mode != 1)


def fields(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 1, P-06: in the form's order
    e, i, money = a.e, a.i, gate.MONEY_MOST - 1
    own = a.buys_sells()
    bounds = (
        ("now_ns", d.now, 1, 2**62),
        ("side", e.side, -1, 1),
        ("qty", a.qty, 0, gate.QTY_MOST),
        ("price_tick", a.price or 0, a.price or 0, PRICE_MOST),  # one that is not known is row 5's
        ("stop_ticks", a.stop, 0, STOP_MOST),
        ("score_ppm", e.score, -PPM, PPM),
        ("confidence_ppm", e.confidence, 0, PPM),
        ("bid_tick", i.bid or 0, i.bid or 0, PRICE_MOST),
        ("ask_tick", i.ask or 0, i.ask or 0, PRICE_MOST),
        ("position", i.qty, -gate.QTY_MOST, gate.QTY_MOST),
        ("tick_value_micros", i.tick_value, 1, 10**9),
        ("fee_per_unit_micros", a.plan.fee, 0, gate.FEE_MOST),
        ("margin_per_unit_micros", i.margin, 0, gate.FEE_MOST),
        ("day_net_micros", -d.lost_today(d.equity()), -money, money),
        ("equity_micros", d.equity(), -money, money),
        ("reference_micros", d.reference, -money, money),
        ("capital_micros", d.capital, 1, money),
        ("gross_micros", exposure.gross(d, i, *own), 0, money),
        ("instrument_micros", exposure.term(d, i, *own), 0, money),
        ("margin_elsewhere_micros", gate.margin_elsewhere(d, i), 0, money),
    )
    for name, value, low, high in bounds:
        if value is None or not low <= value <= high:
            return f"INPUT_INVALID:{name}"
    return None


def ready(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 2
    if not d.trading:
        return "NOT_TRADING"
    return "LATCHED" if d.latched else None


def held(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 3: the account's, standing or due, then the instrument's
    of_account = {code for code in (*d.holds, *d.due()) if code in d.book.stops_entry}
    of_instrument = {code for code in a.i.holds if code in d.book.stops_entry} - {"NOT_ACTIVE"}  # row 4's
    code = d.book.strongest(of_account, d.since) or d.book.strongest(of_instrument, {})
    if not code and "ML_FALLBACK" in d.holds:
        code = "ML_FALLBACK"  # no score here is the heuristic's
    return f"HOLD:{code}" if code else None


def active(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 4
    return "HOLD:NOT_ACTIVE" if "NOT_ACTIVE" in a.i.holds else None


def tradable(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 4
    return None if a.i.tradable == 1 else "NOT_TRADING"


def spread(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 7
    if a.bars:
        return None
    wide, mid = a.i.ask - a.i.bid, Fraction(a.i.ask + a.i.bid, 2)  # type: ignore[operator]
    relative = a.limits.spread_ppm_max
    if wide > a.limits.spread_ticks_max or (relative > 0 and wide > mid * relative / PPM):
        return "SPREAD"
    return None


def limits(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 13, EXPOSURE and INSTRUMENT
    own, share = a.buys_sells(), Fraction(d.capital, PPM)
    if a.limits.gross_ppm_max > 0 and exposure.gross(d, a.i, *own) > share * a.limits.gross_ppm_max:
        return "LIMIT_EXPOSURE"
    if a.limits.instrument_ppm_max > 0 and exposure.term(d, a.i, *own) > share * a.limits.instrument_ppm_max:
        return "LIMIT_INSTRUMENT"
    return None


def bucket(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 15
    return "RATE" if a.limits.bucket_capacity > 0 and d.tokens() < a.children else None


def messages(d: "SharesDesk", a: SharesAsk) -> str | None:  # row 16, P-17: each child, its cancel, and a stop
    in_second, in_minute = d.messages()
    needed, left = 2 * a.children + 1, a.limits.messages_60s_max - a.limits.messages_reserved
    return None if in_second + needed <= a.limits.messages_1s_max and in_minute + needed <= left else "MESSAGE_RATE"


def trade_risk(d: "SharesDesk", a: SharesAsk) -> str | None:  # P-14; a size by caps has it inside
    over = a.limits.sizing == 0 and a.risk() > a.limits.loss_trade_micros_max
    return "RISK_PER_TRADE" if over else None


def day_risk(d: "SharesDesk", a: SharesAsk) -> str | None:  # P-14, P-15
    of_day = d.day_limit() // 1 - max(0, d.lost_today(d.equity()))
    in_all = a.limits.loss_total_micros_max - max(0, d.reference - d.equity())
    left = min(of_day, in_all) - (d.open_risk() or 0)
    return None if left > 0 and a.risk() <= left else "RISK_DAILY"


def orders(d: "SharesDesk", a: SharesAsk) -> str | None:  # P-20: each child, a stop and a target
    return None if len(a.open) + 2 + a.children <= a.limits.orders_open_max else "OPEN_ORDERS"


QUESTIONS: tuple[Callable[[Any, Any], str | None], ...] = (
    gate.asks_limits, fields, ready, held, active, tradable, gate.asks_status, gate.asks_fresh, spread,
    gate.asks_signal, gate.asks_sure, gate.asks_flat, gate.asks_short, gate.asks_stop, gate.asks_size, limits,
    gate.asks_position, gate.asks_collar, bucket, messages,
    # the controls that MOEX-RISK-08 lacks
    gate.asks_filters, gate.asks_phase, gate.asks_reconciled, gate.asks_qty, gate.asks_value, gate.asks_moved,
    gate.asks_margin, gate.asks_risk_known, trade_risk, day_risk, gate.asks_duplicate, gate.asks_repeated,
    gate.asks_crossing, orders, gate.asks_model, gate.asks_depth, gate.asks_cooled, gate.asks_trades,
)  # fmt: skip


def refusal(d: "SharesDesk", ask: SharesAsk) -> str:
    """The first objection, or APPROVED."""
    return gate.refusal(d, ask, QUESTIONS)
