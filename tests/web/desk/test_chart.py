"""The price chart in a real Chromium: bars from prints, own fills, exports, and its speed with thousands of marks."""

import csv
import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.desk.pages import PATIENCE_S, WAIT_MS, Opener, charted, live, until
from tests.web.kit import Desk

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.slow]
CANDLES, FILLS = 10_000, 5_000
WINDOW_S = float(os.environ.get("DESK_CHART_S", "5"))  # the long form of UI-23: DESK_CHART_S=60
TRIES = 4
FPS_MIN, P95_MS_MAX, WORST_MS = 58, 17.5, 50
LOADED, FRAME_MS, BUSY = 1.0, 16.0, 0.5
expect.set_options(timeout=WAIT_MS)


def test_bars_are_the_prints(open_page: Opener, desk: Desk, control: Callable[..., None]) -> None:
    """The history by HTTP and the live bar on top are one series; the last price is the last print."""
    control(price=20_050)
    page = charted(open_page("/desk/1/"))
    until(page, "desk.chart.data.points.at(-1).close === 20051")
    with desk.client() as alice:
        kept = alice.get("/api/bars/1/?inst=0&tf=5").json()
    first = page.evaluate("desk.chart.data.points[0]")
    assert [first["time"], first["open"], first["high"], first["low"], first["close"]] == kept["bars"][0][:5]
    assert kept["n"] >= 240
    steps = page.evaluate("desk.chart.data.times.map((t, i, all) => i ? t - all[i - 1] : 5)")
    assert set(steps) == {5}, "no bar is missing and none comes twice"
    expect(page.locator("#chart-readout")).to_contain_text("C 5012.75")
    page.click("#frames [data-choice='60']")
    until(
        page, "desk.chart.frame() === 60 && desk.chart.data.points.length >= 20 && desk.chart.data.points.length < 60"
    )
    assert page.evaluate("desk.chart.data.points.at(-1).close") == 20_051


def test_own_fills_lines_and_round_trips(open_page: Opener, control: Callable[..., None]) -> None:
    control(qty=2, price=20_050, fills=7)
    page = charted(open_page("/desk/1/"))
    until(
        page, "desk.chart.marks.fills.length >= 7 && desk.chart.marks.trades.length >= 3 && desk.chart.marks.drawn > 0"
    )
    box = page.locator("#chart-box")
    until(page, "document.getElementById('chart-box').getAttribute('aria-label').includes('stop 5009.00')")
    said = box.get_attribute("aria-label") or ""
    assert "average 5011.00" in said
    assert "target 5014.00" in said
    control(qty=0)
    until(page, "!document.getElementById('chart-box').getAttribute('aria-label').includes('stop')")


def test_end_goes_to_now(open_page: Opener) -> None:
    page = charted(open_page("/desk/1/"))
    # A page that falls behind, or has just begun, reads its history and stands at its end again: back once more, then.
    back = "desk.chart.api.timeScale().scrollPosition() < -1 || desk.chart.api.timeScale().scrollToPosition(-60, false)"
    until(page, f"({back}, document.getElementById('chart-now').textContent.includes('new bar'))", 4 * PATIENCE_S)
    page.keyboard.press("End")
    until(page, "desk.chart.api.timeScale().scrollPosition() > -1")
    expect(page.locator("#chart-now")).to_have_text("now")


def test_exports_say_what_they_are(open_page: Opener) -> None:
    """UI-40: PNG and CSV carry title, zone and inputs; the table equals the CSV; the CSV equals what is drawn."""
    page = charted(open_page("/desk/1/"))
    page.click("#frames [data-choice='60']")
    until(page, "desk.chart.frame() === 60 && desk.chart.data.points.length > 5")
    page.click("#chart-fit")
    until(page, "desk.chart.about().bars.length > 15")
    with page.expect_download() as found:
        page.click("#chart-csv")
    with open(found.value.path(), encoding="utf-8") as file:
        text = file.read()
    head = text.splitlines()[:2]
    assert head[0].startswith("# MES 1m s1 PAPER")
    assert "(CT)" in head[1]
    assert "inputs 0123456789abcdef" in head[1]
    rows = list(csv.DictReader(io.StringIO("\n".join(text.splitlines()[2:]))))
    drawn = page.evaluate("desk.chart.about().bars")
    settled = min(len(rows), len(drawn)) - 1  # the newest bar goes on meanwhile
    assert settled > 10
    for row, bar in zip(rows[:settled], drawn[:settled], strict=True):
        assert float(row["close"]) * 4 == bar["close"]
        assert int(row["volume"]) == bar["volume"]
        assert row["time"].endswith("-05:00"), "the zone's own offset on that day"
    page.click("#chart-table")
    expect(page.locator("#table-dialog")).to_be_visible()
    shown = page.locator("#chart-rows tbody tr").all_inner_texts()
    assert shown[-1].split() == list(rows[0].values())
    page.keyboard.press("Escape")
    with page.expect_download() as picture:
        page.click("#chart-png")
    with open(picture.value.path(), "rb") as raw:
        data = raw.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[16:20], "big") > 600
    assert picture.value.suggested_filename.startswith("MES-1m-s1-PAPER-2026-10-14T")


def wave(i: int) -> int:
    return 20_000 + round(60 * math.sin(i / 180) + 12 * math.sin(i / 13))


def full_history(page: Page) -> None:
    """10 000 bars and 5 000 fills as the server would send them; the live values go on from the last bar."""
    now_s = 1_792_000_000 - 1_792_000_000 % 5
    times = [now_s - 5 * (CANDLES - i) for i in range(CANDLES)]
    bars = [[t, wave(i), wave(i) + 3, wave(i) - 3, wave(i + 1), 7 + i % 40] for i, t in enumerate(times)]
    fills = [
        {
            "seq": i + 1,
            "ts_us": times[2 * i] * 1_000_000,
            "inst": 0,
            "side": 1 - 2 * (i % 2),
            "qty": 1,
            "tick": wave(2 * i),
        }
        for i in range(FILLS)
    ]
    trades = [
        {"seq": i, "ts_us": times[4 * i + 2] * 1_000_000, "opened_us": times[4 * i] * 1_000_000, "inst": 0, "side": 1}
        | {"entry_tick": wave(4 * i), "exit_tick": wave(4 * i + 2), "net_micros": (-1) ** i * 1000}
        for i in range(FILLS // 2)
    ]

    def answer(route: Route) -> None:
        body: dict[str, Any] = {"inst": 0, "tf": 5, "n": CANDLES, "bars": bars}
        if "/api/marks/" in route.request.url:
            body = {"fills": fills, "trades": trades}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page.route("**/api/bars/**", answer)
    page.route("**/api/marks/**", answer)


FRAMES = """async ({ seconds, pan }) => {
  const scale = globalThis.desk?.chart?.api.timeScale();
  const gaps = [];
  let before = 0, i = 0;
  await new Promise((done) => {
    const end = performance.now() + seconds * 1000;
    const step = (now) => {
      if (before) gaps.push(now - before);
      before = now;
      if (pan && scale) scale.scrollToPosition(-200 - 150 * Math.sin(i++ / 20), false);
      if (now < end) requestAnimationFrame(step);
      else done();
    };
    requestAnimationFrame(step);
  });
  gaps.sort((a, b) => a - b);
  const total = gaps.reduce((a, b) => a + b, 0);
  return { fps: 1000 * gaps.length / total, p95: gaps[Math.floor(gaps.length * 0.95)], worst: gaps.at(-1) };
}"""

# What the live bar would be: 20 a second go through the page's own store, whatever the producer's clock says.
UPDATES = """() => {
  const chart = desk.chart;
  let k = 0;
  globalThis.updates = 0;
  setInterval(() => {
    const { time, open, high, low, volume } = chart.data.points.at(-1);
    const bar = { t_us: time * 1e6, o: open, h: high, l: low, c: low + (k++ % 6), v: volume };
    desk.store.values["bar:0:5"] = { ...bar, n: chart.data.n, before: null };
    chart.update();
    globalThis.updates += 1;
  }, 50);
}"""


def main_thread_ms(pids: list[int]) -> dict[int, int]:
    """CPU ms of the renderers' main threads."""
    found = {}
    for pid in pids:
        fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        found[pid] = (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")
    return found


def window(page: Page, *, pan: bool) -> dict[str, float]:
    """Frames of one window, and what the main thread spent on each."""
    browser = page.context.browser
    assert browser is not None
    infos = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    pids = [int(info["id"]) for info in infos if info["type"] == "renderer"]
    before = main_thread_ms(pids)
    found: dict[str, float] = page.evaluate(FRAMES, {"seconds": WINDOW_S, "pan": pan})
    spent = max(after - before[pid] for pid, after in main_thread_ms(pids).items())
    return found | {"frame_ms": spent / (found["fps"] * WINDOW_S), "busy": spent / (1000 * WINDOW_S)}


@pytest.mark.parametrize("view", ["usual", "zoomed out", "panning"])
def test_the_chart_is_fast(open_page: Opener, control: Callable[..., None], view: str) -> None:
    """UI-23: 10 000 candles, 5 000 marks, 20 updates a second: >= 58 frames a second, p95 <= 17.5 ms, none > 50 ms.

    Bounded; DESK_CHART_S=60 is the long form.  Where other programs take the machine away, wall time says nothing: then
    the main thread's own CPU does, at most 16 ms a frame and half of one core in all.
    """
    control(fills=3, bars=0)
    page = open_page("/sign-in/")
    full_history(page)
    page.goto(page.url.split("/sign-in")[0].split("/desk")[0] + "/desk/1/")
    until(live(page), f"desk.chart !== undefined && desk.chart.marks.fills.length >= {FILLS}")
    page.evaluate(UPDATES)
    if view == "zoomed out":
        page.click("#chart-fit")
    until(page, "desk.chart.marks.drawn > 0")
    seen: list[dict[str, float]] = []
    for _ in range(TRIES):
        found = window(page, pan=view == "panning")
        seen.append(found)
        smooth = found["fps"] >= FPS_MIN and found["p95"] <= P95_MS_MAX and found["worst"] <= WORST_MS
        if smooth or (os.getloadavg()[0] > LOADED and found["frame_ms"] <= FRAME_MS and found["busy"] <= BUSY):
            break
    else:
        raise AssertionError(seen)
    print(f"UI-23 {view}: {seen[-1]}")
    assert page.evaluate("globalThis.updates") > 0
    assert page.evaluate("desk.chart.marks.fills.length") >= FILLS
    if view == "zoomed out":
        width = page.evaluate("document.getElementById('chart-box').clientWidth")
        assert page.evaluate("desk.chart.marks.drawn") <= 2 * width / 3, "one mark per 3 px and side"
