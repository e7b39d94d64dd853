"""axe-core in a page: what breaks WCAG 2.0 to 2.2, levels A and AA.  It comes from npm with the lock of desk/assets."""

from typing import Any

from playwright.sync_api import Page

from tests.bootstrap import ROOT

AXE = ROOT / "desk" / "assets" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def violations(page: Page) -> list[Any]:
    """axe's findings: rule and where."""
    page.evaluate(AXE.read_text() + "\n; undefined")
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    found = page.evaluate("(options) => axe.run(document, options)", options)
    return [(item["id"], [node["target"] for node in item["nodes"]][:3]) for item in found["violations"]]
