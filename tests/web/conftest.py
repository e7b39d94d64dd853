"""Fixtures of the web tests: one desk per module, a browser, and pages on which any error fails the test."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.web.kit import Desk

FLAGS = ["--no-sandbox", "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with a started session s1 and a producer of live values."""
    found = Desk(tmp_path_factory.mktemp("desk"))
    try:
        found.start()
        found.producer = found.produce()  # type: ignore[attr-defined]
        yield found
    finally:
        found.stop()


@pytest.fixture
def control(desk: Desk) -> Iterator[Callable[..., None]]:
    """Steer the producer; everything is as before after the test."""
    client = desk.redis.client()

    def steer(**values: Any) -> None:
        client.hset("test:producer", mapping={name: str(value) for name, value in values.items()})

    client.delete("test:producer")
    yield steer
    client.delete("test:producer")
    client.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; without one the browser tests are skipped outside CI, and fail in CI.

    One per module: playwright's loop runs in this thread until it is stopped, and asyncio tests could not start theirs.
    """
    path = os.environ.get("DESK_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None or not Path(path).exists():
        assert not os.environ.get("CI"), "no Chromium: install it or name it in DESK_CHROMIUM"
        pytest.skip("no Chromium: install it or name it in DESK_CHROMIUM")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


class Watcher:
    """Collects what must not happen on a page.  `allow` names parts of texts that a test expects."""

    def __init__(self, page: Page) -> None:
        self.faults: list[str] = []
        self.allowed: tuple[str, ...] = ()
        page.on("pageerror", lambda error: self.note(f"page error: {error}"))
        page.on("console", lambda message: self.note(f"console: {message.text}", message.type == "error"))
        page.on("response", lambda answer: self.note(f"HTTP {answer.status} {answer.url}", answer.status >= 400))

    def note(self, fault: str, counts: bool = True) -> None:
        if counts:
            self.faults.append(fault)

    def check(self) -> None:
        left = [fault for fault in self.faults if not any(word in fault for word in self.allowed)]
        assert not left, left


@pytest.fixture
def open_page(desk: Desk, browser: Browser) -> Iterator[Callable[..., Page]]:
    """open_page(path, name="alice", **context options) → a signed-in page; its errors fail the test at the end."""
    contexts: list[BrowserContext] = []
    watchers: list[Watcher] = []

    def opened(path: str = "/desk/", *, name: str = "alice", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1600, "height": 900}, **options})
        contexts.append(context)
        context.add_cookies(desk.shared_cookies(name))
        page = context.new_page()
        page.watcher = Watcher(page)  # type: ignore[attr-defined]
        watchers.append(page.watcher)  # type: ignore[attr-defined]
        page.goto(desk.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    for watcher in watchers:
        watcher.check()
