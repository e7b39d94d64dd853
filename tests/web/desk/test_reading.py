"""Who can read the Desk: WCAG 2.0 to 2.2, A and AA, by axe-core, in every look and state that the page knows.

One page, steered from state to state; each is read in the dark theme with every rule, in the light one with those that
colours can break.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.web.desk.pages import WAIT_MS, Opener, catch_kills, charted, live
from tests.web.kit import Desk
from tests.web.pages.looks import AXE, COLOURS, violations

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
HOLD = (
    '[{"code":"FEED_STALE","scope":"account","effect":"NO_ENTRY","clearing":"CONDITION","label":"PAUSED",'
    '"since_us":1792000000000000,"until_us":null,"value":null,"limit":0,"detail":"no feed message (P-04)"}]'
)
PHONE = ViewportSize(width=390, height=844)
expect.set_options(timeout=WAIT_MS)


class Reader:
    """Reads the page as it is now and keeps what axe finds, by the name of the state."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: dict[str, Any] = {}

    def read(self, state: str) -> None:
        found = violations(self.page)
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        found += violations(self.page, COLOURS)
        self.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        if found:
            self.faults[state] = found


@pytest.fixture
def reader(open_page: Opener, control: Callable[..., None]) -> Reader:
    """The living Desk of a session that holds something."""
    if not AXE.exists():
        assert not os.environ.get("CI"), "axe-core is not installed: make setup"
        pytest.skip("axe-core is not installed: make setup")
    control(qty=2)
    page = open_page("/desk/1/", viewport={"width": 1280, "height": 800}, color_scheme="dark", reduced_motion="reduce")
    return Reader(charted(page))


def test_every_density_and_pane(reader: Reader) -> None:
    """UI-27: three densities wide, two on a phone, each pane open."""
    page = reader.page
    for density in ("compact", "comfortable", "touch"):
        page.evaluate("(name) => { document.documentElement.dataset.density = name; }", density)
        reader.read(density)
    page.set_viewport_size(PHONE)
    reader.read("touch, phone")
    for pane in ("ladder", "blotter", "holds", "loops"):
        page.click(f"#pane-{pane}")
        expect(page.locator(f"#{pane}")).to_be_visible()
        reader.read(f"{pane}, phone")
    assert not reader.faults, reader.faults


def test_every_dialog(reader: Reader) -> None:
    """UI-27, with dialogs open: keys, resume, the chart as a table, the Start sheet, what KILL said."""
    page = reader.page
    for opener, dialog in (
        ("#key-list-button", "#keys-dialog"),
        ("button[value=resume]", "#resume-dialog"),
        ("#chart-table", "#table-dialog"),
    ):
        page.click(opener)
        expect(page.locator(dialog)).to_be_visible()
        reader.read(dialog)
        page.keyboard.press("Escape")
        expect(page.locator(dialog)).to_be_hidden()
    page.click("#start > summary")
    expect(page.locator("#start .sheet")).to_be_visible()
    reader.read("start")
    page.keyboard.press("Escape")
    catch_kills(page)
    page.click("#kill")
    page.click("#kill")
    expect(page.locator("#kill-panel")).to_contain_text("FLAT, proved")
    reader.read("killed")
    assert not reader.faults, reader.faults


def test_stale_empty_and_error_states(reader: Reader, control: Callable[..., None]) -> None:
    """UI-27 in stale, empty and error states: a missing stop, a hold, nothing held, silence, a lost socket, no mode."""
    page = reader.page
    control(qty=2, naked=1, broker=1, holds=HOLD)
    expect(page.locator("[data-f=stop]")).to_have_text("MISSING")
    reader.read("no stop")
    control(qty=0, naked=0, broker=0, holds="[]", bars=0)
    expect(page.locator(".position-main .size")).to_contain_text("flat")
    reader.read("flat")
    control(hold=1)
    expect(page.locator("#position.stale")).to_be_visible()
    reader.read("stale")
    control(hold=0)
    live(page)
    page.evaluate("desk.socket.open = () => {}; desk.socket.ws.close()")  # no way back for now
    expect(page.locator("#banner")).to_contain_text("Disconnected")
    reader.read("lost")
    page.evaluate("delete desk.socket.open; desk.socket.retryNow()")
    live(page)
    control(mode="liv")
    expect(page.locator("#mode")).to_contain_text("UNKNOWN MODE")
    reader.read("unknown mode")
    assert not reader.faults, reader.faults


def test_a_dead_bus_is_named_and_nothing_past_it_looks_alive(reader: Reader, desk: Desk) -> None:
    """Section 4: the dead hop by name, those after it "behind"; of those before it nothing is heard."""
    hop = reader.page.locator
    desk.redis.kill()
    expect(hop('[data-hop="bus"]')).to_contain_text("bus ")
    expect(hop('[data-hop="bus"]')).to_have_class("hop dead")
    for name in ("worker", "web", "browser"):
        expect(hop(f'[data-hop="{name}"]')).to_have_text("behind bus")
    for name in ("venue", "feed"):
        expect(hop(f'[data-hop="{name}"]')).to_have_text(name)
        expect(hop(f'[data-hop="{name}"]')).to_have_class("hop behind")
    reader.read("no bus")
    desk.redis.start()
    live(reader.page)
    expect(hop('[data-hop="bus"]')).to_have_class("hop")
    assert not reader.faults, reader.faults
