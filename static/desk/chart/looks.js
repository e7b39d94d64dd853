/* The chart's colours and options, taken from the page's own tokens. */
import { price } from "../format.js";

const NAMES = ["bg-0", "bg-1", "bg-2", "text", "text-2", "text-3", "control", "line", "up", "down"];

/** Token → colour as it stands now. */
export function tokens() {
  const style = getComputedStyle(document.documentElement);
  const found = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return { ...found, soft: { up: `${found.up}59`, down: `${found.down}59` } };
}

export function options(colours) {
  return {
    autoSize: true,
    layout: { background: { type: "solid", color: colours["bg-1"] }, textColor: colours["text-2"], fontSize: 11, attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily },
    grid: { vertLines: { color: colours["bg-2"] }, horzLines: { color: colours["bg-2"] } },
    rightPriceScale: { borderColor: colours.line, scaleMargins: { top: 0.08, bottom: 0.18 } },
    timeScale: { borderColor: colours.line, timeVisible: true, secondsVisible: true, rightOffset: 4, barSpacing: 7, minBarSpacing: 0.03, enableConflation: true },
    crosshair: { mode: 0, vertLine: { color: colours["text-3"], labelBackgroundColor: colours["bg-2"] }, horzLine: { color: colours["text-3"], labelBackgroundColor: colours["bg-2"] } },
    handleScale: { axisDoubleClickReset: true },
  };
}

/** Price of one tick, for the library; whole ticks stand everywhere else. */
export function tickSize(inst) {
  return inst ? inst.tick_nanos / 1e9 : 1;
}

/** Rising bars hollow, falling bars filled: told without colour too. */
export function candleOptions(colours, inst) {
  const unit = tickSize(inst);
  return {
    upColor: colours["bg-1"], borderUpColor: colours.up, wickUpColor: colours.up,
    downColor: colours.down, borderDownColor: colours.down, wickDownColor: colours.down,
    priceLineVisible: true, priceLineStyle: 1, lastValueVisible: true, priceLineColor: colours["text-3"],
    priceFormat: { type: "custom", minMove: unit, formatter: (value) => price(Math.round(value / unit), inst) },
  };
}

export function volumeOptions(colours) {
  return { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false, color: colours.soft.up };
}
