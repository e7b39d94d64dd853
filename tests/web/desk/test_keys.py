"""The keyboard map, theme, density and zone, and the strip that every page carries."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.web.desk.pages import WAIT_MS, Opener, charted, live, until

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
expect.set_options(timeout=WAIT_MS)
# The same places on a Russian keyboard: `key` is Cyrillic, `code` is not.
CYRILLIC = {"KeyT": "е", "KeyC": "с", "KeyL": "д", "BracketRight": "ъ"}


def press(page: Page, code: str, **flags: bool) -> None:
    """A key by its place, with the letter of another layout on it."""
    page.evaluate(
        "([code, key, flags]) => document.activeElement.dispatchEvent("
        "new KeyboardEvent('keydown', { code, key, bubbles: true, cancelable: true, ...flags }))",
        [code, CYRILLIC.get(code, code), flags],
    )


def test_keys_go_by_their_place(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-31, without remapping: a Russian layout changes nothing; in a field only the four safety keys act."""
    control(price=20_050, qty=2)
    page = charted(open_page("/desk/1/"))
    theme = page.evaluate("document.documentElement.dataset.theme")
    press(page, "KeyT")
    assert page.evaluate("document.documentElement.dataset.theme") != theme
    press(page, "KeyL")
    expect(page.locator("#chart-log")).to_have_attribute("aria-pressed", "true")
    press(page, "Slash", shiftKey=True)
    expect(page.locator("#keys-dialog")).to_be_visible()
    expect(page.locator("#keys-table")).to_contain_text("cancel all entry orders")
    on_kill = "(() => { const b = document.getElementById('kill').getBoundingClientRect();"
    on_kill += (
        " return document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2)?.closest('#kill') !== null; })()"
    )
    assert page.evaluate(on_kill), "a dialog leaves KILL free"
    page.uncheck("#single-keys")
    page.keyboard.press("Escape")
    before = page.evaluate("document.documentElement.dataset.theme")
    press(page, "KeyT")
    assert page.evaluate("document.documentElement.dataset.theme") == before, "single keys are switched off"
    page.click("button[value=resume]")
    page.fill("#resume-reason", "")
    page.press("#resume-reason", "t")
    assert page.input_value("#resume-reason") == "t"
    assert page.evaluate("document.documentElement.dataset.theme") == before
    page.press("#resume-reason", "F8")
    expect(page.locator("#receipt")).to_contain_text("Cancel all")
    page.keyboard.press("Escape")
    page.keyboard.press("F2")
    expect(page.locator("#says")).to_contain_text("PAPER. active. L2 MES +$15.00.")
    page.keyboard.press("Control+Comma")
    expect(page.locator("#receipt")).to_contain_text("Pause")


def test_an_instrument_is_chosen_for_the_whole_page(open_page: Opener) -> None:
    page = charted(open_page("/desk/1/"))
    page.evaluate("desk.store.values.instruments['1'] = { ...desk.store.values.instruments['0'], symbol: 'MNQ' }")
    press(page, "BracketRight")
    assert page.evaluate("desk.view.inst") == "1"
    expect(page.locator("#chart-symbol")).to_have_text("MNQ")
    expect(page.locator("#ladder .note")).to_contain_text("Waiting for the feed.")
    press(page, "BracketRight")
    assert page.evaluate("desk.view.inst") == "0"


def test_density_and_zone_are_kept(open_page: Opener) -> None:
    page = live(open_page("/desk/1/"))
    expect(page.locator("#s-clock")).to_contain_text("CT")
    page.click("#zone")
    page.click("#zone")
    expect(page.locator("#s-clock")).to_contain_text("UTC")
    rows = "document.querySelector('#list-orders tbody td').getBoundingClientRect().height"
    heights = []
    for name in ("Compact", "Comfortable", "Touch"):
        page.click("#density")
        expect(page.locator("#density")).to_have_text(name)
        heights.append(round(page.evaluate(rows)))
    assert heights == [24, 32, 44]
    page.reload()
    live(page)
    expect(page.locator("#s-clock")).to_contain_text("UTC")
    assert page.evaluate("document.documentElement.dataset.density") == "touch"
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--row').trim()") == "44px"


def test_every_page_carries_the_live_strip(open_page: Opener, control: Callable[..., None]) -> None:
    """The compact strip: mode, state, hops with ages, holds; its socket is told nothing else."""
    control(label="PAUSED")
    page = open_page("/sessions/")
    until(page, "globalThis.stripWatch?.socket.connected === true")
    expect(page.locator("#mode")).to_have_text("PAPER")
    expect(page.locator("#s-label")).to_have_text("PAUSED")
    expect(page.locator("#s-clock")).to_contain_text("CT")
    until(page, "document.querySelectorAll('#hops .hop.dead, #hops .hop.behind').length === 0")
    assert set(page.evaluate("Object.keys(stripWatch.store.values)")) == {"mode", "clock", "holds"}
    assert page.evaluate("Object.keys(stripWatch.store.rows)") == []
    control(hold=1)
    expect(page.locator("#hops .dead")).to_have_count(1)
    expect(page.locator("#kill")).to_be_visible()
