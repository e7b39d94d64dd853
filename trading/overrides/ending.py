"""Noticing that an override which two persons opened ended unused: one audit row for each (P-27).

The kernel lets it end without a word: its minute passes, or a command, the roll or a new configuration takes it back.
The ledger tells it afterwards: it has followed the journal beyond the end, and no decision in it used the override.
"""

import numpy as np
import structlog
from django.db import transaction
from django.db.models import Exists, Min, OuterRef
from django.utils import timezone

from marketdata.core.records import NO_TIME
from risk.core.gate import code_name
from trading.configs import tell_audit
from trading.core import states
from trading.core.records import COMMAND, OVERRIDE
from trading.leases import short_wait
from trading.models import Command, Decision
from trading.overrides.models import OverrideRequest
from trading.run.context import LoopContext
from trading.run.loops import StoreAway

log = structlog.get_logger(__name__)
NEVER = 2**63 - 1  # later than every end


class OverrideEnds:
    """One session's.  `note` with the events of frames whose rows stand, `look` now and then."""

    def __init__(self, context: LoopContext) -> None:
        self._session_id, self._key = context.spec.id, context.spec.key
        self._now_ns = self._next_ns = NO_TIME  # the journal's time; the next end, NO_TIME: the table knows

    def note(self, events: np.ndarray) -> None:
        """Follow the journal's time, and what is opened."""
        if len(events) > 0:
            self._now_ns = max(self._now_ns, int(events["ts_ns"].max()))
            opened = events[(events["kind"] == COMMAND) & (events["code"] == OVERRIDE)]
            self._next_ns = min([self._next_ns, *opened["until_ns"].tolist()])

    def look(self) -> None:
        """Audit what ended unused."""
        if self._now_ns == NO_TIME or self._now_ns < self._next_ns:
            return
        try:
            with short_wait():
                self._next_ns = note_unused(self._session_id, self._now_ns)
        except StoreAway as error:
            log.info("override_ends_wait", session=self._key, error=str(error))


def note_unused(session_id: int, now_ns: int) -> int:
    """Audit the overrides that were opened and that nothing used, each once; returns the next end after `now_ns`.

    `now_ns`: session time in ns UTC up to which the ledger has followed the journal; NEVER when the session is over.
    """
    agreed = OverrideRequest.objects.filter(session_id=session_id, agreed_at__isnull=False, unused_at=None)
    opened = Command.objects.filter(ref=OuterRef("command_ref"), state=states.DONE)
    used = Decision.objects.filter(session_id=session_id, override_ref=OuterRef("command_ref"))
    ended = agreed.filter(Exists(opened), ~Exists(used), until_ns__lte=now_ns).select_related("session")
    for row in ended.order_by("id"):
        with transaction.atomic():
            if OverrideRequest.objects.filter(id=row.id, unused_at=None).update(unused_at=timezone.now()) == 1:
                about = f"{row.session.key} {row.symbol} {code_name(row.session.rules, row.code)}"
                detail: dict[str, object] = {"request": row.id, "command": row.command_ref, "until_ns": row.until_ns}
                detail |= {"asked_by": row.asked_by, "agreed_by": row.agreed_by}
                tell_audit("control", "override_unused", "desk", about, detail)
    following = agreed.filter(until_ns__gt=now_ns).aggregate(first=Min("until_ns"))["first"]
    return NEVER if following is None else int(following)
