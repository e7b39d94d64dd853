"""The gate: every entry passes here, whoever asks.  The answer starts refused and has to be earned.

RULES is the whole gate: one row and one function a rule, asked in this order; the first refusing rule gives the code.
A rule returns 0 (no objection) or its code.  Exits, cancels and flatten never come here.  Each row names its control.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from marketdata.core.records import BUY, NO_TICK, NO_TIME, STATUS_OPEN
from marketdata.core.sessions import NORMAL, REDUCED
from marketdata.core.units import MONEY_MICROS_MAX, PPM, QTY_MAX, TICK_MAX, TICK_VALUE_MICROS_MAX
from risk.core.holds import BIT, ENTRY_MASK
from risk.core.records import UNKNOWN, UNSET, GateInput

APPROVED = 0
REFUSED = 1  # what an entry is before the gate was asked
NOT_TRADING, LATCHED, INPUT_INVALID, NO_LIMIT, NOT_RECONCILED, HOLD, FEED_STALE, SCORE_STALE, CLOSED = range(2, 11)
NO_SIGNAL, LOW_CONFIDENCE, IN_POSITION, ENTRY_WORKING, COOLDOWN, BAD_STOP = range(11, 17)
QTY_LIMIT, VALUE_LIMIT, SPREAD, COLLAR, PRICE_MOVE, POSITION_LIMIT, MARGIN = range(17, 24)
RISK_PER_TRADE, RISK_DAILY, DUPLICATE, MESSAGE_RATE, OPEN_ORDERS, LIMITS_UNKNOWN = range(24, 30)

STOP_TICKS_REPRESENTABLE = 100_000  # keeps qty x ticks inside int64 by a wide margin
FEE_MICROS_REPRESENTABLE = MONEY_MICROS_MAX // (4 * QTY_MAX)
# FEED_STALE and NOT_RECONCILED have rules of their own with sharper reasons; the hold rule leaves them to those
_OWN_RULE = (1 << BIT["FEED_STALE"]) | (1 << BIT["NOT_RECONCILED"])
HOLD_RULE_MASK = ENTRY_MASK & ~_OWN_RULE


@njit(cache=True)
def _known(value: int) -> bool:
    return value != UNKNOWN


@njit(cache=True)
def _trading(x, limits):
    return APPROVED if x.trading == 1 and x.tradable == 1 else NOT_TRADING


@njit(cache=True)
def _latched(x, limits):
    return APPROVED if x.latched == 0 else LATCHED


@njit(cache=True)
def _input_valid(x, limits):
    if not -1 <= x.side <= 1 or not 0 < x.qty <= QTY_MAX or x.now_ns <= 0:
        return INPUT_INVALID
    if x.holds < 0 or x.instrument_holds < 0 or x.entries_working < 0 or x.orders_open < 0:
        return INPUT_INVALID
    if x.messages_1s < 0 or x.messages_60s < 0 or x.unknown_orders < 0:
        return INPUT_INVALID
    if not 0 < x.tick_value_micros <= TICK_VALUE_MICROS_MAX:
        return INPUT_INVALID
    if not 0 <= x.fee_per_unit_micros <= FEE_MICROS_REPRESENTABLE:
        return INPUT_INVALID
    if not 0 <= x.margin_per_unit_micros <= FEE_MICROS_REPRESENTABLE:
        return INPUT_INVALID
    if not -QTY_MAX <= x.position <= QTY_MAX or x.working_buy < 0 or x.working_sell < 0:
        return INPUT_INVALID
    if not 0 <= x.confidence_ppm <= PPM or not -PPM <= x.score_ppm <= PPM:
        return INPUT_INVALID
    if not 0 <= x.margin_elsewhere_micros < MONEY_MICROS_MAX:
        return INPUT_INVALID
    for money in (x.day_net_micros, x.equity_micros, x.reference_micros):
        if not -MONEY_MICROS_MAX < money < MONEY_MICROS_MAX:
            return INPUT_INVALID
    return APPROVED


@njit(cache=True)
def _limits_exist(x, limits):
    return APPROVED if x.limits_known == 1 else NO_LIMIT


@njit(cache=True)
def _reconciled(x, limits):
    if x.reconciled != 1 or x.unknown_orders != 0 or x.recon_ts_ns == NO_TIME:
        return NOT_RECONCILED
    return APPROVED if x.now_ns - x.recon_ts_ns <= limits.recon_age_ns_max else NOT_RECONCILED


@njit(cache=True)
def _held(x, limits):
    return APPROVED if (x.holds | x.instrument_holds) & HOLD_RULE_MASK == 0 else HOLD


@njit(cache=True)
def _fresh(x, limits):
    if x.gap != 0 or x.book_ok != 1 or x.feed_ts_ns == NO_TIME or x.quote_ts_ns == NO_TIME:
        return FEED_STALE
    if not 0 < x.price_tick <= TICK_MAX:
        return FEED_STALE
    if x.now_ns - x.feed_ts_ns > limits.quote_age_ns_max:
        return FEED_STALE
    if limits.bar_mode == 1:
        return APPROVED  # the grid clock is the feed (MES-BT-04); the bar's own age is bounded by the beat above
    return APPROVED if x.now_ns - x.quote_ts_ns <= limits.quote_age_ns_max else FEED_STALE


@njit(cache=True)
def _score_fresh(x, limits):
    if x.score_ts_ns == NO_TIME or x.score_ts_ns > x.now_ns:
        return SCORE_STALE
    return APPROVED if x.now_ns - x.score_ts_ns <= limits.score_age_ns_max else SCORE_STALE


@njit(cache=True)
def _open(x, limits):
    if x.status != STATUS_OPEN:
        return CLOSED
    return APPROVED if x.phase == NORMAL or x.phase == REDUCED else CLOSED


@njit(cache=True)
def _signal(x, limits):
    if x.side == 0:
        return NO_SIGNAL
    return APPROVED if x.score_ppm * x.side >= limits.score_ppm_min else NO_SIGNAL


@njit(cache=True)
def _confidence(x, limits):
    return APPROVED if x.confidence_ppm >= limits.confidence_ppm_min else LOW_CONFIDENCE


@njit(cache=True)
def _flat(x, limits):
    if x.position != 0:
        return IN_POSITION
    return APPROVED if x.entries_working == 0 else ENTRY_WORKING


@njit(cache=True)
def _cooled_down(x, limits):
    if x.entry_fill_ns != NO_TIME and x.now_ns - x.entry_fill_ns < limits.cooldown_entry_ns:
        return COOLDOWN
    if x.exit_fill_ns != NO_TIME and x.now_ns - x.exit_fill_ns < limits.cooldown_exit_ns:
        return COOLDOWN
    return APPROVED


@njit(cache=True)
def _stop_planned(x, limits):
    if not _known(x.stop_ticks) or not 0 < x.stop_ticks <= STOP_TICKS_REPRESENTABLE:
        return BAD_STOP
    if x.side == BUY and x.price_tick - x.stop_ticks <= 0:
        return BAD_STOP
    return APPROVED if limits.stop_ticks_min <= x.stop_ticks <= limits.stop_ticks_max else BAD_STOP


@njit(cache=True)
def _qty(x, limits):
    return APPROVED if x.qty <= limits.qty_max else QTY_LIMIT


@njit(cache=True)
def _value(x, limits):
    # qty x price x tick value <= limit, without forming the product
    return APPROVED if x.qty * x.price_tick <= limits.value_micros_max // x.tick_value_micros else VALUE_LIMIT


@njit(cache=True)
def _spread(x, limits):
    if limits.bar_mode == 1:
        return APPROVED  # bars carry no quotes: the spread counts as 1 tick (MES-BREAK-03)
    return APPROVED if x.ask_tick - x.bid_tick <= limits.spread_ticks_max else SPREAD


@njit(cache=True)
def _collar(x, limits):
    if limits.bar_mode == 1 or x.ask_tick - x.bid_tick > limits.spread_ticks_max:
        # no usable mid: the last trade, and only a recent one
        if x.last_tick == NO_TICK or x.last_ts_ns == NO_TIME:
            return COLLAR
        if limits.bar_mode != 1 and x.now_ns - x.last_ts_ns > limits.last_age_ns_max:
            return COLLAR
        twice_reference = 2 * x.last_tick
    else:
        twice_reference = x.bid_tick + x.ask_tick
    twice_distance = abs(2 * x.price_tick - twice_reference)
    if twice_reference <= 0 or twice_distance > 2 * limits.collar_ticks_max:
        return COLLAR
    return APPROVED if twice_distance * PPM <= limits.collar_ppm_max * twice_reference else COLLAR


@njit(cache=True)
def _moved(x, limits):
    if not _known(x.move_ticks):
        return PRICE_MOVE
    return APPROVED if x.move_ticks <= limits.move_ticks_max else PRICE_MOVE


@njit(cache=True)
def _position(x, limits):
    if x.side == BUY:
        reached = x.position + x.working_buy + x.qty
    else:
        reached = -(x.position - x.working_sell - x.qty)
    return APPROVED if reached <= limits.position_max else POSITION_LIMIT


@njit(cache=True)
def _margin(x, limits):
    worst = max(
        abs(x.position + x.working_buy + x.qty * (x.side == BUY)),
        abs(x.position - x.working_sell - x.qty * (x.side != BUY)),
    )
    needed = x.margin_elsewhere_micros + worst * x.margin_per_unit_micros
    return APPROVED if needed <= min(limits.margin_micros_max, x.equity_micros) else MARGIN


@njit(cache=True)
def _risk_to_stop(x, limits, budget):
    """Loss to the stop with slippage and both fees, against `budget`, without forming the product."""
    room = budget - 2 * x.qty * x.fee_per_unit_micros
    return room >= 0 and x.qty * (x.stop_ticks + limits.slip_ticks_assumed) <= room // x.tick_value_micros


@njit(cache=True)
def _trade_risk(x, limits):
    return APPROVED if _risk_to_stop(x, limits, limits.loss_trade_micros_max) else RISK_PER_TRADE


@njit(cache=True)
def _open_risk_known(x, limits):
    return APPROVED if _known(x.open_risk_micros) and x.open_risk_micros >= 0 else LIMITS_UNKNOWN


@njit(cache=True)
def _day_risk(x, limits):
    lost_today = max(0, -x.day_net_micros)
    lost_in_all = max(0, x.reference_micros - x.equity_micros)
    left = min(limits.loss_day_micros_max - lost_today, limits.loss_total_micros_max - lost_in_all) - x.open_risk_micros
    return APPROVED if left > 0 and _risk_to_stop(x, limits, left) else RISK_DAILY


@njit(cache=True)
def _not_duplicate(x, limits):
    if x.score_used != 0:
        return DUPLICATE
    if x.same_order_ts_ns == NO_TIME:
        return APPROVED
    return APPROVED if x.now_ns - x.same_order_ts_ns > limits.duplicate_ns else DUPLICATE


@njit(cache=True)
def _message_rate(x, limits):
    # an entry brings a stop and a target with it, and leaves the reserve for cancels and flatten untouched
    needed = 3
    if x.messages_1s + needed > limits.messages_1s_max:
        return MESSAGE_RATE
    return APPROVED if x.messages_60s + needed <= limits.messages_60s_max - limits.messages_reserved else MESSAGE_RATE


@njit(cache=True)
def _open_orders(x, limits):
    return APPROVED if x.orders_open + 3 <= limits.orders_open_max else OPEN_ORDERS


class Rule(NamedTuple):
    """One rule of the gate; `codes` are the reasons it can give."""

    function: Callable[..., int]
    codes: tuple[tuple[int, str], ...]
    control: str
    text: str


RULES = (
    Rule(_trading, ((NOT_TRADING, "NOT_TRADING"),), "P-01 P-02", "session started, instrument tradable"),
    Rule(_latched, ((LATCHED, "LATCHED"),), "K-05", "the kill latch is open"),
    Rule(_input_valid, ((INPUT_INVALID, "INPUT_INVALID"),), "P-06", "every input is finite and representable"),
    Rule(_limits_exist, ((NO_LIMIT, "NO_LIMIT"),), "P-07", "every limit is set by an active version"),
    Rule(_reconciled, ((NOT_RECONCILED, "NOT_RECONCILED"),), "P-05", "desk and broker agree, no unknown outcome"),
    Rule(_held, ((HOLD, "HOLD"),), "P-02", "no hold with NO_ENTRY or FLATTEN stands"),
    Rule(_fresh, ((FEED_STALE, "FEED_STALE"),), "P-04", "feed and quote are fresh, the book is usable"),
    Rule(_score_fresh, ((SCORE_STALE, "SCORE_STALE"),), "P-04 P-23", "the score is fresh"),
    Rule(_open, ((CLOSED, "CLOSED"),), "P-03", "the phase admits entries"),
    Rule(_signal, ((NO_SIGNAL, "NO_SIGNAL"),), "MES-RISK-20", "the score asks for a side"),
    Rule(_confidence, ((LOW_CONFIDENCE, "LOW_CONFIDENCE"),), "MES-RISK-20", "confidence reaches its minimum"),
    Rule(
        _flat, ((IN_POSITION, "IN_POSITION"), (ENTRY_WORKING, "ENTRY_WORKING")), "MES-RISK-20", "flat, no entry works"
    ),
    Rule(_cooled_down, ((COOLDOWN, "COOLDOWN"),), "P-26", "cool-downs after entry and exit are over"),
    Rule(_stop_planned, ((BAD_STOP, "BAD_STOP"),), "P-21", "a stop on the right side, within its bounds"),
    Rule(_qty, ((QTY_LIMIT, "QTY_LIMIT"),), "P-08", "order quantity"),
    Rule(_value, ((VALUE_LIMIT, "VALUE_LIMIT"),), "P-09", "order value"),
    Rule(_spread, ((SPREAD, "SPREAD"),), "P-24", "spread"),
    Rule(_collar, ((COLLAR, "COLLAR"),), "P-10", "price collar around mid or a recent trade"),
    Rule(_moved, ((PRICE_MOVE, "PRICE_MOVE"),), "P-11", "price has not run away in the window"),
    Rule(_position, ((POSITION_LIMIT, "POSITION_LIMIT"),), "P-12", "position with working orders"),
    Rule(_margin, ((MARGIN, "MARGIN"),), "P-13", "margin of all positions and working orders"),
    Rule(_trade_risk, ((RISK_PER_TRADE, "RISK_PER_TRADE"),), "P-14", "loss to the stop of this order"),
    Rule(_open_risk_known, ((LIMITS_UNKNOWN, "LIMITS_UNKNOWN"),), "P-14 MES-RISK-06", "open risk is known"),
    Rule(_day_risk, ((RISK_DAILY, "RISK_DAILY"),), "P-14 P-15", "loss budget of the day and in all"),
    Rule(_not_duplicate, ((DUPLICATE, "DUPLICATE"),), "P-16", "not the same order again"),
    Rule(_message_rate, ((MESSAGE_RATE, "MESSAGE_RATE"),), "P-17", "message budget, reserve untouched"),
    Rule(_open_orders, ((OPEN_ORDERS, "OPEN_ORDERS"),), "P-20", "open orders"),
)
CODE_NAMES = {APPROVED: "APPROVED", REFUSED: "REFUSED"} | {code: name for rule in RULES for code, name in rule.codes}


@njit(cache=True)
def all_known(values: np.ndarray) -> bool:
    """True when no limit of the vector is UNSET (P-07)."""
    return not np.any(values == UNSET)


def _chain(functions: tuple[Callable[..., int], ...]) -> Callable[..., int]:
    """One compiled function that asks the rules in order and stops at the first refusal."""
    first = functions[0]
    if len(functions) == 1:
        return first
    rest = _chain(functions[1:])

    @njit
    def ask(x, limits):
        code = first(x, limits)
        if code != APPROVED:
            return code
        return rest(x, limits)

    return ask


_ask = _chain(tuple(rule.function for rule in RULES))


@njit(cache=True)
def approve(x: GateInput, limits: np.record) -> int:
    """APPROVED, or the code of the first refusing rule.  `limits`: one LIMITS record."""
    return _ask(x, limits)
