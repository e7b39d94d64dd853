"""What the gate says of a start now: passed, or skipped today, or why neither (MOEX-OPS-03, MOEX-GATE-03).

Only the newest report of the lineage counts, no older than a day and just as it was stored.  Whatever is unknown has
not passed.  Called by pre-flight and by the pages.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.utils.translation import gettext as _

from marketdata.calendars import CalendarError, trading_day_at
from trading.golive.models import GateOverride, GateReport
from trading.golive.rows import MOEX, hash_of

FRESH = timedelta(hours=24)
LONGEST_DAY = timedelta(days=20)  # a trading day with the holidays before it


class Standing(NamedTuple):
    """`passed`: whether a live start may go on; `words`: why, in one sentence; `report`: the one that counts."""

    passed: bool
    words: str
    report: GateReport | None = None


def standing(gate: str, venue: str, lineage: str, now: datetime) -> Standing:
    """The gate's word on this lineage.  An override of today skips the shares' gate and nothing else."""
    if gate == MOEX and (override := override_at(venue, now)) is not None:  # MES-GATE has none
        words = _("skipped on trading day %(day)d by %(by)s: %(reason)s")
        return Standing(True, words % {"day": override.trading_day, "by": override.by, "reason": override.reason})
    if not lineage:
        return Standing(False, _("not known: the configuration or the scorer's recipe cannot be named"))
    row = newest(gate, lineage)
    if row is None:
        return Standing(False, _("no report of this lineage"))
    when = f"{row.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if hash_of(row) != row.hash:
        return Standing(False, _("the report of %s is not what was stored") % when, row)
    if not timedelta(0) <= now - row.made_at <= FRESH:
        return Standing(False, _("the report of %s is more than a day old") % when, row)
    if not row.passed:
        return Standing(False, _("not passed, as of %s") % when, row)
    return Standing(True, _("passed, as of %s") % when, row)


def newest(gate: str, lineage: str) -> GateReport | None:
    """The newest report of this lineage that is no rehearsal."""
    rows = GateReport.objects.filter(gate=gate, lineage=lineage, rehearsal=False)
    return rows.order_by("-made_at", "-id").first()


def skipped(now: datetime) -> list[GateOverride]:
    """Overrides that stand now, of every venue."""
    recent = GateOverride.objects.filter(made_at__gt=now - LONGEST_DAY).order_by("-id")
    return [row for row in recent if row.trading_day == day_at(row.venue, now)]


def override_at(venue: str, now: datetime) -> GateOverride | None:
    """The override of the venue's present trading day; None where the day is not known."""
    day = day_at(venue, now)
    return None if day is None else GateOverride.objects.filter(venue=venue, trading_day=day).first()


def day_at(venue: str, now: datetime) -> int | None:
    """The venue's trading day, YYYYMMDD; None outside of its calendar."""
    try:
        return trading_day_at(venue, round(now.timestamp() * 1e9))
    except (CalendarError, ValueError):
        return None
