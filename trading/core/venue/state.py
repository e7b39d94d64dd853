"""What the simulated venue remembers of one account: orders, requests on their way, market, its own integer positions.

One code for the backtest and for the venue's process.  State is a NamedTuple of record arrays, so that durable storage
can keep rows by their bytes.  No fill rule draws a random number: the same input gives the same answers, byte for byte.
The venue never sees the kernel's state: its positions are evidence of their own.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from marketdata.core.records import DEPTH, LEVELS, NO_TICK, NO_TIME
from marketdata.core.units import NANOS, PPM
from risk.core.breakers import GRID
from trading.core.records import INSTRUMENT_CAPACITY

ORDER_SLOTS = 256  # working orders and the latest terminal ones
REQUEST_SLOTS = 256  # requests that have not arrived yet
ANSWER_CAPACITY = ORDER_SLOTS * (LEVELS + 4)  # most answers of one call: every order fills on every level
BOOK_AGE_NS_MAX = 60 * NANOS  # an older book fills nothing but the guard's flatten (MOEX-PAPER-01)
UNSEEN = -1  # VENUE_ORDER.ahead of a limit whose level no book has shown yet

# fill models (profile data)
BY_BAR, BY_PRINT, BY_BOOK = 1, 2, 3
FILL_MODELS = {"bar": BY_BAR, "print": BY_PRINT, "book": BY_BOOK}
FIXED, CONDITIONAL = "fixed", "conditional"  # slippage (MES-COST-06)
SLIP_MODES = (FIXED, CONDITIONAL)

ACCOUNT = np.dtype(
    (
        np.record,
        [
            ("now_ns", "<i8"),  # newest time seen, of market or clock
            ("ref", "<i8"),  # number of the last answer: gapless from 1
            ("model", "<i8"),
            ("latency_ns", "<i8"),
            ("slip_ticks", "<i8"),  # where slippage is fixed
            ("touch", "<i8"),  # 1: a limit fills when touched, 0: when traded through (MES-BT-13)
            ("seed", "<i8"),  # part of the account's terms; no fill rule of today reads it
            ("blocked", "<i8"),  # 1: the guard admits no new order (K-02)
            ("working_count", "<i8"),
            ("request_count", "<i8"),
            ("held_count", "<i8"),  # passive children that are not sent yet
            ("orders_used", "<i8"),
            ("forgotten", "<i8"),  # highest order number whose slot was used again
            ("own_number", "<i8"),  # last number of an order that the guard made: -1, -2, …
            ("market_position", "<i8"),  # tape events taken so far
        ],
    )
)

VENUE_ORDER = np.dtype(
    (
        np.record,
        [
            ("number", "<i8"),  # 0: free slot
            ("instrument", "<i8"),
            ("side", "<i8"),
            ("order_type", "<i8"),
            ("role", "<i8"),
            ("status", "<i8"),  # see trading.core.orders; NEW: a passive child, kept back until `arrive_ns`
            ("code", "<i8"),  # why it was rejected or cancelled
            ("qty", "<i8"),
            ("filled", "<i8"),
            ("price_tick", "<i8"),
            ("stop_tick", "<i8"),
            ("arrive_ns", "<i8"),
            ("until_ns", "<i8"),  # good until, inclusive; 0 or less: until cancelled
            ("ahead", "<i8"),  # displayed quantity in front of a resting limit, UNSEEN
            ("tested_ns", "<i8"),  # end of the last bar that this order met
            ("triggered", "<i8"),  # 1: a stop that became a market order
        ],
    )
)

REQUEST = np.dtype(
    (
        np.record,
        [
            ("arrive_ns", "<i8"),
            ("kind", "<i8"),  # SUBMIT, CANCEL, MODIFY
            ("number", "<i8"),
            ("instrument", "<i8"),
            ("side", "<i8"),
            ("order_type", "<i8"),
            ("role", "<i8"),
            ("qty", "<i8"),
            ("price_tick", "<i8"),
            ("stop_tick", "<i8"),
            ("until_ns", "<i8"),
        ],
    )
)

MARKET_ROW = np.dtype(
    (
        np.record,
        [
            ("known", "<i8"),  # 1: this account may trade the instrument
            ("tick_value_micros", "<i8"),
            ("fee_micros", "<i8"),
            ("fee_ppm", "<i8"),
            ("status", "<i8"),  # STATUS_*
            ("last_tick", "<i8"),
            ("last_ns", "<i8"),
            ("bar_start_ns", "<i8"),  # the last printed bar; NO_TIME before the first
            ("bar_end_ns", "<i8"),
            ("bar_open", "<i8"),
            ("bar_high", "<i8"),
            ("bar_low", "<i8"),
            ("book_ns", "<i8"),  # time of the last usable book; NO_TIME before the first
            ("taken_any", "<i8"),  # 1: some level of the book was taken by our own orders
            ("qty", "<i8"),  # signed position
            ("cash_ticks", "<i8"),  # −Σ side x quantity x price
            ("fees_micros", "<i8"),
        ],
    )
)

SLIP = np.dtype(
    (
        np.record,
        [
            ("times_ppm", "<i8"),  # what conditional slippage is multiplied by; 0: slippage is fixed
            ("spread_ticks", "<i8"),  # of the last quote
            ("asked_ticks", "<i8"),  # what the last exit slips that a decision asked for
        ],
    )
)


class Venue(NamedTuple):
    """One account at the venue."""

    account: np.ndarray  # (1,) ACCOUNT
    orders: np.ndarray  # (ORDER_SLOTS,) VENUE_ORDER
    working: np.ndarray  # (ORDER_SLOTS,) int64, slots of working orders in time priority
    requests: np.ndarray  # (REQUEST_SLOTS,) REQUEST in order of arrival
    markets: np.ndarray  # (INSTRUMENT_CAPACITY,) MARKET_ROW
    books: np.ndarray  # (INSTRUMENT_CAPACITY,) DEPTH, the last usable book
    taken: np.ndarray  # (INSTRUMENT_CAPACITY, 2, LEVELS) int64: of bids, of asks, taken by our own orders
    # conditional slippage alone; behind the rest, for stored accounts know their tables by number
    slips: np.ndarray  # (INSTRUMENT_CAPACITY,) SLIP
    order_slips: np.ndarray  # (ORDER_SLOTS,) int64, ticks that an order slips; 0: as its fill finds it
    request_slips: np.ndarray  # (REQUEST_SLOTS,) int64, the same of requests on their way
    grids: np.ndarray  # (INSTRUMENT_CAPACITY,) GRID, what the bars say
    ahead: np.ndarray  # (1,) GRID, a copy to look ahead of it with


REQUIRED = ("tick_value_micros", "fee_micros", "fee_ppm")


def empty_venue(slots: int = ORDER_SLOTS) -> Venue:
    """An account without instruments: every order is rejected.  `slots`: orders that it keeps, ORDER_SLOTS at most."""
    venue = Venue(
        account=np.zeros(1, ACCOUNT),
        orders=np.zeros(slots, VENUE_ORDER),
        working=np.zeros(slots, np.int64),
        requests=np.zeros(REQUEST_SLOTS, REQUEST),
        markets=np.zeros(INSTRUMENT_CAPACITY, MARKET_ROW),
        books=np.zeros(INSTRUMENT_CAPACITY, DEPTH),
        taken=np.zeros((INSTRUMENT_CAPACITY, 2, LEVELS), np.int64),
        slips=np.zeros(INSTRUMENT_CAPACITY, SLIP),
        order_slips=np.zeros(slots, np.int64),
        request_slips=np.zeros(REQUEST_SLOTS, np.int64),
        grids=np.zeros(INSTRUMENT_CAPACITY, GRID),
        ahead=np.zeros(1, GRID),
    )
    venue.slips["spread_ticks"] = 1
    venue.grids["end_ns"] = venue.grids["print_ns"] = NO_TIME
    venue.grids["close_tick"] = NO_TICK
    venue.account["now_ns"] = NO_TIME
    venue.books["bid_tick"] = NO_TICK
    venue.books["ask_tick"] = NO_TICK
    for name in ("last_ns", "bar_start_ns", "bar_end_ns", "book_ns"):
        venue.markets[name] = NO_TIME
    for name in ("last_tick", "bar_open", "bar_high", "bar_low"):
        venue.markets[name] = NO_TICK
    return venue


def new_venue(
    model: str,
    instruments: Sequence[Mapping[str, int]],
    latency_ns: int = 0,
    slip_ticks: int = 0,
    seed: int = 0,
    touch: bool = False,
    slots: int = ORDER_SLOTS,
    slip_mode: str = FIXED,
    slip_times_ppm: int = PPM,
) -> Venue:
    """An account that trades `instruments` (values named as in SPEC_FIELDS).  Raises ValueError on what is missing.

    `slip_mode` conditional: slippage follows the market, times `slip_times_ppm`, and `slip_ticks` says nothing.
    """
    if model not in FILL_MODELS:
        raise ValueError(f"fill model {model!r} is unknown; known: {', '.join(FILL_MODELS)}")
    if not 0 < len(instruments) <= INSTRUMENT_CAPACITY:
        raise ValueError(f"{len(instruments)} instruments; 1 to {INSTRUMENT_CAPACITY} are possible")
    if latency_ns < 0 or slip_ticks < 0:
        raise ValueError("latency and slippage are not negative")
    if slip_mode not in SLIP_MODES or slip_times_ppm <= 0:
        raise ValueError(f"slippage is {' or '.join(SLIP_MODES)}, and no part of it is negative")
    venue = empty_venue(slots)
    account = venue.account[0]
    account.model = FILL_MODELS[model]
    account.latency_ns = latency_ns
    account.slip_ticks = slip_ticks
    account.seed = seed
    account.touch = int(touch)
    venue.slips["times_ppm"] = slip_times_ppm if slip_mode == CONDITIONAL else 0
    for row, values in zip(venue.markets, instruments, strict=False):
        missing = [name for name in REQUIRED if name not in values]
        if missing:
            raise ValueError(f"an instrument lacks {', '.join(missing)}: the venue cannot book its fills")
        for name in REQUIRED:
            row[name] = values[name]
        row["known"] = values.get("tradable", 1)
    return venue
