/* Quote and depth: 41 price rows, one per tick.  Re-centres when the price leaves the middle third, never under the pointer. */
import { by, dress, make, put, share } from "../dom.js";
import { NONE, count, depth, known, price } from "../format.js";

const ROWS = 41;
const MIDDLE = 20;
const THIRD = 7;
const MARKS = { entry: "E", stop: "S", target: "T", exit: "X" };

export function ladder(store) {
  const body = by("ladder").querySelector(".body");
  const select = by("instrument");
  const head = make("div", { class: "ladder-head" });
  const [bid, spread, ask] = ["px", "dim", "px"].map((cls) => make("span", { class: cls }, NONE));
  head.append(bid, spread, ask);
  const rows = [];
  const list = make("tbody");
  for (let i = 0; i < ROWS; i += 1) {
    const row = make("tr", {}, make("td", { class: "side-bid" }), make("td", { class: "price" }), make("td", { class: "side-ask" }));
    rows.push(row);
    list.append(row);
  }
  const names = make("tr", {}, make("th", { scope: "col", class: "n" }, "bid"), make("th", { scope: "col", class: "price" }, "price"), make("th", { scope: "col" }, "ask"));
  const table = make("table", {}, make("caption", { class: "sr" }, "Depth"), make("thead", {}, names), list);
  const scroller = make("div", { class: "ladder", tabindex: "0", role: "group", "aria-label": "Depth of market" }, table);
  const note = make("p", { class: "note" });
  body.replaceChildren(head, scroller, note);
  let centre = null;
  let inside = false;
  let shown = "0";
  let scrolled = false;
  scroller.addEventListener("pointerenter", () => { inside = true; });
  scroller.addEventListener("pointerleave", () => { inside = false; });
  select.addEventListener("change", () => { shown = select.value; centre = null; update(); });

  function choices() {
    const all = Object.entries(store.values.instruments ?? {});
    if (select.options.length !== all.length) select.replaceChildren(...all.map(([i, inst]) => make("option", { value: i }, inst.symbol)));
    select.classList.toggle("hidden", all.length < 2);
  }

  function update() {
    choices();
    const inst = store.instrument(shown);
    const quote = store.values[`quote:${shown}`];
    const book = store.values[`book:${shown}`];
    put(bid, price(quote?.bid, inst));
    put(ask, price(quote?.ask, inst));
    dress(bid, "px up");
    dress(ask, "px down");
    const gap = known(quote?.bid) && known(quote?.ask) ? quote.ask - quote.bid : null;
    put(spread, gap === null ? "no quote" : `${count(quote.bid_qty)} × ${count(quote.ask_qty)} · ${gap} t`);
    put(note, remark(quote, book, inst));
    const levels = book ?? (gap === null ? null : { bids: [[quote.bid, quote.bid_qty]], asks: [[quote.ask, quote.ask_qty]] });
    draw(levels, quote, inst);
  }

  function draw(levels, quote, inst) {
    const bids = new Map(levels?.bids ?? []);
    const asks = new Map(levels?.asks ?? []);
    const best = [levels?.bids?.[0]?.[0], levels?.asks?.[0]?.[0]];
    const anchor = known(best[0]) ? best[0] : known(best[1]) ? best[1] : (quote?.last ?? null);
    if (!known(anchor)) centre = null;
    else if (centre === null || (!inside && Math.abs(anchor - centre) > THIRD)) centre = anchor;
    const largest = Math.max(1, ...bids.values(), ...asks.values());
    const own = ownOrders(store, shown, centre);
    for (let i = 0; i < ROWS; i += 1) {
      const tick = centre === null ? null : centre + MIDDLE - i;
      const [left, middle, right] = rows[i].children;
      level(left, "side-bid", tick === null ? undefined : bids.get(tick), largest);
      level(right, "side-ask", tick === null ? undefined : asks.get(tick), largest);
      const marks = own.get(i) ?? "";
      const text = tick === null ? "" : price(tick, inst);
      if (middle.dataset.text !== text + marks) {
        middle.dataset.text = text + marks;
        middle.replaceChildren(text, ...(marks ? [make("span", { class: "own" }, marks)] : []));
      }
      const isBest = tick !== null && best.includes(tick);
      dress(rows[i], `${isBest ? "best" : ""}${tick !== null && tick === quote?.last ? " last" : ""}`);
    }
    if (!scrolled && centre !== null) {
      scroller.scrollTop = Math.max(0, (scroller.scrollHeight - scroller.clientHeight) / 2);
      scrolled = true;
    }
  }
  return { keys: ["quote:", "book:", "orders", "instruments", "*"], update };
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
    const row = Math.max(0, Math.min(ROWS - 1, centre + MIDDLE - tick));
    marks.set(row, `${marks.get(row) ?? ""}${MARKS[order.role] ?? "O"}${order.qty - order.filled}`);
  }
  return marks;
}

function remark(quote, book, inst) {
  const last = known(quote?.last) ? `last ${price(quote.last, inst)}` : "no trade yet";
  if (!quote) return "Waiting for the feed.";
  if (quote.ok === false) return `${last} · book one-sided, crossed or a bar tape: no depth to trade on`;
  return book ? last : `${last} · this tape has no depth`;
}
