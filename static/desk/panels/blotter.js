/* Orders, fills and trades of the session, newest first; one list open at a time, the tabs carry the counts. */
import { by, put } from "../dom.js";
import { Table } from "../table.js";
import { NONE, count, exact, known, money, price, side, time, tone, words } from "../format.js";

const NAMES = ["orders", "fills", "trades"];

export function blotter(store, texts, session) {
  const tabs = NAMES.map((name) => by(`tab-${name}`));
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => open(i));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) open((i + step + tabs.length) % tabs.length, true);
    });
  });

  function open(chosen, focus = false) {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
      by(`list-${NAMES[i]}`).hidden = i !== chosen;
    });
    if (focus) tabs[chosen].focus();
  }

  const zone = () => store.zone;
  const inst = (row) => store.instrument(row.inst);
  const when = { name: "time", cls: "num", cell: (row) => ({ text: time(row.ts_us ?? row.sent_us, zone(), { tenths: true }), title: row.seq ? `journal ${row.seq}` : "" }) };
  const symbol = { name: "inst", cell: (row) => inst(row)?.symbol ?? String(row.inst) };
  const direction = { name: "side", cell: (row) => ({ text: side(row.side), cls: tone(row.side) }) };
  const orders = new Table(by("list-orders"), [
    { name: "no.", cls: "n", cell: (row) => ({ text: row.oid ?? row.number, href: row.role === "entry" ? `/sessions/${session}/why/?order=${row.oid ?? row.number}` : undefined }) },
    when, symbol, direction,
    { name: "qty", cls: "n", cell: (row) => `${row.filled} / ${row.qty}` },
    { name: "type", cell: (row) => (row.role === row.type ? row.role : `${row.role} ${row.type}`) },
    { name: "price", cls: "n", cell: (row) => (row.type === "market" ? "market" : price(row.price_tick ?? row.limit_tick ?? row.stop_tick, inst(row))) },
    { name: "status", cell: (row) => ({ text: words(row.status), cls: row.status === "UNKNOWN" || row.status === "REJECTED" ? "bad" : row.status === "WORKING" ? "" : "dim" }) },
    { name: "request", cell: (row) => ({ text: row.request === "NOTHING" || !row.request ? "" : words(row.request), cls: "dim" }) },
  ], { caption: "Orders", empty: "No order yet.", key: (row) => row.oid ?? row.number, still: true });
  const fills = new Table(by("list-fills"), [
    when, symbol, direction,
    { name: "qty", cls: "n", cell: (row) => count(row.qty) },
    { name: "price", cls: "n", cell: (row) => price(row.tick ?? row.price_tick, inst(row)) },
    { name: "fee", cls: "n", cell: (row) => ({ text: money(row.fee_micros, store.currency, { sign: false }), title: exact(row.fee_micros, store.currency) }) },
    { name: "order", cls: "n", cell: (row) => row.oid ?? row.number ?? NONE },
  ], { caption: "Fills", empty: "No fill yet.", key: (row) => row.rowId, fresh: true, still: true });
  const trades = new Table(by("list-trades"), [
    when, symbol, direction,
    { name: "qty", cls: "n", cell: (row) => count(row.qty) },
    { name: "entry", cls: "n", cell: (row) => price(row.entry_tick, inst(row)) },
    { name: "exit", cls: "n", cell: (row) => price(row.exit_tick, inst(row)) },
    { name: "fee", cls: "n", cell: (row) => money(row.fee_micros, store.currency, { sign: false }) },
    { name: "net", cls: "n", cell: (row) => ({ text: money(row.net_micros, store.currency), cls: tone(row.net_micros), title: exact(row.net_micros, store.currency) }) },
    { name: "why", cell: (row) => ({ text: texts.exits[row.code] ?? words(row.code), href: row.seq ? `/sessions/${session}/trades/${row.seq}/` : undefined, title: "why it was entered and left" }) },
  ], { caption: "Trades", empty: "No round trip yet.", key: (row) => row.rowId, fresh: true, still: true });

  /** Working orders first (the server's list), then the stream's newest. */
  function orderRows() {
    const working = store.values.orders ?? [];
    const ids = new Set(working.map((row) => row.oid ?? row.number));
    const past = store.list("order").filter((row) => !row.gap && !ids.has(row.oid ?? row.number));
    return [...working, ...past].slice(0, 60);
  }

  function update() {
    orders.render(orderRows());
    fills.render(store.list("fill").filter((row) => !row.gap).slice(0, 100));
    trades.render(store.list("trade").filter((row) => !row.gap).slice(0, 100));
    const working = (store.values.orders ?? []).filter((row) => row.live !== false).length;
    const account = store.values.account;
    put(tabs[0], `Orders ${store.values.orders ? working : NONE}`);
    put(tabs[1], `Fills ${known(account?.fills) ? account.fills : (store.rows.fill?.to ?? 0)}`);
    put(tabs[2], `Trades ${known(account?.trades) ? account.trades : (store.rows.trade?.to ?? 0)}`);
  }
  return { keys: ["orders", "rows:order", "rows:fill", "rows:trade", "instruments", "account", "*"], update };
}
