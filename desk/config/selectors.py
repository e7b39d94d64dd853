"""Reading for the configuration pages: versions, what changed, and which version every running session obeys.

What a session obeys is what its journal said (`CONFIG_ACTIVE`, audited as "in_force"), never what was sent to it.
"""

from typing import Any, NamedTuple

from django.http import HttpRequest

from desk.audit.models import AuditRecord
from trading.config import running
from trading.config.changes import Line, compare
from trading.configs import ConfigError, profile_of
from trading.core import states
from trading.models import ConfigVersion, Order, Session

GOOD, WAITS, BAD = "good", "waits", "bad"


class RunningRow(NamedTuple):
    """One running session against the active version.  `tone`: good, waits or bad."""

    session_id: int
    key: str
    status: str
    obeys: str
    words: str
    tone: str
    again: bool = False  # whether handing it over once more can help


def active_of(profile: str) -> ConfigVersion | None:
    """The version that new sessions of a profile take."""
    return ConfigVersion.objects.filter(profile=profile, status=states.ACTIVE).first()


def before_active(profile: str) -> ConfigVersion | None:
    """The version that was active last before the present one: where a roll back goes."""
    rows = ConfigVersion.objects.filter(profile=profile, status=states.RETIRED)
    return rows.order_by("-activated_at", "-number").first()


def lines(old: ConfigVersion | None, new: ConfigVersion) -> list[Line]:
    """What differs.  Raises ConfigError for a row that does not match its hash."""
    return [] if old is None else compare(profile_of(old), profile_of(new))


def fault_of(version: ConfigVersion) -> str:
    """Why a stored version cannot be used; empty when it can."""
    try:
        profile_of(version)
    except ConfigError as error:
        return str(error)
    return ""


def usage(version: ConfigVersion) -> dict[str, int]:
    """How often it was used."""
    return {
        "sessions": Session.objects.filter(version=version).count(),
        "orders": Order.objects.filter(version_id=version.id).count(),
    }


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the admin opens with: the active version of each profile, drafts that wait, who runs with what."""
    active = list(ConfigVersion.objects.filter(status=states.ACTIVE).order_by("profile"))
    drafts = ConfigVersion.objects.filter(status=states.DRAFT).order_by("-created_at")[:10]
    rows = [(row, running_rows(row)) for row in active]
    return context | {"active": rows, "drafts": drafts}


def running_rows(active: ConfigVersion) -> list[RunningRow]:
    """Every running session of the version's profile, and whether it obeys the active version."""
    return [_running_row(session, active) for session in running.running(active.profile)]


def _running_row(session: Session, active: ConfigVersion) -> RunningRow:
    rows = AuditRecord.objects.filter(category="config")
    force = rows.filter(action="in_force", object=session.key).order_by("-seq").values_list("detail", flat=True).first()
    name = _name(force)
    if force is not None and force.get("version") == active.id:
        if force.get("waits_for_flat"):
            words = f"tighter values applied at seq {force['seq']}; looser ones wait for flat"
            return RunningRow(session.id, session.key, session.status, name, words, WAITS)
        words = f"applied at seq {force['seq']}"
        return RunningRow(session.id, session.key, session.status, name, words, GOOD)
    if force is None and session.version_id == active.id:
        words = "started with it; its journal has not said so yet"
        return RunningRow(session.id, session.key, session.status, str(active), words, WAITS)
    about = f"{session.key} {active}"
    sent = rows.filter(action="handed_over", object=about).order_by("-seq").values_list("detail", flat=True).first()
    if sent is None:
        return RunningRow(session.id, session.key, session.status, name, f"{active} was not handed over", BAD, True)
    if sent.get("state") == running.SENT:
        words = f"{active} was sent; the session has not answered yet"
        return RunningRow(session.id, session.key, session.status, name, words, WAITS, again=True)
    return RunningRow(session.id, session.key, session.status, name, f"not sent: {sent.get('detail')}", BAD, True)


def _name(force: dict[str, Any] | None) -> str:
    if force is None:
        return "—"
    found = ConfigVersion.objects.filter(id=int(force["version"])).first()
    return str(found) if found is not None else f"version {force['version']}"
