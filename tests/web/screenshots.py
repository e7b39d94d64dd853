"""Pictures of every page, both themes, four widths: `python -m tests.web.screenshots FOLDER [NAME…]`.

Starts a whole desk of its own, lets one session trade fast and end, leaves one running, and looks at all of it with a
real browser; for people to judge, and for `make screenshots`.  With names, only those pages.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Page, sync_playwright

from tests.data.recordings import books, minutes
from tests.databento.server import KEY, certificate, serving
from tests.studies.kit import write_bars
from tests.web.kit import csrf
from tests.web.pages.ring import FIRST_RUN, Ring, ring, sessions, start, table, until
from tests.web.seed import PASSWORD

FLAGS = ["--no-sandbox", "--headless=new", "--disable-gpu", "--disable-dev-shm-usage"]
SIZES = {1600: 900, 1280: 800, 768: 1024, 390: 844}
DESK_SIZES = {1680: 1050, 320: 720}  # of the Desk alone: where its head is tightest
FAULT = "/preflight/?feed=replay&profile=demo-mes&symbol=MES&scorer=baseline&speed=1&path=/none.dbn"
LIVE_S = 1.5
TRADES = 12
SHARES = {"profile": "moex-tinvest", "symbol": "SBER, GAZP, LKOH, MXI", "scorer": "baseline", "seed": "11"}
MINE = ("--config=demo-mes@1", "--strategy=trading.studies.examples:dips", "--min-trades=5")
BACKTEST = {
    "data": "1",
    "config": "demo-mes@1",
    "symbol": "MES",
    "strategy": "trading.studies.examples:dips",
    "first": "",
    "last": "",
    "changes": "",
    "seed": "1",
    "elsewhere": "0",
}

BOOKS = {
    "data": "2",
    "config": "demo-moex@1",
    "symbol": "SBER",
    "strategy": "baseline",
    "latency": "20 ms",
    "seconds": "900",
    "changes": "",
    "seed": "1",
    "elsewhere": "0",
}
SEARCH = {name: BACKTEST[name] for name in ("data", "config", "symbol", "strategy", "changes", "seed")} | {
    "name": "dips",
    "params": "strategy.depth=2..6/1\nrisk.stop_ticks=6..12/3",
    "method": "grid",
    "objective": "sharpe",
    "min_trades": "5",
}


def pages(ended: int, running: int, shares: int, trade: str, imports: Path) -> dict[str, str]:
    """Name of the picture → address."""
    hedged = urlencode({"feed": "simulated", **SHARES, "symbol": "SBER", "speed": "1"})
    return {
        "welcome": "/welcome/",
        "preflight": "/preflight/",
        "preflight-fault": FAULT,
        "preflight-shares": f"/preflight/?{hedged}",
        "desk": f"/desk/{running}/",
        "desk-shares": f"/desk/{shares}/",
        "risk": f"/sessions/{running}/risk/",
        "risk-ended": f"/sessions/{ended}/risk/",
        "risk-shares": f"/sessions/{shares}/risk/",
        "gate": "/gate/",
        "gate-override": "/gate/override/",
        "news": "/news/",
        "alerts": "/alerts/",
        "lock": f"/sessions/{running}/lock/",
        "override": f"/sessions/{running}/override/",
        "sessions": "/sessions/",
        "session": f"/sessions/{ended}/",
        "session-timeline": f"/sessions/{ended}/?list=timeline",
        "session-running": f"/sessions/{running}/?list=decisions",
        "trade": f"/sessions/{ended}/trades/{trade}/",
        "replay": f"/sessions/{ended}/replay/?seq=4000",
        "session-holds": f"/sessions/{ended}/?list=holds",
        "why": f"/sessions/{ended}/why/",
        "why-nothing": f"/sessions/{ended}/why/?at=2100-01-01T00:00:00",
        "parity": f"/sessions/{ended}/parity/",
        "statements": f"/sessions/{ended}/statements/",
        "parity-none": f"/sessions/{running}/parity/",
        "kill": "/kill/",
        "unlock": "/kill/unlock/",
        "operations": "/ops/",
        "latency": "/ops/latency/",
        "drills": "/ops/drills/",
        **data_pages(imports),
        **research_pages(),
        "account": "/account/",
        "confirm": "/account/confirm/?next=/desk/",
        "admin": "/admin/",
        "versions": "/admin/trading/configversion/",
        "version": "/admin/trading/configversion/1/change/",
        "edit": "/admin/trading/configversion/1/edit/",
        "impact": "/admin/trading/configversion/1/impact/",
        "compare": "/admin/trading/configversion/diff/?a=1&b=2",
        "ledger": "/admin/trading/order/",
        "people": "/admin/auth/user/",
        "not-found": "/sessions/99999/",
    }


def data_pages(imports: Path) -> dict[str, str]:
    """Of what is stored, bought and imported."""
    return {
        "data": "/data/",
        "data-set": "/data/1/?day=2024-01-02",
        "data-vendor": "/data/databento/",
        "data-price": "/data/databento/1/",
        "data-purchase": "/data/databento/2/",
        "data-bought": "/data/3/?day=2024-02-15",
        "data-books": "/data/2/?day=2024-01-02&from=15:00&to=17:00",
        "data-delete": "/data/1/delete/",
        "data-import": "/data/import/",
        "data-file": f"/data/import/?folder={imports}&file=ES_1min.csv",
        "data-run": "/data/imports/1/",
    }


def research_pages() -> dict[str, str]:
    """Of backtests, their results, and searches."""
    return {
        "backtests": "/backtests/",
        "backtest-new": f"/backtests/new/?{urlencode(BACKTEST)}",
        "books-new": f"/backtests/books/?{urlencode(BOOKS)}",
        "backtest-run": "/backtests/3/",
        "books-result": "/results/4/",
        "result": "/results/1/",
        "result-delete": "/results/1/delete/",
        "results-compare": "/compare/?r=1&r=2",
        "optimisation": "/optimisation/",
        "search-new": f"/optimisation/new/?{urlencode(SEARCH)}",
        "walk-new": "/optimisation/new/walk/",
        "study": "/optimisation/dips/",
        "walk": "/optimisation/walked/",
    }


def prepare(desk: Ring) -> dict[str, str]:
    """Two results, one session that traded and ended, one that runs; the addresses of all pages."""
    imports = desk.folder / "imports"
    imports.mkdir()
    file = minutes(imports / "ES_1min.csv", hole=range(100, 120), bad=7)
    desk.run("manage", "import_history", str(file), "--symbol", "ES")
    file = books(imports / "SBER.jsonl", 20_000, hole=9000)
    desk.run("manage", "import_history", str(file), "--symbol", "SBER")
    with desk.client() as client:
        asked = {"folder": str(imports), "file": "ES_1min.csv", "symbol": "ES", "hours": "any"}
        client.post("/data/import/start/", data=asked, headers=csrf(client))  # nobody takes it: it waits
        purchase(desk, client)
        backtests(desk, client)
        ended = start(client, speed="10", seed="11")
        trades = until(lambda: (rows := table(client, ended, "trades")) and len(rows) >= TRADES and rows, "trades")
        client.post(f"/sessions/{ended}/command/", data={"kind": "stop"}, headers=csrf(client))
        until(lambda: sessions(client)[f"s{ended}"]["status"] == "ended", "the end of the fast session")
        parity(desk, client, ended)
        studies(desk, client)
        running = start(client, seed="7")
        shares = beside(client, **SHARES)
        until(lambda: table(client, running, "fills"), "a fill")
    return pages(ended, running, shares, trades[-1]["journal_seq"], imports)


def beside(client: httpx.Client, **fields: str) -> int:
    """Start a session without ending the one that runs; its number."""
    answer = client.post("/sessions/new/", data=FIRST_RUN | fields, headers=csrf(client), timeout=90)
    assert answer.status_code == 302, answer.text
    return int(answer.headers["location"].rstrip("/").rsplit("/", 1)[-1])


def backtests(desk: Ring, client: httpx.Client) -> None:
    """Two results, done here as the batch worker would, and a backtest that waits for one."""
    for changes in ("", "strategy.depth=5", "strategy.depth=7"):
        asked = {**BACKTEST, "changes": changes}
        answer = client.post("/backtests/start/", data=asked, headers=csrf(client), timeout=120)
        assert answer.status_code == 302, answer.text
    answer = client.post("/backtests/books/start/", data=BOOKS, headers=csrf(client), timeout=120)
    assert answer.status_code == 302, answer.text
    for number in (1, 2, 4):
        worked(desk, f"from desk.backtests import runs; assert runs.run({number}) == 'done'")


def worked(desk: Ring, work: str) -> None:
    """What the batch worker would do."""
    desk.run("manage", "shell", "-v", "0", "-c", work)


def parity(desk: Ring, client: httpx.Client, session: int) -> None:
    """A session beside its backtest."""
    answer = client.post(f"/sessions/{session}/parity/start/", headers=csrf(client), timeout=120)
    assert answer.status_code == 302, answer.text
    worked(desk, "from desk.backtests.parity import jobs; assert jobs.run(1) == 'done'")


def studies(desk: Ring, client: httpx.Client) -> None:
    """A search as its page asks for it, and a walk-forward over more days than the small import has."""
    answer = client.post("/optimisation/start/", data=SEARCH, headers=csrf(client), timeout=120)
    assert answer.status_code == 302, answer.text
    worked(desk, "from desk.backtests import searches; assert searches.run(1) == 'done'")
    data = write_bars(desk.folder / "bars.parquet", days=35, bars=120)
    sizes = ("--unit=day", "--train=14", "--validation=7", "--test=7", "--step=7", "--fold-trades=5", "--workers=1")
    out = str(desk.folder / "studies" / "walked")
    params = ("--param=strategy.depth=2,4", f"--data={data}", f"--out={out}")
    desk.run("manage", "walkforward", *MINE, *sizes, *params)


def purchase(desk: Ring, client: httpx.Client) -> None:
    """A price, a purchase of it and the data set that it becomes, done here as the batch worker would."""
    asked = {"symbol": "MES.v.0", "schema": "ohlcv-1m", "start": "2024-01-01", "end": "", "cap": "5.00"}
    place = client.post("/data/databento/", data=asked, headers=csrf(client)).headers["location"]
    work = "from marketdata.jobs import purchases; assert purchases.run({}) == 'done'"
    desk.run("manage", "shell", "-v", "0", "-c", work.format(1))
    ticket = client.get(place).text.partition('name="ticket" value="')[2].partition('"')[0]
    form = {"amount": "0.30", "reason": "three months for the walk-forward", "password": PASSWORD, "ticket": ticket}
    answer = client.post(f"{place}buy/", data=form, headers=csrf(client))
    assert answer.status_code == 302, answer.text
    desk.run("manage", "shell", "-v", "0", "-c", work.format(2))


def shoot(page: Page, url: str, file: Path, whole: bool) -> Path:
    page.goto(url)
    living = "/desk/" in url or "/replay/" in url or "/risk/" in url
    page.wait_for_timeout(LIVE_S * 1000 if living else 100)  # a picture wants a living page
    page.screenshot(path=file, full_page=whole)
    return file


def take(desk: Ring, folder: Path, chromium: str, wanted: dict[str, str]) -> list[Path]:
    """Every page in every look; returns the files."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        cookies = desk.cookies()
        themes: tuple[Literal["dark"], Literal["light"]] = ("dark", "light")
        for theme in themes:
            for width, height in (SIZES | DESK_SIZES).items():
                shown = {name: path for name, path in wanted.items() if width in SIZES or name.startswith("desk")}
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                context.add_cookies([{"name": "theme", "value": theme, "url": desk.url}])
                context.add_cookies([{"name": "coach", "value": "off", "url": desk.url}])
                page = context.new_page()
                if width in SIZES:
                    found.append(shoot(page, f"{desk.url}/sign-in/", folder / f"sign-in-{width}-{theme}.png", False))
                context.add_cookies(cookies)
                for name, path in shown.items():
                    whole = width < 1280 or not name.startswith(("desk", "replay"))
                    found.append(shoot(page, desk.url + path, folder / f"{name}-{width}-{theme}.png", whole))
                context.close()
        browser.close()
    return found


def account(gateway: str, pem: Path) -> dict[str, str]:
    """An account at the vendor on a local socket."""
    return {"DATABENTO_API_KEY": KEY, "DATABENTO_GATEWAY": gateway, "REQUESTS_CA_BUNDLE": str(pem)}


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "var/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    place = Path(tempfile.mkdtemp(prefix="desk-shots-"))
    pem = certificate(place)
    with serving(pem) as (_, gateway), ring(place / "desk", **account(gateway, pem)) as desk:
        wanted = prepare(desk)
        if names := sys.argv[2:]:
            wanted = {name: path for name, path in wanted.items() if name in names}
        print(f"{len(take(desk, folder, chromium, wanted))} pictures in {folder}")


if __name__ == "__main__":
    main()
