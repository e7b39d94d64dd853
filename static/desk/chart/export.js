/* The chart taken away: a picture with its title, range, zone and inputs burnt in, a CSV, and the same as a real table. */
import { openDialog } from "../dialogs.js";
import { by, put } from "../dom.js";
import { price, zoneName } from "../format.js";
import { Table } from "../table.js";
import { gettext as _ } from "../texts.js";
import { iso } from "./axis.js";

const HEAD_PX = 44;

/** What every export says of itself.  about: {title, zone, inputs, bars, inst}. */
export function caption({ title, zone, inputs, bars }) {
  const range = bars.length > 0 ? `${iso(bars[0].time, zone)} – ${iso(bars.at(-1).time, zone)}` : _("no bars");
  return [title, `${range} (${zoneName(zone)}), inputs ${inputs}`];
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function fileName(about, ending) {
  const end = about.bars.at(-1);
  const stamp = end ? iso(end.time, "UTC").slice(0, 19).replaceAll(":", "") : "empty";
  return `${about.title.replaceAll(" ", "-")}-${stamp}.${ending}`;
}

/** The chart's own canvas under two lines of text. */
export function png(chart, about, colours) {
  const picture = chart.takeScreenshot(true);
  const ratio = globalThis.devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height + HEAD_PX * ratio;
  const context = canvas.getContext("2d");
  context.fillStyle = colours["bg-1"];
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, HEAD_PX * ratio);
  const [title, line] = caption(about);
  context.fillStyle = colours.text;
  context.font = `600 ${14 * ratio}px sans-serif`;
  context.fillText(title, 10 * ratio, 18 * ratio);
  context.fillStyle = colours["text-2"];
  context.font = `${11 * ratio}px sans-serif`;
  context.fillText(line, 10 * ratio, 35 * ratio);
  canvas.toBlob((blob) => save(blob, fileName(about, "png")), "image/png");
}

const COLUMNS = ["time", "open", "high", "low", "close", "volume"];

function cells(bar, about) {
  const prices = ["open", "high", "low", "close"].map((name) => price(bar[name], about.inst).replace("−", "-"));
  return [iso(bar.time, about.zone), ...prices, String(bar.volume)];
}

/** The bars in view as CSV text: two lines of caption, the names, one line a bar. */
export function csvText(about) {
  const lines = [...caption(about).map((line) => `# ${line}`), COLUMNS.join(","), ...about.bars.map((bar) => cells(bar, about).join(","))];
  return `${lines.join("\r\n")}\r\n`;
}

export function csv(about) {
  save(new Blob([csvText(about)], { type: "text/csv;charset=utf-8" }), fileName(about, "csv"));
}

let table = null;

/** The accessible twin: the same rows as the CSV, newest first, and the own orders drawn as lines. */
export function showTable(about, lines) {
  table ??= new Table(by("chart-rows"), COLUMNS.map((name, i) => ({ name, cls: i > 0 ? "n" : "num", cell: (row) => row[i] })), {
    caption: _("Bars in view, newest first"), empty: _("No bars in view."), key: (row) => row[0],
  });
  put(by("h-table"), [...caption(about), ...lines].join(" · "));
  table.render(about.bars.map((bar) => cells(bar, about)).reverse());
  openDialog(by("table-dialog"));
}
