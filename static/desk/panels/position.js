/* What is held, what it costs, what protects it and who says so; then the account's money as the server states it. */
import { by, dress, hint, keep, make, put } from "../dom.js";
import { NONE, age, count, exact, known, money, price, size, span, ticks, time, tone, words } from "../format.js";
import { legTick } from "../legs.js";
import { gettext as _ } from "../texts.js";

const PAIRS = [
  ["average", _("average")],
  ["mark", _("mark")],
  ["stop", _("stop")],
  ["proof", _("at broker")],
  ["target", _("target")],
];
const MONEY = [
  ["day_net_micros", _("day net"), true],
  ["realised_micros", _("realised"), true],
  ["fees_micros", _("fees"), false],
  ["balance_micros", _("balance"), false],
  ["equity_micros", _("equity"), false],
];

/** legs: the dialog that moves a stop or target; null where nothing can be commanded. */
export function position(store, legs) {
  const body = by("position").querySelector(".body");
  const cards = make("div", { class: "cards" });
  const account = make("dl", { class: "pairs", id: "account" });
  body.replaceChildren(cards, account);
  const fields = new Map();
  for (const [name, label] of [...MONEY, ["trades", _("won, lost")]]) {
    const node = make("dd", { class: "num" }, NONE);
    fields.set(name, node);
    account.append(make("div", { class: `pair pair-${name}` }, make("dt", {}, label), node));
  }

  function card() {
    const pairs = make("dl", { class: "pairs" });
    for (const [name, label] of PAIRS) {
      const head = make("dt", {}, label);
      if (legs && (name === "stop" || name === "target")) head.append(" ", mover(name));
      pairs.append(make("div", { class: `pair pair-${name}` }, head, make("dd", { class: "num", "data-f": name })));
    }
    const open = make("div", { class: "open-side" }, make("span", { class: "open num" }), make("span", { class: "ticks num" }));
    const held = make("div", { class: "held-side" }, make("span", { class: "size" }), make("span", { class: "num dim", "data-f": "since" }));
    const main = make("div", { class: "position-main" }, held, open);
    return make("div", { class: "position-card" }, main, make("p", { class: "mismatch bad", hidden: "" }), pairs);
  }

  function mover(leg) {
    const button = make("button", { type: "button", class: "plain move", "data-leg": leg, "aria-label": leg === "stop" ? _("Move the stop") : _("Move the target"), hidden: "" }, _("move"));
    button.addEventListener("click", () => legs.open(Number(button.closest(".position-card").dataset.place), leg));
    return button;
  }

  function list() {
    const all = Object.entries(store.values).filter(([key, value]) => key.startsWith("pos:") && value);
    const held = all.filter(([, value]) => value.qty !== 0);
    return held.length > 0 ? held : all.slice(0, 1);
  }

  function update() {
    const shown = list();
    const nodes = keep(cards, shown.length, card);
    shown.forEach(([key, value], i) => fill(nodes[i], value, store.instrument(key.slice(4)), store, Number(key.slice(4))));
    const money_ = store.values.account;
    for (const [name, , sign] of MONEY) {
      const node = fields.get(name);
      put(node, money(money_?.[name], store.currency, { sign }));
      dress(node, `num ${sign ? tone(money_?.[name]) : ""}`);
      hint(node, money_ ? exact(money_[name], store.currency) : _("waiting for the account"));
    }
    put(fields.get("trades"), known(money_?.wins) ? `${count(money_.wins)}, ${count(money_.losses)}` : NONE);
    hint(fields.get("trades"), known(money_?.trades) ? `${count(money_.trades)} round trips` : "");
    tick();
  }

  /** What moves with time alone. */
  function tick() {
    const now = store.sessionNow();
    list().forEach(([key, value], i) => {
      const node = cards.children[i];
      if (!node) return;
      const cell = (name) => node.querySelector(`[data-f="${name}"]`);
      const flat = value.qty === 0;
      put(cell("since"), flat ? "" : `${_("in trade")} ${known(value.since_us) && now !== null ? span(now - value.since_us) : NONE}`);
      const [text, cls, title] = proof(value, store, Number(key.slice(4)), now);
      put(cell("proof"), text);
      dress(cell("proof"), `num ${cls}`);
      hint(cell("proof"), title);
    });
  }
  return { keys: ["pos:", "account", "instruments", "rows:fill", "*"], update, tick };
}

function fill(node, value, inst, store, i) {
  node.dataset.place = i;
  for (const button of node.querySelectorAll(".move")) button.hidden = value.qty === 0 || value.closing || !known(legTick(value, button.dataset.leg));
  const main = node.querySelector(".position-main");
  const [openNode, ticksNode] = main.querySelector(".open-side").children;
  const flat = value.qty === 0;
  const sizeNode = main.querySelector(".size");
  put(sizeNode, flat ? `flat ${value.symbol}` : `${size(value.qty)} ${value.symbol}`);
  dress(sizeNode, `size ${tone(value.qty)}`);
  put(openNode, flat ? "" : money(value.open_micros, store.currency));
  dress(openNode, `open num ${tone(value.open_micros)}`);
  hint(openNode, flat ? "" : `${_("open P&L")} ${exact(value.open_micros, store.currency)}`);
  put(ticksNode, flat ? "" : ticks(value.open_ticks));
  dress(ticksNode, `ticks num ${tone(value.open_ticks)}`);
  const texts = {
    average: flat ? "n/a" : (value.avg_text ?? NONE),
    mark: price(value.mark_tick, inst),
    stop: value.naked ? _("MISSING") : leg(legTick(value, "stop"), value.stop, inst, flat),
    target: leg(legTick(value, "target"), value.target, inst, flat),
  };
  for (const [name, text] of Object.entries(texts)) {
    const cell = node.querySelector(`[data-f="${name}"]`);
    put(cell, text);
    dress(cell, name === "stop" && value.naked ? "num bad" : "num");
    if (name === "stop" || name === "target") worth(cell, flat ? null : value[`${name}_micros`], store.currency);
  }
  hint(node.querySelector('[data-f="since"]'), known(value.since_us) ? `since ${time(value.since_us, store.zone)}` : "");
  const differs = mismatch(value, store, i);
  const line = node.querySelector(".mismatch");
  line.hidden = !differs;
  if (differs) put(line, `${_("ours")} ${size(value.qty)}, ${_("broker")} ${size(value.broker.qty)}`);
}

/** The price of a leg, and the word of a request that is on its way. */
function leg(tick, order, inst, flat) {
  if (!known(tick)) return flat ? "n/a" : _("none");
  const request = order?.request && order.request !== "NOTHING" ? ` ${words(order.request)}` : "";
  return `${price(tick, inst)}${request}`;
}

/** What a leg would bring if it filled where it stands: the server's figure, before fees. */
function worth(cell, micros, currency) {
  let node = cell.nextElementSibling;
  if (!node) {
    node = make("dd", { class: "num worth" });
    cell.after(node);
  }
  put(node, known(micros) ? money(micros, currency) : "");
  dress(node, `num worth ${tone(micros)}`);
}

/** When the broker last answered for the account, against our own newest fill: only then can the two be compared. */
function asked(store, i) {
  const recon = store.values.account?.recon_us;
  const newest = store.list("fill").find((row) => row.inst === i);
  return { recon, after: known(recon) && (!newest || recon >= newest.ts_us) };
}

function mismatch(value, store, i) {
  return value.broker?.agrees === false && asked(store, i).after;
}

function proof(value, store, i, now) {
  const { recon, after } = asked(store, i);
  if (!known(recon) || now === null) return [_("not asked yet"), "", ""];
  const ago = `${age(Math.max(0, (now - recon) / 1000 / (store.values.clock?.speed || 1)))} ago`;
  const title = `the broker's own list of positions and orders, ${time(recon, store.zone)}`;
  if (!after) return [_("not asked since the fill"), "", title];
  if (value.broker?.agrees === false) return [`${size(value.broker.qty)}, ${ago}`, "bad", title];
  return [value.qty === 0 ? `flat ${ago}` : `${size(value.qty)} proved ${ago}`, "", title];
}
