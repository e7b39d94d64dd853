/* What is said aloud: fills folded to one polite sentence in two seconds, alarms at once, the state on request. */
import { by, put } from "./dom.js";
import { count, holdName, money, price, side, size, time, words, zoneName } from "./format.js";
import { gettext as _ } from "./texts.js";

const POLITE_MS = 2000;
const MISSED_SHOWN_MS = 15000;

export class Say {
  constructor(store) {
    this.store = store;
    this.seen = null;
    this.saidAt = 0;
    this.holds = null;
    this.naked = false;
    this.connected = true;
  }

  #sentence(row) {
    const inst = this.store.instrument(row.inst);
    return `${side(row.side)} ${count(row.qty)} ${inst?.symbol ?? row.inst} at ${price(row.tick ?? row.price_tick, inst)}`;
  }

  /** After a break: the fills that came meanwhile, once. */
  missed(show) {
    if (this.seen === null) return;
    const fresh = this.store.list("fill").filter((row) => !row.gap && row.seq > this.seen);
    if (fresh.length === 0) return;
    show(`${_("You missed")}: ${fresh.map((row) => this.#sentence(row)).join("; ")}`);
    setTimeout(() => show(""), MISSED_SHOWN_MS);
  }

  /** One polite sentence for the newest fills, at most every two seconds. */
  fills() {
    const fills = this.store.list("fill").filter((row) => !row.gap);
    const newest = fills.length > 0 ? fills[0].seq : 0;
    const fresh = fills.filter((row) => row.seq > (this.seen ?? newest));
    if (this.seen !== null && (fresh.length === 0 || performance.now() - this.saidAt <= POLITE_MS)) return;
    if (fresh.length > 0) {
      const folded = fresh.length > 4 ? `${fresh.length} ${_("fills")}` : fresh.map((row) => this.#sentence(row)).join(". ");
      put(by("says"), `${folded}. ${this.#held()}`);
      this.saidAt = performance.now();
    }
    this.seen = newest;
  }

  #held() {
    const held = Object.entries(this.store.values).filter(([key, value]) => key.startsWith("pos:") && value?.qty);
    if (held.length === 0) return _("Now flat.");
    return held.map(([, value]) => `${_("Now")} ${value.qty > 0 ? "long" : "short"} ${Math.abs(value.qty)} ${value.symbol}.`).join(" ");
  }

  /** Holds raised and lifted, a missing stop, a lost connection with a position: assertive. */
  alarms(connected) {
    const rows = this.store.values.holds;
    const names = rows ? new Set(rows.map(holdName)) : null;
    const texts = [];
    if (names && this.holds) {
      for (const name of names) if (!this.holds.has(name)) texts.push(`${_("Hold raised")}: ${name}.`);
      for (const name of this.holds) if (!names.has(name)) texts.push(`${_("Hold lifted")}: ${name}.`);
    }
    if (names) this.holds = names;
    const held = Object.entries(this.store.values).filter(([key, value]) => key.startsWith("pos:") && value?.qty);
    const naked = held.some(([, value]) => value.naked);
    if (naked && !this.naked) texts.push(_("Stop missing."));
    if (!naked && this.naked) texts.push(_("Stop working again."));
    if (!connected && this.connected && held.length > 0) texts.push(_("Disconnected with a position."));
    Object.assign(this, { naked, connected });
    if (texts.length > 0) put(by("alarms"), texts.join(" "));
  }

  /** F2: mode, state, position, day, holds, time. */
  state() {
    const { mode, account, holds } = this.store.values;
    const held = Object.entries(this.store.values).filter(([key, value]) => key.startsWith("pos:") && value?.qty);
    const position = held.length === 0 ? "flat" : held.map(([, value]) => `${size(value.qty)} ${value.symbol} ${money(value.open_micros, this.store.currency)}`).join(", ");
    const parts = [String(mode?.mode ?? "unknown mode").toUpperCase(), words(mode?.label), position, `${_("day net")} ${money(account?.day_net_micros, this.store.currency)}`];
    parts.push(holds ? `${holds.length} ${_("holds")}` : _("holds unknown"), `${time(this.store.sessionNow() ?? undefined, this.store.zone)} ${zoneName(this.store.zone)}`);
    put(by("says"), "");
    requestAnimationFrame(() => put(by("says"), `${parts.join(". ")}.`));
  }
}
