"""What pre-flight says of the go-live gate: live asks for it, paper shows it (MOEX-OPS-03, MES-GATE-01).

Called by `preflight.checks`; what the gate says is `golive.standing`'s.
"""

from django.utils import timezone
from django.utils.translation import gettext as _

from trading.configs import Profile
from trading.golive.lineage import lineage_of, recipe_of, root_of, speaks_for
from trading.golive.mes import candidate
from trading.golive.rows import MES, MOEX
from trading.golive.standing import Standing, standing
from trading.models import ConfigVersion
from trading.preflight.probes import FAIL, PASS, SKIP, Found
from trading.run.spec import ScorerSpec

PAPER = "paper"


def row(mode: str, version: ConfigVersion, profile: Profile, scorer: ScorerSpec) -> Found:
    """Whether this configuration and scorer may go live.  Every mode but paper asks, one that nobody knows too."""
    venue = profile.market.venue
    if venue == MOEX:
        lineage = lineage_of(root_of(version), recipe_of(scorer))
    else:
        lineage = candidate.lineage_of(version.hash, candidate.network_of(scorer.artifact))
    found = standing(MOEX if venue == MOEX else MES, venue, lineage, timezone.now())
    if venue == MOEX:
        found = _directed(found, version)
    if mode == PAPER:
        return Found(SKIP, _("%s; not needed for paper") % found.words)
    return Found(PASS, found.words) if found.passed else Found(FAIL, found.words, _("See what it lacks"))


def _directed(found: Standing, version: ConfigVersion) -> Standing:
    """A report of a tighter version has not passed for the looser one from which it came (MOEX-GATE-02)."""
    if not found.passed or found.report is None:
        return found
    named = str(found.report.inputs.get("configuration", ""))
    judged = ConfigVersion.objects.filter(profile=version.profile, hash=named).first() if named else None
    if speaks_for(judged, version):
        return found
    words = _("%s, for another version, which this one does not only tighten")
    return Standing(False, words % found.words, found.report)
