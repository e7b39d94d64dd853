/* Standing holds, strongest first, each with what clears it. */
import { by, dress, keep, make, put } from "../dom.js";
import { holdName, known, span, time, words } from "../format.js";

// Of shares: Resume clears the pause alone (MOEX-RISK-06).
const BY_NAME = new Set(["STATE_LOST", "FLATTEN_RESIDUAL", "RECON_MISMATCH", "RISK_ERROR_REPEAT", "BROKER_AUTH", "RISK_ERROR"]);
// Under ML_FALLBACK the heuristic alone may enter, and this desk has none.
const EFFECTS = { FLATTEN: "Closes and refuses entries", SCALE: "Entries at half size", ML_FALLBACK: "No entries" };

export function holds(store, texts) {
  const body = by("holds").querySelector(".body");
  const list = make("div");
  const empty = make("p", { class: "empty" });
  body.replaceChildren(list, empty);

  function build() {
    return make("div", { class: "hold" }, make("span", { class: "word" }), make("span", { class: "code" }), make("span", { class: "dim num" }), make("span", { class: "clear" }));
  }

  function update() {
    const rows = store.values.holds ?? [];
    const nodes = keep(list, rows.length, build);
    rows.forEach((hold, i) => {
      const [label, code, since, clear] = nodes[i].children;
      put(label, words(hold.label).toUpperCase());
      dress(label, `word ${["HALTED", "MANUAL_REVIEW", "STOPPED_FOR_DAY"].includes(hold.label) ? "bad" : "warn"}`);
      put(code, holdName(hold));
      put(since, `since ${time(hold.since_us, store.zone)}`);
      put(clear, `${EFFECTS[hold.code] ?? EFFECTS[hold.effect] ?? "No entries"}. ${clearing(hold, store)}`);
      nodes[i].title = hold.detail || texts.holds[hold.code] || "";
    });
    put(empty, store.values.holds ? "none: entries are decided by the gate alone" : "Waiting for the session.");
    empty.hidden = rows.length > 0;
  }
  return { keys: ["holds", "*"], update, tick: update };
}

/** The pause and what Resume clears with it (futures), the kill, and what is lifted by its name on a page of its own. */
function byAPerson(hold, now) {
  if (hold.code === "SESSION_STOPPED") return "The session has been stopped.";
  if (hold.code === "KILL_SWITCH") return "A person clears it: manage.py unlock.";
  if (hold.label === "HALTED" || BY_NAME.has(hold.code)) return "A person lifts it by name, on the session's page.";
  if (known(hold.until_us) && now !== null) return `Ends in ${span(hold.until_us - now)}, or a person clears it: Resume.`;
  return "A person clears it: Resume.";
}

function clearing(hold, store) {
  const now = store.sessionNow();
  const value = known(hold.value) && known(hold.limit) && hold.limit !== 0 ? ` (${hold.value} of ${hold.limit})` : "";
  switch (hold.clearing) {
    case "TIME":
      return known(hold.until_us) && now !== null ? `Clears by itself in ${span(hold.until_us - now)}.` : "Clears by itself with time.";
    case "TRADING_DAY":
      return "Clears with the next trading day.";
    case "CONDITION":
      if (hold.code === "RESTRICTED") return "Clears with a version of the configuration without it.";
      return `Clears by itself when its cause has gone${value}.`;
    case "MODEL_RELOAD":
      return "Clears when the model is loaded again.";
    case "OPERATOR":
      return byAPerson(hold, now);
    default:
      return words(hold.clearing);
  }
}
