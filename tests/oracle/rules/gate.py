"""The entry gate, re-stated: one function a question, asked in the rulebook's order, the first objection is the answer.

Integers are unbounded here and None is "not known", so nothing can overflow and nothing unknown can look like a number.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.oracle.rules.facts import ENTRY, MARKET, NORMAL, OPEN, PPM, QUERYING, REDUCED, UNKNOWN, Event, fee_of_one
from tests.oracle.rules.holds import STOPS_ENTRY

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

QTY_MOST = 1_000_000
PRICE_MOST = 2**31
MONEY_MOST = 2**62
FEE_MOST = MONEY_MOST // (4 * QTY_MOST)
STOP_MOST = 100_000


class Ask:
    """What one score asks for, priced at the side of the book that a market order would reach."""

    def __init__(self, desk: "Desk", e: Event) -> None:
        i = desk.instruments[e.instrument]
        limits = desk.limits
        self.i, self.e, self.limits = i, e, limits
        self.qty = limits.qty_entry
        self.bars = limits.bar_mode == 1
        self.price = i.last if self.bars else (i.ask if e.side == 1 else i.bid)
        self.fee: int | None = None
        if self.price is not None and self.price > 0 and i.tick_value is not None and i.tick_value > 0:
            self.fee = fee_of_one(i, self.price)
        self.open = [o for o in desk.orders if o is not None and o.status in OPEN]
        self.entries = [o for o in self.open if o.role == ENTRY and o.instrument == e.instrument]
        self.buys = sum(o.left for o in self.entries if o.side == 1)
        self.sells = sum(o.left for o in self.entries if o.side != 1)

    def risk(self) -> int:
        """Loss to the stop with the assumed slippage and both fees."""
        limits = self.limits
        return self.qty * ((limits.stop_ticks + limits.slip_ticks_assumed) * self.i.tick_value + 2 * self.fee)


def _trading(d: "Desk", a: Ask) -> str | None:
    return None if d.trading and a.i.tradable == 1 else "NOT_TRADING"


def _latched(d: "Desk", a: Ask) -> str | None:
    return "LATCHED" if d.latched else None


def _input(d: "Desk", a: Ask) -> str | None:
    e, i = a.e, a.i
    fine = (
        e.side in (-1, 0, 1)
        and a.qty is not None
        and 0 < a.qty <= QTY_MOST
        and d.now is not None
        and d.now > 0
        and i.tick_value is not None
        and 0 < i.tick_value <= 10**9
        and a.fee is not None
        and 0 <= a.fee <= FEE_MOST
        and i.margin is not None
        and 0 <= i.margin <= FEE_MOST
        and abs(i.qty) <= QTY_MOST
        and 0 <= e.confidence <= PPM
        and abs(e.score) <= PPM
        and all(abs(money) < MONEY_MOST for money in (d.day_net, d.equity(), d.reference))
    )
    return None if fine else "INPUT_INVALID"


def _limits(d: "Desk", a: Ask) -> str | None:
    return None if d.version != 0 and all(v is not None for v in vars(d.limits).values()) else "NO_LIMIT"


def _reconciled(d: "Desk", a: Ask) -> str | None:
    unsure = any(o.status == UNKNOWN or o.request == QUERYING for o in a.open)
    if not d.reconciled or unsure or d.recon_ts is None or d.now - d.recon_ts > a.limits.recon_age_ns_max:
        return "NOT_RECONCILED"
    return None


def _held(d: "Desk", a: Ask) -> str | None:
    for code in d.holds:
        if code in STOPS_ENTRY and code not in ("FEED_STALE", "NOT_RECONCILED"):
            return "HOLD"
    return None


def _fresh(d: "Desk", a: Ask) -> str | None:
    i, most = a.i, a.limits.quote_age_ns_max
    priced = i.last_ts if a.bars else i.quote_ts
    usable = a.bars or i.book_ok
    if d.gap or not usable or d.feed_ts is None or priced is None or not 0 < a.price <= PRICE_MOST:
        return "FEED_STALE"
    if d.now - d.feed_ts > most or (not a.bars and d.now - priced > most):
        return "FEED_STALE"
    return None


def _score_fresh(d: "Desk", a: Ask) -> str | None:
    return None if 0 <= d.now - a.e.venue_ts <= a.limits.score_age_ns_max else "SCORE_STALE"


def _open(d: "Desk", a: Ask) -> str | None:
    return None if a.i.status == 0 and d.phase in (NORMAL, REDUCED) else "CLOSED"


def _signal(d: "Desk", a: Ask) -> str | None:
    asked = a.e.side != 0 and a.e.score * a.e.side >= a.limits.score_ppm_min
    return None if asked else "NO_SIGNAL"


def _confidence(d: "Desk", a: Ask) -> str | None:
    return None if a.e.confidence >= a.limits.confidence_ppm_min else "LOW_CONFIDENCE"


def _flat(d: "Desk", a: Ask) -> str | None:
    if a.i.qty != 0:
        return "IN_POSITION"
    return "ENTRY_WORKING" if any(o.instrument == a.e.instrument for o in a.open) else None


def _cool(d: "Desk", a: Ask) -> str | None:
    i = a.i
    if i.entry_fill is not None and d.now - i.entry_fill < a.limits.cooldown_entry_ns:
        return "COOLDOWN"
    if i.exit_fill is not None and d.now - i.exit_fill < a.limits.cooldown_exit_ns:
        return "COOLDOWN"
    return None


def _stop(d: "Desk", a: Ask) -> str | None:
    ticks = a.limits.stop_ticks
    below = a.e.side == 1 and a.price - ticks <= 0
    within = a.limits.stop_ticks_min <= ticks <= a.limits.stop_ticks_max and 0 < ticks <= STOP_MOST
    return None if within and not below else "BAD_STOP"


def _qty(d: "Desk", a: Ask) -> str | None:
    return None if a.qty <= a.limits.qty_max else "QTY_LIMIT"


def _value(d: "Desk", a: Ask) -> str | None:
    return None if a.qty * a.price * a.i.tick_value <= a.limits.value_micros_max else "VALUE_LIMIT"


def _spread(d: "Desk", a: Ask) -> str | None:
    return None if a.bars or a.i.ask - a.i.bid <= a.limits.spread_ticks_max else "SPREAD"


def _collar(d: "Desk", a: Ask) -> str | None:
    i, limits = a.i, a.limits
    if not a.bars and i.ask - i.bid <= limits.spread_ticks_max:
        twice = i.bid + i.ask
    elif i.last is not None and (a.bars or d.now - i.last_ts <= limits.last_age_ns_max):
        twice = 2 * i.last
    else:
        return "COLLAR"
    away = abs(2 * a.price - twice)
    fine = away <= 2 * limits.collar_ticks_max and away * PPM <= limits.collar_ppm_max * twice
    return None if fine else "COLLAR"


def _moved(d: "Desk", a: Ask) -> str | None:
    i = a.i
    return None if i.move is not None and abs(i.mark - i.move) <= a.limits.move_ticks_max else "PRICE_MOVE"


def _position(d: "Desk", a: Ask) -> str | None:
    reached = a.i.qty + a.buys + a.qty if a.e.side == 1 else -(a.i.qty - a.sells - a.qty)
    return None if reached <= a.limits.position_max else "POSITION_LIMIT"


def _margin(d: "Desk", a: Ask) -> str | None:
    buys = a.buys + (a.qty if a.e.side == 1 else 0)
    sells = a.sells + (0 if a.e.side == 1 else a.qty)
    worst = max(abs(a.i.qty + buys), abs(a.i.qty - sells))
    return None if worst * a.i.margin <= min(a.limits.margin_micros_max, d.equity()) else "MARGIN"


def _trade_risk(d: "Desk", a: Ask) -> str | None:
    return None if a.risk() <= a.limits.loss_trade_micros_max else "RISK_PER_TRADE"


def _risk_known(d: "Desk", a: Ask) -> str | None:
    return None if d.open_risk() is not None else "LIMITS_UNKNOWN"


def _day_risk(d: "Desk", a: Ask) -> str | None:
    of_day = a.limits.loss_day_micros_max - max(0, -d.day_net)
    in_all = a.limits.loss_total_micros_max - max(0, d.reference - d.equity())
    left = min(of_day, in_all) - d.open_risk()
    return None if left > 0 and a.risk() <= left else "RISK_DAILY"


def _duplicate(d: "Desk", a: Ask) -> str | None:
    same = [o.sent for o in a.entries if (o.side, o.qty, o.kind) == (a.e.side, a.qty, MARKET)]
    return "DUPLICATE" if same and d.now - max(same) <= a.limits.duplicate_ns else None


def _rate(d: "Desk", a: Ask) -> str | None:
    in_second, in_minute = d.messages()
    limits = a.limits
    fine = (
        in_second + 3 <= limits.messages_1s_max and in_minute + 3 <= limits.messages_60s_max - limits.messages_reserved
    )
    return None if fine else "MESSAGE_RATE"


def _orders(d: "Desk", a: Ask) -> str | None:
    return None if len(a.open) + 3 <= a.limits.orders_open_max else "OPEN_ORDERS"


QUESTIONS: tuple[Callable[["Desk", Any], str | None], ...] = (
    _trading, _latched, _input, _limits, _reconciled, _held, _fresh, _score_fresh, _open, _signal, _confidence, _flat,
    _cool, _stop, _qty, _value, _spread, _collar, _moved, _position, _margin, _trade_risk, _risk_known, _day_risk,
    _duplicate, _rate, _orders,
)  # fmt: skip


def refusal(desk: "Desk", ask: Ask) -> str:
    """The first objection, or APPROVED."""
    for question in QUESTIONS:
        code = question(desk, ask)
        if code is not None:
            return code
    return "APPROVED"
