/* What is held, what it costs, what protects it; then the account's money as the server states it. */
import { by, dress, keep, make, put } from "../dom.js";
import { NONE, count, exact, known, money, price, size, span, time, tone } from "../format.js";

const PAIRS = [
  ["in trade", "since"],
  ["average", "average"],
  ["mark", "mark"],
  ["stop", "stop"],
  ["target", "target"],
];
const MONEY = [
  ["day net", "day_net_micros", true],
  ["realised", "realised_micros", true],
  ["fees", "fees_micros", false],
  ["balance", "balance_micros", false],
  ["equity", "equity_micros", false],
];

export function position(store) {
  const body = by("position").querySelector(".body");
  const cards = make("div");
  const account = make("dl", { class: "pairs", id: "account" });
  body.replaceChildren(cards, account);
  const fields = new Map();
  account.append(make("div", { class: "rule" }));
  for (const name of [...MONEY.map(([label]) => label), "trades"]) {
    const node = make("dd", { class: "num" }, NONE);
    fields.set(name, node);
    account.append(make("dt", {}, name), node);
  }

  function card() {
    const pairs = make("dl", { class: "pairs" });
    for (const [label, name] of PAIRS) pairs.append(make("dt", {}, label), make("dd", { class: "num", "data-f": name }));
    const main = make("div", { class: "position-main" }, make("span", { class: "size" }), make("span", { class: "open" }));
    return make("div", { class: "position-card" }, main, pairs);
  }

  function update() {
    const list = Object.entries(store.values).filter(([key, value]) => key.startsWith("pos:") && value);
    const held = list.filter(([, value]) => value.qty !== 0);
    const shown = held.length > 0 ? held : list.slice(0, 1);
    const nodes = keep(cards, shown.length, card);
    shown.forEach(([key, value], i) => fill(nodes[i], value, store.instrument(key.slice(4)), store));
    const money_ = store.values.account;
    for (const [label, name, sign] of MONEY) {
      const node = fields.get(label);
      put(node, money(money_?.[name], store.currency, { sign }));
      dress(node, `num ${sign ? tone(money_?.[name]) : ""}`);
      node.title = money_ ? exact(money_[name], store.currency) : "waiting for the account";
    }
    put(fields.get("trades"), money_ ? `${count(money_.trades)}: ${money_.wins} won, ${money_.losses} lost` : NONE);
  }

  return { keys: ["pos:", "account", "instruments", "clock", "*"], update };
}

function fill(node, value, inst, store) {
  const [sizeNode, openNode] = node.querySelector(".position-main").children;
  const flat = value.qty === 0;
  put(sizeNode, flat ? `flat ${value.symbol}` : `${size(value.qty)} ${value.symbol}`);
  dress(sizeNode, `size ${tone(value.qty)}`);
  put(openNode, flat ? "" : money(value.open_micros, store.currency));
  dress(openNode, `open ${tone(value.open_micros)}`);
  openNode.title = flat ? "" : `open P&L ${exact(value.open_micros, store.currency)}`;
  const stop = leg(value.stop_tick ?? value.stop?.tick, inst, flat);
  const now = store.sessionNow();
  const texts = {
    since: flat ? "n/a" : known(value.since_us) && now !== null ? span(now - value.since_us) : NONE,
    average: flat ? "n/a" : (value.avg_text ?? NONE),
    mark: price(value.mark_tick, inst),
    stop: value.naked ? "MISSING" : stop,
    target: leg(value.target_tick ?? value.target?.tick, inst, flat),
  };
  for (const [name, text] of Object.entries(texts)) {
    const cell = node.querySelector(`[data-f="${name}"]`);
    put(cell, text);
    dress(cell, name === "stop" && value.naked ? "num bad" : "num");
    if (name === "since") cell.title = known(value.since_us) ? `since ${time(value.since_us, store.zone)}` : "";
  }
}

function leg(tick, inst, flat) {
  if (known(tick)) return price(tick, inst);
  return flat ? "n/a" : "none";
}
