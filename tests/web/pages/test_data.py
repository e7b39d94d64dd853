"""The data pages in a real Chromium: a file is chosen, estimated, imported by a real worker, looked into, deleted.

Weight and paint of the pages without rows are in test_every_page.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.data.recordings import minutes
from tests.web.kit import Desk
from tests.web.pages.looks import AXE, COLOURS, violations
from tests.web.pages.test_looks import WIDTHS, fits
from tests.web.seed import PASSWORD

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
Opener = Callable[..., Page]
WAIT_MS = 120_000  # a cold, busy machine


@pytest.fixture(scope="module", autouse=True)
def worker(desk: Desk) -> Iterator[Desk]:
    """Two recordings in the desk's own folder, and the worker that imports."""
    folder = desk.folder / "imports"
    folder.mkdir()
    minutes(folder / "ES_1min.csv", hole=range(100, 120), bad=7)
    minutes(folder / "ES_bad.csv", count=100, bad=7)
    quiet = ("-A", "desk", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat")
    child = desk.spawn("celery", *quiet, "-Q", "batch,default", "-P", "solo", "-n", "batch@%h")
    yield desk
    child.kill()  # it has nothing to finish
    child.wait()


def test_from_a_file_to_a_chart_of_its_day(open_page: Opener, desk: Desk) -> None:
    """Choose, estimate, start, watch, read; the refused file says the importer's sentence; then all of it fits."""
    page = open_page("/data/")
    page.set_default_timeout(WAIT_MS)
    expect(page.locator(".empty-card")).to_contain_text("Here every stored data set will stand")
    page.click(".empty-card .primary")
    page.fill("#q", "es_1min")
    page.keyboard.press("Enter")
    page.click("text=ES_1min.csv")
    expect(page.locator("#id_symbol")).to_have_value("ES")
    expect(page.locator("main")).to_contain_text("192 MiB")
    page.click("#start-import")
    page.wait_for_url("**/data/imports/1/")
    expect(page.locator("main")).to_contain_text("1,980 rows were read", timeout=WAIT_MS)
    page.click("text=Open data set 1")
    expect(page.locator(".page-head")).to_contain_text("7 gaps")
    page.click(".cover a")
    page.click(".days a >> nth=0")
    expect(page.locator("#day figcaption")).to_contain_text("lowest 4990.00, highest 5010.00")
    assert page.locator("#day polyline").count() == 2
    with page.expect_download() as given:
        page.locator("#gaps a[download]").click()
    assert given.value.suggested_filename == "data-1-gaps.csv"
    page.goto(f"{desk.url}/data/import/?folder={desk.folder}/imports&file=ES_bad.csv")
    page.click("#start-import")
    expect(page.locator(".summary")).to_contain_text("more than 0.1 %", timeout=WAIT_MS)
    expect(page.locator("main")).to_contain_text("Try again")
    look(page, desk)


def look(page: Page, desk: Desk) -> None:
    """UI-03, UI-27 on the pages that now have rows, in both themes."""
    asked = f"folder={desk.folder}/imports&file=ES_1min.csv"
    addresses = ("", "1/?day=2024-01-02", "1/delete/", f"import/?{asked}", "imports/2/")
    for address in addresses:
        page.goto(f"{desk.url}/data/{address}")
        assert page.locator("h1").count() == 1
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            fits(page, f"{address} at {width}", stamp=True)
        page.set_viewport_size({"width": 1280, "height": 800})
        if AXE.exists():
            assert violations(page) == [], address
            page.emulate_media(color_scheme="light")
            assert violations(page, COLOURS) == [], address
            page.emulate_media(color_scheme="dark")


def test_an_admin_deletes_it_with_the_password(open_page: Opener, desk: Desk) -> None:
    page = open_page("/data/1/")
    page.click("text=Delete…")
    expect(page.locator("main")).to_contain_text("nobody")
    page.fill("#id_reason", "a newer file stands in its place")
    page.fill("#id_password", PASSWORD)
    page.click("text=Delete it for good")
    page.wait_for_url("**/data/")
    expect(page.locator(".messages")).to_contain_text("is gone")
    expect(page.locator("main")).to_contain_text("deleted since")
    assert not list((desk.folder / "data").glob("ES-*")), "its files, too"
    assert re.search(r"/data/$", page.url)
