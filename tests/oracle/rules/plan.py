"""What an entry would be, re-stated from MES-STOP and MES-SIZE: stop, target, size, each by its numbered steps."""

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.oracle.rules.facts import PPM, REDUCED, Event, Instrument, fee_of_one
from tests.oracle.rules.holds import HALF

if TYPE_CHECKING:
    from tests.oracle.rules.desk import Desk

USD = 1_000_000
FIXED, BY_ATR, BY_STRUCTURE = 0, 1, 2


class Plan:
    """Price reached, distances, size; `why` names the reason of a size of 0."""

    def __init__(self, d: "Desk", i: Instrument, e: Event) -> None:
        limits = d.limits
        self.price = i.last if limits.bar_mode == 1 else (i.ask if e.side == 1 else i.bid)
        self.stop, self.target = distances(d, i, e.side)
        self.fee = self.qty = 0
        self.why = ""
        if self.price is None or self.price <= 0 or not i.tick_value or i.tick_value <= 0:
            return
        self.fee = fee_of_one(i, self.price)
        scale = HALF if any(code in d.book.scales for code in d.holds) else PPM
        if limits.sizing == 0:
            self.qty, self.why = fixed(limits, e.qty, scale)
        else:
            self.qty, self.why = by_tiers(d, i, e, self.stop, self.fee, scale)


def distances(d: "Desk", i: Instrument, side: int) -> tuple[int, int]:
    """MES-STOP-01, -02, -03: every method clamped, tightened in phase REDUCED; the target from the stop after that."""
    limits = d.limits
    stop = limits.stop_ticks
    if limits.stop_method == BY_ATR:
        atr_sum = i.grid.atr_sum()
        if atr_sum is not None:
            stop = Fraction(atr_sum, 14) * limits.stop_atr_ppm // PPM
    elif limits.stop_method == BY_STRUCTURE and i.last is not None:
        stop = i.grid.swing(side, i.last) or stop
    stop = min(max(stop, limits.stop_ticks_min), limits.stop_ticks_max)
    if d.phase == REDUCED and limits.stop_reduced_ppm < PPM:
        stop = max(limits.stop_ticks_min, stop * limits.stop_reduced_ppm // PPM)
    if limits.target_ticks > 0:
        return stop, limits.target_ticks
    return stop, max(4, stop * limits.target_ratio_ppm // PPM) if limits.target_ratio_ppm else 0


def fixed(limits: object, asked: int, scale: int) -> tuple[int, str]:
    """The version's own size, halved by a SCALE hold; an asked size unchanged."""
    if asked > 0:
        return asked, ""
    qty = limits.qty_entry * scale // PPM  # type: ignore[attr-defined]
    if qty == 0 and limits.half_keep_one == 1:  # type: ignore[attr-defined]
        qty = 1
    return qty, "" if qty > 0 else "SIZE_HALF_SKIPPED"


def tier(balance: int) -> tuple[int, Fraction]:
    """MES-SIZE: (most contracts, share of the balance); a boundary belongs to the lower tier."""
    if balance < 700 * USD:
        return 0, Fraction(0)
    for most, top in ((1, 1_000), (2, 1_500), (3, 2_000), (4, 3_000)):
        if balance <= top * USD:
            return most, Fraction(2, 100)
    return 10, Fraction(15, 1000)


def multiplier(confidence: int) -> Fraction:
    """Confidence in ppm → what it makes of the size."""
    for least, factor in (
        (900_000, Fraction(2)),
        (800_000, Fraction(3, 2)),
        (700_000, Fraction(1)),
        (600_000, Fraction(1, 2)),
    ):
        if confidence >= least:
            return factor
    return Fraction(0)


def by_tiers(d: "Desk", i: Instrument, e: Event, stop: int, fee: int, scale: int) -> tuple[int, str]:
    """MES-SIZE-02, its five steps."""
    limits, balance = d.limits, d.balance
    risk, costs = stop * i.tick_value, 2 * fee  # type: ignore[operator]
    most, share = tier(balance)  # 1
    if most == 0:
        return 0, "BALANCE_TIER"
    if risk <= 0:
        return 0, "SIZE_ZERO"
    if limits.tier_ppm_max > 0:
        share = min(share, Fraction(limits.tier_ppm_max, PPM))
    budget = share * balance // 1
    all_caps = caps(d, i, risk, costs, budget)
    if e.qty > most:  # row 13: an operator's own size passes the tier and every cap unchanged, or not at all
        return 0, "BALANCE_TIER"
    if e.qty > 0:
        least, why = min(all_caps, key=lambda row: row[0])  # the text does not say which cap names it: the tightest
        return (e.qty, "") if e.qty <= least else (0, why)
    base = min(most, budget // risk)  # 2
    if base == 0:
        return 0, "RISK_TIER"
    if multiplier(e.confidence) == 0:
        return 0, "SIZE_ZERO"
    size = min(most, base * multiplier(e.confidence) // 1) * scale // PPM  # 3
    if size == 0:  # 4
        if limits.half_keep_one != 1:
            return 0, "SIZE_HALF_SKIPPED"
        size = 1
    size = min(size, *(least for least, _ in all_caps))  # 5: the first cap that is 0 names the refusal
    return (size, "") if size > 0 else (0, next(why for least, why in all_caps if least <= 0))


def caps(d: "Desk", i: Instrument, risk: int, costs: int, budget: int) -> list[tuple[int, str]]:
    """The caps of step 5 in their order."""
    limits = d.limits
    remaining = max(0, limits.loss_day_micros_max - max(0, -d.day_net) - max(0, d.open_risk() or 0))  # MES-RISK-07
    found = [
        (limits.loss_trade_micros_max // risk, "RISK_PER_TRADE"),
        (budget // risk, "RISK_TIER"),
        (remaining // (risk + costs), "RISK_DAILY"),
        (limits.qty_max, "VENUE_LIMIT"),
    ]
    if i.margin:
        found.insert(3, (d.balance // i.margin, "MARGIN"))
    return found
