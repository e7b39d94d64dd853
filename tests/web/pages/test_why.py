"""Why, or why not, and the impact of a configuration, in a real Chromium: asked, read, followed, replayed (N6, N8).

One desk with a recorded session; the batch worker is a real one.  Weight and paint of the same pages are in
test_every_page.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from risk.core.gate import RULES
from tests.web.kit import Desk, csrf
from tests.web.pages.looks import AXE, COLOURS, violations
from tests.web.pages.ring import until
from tests.web.pages.test_looks import WIDTHS, fits
from tests.web.seed import PASSWORD

# The same pages are asked on PostgreSQL in tests/why.
pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow, pytest.mark.one_database]
Opener = Callable[..., Page]
WHY = "/sessions/1/why/"
DRAFT = 5  # four profiles were shipped before it
WAIT_MS = 120_000  # a cold, busy machine


@pytest.fixture(scope="module", autouse=True)
def filled(desk: Desk) -> Iterator[Desk]:
    """A journal for session 1, a tighter draft, and the worker that replays."""
    quiet = ("-A", "desk", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = desk.spawn("celery", *quiet, "-Q", "batch,default", "-P", "solo", "-n", "batch@%h")
    desk.run("tests.why.recorded", "1")
    with desk.client() as alice:
        text = alice.get("/admin/trading/configversion/1/export/").text
        text = re.sub(r"spread_ticks_max: \d+", "spread_ticks_max: 1", text)
        form = {"text": text, "reason": "a tighter spread"}
        answer = alice.post("/admin/trading/configversion/import/", data=form, headers=csrf(alice))
        assert answer.headers["location"].endswith(f"/{DRAFT}/change/"), answer.text
    yield desk
    worker.kill()  # it has nothing to finish
    worker.wait()


def test_from_the_report_to_every_rule_and_on(open_page: Opener, desk: Desk) -> None:
    """N6: ask by time of day, read the first refusing rule, step to the decision before, take the file."""
    page = open_page("/sessions/1/")
    page.click("text=Why no trade at …?")
    expect(page.locator("h1")).to_have_text("Why, or why not")
    expect(page.locator(".big-word")).to_contain_text("Refused: operator pause")
    expect(page.locator("tr.first")).to_contain_text("refuses")
    assert page.locator(".rules tbody tr").count() == len(RULES)
    gauge = page.locator("tr.is-refuses.later .gauge.bad", has_text="Spread ticks max")
    expect(gauge).to_contain_text("5 ticks over")
    shown = page.locator(".verdict h2").inner_text()
    clock = re.search(r"(\d\d:\d\d:\d\d)\.\d{3}", shown)
    assert clock is not None
    page.click("text=Earlier decision")
    expect(page.locator(".big-word")).to_contain_text("Refused: in position")
    page.fill("#why-at", clock[1])
    page.keyboard.press("Enter")
    expect(page.locator(".big-word")).to_contain_text("Refused: operator pause")
    with page.expect_download() as given:
        page.locator(".links a[download]").click()
    assert given.value.suggested_filename.startswith("s1-why-")
    page.fill("#why-at", "2100-01-01T00:00:00")
    page.click("text=Ask")
    expect(page.locator(".causes li").first).to_contain_text("The session's journal ends")
    page.watcher.allowed = ("422",)  # type: ignore[attr-defined]
    page.fill("#why-at", "soon")
    page.click("text=Ask")
    expect(page.locator("p[role=alert]")).to_contain_text("is not a time like")
    expect(page.locator("#why-at")).to_have_value("soon")


def test_the_desks_feed_leads_to_the_reason(open_page: Opener) -> None:
    """Verdicts of the feed and trades of the blotter are links to their reason; the panel has one for the keyboard."""
    page = open_page("/desk/1/")
    link = page.locator("#decisions tbody a").first
    expect(link).to_have_attribute("href", re.compile(r"^/sessions/1/why/\?seq=\d+$"))
    expect(link).to_have_attribute("tabindex", "-1")
    entry = page.locator("#list-orders tbody a").first
    expect(entry).to_have_attribute("href", re.compile(rf"^/sessions/1/why/\?order={entry.inner_text()}$"))
    expect(page.locator("#decisions .why-link")).to_have_attribute("href", WHY)
    expect(page.locator("#list-trades a").first).to_have_attribute("href", re.compile(r"^/sessions/1/trades/\d+/$"))
    page.click("#decisions .why-link")
    expect(page.locator("h1")).to_have_text("Why, or why not")


def test_the_page_fits(open_page: Opener) -> None:
    """UI-03: five widths with all rules; both themes and the page without a decision are in test_looks, axe in
    test_every_page."""
    page = open_page(WHY)
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        fits(page, f"{WHY} at {width}", stamp=True)
    assert page.locator(".rules").is_visible()


def test_a_draft_is_replayed_and_activated_with_its_impact_in_sight(open_page: Opener) -> None:
    """N8, UI-39: from the activation page to the preview with progress and back; roll back is one press."""
    page = open_page(f"/admin/trading/configversion/{DRAFT}/activate/", color_scheme="dark")
    page.set_default_timeout(WAIT_MS)
    expect(page.locator("text=Not replayed yet")).to_be_visible()
    page.click("text=Replay the last 5 sessions under it")
    until(lambda: page.locator("[role=status]").count() == 0, "the preview")
    assert page.locator(".cf-summary").count() == 0, page.locator(".cf-summary").all_inner_texts()
    expect(page.locator(".cf-lead")).to_contain_text("Would have blocked")
    expect(page.locator(".cf-impact .cf-row")).to_have_count(1)
    expect(page.locator(".cf-list").last).to_contain_text("simulated venue")
    for width, height in WIDTHS:
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, width
    page.set_viewport_size({"width": 1280, "height": 800})
    assert violations(page) == [] if AXE.exists() else True
    page.emulate_media(color_scheme="light")
    page.click("text=On to the activation…")
    expect(page.locator(".cf-lead")).to_contain_text("Would have blocked")
    assert violations(page, COLOURS) == [] if AXE.exists() else True
    page.locator("form.cf-card .cf-main").click()
    expect(page.locator(".cf-card .cf-word").first).to_contain_text("Active")
    page.click("text=Roll back to")
    if page.locator("input[type=password]").count() > 0:  # going back loosens: the ceremony, as it was
        page.locator("[name=reason]").fill("back to what ran before")
        page.locator("[name=password]").fill(PASSWORD)
        page.locator("form.cf-card .cf-main").click()
    expect(page.locator("h1").first).to_contain_text("demo-mes v1")
