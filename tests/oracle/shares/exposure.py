"""Exposure of shares, re-stated from MOEX-RISK-04 in exact fractions: what is held with what works."""

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from tests.oracle.rules.facts import ENTRY, PPM, Instrument

if TYPE_CHECKING:
    from tests.oracle.shares.desk import SharesDesk

CLEARS = Fraction(96, 100)


def exact_term(d: "SharesDesk", i: Instrument, buys: int = 0, sells: int = 0, limit: int | None = None) -> Fraction:
    """Of one instrument, with so many lots more at `limit`."""
    entries = [o for o in d.live(i.index) if o.role == ENTRY]
    buys += sum(o.left for o in entries if o.side == 1)
    sells += sum(o.left for o in entries if o.side != 1)
    lots = max(abs(i.qty + buys), abs(i.qty - sells))
    if lots == 0:
        return Fraction(0)
    prices = [o.price for o in entries if o.price is not None]
    prices += [limit] if limit is not None else []
    price = max([Fraction(i.exact), *map(Fraction, prices)])
    return lots * price * (i.tick_value or 0)


def term(d: "SharesDesk", i: Instrument, buys: int = 0, sells: int = 0, limit: int | None = None) -> int:
    """Its notional, rounded up to a micro."""
    return ceil(exact_term(d, i, buys, sells, limit))


def gross(
    d: "SharesDesk", own: Instrument | None = None, buys: int = 0, sells: int = 0, limit: int | None = None
) -> int:
    """Of all instruments, with so many lots more of `own`; rounded up once."""
    terms = (exact_term(d, i, *((buys, sells, limit) if i is own else (0, 0, None))) for i in d.instruments)
    return ceil(sum(terms, Fraction(0)))


def check(d: "SharesDesk") -> None:
    """EXPOSURE and INSTRUMENT_CAP (MOEX-RISK-05); a limit of 0 is none."""
    limits, capital = d.limits, max(0, d.capital)
    terms = [exact_term(d, i) for i in d.instruments]
    for i, own in zip(d.instruments, terms, strict=True):
        most = Fraction(capital * limits.instrument_ppm_max, PPM)
        d.hold_on(i, "INSTRUMENT_CAP", limits.instrument_ppm_max > 0 and ceil(own) > most)
    limit, in_all = Fraction(capital * limits.gross_ppm_max, PPM), ceil(sum(terms, Fraction(0)))
    if limits.gross_ppm_max <= 0 or in_all <= CLEARS * limit:
        d.clear_hold("EXPOSURE")
    elif in_all > limit:
        d.raise_hold("EXPOSURE")
