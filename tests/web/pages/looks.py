"""The pages around the Desk, and what a browser can tell of one: what breaks WCAG 2.0 to 2.2 (A, AA), what it weighs.

axe-core comes from npm with the lock of desk/assets.
"""

from typing import Any

from playwright.sync_api import Page

from tests.bootstrap import ROOT

AXE = ROOT / "desk" / "assets" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
COLOURS = ("color-contrast", "link-in-text-block")  # what another theme can break
WIDTH = ("target-size", "scrollable-region-focusable", "color-contrast", "aria-hidden-focus")  # what another width can

FAULT = "/preflight/?feed=replay&profile=demo-mes&symbol=MES&scorer=baseline&speed=1"
PAGES = {
    "welcome": "/welcome/",
    "preflight": "/preflight/",
    "preflight-fault": f"{FAULT}&path=/nowhere.dbn",
    "preflight-form-fault": FAULT,
    "sessions": "/sessions/",
    "session": "/sessions/1/",
    "session-moment": "/sessions/1/?list=decisions&at=1792000000000000",
    "why": "/sessions/1/why/",
    "why-nothing": "/sessions/1/why/?at=2100-01-01T00:00:00",
    "why-no-time": "/sessions/1/why/?at=soon",
    "not-found": "/sessions/77/",
    "kill": "/kill/",
    "unlock": "/kill/unlock/",
    "reset": "/sessions/1/reset/",
    "state": "/sessions/1/state/",
    "transfer": "/sessions/1/transfer/",
    "abandon": "/sessions/1/abandon/",
    "lock": "/sessions/1/lock/",
    "override": "/sessions/1/override/",
    "statements": "/sessions/1/statements/",
    "gate": "/gate/",
    "gate-report": "/gate/1/",
    "gate-override": "/gate/override/",
    "news": "/news/",
    "news-remove": "/news/1/remove/",
    "alerts": "/alerts/",
    "account": "/account/",
    "confirm": "/account/confirm/?next=/desk/",
    "operations": "/ops/",
    "latency": "/ops/latency/",
    "drills": "/ops/drills/",
    "data": "/data/",
    "data-import": "/data/import/",
    "data-vendor": "/data/databento/",
    "backtests": "/backtests/",
    "backtest-new": "/backtests/new/",
    "results-compare": "/compare/",
    "optimisation": "/optimisation/",
    "search-new": "/optimisation/new/",
    "walk-new": "/optimisation/new/walk/",
    "books-new": "/backtests/books/",
    "parity": "/sessions/1/parity/",
    "risk": "/sessions/1/risk/",
}


def violations(page: Page, rules: tuple[str, ...] = ()) -> list[Any]:
    """axe's findings: rule and where.  `rules`: only these, on a page that was read whole before."""
    if not page.evaluate("'axe' in globalThis"):
        page.evaluate(AXE.read_text() + "\n; undefined")
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
    options = {"runOnly": only, "resultTypes": ["violations"]}
    found = page.evaluate("(options) => axe.run(document, options)", options)
    return [(item["id"], [node["target"] for node in item["nodes"]][:3]) for item in found["violations"]]


class Weights:
    """Listens to everything that a page loads, with a cold cache.  Bytes are those of the compressed bodies."""

    def __init__(self, page: Page) -> None:
        self.found: dict[str, tuple[int, str]] = {}
        self.reports: list[str] = []
        self._urls: dict[str, str] = {}
        wire = page.context.new_cdp_session(page)
        wire.send("Network.enable")
        wire.on("Network.responseReceived", self._heard)
        wire.on("Network.dataReceived", self._came)
        wire.send("Network.setCacheDisabled", {"cacheDisabled": True})
        page.on("console", lambda message: self._said(message.text))

    def clear(self) -> None:
        self.found, self.reports, self._urls = {}, [], {}

    def _heard(self, event: dict[str, Any]) -> None:
        self._urls[event["requestId"]] = event["response"]["url"]
        self.found[event["response"]["url"]] = (0, event["type"])

    def _came(self, event: dict[str, Any]) -> None:
        if (url := self._urls.get(event["requestId"])) is not None:
            size, kind = self.found[url]
            self.found[url] = (size + int(event["encodedDataLength"]), kind)

    def _said(self, text: str) -> None:
        if "Content Security" in text:
            self.reports.append(text)

    @property
    def code(self) -> dict[str, int]:
        """Address → bytes of every script and style sheet."""
        return {url: size for url, (size, kind) in self.found.items() if kind in ("Script", "Stylesheet")}

    @property
    def own(self) -> int:
        """Bytes of those that are ours."""
        return sum(size for url, size in self.code.items() if "/static/desk/" in url or "/static/config/" in url)

    def foreign(self, base: str) -> list[str]:
        """What came from elsewhere, and what the page's policy reported."""
        return [url for url in self.found if not url.startswith((base, "data:", "blob:"))] + self.reports
