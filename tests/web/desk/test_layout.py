"""Where things stand: what one glance must show, four widths and the smallest, both themes, the modes, the weight."""

import statistics
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.desk.pages import WAIT_MS, Opener, box, charted, live, until
from tests.web.pages.looks import Weights

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
WIDTHS = [(1600, 900), (1280, 800), (768, 1024), (390, 844), (320, 720)]
REDUCING = ("pause", "cancel_all", "flatten")
HOLD = (
    '[{"code":"FEED_STALE","scope":"account","effect":"NO_ENTRY","clearing":"CONDITION","label":"PAUSED",'
    '"since_us":1792000000000000,"until_us":null,"value":null,"limit":0,"detail":"no feed message (P-04)"}]'
)
expect.set_options(timeout=WAIT_MS)

# Every text that is cut off: wider than its box, which hides the rest.  Tables and charts may scroll sideways.
CLIPPED = """() => [...document.querySelectorAll('#strip *, .bar button, .panel header *, .position-card *, #account *, .gauge span, .reduce button')]
  .filter((node) => node.children.length === 0 && node.offsetParent !== null && node.textContent.trim() !== '')
  .filter((node) => !node.closest('.sr, .table, .dim'))
  .filter((node) => { const range = document.createRange(); range.selectNodeContents(node); const text = range.getBoundingClientRect();
    const out = node.closest('.panel, .head, .reduce')?.getBoundingClientRect(); return out && (text.left < out.left - 1 || text.right > out.right + 1); })
  .map((node) => node.textContent)"""  # noqa: E501
OVERLAPS = """() => { const list = [...document.querySelectorAll('.position-card dt, .position-card dd, #account dt, #account dd, .gauge > span:not(.track)')]
    .filter((node) => node.offsetParent !== null && node.textContent !== '').map((node) => { const range = document.createRange(); range.selectNodeContents(node); return [node.textContent, range.getBoundingClientRect()]; });
  return list.flatMap(([a, r], i) => list.slice(i + 1).filter(([, s]) => r.left < s.right - 1 && s.left < r.right - 1 && r.top < s.bottom - 2 && s.top < r.bottom - 2).map(([b]) => `${a} | ${b}`)); }"""  # noqa: E501


def inside(page: Page, selector: str, width: int, height: int) -> None:
    """The first of these stands inside the first viewport, whole."""
    found = box(page, selector)
    assert found["x"] >= 0 and found["y"] >= 0, (selector, found)
    assert found["x"] + found["width"] <= width + 1, (selector, found)
    assert found["y"] + found["height"] <= height + 1, (selector, found)


def kill_is_on_top(page: Page) -> None:
    found = box(page, "#kill")
    assert found["width"] >= 120 and found["height"] >= 44, found
    corners = [(0.1, 0.2), (0.5, 0.5), (0.9, 0.8)]
    for x, y in corners:
        point = [found["x"] + x * found["width"], found["y"] + y * found["height"]]
        assert page.evaluate("([x, y]) => document.elementFromPoint(x, y)?.closest('#kill') !== null", point), point


def test_one_glance(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-02: what the moments ask for lies inside 1280 x 800 without scroll, hover or click."""
    control(qty=2, holds=HOLD)
    page = charted(open_page("/desk/1/", viewport={"width": 1280, "height": 800}))
    expect(page.locator("#risk .gauge")).to_have_count(5)
    sights = ["#mode", "#s-key", "#s-account", "#s-label", "#s-phase", "#s-clock", "#s-holds", "#hops", "#kill"]
    sights += [".position-main .size", ".position-main .open", ".ticks", '[data-f="stop"]', '[data-f="proof"]']
    sights += ['[data-f="stop"] + .worth', '[data-f="since"]', "#position .age", "#risk .gauge", "#chart-box"]
    sights += [f"button[value={kind}]" for kind in REDUCING]
    for sight in sights:
        inside(page, sight, 1280, 800)
    expect(page.locator('[data-f="proof"]')).to_contain_text("proved")
    expect(page.locator('[data-f="stop"] + .worth')).to_have_text("−$20.00")
    expect(page.locator(".ticks")).to_contain_text(" t")
    control(qty=2, broker=1, fills=3)
    expect(page.locator(".mismatch")).to_have_text("ours L2, broker L1")
    inside(page, ".mismatch", 1280, 800)


def test_one_glance_from_the_phone(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-02: am I flat, must I act: mode, position, day, holds, age, stop, and the four that reduce."""
    control(qty=2)
    page = live(open_page("/desk/1/", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True))
    expect(page.locator("#account")).to_contain_text("day net")
    sights = [
        "#mode",
        ".position-main .size",
        ".position-main .open",
        '[data-f="stop"]',
        '[data-f="proof"]',
        "#s-holds",
    ]
    sights += ["#account .num", "#position .age", "#kill", *(f"button[value={kind}]" for kind in REDUCING)]
    for sight in sights:
        inside(page, sight, 390, 844)
    for kind in REDUCING:
        assert box(page, f"button[value={kind}]")["height"] >= 44
    assert page.locator("button[value=resume]").is_hidden(), "what increases is not drawn beside what reduces"
    page.click("#more")
    expect(page.locator("button[value=resume]")).to_be_visible()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_fits(open_page: Opener, control: Callable[..., None], width: int, height: int, theme: str) -> None:
    """UI-03: no sideways scroll, no clipped or overlapping number, KILL whole and topmost; long figures too."""
    control(qty=-2, day=-1_234_567_890_000)
    page = open_page("/sign-in/", viewport={"width": width, "height": height})
    page.context.add_cookies([{"name": "theme", "value": theme, "url": page.url.split("/desk")[0]}])
    page.goto(page.url.split("/desk")[0].split("/sign-in")[0] + "/desk/1/")
    charted(page)
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == ("rgb(11, 16, 23)" if theme == "dark" else "rgb(244, 246, 249)")
    expect(page.locator("#account")).to_contain_text("−$1,234,567.89")
    for density in ("compact", "comfortable", "touch"):
        page.evaluate("(name) => { document.documentElement.dataset.density = name; }", density)
        page.wait_for_timeout(100)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, (density, wide)
        assert page.evaluate(CLIPPED) == [], density
        assert page.evaluate(OVERLAPS) == [], density
        kill_is_on_top(page)
    if width >= 1280:
        assert page.evaluate("document.documentElement.scrollHeight") <= height, "panels scroll, the page does not"


def test_the_panes_share_one_place(open_page: Opener) -> None:
    """Below 1600 px one of them is open; tabs carry counts; arrows go along; the state word opens the holds."""
    page = live(open_page("/desk/1/", viewport={"width": 768, "height": 1024}))
    names = ["ladder", "decisions", "blotter", "holds", "loops"]
    for name in names:
        page.click(f"#pane-{name}")
        assert [other for other in names if page.locator(f"#{other}").is_visible()] == [name]
    page.press("#pane-loops", "ArrowRight")
    expect(page.locator("#pane-ladder")).to_be_focused()
    expect(page.locator("#pane-blotter")).to_contain_text("2 working")
    page.click("#s-label")
    expect(page.locator("#holds")).to_be_visible()
    page.click("#rail-button")
    expect(page.locator("#rail")).to_be_visible()
    expect(page.locator("#sessions .rail-row")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#rail")).to_be_hidden()


def look(page: Page) -> tuple[str, str, str, str]:
    """Word, shape, frame and title of the mode."""
    style = "(node) => { const s = getComputedStyle(node); return `${s.borderTopStyle} ${s.borderTopColor}`; }"
    frame = (
        "(() => { const s = getComputedStyle(document.body, '::after'); return `${s.content} ${s.borderTopStyle}`; })()"
    )
    icon = page.evaluate("document.querySelector('link[rel=icon]').getAttribute('href')")
    title = page.title().lstrip("? ").split(" ")[0]
    return (
        page.locator("#mode").inner_text(),
        page.locator("#mode").evaluate(style),
        page.evaluate(frame),
        f"{title} {icon}",
    )


def test_the_mode_cannot_be_mistaken(open_page: Opener, control: Callable[..., None]) -> None:
    """UI-04: PAPER and REPLAY differ by word, shape, frame, title and favicon; an unknown mode is a fault."""
    control(mode="paper")
    page = live(open_page("/desk/1/"))
    until(page, "document.querySelector('link[rel=icon]').href.includes('paper')")
    paper = look(page)
    assert paper[0] == "PAPER"
    control(mode="replay")
    expect(page.locator("#mode")).to_have_text("REPLAY")
    until(page, "document.querySelector('link[rel=icon]').href.includes('replay')")
    replay = look(page)
    assert all(a != b for a, b in zip(paper, replay, strict=True)), (paper, replay)
    assert page.locator("#commands, #start, .reduce").count() == 0, "a replay has no command control but KILL"
    kill_is_on_top(page)
    control(mode="liv")
    page = live(open_page("/desk/1/"))
    expect(page.locator("#mode")).to_have_text("UNKNOWN MODE liv")
    expect(page.locator("#banner")).to_contain_text("Unknown mode")
    until(page, "document.querySelector('link[rel=icon]').href.includes('fault')")
    assert "PAPER" not in page.title()
    page.click("#start > summary")
    expect(page.locator("#start .sheet")).to_be_hidden()
    assert page.locator("#start > summary").get_attribute("aria-disabled") == "true"


def test_a_page_is_light(open_page: Opener, desk: Any) -> None:
    """UI-25: own JS and CSS at most 60 kB over the wire, all at most 150 kB; nothing from elsewhere, no report."""
    page = open_page("/sign-in/")
    weights = Weights(page)
    page.goto(f"{desk.url}/desk/1/")
    charted(page)
    page.wait_for_timeout(300)
    whole = sum(size for size, _ in weights.found.values())
    print(f"UI-25: own {weights.own} bytes, all code {sum(weights.code.values())}, whole page {whole}")
    assert any("lightweight-charts" in url for url in weights.code)
    assert weights.own <= 60_000, weights.code
    assert sum(weights.code.values()) <= 150_000, weights.code
    assert weights.foreign(desk.url) == []


@pytest.mark.parametrize(("width", "height"), [(1600, 900), (390, 844)])
def test_the_first_picture_comes_soon(open_page: Opener, desk: Any, width: int, height: int) -> None:
    """UI-26: something meaningful within 1 s, live numbers within 1.5 s (median of 5), layout shift at most 0.02."""
    paint, numbers, shifts = [], [], []
    page = open_page("/desk/1/", viewport={"width": width, "height": height})
    page.add_init_script(
        "globalThis.shift = 0; new PerformanceObserver((list) => { for (const one of list.getEntries())"
        " if (!one.hadRecentInput) globalThis.shift += one.value; }).observe({ type: 'layout-shift', buffered: true });"
        "const look = () => { const seen = globalThis.desk?.socket?.connected && desk.store.painted;"
        " if (seen) globalThis.liveAt = performance.now(); else requestAnimationFrame(look); };"
        " requestAnimationFrame(look);"
    )
    charted(page)  # the producer has come up
    until(page, "document.querySelector('.loop.dead') === null")
    for _ in range(5):
        page.goto(f"{desk.url}/desk/1/")
        charted(page)
        until(page, "performance.getEntriesByName('first-contentful-paint').length > 0")
        paint.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        until(page, "globalThis.liveAt > 0")
        numbers.append(page.evaluate("globalThis.liveAt"))
        page.wait_for_timeout(300)
        shifts.append(page.evaluate("globalThis.shift"))
    print(f"UI-26: paint {sorted(map(round, paint))} ms, live {sorted(map(round, numbers))} ms, shift {shifts}")
    assert max(shifts) <= 0.02, shifts
    assert statistics.median(paint) <= 1000, paint
    assert statistics.median(numbers) <= 1500, numbers


def test_lists_hold_still_under_the_pointer(open_page: Opener, control: Callable[..., None]) -> None:
    """Nothing moves under the pointer: new rows wait behind "n new" and come when it leaves."""
    control(fills=3)
    page = live(open_page("/desk/1/"))
    page.click("#tab-fills")
    rows = page.locator("#list-fills tbody tr")
    expect(rows.first).to_be_visible()
    before = page.evaluate("desk.store.rows.fill.to")
    shown = rows.count()
    rows.first.hover()
    first = rows.first.inner_text()
    control(fills=before + 3)
    expect(page.locator("#list-fills .more-rows")).to_have_text("3 new")
    assert rows.count() == shown
    assert rows.first.inner_text() == first
    page.mouse.move(5, 5)
    expect(rows).to_have_count(shown + 3)


def test_the_ladder_keeps_its_place_under_the_pointer(open_page: Opener, control: Callable[..., None]) -> None:
    """It re-centres when the price leaves the middle third, never while somebody is in it; an arrow tells."""
    control(price=20_050)
    page = live(open_page("/desk/1/"))
    price = page.locator("#ladder tbody tr:nth-child(21) .price")
    expect(price).to_contain_text("5012.50")
    control(price=20_053)
    expect(page.locator(".ladder-head .px").first).to_have_text("5013.25")
    expect(price).to_contain_text("5012.50")
    control(price=20_060)
    expect(price).to_contain_text("5015.00")
    page.locator("#ladder tbody tr:nth-child(21)").hover()
    control(price=20_090)
    expect(page.locator(".ladder-away")).to_contain_text("▲ 5022.50")
    expect(price).to_contain_text("5015.00")
    page.keyboard.press("c")
    expect(price).to_contain_text("5022.50")
    page.mouse.move(5, 5)
