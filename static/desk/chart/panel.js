/* The price chart: bars of the watched instrument, own fills and round trips, average, stop and target.

History by HTTP, then the live bar of every frame.  Prices are whole ticks inside; the axis writes the venue's decimals. */
import { CandlestickSeries, HistogramSeries, createChart } from "../../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { by, choices, hint, put } from "../dom.js";
import { count, price, side, zoneName } from "../format.js";
import { fill, gettext as _, ngettext } from "../texts.js";
import { timeTexts, zoned } from "./axis.js";
import { BarData } from "./data.js";
import { csv, png, showTable } from "./export.js";
import { Handles } from "./handles.js";
import { Lines } from "./lines.js";
import { candleOptions, options, tickSize, tokens, volumeOptions } from "./looks.js";
import { Marks } from "./marks.js";

const FRAMES = [[1, "1s"], [5, "5s"], [60, "1m"], [300, "5m"]];
const HISTORY = 3000;
const RELOAD_MS = 2000;
const KEPT = "desk.frame";

/** until: µs UTC after which nothing is shown (a replay), or undefined.  commands: null in a replay. */
export function chartPanel(store, view, until, commands) {
  const panel = by("chart");
  const box = by("chart-box");
  const data = new BarData();
  const marks = new Marks(data);
  let colours = tokens();
  let seconds = Number(localStorage.getItem(KEPT)) || 5;
  let chosen = localStorage.getItem(KEPT) !== null;
  let fresh = 0;
  let loadedAt = -1e9;
  let loading = null;
  let hover = null;
  const chart = createChart(box, options(colours));
  const candles = chart.addSeries(CandlestickSeries, candleOptions(colours, store.instrument(view.inst)));
  const volumes = chart.addSeries(HistogramSeries, volumeOptions(colours));
  volumes.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
  const lines = new Lines(candles);
  const handles = new Handles(box.parentElement, candles, commands);
  const frames = choices(by("frames"), FRAMES.map(([value, text]) => [String(value), text]), String(seconds), (value) => setFrame(Number(value), true));
  candles.attachPrimitive(marks);
  setZone();
  recolour();

  /* what a person does */
  for (const button of panel.querySelectorAll(".tools button")) button.disabled = false;
  by("chart-now").addEventListener("click", toNow);
  by("chart-fit").addEventListener("click", () => chart.timeScale().fitContent());
  box.addEventListener("dblclick", () => chart.timeScale().fitContent());
  by("chart-log").addEventListener("click", () => {
    const on = by("chart-log").getAttribute("aria-pressed") !== "true";
    by("chart-log").setAttribute("aria-pressed", String(on));
    candles.priceScale().applyOptions({ mode: on ? 1 : 0 });
  });
  by("chart-png").addEventListener("click", () => png(chart, about(), colours));
  by("chart-csv").addEventListener("click", () => csv(about()));
  by("chart-table").addEventListener("click", () => showTable(about(), lines.texts()));
  chart.subscribeCrosshairMove((move) => {
    hover = move.time === undefined ? null : move;
    readout();
  });
  chart.timeScale().subscribeVisibleLogicalRangeChange(() => {
    if (chart.timeScale().scrollPosition() > -1) fresh = 0;
    tellNew();
  });
  view.onChange(() => load(true));
  document.addEventListener("look", ({ detail }) => {
    if (detail.name === "zone") setZone();
    if (detail.name === "theme") recolour();
  });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", recolour);

  function setFrame(value, byPerson) {
    seconds = value;
    chosen ||= byPerson;
    if (byPerson) localStorage.setItem(KEPT, String(value));
    frames.choose(String(value));
    load(true);
  }

  function toNow() {
    chart.timeScale().scrollToRealTime();
  }

  function setZone() {
    const texts = timeTexts(store.zone);
    chart.applyOptions({ localization: { timeFormatter: texts.crosshair }, timeScale: { tickMarkFormatter: texts.tick } });
    hint(box, `${_("Times in")} ${zoneName(store.zone)}`);
  }

  function recolour() {
    colours = tokens();
    chart.applyOptions(options(colours));
    candles.applyOptions(candleOptions(colours, store.instrument(view.inst)));
    marks.colours = { up: colours.up, down: colours.down, edge: colours["bg-1"] };
    volumes.setData(volumePoints(data.points));
    lines.lines.forEach((line) => candles.removePriceLine(line.made));
    lines.lines.clear();
    drawLines();
  }

  /* data */
  async function load(replace) {
    if (!replace && performance.now() - loadedAt < RELOAD_MS) return;
    loadedAt = performance.now();
    const ticket = {};
    loading = ticket;
    const query = `?inst=${view.inst}${until ? `&until=${until}` : ""}`;
    try {
      const answers = await Promise.all([fetch(`${panel.dataset.bars}${query}&tf=${seconds}&limit=${HISTORY}`), fetch(`${panel.dataset.marks}${query}`)]);
      if (!answers.every((answer) => answer.ok)) throw new Error(answers.map((answer) => answer.status).join(", "));
      const [bars, rows] = await Promise.all(answers.map((answer) => answer.json()));
      if (loading !== ticket) return; // another instrument or frame was chosen meanwhile
      data.load(bars.bars, bars.n, seconds);
      marks.clear();
      marks.add("fill", rows.fills);
      marks.add("trade", rows.trades);
    } catch (error) {
      console.warn("the chart's history could not be read", error.message);
      if (loading !== ticket) return;
      if (replace) data.clear();
    }
    loading = null;
    candles.applyOptions(candleOptions(colours, store.instrument(view.inst)));
    takeRows();
    marks.settle();
    const range = replace ? null : chart.timeScale().getVisibleLogicalRange();
    candles.setData(priced(data.points));
    volumes.setData(volumePoints(data.points));
    if (range) chart.timeScale().setVisibleLogicalRange(range);
    const step = data.step();
    if (!chosen && step > seconds) setFrame((FRAMES.findLast(([value]) => value <= step) ?? FRAMES[0])[0], false);
    takeLive();
    update();
  }

  /** Ticks → the library's prices: floats, for the drawing alone. */
  function priced(points) {
    const unit = tickSize(store.instrument(view.inst));
    marks.unit = unit;
    return points.map((one) => (one.open === undefined ? one : { time: one.time, open: one.open * unit, high: one.high * unit, low: one.low * unit, close: one.close * unit }));
  }

  function volumePoints(points) {
    return points.map((one) => (one.open === undefined ? { time: one.time } : { time: one.time, value: one.volume, color: one.close < one.open ? colours.soft.down : colours.soft.up }));
  }

  function takeRows() {
    const own = (name) => (store.rows[name]?.items ?? []).filter((row) => String(row.inst) === view.inst);
    return marks.add("fill", own("fill")) + marks.add("trade", own("trade"));
  }

  function takeLive() {
    const value = store.values[`bar:${view.inst}:${seconds}`];
    if (!value || loading) return;
    const before = data.last;
    const points = data.apply(value, seconds);
    if (points === null) {
      load(false);
      return;
    }
    const shown = volumePoints(points);
    priced(points).forEach((one, i) => {
      candles.update(one);
      volumes.update(shown[i]);
    });
    if (data.last !== before) {
      marks.extend(Math.max(0, before));
      if (before >= 0 && chart.timeScale().scrollPosition() < -1) fresh += 1;
      tellNew();
    }
  }

  function update() {
    put(by("chart-symbol"), store.instrument(view.inst)?.symbol ?? "");
    takeLive();
    if (!loading && takeRows() > 0) marks.requestUpdate?.();
    by("chart-empty").hidden = data.points.length > 0;
    drawLines();
    readout();
  }

  function drawLines() {
    lines.update(store.values[`pos:${view.inst}`], store.instrument(view.inst), store.currency, colours);
    tick();
  }

  /** The scale moves with the price and under the pointer: handles follow it. */
  function tick() {
    handles.update(store.values[`pos:${view.inst}`], store.instrument(view.inst), view.inst, colours);
  }

  /* words */
  function tellNew() {
    put(by("chart-now"), fresh > 0 ? fill(ngettext("%(n)s new bar", "%(n)s new bars", fresh), { n: fresh }) : _("now"));
  }

  function readout() {
    const place = hover ? Math.round(hover.logical) : data.last;
    const bar = data.points[place];
    const inst = store.instrument(view.inst);
    if (!bar || bar.open === undefined) {
      put(by("chart-readout"), bar ? `${zoned(bar.time, store.zone, "full")} ${zoneName(store.zone)}: ${_("no trade")}` : "");
      return;
    }
    const text = (name) => price(bar[name], inst);
    const fills = hover ? marks.at(place) : [];
    const own = fills.length > 3 ? [`${count(fills.length)} ${_("own fills")}`] : fills.map((row) => `${side(row.side)} ${row.qty} @ ${price(row.tick, inst)}`);
    const told = hover ? decisionAt(bar.time) : "";
    put(by("chart-readout"), [`${zoned(bar.time, store.zone, "full")} ${zoneName(store.zone)}`, `O ${text("open")} H ${text("high")} L ${text("low")} C ${text("close")}`, `V ${count(bar.volume)}`, ...own, told].filter(Boolean).join("  "));
  }

  function decisionAt(time) {
    const row = (store.rows.decision?.items ?? []).findLast((one) => !one.gap && String(one.inst) === view.inst && one.ts_us >= time * 1e6 && one.ts_us < (time + seconds) * 1e6);
    return row ? `${side(row.side)} ${row.code === 0 ? _("taken") : _("refused")}` : "";
  }

  function about() {
    const range = chart.timeScale().getVisibleLogicalRange() ?? { from: 0, to: data.points.length };
    const bars = data.points.slice(Math.max(0, Math.ceil(range.from)), Math.floor(range.to) + 1).filter((one) => one.open !== undefined);
    const mode = store.values.mode ?? {};
    const inst = store.instrument(view.inst);
    const name = FRAMES.find(([value]) => value === seconds)[1];
    return { title: `${inst?.symbol ?? ""} ${name} ${mode.key ?? ""} ${String(mode.mode ?? "").toUpperCase()}`, zone: store.zone, inputs: mode.inputs ?? _("not known"), bars, inst };
  }

  function summarise() {
    const bar = data.points[data.last];
    const inst = store.instrument(view.inst);
    if (!bar) return;
    const text = `${_("Price chart of")} ${inst?.symbol ?? ""}, ${data.points.length} ${_("bars")}, ${_("last")} ${price(bar.close, inst)}, ${marks.fills.length} ${_("own fills")}${lines.lines.size > 0 ? `, ${lines.texts().join(", ")}` : ""}`;
    if (box.getAttribute("aria-label") !== text) box.setAttribute("aria-label", text);
  }
  setInterval(summarise, 1000);
  load(true);
  return { keys: ["bar:", "pos:", "rows:fill", "rows:trade", "instruments", "clock", "*"], update, tick, toNow, load, api: chart, data, marks, about, frame: () => seconds };
}
