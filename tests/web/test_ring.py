"""The whole desk in real processes: a person presses Start, sees a fill, pauses, holds KILL and sees flat.

Venue, guard, loop workers, Daphne and Redis run as `make run` starts them; nothing is written by a test.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from desk.ops.programs import LOOP_WORKERS
from tests.web.conftest import Watcher
from tests.web.desk.pages import WAIT_MS, until
from tests.web.kit import Desk

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
FILL_S = 180  # a cold machine compiles the kernels first


@pytest.fixture(scope="module")
def whole_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("ring"), extra={"DESK_TEST_SESSION": "no"})
    try:
        desk.start()
        desk.spawn("manage", "venue")
        desk.spawn("manage", "guard")
        for name in LOOP_WORKERS[:2]:
            worker = ("-A", "desk", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat")
            desk.spawn("celery", *worker, "-Q", f"loops,loops.{name}", "-P", "threads", "-c", "8", "-n", f"{name}@%h")
        yield desk
    finally:
        desk.stop()


def test_start_fill_pause_kill_flat(whole_desk: Desk, browser: Browser) -> None:
    """UI-01 without the link, UI-05, UI-07 in the ordinary case."""
    page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
    watcher = Watcher(page)
    page.context.add_cookies(whole_desk.cookies())
    page.goto(whole_desk.url)
    expect(page.locator("main")).to_contain_text("NO SESSION YET")
    page.click("main .new-session button.primary")
    expect(page).to_have_url(f"{whole_desk.url}/desk/1/", timeout=30_000)
    page.click("#tab-fills")
    expect(page.locator("#list-fills tbody tr").first).to_be_visible(timeout=FILL_S * 1000)
    until(page, "desk.chart.data.points.length > 100 && desk.chart.marks.fills.length > 0", FILL_S)
    page.click("button[value=pause]")
    expect(page.locator("#receipt")).to_contain_text("done in", timeout=WAIT_MS)
    expect(page.locator("#holds")).to_contain_text("operator pause")
    hold_kill(page)
    expect(page.locator("#kill-panel")).to_contain_text("FLAT, proved", timeout=15_000)
    expect(page.locator("#s-label")).to_have_text("HALTED")
    expect(page.locator(".position-main .size")).to_have_text("flat MES")
    page.goto(f"{whole_desk.url}/sessions/1/replay/")
    expect(page.locator("#mode")).to_have_text("REPLAY")
    expect(page.locator(".replay-bar")).to_contain_text("replay = record")
    expect(page.locator(".position-main .size")).to_have_text("flat MES")
    assert page.locator("#commands, #start, .reduce").count() == 0, "UI-04: no command control but KILL"
    expect(page.locator("#kill")).to_be_visible()
    until(page, "desk.chart.data.points.length > 100", FILL_S)
    page.click("text=−10 s")
    expect(page.locator(".replay-bar")).to_contain_text("replay = record")
    watcher.check()
    assert (Path(whole_desk.folder) / "guard" / "latch.json").exists()


def hold_kill(page: Page) -> None:
    """A second of holding: the page's own timer fires at 600 ms."""
    page.focus("#kill")
    page.keyboard.down("Space")
    page.wait_for_timeout(700)
    page.keyboard.up("Space")
