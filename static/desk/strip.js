/* The status strip of every signed-in page: mode, session, state, phase, clock, holds, hops.  An unknown mode is a fault, never PAPER. */
import { by, dress, put } from "./dom.js";
import { NONE, age, time, words, zoneName } from "./format.js";

const MODES = { paper: "PAPER", replay: "REPLAY" };
const LOOK_MS = 1000;
const MANY = 100;
const HOPS = ["venue", "feed", "bus", "worker", "web", "browser"];

export function strip(store) {
  const root = by("strip");
  const hops = new Map([...root.querySelectorAll(".hop")].map((node) => [node.dataset.hop, node]));
  const icons = JSON.parse(root.dataset.icons);
  const link = document.querySelector("link[rel=icon]");
  const seen = { at: 0, total: 0, many: 0 };

  function update() {
    const mode = store.values.mode;
    if (mode) {
      const known = MODES[mode.mode];
      put(by("mode"), known ?? `UNKNOWN MODE ${mode.mode ?? ""}`);
      dress(by("mode"), known ? `mode mode-${mode.mode}` : "mode mode-unknown");
      put(by("s-key"), mode.key ?? NONE);
      if (!store.over) put(by("s-status"), mode.status ?? "");
      put(by("s-account"), mode.account ?? "");
      by("s-account").title = `${mode.profile ?? ""} version ${mode.version ?? NONE}${mode.config ? `, configuration ${mode.config}` : ""}`;
    }
    const label = mode?.label ?? NONE;
    put(by("s-label"), words(label).toUpperCase());
    dress(by("s-label"), `item state state-${label}`);
    put(by("s-phase"), words(mode?.phase ?? store.values.clock?.phase).toUpperCase());
    const holds = store.values.holds;
    put(by("s-holds"), holds ? String(holds.length) : NONE);
    dress(by("s-holds"), holds?.length ? "warn" : "");
    const alerts = store.values.alerts;
    if (alerts) {
      put(by("s-alerts"), `alerts ${alerts.urgent}`);
      dress(by("s-alerts"), alerts.urgent > 0 ? "bad" : "");
    }
  }

  function tick() {
    const clock = store.values.clock;
    const speed = clock && clock.speed !== 1 ? (clock.speed === 0 ? " max" : ` ${clock.speed}×`) : "";
    put(by("s-clock"), `${time(store.sessionNow() ?? undefined, store.zone)} ${zoneName(store.zone)}${speed}`);
    const dead = store.ended() || store.receivedAt === null ? "" : store.deadHop();
    const limits = store.hello.hop_limits;
    let behind = false;
    for (const hop of HOPS) {
      const node = hops.get(hop);
      const value = store.hopAge(hop);
      const text = value === null ? NONE : age(value);
      if (store.receivedAt === null || (store.ended() && hop !== "web" && hop !== "browser")) {
        dress(node, "hop behind");
        put(node, hop);
      } else if (hop === dead) {
        dress(node, "hop dead");
        put(node, `${hop} ${value === null ? "silent" : text}`);
        behind = true;
      } else {
        const unheard = value === null || (dead && value > (limits[hop] ?? limits.feed)); // nothing comes past the dead one
        dress(node, behind || unheard ? "hop behind" : "hop");
        put(node, behind ? `behind ${dead}` : hop);
      }
      node.title = hop === "browser" ? `${text} since the last paint, ${store.skipped} values skipped` : `last beat ${text} ago`;
    }
    const worker = store.ended() || dead ? null : store.hopAge("worker");
    const many = skipping();
    put(by("s-hop-ms"), worker === null ? "" : many > 0 ? `${age(worker)}, ${many} skipped` : age(worker));
    dress(by("s-hop-ms"), many > 0 ? "hop-ms num warn" : "hop-ms num");
    by("s-hop-ms").title = `Age of the newest value on this page; ${store.skipped} values were overwritten before it could take them`;
    icon(dead);
  }

  /** Values that this page could not take in the last second, when they are many: else 0. */
  function skipping() {
    const now = performance.now();
    if (now - seen.at >= LOOK_MS) Object.assign(seen, { many: store.skipped - seen.total >= MANY ? store.skipped - seen.total : 0, total: store.skipped, at: now });
    return seen.many;
  }

  /** Shape by mode, and a dot when something is wrong. */
  function icon(dead) {
    const mode = store.values.mode?.mode;
    const fault = dead !== "" || (mode !== undefined && !MODES[mode]) || store.values.mode?.label === "HALTED";
    const wanted = icons[fault ? "fault" : (mode ?? "")] ?? icons[""];
    if (link && link.getAttribute("href") !== wanted) link.setAttribute("href", wanted);
  }
  return { keys: ["mode", "clock", "holds", "alerts", "*"], update, tick };
}
