"""The entry gate of the futures rulebook, re-stated: MES-RISK-20 row by row, then the controls in the order of their
numbers (P-03, P-08 … P-25), one function a question; the first objection is the answer.

Integers are unbounded here and None is "not known", so nothing can overflow and nothing unknown can look like a number.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from marketdata.core.records import FLAG_INVALID
from tests.oracle.rules import limits as account
from tests.oracle.rules.facts import (
    AFTER_HOURS,
    ENTRY,
    MARKET,
    NORMAL,
    OPEN,
    PPM,
    PRICE_MOST,
    QUERYING,
    REDUCED,
    STOP,
    UNKNOWN,
    Event,
    Instrument,
)
from tests.oracle.rules.market import farthest

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

QTY_MOST = 1_000_000
MONEY_MOST = 2**62
FEE_MOST = MONEY_MOST // (4 * QTY_MOST)
# row 4 leaves these to a later row
LATER = {"NOT_RECONCILED", "FEED_STALE", "EOD", "CLOSE_ONLY", "AFTER_HOURS", "MODEL_BLOCKED", "FEATURES_COLD"}


class Ask:
    """What one score asks for, with the plan that the version's methods make of it."""

    cost = 0  # what it is expected to cost, where somebody computes it

    def __init__(self, desk: "Desk", e: Event, reversing: bool = False) -> None:
        i = desk.instruments[e.instrument]
        self.i, self.e, self.limits, self.reversing = i, e, desk.limits, reversing
        self.bars = desk.limits.bar_mode == 1
        self.lets = i.override if desk.now < i.override_until else ""  # what may pass (P-27), and what did
        self.passed = ""
        self.plan = desk.plan(i, e)
        self.price, self.qty, self.stop = self.plan.price, self.plan.qty, self.plan.stop
        self.open = [o for o in desk.orders if o is not None and o.status in OPEN]
        self.entries = [o for o in self.open if o.role == ENTRY and o.instrument == e.instrument]
        self.buys = sum(o.left for o in self.entries if o.side == 1)
        self.sells = sum(o.left for o in self.entries if o.side != 1)

    def risk(self) -> int:
        """Loss to the stop with the assumed slippage and both fees."""
        return self.qty * ((self.stop + self.limits.slip_ticks_assumed) * self.i.tick_value + 2 * self.plan.fee)


def asks_ready(d: "Desk", a: Ask) -> str | None:  # row 1
    if not d.trading:
        return "NOT_TRADING"
    if d.latched:
        return "LATCHED"
    return None if a.i.tradable == 1 else "NOT_TRADING"


def asks_limits(d: "Desk", a: Ask) -> str | None:  # row 2
    return None if d.version != 0 and all(v is not None for v in vars(d.limits).values()) else "LIMITS_UNKNOWN"


def asks_fields(d: "Desk", a: Ask) -> str | None:  # row 2, P-06: every field in its bounds, in the form's order
    e, i = a.e, a.i
    money = MONEY_MOST - 1
    bounds = (
        ("now_ns", d.now, 1, 2**62),
        ("side", e.side, -1, 1),
        ("qty", a.qty, 0, QTY_MOST),
        ("price_tick", a.price or 0, a.price or 0, PRICE_MOST),  # one that is not known is row 5's
        ("score_ppm", e.score, -PPM, PPM),
        ("confidence_ppm", e.confidence, 0, PPM),
        ("bid_tick", i.bid or 0, i.bid or 0, PRICE_MOST),
        ("ask_tick", i.ask or 0, i.ask or 0, PRICE_MOST),
        ("position", i.qty, -QTY_MOST, QTY_MOST),
        ("tick_value_micros", i.tick_value, 1, 10**9),
        ("fee_per_unit_micros", a.plan.fee, 0, FEE_MOST),
        ("margin_per_unit_micros", i.margin, 0, FEE_MOST),
        ("margin_elsewhere_micros", margin_elsewhere(d, i), 0, money),
        ("day_net_micros", d.day_net, -money, money),
        ("equity_micros", d.equity(), -money, money),
        ("reference_micros", d.reference, -money, money),
        ("capital_micros", d.balance, 1, money),
    )
    for name, value, low, high in bounds:
        if value is None or not low <= value <= high:
            return f"INPUT_INVALID:{name}"
    return None


def asks_risk_known(d: "Desk", a: Ask) -> str | None:  # row 2
    return None if d.open_risk() is not None else "LIMITS_UNKNOWN"


def asks_reconciled(d: "Desk", a: Ask) -> str | None:  # row 3
    unsure = any(o.status == UNKNOWN or o.request == QUERYING for o in a.open)
    if not d.reconciled or unsure or d.recon_ts is None or d.now - d.recon_ts > a.limits.recon_age_ns_max:
        return "NOT_RECONCILED"
    return None


def asks_held(d: "Desk", a: Ask) -> str | None:  # row 4: active or due, strongest label first
    standing = {code for code in d.holds if code in d.book.stops_entry}
    of_instrument = {code for code in a.i.holds if code in d.book.stops_entry}
    code = d.book.strongest((standing | account.due(d)) - LATER, d.since) or d.book.strongest(of_instrument, {})
    return f"HOLD:{code}" if code else None


def asks_fresh(d: "Desk", a: Ask) -> str | None:  # row 5
    i, most = a.i, a.limits.quote_age_ns_max
    priced = i.last_ts if a.bars else i.quote_ts
    usable = (a.bars or i.book_ok) and not i.bad_mark
    if d.gap or not usable or d.feed_ts is None or priced is None or a.price is None or a.price <= 0:
        return "FEED_STALE"
    if d.now - d.feed_ts > most or (not a.bars and d.now - priced > most):
        return "FEED_STALE"
    return None if 0 <= d.now - a.e.venue_ts <= a.limits.score_age_ns_max else "SCORE_STALE"


def asks_phase(d: "Desk", a: Ask) -> str | None:  # row 6
    if d.phase in (NORMAL, REDUCED):
        return None
    return "HOLD:AFTER_HOURS" if d.phase == AFTER_HOURS else "HOLD:EOD"


def asks_model(d: "Desk", a: Ask) -> str | None:  # row 7
    if "MODEL_BLOCKED" in d.holds:
        return "HOLD:MODEL_BLOCKED"
    return "HOLD:FEATURES_COLD" if a.e.flags & FLAG_INVALID or "FEATURES_COLD" in d.holds else None


def asks_signal(d: "Desk", a: Ask) -> str | None:  # row 8
    if a.e.side == 0 or a.e.score * a.e.side < a.limits.score_ppm_min:
        return "NO_SIGNAL"
    return None


def asks_filters(d: "Desk", a: Ask) -> str | None:  # row 8: the range of 14 rows, in ticks
    least, most = a.limits.atr_ppm_min, a.limits.atr_ppm_max
    if not least and not most:
        return None
    total = a.i.grid.atr_sum()
    if total is None or Fraction(total, 14) * PPM < least:
        return "FILTERED"
    return "FILTERED" if most and Fraction(total, 14) * PPM > most else None


def asks_sure(d: "Desk", a: Ask) -> str | None:  # row 9
    return None if a.e.confidence >= a.limits.confidence_ppm_min else "LOW_CONFIDENCE"


def asks_flat(d: "Desk", a: Ask) -> str | None:  # row 10
    i = a.i
    if i.qty != 0:
        return "IN_POSITION"
    if any(o.instrument == a.e.instrument for o in a.open):
        return "ENTRY_WORKING"
    return None


def asks_cooled(d: "Desk", a: Ask) -> str | None:  # row 10, P-26
    i = a.i
    if i.entry_fill is not None and d.now - i.entry_fill < a.limits.cooldown_entry_ns:
        return "COOLDOWN"
    waits = i.exit_fill is not None and d.now - i.exit_fill < a.limits.cooldown_exit_ns
    return "COOLDOWN" if waits and not a.reversing else None


def asks_stop(d: "Desk", a: Ask) -> str | None:  # row 11
    below = a.e.side == 1 and a.price - a.stop <= 0  # type: ignore[operator]
    within = a.stop > 0 and a.limits.stop_ticks_min <= a.stop <= a.limits.stop_ticks_max
    return None if within and not below else "BAD_STOP"


def asks_size(d: "Desk", a: Ask) -> str | None:  # rows 12, 13
    return (a.plan.why or "SIZE_ZERO") if a.qty < 1 else None


def asks_short(d: "Desk", a: Ask) -> str | None:  # a permission of the account, asked with the entry's side
    return "SHORT_NOT_ALLOWED" if a.e.side == -1 and a.limits.allow_short != 1 else None


def asks_status(d: "Desk", a: Ask) -> str | None:  # P-03
    return None if a.i.status == 0 else "CLOSED"


def asks_qty(d: "Desk", a: Ask) -> str | None:  # P-08
    return None if a.qty <= a.limits.qty_max else "QTY_LIMIT"


def asks_value(d: "Desk", a: Ask) -> str | None:  # P-09
    value = a.qty * a.price * a.i.tick_value  # type: ignore[operator]
    return None if value <= a.limits.value_micros_max else "VALUE_LIMIT"


def asks_collar(d: "Desk", a: Ask) -> str | None:  # P-10
    i, limits = a.i, a.limits
    if not a.bars and i.ask - i.bid <= limits.spread_ticks_max:  # type: ignore[operator]
        twice = i.bid + i.ask  # type: ignore[operator]
    elif i.last is not None and i.last_ts is not None and (a.bars or d.now - i.last_ts <= limits.last_age_ns_max):
        twice = 2 * i.last
    else:
        return "COLLAR"
    away = abs(2 * a.price - twice)  # type: ignore[operator]
    fine = away <= 2 * limits.collar_ticks_max and away * PPM <= limits.collar_ppm_max * twice
    return None if fine else "COLLAR"


def asks_moved(d: "Desk", a: Ask) -> str | None:  # P-11
    i = a.i
    return None if i.parts and farthest(i) <= a.limits.move_ticks_max else "PRICE_MOVE"


def asks_position(d: "Desk", a: Ask) -> str | None:  # P-12
    reached = a.i.qty + a.buys + a.qty if a.e.side == 1 else -(a.i.qty - a.sells - a.qty)
    return None if reached <= a.limits.position_max else "POSITION_LIMIT"


def asks_margin(d: "Desk", a: Ask) -> str | None:  # P-13
    buys = a.buys + (a.qty if a.e.side == 1 else 0)
    sells = a.sells + (0 if a.e.side == 1 else a.qty)
    worst = max(abs(a.i.qty + buys), abs(a.i.qty - sells))
    needed = worst * a.i.margin + (margin_elsewhere(d, a.i) or 0)  # type: ignore[operator]
    return None if needed <= min(a.limits.margin_micros_max, d.equity()) else "MARGIN"


def margin_elsewhere(d: "Desk", own: Instrument) -> int | None:
    """Margin of what the other instruments hold and what their working entries may add; None without a figure."""
    total = 0
    for i in d.instruments:
        lots = abs(i.qty) + sum(o.left for o in d.live(i.index) if o.role == ENTRY)
        if i is own or lots == 0:
            continue
        if i.margin is None:
            return None
        total += lots * i.margin
    return total


def asks_loss(d: "Desk", a: Ask) -> str | None:  # P-14, P-15; a size by tiers has both inside it
    if a.limits.sizing == 1:
        return None
    if a.limits.sizing == 0 and a.risk() > a.limits.loss_trade_micros_max:
        return "RISK_PER_TRADE"
    of_day = a.limits.loss_day_micros_max - max(0, -d.day_net)
    in_all = a.limits.loss_total_micros_max - max(0, d.reference - d.equity())
    left = min(of_day, in_all) - (d.open_risk() or 0)
    return None if left > 0 and a.risk() <= left else "RISK_DAILY"


def asks_duplicate(d: "Desk", a: Ask) -> str | None:  # P-16
    if not a.reversing and a.i.asked is not None and a.e.venue_ts <= a.i.asked:  # one score, one order
        return "DUPLICATE"
    same = [o.sent for o in a.entries if (o.side, o.qty, o.kind) == (a.e.side, a.qty, MARKET)]
    return "DUPLICATE" if same and d.now - max(same) <= a.limits.duplicate_ns else None


def asks_rate(d: "Desk", a: Ask) -> str | None:  # P-17
    in_second, in_minute = d.messages()
    limits = a.limits
    left = limits.messages_60s_max - limits.messages_reserved
    return None if in_second + 3 <= limits.messages_1s_max and in_minute + 3 <= left else "MESSAGE_RATE"


def asks_repeated(d: "Desk", a: Ask) -> str | None:  # P-18
    recent = [at for at in d.entered if d.now - at < a.limits.entries_window_ns]
    return "REPEATED" if 0 < a.limits.entries_max <= len(recent) else None


def asks_crossing(d: "Desk", a: Ask) -> str | None:  # P-19: what row 10 lets pass never is
    own = [o for o in d.live(a.e.instrument) if o.side == -a.e.side and o.kind != STOP]
    met = [o for o in own if o.price is None or (a.price - o.price) * a.e.side >= 0]  # type: ignore[operator]
    return "SELF_MATCH" if met else None


def asks_depth(d: "Desk", a: Ask) -> str | None:  # P-24
    shown = max(0, a.i.ask_qty if a.e.side == 1 else a.i.bid_qty)
    share = a.limits.depth_ppm_max
    return "DEPTH" if share > 0 and not a.bars and a.qty > Fraction(shown * share, PPM) else None


def asks_trades(d: "Desk", a: Ask) -> str | None:  # P-26: done today, held, or asked for
    asked = {i.index: sum(o.left for o in d.live(i.index) if o.role == ENTRY) for i in d.instruments}
    begun = [i for i in d.instruments if i.qty != 0 or asked[i.index] > 0]
    return "TRADES_DAY" if 0 < a.limits.trades_day_max <= d.day_trades + len(begun) else None


def asks_orders(d: "Desk", a: Ask) -> str | None:  # P-20
    return None if len(a.open) + 3 <= a.limits.orders_open_max else "OPEN_ORDERS"


def asks_spread(d: "Desk", a: Ask) -> str | None:  # P-24
    return None if a.bars or a.i.ask - a.i.bid <= a.limits.spread_ticks_max else "SPREAD"  # type: ignore[operator]


QUESTIONS: tuple[Callable[["Desk", Any], str | None], ...] = (
    asks_ready, asks_limits, asks_fields, asks_risk_known, asks_reconciled, asks_held, asks_fresh, asks_phase,
    asks_model, asks_signal, asks_filters, asks_sure, asks_flat, asks_cooled, asks_stop, asks_size, asks_short,
    asks_status, asks_qty, asks_value, asks_collar, asks_moved, asks_position, asks_margin, asks_loss, asks_duplicate,
    asks_rate, asks_repeated, asks_crossing, asks_orders, asks_spread, asks_depth, asks_trades,
)  # fmt: skip


def refusal(desk: Any, ask: Any, questions: tuple[Callable[[Any, Any], str | None], ...] = QUESTIONS) -> str:
    """The first objection, or APPROVED; the very first one is let pass where two persons said so (P-27)."""
    for question in questions:
        code = question(desk, ask)
        if code is None:
            continue
        if code == ask.lets and not ask.passed:
            ask.passed = code
            continue
        return code
    return "APPROVED"
