"""Whether a session of shares can be hedged as its profile asks (MOEX-HEDGE-03).  A warning, never a refusal.

Without a future the hedging task sells shares instead of hedging them: allowed, and seldom what somebody meant.  Called
by `preflight.checks` and by the page that offers to add the future.
"""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from marketdata.core.instruments import INSTRUMENTS
from marketdata.core.units import MICROS, PPM
from risk.core.exact import share_floor
from risk.core.records import MOEX
from trading.configs import Profile
from trading.preflight.probes import PASS, WARN, Found


def futures(profile: Profile) -> list[str]:
    """Symbols that the profile may hedge with; none where it hedges nothing."""
    limits = profile.limits()
    if limits["rules"] != MOEX or limits["hedge_every_ns"] <= 0:
        return []
    return [name for name in profile.market.instruments if INSTRUMENTS[name].hedge == 1]


def row(profile: Profile, symbols: Sequence[str]) -> Found | None:
    """What pre-flight says of it; None where the profile hedges nothing."""
    offered = futures(profile)
    if not offered:
        return None
    limits = profile.limits()
    above = share_floor(limits["capital_micros"], limits["hedge_min_net_ppm"], PPM) // MICROS
    amount = f"{above:,} {profile.market.currency}"
    if used := [name for name in symbols if name in offered]:
        words = _("%(future)s evens out net exposure above %(amount)s")
        return Found(PASS, words % {"future": used[0], "amount": amount})
    words = _("no future here: net exposure above %(amount)s is cut by selling shares")
    return Found(WARN, words % {"amount": amount}, _("Add %(future)s") % {"future": offered[0]})
