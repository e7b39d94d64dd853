/* Integers from the server → text.  Unknown is "—"; NaN never prints; P&L is always signed.  Computes no money. */
export const NONE = "—";
const MINUS = "−";
const NBSP = "\u00a0";

export function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** Micros → money with two decimals, rounded half to even.  sign: also a plus. */
export function money(micros, currency = "", { sign = true } = {}) {
  if (!known(micros)) return NONE;
  const size = Math.abs(micros);
  let cents = Math.floor(size / 10000);
  const rest = size % 10000;
  if (rest > 5000 || (rest === 5000 && cents % 2 === 1)) cents += 1;
  const whole = String(Math.floor(cents / 100)).replace(/\B(?=(\d{3})+$)/g, ",");
  const text = `${whole}.${String(cents % 100).padStart(2, "0")}`;
  const head = cents === 0 ? "" : micros < 0 ? MINUS : sign ? "+" : "";
  if (currency === "USD") return `${head}$${text}`;
  if (currency === "RUB") return `${head}${text}${NBSP}₽`;
  return `${head}${text}${currency ? NBSP + currency : ""}`;
}

/** The exact amount for a title. */
export function exact(micros, currency = "") {
  if (!known(micros)) return "not known";
  const size = Math.abs(micros);
  const text = `${Math.floor(size / 1e6)}.${String(size % 1e6).padStart(6, "0")}`;
  return `${micros < 0 ? MINUS : ""}${text} ${currency}`.trim();
}

/** A price in ticks → the venue's decimals, without grouping.  inst: {tick_nanos, decimals}. */
export function price(tick, inst) {
  if (!known(tick) || !inst) return NONE;
  const scaled = (Math.abs(tick) * inst.tick_nanos) / 10 ** (9 - inst.decimals);
  const digits = String(Math.round(scaled)).padStart(inst.decimals + 1, "0");
  const cut = digits.length - inst.decimals;
  const text = inst.decimals > 0 ? `${digits.slice(0, cut)}.${digits.slice(cut)}` : digits;
  return tick < 0 ? MINUS + text : text;
}

export function count(value) {
  return known(value) ? String(value).replace(/\B(?=(\d{3})+$)/g, ",") : NONE;
}

/** Depth only may be abbreviated. */
export function depth(value) {
  if (!known(value)) return "";
  return value < 10000 ? String(value) : `${(value / 1000).toFixed(value < 100000 ? 1 : 0)}k`;
}

/** "L2", "S2", "flat"; own sizes are never abbreviated. */
export function size(qty) {
  if (!known(qty)) return NONE;
  return qty === 0 ? "flat" : `${qty > 0 ? "L" : "S"}${Math.abs(qty)}`;
}

/** Ticks with a sign: "+4 t", "−2.5 t"; zero is neutral. */
export function ticks(value) {
  if (!known(value)) return NONE;
  const text = Number.isInteger(value) ? String(Math.abs(value)) : Math.abs(value).toFixed(1);
  return `${Number(text) === 0 ? "" : value < 0 ? MINUS : "+"}${text} t`;
}

export function side(value) {
  return value > 0 ? "BUY" : value < 0 ? "SELL" : NONE;
}

/** The class for a signed amount: colour is never alone, the sign stands beside it. */
export function tone(value) {
  return !known(value) || value === 0 ? "" : value > 0 ? "up" : "down";
}

/** ms → "0.2 s", "12 s", "3 min", "2 h 05". */
export function age(ms) {
  if (!known(ms)) return NONE;
  const s = Math.max(0, ms) / 1000;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
}

/** µs → "0:01:14". */
export function span(us) {
  if (!known(us)) return NONE;
  const s = Math.max(0, Math.floor(us / 1e6));
  return `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, "0")}:${String(s % 60).padStart(2, "0")}`;
}

const formats = new Map();
function formatter(zone) {
  if (!formats.has(zone)) {
    const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: zone };
    formats.set(zone, new Intl.DateTimeFormat("en-GB", parts));
  }
  return formats.get(zone);
}

/** µs UTC → "14:17:50" in the zone; tenths: one digit more. */
export function time(us, zone = "UTC", { tenths = false } = {}) {
  if (!known(us)) return NONE;
  const text = formatter(zone).format(us / 1000);
  return tenths ? `${text}.${Math.floor((us % 1e6) / 1e5)}` : text;
}

const SHORT_ZONES = { "America/Chicago": "CT", "America/New_York": "ET", "Europe/Moscow": "MSK", UTC: "UTC" };
export function zoneName(zone) {
  return SHORT_ZONES[zone] ?? zone ?? "UTC";
}

/** Parts per million of 1 → "+0.42". */
export function score(ppm) {
  if (!known(ppm)) return NONE;
  const text = (Math.abs(ppm) / 1e6).toFixed(2);
  if (text === "0.00") return text;
  return `${ppm < 0 ? MINUS : "+"}${text}`;
}

export function words(code) {
  return String(code ?? NONE).toLowerCase().replaceAll("_", " ");
}

/** A hold in words: its instrument, or the stages that are slow, beside its code. */
export function holdName(hold) {
  return hold.what ? `${words(hold.code)}: ${hold.what}` : words(hold.code);
}
