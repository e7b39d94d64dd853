/* The page's replica: last value of every key, the latest rows of every stream, and how old the knowledge is.

Filled by the socket alone.  It never derives money, limits or state; it only keeps, numbers and ages. */

const ROWS_KEPT = 200;
const WAIT_MS = 1500;

/** How two items of a stream are the same row: a later one replaces it. */
const IDENTITY = {
  order: (row) => row.oid ?? row.number,
  fill: (row) => row.seq,
  trade: (row) => row.seq,
  decision: (row) => row.id ?? row.seq,
  command: (row) => row.cid ?? row.key,
};

export class Store {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.values = {};
    this.rows = {};
    this.hello = { thresholds: {}, hop_limits: {}, rights: [] };
    this.changed = new Set();
    this.hops = {};
    this.receivedAt = null;
    this.frameAt = null;
    this.skipped = 0;
    this.n = 0;
    this.seq = 0;
    this.epoch = "";
    this.painted = false;
    this.over = false;
    this.replay = false; // a moment of the past: nothing here ages
    this.zoneChosen = "";
  }

  /** A whole picture replaces everything. */
  snap(message) {
    this.values = message.d;
    this.rows = {};
    for (const [name, stream] of Object.entries(message.rows)) {
      this.rows[name] = { to: stream.to, items: [], index: new Map() };
      this.#add(name, stream.items);
    }
    this.n = message.n;
    this.epoch = message.epoch;
    this.seq = message.seq;
    this.snapAt = this.now();
    this.#stamp(message);
    this.changed = new Set([...Object.keys(this.values), ...Object.keys(this.rows).map((name) => `rows:${name}`), "*"]);
  }

  /** A frame of changes.  Returns why it cannot be believed, or "". */
  frame(message) {
    if (message.n !== this.n + 1) return `frame ${message.n} after ${this.n}`;
    if (message.epoch !== this.epoch) return "another epoch";
    if (message.seq < this.seq) return `seq fell from ${this.seq} to ${message.seq}`;
    for (const [name, stream] of Object.entries(message.rows)) {
      const last = this.rows[name]?.to ?? 0;
      if (stream.from !== last + 1) return `${name} rows from ${stream.from} after ${last}`;
    }
    this.n = message.n;
    this.seq = message.seq;
    for (const [key, value] of Object.entries(message.d)) {
      this.values[key] = value;
      this.changed.add(key);
    }
    for (const [name, stream] of Object.entries(message.rows)) {
      this.rows[name] ??= { to: 0, items: [], index: new Map() };
      this.rows[name].to = stream.to;
      this.#add(name, stream.items);
      this.changed.add(`rows:${name}`);
    }
    this.#stamp(message);
    return "";
  }

  #stamp(message) {
    this.hops = message.t;
    this.skipped = message.skipped ?? 0;
    this.receivedAt = this.now();
  }

  #add(name, items) {
    const stream = this.rows[name];
    for (const item of items) {
      const id = item.gap ? `gap${stream.to}` : String(IDENTITY[name]?.(item) ?? item.seq);
      const known = stream.index.get(id);
      if (known) {
        Object.assign(known, item);
      } else if (name === "decision" && folds(stream.items.at(-1), item)) {
        const last = stream.items.at(-1);
        Object.assign(last, item, { rowId: last.rowId });
      } else {
        const row = { ...item, rowId: id };
        stream.items.push(row);
        stream.index.set(id, row);
      }
    }
    while (stream.items.length > ROWS_KEPT) stream.index.delete(stream.items.shift().rowId);
  }

  /** Newest first. */
  list(name) {
    return [...(this.rows[name]?.items ?? [])].reverse();
  }

  /** ms since the hop's last beat: server stamps against each other, plus the time since receipt by our own clock. */
  hopAge(hop) {
    if (this.receivedAt === null) return null;
    const since = this.now() - this.receivedAt;
    if (hop === "browser") return this.frameAt === null ? null : this.now() - this.frameAt;
    if (hop === "web") return since;
    const beat = this.hops[hop];
    return beat === null || beat === undefined ? null : Math.max(0, (this.hops.web - beat) / 1000) + since;
  }

  /** Just after a whole picture nobody has beaten yet: that is not known, not dead. */
  waiting() {
    return this.snapAt === undefined || this.now() - this.snapAt < WAIT_MS;
  }

  /** The hop over its limit that is nearest to us, or "" when all beat: of what lies behind a dead one nothing is heard.
   *  Frames that came and were not painted: it is this browser, not the web. */
  deadHop() {
    for (const hop of ["web", "bus", "worker", "feed"]) {
      const limit = this.hello.hop_limits[hop];
      const age = this.hopAge(hop);
      if (limit !== undefined && (age === null ? !this.waiting() : age > limit)) return hop === "web" && this.frameAt < this.receivedAt ? "browser" : hop;
    }
    return "";
  }

  /** ms of knowledge behind a kind of panel. */
  knowledgeAge(kind) {
    const hops = kind === "market" ? ["feed", "worker", "web"] : kind === "loops" ? ["worker", "web"] : ["worker", "risk", "web"];
    let oldest = 0;
    for (const hop of hops) {
      const age = this.hopAge(hop);
      if (age === null) return null;
      oldest = Math.max(oldest, age);
    }
    return oldest;
  }

  instrument(i) {
    return this.values.instruments?.[i];
  }

  get currency() {
    return this.values.account?.currency ?? "";
  }

  /** The zone that times are written in: the venue's, unless the person chose another for the whole page. */
  get zone() {
    return this.zoneChosen || this.values.clock?.tz || "UTC";
  }

  /** Session time now in µs: the server's stamp plus what has passed here, at the session's speed. */
  sessionNow() {
    const clock = this.values.clock;
    if (!clock || clock.now_us === null || this.receivedAt === null) return null;
    return clock.now_us + this.sessionDrift() * 1000 * (clock.speed || 0);
  }

  sessionDrift() {
    return this.ended() ? 0 : Math.min(2000, this.now() - this.receivedAt);
  }

  ended() {
    return this.over || ["ended", "failed"].includes(this.values.mode?.status);
  }
}

function folds(last, item) {
  if (!last || last.gap || item.gap || !item.code || !(item.same > 1)) return false;
  return last.inst === item.inst && last.side === item.side && last.code === item.code;
}
