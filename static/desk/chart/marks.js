/* Own fills and round trips on the price chart, as one series primitive.

The library's marker layer lays out every marker on every frame.  Here the visible ones are found by binary search in the
sorted places, one mark is drawn per 3 px and side, and each colour is one path: thousands cost what hundreds do. */
import { upper } from "./data.js";

const STEP_PX = 3;
const SIZE_PX = 5;
const DASHED_MAX = 200;

export class Marks {
  constructor(data) {
    this.data = data;
    this.colours = { up: "#58A6FF", down: "#FFA24C", edge: "#0B1017" };
    this.unit = 1; // price of one tick
    this.clear();
    this.views = [{ zOrder: () => "top", renderer: () => this }];
    this.drawn = 0;
  }

  clear() {
    this.fills = []; // {ts_us, side, qty, tick, seq}, oldest first
    this.places = []; // of fills, in bars
    this.trades = []; // {opened_us, ts_us, entry_tick, exit_tick, net_micros}, by their end
    this.starts = [];
    this.ends = [];
    this.seen = { fill: new Set(), trade: new Set() };
  }

  /** The library's side of a primitive. */
  attached({ chart, series, requestUpdate }) {
    Object.assign(this, { chart, series, requestUpdate });
  }

  detached() {
    this.chart = null;
  }

  updateAllViews() {}

  paneViews() {
    return this.views;
  }

  /** Add rows of the ledger or of the stream; those that are known already are skipped.  Returns how many were new. */
  add(kind, rows) {
    let added = 0;
    for (const row of rows) {
      if (row.gap || this.seen[kind].has(row.seq)) continue;
      this.seen[kind].add(row.seq);
      if (kind === "fill") {
        this.fills.push(row);
        this.places.push(this.#place(row.ts_us));
      } else {
        this.trades.push(row);
        this.starts.push(this.#place(row.opened_us ?? row.ts_us));
        this.ends.push(this.#place(row.ts_us));
      }
      added += 1;
    }
    return added;
  }

  #place(us) {
    return Math.max(0, this.data.indexAt(Math.floor(us / 1e6)));
  }

  /** Bars were loaded anew: every mark has another place. */
  settle() {
    this.places = this.fills.map((row) => this.#place(row.ts_us));
    this.starts = this.trades.map((row) => this.#place(row.opened_us ?? row.ts_us));
    this.ends = this.trades.map((row) => this.#place(row.ts_us));
  }

  /** Bars were added: only marks that waited at the old end move. */
  extend(before) {
    for (let i = this.fills.length - 1; i >= 0 && this.places[i] >= before; i -= 1) this.places[i] = this.#place(this.fills[i].ts_us);
    for (let i = this.trades.length - 1; i >= 0 && this.ends[i] >= before; i -= 1) this.ends[i] = this.#place(this.trades[i].ts_us);
  }

  /** Fills of one bar, for the readout. */
  at(place) {
    return this.fills.slice(upper(this.places, place - 1), upper(this.places, place));
  }

  draw(target) {
    if (!this.chart || this.fills.length + this.trades.length === 0) return;
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null) return;
    const origin = Math.max(0, Math.floor(range.from));
    const start = scale.logicalToCoordinate(origin);
    if (start === null) return;
    const spacing = scale.options().barSpacing;
    const x = (place) => start + (place - origin) * spacing;
    target.useMediaCoordinateSpace(({ context }) => {
      this.#ribbons(context, range, x);
      this.#arrows(context, range, x);
    });
  }

  #ribbons(context, range, x) {
    const first = upper(this.ends, range.from - 1);
    const paths = { up: new Path2D(), down: new Path2D() };
    let count = 0;
    let taken = -Infinity;
    for (let i = first; i < this.trades.length && this.starts[i] <= range.to + 1; i += 1) {
      const end = x(this.ends[i]);
      if (end - taken < STEP_PX) continue;
      taken = end;
      const trade = this.trades[i];
      const entry = this.series.priceToCoordinate(trade.entry_tick * this.unit);
      const exit = this.series.priceToCoordinate(trade.exit_tick * this.unit);
      if (entry === null || exit === null) continue;
      const path = trade.net_micros < 0 ? paths.down : paths.up;
      path.moveTo(x(this.starts[i]), entry);
      path.lineTo(end, exit);
      count += 1;
    }
    context.lineWidth = 2;
    context.globalAlpha = 0.75;
    for (const name of ["up", "down"]) {
      context.strokeStyle = this.colours[name];
      context.setLineDash(name === "down" && count <= DASHED_MAX ? [4, 3] : []);
      context.stroke(paths[name]);
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  #arrows(context, range, x) {
    const paths = { up: new Path2D(), down: new Path2D() };
    const taken = { up: -Infinity, down: -Infinity };
    let drawn = 0;
    for (let i = upper(this.places, range.from - 1); i < this.fills.length && this.places[i] <= range.to + 1; i += 1) {
      const name = this.fills[i].side > 0 ? "up" : "down";
      const at = x(this.places[i]);
      if (at - taken[name] < STEP_PX) continue;
      const y = this.series.priceToCoordinate(this.fills[i].tick * this.unit);
      if (y === null) continue;
      taken[name] = at;
      const away = name === "up" ? SIZE_PX * 1.6 : -SIZE_PX * 1.6;
      const path = paths[name];
      path.moveTo(at, y);
      path.lineTo(at - SIZE_PX, y + away);
      path.lineTo(at + SIZE_PX, y + away);
      path.closePath();
      drawn += 1;
    }
    this.drawn = drawn;
    context.lineWidth = 1;
    context.strokeStyle = this.colours.edge;
    for (const name of ["up", "down"]) {
      context.fillStyle = this.colours[name];
      context.fill(paths[name]);
      context.stroke(paths[name]);
    }
  }
}
