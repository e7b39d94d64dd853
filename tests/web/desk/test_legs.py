"""Moving the stop and the target (UI-15): by dragging, by keyboard, in the dialog; a stop only comes closer."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.desk.pages import PATIENCE_S, WAIT_MS, Opener, box, charted, until

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow, pytest.mark.one_database]
expect.set_options(timeout=WAIT_MS)
STOP, OPENED, MARK, TARGET = 20_036, 20_044, 20_050, 20_056  # of the producer's long position, MES: 0.25 a tick
HANDLE = ".leg-handle[data-leg=stop]"
Control = Callable[..., None]


@pytest.fixture
def page(open_page: Opener, control: Control) -> Page:
    """A long position with its bracket, on a market that stands still."""
    control(qty=2, price=MARK, stop=STOP)
    page = charted(open_page("/desk/1/"))
    expect(page.locator(HANDLE)).to_be_visible()
    return page


def commands(page: Page, answer: Callable[[Route], None] | None = None) -> list[dict[str, Any]]:
    """What the page sends; the server answers unless `answer` does."""
    sent: list[dict[str, Any]] = []

    def take(route: Route) -> None:
        if route.request.method == "POST":
            sent.append(json.loads(route.request.post_data or "{}"))
            (answer or Route.continue_)(route)
        else:
            route.continue_()

    page.route("**/api/commands/", take)
    return sent


def moves(page: Page, sent: list[dict[str, Any]], count: int = 1) -> list[tuple[str, int, int]]:
    """What was asked for; the page says "requested" before its request is on the way."""
    deadline = time.monotonic() + PATIENCE_S
    while len(sent) < count and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    return [(one["kind"], one["inst"], one["tick"]) for one in sent]


def reads(page: Page, what: str) -> None:
    """What the handle of the stop says of itself, to eyes and to a screen reader."""
    expect(page.locator(HANDLE)).to_have_attribute("aria-label", f"{what}. Arrow keys move it, Enter sends")


def drag(page: Page, to_tick: int, release: bool = True) -> None:
    """The handle of the stop, to the height of a tick on the chart's own scale."""
    at, other = (box(page, selector) for selector in (HANDLE, ".leg-handle[data-leg=target]"))
    x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
    tick = (other["y"] + other["height"] / 2 - y) / (TARGET - STOP)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + tick * (to_tick - STOP) / 2)
    aim = y + tick * (to_tick - STOP)
    page.mouse.move(x, aim)
    for _ in range(20):  # the scale may have moved meanwhile: go by what the handle says
        said = re.match(r"stop (\d+\.\d+)", page.locator(HANDLE).get_attribute("aria-label") or "")
        off = 0 if said is None else to_tick - round(float(said[1]) * 4)
        if off == 0:
            break
        aim += tick * off
        page.mouse.move(x, aim)
    if release:
        page.mouse.up()


def test_a_dragged_stop_waits_for_the_broker(page: Page, control: Control) -> None:
    """The ghost reads requested until the broker has taken the move; the real line stays meanwhile."""
    sent = commands(page)
    control(request="MODIFYING")
    drag(page, STOP + 4)
    expect(page.locator("#receipt")).to_contain_text("Move stop")
    assert moves(page, sent) == [("move_stop", 0, STOP + 4)]
    reads(page, "stop 5010.00, stop requested")
    expect(page.locator('[data-f="stop"]')).to_contain_text("5009.00")
    control(stop=STOP + 4, request="NOTHING")
    expect(page.locator('[data-f="stop"]')).to_have_text("5010.00")
    reads(page, "stop 5010.00")


def test_a_refused_move_snaps_back_with_its_reason(page: Page) -> None:
    page.watcher.allowed = ("409",)  # type: ignore[attr-defined]
    body = json.dumps({"error": "the session has ended", "code": "SESSION_OVER"})
    commands(page, lambda route: route.fulfill(status=409, content_type="application/json", body=body))
    drag(page, STOP + 4)
    expect(page.locator("#receipt")).to_contain_text("refused: the session has ended")
    reads(page, "stop 5009.00")


def test_farther_and_through_the_market_are_refused_by_the_page(page: Page) -> None:
    sent = commands(page)
    drag(page, STOP - 4)
    expect(page.locator("#receipt")).to_contain_text("refused: a stop never loosens")
    drag(page, MARK + 2)
    expect(page.locator("#receipt")).to_contain_text("refused: it would be through the market")
    assert sent == []


def test_the_arrows_move_it_and_escape_drops_it(page: Page) -> None:
    sent = commands(page)
    page.focus(HANDLE)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowUp")
    reads(page, "stop 5010.25, +5 t closer")
    page.keyboard.press("Escape")
    reads(page, "stop 5009.00")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#receipt")).to_contain_text("Move stop")
    assert moves(page, sent) == [("move_stop", 0, STOP + 1)]


def test_the_dialog_says_what_it_would_do(page: Page) -> None:
    sent = commands(page)
    page.click(".move[data-leg=stop]")
    expect(page.locator("#leg-price")).to_have_value("5009.00")
    expect(page.locator("#leg-send")).to_be_disabled()
    page.click("#leg-up")
    expect(page.locator("#leg-note")).to_have_text("+1 t closer")
    page.fill("#leg-price", "5008.75")
    expect(page.locator("#leg-note")).to_have_text("a stop never loosens")
    page.fill("#leg-price", "5010.10")
    expect(page.locator("#leg-note")).to_have_text("no price of MES")
    expect(page.locator("#leg-send")).to_be_disabled()
    page.click("#leg-entry")
    expect(page.locator("#leg-price")).to_have_value("5011.00")
    page.click("#leg-send")
    expect(page.locator("#receipt")).to_contain_text("Move stop")
    page.click(".move[data-leg=target]")
    expect(page.locator("#leg-entry")).to_be_hidden()
    page.click("#leg-down")
    page.click("#leg-send")
    until(page, "document.querySelector('#receipt').textContent.includes('Move target')")
    assert moves(page, sent, 2) == [("move_stop", 0, OPENED), ("move_target", 0, OPENED + 11)]


def test_nothing_held_nothing_to_move(page: Page, control: Control) -> None:
    control(qty=0)
    expect(page.locator(".leg-handle")).to_have_count(0)
    expect(page.locator(".move:visible")).to_have_count(0)


def test_a_move_that_the_broker_did_not_make_snaps_back(page: Page) -> None:
    """The desk took it, nothing is under way and the stop stands where it stood: the ghost does not read requested for
    ever."""
    commands(page)
    page.focus(HANDLE)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#receipt")).to_contain_text("done in")
    reads(page, "stop 5009.00")


def test_a_press_without_a_move_sends_nothing(page: Page) -> None:
    sent = commands(page)
    at = box(page, HANDLE)
    page.mouse.move(at["x"] + 8, at["y"] + 4)  # not at its middle
    page.mouse.down()
    page.mouse.move(at["x"] + 9, at["y"] + 5)
    page.mouse.up()
    page.focus(HANDLE)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert moves(page, sent) == [("move_stop", 0, STOP + 1)], "the keyboard's alone"
