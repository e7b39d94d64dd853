"""The form that trading fills in for every entry: the record ASK, and the bounds within which each field is believed.

Integers only.  UNKNOWN stands where a value is not known, NO_TIME where a time of the past may be "never".  A field
outside its bounds refuses the entry with that field's own reason (P-06), before any rule computes with it.
"""

import numpy as np

from marketdata.core.compiled import inner
from marketdata.core.records import NO_TICK, NO_TIME
from marketdata.core.units import MONEY_MICROS_MAX, PPM, QTY_MAX, TICK_MAX, TICK_VALUE_MICROS_MAX
from risk.core.records import UNKNOWN
from risk.core.stops import ATR_ROWS

ATR_SUM_MAX = ATR_ROWS * TICK_MAX
STOP_TICKS_MAX = 100_000  # keeps quantity x ticks inside int64 by a wide margin
FEE_MICROS_MAX = MONEY_MICROS_MAX // (4 * QTY_MAX)
TIME_MAX = 2**62
COUNT_MAX = 10**9

_FLAG, _COUNT, _TIME, _PAST = (0, 1), (0, COUNT_MAX), (1, TIME_MAX), (NO_TIME, TIME_MAX)
_MONEY, _MASK, _PRICE = (1 - MONEY_MICROS_MAX, MONEY_MICROS_MAX - 1), (0, 2**62 - 1), (NO_TICK, TICK_MAX)
_TOP = MONEY_MICROS_MAX - 1

# (field, (lowest, highest value)).  A price that is absent is no fault of the form: the freshness rule has the sharper
# reason.  So it is with a stop, an open risk or a move that is not known, and with times of the past.
BOUNDS = (
    ("now_ns", _TIME),
    ("side", (-1, 1)),
    ("qty", (0, QTY_MAX)),  # the size that sizing gave; 0 with `size_code`
    ("order_type", (1, 6)),
    ("price_tick", _PRICE),  # the price the order could reach: its limit, or the far touch for a market order
    ("stop_ticks", (UNKNOWN, STOP_TICKS_MAX)),  # distance of the protective stop from that price
    ("score_ppm", (-PPM, PPM)),
    ("confidence_ppm", (0, PPM)),
    ("trading", _FLAG),  # 1 once the session was started and not stopped
    ("tradable", _FLAG),  # 1 when the instrument may be traded
    ("limits_known", _FLAG),  # 1 when every limit is set by a committed version
    ("latched", _FLAG),  # 1 while the kill latch stands
    ("phase", (0, 5)),  # see marketdata.core.sessions; computed anew for this entry
    ("holds", _MASK),  # account holds, one bit per code: standing, or due from the present state
    ("instrument_holds", _MASK),
    ("feed_ts_ns", _PAST),  # last message of the feed, beats included
    ("quote_ts_ns", _PAST),  # when the book or bar that prices this order was known
    ("score_ts_ns", _PAST),
    ("gap", _FLAG),  # 1 while the feed reported a gap that is not back-filled
    ("book_ok", _FLAG),  # 1: two-sided, not crossed
    ("status", (0, 3)),  # trading status of the instrument
    ("bid_tick", _PRICE),
    ("ask_tick", _PRICE),
    ("last_tick", _PRICE),
    ("last_ts_ns", _PAST),
    ("move_ticks", (UNKNOWN, 2 * TICK_MAX)),  # |mark − farthest mark of the last window|; UNKNOWN before the first mark
    ("reconciled", _FLAG),  # 1: broker and desk agree on this stream epoch
    ("recon_ts_ns", _PAST),
    ("unknown_orders", _COUNT),  # orders whose outcome is unknown
    ("position", (-QTY_MAX, QTY_MAX)),  # signed
    ("entries_working", _COUNT),
    ("working_buy", (0, QTY_MAX)),
    ("working_sell", (0, QTY_MAX)),
    ("orders_open", _COUNT),
    ("entry_fill_ns", _PAST),
    ("exit_fill_ns", _PAST),
    ("tick_value_micros", (1, TICK_VALUE_MICROS_MAX)),
    ("fee_per_unit_micros", (0, FEE_MICROS_MAX)),  # one side, at price_tick
    ("margin_per_unit_micros", (0, FEE_MICROS_MAX)),
    (
        "open_risk_micros",
        (UNKNOWN, _TOP),
    ),  # loss to the stops of positions and working entries, with fees; UNKNOWN without a stop
    ("day_net_micros", _MONEY),
    ("equity_micros", _MONEY),
    ("reference_micros", _MONEY),
    (
        "same_order_ts_ns",
        _PAST,
    ),  # the same (instrument, side, qty, type) was last sent and is not terminal; NO_TIME: never
    ("messages_1s", _COUNT),
    ("messages_60s", _COUNT),
    ("size_code", (0, 99)),  # 0, or the reason why sizing gave no lot
    ("row_valid", _FLAG),  # 1: the features behind the score are valid
    ("reversing", _FLAG),  # 1: the new entry of a reversal: MES-REV-03 replaces the exit cool-down
    ("capital_micros", (1, _TOP)),  # C of MOEX-RISK-01; the risk balance elsewhere
    ("gross_micros", (0, _TOP)),  # exposure of all instruments with working orders and this one
    ("instrument_micros", (0, _TOP)),  # the same of this instrument
    ("bucket_tokens", _COUNT),  # entry slices that may be decided now
    ("slices", (0, QTY_MAX)),  # of this order
    ("margin_elsewhere_micros", (0, _TOP)),  # of positions and working entries of all other instruments
    ("score_used", _FLAG),  # 1: an order was made from this score, or a newer one, already (P-16's key)
    ("hedging", _FLAG),  # 1: no score asks, the hedging task does: it passes the rules for hedges alone (MOEX-HEDGE-05)
    ("entries_recent", _COUNT),  # entries decided within the window of P-18
    ("opposite_tick", (0, TICK_MAX)),  # nearest own working order on the other side, 0 = none (P-19)
    ("day_trades", _COUNT),  # round trips of this trading day, begun or done
    ("opposite_qty", _COUNT),  # lots that the book shows at the touch this order would take
    ("atr_sum", (-1, ATR_SUM_MAX)),  # of the last 14 true ranges, ticks; -1: not known
    ("held_first", (0, 62)),  # 1 + bit of the account hold that the gate names; 0: the one that the table says
)
ASK_FIELDS = tuple(name for name, _ in BOUNDS)
# Behind the fields: the first of them outside its bounds, -1 when there is none; the reason that two persons let pass
# once (P-27), 0: none; and the one that the gate did let pass, 0: none.  The first and the last are the gate's own.
ASK = np.dtype((np.record, [(name, "<i8") for name in (*ASK_FIELDS, "bad_field", "override", "passed")]))
LOW = np.array([low for _, (low, _) in BOUNDS], np.int64)
HIGH = np.array([high for _, (_, high) in BOUNDS], np.int64)


@inner
def first_bad(values: np.ndarray) -> int:
    """Index of the first field outside its bounds, -1 when all are inside.  `values`: the form's memory as int64."""
    outside = False
    for i in range(LOW.shape[0]):  # nearly never one: without an early end the compiler asks many at once
        outside |= (values[i] < LOW[i]) | (values[i] > HIGH[i])
    if outside:
        for i in range(LOW.shape[0]):
            if not LOW[i] <= values[i] <= HIGH[i]:
                return i
    return -1
