"""The form that trading fills in and the limits that it is measured against.

LIMITS is one record of int64 per session; a CONFIG event sets one field by its index, so the order of the fields is
part of the journal's format: append, never reorder.  GateInput is everything a gate rule may look at: integers only.
A limit that nobody has set is UNSET, and the gate refuses (P-07).
"""

from typing import NamedTuple

import numpy as np

UNSET = np.iinfo(np.int64).min  # a limit or input that nobody has provided
UNKNOWN = UNSET  # the same sentinel, read as "not known" for inputs

LIMIT_FIELDS = (
    # what the session is
    "capital_micros",  # starting risk balance
    "bar_mode",  # 1: bars without quotes; the grid clock is the feed (MES-BT-04), spread counts as 1 tick
    # freshness and reconciliation (P-04, P-05)
    "quote_age_ns_max",
    "score_age_ns_max",
    "last_age_ns_max",
    "recon_age_ns_max",
    # one order (P-08 .. P-10, P-21, P-24)
    "qty_max",
    "value_micros_max",
    "collar_ppm_max",
    "collar_ticks_max",
    "spread_ticks_max",
    "stop_ticks_min",
    "stop_ticks_max",
    # price over time (P-11)
    "move_ticks_max",
    "move_window_ns",
    "move_hold_ns",
    # position and loss (P-12 .. P-15)
    "position_max",
    "margin_micros_max",
    "loss_trade_micros_max",
    "loss_day_micros_max",
    "loss_total_micros_max",
    "slip_ticks_assumed",
    # duplicates and messages (P-16, P-17, P-20)
    "duplicate_ns",
    "messages_1s_max",
    "messages_60s_max",
    "messages_reserved",
    "orders_open_max",
    # the strategy's own numbers
    "score_ppm_min",
    "confidence_ppm_min",
    "qty_entry",
    "stop_ticks",
    "target_ticks",
    "hold_ns_max",
    "entry_ttl_ns",
    "cooldown_entry_ns",
    "cooldown_exit_ns",
    # working orders (W-01)
    "ack_timeout_ns",
    "naked_ns_max",
)
LIMITS = np.dtype((np.record, [(name, "<i8") for name in LIMIT_FIELDS]))
LIMIT_INDEX = {name: i for i, name in enumerate(LIMIT_FIELDS)}

SPEC_FIELDS = (
    "tick_value_micros",
    "fee_micros",  # per contract and side
    "fee_ppm",  # of the value, per side
    "margin_micros",
    "tick_nanos",
    "lot",
    "tradable",  # 0: marks and features only
)
SPEC = np.dtype((np.record, [(name, "<i8") for name in SPEC_FIELDS]))
SPEC_INDEX = {name: i for i, name in enumerate(SPEC_FIELDS)}


# +1: a larger value admits more; -1: a larger value admits less; 0: neither, takes effect with the version.
# Bars without quotes (`bar_mode` 1) ask less: no spread, no age of a quote.
LIMIT_DIRECTION = np.array(
    [
        0
        if name in ("capital_micros", "qty_entry", "stop_ticks", "target_ticks", "hold_ns_max", "entry_ttl_ns")
        else -1
        if name.endswith("_min")
        or name
        in (
            "messages_reserved",
            "duplicate_ns",
            "slip_ticks_assumed",
            "cooldown_entry_ns",
            "cooldown_exit_ns",
            "move_window_ns",  # within a longer one the price has moved further
            "move_hold_ns",
        )
        else 1
        for name in LIMIT_FIELDS
    ],
    np.int64,
)


class GateInput(NamedTuple):
    """What one entry asks for, and what is known at that moment.  int64 throughout; UNKNOWN where it is not known."""

    now_ns: int
    side: int
    qty: int
    order_type: int
    price_tick: int  # the price the order could reach: its limit, or the far touch for a market order
    stop_ticks: int  # distance of the protective stop from that price
    score_ppm: int
    confidence_ppm: int
    trading: int  # 1 once the session was started and not stopped
    tradable: int  # 1 when the instrument may be traded
    limits_known: int  # 1 when every limit is set by a committed version
    latched: int  # 1 while the kill latch stands
    phase: int  # see marketdata.core.sessions
    holds: int  # standing account holds, one bit per code
    instrument_holds: int
    feed_ts_ns: int  # last message of the feed, beats included
    quote_ts_ns: int  # when the book or bar that prices this order was known
    score_ts_ns: int
    gap: int  # 1 while the feed reported a gap that is not back-filled
    book_ok: int  # 1: two-sided, not crossed
    status: int  # trading status of the instrument
    bid_tick: int
    ask_tick: int
    last_tick: int
    last_ts_ns: int
    move_ticks: int  # |mark − farthest mark of the last window|; UNKNOWN before the first mark
    reconciled: int  # 1: broker and desk agree on this stream epoch
    recon_ts_ns: int
    unknown_orders: int  # orders whose outcome is unknown
    position: int  # signed
    entries_working: int
    working_buy: int
    working_sell: int
    orders_open: int
    entry_fill_ns: int
    exit_fill_ns: int
    tick_value_micros: int
    fee_per_unit_micros: int  # one side, at price_tick
    margin_per_unit_micros: int
    margin_elsewhere_micros: int  # of positions and working entries of all other instruments
    open_risk_micros: int  # loss to the stops of positions and working entries, with fees; UNKNOWN without a stop
    day_net_micros: int
    equity_micros: int
    reference_micros: int
    same_order_ts_ns: (
        int  # when the same (instrument, side, qty, type) was last sent and is not terminal; NO_TIME: never
    )
    score_used: int  # 1: an order was made from this score, or a newer one, already (P-16's key)
    messages_1s: int
    messages_60s: int
