/* Status strip: mode, session, state, phase, clock, holds, hops.  An unknown mode is a fault, never PAPER. */
import { by, dress, put } from "../dom.js";
import { NONE, age, time, words, zoneName } from "../format.js";

const MODES = { paper: "PAPER" };
const HOPS = ["venue", "feed", "bus", "worker", "web", "browser"];

export function status(store) {
  const hops = new Map([...document.querySelectorAll(".hop")].map((node) => [node.dataset.hop, node]));

  function update() {
    const mode = store.values.mode;
    const word = mode ? (MODES[mode.mode] ?? `UNKNOWN MODE ${mode.mode ?? ""}`) : NONE;
    put(by("mode"), word);
    dress(by("mode"), mode && !MODES[mode.mode] ? "mode mode-unknown" : "mode");
    if (mode) {
      put(by("s-key"), mode.key ?? NONE);
      if (!store.over) put(by("s-status"), mode.status ?? "");
      put(by("s-account"), mode.account ?? NONE);
      by("s-account").title = `${mode.profile ?? ""} version ${mode.version ?? NONE}`;
    }
    const label = mode?.label ?? NONE;
    put(by("s-label"), words(label).toUpperCase());
    dress(by("s-label"), `state state-${label}`);
    put(by("s-phase"), words(mode?.phase ?? store.values.clock?.phase).toUpperCase());
    const holds = store.values.holds;
    put(by("s-holds"), holds ? String(holds.length) : NONE);
    dress(by("s-holds"), holds?.length ? "warn" : "");
    title(word, store);
  }

  function tick() {
    const clock = store.values.clock;
    const speed = clock && clock.speed !== 1 ? (clock.speed === 0 ? " max" : ` ${clock.speed}×`) : "";
    put(by("s-clock"), `${time(store.sessionNow() ?? undefined, store.zone)} ${zoneName(store.zone)}${speed}`);
    const dead = store.ended() ? "" : store.deadHop();
    let behind = false;
    for (const hop of HOPS) {
      const node = hops.get(hop);
      const value = store.hopAge(hop);
      const text = value === null ? NONE : age(value);
      if (store.ended() && hop !== "web" && hop !== "browser") {
        dress(node, "hop behind");
        put(node, hop);
      } else if (hop === dead) {
        dress(node, "hop dead");
        put(node, `${hop} ${value === null ? "silent" : text}`);
        behind = true;
      } else {
        dress(node, behind || value === null ? "hop behind" : "hop");
        put(node, behind ? `behind ${dead}` : hop);
      }
      node.title = hop === "browser" ? `${text} since the last paint, ${store.skipped} values skipped` : `last beat ${text} ago`;
    }
  }
  return { keys: ["mode", "clock", "holds", "*"], update, tick };
}

function title(word, store) {
  const held = Object.entries(store.values).find(([key, value]) => key.startsWith("pos:") && value?.qty);
  const text = held ? `${held[1].qty > 0 ? "L" : "S"}${Math.abs(held[1].qty)} ${held[1].symbol}` : "flat";
  const page = `${word} ${text} · ${store.values.mode?.key ?? "desk"}`;
  if (document.title !== page) document.title = page;
}
