"""The whole desk in real processes: from the sign-in link to a fill, why it was entered, pause, stop, and the kill.

Venue, guard, loop workers, Daphne and Redis run as `make run` starts them; nothing is written by a test.  The tests of
this file share one desk and stand in the order of a day; the kill comes last, because only a person takes it back.
"""

import re
import signal
import time
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.access.kit import pass_time
from tests.web.conftest import Watcher
from tests.web.pages.keyboard import move_a_stop, tab_to, type_into
from tests.web.pages.looks import AXE, violations
from tests.web.pages.ring import FIRST_RUN, PATIENCE_S, Ring, dead, rest, ring, sessions, start, table, until
from tests.web.seed import PASSWORD

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=30_000)  # a loaded machine is slow, not wrong
COUNT_CLICKS = "addEventListener('click', (event) => { if (event.isTrusted) noteClick(); }, true)"


@pytest.fixture(scope="module")
def whole_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ring]:
    with ring(tmp_path_factory.mktemp("ring")) as desk:
        yield desk


@pytest.fixture
def alice(whole_desk: Ring) -> Iterator[httpx.Client]:
    with whole_desk.client() as client:
        yield client


@pytest.fixture
def page(whole_desk: Ring, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    found = context.new_page()
    watcher = Watcher(found)
    yield found
    context.close()
    watcher.check()


def test_from_the_link_to_the_first_fill(whole_desk: Ring, alice: httpx.Client, page: Page) -> None:
    """UI-01: at most 3 clicks and 60 s from the sign-in link to the first paper fill in the blotter, no error."""
    until(lambda: "0 answer" not in alice.get("/preflight/", timeout=120).text, "workers that answer")
    link = re.search(r"http://\S+/sign-in/once/\S+", whole_desk.run("manage", "signin_link"))
    assert link is not None
    clicks: list[float] = []
    page.expose_function("noteClick", lambda: clicks.append(time.monotonic()))
    page.add_init_script(COUNT_CLICKS)
    began = time.monotonic()
    page.goto(link[0])
    page.click("button.primary")
    expect(page.locator("h1")).to_have_text("Welcome to your desk")
    page.click("text=Run a paper session")
    expect(page.locator("#check-guard .verdict")).to_contain_text("pass")
    assert page.locator(".verdict-fail").count() == 0, page.locator(".verdict-fail").all_inner_texts()
    page.click("#start-paper")
    expect(page).to_have_url(f"{whole_desk.url}/desk/1/", timeout=60_000)
    fills = "document.querySelectorAll('#list-fills tbody tr').length"
    until(lambda: page.evaluate(fills) > 0, "the first fill in the blotter")
    took = time.monotonic() - began
    print(f"UI-01: {len(clicks)} clicks, {took:.1f} s")
    assert len(clicks) <= 3
    assert took <= 60
    expect(page.locator("#coach")).to_contain_text("1 / 4")


@pytest.mark.one_database
def test_the_coach_points_and_goes(whole_desk: Ring, page: Page) -> None:
    """UI-01, the first steps: four steps, none covers what it points at, dismissed it stays away."""
    page.context.add_cookies(whole_desk.cookies())
    page.goto(f"{whole_desk.url}/desk/1/")
    for step in ("position", "decisions", "risk", "kill"):
        box, coach = page.locator(f"#{step}").bounding_box(), page.locator("#coach").bounding_box()
        assert box is not None and coach is not None
        apart = box["y"] >= coach["y"] + coach["height"] or box["y"] + box["height"] <= coach["y"]
        assert apart, (step, box, coach)
        expect(page.locator(f"#{step}")).to_have_attribute("data-coached", "yes")
        if step != "kill":
            page.click("#coach-next")
    page.click("#coach-off")
    expect(page.locator("#coach")).to_have_count(0)
    page.reload()
    expect(page.locator("#coach")).to_have_count(0)


def test_from_a_trade_to_its_reason_in_two_clicks(whole_desk: Ring, alice: httpx.Client, page: Page) -> None:
    """UI-37, the second half (N6): Sessions → session → why: the decision with its score, the orders, the fills."""
    number = start(alice, speed="10", seed="11")
    until(lambda: len(table(alice, number, "trades")) >= 3, "three round trips")
    page.context.add_cookies(whole_desk.cookies())
    page.goto(f"{whole_desk.url}/sessions/{number}/")
    page.click("text=why entered >> nth=0")
    expect(page.locator("h1")).to_have_text("Why this trade was entered")
    expect(page.locator("#h-why + p")).to_contain_text("score")
    score = page.locator("#h-why + p b.num").first.inner_text()
    assert re.fullmatch(r"[+−]\d\.\d\d", score), score
    assert page.locator("table").nth(0).locator("tbody tr").count() >= 2, "entry and bracket"
    assert page.locator("table").nth(1).locator("tbody tr").count() >= 2, "in and out"
    page.click("a.when >> nth=0")
    expect(page.locator("#h-moment")).to_be_visible()


def entries(client: httpx.Client, session: int) -> int:
    return sum(row["role"] == "entry" for row in table(client, session, "orders"))


def holds_standing(client: httpx.Client, session: int) -> set[str]:
    return {row["hold"] for row in table(client, session, "holds") if not row["cleared"]}


@pytest.mark.parametrize("kind", ["cancel_all", "flatten"])
def test_reductions_pause_the_strategy(whole_desk: Ring, alice: httpx.Client, page: Page, kind: str) -> None:
    """UI-14, server side: after Cancel all or Flatten nothing is placed, however often it signals, until Resume."""
    number = max(int(key[1:]) for key, row in sessions(alice).items() if row["status"] == "running")
    page.context.add_cookies(whole_desk.cookies())
    page.goto(f"{whole_desk.url}/sessions/{number}/")
    page.click(f".commands-card button[value={kind}]")
    expect(page.locator(".messages")).to_contain_text(f"{kind}: accepted")
    until(lambda: "OPERATOR_PAUSE" in holds_standing(alice, number), "the operator's pause")
    placed, decided = entries(alice, number), refused_by_hold(alice, number)
    until(lambda: refused_by_hold(alice, number) >= decided + 20, "twenty more signals, all refused")
    assert entries(alice, number) == placed
    page.click("text=Resume entries after a pause")
    page.fill("#reason", "looked at it, all is well")
    page.fill("#resume-password", PASSWORD)
    page.click("button[value=resume]")
    until(lambda: "OPERATOR_PAUSE" not in holds_standing(alice, number), "entries again")
    until(lambda: entries(alice, number) > placed, "an entry after Resume")


def refused_by_hold(client: httpx.Client, session: int) -> int:
    return sum(int(row["count"]) for row in table(client, session, "refusals") if row["reason"] == "OPERATOR_PAUSE")


def held(client: httpx.Client, session: int) -> int:
    """The position by the ledger: Σ signed fills."""
    return sum(int(row["qty"]) * (1 if row["side"] == "BUY" else -1) for row in table(client, session, "fills"))


def test_pause_keeps_and_stop_proves(whole_desk: Ring, alice: httpx.Client, page: Page) -> None:
    """UI-13: a pause leaves position, bracket and session; Stop refuses entries at once and ends only with proof."""
    number = start(alice, seed="23")
    until(lambda: held(alice, number), "a position")
    page.context.add_cookies(whole_desk.cookies())
    page.goto(f"{whole_desk.url}/sessions/{number}/")
    page.click(".commands-card button[value=pause]")
    until(lambda: "OPERATOR_PAUSE" in holds_standing(alice, number), "the pause")
    orders = table(alice, number, "orders")
    stops = [row["status"] for row in orders if row["role"] == "stop"]
    assert "exit" not in {row["role"] for row in orders}, "a pause closes nothing"
    assert {"WORKING", "FILLED", "CANCELLED"} >= set(stops) and stops, stops
    assert held(alice, number) == 0 or "WORKING" in stops
    assert sessions(alice)[f"s{number}"]["status"] == "running"
    whole_desk.venue.send_signal(signal.SIGSTOP)  # nobody can prove flat now
    try:
        page.click(".commands-card button[value=stop]")
        expect(page.locator(".messages")).to_contain_text("is stopping", timeout=60_000)
        placed = entries(alice, number)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            assert sessions(alice)[f"s{number}"]["status"] == "stopping", "ended without proof"
    finally:
        whole_desk.venue.send_signal(signal.SIGCONT)
    until(lambda: sessions(alice)[f"s{number}"]["status"] == "ended", "the end")
    assert held(alice, number) == 0
    assert entries(alice, number) == placed
    residual = httpx.get(f"http://127.0.0.1:{whole_desk.guard_port}/status", timeout=120).json()["residual"]
    assert f"s{number}" not in residual
    page.goto(f"{whole_desk.url}/sessions/{number}/")
    expect(page.locator(".verdict-word")).to_contain_text("kept its rules")
    expect(page.locator(".hashes .mono").first).to_have_text(re.compile(r"^[0-9a-f]{64}$"))
    assert page.locator(".commands-card").count() == 0, "nothing can be commanded any more"


def test_the_report_adds_up(whole_desk: Ring, alice: httpx.Client, page: Page) -> None:
    """The report's figures are the ledger's sums, exactly; CSV has points, offsets, and every row whatever the page."""
    number = max(int(key[1:]) for key, row in sessions(alice).items() if int(row["trades"]) > 2)
    if sessions(alice)[f"s{number}"]["status"] == "running":
        alice.post(f"/sessions/{number}/command/", data={"kind": "stop"}, headers=post_headers(alice))
    until(lambda: sessions(alice)[f"s{number}"]["status"] == "ended", "the end")
    until(lambda: not unexplained(alice, number), "a ledger that is read to its end, every decision with its reason")
    page_of = f"/sessions/{number}/statements/"
    until(lambda: "NO STATEMENT YET" not in alice.get(page_of).text, "the venue's statement")
    stated = alice.get(page_of).text
    assert "● equal" in stated and "differs</b>" not in stated, f"T-03: the venue's own books say the same: {stated}"
    trades = table(alice, number, "trades")
    net = sum(micros(row["net"]) for row in trades)
    assert net == sum(micros(row["gross"]) - micros(row["fees"]) for row in trades)
    assert net == micros(sessions(alice)[f"s{number}"]["net"])
    assert net == sum(micros(row["net"]) for row in table(alice, number, "exits"))
    decisions = table(alice, number, "decisions")
    assert all(re.fullmatch(r"-?\d+\.\d{6}", row["net"]) for row in trades)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00", row["closed"]) for row in trades)
    page.context.add_cookies(whole_desk.cookies())
    page.goto(f"{whole_desk.url}/sessions/{number}/?list=decisions")
    shown = page.locator(".big").get_attribute("title")
    assert shown is not None
    assert micros(shown.split()[0]) == net
    expect(page.locator(".curve svg")).to_have_attribute("aria-label", re.compile("Net result after each trade"))
    if len(decisions) > 50:
        assert page.locator("#lists tbody tr").count() == 50
        page.click("text=Older")
        assert page.locator("#lists tbody tr").count() > 0
    for name in ("orders", "fills", "holds", "commands", "timeline"):
        assert table(alice, number, name), name


def unexplained(client: httpx.Client, session: int) -> int:
    """Decisions − taken − Σ refusals by reason (N6)."""
    rows = table(client, session, "decisions")
    taken = sum(int(row["same"]) for row in rows if row["verdict"] == "APPROVED")
    refused = sum(int(row["count"]) for row in table(client, session, "refusals"))
    return sum(int(row["same"]) for row in rows) - taken - refused


def micros(text: str) -> int:
    whole, _, rest = text.lstrip("-").partition(".")
    return (int(whole) * 1_000_000 + int(rest.ljust(6, "0"))) * (-1 if text.startswith("-") else 1)


def post_headers(client: httpx.Client) -> dict[str, str]:
    return {"X-CSRFToken": client.cookies["csrftoken"], "Referer": str(client.base_url)}


WIDTHS = [(1600, 900), (1280, 800), (768, 1024), (390, 844), (320, 720)]


@pytest.mark.one_database
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_full_pages_fit_and_read(
    whole_desk: Ring, alice: httpx.Client, browser: Browser, theme: Literal["dark", "light"]
) -> None:
    """UI-03, UI-27 on pages that hold rows: no sideways scroll at five widths, and axe finds nothing."""
    done = next(key for key, row in sessions(alice).items() if int(row["trades"]) > 2)
    trade = table(alice, int(done[1:]), "trades")[0]["journal_seq"]
    paths = [f"/sessions/{done[1:]}/?list={name}" for name in ("trades", "orders", "decisions", "holds", "timeline")]
    paths += ["/sessions/", f"/sessions/{done[1:]}/trades/{trade}/", "/preflight/", "/kill/"]
    paths.append(f"/sessions/{done[1:]}/replay/")
    context = browser.new_context(color_scheme=theme)
    context.add_cookies(whole_desk.cookies())
    page = context.new_page()
    for path in paths:
        page.goto(whole_desk.url + path)
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (path, width, wide)
        if AXE.exists():
            assert violations(page) == [], path
    context.close()


def test_the_kill_page_without_javascript(whole_desk: Ring, alice: httpx.Client, browser: Browser) -> None:
    """UI-08: with JavaScript off Pause, Cancel all and Flatten work from /kill/; the whole page is small."""
    number = max((int(key[1:]) for key, row in sessions(alice).items() if row["status"] == "running"), default=0)
    number = number or start(alice)
    until(lambda: sessions(alice)[f"s{number}"]["status"] == "running", "a running session")
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    context.add_cookies(whole_desk.cookies())
    plain = context.new_page()
    sizes: list[int] = []
    plain.on("response", lambda answer: sizes.append(int(answer.headers.get("content-length", "0"))))
    plain.goto(f"{whole_desk.url}/kill/")
    body = len(plain.content().encode())
    print(f"UI-08: {body} bytes of HTML, {sum(sizes)} bytes in all")
    assert body + sum(sizes) <= 50_000
    for kind in ("pause", "cancel_all", "flatten"):
        plain.click(f"button[value={kind}]")
        expect(plain.locator(".messages")).to_contain_text(f"{kind}: accepted")
    until(lambda: held(alice, number) == 0, "flat")
    context.close()


def test_by_keyboard_alone(whole_desk: Ring, alice: httpx.Client, page: Page) -> None:
    """UI-30: start paper, move a stop, read why, flatten and kill without a pointer; the focus is seen at each step."""
    rest(alice)  # one account trades in one session
    page.context.add_cookies([*whole_desk.cookies(), {"name": "coach", "value": "off", "url": whole_desk.url}])
    page.goto(f"{whole_desk.url}/welcome/")
    tab_to(page, "a.primary")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Pre-flight")
    tab_to(page, "#start-paper")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/desk/\d+/$"), timeout=90_000)
    number = int(page.url.rstrip("/").rsplit("/", 1)[-1])
    move_a_stop(page)
    page.keyboard.press("F9")
    expect(page.locator("#receipt")).to_contain_text("Flatten")
    until(lambda: table(alice, number, "trades"), "a round trip")
    page.goto(f"{whole_desk.url}/sessions/{number}/")
    tab_to(page, "#lists a[href*='/trades/']")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Why this trade was entered")
    tab_to(page, "#kill")
    page.keyboard.down("Space")
    page.wait_for_timeout(1000)  # the gesture itself: the page's own timer fires at 600 ms
    page.keyboard.up("Space")
    expect(page.locator("#kill-panel")).to_contain_text("FLAT, proved", timeout=PATIENCE_S * 1000)


def test_killed_is_killed(whole_desk: Ring, alice: httpx.Client, page: Page) -> None:
    """UI-07 in the ordinary case, UI-12: the kill page shows road and times, and a forged start is refused."""
    assert (whole_desk.folder / "guard" / "latch.json").exists()
    shown = alice.get("/kill/").text
    assert "HALTED" in shown
    assert "flat proved" in shown
    before = len(sessions(alice))
    answer = alice.post("/sessions/new/", data=FIRST_RUN, headers=post_headers(alice), timeout=90)
    assert answer.status_code == 422
    assert "Kill latch: HALTED" in answer.text
    assert len(sessions(alice)) == before, "nothing was made"
    page.context.add_cookies(whole_desk.cookies())
    page.goto(f"{whole_desk.url}/sessions/")
    expect(page.locator("#strip")).to_be_visible()
    page.goto(f"{whole_desk.url}/sessions/{max(int(key[1:]) for key in sessions(alice))}/replay/")
    expect(page.locator("#mode")).to_have_text("REPLAY")
    expect(page.locator(".replay-bar")).to_contain_text("replay = record")
    assert page.locator("#commands, #start, .reduce").count() == 0, "UI-04: no command control but KILL"
    expect(page.locator("#kill")).to_be_visible()


@pytest.mark.one_database
def test_unlock_and_a_version_by_keyboard(whole_desk: Ring, page: Page) -> None:
    """UI-30, the rest: the latch is released, a limit is tightened into a draft and activated, without a pointer."""
    page.context.add_cookies(whole_desk.cookies())
    pass_time(whole_desk, 60)
    page.goto(f"{whole_desk.url}/kill/unlock/")
    type_into(page, "#id_reason", "looked at it, all is flat")
    if page.locator("#id_password").count():
        type_into(page, "#id_password", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".messages")).to_contain_text("Released")
    page.goto(f"{whole_desk.url}/admin/trading/configversion/?profile=demo-mes")
    page.goto(whole_desk.url + str(page.locator("a[href*='/configversion/1/change/']").first.get_attribute("href")))
    tab_to(page, "a[href$='/edit/']")
    page.keyboard.press("Enter")
    expect(page.locator("[name='risk.loss_day_max']")).to_be_visible()
    type_into(page, "[name='risk.loss_day_max']", "450 USD")
    type_into(page, "[name=reason]", "a smaller day")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_contain_text("is stored as a draft")
    tab_to(page, "a[href$='/activate/']")
    page.keyboard.press("Enter")
    expect(page.locator("form button.cf-main")).to_be_visible()
    tab_to(page, "form button.cf-main")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_contain_text("active since")
    expect(page.locator("#main")).to_contain_text("a smaller day")
    assert page.locator(".cf-word").first.inner_text().lower() == "active"


ONCE = pytest.mark.one_database
DEAD = [pytest.param("socket", marks=ONCE), "database", *(pytest.param(what, marks=ONCE) for what in ("redis", "web"))]


@pytest.mark.parametrize("what", DEAD)  # the last one is not brought back
def test_kill_from_the_page_with_something_dead(
    whole_desk: Ring, alice: httpx.Client, browser: Browser, what: str
) -> None:
    """UI-07: held for 0.6 s in Chromium; flat proved by the venue, the road said on the page, within 5 s."""
    (whole_desk.folder / "guard" / "latch.json").unlink(missing_ok=True)  # a new desk for each: the old session stays
    number = start(alice, seed="23")
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    context.add_cookies([*whole_desk.cookies(), {"name": "coach", "value": "off", "url": whole_desk.url}])
    page = context.new_page()
    page.goto(f"{whole_desk.url}/desk/{number}/")
    until(lambda: page.evaluate("(desk.store.values['pos:0']?.qty ?? 0) !== 0"), "a position on the page")
    box = page.locator("#kill").bounding_box()
    assert box is not None
    with dead(whole_desk, page, what):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        fires = time.monotonic() + 0.6
        page.mouse.down()
        page.wait_for_timeout(1000)  # the gesture itself: the page's own timer fires at 600 ms
        page.mouse.up()
        panel = page.locator("#kill-panel")
        expect(panel).to_contain_text("KILL:", timeout=PATIENCE_S * 1000)
        took, text = time.monotonic() - fires, panel.inner_text()
        proof = re.search(r"FLAT, proved in (\d+) ms, road: (\w+)", text)
        assert proof is not None, text
        left = httpx.get(f"http://127.0.0.1:{whole_desk.guard_port}/status", timeout=120).json()
        assert (left["flat"], left["residual"]) == (True, {}), "the venue's own word"
        assert proof[2] in {"web": ("guard",), "redis": ("guard", "both")}.get(what, ("ring", "guard", "both"))
        print(f"UI-07, dead: {what}: {took:.2f} s on the page, proved in {proof[1]} ms, road {proof[2]}")
        assert took <= 5
    context.close()
