"""Pages and commands over HTTP: who gets in, what is refused, and that /kill/ works when half of the desk is dead."""

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.bootstrap import ROOT
from tests.web.kit import Desk, csrf
from tests.web.seed import PASSWORD

pytestmark = pytest.mark.processes
OPEN = {"sign-in/", "sign-in/once/<str:token>/"}  # what a person who is not signed in may see
OTHER_PAGES = {
    "pages.css",
    "account.css",
    "ops.css",
    "data.css",
    "research.css",
    "menu.css",
    "risk.css",
    "kill.css",
    "ops.js",
    "day.js",
    "preflight.js",
    "setup.js",
}  # files that the Desk does not load
ARGUMENTS = {
    "session_id": "1",
    "run_id": "1",
    "data_set_id": "1",
    "key": str(uuid.UUID(int=7)),
    "token": "no-such-token",
    "seq": "1",
    "name": "trades",
    "file": "trials.csv",
    "window_id": "1",
    "alert_id": "1",
    "statement_id": "1",
    "report_id": "1",
}


def routes(patterns: list[URLPattern | URLResolver], head: str = "") -> Iterator[str]:
    """Every address of the URLconf with its arguments still named; the admin is walked at its entrance only."""
    for item in patterns:
        path = head + str(item.pattern)
        if isinstance(item, URLResolver) and not path.startswith("admin/"):
            yield from routes(item.url_patterns, path)
        else:
            yield path


def fill(route: str) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", lambda found: ARGUMENTS[found[1]], route)


ROUTES = sorted(set(routes(get_resolver().url_patterns)))


@pytest.mark.one_database  # by the request alone, before a row is read
@pytest.mark.parametrize("route", ROUTES)
def test_every_route_asks_for_a_sign_in(desk: Desk, route: str) -> None:
    """UI-10, first part: no address of the URLconf answers a stranger with more than the sign-in."""
    with httpx.Client(base_url=desk.url, follow_redirects=False) as stranger:
        for method in ("GET", "POST"):
            answer = stranger.request(method, fill(route))
            if route in OPEN:
                assert answer.status_code in (200, 403, 410), (method, answer.status_code)
            elif answer.status_code in (301, 302):
                assert answer.headers["location"].startswith(("/sign-in/", "/admin/login/")), answer.headers["location"]
            else:
                assert answer.status_code in (401, 403, 405), (method, answer.status_code)
                assert b"s1" not in answer.content


def test_a_reader_may_look_and_not_act(desk: Desk) -> None:
    with desk.client("victor") as victor:
        for path in ("/welcome/", "/preflight/", "/desk/", "/desk/1/", "/sessions/", "/sessions/1/", "/kill/"):
            assert victor.get(path).status_code == 200, path
        body = {"key": str(uuid.uuid4()), "session": 1, "kind": "pause"}
        assert victor.post("/api/commands/", json=body, headers=csrf(victor)).status_code == 403
        for path, form in (
            ("/kill/", {"action": "kill"}),
            ("/sessions/new/", {}),
            ("/sessions/1/command/", {"kind": "stop"}),
        ):
            answer = victor.post(path, data=form, headers=csrf(victor))
            assert answer.status_code == 403, path
        assert 'data-token=""' in victor.get("/desk/").text, "a reader gets no token for the guard"
    assert not (desk.folder / "guard" / "latch.json").exists()


def test_post_needs_the_csrf_token_and_our_own_page(desk: Desk) -> None:
    with desk.client() as alice:
        body = {"key": str(uuid.uuid4()), "session": 1, "kind": "pause"}
        assert alice.post("/api/commands/", json=body).status_code == 403
        foreign = {**csrf(alice), "Origin": "http://evil.example"}
        assert alice.post("/api/commands/", json=body, headers=foreign).status_code == 403
        other_port = {**csrf(alice), "Origin": "http://127.0.0.1:1"}
        assert alice.post("/kill/", data={"action": "kill"}, headers=other_port).status_code == 403
        assert alice.get(f"/api/commands/{body['key']}/").status_code == 404, "nothing was written"


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"key": "seven"}, 400, "key"),
        ({"session": "1"}, 400, "session"),
        ({"session": True}, 400, "session"),
        ({"kind": "buy"}, 400, "kind"),
        ({"kind": "start"}, 400, "kind"),
        ({"kind": "reset_halt"}, 400, "kind"),
        ({"kind": "resume", "reason": "short"}, 400, "reason"),
        ({"reason": "x" * 501}, 400, "reason"),
        ({"session": 99}, 409, "never started"),
        ({"kind": "stop", "session": 99}, 404, "no such session"),
    ],
)
def test_a_bad_command_is_refused_with_a_sentence(
    desk: Desk, change: dict[str, object], status: int, word: str
) -> None:
    with desk.client() as alice:
        body = {"key": str(uuid.uuid4()), "session": 1, "kind": "pause", "reason": ""} | change
        answer = alice.post("/api/commands/", json=body, headers=csrf(alice))
        assert answer.status_code == status, answer.text
        assert word in answer.json()["error"]


def test_one_key_is_one_command(desk: Desk) -> None:
    with desk.client() as alice:
        body = {"key": str(uuid.uuid4()), "session": 1, "kind": "pause", "reason": "only one row"}
        first = alice.post("/api/commands/", json=body, headers=csrf(alice))
        second = alice.post("/api/commands/", json=body, headers=csrf(alice))
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["cid"] == second.json()["cid"]
        rows = alice.get("/sessions/1/?list=commands").text
        assert rows.count("only one row") == 1


def test_security_headers(desk: Desk) -> None:
    with desk.client() as alice:
        answer = alice.get("/desk/")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "style=" not in answer.text
        assert not re.search(r"<script(?![^>]*(src=|application/json))", answer.text), "inline script"
        cookie = alice.get("/sign-in/").headers.get_list("set-cookie")
        assert all("SameSite=Strict" in value for value in cookie)


def plain(path: Path) -> str:
    """base.0123456789ab.css.gz → base.css"""
    return re.sub(r"\.[0-9a-f]{12}|\.gz$", "", path.name)


def test_static_files_are_hashed_and_small(desk: Desk) -> None:
    """UI-25: own JS and CSS of the Desk at most 60 kB compressed; imports name the hashed files."""
    main = httpx.get(desk.url + "/sign-in/")
    assert re.search(r"/static/desk/css/base\.[0-9a-f]{12}\.css", main.text)
    folder = desk.folder / "static" / "desk"
    found = [*folder.rglob("*.*.js.gz"), *folder.rglob("*.*.css.gz")]
    sizes = [path.stat().st_size for path in found if plain(path) not in OTHER_PAGES]
    assert len(sizes) > 15
    assert sum(sizes) <= 60_000, sum(sizes)
    modules = [
        path for path in (desk.folder / "static" / "desk").rglob("*.js") if re.search(r"\.[0-9a-f]{12}\.js$", path.name)
    ]
    names = {name for path in modules for name in re.findall(r'from "([^"]+)"', path.read_text())}
    assert names
    assert all(re.search(r"\.[0-9a-f]{12}\.m?js$", name) for name in names), names


def test_modules_are_short() -> None:
    faults = [path.name for path in (ROOT / "static" / "desk").rglob("*.js") if path.read_text().count("\n") >= 300]
    assert not faults


def test_the_form_refuses_with_the_venue_profiles_reason(desk: Desk, tmp_path: Path) -> None:
    with desk.client() as alice:
        form = {
            "feed": "replay",
            "profile": "demo-mes",
            "symbol": "MES",
            "scorer": "baseline",
            "speed": "1",
            "seed": "7",
        }
        answer = alice.post("/sessions/new/", data=form, headers=csrf(alice))
        assert answer.status_code == 422
        assert "Name the recorded file" in answer.text
        torn = tmp_path / "torn.dbn.zst"
        torn.write_bytes(b"\x28\xb5\x2f\xfd torn")
        answer = alice.post("/sessions/new/", data={**form, "path": str(torn)}, headers=csrf(alice))
        assert answer.status_code == 422
        assert "torn.dbn.zst" in answer.text
        assert "1 in all" in alice.get("/sessions/").text, "nothing was written"


@pytest.fixture
def lone_desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose Redis never runs."""
    found = Desk(tmp_path / "lone", redis=False)
    found.folder.mkdir()
    try:
        yield found.start()
    finally:
        found.stop()


def test_brute_force_is_locked(desk: Desk) -> None:
    """Five wrong passwords lock the name from this address; the right one does not open it either."""
    with httpx.Client(base_url=desk.url, follow_redirects=False) as stranger:
        stranger.get("/sign-in/")
        statuses = []
        for password in [*(f"wrong-{n}" for n in range(5)), PASSWORD]:
            form = {"username": "victor", "password": password, "csrfmiddlewaretoken": stranger.cookies["csrftoken"]}
            statuses.append(stranger.post("/sign-in/", data=form, headers={"Referer": desk.url}).status_code)
        assert statuses[:4] == [200] * 4
        assert statuses[4:] == [429, 429]


def test_kill_page_without_redis_goes_by_the_guard(lone_desk: Desk) -> None:
    """UI-07, UI-08: with Redis dead the plain form still kills, by the guard's road; a second Kill is no harm."""
    venue = lone_desk.spawn("manage", "venue")
    guard = lone_desk.spawn("manage", "guard")
    assert venue.poll() is None
    assert guard.poll() is None
    with lone_desk.client() as alice:
        page = alice.get("/kill/").text
        assert "KILL THE WHOLE DESK" in page
        assert "<script" not in page
        paused = alice.post("/kill/", data={"action": "pause"}, headers=csrf(alice), follow_redirects=True)
        assert "failed" in paused.text, "a pause that Redis did not take is not called done"
        wait_for(lone_desk.folder / "venue" / "venue.sock")
        wait_for(lone_desk.folder / "guard" / "guard.sock")
        killed = alice.post("/kill/", data={"action": "kill"}, headers=csrf(alice), timeout=120)
        assert killed.status_code == 200
        assert "FLAT, proved" in killed.text, re.findall(r"<li.*?</li>", killed.text)
        assert "road: guard" in killed.text
        again = alice.post(
            "/kill/", data={"action": "kill"}, headers={**csrf(alice), "Accept": "application/json"}, timeout=120
        )
        assert again.json()["flat"] is True
        assert "HALTED" in alice.get("/kill/").text
    assert (lone_desk.folder / "guard" / "latch.json").exists()


def wait_for(path: Path) -> None:
    """Until another process has made a file."""
    look = f"import pathlib, time; p = pathlib.Path({str(path)!r})\nwhile not p.exists(): time.sleep(0.02)"
    subprocess.run([sys.executable, "-c", look], timeout=120, check=True)
