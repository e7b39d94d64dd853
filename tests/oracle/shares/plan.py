"""What an entry of shares would be: its limit, stop, size and slices (MOEX-ROUTE-01 … -03, MOEX-SIZE-01)."""

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from tests.oracle.rules.facts import ENTRY, PPM, PRICE_MOST, Event, Instrument, S, fee_of_one
from tests.oracle.rules.plan import Plan, distances, fixed
from tests.oracle.shares import exposure
from tests.oracle.shares.stops import fresh_spread, stop_tick
from trading.core import records as r

if TYPE_CHECKING:
    from tests.oracle.shares.desk import SharesDesk

CAPS = ("CAP_INSTRUMENT", "CAP_STOP", "CAP_EXPOSURE", "CAP_POSITION", "CAP_DEPTH", "CAP_BROKER")
BPS = 100  # ppm
ENTRY_BPS = 5
IOC_MOST = 5  # lots of an order that goes as one child


def reaching(side: int, best: int, bps: int) -> int:
    """A limit so far beyond the best opposite price, rounded inward, never inside it (MOEX-ROUTE-03)."""
    return best + side * (best * bps * BPS // PPM)


def slices(lots: int, simplified: bool) -> tuple[int, ...]:
    """MOEX-ROUTE-01: up to five lots, or where everything is simple, one child; more as 0.8 and the rest."""
    if lots <= 0:
        return ()
    if simplified or lots <= IOC_MOST:
        return (lots,)
    aggressive = (8 * lots + 5) // 10
    return aggressive, lots - aggressive


def gap(lots: int, traded: int) -> int:
    """MOEX-ROUTE-04: how long the passive child waits, at the pace of the last minute."""
    if traded == 0:
        return 5 * S
    return min(max(ceil(Fraction(lots * 60 * S, traded)), S // 5), 5 * S)


class SharesPlan(Plan):
    """Price reached, distances, size and its slices; `why` names the cap of a size of 0."""

    def __init__(self, d: "SharesDesk", i: Instrument, e: Event) -> None:
        limits = d.limits
        best = i.ask if e.side == 1 else i.bid
        self.price = best
        self.target = self.fee = self.qty = self.cost = 0
        self.why = ""
        self.slices: tuple[int, ...] = ()
        if d.routed():
            known = best is not None and 0 < best <= PRICE_MOST
            self.price = reaching(1 if e.side == 1 else -1, best, ENTRY_BPS) if known and best is not None else None
        self.stop, self.target = distances(d, i, e.side)
        if d.by_formula():
            stop = stop_tick(
                e.side, self.price, d.shares[i.index].tape.average_range(), fresh_spread(d, i), i.tick_nanos,
                limits.spread_floor_ppm,
            )  # fmt: skip
            self.stop = 0 if stop is None or self.price is None else abs(self.price - stop)
            self.target = limits.target_ticks or _by_ratio(limits, self.stop)
        if self.price is None or self.price <= 0 or not i.tick_value or i.tick_value <= 0:
            return
        self.fee = fee_of_one(i, self.price)
        self.qty, self.why = self._size(d, i, e)
        self.slices = slices(self.qty, d.simplified()) if d.routed() else (self.qty,)
        self.cost = self._cost(i) if d.routed() else 0

    def _size(self, d: "SharesDesk", i: Instrument, e: Event) -> tuple[int, str]:
        scale = Fraction(1, 2) if any(code in d.book.scales for code in (*d.holds, *i.holds)) else Fraction(1)
        if d.limits.sizing == 0:
            return fixed(d.limits, e.qty, floor(scale * PPM))
        certain = e.confidence if e.qty == 0 else PPM
        lots, why = self._lots(d, i, e, certain, scale)
        if e.qty == 0 or lots == 0:
            return lots, why
        return (e.qty, "") if e.qty <= lots else (0, "SIZE_ZERO")  # an operator's own size passes whole or not at all

    def _lots(self, d: "SharesDesk", i: Instrument, e: Event, certain: int, scale: Fraction) -> tuple[int, str]:
        """MOEX-SIZE-01: the least cap, then confidence, regime and scale, each floored.  Lots of this instrument that
        are held or work already count at V and K too."""
        limits, value = d.limits, i.tick_value
        assert self.price is not None and value is not None
        lot = max(self.price, self.price if i.mark is None else ceil(i.exact)) * value
        loss = self.stop * value + ceil(Fraction(2 * self.price * value * limits.costs_ppm, PPM))
        if d.capital <= 0 or lot <= 0 or loss <= 0:
            return 0, "SIZE_ZERO"
        held = abs(i.qty) + sum(o.left for o in d.live(i.index) if o.role == ENTRY)
        share = Fraction(d.capital, PPM)
        depth = max(0, i.ask_qty if e.side == 1 else i.bid_qty)  # of the best level, which is all that is told
        caps = (
            (share * limits.instrument_ppm_max // 1 - held * lot) // lot,
            (share * limits.loss_stop_ppm_max // 1 - held * loss) // loss,
            (share * limits.gross_ppm_max // 1 - exposure.gross(d)) // lot,
            limits.position_max - held,
            depth * limits.participation_ppm_max // PPM,
            limits.qty_max,
        )
        least = max(0, min(caps))
        why = CAPS[[max(0, cap) for cap in caps].index(least)]
        regime = Fraction(1, 2) if e.code == r.REGIME_HIGH else Fraction(1)
        lots = floor(floor(least * certain // PPM * regime) * scale)
        return (lots, "") if lots > 0 else (0, why)

    def _cost(self, i: Instrument) -> int:
        """MOEX-ROUTE-02: half the spread and the commission."""
        known = i.bid is not None and i.ask is not None and 0 < i.bid < i.ask <= PRICE_MOST
        if self.qty <= 0 or not known:
            return 0
        value, spread = self.qty * i.tick_value, i.ask - i.bid  # type: ignore[operator]
        return ceil(Fraction(spread * value, 2)) + ceil(Fraction(self.price * value * i.fee_ppm, PPM))  # type: ignore[operator]


def _by_ratio(limits: object, stop: int) -> int:
    ratio: int = limits.target_ratio_ppm  # type: ignore[attr-defined]
    return max(4, stop * ratio // PPM) if ratio else 0
