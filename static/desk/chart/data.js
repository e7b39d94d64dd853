/* The bars that the chart draws: the history from the server, then the live bar on top.  Prices are whole ticks. */

const GAP_POINTS = 30; // a gap in trading is drawn as a gap, but a night is not drawn as thousands of empty bars

/** [t_s, o, h, l, c, v] → what the library takes. */
export function point([time, open, high, low, close, volume]) {
  return { time, open, high, low, close, volume };
}

export class BarData {
  constructor() {
    this.clear();
  }

  clear() {
    this.points = [];
    this.times = [];
    this.n = 0;
    this.last = -1; // place of the newest bar that is not a gap
  }

  /** Replace everything.  bars: oldest first; n: how many the server has in all. */
  load(bars, n, seconds) {
    this.clear();
    for (const bar of bars) this.#push(point(bar), seconds);
    this.n = n;
  }

  /**
   * Take the live value {t_us, o, h, l, c, v, n, before}.  Returns the points to hand to the library, oldest first, or
   * null when a bar was missed and the history must be read again.
   */
  apply(value, seconds) {
    const bar = point([value.t_us / 1e6, value.o, value.h, value.l, value.c, value.v]);
    const newest = this.points[this.last];
    if (!newest) {
      this.#push(bar, seconds);
      this.n = value.n;
      return this.points.slice();
    }
    if (value.n === this.n && newest.time === bar.time) {
      Object.assign(newest, bar);
      return [newest];
    }
    if (value.n !== this.n + 1 || bar.time <= newest.time || (value.before && value.before[0] !== newest.time)) return null;
    if (value.before) Object.assign(newest, point(value.before));
    const start = this.points.length;
    this.#push(bar, seconds);
    this.n = value.n;
    return [newest, ...this.points.slice(start)];
  }

  #push(bar, seconds) {
    const newest = this.points[this.last];
    const missing = newest ? Math.round((bar.time - newest.time) / seconds) - 1 : 0;
    for (let i = 1; i <= Math.min(missing, GAP_POINTS); i += 1) this.#add({ time: newest.time + i * seconds });
    this.#add(bar);
    this.last = this.points.length - 1;
  }

  #add(one) {
    this.points.push(one);
    this.times.push(one.time);
  }

  /** Place of the last bar at or before a time in s; −1 before the first. */
  indexAt(time) {
    return upper(this.times, time) - 1;
  }

  /** The smallest step between two bars in s, of the newest ones; 0 when there are fewer than two. */
  step() {
    const real = this.points.filter((one) => one.open !== undefined).slice(-50);
    let least = 0;
    for (let i = 1; i < real.length; i += 1) {
      const gap = real[i].time - real[i - 1].time;
      if (least === 0 || gap < least) least = gap;
    }
    return least;
  }
}

/** First place in a sorted list whose value is greater than `wanted`. */
export function upper(list, wanted) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
