/* The rail: the sessions of the desk and the instruments of this one.  On narrower screens it is a sheet behind a button. */
import { by, dress, keep, make, put } from "../dom.js";
import { NONE, known, money, price, size, ticks, tone } from "../format.js";
import { gettext as _ } from "../texts.js";

const LOOK_MS = 15000;

export function rail(store, view, first) {
  const sessions = by("sessions").querySelector(".body");
  const list = make("ol", { class: "rail-list" });
  sessions.replaceChildren(list);
  const rows = make("div", { class: "rail-list", role: "listbox", "aria-label": _("Instruments") });
  by("instruments").querySelector(".body").replaceChildren(rows);
  let known_ = first;

  const here = () => store.values.mode?.session;
  function drawSessions() {
    const nodes = keep(list, known_.length, () => make("li", {}, make("a", { class: "rail-row" }, make("span", { class: "name" }), make("span", { class: "what" }))));
    known_.forEach((session, i) => {
      const link = nodes[i].firstElementChild;
      const [name, what] = link.children;
      const current = session.id === here();
      link.href = `${sessions.dataset.desk}${session.id}/`;
      link.title = i < 9 ? `key ${i + 1}` : "";
      if (current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      put(name, `${session.symbols.join(" ")} ${session.key}`);
      const net = current ? store.values.account?.day_net_micros : undefined;
      put(what, current && known(net) ? money(net, store.currency) : `${session.mode} ${session.status}`);
      dress(what, current ? `what num ${tone(net)}` : "what dim");
    });
  }

  function drawInstruments() {
    const all = Object.entries(store.values.instruments ?? {});
    const rank = ([i]) => (store.values[`pos:${i}`]?.qty ? 0 : 1);
    const sorted = rows.matches(":hover") || rows.contains(document.activeElement) ? all : [...all].sort((a, b) => rank(a) - rank(b) || Number(a[0]) - Number(b[0]));
    const nodes = keep(rows, sorted.length, () => {
      const node = make("button", { type: "button", class: "rail-row", role: "option" }, make("span", { class: "name" }), make("span", { class: "what num" }), make("span", { class: "px num" }));
      node.addEventListener("click", () => view.choose(node.dataset.inst));
      return node;
    });
    sorted.forEach(([i, inst], at) => {
      const node = nodes[at];
      const [name, what, px] = node.children;
      const held = store.values[`pos:${i}`];
      const quote = store.values[`quote:${i}`];
      node.dataset.inst = i;
      node.setAttribute("aria-selected", String(i === view.inst));
      put(name, inst.symbol);
      put(what, held?.qty ? `${size(held.qty)} ${ticks(held.open_ticks)}` : quote?.ok === false ? _("no book") : held ? "flat" : NONE);
      dress(what, `what num ${held?.qty ? tone(held.open_ticks) : "dim"}`);
      put(px, price(quote?.last ?? quote?.bid, inst));
    });
  }

  async function look() {
    if (document.hidden) return;
    try {
      const answer = await fetch(sessions.dataset.url, { redirect: "error" });
      if (answer.ok) known_ = (await answer.json()).sessions;
      drawSessions();
    } catch (error) {
      console.warn("the list of sessions could not be read", error.message);
    }
  }
  setInterval(look, LOOK_MS);
  view.onChange(drawInstruments);

  function update() {
    drawSessions();
    drawInstruments();
  }
  return { keys: ["mode", "account", "instruments", "pos:", "quote:", "*"], update, open: (n) => list.children[n]?.firstElementChild.click() };
}
