/* Quote and depth: 41 price rows, one per tick.  Re-centres when the price leaves the middle third, never under the pointer or focus. */
import { by, dress, hint, make, put, share } from "../dom.js";
import { NONE, age, count, depth, known, price } from "../format.js";
import { gettext as _ } from "../texts.js";

const ROWS = 41;
const MIDDLE = 20;
const THIRD = 7;
const MARKS = { entry: "E", stop: "S", target: "T", exit: "X" };
const QUIET_MS = 5000;

export function ladder(store, view) {
  const body = by("ladder").querySelector(".body");
  const head = make("div", { class: "ladder-head" });
  const [bid, spread, ask] = ["px num", "dim num", "px num"].map((cls) => make("span", { class: cls }, NONE));
  head.append(bid, spread, ask);
  const rows = [];
  const list = make("tbody");
  for (let i = 0; i < ROWS; i += 1) {
    const row = make("tr", {}, make("td", { class: "side-bid" }), make("td", { class: "price" }), make("td", { class: "side-ask" }));
    rows.push(row);
    list.append(row);
  }
  const names = make("tr", {}, make("th", { scope: "col", class: "n" }, _("bid")), make("th", { scope: "col", class: "price" }, _("price")), make("th", { scope: "col" }, _("ask")));
  const table = make("table", {}, make("caption", { class: "sr" }, _("Depth")), make("thead", {}, names), list);
  const scroller = make("div", { class: "ladder", tabindex: "0", role: "group", "aria-label": _("Depth of market") }, table);
  const away = make("button", { type: "button", class: "ladder-away", hidden: "" });
  const note = make("p", { class: "note" });
  body.replaceChildren(head, scroller, away, note);
  let centre = null;
  let scrolled = false;
  const inside = { pointer: false, focus: false };
  scroller.addEventListener("pointerenter", () => { inside.pointer = true; });
  scroller.addEventListener("pointerleave", () => { inside.pointer = false; });
  scroller.addEventListener("focus", () => { inside.focus = scroller.matches(":focus-visible"); });
  scroller.addEventListener("blur", () => { inside.focus = false; });
  away.addEventListener("click", recentre);
  by("ladder-centre").addEventListener("click", recentre);
  view.onChange(recentre);

  /** Also key C: go to the price, wherever the pointer is. */
  function recentre() {
    centre = null;
    scrolled = false;
    update();
  }

  function update() {
    const inst = store.instrument(view.inst);
    const quote = store.values[`quote:${view.inst}`];
    const book = store.values[`book:${view.inst}`];
    put(bid, price(quote?.bid, inst));
    put(ask, price(quote?.ask, inst));
    dress(bid, "px num up");
    dress(ask, "px num down");
    const gap = known(quote?.bid) && known(quote?.ask) ? quote.ask - quote.bid : null;
    put(spread, gap === null ? _("no quote") : `${count(quote.bid_qty)} × ${count(quote.ask_qty)} · ${gap} t`);
    dress(scroller, book?.synced === false || quote?.ok === false ? "ladder unsynced" : "ladder");
    const levels = book ?? (gap === null ? null : { bids: [[quote.bid, quote.bid_qty]], asks: [[quote.ask, quote.ask_qty]] });
    draw(levels, quote, inst);
    tick();
  }

  function tick() {
    put(note, remark(store, view.inst));
  }

  function draw(levels, quote, inst) {
    const bids = new Map(levels?.bids ?? []);
    const asks = new Map(levels?.asks ?? []);
    const best = [levels?.bids?.[0]?.[0], levels?.asks?.[0]?.[0]];
    const anchor = known(best[0]) ? best[0] : known(best[1]) ? best[1] : (quote?.last ?? null);
    const still = inside.pointer || inside.focus;
    if (!known(anchor)) centre = null;
    else if (centre === null || (!still && Math.abs(anchor - centre) > THIRD)) centre = anchor;
    const gone = known(anchor) && centre !== null ? anchor - centre : 0;
    away.hidden = Math.abs(gone) <= MIDDLE;
    if (!away.hidden) put(away, `${gone > 0 ? "▲" : "▼"} ${price(anchor, inst)}`);
    hint(away, _("The price has left these rows; press C to go there"));
    const largest = Math.max(1, ...bids.values(), ...asks.values());
    const own = ownOrders(store, view.inst, centre);
    for (let i = 0; i < ROWS; i += 1) {
      const at = centre === null ? null : centre + MIDDLE - i;
      const [left, middle, right] = rows[i].children;
      level(left, "side-bid", at === null ? undefined : bids.get(at), largest);
      level(right, "side-ask", at === null ? undefined : asks.get(at), largest);
      const marks = own.get(i) ?? "";
      const text = at === null ? "" : price(at, inst);
      if (middle.dataset.text !== text + marks) {
        middle.dataset.text = text + marks;
        middle.replaceChildren(text, ...(marks ? [make("span", { class: "own" }, marks)] : []));
      }
      const isBest = at !== null && best.includes(at);
      dress(rows[i], `${isBest ? "best" : ""}${at !== null && at === quote?.last ? " last" : ""}`);
    }
    if (!scrolled && centre !== null && scroller.clientHeight > 0) {
      scroller.scrollTop = Math.max(0, (scroller.scrollHeight - scroller.clientHeight) / 2);
      scrolled = true;
    }
  }
  return { keys: ["quote:", "book:", "orders", "instruments", "*"], update, tick, recentre };
}

function level(node, side, qty, largest) {
  put(node, qty === undefined ? "" : depth(qty));
  dress(node, qty === undefined ? side : `${side} bar`);
  if (qty !== undefined) share(node, qty / largest);
}

/** Row → letters of our working orders; what lies beyond the rows is pinned to the edge. */
function ownOrders(store, shown, centre) {
  const marks = new Map();
  if (centre === null) return marks;
  for (const order of store.values.orders ?? []) {
    const tick = order.stop_tick ?? order.price_tick ?? order.limit_tick;
    if (order.live === false || String(order.inst) !== shown || !known(tick)) continue;
    const place = centre + MIDDLE - tick;
    const row = Math.max(0, Math.min(ROWS - 1, place));
    const arrow = place < 0 ? "▲" : place >= ROWS ? "▼" : "";
    marks.set(row, `${marks.get(row) ?? ""}${arrow}${MARKS[order.role] ?? "O"}${order.qty - order.filled}`);
  }
  return marks;
}

/** A quiet market is not a dead one: the last print has its own age beside the panel's. */
function remark(store, shown) {
  const quote = store.values[`quote:${shown}`];
  const inst = store.instrument(shown);
  if (!quote) return _("Waiting for the feed.");
  const now = store.sessionNow();
  const quiet = known(quote.trade_us) && now !== null && !store.ended() ? (now - quote.trade_us) / 1000 : 0;
  const last = known(quote.last) ? `last ${price(quote.last, inst)}${quiet > QUIET_MS ? `, no trade for ${age(quiet)}` : ""}` : _("no trade yet");
  if (quote.ok === false) return `${last} · ${_("one-sided, crossed or unsynced: nothing to trade on")}`;
  return store.values[`book:${shown}`] ? last : `${last} · ${_("this tape has no depth")}`;
}
