"""Signing in under attack, and sockets of sign-ins that ended: brute force, open redirects, pace, UI-43."""

import asyncio
import re
import uuid
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.web.access.kit import WAIT_S, reset_failures
from tests.web.kit import Desk, csrf
from tests.web.seed import PASSWORD
from tests.web.socket_client import Tab
from trading.run.panic.page import check_token

pytestmark = [pytest.mark.processes, pytest.mark.slow]
EVIL = "https://evil.example/"

# sign-in


def test_brute_force_locks_with_a_clear_sentence(desk: Desk) -> None:
    """Sign-in and step-up count the same wrong passwords."""
    with httpx.Client(base_url=desk.url, timeout=WAIT_S) as stranger:
        stranger.get("/sign-in/")
        answers = [sign_in(stranger, "mallory", f"guess-{n}") for n in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert "locked after 5 wrong passwords" in answers[-1].text
    with desk.client("olga") as olga:
        wrong = {"password": "not-hers-at-all"}
        answers = [olga.post("/account/confirm/", data=wrong, headers=csrf(olga), timeout=WAIT_S) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [422] * 4 + [429]
    reset_failures(desk)


def sign_in(client: httpx.Client, name: str, password: str, target: str = "") -> httpx.Response:
    data = {"username": name, "password": password, "csrfmiddlewaretoken": client.cookies["csrftoken"], "next": target}
    return client.post("/sign-in/", data=data, headers={"Referer": str(client.base_url)})


@pytest.mark.parametrize("target", [EVIL, "//evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_no_address_leads_away(desk: Desk, target: str) -> None:
    with httpx.Client(base_url=desk.url, timeout=WAIT_S) as person:
        person.get("/sign-in/", params={"next": target})
        assert sign_in(person, "victor", PASSWORD, target).headers["location"] == "/desk/"
        data = {"password": PASSWORD, "next": target}
        answer = person.post("/account/confirm/", data=data, headers=csrf(person))
        assert answer.headers["location"] == "/account/"
        assert person.get("/admin/login/", params={"next": target}).headers["location"] == "/admin/"


def test_thirty_commands_a_minute(desk: Desk) -> None:
    """MOEX-SEC-05: the thirty-first pause waits, Flatten never does."""
    with desk.client("alice") as alice:
        statuses = []
        for kind in [*["pause"] * 31, "flatten"]:
            body = {"key": str(uuid.uuid4()), "session": 1, "kind": kind, "reason": ""}
            statuses.append(alice.post("/api/commands/", json=body, headers=csrf(alice), timeout=WAIT_S).status_code)
    assert statuses[-1] == 202
    assert statuses[-2] == 429
    assert statuses[0] in (202, 429)


# sockets


@pytest.mark.asyncio
async def test_the_socket_takes_no_stranger_no_foreign_page_and_no_command(desk: Desk) -> None:
    async with Tab(desk, name=None, session=None) as tab:
        assert await tab.code() == 4401
    with pytest.raises(InvalidStatus):
        async with Tab(desk, origin="http://evil.example"):
            raise AssertionError("a foreign page opened the socket")
    for name in ("victor", "alice"):
        async with Tab(desk, name=name) as tab:
            await tab.send(k="command", kind="flatten", session=1)
            assert await tab.code() == 4400


@pytest.mark.asyncio
async def test_sign_out_ends_the_socket(desk: Desk) -> None:
    """UI-43: the sign-in is looked up again; a socket outlives it by no more than one look."""
    async with Tab(desk, name="victor") as tab:
        await tab.opened()
        with httpx.Client(base_url=desk.url, timeout=WAIT_S) as same:
            same.cookies.update(dict(pair.split("=", 1) for pair in tab.cookies.split("; ")))
            assert same.post("/sign-out/", headers=csrf(same)).status_code == 302
        assert await asyncio.wait_for(_code(tab), WAIT_S) == 4401


@pytest.mark.asyncio
async def test_signing_out_the_others_ends_their_sockets_and_their_tokens(desk: Desk) -> None:
    """UI-43, revoked: 4401 in time, and the old page's token kills nothing any more; this device's new one would."""
    with desk.client("olga") as here:
        async with Tab(desk, name="olga") as tab:
            await tab.opened()
            old = token_of(here)
            assert check_token(desk.folder, old) == "olga"
            assert here.post("/account/sign-out-others/", headers=csrf(here)).status_code == 302
            assert await asyncio.wait_for(_code(tab), 60) == 4401
        guard = f"http://127.0.0.1:{desk.guard_port}/kill"
        assert httpx.post(guard, data={"token": old}, timeout=WAIT_S).status_code == 403
        assert not (desk.folder / "guard" / "latch.json").exists()
        assert check_token(desk.folder, token_of(here)) == "olga"


@pytest.mark.asyncio
async def test_after_expiry_the_token_of_the_page_still_kills(desk: Desk) -> None:
    """UI-43, expired: the socket closes with 4401, the page's token takes the guard's road, the evidence names it."""
    with desk.client("olga") as olga:
        token = token_of(olga)
        async with Tab(desk, name="olga") as tab:
            await tab.opened()
            closed = asyncio.create_task(_code(tab))
            await asyncio.to_thread(desk.run, "tests.web.access.expire", "olga")
            assert await asyncio.wait_for(closed, 60) == 4401
        assert olga.get("/desk/").status_code == 302
    guard = f"http://127.0.0.1:{desk.guard_port}/kill"
    report = httpx.post(guard, data={"token": token, "reason": "signed out"}, timeout=WAIT_S)
    assert report.status_code == 200 and report.json()["by"] == "panic:olga"
    assert b"panic:olga" in Path(desk.folder / "guard" / "kill.log").read_bytes()
    (desk.folder / "guard" / "latch.json").unlink()


async def _code(tab: Tab) -> int:
    """Read on and acknowledge until the server closes."""
    try:
        while True:
            await tab.next()
    except ConnectionClosed:
        return await tab.code()


def token_of(client: httpx.Client) -> str:
    found = re.search(r'data-token="([^"]+)"', client.get("/desk/").text)
    assert found is not None
    return found[1]
