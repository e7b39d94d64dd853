"""Commands, breaks of the connection, frames that are lost or wrong, and a page that cannot keep up."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.web.desk.pages import WAIT_MS, Opener, live, stop_clock, until

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
RETRY_S = [0.25, 0.5, 1, 2, 4, 5]
PRESS = "document.querySelector('button[value=flatten]').click()"
expect.set_options(timeout=WAIT_MS)


def commands(page: Page, answer: Callable[[Route], None]) -> list[dict[str, Any]]:
    """Intercept the commands' POSTs; what the page sent."""
    sent: list[dict[str, Any]] = []

    def take(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        sent.append(json.loads(route.request.post_data or "{}"))
        answer(route)

    page.route("**/api/commands/", take)
    return sent


def test_a_slow_server_is_never_called_done(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-11: requested within 50 ms, then the running time; a second press repeats the key, so it is one command."""
    control(delay_ms=1500)
    page = live(open_page("/desk/1/"))
    held: list[Route] = []
    sent = commands(page, held.append)
    page.evaluate(
        "() => { globalThis.words = []; const node = document.getElementById('receipt');"
        " new MutationObserver(() => words.push(node.textContent))"
        ".observe(node, { childList: true, subtree: true, characterData: true }); }"
    )
    said = page.evaluate(f"() => {{ {PRESS}; return document.getElementById('receipt').textContent; }}")
    assert "Flatten" in said and "requested" in said, "in the very task of the press: nothing is waited for"
    page.evaluate(f"() => {{ {PRESS}; }}")
    until(page, "words.some((text) => /no answer for [1-9]\\.\\d s/.test(text))")
    early: list[str] = page.evaluate("words")
    assert not [text for text in early if "done" in text or "accepted" in text], early
    for route in held:
        route.continue_()
    expect(page.locator("#receipt")).to_contain_text("done in")
    assert len({command["key"] for command in sent}) == 1
    assert {command["kind"] for command in sent} == {"flatten"}
    with_rows = page.evaluate("desk.store.list('command').length")
    assert with_rows >= 1


def test_a_lost_answer_ends_in_unknown(open_page: Opener) -> None:
    """UI-11: nobody knows what became of it: unknown, not failed."""
    page = open_page("/desk/1/")
    page.watcher.allowed = ("Failed to load resource", "net::ERR_FAILED")  # type: ignore[attr-defined]
    live(page)
    page.route("**/api/commands/**", lambda route: route.abort())
    page.clock.install()
    page.click("button[value=cancel_all]")
    for _ in range(40):
        page.clock.run_for(500)
        page.wait_for_timeout(20)
    expect(page.locator("#receipt")).to_contain_text("unknown")
    assert "failed" not in page.locator("#receipt").inner_text()
    assert "Cancel all" in page.locator("#receipt").inner_text()


def test_a_refusal_is_said_with_its_reason(open_page: Opener) -> None:
    page = open_page("/desk/1/")
    page.watcher.allowed = ("409",)  # type: ignore[attr-defined]
    live(page)
    body = json.dumps({"error": "the session has ended", "code": "SESSION_OVER"})
    page.route("**/api/commands/", lambda route: route.fulfill(status=409, content_type="application/json", body=body))
    page.click("button[value=pause]")
    expect(page.locator("#receipt")).to_contain_text("refused: the session has ended")


@pytest.mark.parametrize("kind", ["cancel_all", "flatten"])
def test_what_reduces_pauses_too(open_page: Opener, control: Callable[..., None], kind: str) -> None:
    """UI-14, the page's side: the hold that Cancel all and Flatten raise is shown at once, and Resume names it."""
    hold = {
        "code": "OPERATOR_PAUSE",
        "scope": "account",
        "effect": "NO_ENTRY",
        "clearing": "OPERATOR",
        "label": "PAUSED",
    }
    hold |= {"since_us": 1_792_000_000_000_000, "until_us": None, "value": None, "limit": 0, "detail": "operator"}  # type: ignore[dict-item]
    page = live(open_page("/desk/1/"))
    page.click(f"button[value={kind}]")
    expect(page.locator("#receipt")).to_contain_text("done in")
    control(holds=json.dumps([hold]), label="PAUSED")
    expect(page.locator("#s-label")).to_have_text("PAUSED")
    expect(page.locator("#holds .hold")).to_contain_text("A person clears it: Resume.")
    expect(page.locator("#alarms")).to_contain_text("Hold raised: operator pause.")
    control(holds="[]", label="ACTIVE")
    expect(page.locator("#alarms")).to_contain_text("Hold lifted: operator pause.")


def test_a_hold_says_what_it_is_about_and_what_it_does(open_page: Opener, control: Callable[..., None]) -> None:
    """P-25, MOEX-RISK-05: an instrument's hold names it, LATENCY its stages; one that halves refuses nothing."""
    rest = {"effect": "NO_ENTRY", "clearing": "CONDITION", "label": "PAUSED", "since_us": 1_792_000_000_000_000}
    rest |= {"until_us": None, "value": None, "limit": 0, "detail": ""}
    holds = [
        rest | {"code": "LATENCY", "scope": "account", "what": "ml, broker"},
        rest | {"code": "NET_SLOW", "scope": "account", "what": "", "effect": "SCALE", "label": "REDUCED"},
        rest | {"code": "RESTRICTED", "scope": 0, "what": "MES", "since_us": None},
    ]
    page = live(open_page("/desk/1/"))
    control(holds=json.dumps(holds), label="PAUSED")
    rows = page.locator("#holds .hold")
    for at, words in enumerate(("latency: ml, broker", "Entries at half size.", "restricted: MES")):
        expect(rows.nth(at)).to_contain_text(words)
    expect(rows.nth(2)).to_contain_text("No entries. Clears with a version of the configuration without it.")
    expect(page.locator("#alarms")).to_contain_text("Hold raised: restricted: MES.")


def test_a_cut_socket(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-18: grey at once, a counting banner, the schedule within 20 %, nothing un-greys early, missed fills once."""
    page = open_page("/desk/1/")
    refuse = {"on": False}

    def gate(socket: WebSocketRoute) -> None:
        if refuse["on"]:
            socket.close(code=1013)
        else:
            socket.connect_to_server()

    page.route_web_socket("**/ws/desk/", gate)
    page.reload()
    live(page)
    before = page.evaluate("desk.store.rows.fill.to")
    expect(page.locator("#position")).to_have_class("panel")
    page.evaluate(
        "() => { globalThis.seen = []; const panel = document.getElementById('position'); globalThis.cutAt = 0;"
        " new MutationObserver(() => seen.push([performance.now() - cutAt, panel.className, desk.store.painted]))"
        ".observe(panel, { attributes: true }); }"
    )
    refuse["on"] = True
    page.evaluate("globalThis.cutAt = performance.now(); desk.socket.ws.close()")
    expect(page.locator("#position")).to_have_class("panel stale")
    grey_ms = page.evaluate("(seen.find(([at, name]) => at > 0 && name.includes('stale')) ?? [0])[0]")
    assert grey_ms <= 1200, grey_ms
    banner = page.locator("#banner")
    expect(banner).to_contain_text("Disconnected 0:0")
    expect(banner).to_contain_text("may be wrong. Next try in")
    assert page.title().startswith("? ")
    delays = []
    for tries in range(1, 5):
        until(page, f"desk.socket.tries >= {tries}")
        delays.append(page.evaluate("[desk.socket.tries, (desk.socket.retryAt - performance.now()) / 1000]"))
    for tries, delay in delays:
        assert delay <= 1.2 * RETRY_S[min(tries - 1, 5)] + 0.05, delays
    control(fills=before + 2)
    other = live(open_page("/desk/1/"))  # what another page shows, the server has
    until(other, f"desk.store.rows.fill.to >= {before + 2}")
    refuse["on"] = False
    page.click("#banner button")
    live(page)
    expect(page.locator("#position")).to_have_class("panel")
    assert all(painted for _, name, painted in page.evaluate("seen") if "stale" not in name and "ageing" not in name)
    expect(banner).to_contain_text("You missed: ")
    assert banner.inner_text().count(" at 50") == 2, banner.inner_text()


def test_the_retry_schedule(open_page: Opener) -> None:
    """UI-18: 0.25, 0.5, 1, 2, 4, then 5 s, each within 20 %."""
    page = open_page("/desk/1/")
    page.route_web_socket("**/ws/desk/", lambda socket: socket.close(code=1013))
    live(page)
    stop_clock(page)
    page.evaluate("desk.socket.ws.close()")
    for tries in range(1, 9):
        until(page, f"desk.socket.tries === {tries} && desk.socket.retryAt !== null")
        delay = page.evaluate("(desk.socket.retryAt - desk.socket.lostTryAt) / 1000")
        usual = RETRY_S[min(tries - 1, 5)]
        assert 0.79 * usual <= delay <= 1.21 * usual, (tries, delay)
        page.clock.run_for(round(1.25 * usual * 1000))


FAULTS = {
    "dropped frame": lambda frame: None,
    "row gap": lambda frame: frame | {"rows": {"fill": {"from": 10_000, "to": 10_000, "items": []}}},
    "epoch change": lambda frame: frame | {"epoch": "another"},
    "seq falls": lambda frame: frame | {"seq": 1},
    "repeated frame": lambda frame: [frame, frame],
}
# An age is of the moment at which a page is read; everything else must agree to the letter.
WITHOUT_AGES = """(node) => {
    const copy = node.cloneNode(true);
    for (const age of copy.querySelectorAll("[data-age]")) age.remove();
    return copy.textContent.trim();
}"""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_frame_costs_one_resync(open_page: Opener, control: Callable[..., None], fault: str) -> None:
    """UI-19: injected between server and page; one resync, and then the same page as a fresh one."""
    control(price=20_050, qty=2)
    page = open_page("/sign-in/")
    inject = {"armed": False}

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(text: str | bytes) -> None:
            frame = json.loads(text)
            if frame["k"] != "f" or not inject["armed"]:
                socket.send(text)
                return
            inject["armed"] = False
            changed = FAULTS[fault](frame)
            for one in changed if isinstance(changed, list) else [changed]:
                if one is None:
                    server.send(json.dumps({"k": "ack", "n": frame["n"], "paint_ms": 0, "hidden": False}))
                else:
                    socket.send(json.dumps(one))

        server.on_message(pass_on)

    page.route_web_socket("**/ws/desk/", between)
    page.goto(page.url.split("/sign-in")[0].split("/desk")[0] + "/desk/1/")
    live(page)
    inject["armed"] = True
    until(page, "desk.socket.failures === 1 && desk.socket.resyncing === false && desk.store.painted")
    page.wait_for_timeout(300)
    assert page.evaluate("desk.socket.failures") == 1
    fresh = live(open_page("/desk/1/"))
    for selector in ("#account", "#risk", "#list-orders", ".position-main .size", "#ladder .ladder-head .px"):
        shown = f"[...document.querySelectorAll({json.dumps(selector)})].slice(0, 1).map({WITHOUT_AGES})[0]"
        expected = fresh.evaluate(shown)
        assert expected, selector
        until(page, f"{shown} === {json.dumps(expected)}")


def test_a_page_that_cannot_paint(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-20: with the CPU throttled 20 times at most one frame is in flight, skipped grows, the page stays in time."""
    control(burst=5)
    page = open_page("/sign-in/")
    frames: dict[str, Any] = {"open": 0, "worst": 0, "skipped": [], "closed": False}

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def down(text: str | bytes) -> None:
            frame = json.loads(text)
            if frame["k"] in ("f", "snap"):
                frames["open"] += 1
                frames["worst"] = max(frames["worst"], frames["open"])
                frames["skipped"].append(frame["skipped"])
            socket.send(text)

        def up(text: str | bytes) -> None:
            if json.loads(text)["k"] == "ack":
                frames["open"] -= 1
            server.send(text)

        server.on_message(down)
        socket.on_message(up)

    page.route_web_socket("**/ws/desk/", between)
    page.goto(page.url.split("/sign-in")[0].split("/desk")[0] + "/desk/1/")
    live(page)
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 20})
    start, deadline = len(frames["skipped"]), time.monotonic() + WAIT_MS / 1000
    while len(frames["skipped"]) < start + 10:
        assert time.monotonic() < deadline, frames
        page.wait_for_timeout(200)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    assert frames["worst"] == 1, "one unacknowledged frame in flight"
    assert frames["skipped"][-1] > frames["skipped"][start], "what was overwritten is counted"
    until(page, "desk.store.hopAge('worker') < 2000 && document.getElementById('position').className === 'panel'")


def test_a_page_that_hangs_is_closed_and_recovers(open_page: Opener) -> None:
    """UI-20: no ack for 5 s closes the socket with 4408; the page says so, and comes back by itself."""
    page = open_page("/desk/1/")
    live(page)
    page.evaluate(
        "() => { globalThis.codes = []; desk.socket.ws.addEventListener('close', (event) => codes.push(event.code)); }"
    )
    page.evaluate("desk.socket.painted = () => {}")
    until(page, "codes.length > 0")
    assert page.evaluate("codes") == [4408]
    expect(page.locator("#banner")).to_contain_text("this page was too slow")
    page.evaluate("delete desk.socket.painted")
    live(page)


def test_the_stop_is_missing(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-42, the page's side: the word, in danger, said at once; ours and the broker's number side by side."""
    control(qty=2)
    page = live(open_page("/desk/1/"))
    control(qty=2, naked=1)
    expect(page.locator('[data-f="stop"]')).to_have_text("MISSING")
    expect(page.locator('[data-f="stop"]')).to_have_class("num bad")
    expect(page.locator("#alarms")).to_contain_text("Stop missing.")


def test_a_scorer_that_cannot_be_opened_is_named_with_its_reason(
    open_page: Opener, control: Callable[..., None]
) -> None:
    """The loop's own word and why, in danger, cut to its place and whole in its title; gone when it is mended."""
    page = live(open_page("/desk/1/"))
    tile = page.locator("#loops .loop", has_text="inference")
    expect(tile).to_contain_text("running")
    why = "CannotOpen: no scores, so no entries: /models/7 is no complete artifact: weights: No such file or directory"
    control(scorer=why)
    expect(tile).to_contain_text(f"given up: {why}")
    expect(tile).to_have_class("loop dead")
    expect(tile).to_have_attribute("title", re.compile(re.escape(why)))
    for width in (1600, 390):
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, width
    control(scorer="")
    expect(tile).to_have_class("loop")
