/* Why the desk did, or did not, trade: newest first, equal refusals folded with a count. */
import { Table, by } from "../dom.js";
import { NONE, count, score, side, time, tone, words } from "../format.js";

export function decisions(store, texts) {
  const body = by("decisions").querySelector(".body");
  const columns = [
    { name: "time", cls: "num", cell: (row) => (row.gap ? "…" : { text: time(row.ts_us, store.zone, { tenths: true }), title: `journal ${row.seq}` }) },
    { name: "inst", cell: (row) => (row.gap ? "" : (store.instrument(row.inst)?.symbol ?? String(row.inst))) },
    { name: "side", cell: (row) => (row.gap ? "" : { text: row.side ? side(row.side) : "none", cls: tone(row.side) }) },
    { name: "score", cls: "n", cell: (row) => (row.gap ? "" : score(row.score_ppm)) },
    { name: "conf", cls: "n", cell: (row) => (row.gap ? "" : score(row.conf_ppm).replace("+", "")) },
    { name: "verdict", cls: "grow", cell: (row) => verdict(row, texts) },
    { name: "×", cls: "n", cell: (row) => (row.same > 1 ? `× ${count(row.same)}` : "") },
  ];
  const table = new Table(body, columns, { caption: "Decisions", empty: "No decision yet.", key: (row) => row.rowId });
  table.table.parentElement.classList.add("decisions-table");
  return {
    keys: ["rows:decision", "instruments", "clock", "*"],
    update: () => table.render(store.list("decision").slice(0, 60), store.values.holds?.length ? "No decision yet: a hold stands, see Holds." : "No decision yet: waiting for the first score."),
  };
}

function verdict(row, texts) {
  if (row.gap) return { text: `${count(row.gap)} decisions not shown, in the ledger`, cls: "dim" };
  if (row.code === 0 || row.code === "APPROVED") return { text: "taken", cls: "ok" };
  const rule = texts.gate[row.code];
  const name = rule ? rule[0] : String(row.code ?? NONE);
  return { text: words(name), title: rule ? `${rule[1]}: ${rule[2]}` : "" };
}
