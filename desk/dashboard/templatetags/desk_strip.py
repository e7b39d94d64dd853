"""`{% strip %}`: the status strip of every signed-in page, with what is known when the page is made.

A page about one session hands it over (`{% strip session %}`); any other page shows the newest session that runs, else
the newest.  A database that is away leaves everything unknown: the strip says so, and KILL stands beside it.
"""

from typing import Any

from django import template
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError
from django.utils import timezone

from desk.alerts.teller import is_fresh, read_state
from desk.dashboard.sessions import latest_id
from trading import selectors
from trading.golive.standing import skipped

register = template.Library()
MODES = {"paper": "PAPER", "replay": "REPLAY"}  # a mode that is not here is a fault


@register.inclusion_tag("dashboard/strip.html")
def strip(session: dict[str, Any] | None = None) -> dict[str, Any]:
    """Context of the strip.  `session`: a row of `selectors.session_row`."""
    try:
        shown, overrides = session or newest(), skipped(timezone.now())
    except DatabaseError as error:
        return badge() | {"fault": f"the database does not answer ({error.__class__.__name__})"}
    around = badge() | {"overrides": overrides}
    if shown is None:
        return around | {"none": True}
    word = MODES.get(shown["mode"])
    return around | {"shown": shown, "word": word or f"UNKNOWN MODE {shown['mode']}", "known": word is not None}


def badge() -> dict[str, Any]:
    """Urgent alerts without an answer, from the file of the alerts' process; None where it does not run."""
    state = read_state(settings.VAR)
    return {"alerts": state.urgent if state is not None and is_fresh(state) else None}


def newest() -> dict[str, Any] | None:
    """The session that /desk/ would show; None before the first."""
    found = latest_id()
    try:
        return None if found is None else selectors.session_row(found)
    except ObjectDoesNotExist:
        return None
