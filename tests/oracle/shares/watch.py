"""What the shares' desk hears and watches beside prices: index, probes, drift, jobs, and what other loops tell it
(MOEX-RISK-05, -06); the limits of its account.
"""

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.oracle.rules import limits as shared
from tests.oracle.rules.commands import restrict
from tests.oracle.rules.facts import NORMAL, PPM, Event
from tests.oracle.rules.holds import BITS
from tests.oracle.shares import exposure
from trading.core import records as r

if TYPE_CHECKING:
    from tests.oracle.shares.desk import SharesDesk

HOUR = 3600 * 1_000_000_000
DEAD = 96 * HOUR  # of the index
BAD, GOOD, BACK = 3, 30, 3  # probes in a row
BACK_MOST = 80_000_000  # of one after which a lost connection is back (MOEX-DR-03)
TOLD = ("HEARTBEAT", "INTEGRITY", "ENSEMBLE_WEAK", "CLOCK_OFFSET")  # stand while they are so
LASTING = ("ML_FALLBACK", "BROKER_AUTH", "STATE_LOST")  # end by their own rule
STAGES = range(5)
NAMES = {bit: code for code, bit in BITS.items()}
RISK_LOOP, EXECUTION_LOOP = 3, 4  # whose errors lie on the way from decision to venue; 0: nobody says whose


def check(d: "SharesDesk", is_mark: bool) -> None:
    """The account against its limits: TOTAL_LOSS (P-15), DAILY_LOSS, EXPOSURE, INSTRUMENT_CAP, LOSS_STREAK."""
    if d.version == 0:
        return
    equity = d.equity()
    d.day_peak = max(d.day_peak, equity)
    shared.readable(d)
    most = d.limits.loss_total_micros_max
    shared.confirm(d, "TOTAL_LOSS", d.reference - equity, most, d.reference - d.balance >= most, is_mark)
    limit = day_limit(d) // 1
    shared.confirm(d, "DAILY_LOSS", d.lost_today(equity), limit, d.lost_today(d.balance) >= limit, is_mark)
    d.follow("DAILY_LOSS_NEAR", shared.is_near(d, d.lost_today(equity), day_limit(d)))
    exposure.check(d)
    shared.pause_after_losses(d)


def day_limit(d: "SharesDesk") -> Fraction:
    """MOEX-RISK-04: the smaller of the amount and the share of the capital; a share of 0 is none."""
    share = Fraction(max(0, d.capital) * d.limits.loss_day_share_ppm_max, PPM)
    amount = Fraction(d.limits.loss_day_micros_max)
    return min(amount, share) if d.limits.loss_day_share_ppm_max > 0 else amount


def index_is_stale(d: "SharesDesk") -> bool:
    """None for 60 s of its own time, which entries lie in; none for 96 h; or never."""
    if d.index_at is None:
        return True
    age = d.now - d.index_at
    return age > DEAD or (d.phase == NORMAL and age > d.limits.rvi_age_ns_max)


def follow_index(d: "SharesDesk") -> None:
    d.follow("RVI_STALE", d.limits.rvi_max > 0 and index_is_stale(d))


def unwatched_probes(d: "SharesDesk") -> None:
    """A connection that nobody watches is neither slow nor lost."""
    if d.limits.probe_slow_ns <= 0:
        d.clear_hold("NET_SLOW")
        d.clear_hold("NET_FAILOVER")


def on_probe(d: "SharesDesk", e: Event) -> None:
    if d.limits.probe_slow_ns <= 0:
        d.slow = d.lost = d.good = d.back = 0
        unwatched_probes(d)
        return
    lost = e.code == r.PROBE_LOST or e.value < 0  # exceeds every limit
    d.slow = d.slow + 1 if lost or e.value > d.limits.probe_slow_ns else 0
    d.lost = d.lost + 1 if lost or e.value > d.limits.probe_lost_ns else 0
    d.good = 0 if lost or e.value > d.limits.probe_good_ns else d.good + 1
    d.back = 0 if lost or e.value > BACK_MOST or e.value > d.limits.probe_lost_ns else d.back + 1
    if d.slow >= BAD:
        d.raise_hold("NET_SLOW")
    if d.lost >= BAD or lost:
        d.raise_hold("NET_FAILOVER")
    if d.good >= GOOD:
        d.clear_hold("NET_SLOW")
    if "NET_FAILOVER" in d.holds and d.back == BACK:
        d.reconciled = False  # it is compared anew, over the connection that is back
    if d.back >= BACK and d.reconciled and "INTEGRITY" not in d.holds:
        d.clear_hold("NET_FAILOVER")


def on_index(d: "SharesDesk", e: Event) -> None:
    """No value at all is never a low one."""
    if d.limits.rvi_max <= 0 or e.value <= 0:
        return
    d.index, d.index_at = e.value, d.now
    if e.value > d.limits.rvi_max:
        d.raise_hold("RVI_HIGH")
    follow_index(d)


def on_condition(d: "SharesDesk", e: Event) -> None:
    """What another loop sees; every other code says nothing."""
    code, on = NAMES.get(e.code, ""), e.value == 1
    if code == "LATENCY" and e.ref in STAGES:
        d.stages = d.stages | {e.ref} if on else d.stages - {e.ref}
        d.follow(code, bool(d.stages))
    elif code in TOLD:
        d.follow(code, on)
    elif code in LASTING and on:
        d.raise_hold(code)
    elif code == "RESTRICTED":
        restrict(d, e)
    elif code in ("UNHEALTHY", "NOT_ACTIVE") and 0 <= e.instrument < len(d.instruments):
        d.hold_on(d.instruments[e.instrument], code, on)


def on_other(d: "SharesDesk", e: Event) -> None:
    """One notice of the shares' own."""
    if d.version == 0:
        return
    if e.kind == r.PROBE:
        on_probe(d, e)
    elif e.kind == r.INDEX:
        on_index(d, e)
    elif e.kind == r.DRIFT:
        warns = {r.DRIFT_WARN: "DRIFT_WARN", r.DRIFT_CRITICAL: "DRIFT_CRITICAL"}
        if e.code in warns:
            d.raise_hold(warns[e.code])
    elif e.kind == r.JOB:
        d.follow("CALIBRATION", e.code == 1)
    elif e.kind == r.CONDITION:
        on_condition(d, e)
