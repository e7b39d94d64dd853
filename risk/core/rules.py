"""The rules of the gate, one function each: `rule(x, limits)` returns 0 (no objection) or its reason.

`x` is one ASK record, `limits` one LIMITS record.  Which rule is asked when, and for which venue, is `gate.RULES`.
Every field of `x` has passed its bounds by `fields_valid` before a rule computes with it.
"""

from marketdata.core.compiled import inner
from marketdata.core.records import BUY, NO_TICK, NO_TIME, SELL, STATUS_OPEN
from marketdata.core.sessions import AFTER_HOURS, NORMAL, REDUCED
from marketdata.core.units import PPM
from risk.core import codes
from risk.core.codes import APPROVED, FIELD_BASE, HOLD_BASE
from risk.core.exact import share_floor
from risk.core.holds import BIT, ENTRY_MASK, strongest
from risk.core.records import MES, MOEX, SIZE_FIXED, SIZE_TIERS, UNKNOWN
from risk.core.shares import hedging
from risk.core.stops import ATR_ROWS

_EOD, _AFTER_HOURS = BIT["EOD"], BIT["AFTER_HOURS"]
_MODEL_BLOCKED, _FEATURES_COLD = BIT["MODEL_BLOCKED"], BIT["FEATURES_COLD"]
# Holds that a later rule of MES-RISK-20 names with a sharper reason; MOEX-RISK-08 has no such exception.
_LATER = ("NOT_RECONCILED", "FEED_STALE", "EOD", "CLOSE_ONLY", "AFTER_HOURS", "MODEL_BLOCKED", "FEATURES_COLD")
_MES_HELD = int(ENTRY_MASK[MES]) & ~sum(1 << BIT[code] for code in _LATER)
_NOT_ACTIVE = BIT["NOT_ACTIVE"]
_MOEX_HELD = int(ENTRY_MASK[MOEX]) & ~(1 << _NOT_ACTIVE)  # row 4 names that one
_ML_FALLBACK = BIT["ML_FALLBACK"]


@inner
def trading(x, limits):
    return APPROVED if x.trading == 1 else codes.NOT_TRADING


@inner
def latched(x, limits):
    return APPROVED if x.latched == 0 else codes.LATCHED


@inner
def limits_exist(x, limits):
    return APPROVED if x.limits_known == 1 else codes.LIMITS_UNKNOWN


@inner
def fields_valid(x, limits):
    """P-06: every field within its bounds, each refused with its own reason."""
    return APPROVED if x.bad_field < 0 else FIELD_BASE + x.bad_field


@inner
def open_risk_known(x, limits):
    return APPROVED if x.open_risk_micros >= 0 else codes.LIMITS_UNKNOWN


@inner
def reconciled(x, limits):
    if x.reconciled != 1 or x.unknown_orders != 0 or x.recon_ts_ns == NO_TIME:
        return codes.NOT_RECONCILED
    return APPROVED if x.now_ns - x.recon_ts_ns <= limits.recon_age_ns_max else codes.NOT_RECONCILED


@inner
def held(x, limits):
    """The strongest account hold that stops entries names the reason, then the strongest of the instrument; of shares
    ML_FALLBACK last, for every score here is a network's or a formula's, none the heuristic's (MOEX-RISK-08, row 3).
    """
    rules = MOEX if limits.rules == MOEX else MES
    mask = _MOEX_HELD if rules == MOEX else _MES_HELD
    standing = x.holds & mask
    if standing != 0 and rules == MOEX and x.held_first > 0:
        return HOLD_BASE + x.held_first - 1
    if standing == 0:
        standing = x.instrument_holds & mask
    if standing == 0 and rules == MOEX and x.hedging == 0:
        standing = x.holds & 1 << _ML_FALLBACK
    return APPROVED if standing == 0 else HOLD_BASE + strongest(rules, standing)


@inner
def active(x, limits):
    return HOLD_BASE + _NOT_ACTIVE if (x.holds | x.instrument_holds) >> _NOT_ACTIVE & 1 else APPROVED


@inner
def tradable(x, limits):
    return APPROVED if x.tradable == 1 else codes.NOT_TRADING


@inner
def status_open(x, limits):
    return APPROVED if x.status == STATUS_OPEN else codes.CLOSED


@inner
def fresh(x, limits):
    if x.gap != 0 or x.book_ok != 1 or x.feed_ts_ns == NO_TIME or x.quote_ts_ns == NO_TIME or x.price_tick <= 0:
        return codes.FEED_STALE
    if x.now_ns - x.feed_ts_ns > limits.quote_age_ns_max:
        return codes.FEED_STALE
    if limits.bar_mode == 1:
        return APPROVED  # the grid clock is the feed (MES-BT-04); the bar's own age is bounded by the beat above
    if not 0 < x.bid_tick < x.ask_tick:
        return codes.FEED_STALE
    return APPROVED if x.now_ns - x.quote_ts_ns <= limits.quote_age_ns_max else codes.FEED_STALE


@inner
def score_fresh(x, limits):
    if x.score_ts_ns == NO_TIME or x.score_ts_ns > x.now_ns:
        return codes.SCORE_STALE
    return APPROVED if x.now_ns - x.score_ts_ns <= limits.score_age_ns_max else codes.SCORE_STALE


@inner
def phase_admits(x, limits):
    if x.phase == NORMAL or x.phase == REDUCED:
        return APPROVED
    return HOLD_BASE + (_AFTER_HOURS if x.phase == AFTER_HOURS else _EOD)


@inner
def model_ready(x, limits):
    if x.holds >> _MODEL_BLOCKED & 1:
        return HOLD_BASE + _MODEL_BLOCKED
    if x.row_valid != 1 or x.holds >> _FEATURES_COLD & 1:
        return HOLD_BASE + _FEATURES_COLD
    return APPROVED


@inner
def signal(x, limits):
    if x.side == 0:
        return codes.NO_SIGNAL
    return APPROVED if x.score_ppm * x.side >= limits.score_ppm_min else codes.NO_SIGNAL


@inner
def confidence(x, limits):
    return APPROVED if x.confidence_ppm >= limits.confidence_ppm_min else codes.LOW_CONFIDENCE


@inner
def filtered(x, limits):
    """Optional entry filters (MES-RISK-20, row 8): the range of the last rows; one that is not known passes neither."""
    if limits.atr_ppm_min <= 0 and limits.atr_ppm_max <= 0:
        return APPROVED
    range_ppm = x.atr_sum * PPM
    if x.atr_sum < 0 or range_ppm < limits.atr_ppm_min * ATR_ROWS:
        return codes.FILTERED
    return codes.FILTERED if limits.atr_ppm_max > 0 and range_ppm > limits.atr_ppm_max * ATR_ROWS else APPROVED


@inner
def flat(x, limits):
    if x.position != 0:
        return codes.IN_POSITION
    return APPROVED if x.entries_working == 0 else codes.ENTRY_WORKING


@inner
def cooled_down(x, limits):
    if x.entry_fill_ns != NO_TIME and x.now_ns - x.entry_fill_ns < limits.cooldown_entry_ns:
        return codes.COOLDOWN
    if x.reversing == 0 and x.exit_fill_ns != NO_TIME and x.now_ns - x.exit_fill_ns < limits.cooldown_exit_ns:
        return codes.COOLDOWN
    return APPROVED


@inner
def short_allowed(x, limits):
    return codes.SHORT_NOT_ALLOWED if x.side == SELL and limits.allow_short != 1 else APPROVED


@inner
def stop_planned(x, limits):
    if x.stop_ticks <= 0:
        return codes.BAD_STOP
    if x.side == BUY and x.price_tick - x.stop_ticks <= 0:
        return codes.BAD_STOP
    return APPROVED if limits.stop_ticks_min <= x.stop_ticks <= limits.stop_ticks_max else codes.BAD_STOP


@inner
def sized(x, limits):
    if x.size_code != 0:
        return x.size_code
    return APPROVED if x.qty >= 1 else codes.SIZE_ZERO


@inner
def qty_limit(x, limits):
    return APPROVED if x.qty <= limits.qty_max else codes.QTY_LIMIT


@inner
def value_limit(x, limits):
    # qty x price x tick value <= limit, without forming the product
    return APPROVED if x.qty * x.price_tick <= limits.value_micros_max // x.tick_value_micros else codes.VALUE_LIMIT


@inner
def spread(x, limits):
    if limits.bar_mode == 1:
        return APPROVED  # bars carry no quotes: the spread counts as 1 tick (MES-BREAK-03)
    wide = x.ask_tick - x.bid_tick
    if x.hedging == 0 and wide > limits.spread_ticks_max:  # ticks of a share: a hedge has other ones (MOEX-HEDGE-03)
        return codes.SPREAD
    if limits.spread_ppm_max > 0 and 2 * wide * PPM > limits.spread_ppm_max * (x.ask_tick + x.bid_tick):
        return codes.SPREAD
    return APPROVED


@inner
def hedge_fits(x, limits):
    """MOEX-HEDGE-03: a hedge is priced by a book of the last second, tight, and cheap there and back."""
    if x.hedging == 0:
        return APPROVED
    if x.now_ns - x.quote_ts_ns > hedging.BOOK_AGE_NS_MAX:
        return codes.FEED_STALE
    cheap = hedging.is_cheap(
        x.bid_tick,
        x.ask_tick,
        x.tick_value_micros,
        x.fee_per_unit_micros,
        hedging.SPREAD_PPM_MAX,
        limits.hedge_max_cost_ppm,
    )
    return APPROVED if cheap else codes.HEDGE_COST


@inner
def collar(x, limits):
    if limits.bar_mode == 1 or x.ask_tick - x.bid_tick > limits.spread_ticks_max:
        # no usable mid: the last trade, and only a recent one
        if x.last_tick == NO_TICK or x.last_ts_ns == NO_TIME:
            return codes.COLLAR
        if limits.bar_mode != 1 and x.now_ns - x.last_ts_ns > limits.last_age_ns_max:
            return codes.COLLAR
        twice_reference = 2 * x.last_tick
    else:
        twice_reference = x.bid_tick + x.ask_tick
    twice_distance = abs(2 * x.price_tick - twice_reference)
    if twice_reference <= 0 or twice_distance > 2 * limits.collar_ticks_max:
        return codes.COLLAR
    return APPROVED if twice_distance * PPM <= limits.collar_ppm_max * twice_reference else codes.COLLAR


@inner
def moved(x, limits):
    if x.move_ticks == UNKNOWN or x.move_ticks < 0:
        return codes.PRICE_MOVE
    return APPROVED if x.move_ticks <= limits.move_ticks_max else codes.PRICE_MOVE


@inner
def position_limit(x, limits):
    if x.side == BUY:
        reached = x.position + x.working_buy + x.qty
    else:
        reached = -(x.position - x.working_sell - x.qty)
    return APPROVED if reached <= limits.position_max else codes.POSITION_LIMIT


@inner
def gross_limit(x, limits):
    """MOEX-RISK-04: exposure with this order, all instruments, then this one.  A share of 0 sets no such limit."""
    room = x.capital_micros // PPM
    rest = x.capital_micros % PPM
    if limits.gross_ppm_max > 0:
        if x.gross_micros > room * limits.gross_ppm_max + rest * limits.gross_ppm_max // PPM:
            return codes.LIMIT_EXPOSURE
    if limits.instrument_ppm_max > 0:
        if x.instrument_micros > room * limits.instrument_ppm_max + rest * limits.instrument_ppm_max // PPM:
            return codes.LIMIT_INSTRUMENT
    return APPROVED


@inner
def margin(x, limits):
    worst = max(
        abs(x.position + x.working_buy + x.qty * (x.side == BUY)),
        abs(x.position - x.working_sell - x.qty * (x.side != BUY)),
    )
    needed = x.margin_elsewhere_micros + worst * x.margin_per_unit_micros
    return APPROVED if needed <= min(limits.margin_micros_max, x.equity_micros) else codes.MARGIN


@inner
def _to_stop(x, limits, budget):
    """Loss to the stop with slippage and both fees, against `budget`, without forming the product."""
    room = budget - 2 * x.qty * x.fee_per_unit_micros
    return room >= 0 and x.qty * (x.stop_ticks + limits.slip_ticks_assumed) <= room // x.tick_value_micros


@inner
def trade_risk(x, limits):
    """P-14 for a fixed size; a computed size has this limit inside it (MES-SIZE-02, step 5; MOEX-SIZE-01, STOP)."""
    if limits.sizing != SIZE_FIXED:
        return APPROVED
    return APPROVED if _to_stop(x, limits, limits.loss_trade_micros_max) else codes.RISK_PER_TRADE


@inner
def day_risk(x, limits):
    """P-14 and P-15 for a fixed size and for caps; of the sizes only tiers have this limit inside (MES-SIZE-02)."""
    if limits.sizing == SIZE_TIERS:
        return APPROVED
    of_day = limits.loss_day_micros_max
    if limits.loss_day_share_ppm_max > 0:
        of_day = min(of_day, share_floor(x.capital_micros, limits.loss_day_share_ppm_max, PPM))
    lost_today = max(0, -x.day_net_micros)
    lost_in_all = max(0, x.reference_micros - x.equity_micros)
    left = min(of_day - lost_today, limits.loss_total_micros_max - lost_in_all) - x.open_risk_micros
    return APPROVED if left > 0 and _to_stop(x, limits, left) else codes.RISK_DAILY


@inner
def not_duplicate(x, limits):
    if x.score_used != 0:
        return codes.DUPLICATE
    if x.same_order_ts_ns == NO_TIME:
        return APPROVED
    return APPROVED if x.now_ns - x.same_order_ts_ns > limits.duplicate_ns else codes.DUPLICATE


@inner
def repeated(x, limits):
    return codes.REPEATED if limits.entries_max > 0 and x.entries_recent >= limits.entries_max else APPROVED


@inner
def crosses_nothing(x, limits):
    """P-19: not marketable against an order of our own; where an exit works at market, no price is far enough."""
    if x.opposite_tick == 0:
        return APPROVED
    reaches = x.price_tick >= x.opposite_tick if x.side == BUY else x.price_tick <= x.opposite_tick
    return codes.SELF_MATCH if reaches else APPROVED


@inner
def depth(x, limits):
    if limits.depth_ppm_max <= 0 or limits.bar_mode == 1:
        return APPROVED  # bars show no quantity
    return APPROVED if x.qty * PPM <= limits.depth_ppm_max * x.opposite_qty else codes.DEPTH


@inner
def trades_left(x, limits):
    return codes.TRADES_DAY if limits.trades_day_max > 0 and x.day_trades >= limits.trades_day_max else APPROVED


@inner
def bucket(x, limits):
    return codes.RATE if limits.bucket_capacity > 0 and x.bucket_tokens < x.slices else APPROVED


@inner
def message_rate(x, limits):
    # an entry brings a stop and a target or its cancel with it, each slice its own, and leaves the reserve for cancels
    # and flatten untouched
    needed = 2 * x.slices + 1
    if x.messages_1s + needed > limits.messages_1s_max:
        return codes.MESSAGE_RATE
    left = limits.messages_60s_max - limits.messages_reserved
    return APPROVED if x.messages_60s + needed <= left else codes.MESSAGE_RATE


@inner
def open_orders(x, limits):
    return APPROVED if x.orders_open + 2 + x.slices <= limits.orders_open_max else codes.OPEN_ORDERS
