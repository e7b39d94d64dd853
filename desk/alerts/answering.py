"""People's answers to alerts, rehearsals of the way out, and what pages tell of overrides, as rows and audit rows.

Rights were checked by the caller: the pages.
"""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from desk.alerts.kinds import OVERRIDE_ASKED, URGENT
from desk.alerts.mirror import GATE_OVERRIDE, TEST
from desk.alerts.models import Alert
from desk.audit import services as audit


def acknowledge(ids: Sequence[int], by: str) -> int:
    """Answer those of these alerts that wait for an answer.  Returns how many did."""
    with transaction.atomic():
        waiting = Alert.objects.select_for_update().filter(id__in=ids, acknowledged_at=None)
        found = dict(waiting.values_list("id", "uid"))
        if not found:
            return 0
        Alert.objects.filter(id__in=found).update(acknowledged_at=timezone.now(), acknowledged_by=by)
        uids = sorted(found.values())
        detail = {"alerts": uids[:20], "count": len(uids)}
        audit.append(category="control", action="alert_answered", actor=by, object=uids[0][:120], detail=detail)
    return len(found)


def rehearse(uid: str, by: str) -> None:
    """Store a test; the alerts' process sends it within a second."""
    with transaction.atomic():
        text = f"this is a test of the alerts, asked for by {by}: answer it on the page Alerts"
        Alert.objects.create(uid=uid, raised_at=timezone.now(), severity=URGENT, kind=TEST, text=text)
        audit.append(category="control", action="alert_test", actor=by, object=uid)


def tell_request(uid: str, session: int, text: str) -> None:
    """Store that somebody asks for an override; the alerts' process tells it like an urgent alert (P-27)."""
    row = {"severity": URGENT, "kind": OVERRIDE_ASKED, "session": session, "text": text[:500]}
    Alert.objects.create(uid=uid, raised_at=timezone.now(), **row)


def tell_override(uid: str, text: str) -> None:
    """Tell that the go-live gate is skipped (MOEX-GATE-03): urgent, so open pages show it until somebody answers."""
    row = Alert(uid=uid, raised_at=timezone.now(), severity=URGENT, kind=GATE_OVERRIDE, text=text[:500])
    row.save()
