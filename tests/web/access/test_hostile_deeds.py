"""What raises risk refuses without a step-up; what reduces works, also with a database that nobody can write (N9).

The second part of UI-10, and UI-09's refusals; who may do a deed is `accounts.roles`' table.
"""

import re
import time
import uuid

import httpx
import pytest

from tests.web.access.kit import WAIT_S, age_latch, confirm, gone, locked, reset_failures, state_of
from tests.web.kit import Desk, csrf
from tests.web.seed import PASSWORD

pytestmark = [pytest.mark.processes, pytest.mark.slow]

# loosening and reducing


def form(path: str, **data: str) -> tuple[str, dict[str, str]]:
    return path, data


@pytest.fixture(scope="module")
def versions(desk: Desk) -> dict[str, str]:
    """Drafts of demo-mes: one that loosens, one that tightens; ids by word."""
    found = {}
    with desk.client("alice") as alice:
        yaml = alice.get("/admin/trading/configversion/1/export/").text
        for word, day in (("looser", "600 USD"), ("tighter", "400 USD")):
            text = yaml.replace("loss_day_max: 500 USD", f"loss_day_max: {day}")
            assert text != yaml
            data = {"text": text, "reason": f"a {word} day"}
            answer = alice.post("/admin/trading/configversion/import/", data=data, headers=csrf(alice))
            assert answer.status_code == 302, answer.text
            found[word] = answer.headers["location"].split("/")[-3]
    return found


def loosening(versions: dict[str, str]) -> dict[str, tuple[str, dict[str, str]]]:
    """Every deed that raises risk, as a form."""
    ticket = {"reason": "a good long reason", "ticket": ""}
    return {
        "resume": form("/sessions/1/command/", kind="resume", reason="a good long reason"),
        "activate": form(f"/admin/trading/configversion/{versions['looser']}/activate/", **ticket),
        "unlock": form("/kill/unlock/", **ticket),
        "role": form("/admin/auth/user/2/change/", role="admin", **ticket),
        "person": form("/admin/auth/user/new/", username="eve", first_password="eve-eve-eve-9", role="admin", **ticket),
    }


def test_every_loosening_refuses_without_a_step_up(desk: Desk, versions: dict[str, str]) -> None:
    """UI-10, N9: also with the right role, a reason, and the ticket of a page that has just been read."""
    age_latch(desk, 70)
    try:
        with desk.client("alice") as alice:
            before = state_of(alice)
            for name, (path, data) in loosening(versions).items():
                given = {**data, "ticket": ticket_of(alice, path)} if "ticket" in data else data
                answer = alice.post(path, data=given, headers=csrf(alice), timeout=WAIT_S)
                away = answer.headers.get("location", "")
                assert answer.status_code == 422 or away.startswith("/account/confirm/"), (name, answer.status_code)
                assert name == "resume" or "give your password again" in answer.text, name
            path, data = loosening(versions)["activate"]
            given = {**data, "ticket": ticket_of(alice, path), "password": "not-hers-at-all"}
            assert "That is not your password" in alice.post(path, data=given, headers=csrf(alice)).text
            answer = alice.post("/api/commands/", json=resume_with(""), headers=csrf(alice))
            assert (answer.status_code, answer.json()["code"]) == (403, "STEP_UP")
            assert state_of(alice) == before
            assert (desk.folder / "guard" / "latch.json").exists()
    finally:
        (desk.folder / "guard" / "latch.json").unlink()
        reset_failures(desk)


def ticket_of(client: httpx.Client, path: str) -> str:
    """What the page of the first step hands out."""
    page = client.get(path, timeout=WAIT_S).text
    found = re.search(r'name="ticket" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def test_an_operator_may_not_loosen_even_with_a_step_up(desk: Desk, versions: dict[str, str]) -> None:
    with desk.client("olga") as olga:
        confirm(olga)
        for name in ("activate", "unlock", "role", "person"):
            path, data = loosening(versions)[name]
            answer = olga.post(path, data=data, headers=csrf(olga), timeout=WAIT_S)
            assert answer.status_code == 403 and "Your role, operator" in answer.text, (name, answer.status_code)
        body = {"key": str(uuid.uuid4()), "session": 1, "kind": "resume", "reason": "a good long reason"}
        assert olga.post("/api/commands/", json=body, headers=csrf(olga)).status_code == 202, (
            "that one is an operator's"
        )


REDUCING = ("pause", "cancel_all", "flatten", "stop")


def test_every_reduction_works_without_a_step_up_and_with_the_database_locked(desk: Desk) -> None:
    """UI-10, N9: operator, no reason, no password; nothing can be written."""
    with desk.client("olga") as olga:
        with locked(desk):
            for kind in REDUCING:
                body = {"key": str(uuid.uuid4()), "session": 1, "kind": kind, "reason": ""}
                answer = olga.post("/api/commands/", json=body, headers=csrf(olga), timeout=WAIT_S)
                assert (answer.status_code, answer.json().get("state")) == (202, "accepted"), (kind, answer.text)
            page = olga.post("/kill/", data={"action": "pause"}, headers=csrf(olga), timeout=WAIT_S)
            assert page.status_code == 200 and "pause: accepted" in page.text
            asks_json = {**csrf(olga), "Accept": "application/json"}
            report = olga.post("/kill/", data={"action": "kill"}, headers=asks_json, timeout=WAIT_S).json()
            assert report["flat"] is True, report
        (desk.folder / "guard" / "latch.json").unlink()
        answer = olga.post("/api/commands/", json=resume_with(PASSWORD), headers=csrf(olga), timeout=WAIT_S)
        assert answer.status_code == 202, "the lock is gone"


def test_the_kill_page_reduces_while_the_database_is_gone(desk: Desk) -> None:
    """K-02: the page that was open carries the token; no sign-in can be read, and every button acts all the same."""
    with desk.client("olga") as olga:
        found = re.search(r'name="token" value="([^"]+)"', olga.get("/kill/").text)
        assert found is not None
        with gone(desk):
            for action in ("pause", "cancel_all", "flatten"):
                data = {"action": action, "token": found[1]}
                page = olga.post("/kill/", data=data, headers=csrf(olga), timeout=WAIT_S)
                assert page.status_code == 200 and f"{action}: accepted" in page.text, page.text[:2000]
                assert "The database does not answer" in page.text
        assert "olga" in olga.get("/kill/").text, "and back again"


def test_a_loosening_waits_for_the_database(desk: Desk) -> None:
    with desk.client("olga") as olga:
        confirm(olga)
        with locked(desk):
            answer = olga.post("/api/commands/", json=resume_with(""), headers=csrf(olga), timeout=WAIT_S)
            assert (answer.status_code, answer.json()["code"]) == (409, "DATABASE_AWAY")


def resume_with(password: str) -> dict[str, object]:
    body = {"key": str(uuid.uuid4()), "session": 1, "kind": "resume", "reason": "a good long reason"}
    return body | ({"password": password} if password else {})


def test_tightening_is_one_press_and_rolling_it_back_is_not(desk: Desk, versions: dict[str, str]) -> None:
    with desk.client("olga") as olga:
        path = f"/admin/trading/configversion/{versions['tighter']}/activate/"
        answer = olga.post(path, data={}, headers=csrf(olga), timeout=WAIT_S)
        assert answer.status_code == 302, answer.text
        assert "Active" in olga.get(f"/admin/trading/configversion/{versions['tighter']}/change/").text
        back = olga.post("/admin/trading/configversion/1/roll-back/", headers=csrf(olga), timeout=WAIT_S)
        assert back.status_code == 403, "going back loosens: not an operator's"
    with desk.client("alice") as alice:
        asked = alice.post("/admin/trading/configversion/1/roll-back/", headers=csrf(alice), timeout=WAIT_S)
        assert asked.headers["location"] == "/admin/trading/configversion/1/activate/"
        confirm(alice)
        started = time.perf_counter()
        done = alice.post("/admin/trading/configversion/1/roll-back/", headers=csrf(alice), timeout=WAIT_S)
        assert done.headers["location"] == "/admin/trading/configversion/1/change/"
        assert time.perf_counter() - started <= 5, "N8: roll back in 5 s"


# the latch


def test_unlock_is_refused_early_unproved_short_and_late(desk: Desk) -> None:
    """UI-09: before 60 s, short reason, 60 s after the page was read; what is granted, the ring test shows."""
    try:
        with desk.client("alice") as alice:
            confirm(alice)
            age_latch(desk, 10)
            assert "Not released" in release(alice).text
            assert "the earliest release is after 60 s" in release(alice).text
            age_latch(desk, 70)
            assert "10 characters or more" in release(alice, reason="ok").text
            assert "60 seconds have passed" in release(alice, ticket="old").text
            settings = desk.folder / "guard" / "settings.json"
            good = settings.read_bytes()
            settings.write_bytes(good.replace(b"venue.sock", b"gone.sock"))
            assert "flat is not proved" in release(alice).text
            settings.write_bytes(good)
            assert (desk.folder / "guard" / "latch.json").exists()
        with desk.client("olga") as olga:
            page = olga.get("/kill/unlock/")
            assert page.status_code == 200 and "Only an admin" in page.text
    finally:
        (desk.folder / "guard" / "latch.json").unlink()


def release(client: httpx.Client, reason: str = "all was looked at", ticket: str = "") -> httpx.Response:
    data = {"reason": reason, "ticket": ticket or ticket_of(client, "/kill/unlock/")}
    answer = client.post("/kill/unlock/", data=data, headers=csrf(client), timeout=WAIT_S)
    assert answer.status_code == 422, answer.text
    return answer
