"""The Desk in a real Chromium: live numbers, the KILL button's gesture, the life of a command, and breaks.

Page errors, console errors and HTTP >= 400 fail every test (the `open_page` fixture).
"""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.web.desk.pages import WAIT_MS, Opener, catch_kills, live, stop_clock, until
from tests.web.kit import Desk
from tests.web.seed import PASSWORD

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow, pytest.mark.one_database]
expect.set_options(timeout=WAIT_MS)


def test_the_numbers_are_the_servers(open_page: Opener, control: Callable[..., None]) -> None:
    control(qty=2, price=20_050, day=-12_500_000)
    page = live(open_page("/desk/1/"))
    expect(page.locator("#mode")).to_have_text("PAPER")
    expect(page.locator(".position-main .size")).to_have_text("L2 MES")
    expect(page.locator(".position-main .open")).to_have_text("+$15.00")
    expect(page.locator("#account")).to_contain_text("−$12.50")
    expect(page.locator(".ladder-head .px").first).to_have_text("5012.50")
    expect(page.locator("#risk .gauge").first).to_contain_text("no limit: entries refused")
    expect(page.locator("#loops .loop")).to_have_count(5)
    expect(page.locator("#tab-orders")).to_have_text("Orders 2")
    assert "L2 MES" in page.title()
    control(qty=0)
    expect(page.locator(".position-main .size")).to_have_text("flat MES")
    control(holds='[{"code":"OPERATOR_PAUSE","scope":"account","effect":"NO_ENTRY","clearing":"OPERATOR","label":"PAUSED",'
            '"since_us":1792000000000000,"until_us":null,"value":null,"limit":0,"detail":"operator"}]')  # fmt: skip
    expect(page.locator("#holds .hold")).to_contain_text("A person clears it: Resume.")


def test_an_unknown_mode_is_a_fault(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-04: never PAPER."""
    control(mode="liv")
    page = live(open_page("/desk/1/"))
    expect(page.locator("#mode")).to_have_text("UNKNOWN MODE liv")
    expect(page.locator("#mode")).to_have_class("mode mode-unknown")


def test_fills_arrive_and_are_said_once(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-32, first part: one polite sentence; the rows in the blotter."""
    page = live(open_page("/desk/1/"))
    before = page.evaluate("desk.store.rows.fill.to")
    control(fills=before + 4)
    expect(page.locator("#says")).to_contain_text("MES at")
    page.click("#tab-fills")
    expect(page.locator("#list-fills tbody tr")).to_have_count(before + 4)
    page.press("#tab-fills", "ArrowRight")
    expect(page.locator("#tab-trades")).to_be_focused()


@pytest.mark.parametrize("way", ["mouse", "touch", "keyboard", "shortcut"])
def test_hold_to_kill(open_page: Opener, way: str) -> None:
    """UI-05: 590 ms sends nothing, more than 600 ms sends exactly one POST; by mouse, touch and keyboard."""
    page = live(open_page("/desk/1/", has_touch=way == "touch"))
    posts = catch_kills(page)
    # the page's own timer is what is measured: its clock is stopped and moved by hand
    press, release = gesture(page, way)
    stop_clock(page)
    press()
    page.clock.run_for(590)
    release()
    page.clock.run_for(100)
    assert posts == []
    expect(page.locator("#kill-says")).to_contain_text("Not sent")
    press()
    page.clock.run_for(620)
    release()
    page.clock.run_for(500)
    expect(page.locator("#kill-panel")).to_contain_text("FLAT, proved in 42 ms")
    page.clock.run_for(2000)
    assert len(posts) == 1
    assert "action=kill" in posts[0]


def gesture(page: Page, way: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """How the button goes down and up."""
    if way == "mouse":
        box = page.locator("#kill").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        return page.mouse.down, page.mouse.up
    if way == "touch":
        box = page.locator("#kill").bounding_box()
        assert box is not None
        finger = page.context.new_cdp_session(page)
        point = {"x": box["x"] + 20, "y": box["y"] + 20}

        def touch(kind: str, points: list[dict[str, float]]) -> None:
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        return lambda: touch("touchStart", [point]), lambda: touch("touchEnd", [])
    if way == "keyboard":
        page.focus("#kill")
        return lambda: page.keyboard.down("Space"), lambda: page.keyboard.up("Space")

    def down() -> None:
        page.keyboard.down("Control")
        page.keyboard.down("Period")

    def up() -> None:
        page.keyboard.up("Period")
        page.keyboard.up("Control")

    return down, up


def test_a_hold_is_aborted(open_page: Opener) -> None:
    """UI-05: leaving by more than 12 px, Esc and lost focus abort."""
    page = live(open_page("/desk/1/"))
    posts = catch_kills(page)
    box = page.locator("#kill").bounding_box()
    assert box is not None
    stop_clock(page)  # how long a press lasts is said here, not by a slow machine
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, box["y"] + 200)
    page.clock.run_for(800)
    page.mouse.up()
    page.focus("#kill")
    page.keyboard.down("Space")
    page.keyboard.press("Escape")
    page.clock.run_for(800)
    page.keyboard.up("Space")
    page.keyboard.down("Space")
    page.focus("#tab-orders")
    page.clock.run_for(800)
    page.keyboard.up("Space")
    assert posts == []


def test_a_short_press_arms(open_page: Opener) -> None:
    """UI-06: armed for 5 s; a second press kills, after 5 s it does not."""
    page = live(open_page("/desk/1/"))
    posts = catch_kills(page)
    stop_clock(page)
    page.click("#kill")
    expect(page.locator("#kill-word")).to_have_text("PRESS AGAIN TO KILL")
    expect(page.locator("#kill-says")).to_contain_text("Armed for 5 seconds")
    page.clock.run_for(5100)
    expect(page.locator("#kill-word")).to_have_text("HOLD TO KILL")
    page.click("#kill")
    assert posts == []
    page.click("#kill")
    expect(page.locator("#kill-panel")).to_be_visible()
    assert len(posts) == 1


def test_the_life_of_a_command(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-11: requested at once, accepted by the server's word, done only when it is done."""
    control(delay_ms=2000)
    page = live(open_page("/desk/1/"))
    page.evaluate(
        "() => { globalThis.words = []; const node = document.getElementById('receipt');"
        " new MutationObserver(() => words.push(node.textContent))"
        ".observe(node, { childList: true, subtree: true, characterData: true }); }"
    )
    page.click("button[value=flatten]")
    receipt = page.locator("#receipt")
    expect(receipt).to_contain_text("done in")
    words: list[str] = page.evaluate("words")
    assert "Flatten" in words[-1]
    firsts = [next(i for i, text in enumerate(words) if word in text) for word in ("requested", "accepted", "done in")]
    assert firsts == sorted(firsts), words
    ms = int(receipt.inner_text().split("done in ")[1].split(" ")[0])
    assert 2000 <= ms < 5800, "not before it was"
    page.keyboard.press("F8")
    expect(receipt).to_contain_text("Cancel all")


def test_resume_asks_for_a_reason(open_page: Opener) -> None:
    page = live(open_page("/desk/1/"))
    page.click("button[value=resume]")
    expect(page.locator("#resume-dialog")).to_be_visible()
    page.fill("#resume-reason", "looked at it, all well")
    page.fill("#resume-password", PASSWORD)
    page.click("#resume-dialog button[value=send]")
    expect(page.locator("#receipt")).to_contain_text("done in")


def test_a_silent_ring_greys_the_page(open_page: Opener, control: Callable[..., None]) -> None:
    """N13: stale is hatched, grey and a word; the dead hop is named; it comes back by itself."""
    page = live(open_page("/desk/1/"))
    control(hold=1)
    expect(page.locator("#position")).to_have_class("panel stale")
    expect(page.locator("#position .age")).to_contain_text("stale")
    expect(page.locator("#hops .dead")).to_contain_text(
        "silent" if page.locator("#hops .dead").inner_text().endswith("silent") else "s"
    )
    control(hold=0)
    expect(page.locator("#position")).to_have_class("panel")
    expect(page.locator("#hops .dead")).to_have_count(0)


def test_redis_lost_and_back(open_page: Opener, desk: Desk) -> None:
    """The bus is named, nothing un-greys before the new picture, and the page recovers without a reload."""
    page = live(open_page("/desk/1/"))
    epoch = page.evaluate("desk.store.epoch")
    desk.redis.kill()
    expect(page.locator("#hops .dead")).to_have_attribute("data-hop", "bus")
    expect(page.locator("#ladder")).to_have_class("panel pane stale")
    desk.redis.restart(empty=True)
    expect(page.locator("#ladder")).to_have_class("panel pane")
    assert page.evaluate("desk.store.epoch") != epoch


def test_socket_cut_and_reconnect(open_page: Opener) -> None:
    """UI-18: grey, a counting banner, the retry, and a fresh picture."""
    page = live(open_page("/desk/1/"))
    page.evaluate("desk.socket.ws.close()")
    expect(page.locator("#banner")).to_contain_text("Disconnected")
    live(page)
    expect(page.locator("#banner")).to_be_hidden()


def test_a_dropped_frame_asks_for_a_fresh_picture(open_page: Opener) -> None:
    """UI-19: a hole in the numbers causes one resync."""
    page = live(open_page("/desk/1/"))
    page.evaluate("desk.store.n -= 1")
    until(page, "desk.socket.failures === 1 && desk.socket.resyncing === false")
    expect(page.locator("#position")).to_have_class("panel")


def test_kill_without_javascript(open_page: Opener) -> None:
    """UI-08: the reducing forms work; nothing on the page needs a script."""
    page = open_page("/kill/", java_script_enabled=False)
    page.click("button[value=pause]")
    expect(page.locator(".messages")).to_contain_text("s1 pause: accepted")
    page.goto(page.url.replace("/kill/", "/desk/"))
    expect(page.locator("noscript, .banner").first).to_be_attached()
    page.click("button[value=flatten]")
    expect(page.locator(".messages")).to_contain_text("flatten: accepted")


def test_a_press_before_the_script_is_not_lost(open_page: Opener, desk: Desk) -> None:
    """KILL leads to the kill page, commands are forms; what only a script can do waits, and shows it."""
    page = open_page("/sign-in/")
    page.route("**/*.js", lambda route: None)  # a script that never comes
    page.goto(f"{desk.url}/desk/1/", wait_until="commit")
    for waiting in ("#tab-fills", "#pane-ladder", "#chart-png", "#ladder-centre", "#key-list-button", "#coach-next"):
        expect(page.locator(waiting)).to_be_disabled()
    page.click("button[value=pause]", no_wait_after=True)
    expect(page.locator(".messages")).to_contain_text("pause: accepted")
    page.goto(f"{desk.url}/desk/1/", wait_until="commit")
    page.click("#kill", no_wait_after=True)
    expect(page.locator("h1")).to_have_text("Kill page")
    expect(page.locator("button[value=kill]")).to_be_visible()
    page.unroute("**/*.js")
    page.goto(f"{desk.url}/desk/1/")
    page.click("#tab-fills")
    expect(page.locator("#list-fills")).to_be_visible()


def test_theme_is_kept(open_page: Opener) -> None:
    page = open_page("/sessions/", color_scheme="dark")
    page.click("#theme")
    page.click("#theme")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor") == "rgb(244, 246, 249)"
