"""A person at the keyboard: what the walks without a pointer share."""

import contextlib
import re
import time

from playwright.sync_api import Page, expect

from tests.web.pages.ring import PATIENCE_S


def tab_to(page: Page, selector: str, presses: int = 120) -> None:
    """Press Tab until the focus is there, and see that it can be seen."""
    for _ in range(presses):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement?.matches(s) ?? false", selector):
            seen = page.evaluate(
                "() => { const e = document.activeElement, b = e.getBoundingClientRect();"
                " const hit = document.elementFromPoint(b.left + b.width / 2, b.top + Math.min(b.height, 40) / 2);"
                " return e.matches(':focus-visible') && (e.contains(hit) || (hit?.contains(e) ?? false)); }"
            )
            assert seen, f"the focus on {selector} is hidden"
            return
    raise AssertionError(f"Tab never reaches {selector}")


def type_into(page: Page, selector: str, text: str) -> None:
    """Reach a field by Tab and write over what stands there."""
    tab_to(page, selector, 400)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)


def move_a_stop(page: Page) -> None:
    """A tick closer, by the dialog: the market may close a position before its move, then the next one is taken."""
    deadline = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < deadline:
        if not page.locator(".move[data-leg=stop]").is_visible():
            page.wait_for_timeout(50)
            continue
        with contextlib.suppress(AssertionError):  # it may go while Tab is on its way
            tab_to(page, ".move[data-leg=stop]", 400)
            page.keyboard.press("Enter")
            page.keyboard.press("ArrowUp")
            if page.locator("#leg-send").is_disabled():  # a short position: closer is down
                page.keyboard.press("ArrowDown")
                page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
            expect(page.locator("#receipt")).to_contain_text(re.compile("Move stop.*(done|refused)"), timeout=30_000)
            if "done" in page.locator("#receipt").inner_text():
                return
        page.keyboard.press("Escape")
    raise AssertionError("no stop was moved")
