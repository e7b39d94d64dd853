"""Configuration through the admin in a real Chromium, and its way into a session that really runs (UI-39, N8, N9).

Venue, guard, loop workers, Daphne and Redis run as `make run` starts them.  One story, in order: edit, fault, draft,
activate; tightening at once, loosening refused until flat; the order rows; roll back; kill, unlock, resume.
"""

import re
import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.access.kit import pass_time
from tests.web.conftest import Watcher
from tests.web.desk.pages import live
from tests.web.kit import Desk, csrf
from tests.web.pages.ring import ring, until
from tests.web.seed import PASSWORD
from trading.core import records as kinds
from trading.run.journal.reader import JournalReader

# On PostgreSQL the same services are asked in this process (tests/shell), and a whole desk trades in test_ring.
pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow, pytest.mark.one_database]
WAIT_MS = 180_000  # a cold, busy machine
CHANGE = "/admin/trading/configversion/{}/change/"


@pytest.fixture(scope="module")
def whole_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with ring(tmp_path_factory.mktemp("config")) as desk:
        yield desk


@pytest.fixture(scope="module")
def page(whole_desk: Desk, browser: Browser) -> Iterator[Page]:
    """Alice, an admin, signed in; any error on a page fails the test."""
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(WAIT_MS)
    context.add_cookies(whole_desk.cookies())
    found = context.new_page()
    watcher = Watcher(found)
    watcher.allowed = ("HTTP 422", "status of 422")
    yield found
    watcher.check()
    context.close()


KEPT = (kinds.CONFIG_ACTIVE, kinds.FILL, kinds.SUBMIT, kinds.DECISION)
_read: dict[str, Any] = {}


def journal(desk: Desk, *wanted: int) -> np.ndarray:
    """EVENTs of these kinds so far in session 1; read on from where the last look ended."""
    reader = JournalReader(desk.folder / "sessions" / "1")
    last, known = _read.get("last", 0), _read.get("events")
    events = reader.read(int(last), 10**6)["event"]
    if len(events) > 0:
        _read["last"] = events["seq"][-1]
        fresh = events[np.isin(events["kind"], KEPT)]
        _read["events"] = known = fresh if known is None else np.concatenate([known, fresh])
    assert known is not None
    return known[np.isin(known["kind"], wanted)]


def in_force(desk: Desk, version: int) -> list[tuple[int, int]]:
    """(seq, waits for flat) of every CONFIG_ACTIVE of one version."""
    rows = journal(desk, kinds.CONFIG_ACTIVE)
    return [(int(e["seq"]), int(e["value"])) for e in rows if e["ref"] == version]


def held_at(desk: Desk, seq: int) -> int:
    """Position by the fills up to a seq; a fill that was delivered twice counts once."""
    fills = {int(e["ref"]): e for e in journal(desk, kinds.FILL) if e["seq"] <= seq}
    return sum(int(e["side"]) * int(e["qty"]) for e in fills.values())


def edit(page: Page, desk: Desk, version: int, **values: str) -> int:
    """Edit a version into a draft with the mouse and the keyboard; the draft's id."""
    page.goto(desk.url + CHANGE.format(version))
    page.click("text=Edit into a draft")
    for name, value in values.items():
        page.fill(f'[name="{"reason" if name == "reason" else "risk." + name}"]', value)
    page.click("text=Save as draft")
    expect(page.locator("#main")).to_contain_text("is stored as a draft", timeout=WAIT_MS)
    found = re.search(r"configversion/(\d+)/change/", page.url)
    assert found is not None, page.url
    return int(found[1])


def test_a_session_trades_under_the_first_version(whole_desk: Desk, page: Page) -> None:
    with whole_desk.client() as alice:
        until(lambda: "verdict-fail" not in alice.get("/preflight/", timeout=60).text, "pre-flight that passes")
    page.goto(whole_desk.url + "/preflight/")
    page.click("#start-paper")
    expect(page).to_have_url(f"{whole_desk.url}/desk/1/", timeout=WAIT_MS)
    live(page)
    page.click("#tab-fills")
    expect(page.locator("#list-fills tbody tr").first).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#s-account")).to_have_attribute("title", re.compile("demo-mes v1"), timeout=WAIT_MS)


def test_a_schema_error_is_shown_beside_its_field_and_stores_nothing(whole_desk: Desk, page: Page) -> None:
    page.goto(whole_desk.url + CHANGE.format(1))
    page.click("text=Edit into a draft")
    page.fill('[name="risk.loss_day_max"]', "400 RUB")
    page.fill('[name="risk.confidence_min"]', "140 %")
    page.fill('[name="reason"]', "with two faults")
    page.click("text=Save as draft")
    summary = page.locator(".cf-summary")
    expect(summary).to_contain_text("Nothing was stored: 2 faults", timeout=WAIT_MS)
    expect(summary).to_contain_text("RUB is not the profile's currency", timeout=WAIT_MS)
    assert page.locator('[name="risk.loss_day_max"]').input_value() == "400 RUB", "what was typed stays"
    assert page.locator('[name="risk.loss_day_max"]').get_attribute("aria-invalid") == "true"
    page.click(".cf-summary a >> nth=0")
    page.goto(whole_desk.url + "/admin/trading/configversion/?profile=demo-mes")
    assert page.locator("text=demo-mes v2").count() == 0


def test_a_tightening_is_one_press_and_holds_at_once(whole_desk: Desk, page: Page) -> None:
    draft = edit(page, whole_desk, 1, loss_day_max="400 USD", reason="a smaller day")
    expect(page.locator(".cf-tightens").first).to_be_visible(timeout=WAIT_MS)
    page.click("text=Activate…")
    assert page.locator("#id_password").count() == 0, "tightening asks for no password"
    page.click("button:has-text('Activate demo-mes v2')")
    seq, waits = until(lambda: in_force(whole_desk, draft), "the tightening reaches the journal")[0]
    assert waits == 0, "nothing of it waits for flat"
    expect(page.locator("#main")).to_contain_text(f"applied at seq {seq}", timeout=WAIT_MS)
    page.goto(whole_desk.url + "/desk/1/")
    expect(page.locator("#s-account")).to_have_attribute("title", re.compile("demo-mes v2"), timeout=WAIT_MS)


def test_a_loosening_asks_for_the_password_and_waits_for_flat(whole_desk: Desk, page: Page) -> None:
    """The press comes while something is held; a version that met a flat session is followed by the next one."""
    version = 5  # demo-mes v2: four profiles were shipped before it
    for day in range(600, 640):
        draft = edit(page, whole_desk, version, loss_day_max=f"{day} USD", reason="a larger day, for a test")
        until(lambda: held_at(whole_desk, 2**62) != 0, "a position")
        page.click("text=Activate…")
        expect(page.locator("#main")).to_contain_text("This may raise risk", timeout=WAIT_MS)
        page.fill("#id_reason", "the account has grown")
        if day == 600:
            page.click("button:has-text('Activate demo-mes')")
            expect(page.locator(".cf-summary")).to_contain_text("give your password again", timeout=WAIT_MS)
            page.fill("#id_password", PASSWORD)
        page.click("button:has-text('Activate demo-mes')")
        expect(page.locator("#main")).to_contain_text("is active", timeout=WAIT_MS)
        first = until(partial(in_force, whole_desk, draft), "the loosening reaches the journal")[0]
        version = draft
        if held_at(whole_desk, first[0]) != 0:
            break
    assert first[1] == 1, "while something is held, the looser value waits"
    second = until(lambda: in_force(whole_desk, version)[1:], "flat comes, and with it the looser value")[0]
    assert (second[1], held_at(whole_desk, second[0])) == (0, 0)
    expect(page.locator("#main")).to_contain_text(f"applied at seq {second[0]}", timeout=WAIT_MS)


def test_every_order_row_carries_the_version_it_was_made_under(whole_desk: Desk) -> None:
    """100 % of the orders (N8): by the journal, and by the rows that the admin shows."""
    newest = max(int(e["ref"]) for e in journal(whole_desk, kinds.CONFIG_ACTIVE))
    began = in_force(whole_desk, newest)[0][0]
    until(lambda: any(journal(whole_desk, kinds.SUBMIT)["seq"] > began), "an order under the newest version")
    changes = [(int(e["seq"]), int(e["ref"])) for e in journal(whole_desk, kinds.CONFIG_ACTIVE)]
    orders = journal(whole_desk, kinds.SUBMIT)
    expected = {int(o["order_number"]): [ref for seq, ref in changes if seq < o["seq"]][-1] for o in orders}
    assert {int(o["order_number"]): int(o["ref"]) for o in orders} == expected
    assert len(set(expected.values())) >= 2
    number = max(expected)
    with whole_desk.client() as alice:

        def shown() -> bool:
            text = alice.get("/admin/trading/order/", timeout=60).text
            cells = re.findall(r"field-(number|version_id)[^>]*>\s*(?:<[^>]*>\s*)*([\d,]+)", text)
            pairs = list(zip(cells[::2], cells[1::2], strict=False))
            return any((n[1], v[1]) == (str(number), str(expected[number])) for n, v in pairs)

        until(shown, f"order {number} with version {expected[number]} in the admin")


def test_roll_back_is_one_press_within_five_seconds(whole_desk: Desk, page: Page) -> None:
    """Back to the tighter version before: no password, active and handed over."""
    page.goto(whole_desk.url + "/admin/")
    page.click("table a:has-text('demo-mes v')")
    button = page.locator("button:has-text('Roll back to')")
    expect(button).to_be_visible(timeout=WAIT_MS)
    with whole_desk.client() as alice:
        target = re.search(r'action="(\S*/(\d+)/roll-back/)"', page.content())
        assert target is not None
        started = time.perf_counter()
        answer = alice.post(target[1], headers=csrf(alice), timeout=60)
        seconds = time.perf_counter() - started
    assert answer.headers["location"] == CHANGE.format(target[2])
    assert seconds <= 5, seconds
    count = len(in_force(whole_desk, int(target[2])))
    until(lambda: len(in_force(whole_desk, int(target[2]))) >= max(1, count), "the session obeys it again")


def test_after_kill_and_unlock_nothing_trades_until_somebody_resumes(whole_desk: Desk) -> None:
    """K-05, UI-09: 60 s (by the latch's own stamp), flat proved, reason and password; then every session is paused."""
    with whole_desk.client() as alice:
        asks_json = {**csrf(alice), "Accept": "application/json"}
        killed = alice.post("/kill/", data={"action": "kill"}, headers=asks_json, timeout=120)
        assert killed.json()["flat"] is True
        early = release(alice, password=PASSWORD)
        assert early.status_code == 422 and "earliest release is after 60 s" in early.text
        pass_time(whole_desk, 60)
        assert "60 s or more" in alice.get("/kill/unlock/").text
        done = release(alice)
        assert (done.status_code, done.headers.get("location")) == (302, "/kill/"), done.text
        assert not (whole_desk.folder / "guard" / "latch.json").exists()
        page = alice.get("/kill/").text
        assert "operator pause" in page and "HALTED" not in page
        entries = count_entries(whole_desk)
        decisions = len(journal(whole_desk, kinds.DECISION))
        until(lambda: len(journal(whole_desk, kinds.DECISION)) > decisions + 3, "the strategy goes on asking")
        assert count_entries(whole_desk) == entries, "and gets nothing"
        body = {"key": str(uuid.uuid4()), "session": 1, "kind": "resume", "reason": "all is well again"}
        assert alice.post("/api/commands/", json=body, headers=csrf(alice)).status_code == 202
        until(lambda: count_entries(whole_desk) > entries, "it trades again")


def release(client: httpx.Client, **data: str) -> httpx.Response:
    page = client.get("/kill/unlock/").text
    found = re.search(r'name="ticket" value="([^"]+)"', page)
    assert found is not None, page
    form = {"reason": "looked at it, all flat", "ticket": found[1]} | data
    return client.post("/kill/unlock/", data=form, headers=csrf(client), timeout=120)


def count_entries(desk: Desk) -> int:
    submits = journal(desk, kinds.SUBMIT)
    return int((submits["role"] == kinds.ENTRY).sum())
