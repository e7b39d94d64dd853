"""The backtest pages in a real Chromium: chosen, estimated, run by a real worker, read, compared, refused, deleted."""

import csv
import io
import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.data.recordings import minutes
from tests.web.kit import Desk
from tests.web.pages.looks import AXE, COLOURS, violations
from tests.web.pages.test_looks import WIDTHS, fits
from tests.web.seed import PASSWORD

# The rows behind these pages are asked on PostgreSQL by the other tests of this folder.
pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow, pytest.mark.one_database]
Opener = Callable[..., Page]
WAIT_MS = 240_000  # a cold, busy machine
DIPS = "trading.studies.examples:dips"
QUERY = "data=1&config=demo-mes@1&symbol=MES&seed=1&elsewhere=0&first=&last="


@pytest.fixture(scope="module", autouse=True)
def worker(desk: Desk) -> Iterator[Desk]:
    """Stored bars, a strategy that looks ahead, and the worker."""
    file = minutes(desk.folder / "ES_1min.csv")
    desk.run("manage", "import_history", str(file), "--symbol", "ES")
    folder = desk.folder / "strategies"
    folder.mkdir()
    cheat = "import numpy as np\ndef decide(bars):\n    return np.sign(np.append(np.diff(bars.close), 0))\n"
    (folder / "cheat.py").write_text(cheat)
    quiet = ("-A", "desk", "worker", "--without-gossip", "--without-mingle", "--without-heartbeat")
    child = desk.spawn("celery", *quiet, "-Q", "batch,default", "-P", "solo", "-n", "batch@%h")
    yield desk
    child.kill()  # it has nothing to finish
    child.wait()


def run(page: Page, desk: Desk, strategy: str, changes: str = "") -> None:
    page.goto(f"{desk.url}/backtests/new/?{QUERY}&strategy={strategy}&changes={changes}")
    page.click("#start-backtest")
    page.wait_for_url("**/backtests/*/")


def test_from_a_stored_set_to_a_result_and_what_speaks_against_it(open_page: Opener, desk: Desk) -> None:
    page = open_page("/backtests/")
    page.watcher.allowed = ("410", "422")  # type: ignore[attr-defined]
    page.set_default_timeout(WAIT_MS)
    expect(page.locator(".empty-card")).to_contain_text("Here every backtest will stand")
    run(page, desk, DIPS)
    page.click("text=Open the result")
    main = page.locator("main")
    expect(main).to_contain_text("No edge is shown.")
    expect(main).to_contain_text("The go-live gate: not passed")
    expect(main).to_contain_text("1 trial was run on these data")
    expect(main).to_contain_text("Drawn anew by whole sessions")
    with desk.client() as alice:
        rows = list(csv.DictReader(io.StringIO(alice.get("/results/1/trades.csv").text)))
        values = json.loads(alice.get("/results/1/summary.json").text)
        assert alice.get("/results/1/equity.csv").text.startswith("timestamp,equity,")
    assert len(rows) == values["trades"]["count"] > 0
    assert page.locator("#prices .mark").count() > 0
    expect(page.locator("#trades tbody tr")).to_have_count(min(50, len(rows)))
    assert page.locator("#equity polyline").get_attribute("points")
    run(page, desk, DIPS, "risk.stop_ticks=12")
    page.click("text=Open the result")
    expect(main).to_contain_text("2 trials were run on these data")
    run(page, desk, "cheat:decide")
    expect(page.locator(".summary")).to_contain_text("looks ahead", timeout=WAIT_MS)
    expect(main).to_contain_text("Run it again")
    page.goto(f"{desk.url}/compare/?r=1&r=2")
    expect(page.locator("table >> nth=0")).to_contain_text("risk.stop_ticks")
    assert page.locator(".equity polyline").count() == 2
    expect(page.locator("main")).to_contain_text("First at trade ")
    new = f"backtests/new/?{QUERY}&strategy={DIPS}"
    look(page, desk, "backtests/", "backtests/3/", new, "results/1/", "compare/?r=1&r=2")


def look(page: Page, desk: Desk, *addresses: str) -> None:
    """UI-03, UI-27 on the pages that now have rows, in both themes."""
    for address in addresses:
        page.goto(f"{desk.url}/{address}")
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


def test_an_admin_deletes_it_and_it_stays_counted(open_page: Opener, desk: Desk) -> None:
    page = open_page("/results/1/")
    page.watcher.allowed = ("410",)  # type: ignore[attr-defined]
    page.click("text=Delete…")
    page.fill("#id_reason", "it said what it could")
    page.fill("#id_password", PASSWORD)
    page.click("text=Delete it for good")
    page.wait_for_url("**/backtests/")
    expect(page.locator("main")).to_contain_text("files deleted")
    assert not (desk.folder / "results" / "backtest-1").exists()


SLOW = '''
import time
from pathlib import Path

from trading.studies.examples import dips

HOLD = Path(__file__).with_name("hold")


def wait(bars, depth=2):
    """Dips; the deeper ones not before a file is gone."""
    while depth > 2 and HOLD.exists():
        time.sleep(0.05)
    return dips(bars, depth)
'''


def test_a_search_is_started_cancelled_and_goes_on_where_it_was(open_page: Opener, desk: Desk) -> None:
    """MES-OPT-04, UI-03: progress in trials; what was tried is kept; the result with what speaks against it."""
    place = desk.folder / "strategies"
    (place / "slow.py").write_text(SLOW)
    (place / "hold").touch()
    page = open_page("/optimisation/")
    page.set_default_timeout(WAIT_MS)
    expect(page.locator(".empty-card")).to_contain_text("Here every search of parameters")
    own = "name=mine&strategy=slow:wait&method=grid&objective=sharpe&min_trades=5&params=strategy.depth=2..5/1"
    page.goto(f"{desk.url}/optimisation/new/?{QUERY}&{own}")
    page.click("#start-search")
    page.wait_for_url("**/optimisation/mine/")
    main = page.locator("main")
    expect(main).to_contain_text("1 of 4 trials", timeout=WAIT_MS)
    page.goto(f"{desk.url}/optimisation/")
    expect(main).to_contain_text("search mine")
    page.click("text=Open")
    page.click("text=Cancel search mine")
    expect(main).to_contain_text("Cancelled.", timeout=WAIT_MS)
    expect(main).to_contain_text("1 trial")
    (place / "hold").unlink()
    page.click("text=Go on")
    expect(main).to_contain_text("THE BEST", timeout=WAIT_MS)
    expect(main).to_contain_text("4 trials")
    expect(main).to_contain_text("WHAT SPEAKS AGAINST IT")
    assert page.locator(".parallel polyline").count() > 0
    look(page, desk, "optimisation/", "optimisation/mine/", f"optimisation/new/?{QUERY}&{own}")
    page.goto(f"{desk.url}/optimisation/mine/")
    page.click("text=As a backtest")
    expect(page.locator("#id_changes")).to_contain_text("strategy.depth=")
