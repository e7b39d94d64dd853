"""Where a person is signed in: one row per living session, what it is, and how to end it.

Sign-in leaves browser and address in the session; nothing else is kept.  Ending the others also voids the tokens that
the person's pages carry for the guard.  Called by the account pages and when an account is closed.
"""

from datetime import datetime
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

from trading.run.panic.page import void_tokens

DEVICE = "device"
AGENT_MAX = 200
_BROWSERS = ("Edg/", "OPR/", "Chrome/", "Firefox/", "Safari/")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")
_NAMES = {"Edg/": "Edge", "OPR/": "Opera", "Mac OS X": "macOS"}


class Device(NamedTuple):
    """One living sign-in."""

    key: str
    words: str
    address: str
    since: datetime | None
    until: datetime
    here: bool


def note(request: HttpRequest) -> None:
    """Remember in the session what has just signed in."""
    request.session[DEVICE] = {
        "agent": request.headers.get("User-Agent", "")[:AGENT_MAX],
        "address": str(request.META.get("REMOTE_ADDR", "")),
        "since": timezone.now().isoformat(),
    }


def words(agent: str) -> str:
    """ "Chrome on Linux"."""
    browser = next((name for name in _BROWSERS if name in agent), "")
    system = next((name for name in _SYSTEMS if name in agent), "")
    parts = [_NAMES.get(browser, browser.rstrip("/")), _NAMES.get(system, system)]
    return " on ".join(part for part in parts if part) or "unknown browser"


def _sessions(person_pk: object) -> list[tuple[Session, dict[str, Any]]]:
    rows = Session.objects.filter(expire_date__gt=timezone.now())
    found = [(row, row.get_decoded()) for row in rows]
    return [(row, data) for row, data in found if str(data.get(SESSION_KEY)) == str(person_pk)]


def devices(request: HttpRequest) -> list[Device]:
    """The person's living sign-ins, this one first, then the newest."""
    found = []
    for row, data in _sessions(request.user.pk):
        about = data.get(DEVICE, {})
        since = datetime.fromisoformat(about["since"]) if "since" in about else None
        here = row.session_key == request.session.session_key
        name = words(str(about.get("agent", "")))
        found.append(Device(row.session_key, name, about.get("address", ""), since, row.expire_date, here))
    return sorted(found, key=lambda d: (not d.here, -d.until.timestamp()))


def end(person_pk: object, name: str, keep: str | None = None) -> int:
    """End every sign-in of a person but `keep`, and void the tokens for the guard.  Returns how many ended."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    keys = [row.session_key for row, _ in _sessions(person_pk) if row.session_key != keep]
    for key in keys:
        store(key).delete()
    void_tokens(settings.VAR, name)
    return len(keys)
