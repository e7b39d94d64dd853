/* Why the desk did, or did not, trade: newest first, equal refusals folded with a count. */
import { by, choices } from "../dom.js";
import { NONE, count, score, side, time, tone, words } from "../format.js";
import { Table } from "../table.js";
import { gettext as _ } from "../texts.js";

const SHOWN = 60;

export function decisions(store, texts, session) {
  const body = by("decisions").querySelector(".body");
  let which = "all";
  choices(by("verdicts"), [["all", _("all")], ["taken", _("taken")], ["refused", _("refused")]], which, (chosen) => {
    which = chosen;
    update();
  });
  const columns = [
    { name: _("time"), cls: "num", cell: (row) => (row.gap ? "…" : { text: time(row.ts_us, store.zone, { tenths: true }), title: `journal ${row.seq}` }) },
    { name: _("inst"), cls: "wide-only", cell: (row) => (row.gap ? "" : (store.instrument(row.inst)?.symbol ?? String(row.inst))) },
    { name: _("side"), cell: (row) => (row.gap ? "" : { text: row.side ? side(row.side) : "none", cls: tone(row.side) }) },
    { name: _("verdict"), cls: "grow", cell: (row) => ({ ...verdict(row, texts), href: row.gap ? undefined : `/sessions/${session}/why/?seq=${row.seq}` }) },
    { name: "×", cls: "n", cell: (row) => (row.same > 1 ? `× ${count(row.same)}` : "") },
    { name: _("score"), cls: "n", cell: (row) => (row.gap ? "" : score(row.score_ppm)) },
    { name: _("conf"), cls: "n", cell: (row) => (row.gap ? "" : score(row.conf_ppm).replace("+", "")) },
  ];
  const table = new Table(body, columns, { caption: _("Decisions"), empty: _("No decision yet."), key: (row) => row.rowId, still: true });
  const wanted = (row) => which === "all" || row.gap || (row.code === 0) === (which === "taken");

  function update() {
    const none = which !== "all" ? _("None of the last 200.") : store.values.holds?.length ? _("No decision yet: a hold stands, see Holds.") : _("No decision yet: waiting for the first score.");
    table.render(store.list("decision").filter(wanted).slice(0, SHOWN), none);
  }
  return { keys: ["rows:decision", "instruments", "holds", "*"], update };
}

function verdict(row, texts) {
  if (row.gap) return { text: `${count(row.gap)} decisions not shown, in the ledger`, cls: "dim" };
  if (row.code === 0 || row.code === "APPROVED") return { text: _("taken"), cls: "ok" };
  const rule = texts.gate[row.code];
  const name = rule ? rule[0] : String(row.code ?? NONE);
  const known = row.limit !== 0 && row.limit !== null && row.limit !== undefined;
  const margin = known ? `; value ${row.value}, limit ${row.limit}` : "";
  return { text: words(name), title: rule ? `${rule[1]}: ${rule[2]}${margin}` : "" };
}
