/* A part of a day of a stored data set: candles, or best bid, best ask, middle and below them the spread.  The lines are
what stood at each slice's end; faint beside them the lowest bid and the highest ask within it, so that no spike hides.

The page has the form, the words and a plain picture; this fetches the points and draws them.  Gaps are hatched over the
whole height, rolls are marked by name.  Prices are whole ticks from the server; the axis writes the venue's decimals. */
import { CandlestickSeries, HistogramSeries, LineSeries, LineType, createChart, createSeriesMarkers } from "../../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { by, put } from "../dom.js";
import { NONE, count, price, zoneName } from "../format.js";
import { fill, gettext as _ } from "../texts.js";
import { timeTexts, zoned } from "../chart/axis.js";
import { candleOptions, options, tickSize, tokens, volumeOptions } from "../chart/looks.js";

const MORE = ["attention", "paper", "replay"];
const WHOLE = { autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }) };
const box = by("day-box");
let chart = null;

function colours() {
  const style = getComputedStyle(document.documentElement);
  return { ...tokens(), ...Object.fromEntries(MORE.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) };
}

/** Every slice of the span: {time} where `value` knows nothing. */
function grid(data, value) {
  const points = [];
  for (let time = data.begin; time < data.end; time += data.step) points.push({ time, ...value(time) });
  return points;
}

function inGap(data, time) {
  return data.gaps?.some(([begin, end]) => begin < time + data.step && end > time) ?? false;
}

function draw(data) {
  chart?.remove();
  const look = colours();
  const unit = tickSize(data);
  const texts = timeTexts(data.zone);
  const base = options(look);
  chart = createChart(box, { ...base, layout: { ...base.layout, panes: { separatorColor: look.line, separatorHoverColor: look.control, enableResize: false } }, localization: { timeFormatter: texts.crosshair }, timeScale: { ...base.timeScale, rightOffset: 0, minBarSpacing: 0.01, tickMarkFormatter: texts.tick } });
  const hatch = chart.addSeries(HistogramSeries, { priceScaleId: "gaps", color: `${look.attention}33`, lastValueVisible: false, priceLineVisible: false, ...WHOLE });
  hatch.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
  hatch.setData(grid(data, (time) => (inGap(data, time) ? { value: 1 } : {})));
  const main = data.quotes.length > 0 ? quotes(data, look, unit) : candles(data, look, unit);
  createSeriesMarkers(main, data.rolls.map(([at, before, after]) => ({
    time: Math.max(data.begin, data.begin + Math.floor((at - data.begin) / data.step) * data.step),
    position: "aboveBar", shape: "arrowDown", color: look.replay, text: `${before} → ${after}`,
  })));
  chart.timeScale().fitContent();
  chart.subscribeCrosshairMove((move) => tell(data, move.time));
  tell(data);
}

function candles(data, look, unit) {
  const rows = new Map(data.candles.map((row) => [row[0], row]));
  const series = chart.addSeries(CandlestickSeries, { ...candleOptions(look, data), priceLineVisible: false });
  const volumes = chart.addSeries(HistogramSeries, volumeOptions(look));
  volumes.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
  series.setData(grid(data, (time) => {
    const row = rows.get(time);
    return row ? { open: row[1] * unit, high: row[2] * unit, low: row[3] * unit, close: row[4] * unit } : {};
  }));
  volumes.setData(grid(data, (time) => {
    const row = rows.get(time);
    return row ? { value: row[5], color: row[4] < row[1] ? look.soft.down : look.soft.up } : {};
  }));
  return series;
}

function quotes(data, look, unit) {
  const rows = new Map(data.quotes.map((row) => [row[0], row]));
  const shared = { lineWidth: 1, lineType: LineType.WithSteps, lastValueVisible: false, priceLineVisible: false, priceFormat: candleOptions(look, data).priceFormat };
  const line = (color, more, value) => {
    const series = chart.addSeries(LineSeries, { ...shared, color, ...more });
    let last = null; // the library draws over a hole: there the line has no colour
    series.setData(grid(data, (time) => {
      const found = value(rows.get(time));
      if (found !== null) last = found * unit;
      else if (last !== null) return { value: last, color: "transparent" };
      return found === null ? {} : { value: last };
    }));
    return series;
  };
  line(look.soft.up, {}, (row) => row?.[6] ?? null);
  line(look.soft.down, {}, (row) => row?.[7] ?? null);
  const bid = line(look.up, {}, (row) => row?.[1] ?? null);
  line(look.down, {}, (row) => row?.[2] ?? null);
  line(look["text-2"], { lineStyle: 1 }, (row) => (row && row[1] !== null && row[2] !== null ? (row[1] + row[2]) / 2 : null));
  const spread = chart.addSeries(HistogramSeries, { color: look["text-3"], lastValueVisible: false, priceLineVisible: false, priceFormat: { type: "custom", minMove: 1, formatter: (value) => `${Math.round(value)} t` } }, 1);
  spread.setData(grid(data, (time) => {
    const value = rows.get(time)?.[3] ?? null;
    return value === null ? {} : { value };
  }));
  chart.panes()[1]?.setStretchFactor(0.3);
  return bid;
}

/* words */
function tell(data, time) {
  const at = time ?? null;
  const zone = zoneName(data.zone);
  if (at === null) {
    put(by("day-readout"), fill(_("%(n)s points of %(step)s s"), { n: count(data.quotes.length || data.candles.length), step: count(data.step) }));
    return;
  }
  const when = `${zoned(at, data.zone, "full")} ${zone}`;
  const quote = data.quotes.find((row) => row[0] === at);
  const candle = data.candles.find((row) => row[0] === at);
  const text = (tick) => (tick === null ? NONE : price(tick, data));
  const said = quote
    ? `${_("bid")} ${text(quote[1])}  ${_("ask")} ${text(quote[2])}  ${_("lowest bid")} ${text(quote[6])}  ${_("highest ask")} ${text(quote[7])}  ${_("widest spread")} ${quote[3] === null ? NONE : `${quote[3]} t`}  ${count(quote[4])} ${_("books")}${quote[5] > 0 ? `, ${count(quote[5])} ${_("not valid")}` : ""}`
    : candle ? `O ${text(candle[1])} H ${text(candle[2])} L ${text(candle[3])} C ${text(candle[4])}  V ${count(candle[5])}` : _("nothing");
  put(by("day-readout"), `${when}  ${said}${inGap(data, at) ? `  ▲ ${_("gap")}` : ""}`);
}

function summary(data) {
  const what = data.quotes.length > 0 ? _("best bid, ask and spread") : _("candles");
  return `${data.symbol}, ${what}, ${zoned(data.begin, data.zone, "full")} – ${zoned(data.end, data.zone, "full")} ${zoneName(data.zone)}, ${count(data.rows)} ${_("rows")}`;
}

function fault(text) {
  box.hidden = true;
  put(by("day-fault-text"), text);
  by("day-fault").hidden = false;
}

async function load() {
  let data;
  try {
    const answer = await fetch(box.dataset.points);
    data = await answer.json();
    if (!answer.ok) {
      fault(data.error);
      return;
    }
  } catch (error) {
    console.warn("the points of the day could not be read", error.message);
    fault(_("The points of this day could not be read."));
    return;
  }
  by("day-plain")?.remove();
  if (data.quotes.every((row) => row[1] === null && row[2] === null) && data.candles.length === 0) {
    box.hidden = true;
    by("day-nothing").hidden = false;
    return;
  }
  by("day-cut").hidden = data.cut === null;
  if (data.cut !== null) put(by("day-cut-at"), `${zoned(data.cut, data.zone, "full")} ${zoneName(data.zone)}`);
  by("day-gaps-unknown").hidden = data.gaps !== null;
  box.setAttribute("aria-label", summary(data));
  draw(data);
  document.addEventListener("look", ({ detail }) => detail.name === "theme" && draw(data));
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => draw(data));
  globalThis.dayChart = { chart: () => chart, data };
}

load();
