"""Pictures of every page, both themes, four widths: `python -m tests.web.screenshots FOLDER`.

Starts a desk of its own with a producer of live values; for people to look at, and for `make screenshots`.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.web.kit import Desk
from tests.web.seed import PASSWORD

FLAGS = ["--no-sandbox", "--headless=new", "--disable-gpu", "--disable-dev-shm-usage"]
SIZES = {1600: 900, 1280: 800, 768: 1024, 390: 844}
PAGES = {"desk": "/desk/1/", "sessions": "/sessions/", "session": "/sessions/1/?list=commands", "kill": "/kill/"}
LIVE_S = 1.5


def take(desk: Desk, folder: Path, chromium: str) -> list[Path]:
    """Every page in every look; returns the files."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        cookies = desk.cookies()
        for theme in ("dark", "light"):
            for width, height in SIZES.items():
                context = browser.new_context(viewport={"width": width, "height": height})
                context.add_cookies([{"name": "theme", "value": theme, "url": desk.url}])
                page = context.new_page()
                page.goto(f"{desk.url}/sign-in/")
                page.screenshot(path=folder / f"sign-in-{width}-{theme}.png")
                context.add_cookies(cookies)
                for name, path in PAGES.items():
                    page.goto(desk.url + path)
                    page.wait_for_timeout(LIVE_S * 1000)  # a picture wants a living page
                    file = folder / f"{name}-{width}-{theme}.png"
                    page.screenshot(path=file, full_page=width < 1280)
                    found.append(file)
                page.goto(f"{desk.url}/desk/1/")
                page.click("#start > summary")
                page.wait_for_timeout(300)
                page.screenshot(path=folder / f"new-session-{width}-{theme}.png")
                context.close()
        browser.close()
    return found


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "var/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    desk = Desk(Path(tempfile.mkdtemp(prefix="desk-shots-")))
    try:
        desk.start()
        desk.produce()
        client = desk.redis.client()
        client.hset("test:producer", mapping={"fills": "7", "holds": HOLDS})
        print(f"{len(take(desk, folder, chromium))} pictures in {folder}; people: alice, {PASSWORD}")
    finally:
        desk.stop()


HOLDS = (
    '[{"code":"FEED_STALE","scope":"account","effect":"NO_ENTRY","clearing":"CONDITION","label":"PAUSED","since_us":1791999990000000,'
    '"until_us":null,"value":null,"limit":0,"detail":"no feed message for too long, or a gap (P-04)"},'
    '{"code":"OPERATOR_PAUSE","scope":"account","effect":"NO_ENTRY","clearing":"OPERATOR","label":"PAUSED","since_us":1791999980000000,'
    '"until_us":null,"value":null,"limit":0,"detail":"operator\'s Pause, Cancel all or Flatten"}]'
)

if __name__ == "__main__":
    main()
