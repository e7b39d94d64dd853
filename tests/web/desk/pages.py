"""What the tests of the Desk page share: waiting for the live picture, reading boxes, catching the KILL's POST."""

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Error, Page

Opener = Callable[..., Page]
Steer = Callable[..., None]
PATIENCE_S = 30  # a loaded machine is slow, not wrong
WAIT_MS = PATIENCE_S * 1000
FAKE_REPORT = '{"road":"ring","flat":true,"ms":41.5,"steps":[{"name":"latched","ms":1.0,"ok":true,"detail":""}]}'


def live(page: Page) -> Page:
    """Wait until the first live picture is painted."""
    until(page, "globalThis.desk?.socket?.connected === true && desk.store.painted")
    return page


def charted(page: Page) -> Page:
    """Wait until the chart shows bars."""
    until(live(page), "desk.chart !== undefined && desk.chart.data.points.length > 0")
    return page


def until(page: Page, truth: str, seconds: float = PATIENCE_S) -> None:
    """Poll from outside: the page's policy forbids what `wait_for_function` does inside it."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(truth):
        assert time.monotonic() < deadline, truth
        page.wait_for_timeout(20)


def box(page: Page, selector: str) -> dict[str, float]:
    """Where something stands."""
    found = page.locator(selector).first.bounding_box()
    assert found is not None, f"{selector} is not drawn"
    return {name: float(value) for name, value in found.items()}  # type: ignore[arg-type]


def catch_kills(page: Page) -> list[str]:
    """Answer the KILL's POST here: these tests count presses, they must not halt the shared desk."""
    posts: list[str] = []

    def answer(route: Any) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        posts.append(route.request.post_data or "")
        route.fulfill(status=200, content_type="application/json", body=FAKE_REPORT)

    page.route("**/kill/", answer)
    return posts


def stop_clock(page: Page) -> None:
    """The page's own time stands still and is moved by hand.  It stops a little ahead: the page may be slow to say when
    it is."""
    page.clock.install()
    ahead_ms = 1000
    while True:
        try:
            page.clock.pause_at(page.evaluate("Date.now()") + ahead_ms)
            return
        except Error:  # that moment has passed meanwhile
            ahead_ms *= 4
            assert ahead_ms < 10**6
