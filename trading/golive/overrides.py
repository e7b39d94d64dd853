"""Skipping the shares' gate for one trading day, on a person's word (MOEX-GATE-03).

It skips the gate alone: every other check of a start stays.  Nothing extends it; it ends with the day's roll, and the
next day asks again.  Rights, password and the alert are the caller's: the page.
"""

from datetime import datetime

from django.db import IntegrityError, transaction

from trading.configs import tell_audit
from trading.golive.models import SKIPPABLE, GateOverride
from trading.golive.standing import day_at

REASON_MIN = 10


class OverrideRefused(ValueError):
    """The gate is not skipped; the text says why."""


def give(venue: str, *, by: str, reason: str, now: datetime) -> GateOverride:
    """Skip the gate of this venue until its trading day rolls.  Raises OverrideRefused."""
    day = day_at(venue, now)
    if venue not in dict(SKIPPABLE) or day is None:
        raise OverrideRefused(f"the gate of {venue} cannot be skipped, or its trading day is not known")
    if len(reason.strip()) < REASON_MIN:
        raise OverrideRefused(f"the reason needs {REASON_MIN} characters or more")
    try:
        with transaction.atomic():
            row = GateOverride.objects.create(venue=venue, trading_day=day, by=by, reason=reason.strip(), made_at=now)
            tell_audit("control", "gate_overridden", by, f"gate {venue} {day}", {"reason": row.reason})
    except IntegrityError:
        raise OverrideRefused(f"the gate of {venue} is skipped on {day} already") from None
    return row
