/* Average, stop and target of what is held, as price lines.  Their worth is the server's figure; the word stands beside the colour. */
import { known, money, price, size, ticks } from "../format.js";
import { tickSize } from "./looks.js";

const DASHED = 2;

export class Lines {
  constructor(series) {
    this.series = series;
    this.lines = new Map();
  }

  /** Draw what `pos:<inst>` says; colours: tokens by name. */
  update(position, inst, currency, colours) {
    const held = position && position.qty !== 0;
    const stop = held ? (position.stop_tick ?? position.stop?.tick) : null;
    const target = held ? (position.target_tick ?? position.target?.tick) : null;
    const average = held ? (position.avg_tick ?? averageOf(position, inst)) : null;
    this.inst = inst;
    this.#set("average", average, colours["text-2"], 0, held ? `${size(position.qty)} ${ticks(position.open_ticks).replace("—", "")}`.trim() : "");
    this.#set("stop", stop, colours.down, DASHED, `stop ${worth(position?.stop_micros, currency)}`.trim());
    this.#set("target", target, colours.up, DASHED, `target ${worth(position?.target_micros, currency)}`.trim());
  }

  #set(name, tick, color, lineStyle, title) {
    const line = this.lines.get(name);
    if (!known(tick)) {
      if (line) this.series.removePriceLine(line.made);
      this.lines.delete(name);
      return;
    }
    const key = `${tick} ${color} ${title} ${this.inst?.symbol}`;
    if (line?.key === key) return;
    const options = { price: tick * tickSize(this.inst), color, lineStyle, lineWidth: 1, axisLabelVisible: true, title };
    if (line) line.made.applyOptions(options);
    this.lines.set(name, { key, tick, made: line ? line.made : this.series.createPriceLine(options) });
  }

  /** Name → price as text: what the table and the summary say. */
  texts() {
    return [...this.lines].map(([name, line]) => `${name} ${price(line.tick, this.inst)}`);
  }
}

function worth(micros, currency) {
  return known(micros) ? money(micros, currency) : "";
}

function averageOf(position, inst) {
  const value = Number(position.avg_text);
  return inst && Number.isFinite(value) ? (value * 1e9) / inst.tick_nanos : null;
}
