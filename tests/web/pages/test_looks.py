"""The pages around the Desk as people see them: widths, themes, empty and error states.

What machines find in them (weight, paint, WCAG) is in test_every_page, which walks the same pages and more.
"""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import Watcher
from tests.web.kit import Desk
from tests.web.pages.looks import AXE, PAGES, violations

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
WIDTHS = [(1600, 900), (1280, 800), (768, 1024), (390, 844), (320, 720)]
UNDATED = ("preflight-form-fault", "not-found", "confirm")  # nothing on them was computed
Opener = Callable[..., Page]
CLIPPED = """() => [...document.querySelectorAll('main *')].filter((e) => {
  const s = getComputedStyle(e);
  if (e.closest('.table, .sr, [hidden], .skip, svg') || !e.childNodes.length || s.display === 'inline') return false;
  const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  return text && (s.overflowX === 'hidden' || s.overflow === 'hidden') && e.scrollWidth > e.clientWidth + 1;
}).map((e) => e.outerHTML.slice(0, 120))"""
OUTSIDE = """() => [...document.querySelectorAll('main *, header *')].filter((e) => {
  if (e.closest('.table, .sr, .skip, svg') || e.children.length) return false;
  const b = e.getBoundingClientRect();
  return b.width > 0 && (b.right > innerWidth + 1 || b.left < -1);
}).map((e) => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_page_fits(desk: Desk, open_page: Opener, theme: str) -> None:
    """UI-03: no sideways scroll, nothing clipped or outside, an h1, a stamp, and KILL whole and topmost."""
    page = open_page("/welcome/", color_scheme=theme)
    page.watcher.allowed = ("404", "422")  # type: ignore[attr-defined]
    for name, path in PAGES.items():
        page.goto(desk.url + path)
        assert page.locator("h1").count() == 1, name
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            fits(page, f"{name} at {width}", stamp=name not in UNDATED)


def fits(page: Page, where: str, *, stamp: bool) -> None:
    """One page at one width."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, (where, wide)
    assert page.evaluate(CLIPPED) == [], where
    assert page.evaluate(OUTSIDE) == [], where
    if stamp:
        assert page.locator(".stamp").first.is_visible(), where
    kill = page.locator(".kill").last
    kill.scroll_into_view_if_needed()
    box = kill.bounding_box()
    assert box is not None
    assert (box["width"] >= 120, box["height"] >= 44) == (True, True), (where, box)
    top = "([x, y]) => document.elementFromPoint(x, y)?.closest('.kill') !== null"
    assert page.evaluate(top, [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]), where


@pytest.fixture
def empty_page(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Page]:
    """A page on a desk that has no session, and neither Redis nor a loop."""
    found = Desk(tmp_path_factory.mktemp("empty"), redis=False, extra={"DESK_TEST_SESSION": "no"})
    try:
        found.start()
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_cookies(found.cookies())
        page = context.new_page()
        watcher = Watcher(page)
        watcher.allowed = ("404", "422")
        page.base = found.url  # type: ignore[attr-defined]
        yield page
        context.close()
        watcher.check()
    finally:
        found.stop()


def test_empty_and_error_states(empty_page: Page) -> None:
    """UI-44: an empty page says what will stand there and offers one button; an error says what and one action."""
    page, base = empty_page, empty_page.base  # type: ignore[attr-defined]
    page.goto(f"{base}/sessions/")
    expect(page.locator(".empty-card")).to_contain_text("Here every session will stand")
    expect(page.locator(".empty-card .primary")).to_have_text("Run a paper session")
    expect(page.locator("#strip")).to_contain_text("no session")
    assert violations(page) == [] if AXE.exists() else True
    page.goto(f"{base}/kill/")
    expect(page.locator("main")).to_contain_text("No session runs.")
    page.goto(f"{base}/preflight/")
    expect(page.locator("#check-redis")).to_have_class("verdict-fail")
    expect(page.locator("#check-redis a")).to_be_visible()
    expect(page.locator("#why-not")).to_contain_text("■")
    page.focus("#start-paper")  # visible and focusable, says why not, and sends nothing
    page.keyboard.press("Enter")
    expect(page.locator("#check-again")).to_be_focused()
    assert page.url == f"{base}/preflight/"
    page.goto(f"{base}/preflight/?feed=replay&profile=demo-mes&symbol=MES&scorer=baseline&speed=1")
    expect(page.locator("#errors")).to_contain_text("Name the recorded file to replay.")
    assert page.locator("#errors a").get_attribute("href") == "#id_path"
    assert page.input_value("#id_symbol") == "MES", "what was typed is kept"
    page.goto(f"{base}{PAGES['preflight-fault']}")
    expect(page.locator("#start-paper")).to_be_visible()
    shown = [page.input_value(f"#id_{name}") for name in ("path", "speed")]
    assert shown == ["/nowhere.dbn", "1"], "the form shows what will run"
    expect(page.locator("#id_seed")).to_be_hidden()
    page.check("[name=feed][value=simulated]")
    expect(page.locator("#id_path")).to_be_hidden()
    page.goto(f"{base}/sessions/77/")
    expect(page.locator("main h1")).to_have_text("Not found")
    expect(page.locator("main a.button").first).to_be_visible()


def test_a_session_without_rows_says_so(desk: Desk, open_page: Opener) -> None:
    """UI-44: every list of a session that has done nothing says what will stand there, and its CSV is a heading."""
    page = open_page("/sessions/1/")
    for name in ("trades", "orders", "fills", "decisions", "holds", "timeline"):
        page.goto(f"{desk.url}/sessions/1/?list={name}")
        expect(page.locator("#lists .empty")).to_be_visible()
    with desk.client("victor") as victor:
        for name in ("trades", "orders", "fills", "decisions", "holds", "commands", "timeline", "refusals", "exits"):
            answer = victor.get(f"/sessions/1/{name}.csv")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/csv; charset=utf-8"
            assert "attachment" in answer.headers["content-disposition"]
            assert len(answer.text.splitlines()) >= 1
        assert victor.get("/sessions/1/secrets.csv").status_code == 404
        assert victor.get("/sessions/9/trades.csv").status_code == 404


def test_a_reader_sees_no_command(desk: Desk, open_page: Opener) -> None:
    """Roles: a viewer reads every page and is offered nothing that he may not do."""
    page = open_page("/sessions/1/", name="victor")
    assert page.locator(".commands-card").count() == 0
    page.goto(f"{desk.url}/preflight/")
    assert page.locator("#start-paper").count() == 0
    page.goto(f"{desk.url}/kill/")
    assert page.locator("form.kill-actions").count() == 0
