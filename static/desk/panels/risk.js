/* Every limit: used of max, nearest first.  A limit that nobody set is hatched: entries are refused (P-07). */
import { by, dress, keep, make, put, share } from "../dom.js";
import { NONE, count, known, money, words } from "../format.js";

const WORDS = {
  loss_day: "day loss", drawdown_day: "fall from today's peak", drawdown: "fall from peak balance", streak: "losses in a row",
  gross: "gross exposure held", index: "volatility index",
  loss_total: "total loss", position: "position", orders_open: "open orders", messages_60s: "messages in 60 s",
};

function amountOf(x, unit, currency) {
  if (unit === "micros") return money(x, currency, { sign: false });
  return unit === "hundredths" && known(x) ? (x / 100).toFixed(2) : count(x);
}

export function risk(store) {
  const body = by("risk").querySelector(".body");
  const list = make("div");
  const empty = make("p", { class: "empty" }, "Waiting for the first figures.");
  body.replaceChildren(list, empty);

  function build() {
    const track = make("span", { class: "track" }, make("span", { class: "fill" }));
    return make("div", { class: "gauge" }, make("span", { class: "name" }), make("span", { class: "val" }), track);
  }

  function update() {
    const gauges = [...(store.values.risk ?? [])].sort((a, b) => (b.pct ?? 1000) - (a.pct ?? 1000));
    const nodes = keep(list, gauges.length, build);
    gauges.forEach((gauge, i) => {
      const [name, value, track] = nodes[i].children;
      const unset = !known(gauge.max);
      put(name, WORDS[gauge.id] ?? words(gauge.id));
      const amount = (x) => amountOf(x, gauge.unit, store.currency);
      const near = gauge.pct >= 100 ? ", at the limit" : gauge.pct >= 80 ? ", near" : "";
      put(value, unset ? "no limit: entries refused" : `${amount(gauge.used)} of ${amount(gauge.max)} ·\u00a0${known(gauge.pct) ? gauge.pct.toFixed(0) : NONE}\u00a0%${near}`);
      dress(nodes[i], `gauge ${unset ? "unset" : gauge.pct >= 100 ? "full" : gauge.pct >= 80 ? "near" : ""}`);
      nodes[i].title = known(gauge.left) ? `${amount(gauge.left)} left` : "";
      share(track.firstChild, (gauge.pct ?? 0) / 100);
    });
    empty.hidden = gauges.length > 0;
  }
  return { keys: ["risk", "account", "*"], update };
}
