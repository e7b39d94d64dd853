"""The data pages in a real Chromium: a file is chosen, estimated, imported by a real worker, looked into, deleted; a
series is priced, bought for the typed amount, and charted, from a local server that speaks the vendor's protocol.

Weight and paint of the pages without rows are in test_every_page.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.data.recordings import minutes
from tests.databento.server import KEY, Market, certificate, serving
from tests.web.kit import Desk
from tests.web.pages.looks import AXE, COLOURS, violations
from tests.web.pages.test_looks import WIDTHS, fits
from tests.web.seed import PASSWORD

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
Opener = Callable[..., Page]
WAIT_MS = 120_000  # a cold, busy machine
SETTLED = """() => [...document.querySelectorAll('#day-box canvas')].every(
  (e) => e.getBoundingClientRect().right <= document.querySelector('#day-box').getBoundingClientRect().right + 1
)"""  # a chart takes its new width a frame or two after the window


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Market, dict[str, str]]]:
    """The vendor on a local socket, and what a desk must know to ask it."""
    pem = certificate(tmp_path_factory.mktemp("tls"))
    with serving(pem) as (market, gateway):
        account = {"DATABENTO_API_KEY": KEY, "DATABENTO_GATEWAY": gateway, "REQUESTS_CA_BUNDLE": str(pem)}
        yield market, account


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, vendor: tuple[Market, dict[str, str]]) -> Iterator[Desk]:
    """The desk of the other tests, with an account at the vendor."""
    found = Desk(tmp_path_factory.mktemp("desk"), extra=vendor[1])
    try:
        found.start()
        yield found
    finally:
        found.stop()


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
    expect(page.locator("#day-words")).to_contain_text("lowest 4990.00, highest 5010.00")
    drawn(page, "ES, candles")
    assert page.evaluate("dayChart.data.candles.length") == 279 and page.evaluate("dayChart.data.gaps.length") >= 1
    with page.expect_download() as given:
        page.locator("#gaps a[download]").click()
    assert given.value.suggested_filename == "data-1-gaps.csv"
    page.goto(f"{desk.url}/data/import/?folder={desk.folder}/imports&file=ES_bad.csv")
    page.click("#start-import")
    expect(page.locator(".summary")).to_contain_text("more than 0.1 %", timeout=WAIT_MS)
    expect(page.locator("main")).to_contain_text("Try again")
    look(page, desk)


def drawn(page: Page, words: str) -> None:
    """The chart stands, says what it shows, and answers the pointer."""
    expect(page.locator("#day-box canvas").first).to_be_visible()
    label = page.locator("#day-box").get_attribute("aria-label") or ""
    assert words in label, label
    expect(page.locator("#day-readout")).to_contain_text("points of")
    assert page.locator("#day-plain").count() == 0
    assert page.evaluate("document.querySelector('#day-fault').hidden && document.querySelector('#day-nothing').hidden")


def look(page: Page, desk: Desk) -> None:
    """UI-03, UI-27 on the pages that now have rows, in both themes."""
    asked = f"folder={desk.folder}/imports&file=ES_1min.csv"
    addresses = ("", "1/?day=2024-01-02", "1/?day=2024-01-06", "1/delete/", f"import/?{asked}", "imports/2/")
    walk(page, desk, addresses)


def walk(page: Page, desk: Desk, addresses: tuple[str, ...]) -> None:
    """Widths, themes and what axe finds."""
    for address in addresses:
        page.goto(f"{desk.url}/data/{address}")
        assert page.locator("h1").count() == 1
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(SETTLED)
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


def confirm(page: Page) -> None:
    """The password, unless the test before gave it less than five minutes ago: then the form does not ask."""
    field = page.locator("#id_password")
    if field.count() > 0:
        field.fill(PASSWORD)
    else:
        expect(page.locator("#buy")).to_contain_text("Your password was confirmed less than five minutes ago.")


def test_a_series_is_priced_bought_and_charted(
    open_page: Opener, desk: Desk, vendor: tuple[Market, dict[str, str]]
) -> None:
    """MES-DBN-05: nothing is bought before the amount, a reason and the password; then a data set with a roll."""
    page = open_page("/data/")
    page.set_default_timeout(WAIT_MS)
    page.click("text=Buy history")
    expect(page.locator("main")).to_contain_text("A key is set")
    page.select_option("#id_schema", "ohlcv-1m")
    page.fill("#id_start", "2024-02-01")
    page.click("#ask-price")
    expect(page.locator("#cost")).to_have_text("$0.17", timeout=WAIT_MS)
    price = page.url
    assert vendor[0].billed == []
    page.fill("#id_amount", "0.16")
    page.fill("#id_reason", "two months for the walk-forward")
    confirm(page)
    page.watcher.allowed = ("422",)  # type: ignore[attr-defined]
    page.click("#buy-it")
    expect(page.locator(".summary")).to_contain_text("type the amount as it stands there, 0.17")
    assert vendor[0].billed == []
    page.fill("#id_amount", "0.17")
    confirm(page)
    page.click("#buy-it")
    expect(page.locator("main")).to_contain_text("Bought, read to its end and checked.", timeout=WAIT_MS)
    assert len(vendor[0].billed) == 2 and KEY not in page.content()
    bought = page.url
    page.click("text=Open data set")
    expect(page.locator("#h-rolls")).to_be_visible()
    number = int(re.findall(r"/data/(\d+)/", page.url)[0])
    page.goto(f"{desk.url}/data/{number}/?day=2024-02-15&zone=exchange")
    drawn(page, "MES, candles")
    assert page.evaluate("dayChart.data.rolls.map((row) => row.slice(1))") == [["5002", "7113"]]
    addresses = (f"{number}/?day=2024-02-15&zone=exchange", price.partition("/data/")[2], bought.partition("/data/")[2])
    walk(page, desk, addresses)
