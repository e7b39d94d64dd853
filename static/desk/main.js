/* The Desk: one store, one socket, one drawing per animation frame, ages ten times a second. */
import "./shell.js";
import { Commands } from "./commands.js";
import { by } from "./dom.js";
import { installForm } from "./form.js";
import { Freshness } from "./freshness.js";
import { installKeys } from "./keys.js";
import { LegDialog } from "./legs.js";
import { turn, zoneChoice } from "./look.js";
import { mode } from "./mode.js";
import { panes } from "./panes.js";
import { blotter } from "./panels/blotter.js";
import { decisions } from "./panels/decisions.js";
import { holds } from "./panels/holds.js";
import { ladder } from "./panels/ladder.js";
import { loops } from "./panels/loops.js";
import { position } from "./panels/position.js";
import { rail } from "./panels/rail.js";
import { risk } from "./panels/risk.js";
import { Say } from "./say.js";
import { Socket } from "./socket.js";
import { Store } from "./store.js";
import { strip } from "./strip.js";
import { View } from "./view.js";

const TICK_MS = 100;
const ZONES = { venue: "", utc: "UTC", local: Intl.DateTimeFormat().resolvedOptions().timeZone };

installForm();
if (by("desk")) start(JSON.parse(by("page-data").textContent));

function start({ session, texts, stored, rows, rail: sessions, replay, until_us: until }) {
  const store = new Store();
  const view = new View();
  if (replay) store.snap({ d: stored, rows, n: 0, epoch: "replay", seq: 0, t: {} });
  else store.values = stored;
  store.replay = replay === true;
  store.over = replay === true || ["ended", "failed"].includes(stored.mode.status); // no loop will publish it any more
  const commands = by("commands") ? new Commands(store) : null;
  const depth = ladder(store, view);
  const list = rail(store, view, sessions);
  const places = panes(store);
  const panels = [strip(store), mode(store), position(store, commands ? new LegDialog(store, commands) : null), risk(store), depth, decisions(store, texts, session), holds(store, texts), blotter(store, texts, session), loops(store), list, places];
  const say = new Say(store);
  const socket = new Socket(store, session, { frame: arrived, state: changed });
  const freshness = new Freshness(store, socket);
  let chart = null;
  let scheduled = false;

  function draw() {
    scheduled = false;
    const started = performance.now();
    const dirty = [...store.changed];
    store.changed.clear();
    for (const panel of panels) {
      if (dirty.some((key) => panel.keys.some((wanted) => key === wanted || (wanted.endsWith(":") && key.startsWith(wanted))))) panel.update();
    }
    store.frameAt = performance.now();
    if ((socket.connected && !socket.resyncing) || store.over) store.painted = true;
    tick();
    socket.painted(performance.now() - started);
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(draw);
  }

  function arrived(kind) {
    if (kind === "snap") {
      say.missed((text) => { freshness.missed = text; });
      freshness.trouble = { state: "", detail: "" };
    }
    if (document.hidden) socket.painted(0);
    else schedule();
    say.fills();
  }

  function changed(state, detail) {
    freshness.trouble = { state, detail };
    if (state === "lost" || state === "resync") store.painted = false;
    tick();
  }

  function tick() {
    for (const panel of panels) panel.tick?.();
    commands?.tick();
    freshness.tick();
    say.alarms(socket.connected || store.ended());
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    store.changed.add("*");
    schedule();
  });
  document.addEventListener("look", ({ detail }) => {
    if (detail.name !== "zone") return;
    store.zoneChosen = ZONES[zoneChoice()];
    store.changed.add("*");
    schedule();
  });
  store.zoneChosen = ZONES[zoneChoice()];
  window.addEventListener("online", () => socket.retryNow());
  installKeys({
    centre: depth.recentre,
    log: () => by("chart-log").click(),
    now: () => chart?.toNow(),
    instrument: (step) => view.step(store, step),
    theme: () => turn("theme"),
    search: () => by("rail-button").offsetParent === null ? by("sessions").querySelector("a")?.focus() : by("rail-button").click(),
    session: (i) => list.open(i),
    speak: () => say.state(),
  });
  for (const button of document.querySelectorAll("main button:disabled:not(.tools *)")) button.disabled = false;
  store.changed.add("*");
  draw();
  setInterval(tick, TICK_MS);
  if (!replay) socket.open();
  globalThis.desk = { store, socket, commands, view };

  /* The chart's library is as large as all the rest: it comes after the first picture. */
  import("./chart/panel.js").then(({ chartPanel }) => {
    chart = chartPanel(store, view, until, commands);
    panels.push(chart);
    globalThis.desk.chart = chart;
    store.changed.add("*");
    schedule();
  }, (error) => {
    console.warn("the chart could not be loaded", error.message);
    by("chart-empty").textContent = "The chart could not be loaded; reload the page to try again.";
  });
}
