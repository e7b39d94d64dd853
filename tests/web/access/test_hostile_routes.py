"""A hostile visitor at every address: nobody, viewer, operator, admin, over HTTP (UI-10, first part).

Routes come from the URL configuration, the admin's too: a new one is walked without being named here.
"""

import re
import uuid
from collections.abc import Iterator

import httpx
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.web.access.kit import WAIT_S, state_of
from tests.web.kit import Desk, csrf

pytestmark = [pytest.mark.processes, pytest.mark.slow]
EVIL = "https://evil.example/"
OPEN = ("/sign-in/", "/sign-in/once/none/")  # what a stranger may see
OWN = ("/account/password/", "/account/sign-out-others/", "/account/confirm/", "/sign-out/", *OPEN)
ENDS_SESSIONS = ("/sign-out/", "/admin/logout/", "/account/sign-out-others/")
# forms of what a viewer may not do
NOT_FOR_VIEWERS = (
    "/edit/",
    "/import/",
    "/backtests/new/",
    "/backtests/books/",
    "/optimisation/new/",
    "/auth/user/new/",
    "/new/walk/",
)
WORDS = {
    "session_id": "1", "version_id": "1", "key": str(uuid.UUID(int=7)), "token": "none", "object_id": "1",
    "app_label": "trading", "content_type_id": "1", "url": "nowhere", "name": "none", "seq": "1", "person_id": "1",
}  # fmt: skip


def routes(patterns: list[URLPattern | URLResolver], head: str = "") -> Iterator[str]:
    for item in patterns:
        path = head + str(item.pattern)
        if isinstance(item, URLResolver):
            yield from routes(item.url_patterns, path)
        else:
            yield path


def fill(route: str) -> str:
    """An address of a route; the admin's catch-all gets one that exists nowhere."""
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda found: WORDS.get(found[1], "1"), route)
    plain = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: WORDS.get(found[1], "1"), plain)
    return "/" + plain.replace("^", "").replace("$", "").replace("\\Z", "").replace("?", "")


ROUTES = sorted({fill(route) for route in routes(get_resolver().url_patterns)})


def test_the_walk_meets_the_admin_and_the_desk() -> None:
    assert len(ROUTES) > 70, len(ROUTES)
    for path in ("/desk/1/", "/kill/unlock/", "/admin/trading/configversion/1/activate/", "/admin/auth/user/new/"):
        assert path in ROUTES


def test_nobody_gets_more_than_the_sign_in(desk: Desk) -> None:
    faults = []
    with httpx.Client(base_url=desk.url, follow_redirects=False, timeout=WAIT_S) as stranger:
        for path in ROUTES:
            for method in ("GET", "POST"):
                answer = stranger.request(method, path)
                away = answer.headers.get("location", "")
                good = path in OPEN or answer.status_code in (401, 403, 405)
                good = good or (answer.status_code in (301, 302) and away.startswith(("/sign-in/", "/admin/login/")))
                if not good or b"demo-mes" in answer.content or answer.status_code >= 500:
                    faults.append((method, path, answer.status_code, away))
    assert not faults, faults


@pytest.mark.parametrize("name", ["victor", "olga", "alice"])
def test_reading_is_everybodys_and_never_fails(desk: Desk, name: str) -> None:
    """GET of every route by each role: a page, a redirect inside, or a refusal in words; with all headers."""
    faults = []
    with desk.client(name) as person:
        person.timeout = httpx.Timeout(WAIT_S)
        for path in ROUTES:
            if path in ENDS_SESSIONS:
                continue
            answer = person.get(path)
            status = answer.status_code
            refused = name == "victor" and path.endswith(NOT_FOR_VIEWERS)
            refused = refused or (name == "olga" and path.endswith("/auth/user/new/"))
            expected: tuple[int, ...] = (
                (403,) if refused else (200, 302, 400, 404, 405, 409, 410) if "/add/" not in path else (403,)
            )
            if "/delete/" in path or "/history/" in path or "autocomplete" in path or "/once/" in path:
                expected = (200, 302, 403, 404, 410)
            away = answer.headers.get("location", "/")
            if status not in expected or not away.startswith("/") or away.startswith("//"):
                faults.append((path, status, away))
            faults += [(path, status, fault) for fault in header_faults(answer)]
    assert not faults, faults


def header_faults(answer: httpx.Response) -> list[str]:
    policy = answer.headers.get("content-security-policy", "")
    needed = ("default-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'")
    found = [part for part in needed if part not in policy]
    if "script-src" in policy and "'unsafe-inline'" in policy.partition("script-src")[2].partition(";")[0]:
        found.append("inline scripts")
    for header, value in (
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ):
        if answer.headers.get(header) != value:
            found.append(header)
    return found


def test_a_viewers_post_changes_nothing_anywhere(desk: Desk) -> None:
    faults = []
    with desk.client("alice") as alice, desk.client("victor") as victor:
        before = state_of(alice)
        for path in ROUTES:
            if path in OWN or path in ENDS_SESSIONS:
                continue
            answer = victor.post(path, data={"action": "delete_selected"}, headers=csrf(victor), timeout=WAIT_S)
            inside = answer.status_code in (301, 302) and path.startswith("/admin/")  # back to a list, or the account
            if answer.status_code not in (403, 404, 405) and not inside and not is_a_list(path, answer):
                faults.append((path, answer.status_code))
        assert state_of(alice) == before
    assert not faults, faults


def is_a_list(path: str, answer: httpx.Response) -> bool:
    """The library's lists, searches and histories answer a POST without a valid action with themselves."""
    looks = path.count("/") <= 4 or path.endswith("/history/")
    return path.startswith("/admin/") and answer.status_code == 200 and looks


def test_no_post_without_the_token_of_our_own_page(desk: Desk) -> None:
    faults = []
    with desk.client("alice") as alice:
        before = state_of(alice)
        for path in ROUTES:
            for headers in ({}, {**csrf(alice), "Origin": "http://evil.example"}, {**csrf(alice), "Referer": EVIL}):
                if "Referer" in headers and "Origin" not in headers:
                    headers = {**headers, "Origin": "null"}
                answer = alice.post(path, data={"deed": "close", "action": "kill"}, headers=headers, timeout=WAIT_S)
                if answer.status_code not in (403, 405):
                    faults.append((path, answer.status_code, headers.get("Origin", "none")))
        assert state_of(alice) == before
    assert not faults, faults
