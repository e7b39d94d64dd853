/* The Desk: one store, one socket, one drawing per animation frame, ages ten times a second. */
import "./shell.js";
import { Commands } from "./commands.js";
import { by, dress, put } from "./dom.js";
import { age, count, price, side, time } from "./format.js";
import { installForm } from "./form.js";
import { blotter } from "./panels/blotter.js";
import { decisions } from "./panels/decisions.js";
import { holds } from "./panels/holds.js";
import { ladder } from "./panels/ladder.js";
import { loops } from "./panels/loops.js";
import { position } from "./panels/position.js";
import { risk } from "./panels/risk.js";
import { status } from "./panels/status.js";
import { Socket } from "./socket.js";
import { Store } from "./store.js";

const TICK_MS = 100;
const MISSED_SHOWN_MS = 15000;

installForm();
if (by("desk")) start(JSON.parse(by("page-data").textContent));

function start({ session, texts, stored }) {
  const store = new Store();
  store.values = stored;
  store.over = ["ended", "failed"].includes(stored.mode.status); // by the database: no loop will publish it any more
  const panels = [status(store), position(store), risk(store), ladder(store), decisions(store, texts), holds(store, texts), blotter(store, texts), loops(store)];
  const commands = new Commands(store);
  const socket = new Socket(store, session, { frame: arrived, state: changed });
  let scheduled = false;
  let seenFills = null;
  let trouble = { state: "opening", detail: "" };
  let missed = "";

  function draw() {
    scheduled = false;
    const started = performance.now();
    const dirty = [...store.changed];
    store.changed.clear();
    for (const panel of panels) {
      if (dirty.some((key) => panel.keys.some((wanted) => key === wanted || (wanted.endsWith(":") && key.startsWith(wanted))))) panel.update();
    }
    store.frameAt = performance.now();
    store.painted = true;
    tick();
    socket.painted(performance.now() - started);
  }

  function arrived(kind) {
    if (kind === "snap") {
      noteMissed();
      trouble = { state: "", detail: "" };
    }
    if (document.hidden) {
      socket.painted(0);
      return;
    }
    if (!scheduled) {
      scheduled = true;
      requestAnimationFrame(draw);
    }
    announce();
  }

  function changed(state, detail) {
    trouble = { state, detail };
    if (state === "lost") store.painted = false;
    tick();
  }

  /** After a break: the fills that came meanwhile, once. */
  function noteMissed() {
    const fills = store.list("fill");
    if (seenFills !== null) {
      const fresh = fills.filter((row) => row.seq > seenFills);
      if (fresh.length > 0) {
        missed = `You missed: ${fresh.map((row) => sentence(row)).join("; ")}`;
        setTimeout(() => { missed = ""; }, MISSED_SHOWN_MS);
      }
    }
  }

  function sentence(row) {
    const inst = store.instrument(row.inst);
    return `${side(row.side)} ${count(row.qty)} ${inst?.symbol ?? row.inst} at ${price(row.tick ?? row.price_tick, inst)}`;
  }

  /** One polite sentence for the newest fills, at most every two seconds. */
  let saidAt = 0;
  function announce() {
    const fills = store.list("fill").filter((row) => !row.gap);
    const newest = fills.length > 0 ? fills[0].seq : 0;
    const fresh = fills.filter((row) => row.seq > (seenFills ?? newest));
    if (seenFills === null || (fresh.length > 0 && performance.now() - saidAt > 2000)) {
      if (fresh.length > 0) put(by("says"), fresh.map(sentence).join(". "));
      saidAt = performance.now();
      seenFills = newest;
    }
  }

  function tick() {
    for (const panel of panels) panel.tick?.();
    commands.tick();
    freshness();
    banner();
  }

  function freshness() {
    for (const panel of document.querySelectorAll("#desk .panel")) {
      const label = panel.querySelector(".age");
      const [ageing, stale] = store.hello.thresholds[label.dataset.age] ?? [1000, 2000];
      const value = store.knowledgeAge(label.dataset.age);
      let state = "";
      let text = value === null ? "no beat" : age(value);
      if (store.ended()) {
        state = "over";
        text = "session over";
      } else if (!socket.connected || value === null || value > stale) {
        state = "stale";
        text = value === null ? "stale, no beat" : `stale ${text}`;
      } else if (value > ageing) {
        state = "ageing";
        text = `ageing ${text}`;
      }
      dress(panel, `panel ${state}`);
      put(label, text);
    }
  }

  function banner() {
    const node = by("banner");
    let text = missed;
    if (trouble.state === "closed") {
      text = `Disconnected: ${trouble.detail}. The picture is old; KILL and the commands still work while you are signed in.`;
    } else if (trouble.state === "lost") {
      const gone = Math.floor((performance.now() - socket.lostAt) / 1000);
      const next = Math.max(0, Math.ceil(((socket.retryAt ?? performance.now()) - performance.now()) / 1000));
      const clock = store.values.clock;
      text = `Disconnected ${Math.floor(gone / 60)}:${String(gone % 60).padStart(2, "0")}${trouble.detail ? ` (${trouble.detail})` : ""}. Position as of ${time(clock?.now_us, store.zone)} may be wrong. Next try in ${next} s (${socket.tries}).`;
    } else if (trouble.state === "resync") {
      text = `A frame was lost (${trouble.detail}); asking for a fresh picture.`;
    } else if (store.values.mode?.status === "failed") {
      text = "The session has failed: see Sessions for its reason.";
    } else if (store.values.account?.latched || store.values.mode?.label === "HALTED") {
      text = "HALTED. Nothing trades until a person has looked and unlocked: manage.py unlock.";
    }
    node.classList.toggle("hidden", text === "");
    node.classList.toggle("attention", text === missed || trouble.state === "resync");
    put(node, text);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      store.changed.add("*");
      requestAnimationFrame(draw);
    }
  });
  window.addEventListener("online", () => socket.retryNow());
  store.changed.add("*");
  draw();
  setInterval(tick, TICK_MS);
  socket.open();
  globalThis.desk = { store, socket, commands };
}
