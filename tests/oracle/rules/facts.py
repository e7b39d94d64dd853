"""The oracle's own picture of a desk: plain classes, unbounded integers, None for what is not known.

Nothing here is shared with the kernel but the numbers of the journal's vocabulary (kinds, sides, roles).  The rules
stand in the files beside this one, each re-stated from the rulebook's text, slowly and obviously.
"""

from fractions import Fraction
from typing import Any

from tests.oracle.measures.grid import Grid

S = 1_000_000_000
PPM = 1_000_000
PRICE_MOST = 2**31  # ticks

# an order's status: what the venue last said; and its request: what is in flight
NEW, WORKING, FILLED, CANCELLED, REJECTED, UNKNOWN = range(6)
NOTHING, SUBMITTING, CANCELLING, MODIFYING, QUERYING = range(5)
OPEN = (NEW, WORKING, UNKNOWN)
# roles and types of orders, as the journal numbers them
ENTRY, STOP_LOSS, TARGET, EXIT = 1, 2, 3, 4
MARKET, LIMIT, STOP, FILL_AND_KILL, BEST_PRICE, PASSIVE = range(1, 7)  # the last three: shares (MOEX-ROUTE-03)
# phases of a trading day
AFTER_HOURS, NORMAL, REDUCED, CLOSE_ONLY, AGGRESSIVE_EXIT, MUST_BE_FLAT = range(6)
# why a position is closed
BY_STOP, BY_TARGET, BY_HOLD, BY_OPERATOR, BY_TIME, BY_SIGNAL, BY_NAKED, BY_EXCESS, BY_TRAIL, BY_REVERSAL = range(1, 11)


class Event:
    """One input.  Only the fields that its kind uses are set; the others say "nothing"."""

    __slots__ = (
        "ask", "ask_qty", "bid", "bid_qty", "close", "code", "confidence", "fee", "flags", "high", "instrument", "kind",
        "low", "number", "price", "qty", "ref", "score", "side", "ts", "until", "value", "venue_ts", "volume",
    )  # fmt: skip

    def __init__(self, kind: int, ts: int, **fields: Any) -> None:
        self.kind = kind
        self.ts = self.venue_ts = ts
        self.instrument = self.side = self.code = self.flags = self.number = self.ref = self.qty = 0
        self.score = self.confidence = self.fee = self.until = self.value = self.volume = 0
        self.bid_qty = self.ask_qty = 5
        self.price = self.bid = self.ask = self.close = self.high = self.low = None
        for name, value in fields.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        said = {name: getattr(self, name) for name in self.__slots__ if name not in ("kind", "ts")}
        kept = ", ".join(
            f"{k}={v}"
            for k, v in said.items()
            if v not in (0, None) and (k != "venue_ts" or v != self.ts) and (not k.endswith("_qty") or v != 5)
        )
        return f"Event({self.kind}, {self.ts}, {kept})"


class Order:
    """One order of ours.  `price` is its limit or stop; None for a market order."""

    __slots__ = (
        "asked_price", "asked_qty", "cancel_retry", "ending", "filled", "instrument", "kind", "made",
        "modify_retry", "number", "price", "qty", "request", "role", "seen", "sent", "side", "status", "until",
    )  # fmt: skip

    def __init__(
        self, number: int, instrument: int, side: int, kind: int, role: int, qty: int, price: int | None,
        until: int | None, now: int,
    ) -> None:  # fmt: skip
        self.number, self.instrument, self.side, self.kind, self.role = number, instrument, side, kind, role
        self.qty, self.filled, self.price, self.until, self.sent = qty, 0, price, until, now
        self.status, self.request, self.made = NEW, SUBMITTING, now
        self.asked_qty, self.asked_price = qty, price
        self.seen = False
        self.ending = 0  # how often its end was asked for, or asked after
        self.cancel_retry = self.modify_retry = 0  # a refused request is not asked again sooner

    @property
    def left(self) -> int:
        return self.qty - self.filled


class Instrument:
    """What is known of one instrument, what is held of it, and the round trip in progress."""

    def __init__(self, index: int) -> None:
        self.index = index
        # the contract: tick value, fee a contract, fee share, margin; None until configured
        self.tick_value: int | None = None
        self.fee: int | None = None
        self.fee_ppm: int | None = None
        self.margin: int | None = None
        self.tradable: int | None = None
        self.tick_nanos: int | None = None
        self.lot: int | None = None
        # the market
        self.bid: int | None = None
        self.ask: int | None = None
        self.quote_ts: int | None = None
        self.bid_qty = self.ask_qty = 0
        self.book_ok = self.mid_seen = False
        self.last: int | None = None
        self.last_ts: int | None = None
        self.mark: int | None = None
        self.exact: Fraction | int = 0  # the mark without rounding: a mid may lie between two ticks
        self.parts: list[list[int]] = []  # lowest and highest mark of each eighth of the P-11 window, newest first
        self.part_start = self.moved_at = 0
        self.asked: int | None = None  # market time of the score behind the last entry
        self.status = 0
        # the reason that two persons let pass once, until when, and their command (P-27)
        self.override, self.override_until, self.override_ref = "", 0, 0
        # what is held: signed quantity and Σ price x signed quantity
        self.qty = 0
        self.cost = 0
        self.opened: int | None = None
        self.entry_fill: int | None = None
        self.exit_fill: int | None = None
        self.naked_since: int | None = None
        self.exit_retry = 0  # a failed order delays the next of its own role alone
        self.refused: tuple[int, int] | None = None  # quantity and price of the target that the venue refused last,
        self.refused_times = self.target_retry = 0  # how often in a row, and until when it is not asked for again
        self.mover = 0  # the command that moved the target and waits for the venue,
        self.before: int | None = None  # and where the target was before
        self.stop_refused: int | None = None  # the price to which the venue refused to move the stop last,
        self.stop_refusals = self.stop_retry = 0  # how often in a row, and until when it is not asked again
        self.stop_mover = 0  # the command that moved the stop and waits for the venue
        self.unpriced = False  # a fill of the round trip in progress came without a price
        self.flatten_since: int | None = None  # flat is demanded, whatever it was left for
        self.leaving_since: int | None = None  # the first attempt to leave what is held
        self.stop: int | None = None
        self.target: int | None = None
        self.closing = False
        self.reason = 0
        self.broker_qty = 0
        self.cash = self.paid = 0  # −Σ side x quantity x price in ticks, and fees, of all that was ever traded
        self.told_money: tuple[int, int] | None = None  # the same by the venue, in the truth in progress
        # of shares alone: its own holds and since when, the stop at the venue, the ladder of its exits
        self.holds: dict[str, int] = {}
        self.net: int | None = None
        self.tries = self.allowed = 0
        # the plan of the entry that made it, and its stop's own moves
        self.plan_stop = self.plan_target = 0
        self.plan_price: int | None = None
        self.trailed = False
        # a reversal that waits for its exit's fill, and the chain so far (MES-REV)
        self.rev_side = self.rev_score = self.rev_confidence = self.rev_count = 0
        self.rev_ts = 0
        self.rev_exit: int | None = None
        self.bad_mark = False
        self.grid = Grid()
        # the round trip
        self.trip_gross = self.trip_fee = self.trip_qty = self.trip_side = 0
        self.trip_entry_ticks = self.trip_entry_qty = 0


class Limits:
    """The limits in force, by the names that a configuration gives them; None: nobody has set it."""

    def __init__(self, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(self, name, None)


def fee_of_one(spec: Instrument, price: int) -> int:
    """Commission of one contract or lot, one side, rounded up to a micro."""
    assert spec.fee is not None and spec.tick_value is not None and spec.fee_ppm is not None
    return spec.fee - (-price * spec.tick_value * spec.fee_ppm // PPM)


def average(ticks: int, qty: int) -> int:
    """Average price in whole ticks, half up."""
    return (2 * ticks + qty) // (2 * qty)
