/* The one socket: hello, snap, frames, acknowledgement after the paint, resync on any break, and coming back. */

const RETRY_S = [0.25, 0.5, 1, 2, 4, 5];
export const CLOSES = {
  4400: "the server did not understand this page",
  4401: "signed out",
  4403: "no right to see this session",
  4408: "this page was too slow",
  4429: "too many open desks",
};
const FINAL = new Set([4401, 4403, 4429]);

export class Socket {
  /** panels: ["strip"] for the strip's values alone, else everything.
   *  on: {frame(kind), state(text, detail)} — frame is called after the store has changed, and calls `painted` later. */
  constructor(store, session, on, panels = []) {
    Object.assign(this, { store, session, on, panels });
    this.tries = 0;
    this.connected = false;
    this.lostAt = null;
    this.retryAt = null;
    this.closed = false;
    this.waiting = 0;
    this.failures = 0;
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const ws = new WebSocket(`${scheme}//${location.host}/ws/desk/`);
    this.ws = ws;
    this.resyncing = true;
    ws.onopen = () => this.#send({ k: "sub", session: this.session, panels: this.panels });
    ws.onmessage = (event) => {
      if (ws === this.ws) this.#take(JSON.parse(event.data));
    };
    ws.onclose = (event) => {
      if (ws === this.ws) this.#lost(event.code);
    };
  }

  /** The frame in flight has been drawn: the next one may come. */
  painted(ms) {
    if (this.waiting === 0) return;
    const n = this.waiting;
    this.waiting = 0;
    this.#send({ k: "ack", n, paint_ms: Math.round(ms), hidden: document.hidden });
  }

  /** Try at once instead of waiting. */
  retryNow() {
    clearTimeout(this.timer);
    this.retryAt = null;
    if (!this.connected && !this.closed) this.open();
  }

  #send(message) {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(message));
  }

  #take(message) {
    if (message.k === "hello") {
      this.store.hello = message;
      return;
    }
    if (message.k === "snap") {
      this.resyncing = false;
      this.store.snap(message);
      this.connected = true;
      this.tries = 0;
      this.lostAt = null;
      this.waiting = message.n;
      this.on.frame("snap");
      return;
    }
    this.waiting = message.n;
    if (this.resyncing) {
      this.painted(0);
      return;
    }
    const why = this.store.frame(message);
    if (why) {
      this.resyncing = true;
      this.failures += 1;
      this.on.state("resync", why);
      this.#send({ k: "resync", why });
      this.painted(0);
      return;
    }
    this.on.frame("f");
  }

  #lost(code) {
    this.connected = false;
    this.waiting = 0;
    this.lostAt ??= performance.now();
    if (FINAL.has(code)) {
      this.closed = true;
      this.on.state("closed", CLOSES[code]);
      return;
    }
    const base = RETRY_S[Math.min(this.tries, RETRY_S.length - 1)];
    const delay = base * 1000 * (0.8 + 0.4 * Math.random());
    this.tries += 1;
    this.lostTryAt = performance.now();
    this.retryAt = this.lostTryAt + delay;
    this.timer = setTimeout(() => this.retryNow(), delay);
    this.on.state("lost", CLOSES[code] ?? "");
  }
}
