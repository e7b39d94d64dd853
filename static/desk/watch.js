/* The live strip of pages that show nothing else live: one socket that asks for the strip's values alone. */
import { Socket } from "./socket.js";
import { Store } from "./store.js";
import { strip } from "./strip.js";

const TICK_MS = 250;

export function watch(session) {
  const store = new Store();
  const panel = strip(store);
  let scheduled = false;
  const draw = () => {
    scheduled = false;
    const started = performance.now();
    store.changed.clear();
    panel.update();
    store.frameAt = performance.now();
    panel.tick();
    socket.painted(performance.now() - started);
  };
  const socket = new Socket(store, session, {
    frame: () => {
      if (document.hidden) socket.painted(0);
      else if (!scheduled) {
        scheduled = true;
        requestAnimationFrame(draw);
      }
    },
    state: () => panel.tick(),
  }, ["strip"]);
  setInterval(() => panel.tick(), TICK_MS);
  socket.open();
  globalThis.stripWatch = { store, socket };
}
