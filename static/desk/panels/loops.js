/* The loops' heartbeats; a missing loop is a line "not running". */
import { by, dress, keep, make, put } from "../dom.js";
import { NONE, age, count, words } from "../format.js";

const LOOPS = ["feed", "inference", "risk", "execution", "sinks"];
const LIMIT_MS = 3500;
const BROKEN = new Set(["cannot_open", "given_up", "failed", "hung"]); // what it says of itself: the reason stands beside it

export function loops(store) {
  const body = by("loops").querySelector(".body");
  const list = make("div", { class: "loops-list" });
  body.replaceChildren(list);

  function tick() {
    const nodes = keep(list, LOOPS.length, () => make("div", { class: "loop" }, make("span", { class: "name" }), make("span", { class: "state-word soft" }), make("span", { class: "beat dim num" })));
    const rows = new Map((store.values.loops ?? []).map((loop) => [loop.id, loop]));
    LOOPS.forEach((id, i) => {
      const [name, state, beat] = nodes[i].children;
      const loop = rows.get(id);
      const ms = loop ? store.hopAge(id) : null;
      const dead = !store.ended() && !(ms === null ? store.waiting() : ms <= LIMIT_MS);
      const broken = !dead && !store.ended() && loop && BROKEN.has(loop.state) && loop.detail;
      put(name, id);
      put(state, store.ended() ? "ended" : ms === null && store.waiting() ? NONE : !loop ? "not running" : dead ? `silent, was ${words(loop.state)}` : broken ? `${words(loop.state)}: ${detail(loop.detail)}` : words(loop.state));
      put(beat, store.ended() ? "" : ms === null ? NONE : age(ms));
      dress(nodes[i], dead || broken ? "loop dead" : "loop");
      nodes[i].title = loop ? `fence ${loop.fence ?? NONE}, restarts ${count(loop.restarts ?? 0)}, owner ${loop.owner ?? NONE}${loop.detail ? `, ${detail(loop.detail)}` : ""}` : "no holder has shown itself";
    });
  }
  return { keys: ["loops", "mode", "*"], update: tick, tick };
}

function detail(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
