/* How old the knowledge is, on every panel, and the banner that says what is wrong and what comes next. */
import { by, dress, make, put } from "./dom.js";
import { age, time } from "./format.js";
import { gettext as _ } from "./texts.js";

export class Freshness {
  constructor(store, socket) {
    Object.assign(this, { store, socket });
    this.trouble = { state: "opening", detail: "" };
    this.missed = "";
    this.node = by("banner");
    this.text = make("span");
    this.retry = make("button", { type: "button", hidden: "" }, _("Try now"));
    this.retry.addEventListener("click", () => socket.retryNow());
    this.node.replaceChildren(this.text, this.retry);
    this.labels = [...document.querySelectorAll("#desk .panel .age")].map((label) => [label.closest(".panel"), label, label.closest(".panel").className.split(" ").filter((name) => name !== "panel").join(" ")]);
  }

  tick() {
    const ended = this.store.ended();
    for (const [panel, label, own] of this.labels) {
      const [ageing, stale] = this.store.hello.thresholds[label.dataset.age] ?? [1000, 2000];
      const value = this.store.knowledgeAge(label.dataset.age);
      let state = "";
      let text = value === null ? _("no beat") : age(value);
      if (this.store.replay) text = _("replay");
      else if (ended) {
        state = "over";
        text = _("session over");
      } else if (!this.socket.connected || !this.store.painted || value === null || value > stale) {
        const starting = value === null && this.store.values.mode?.status === "starting";
        state = starting ? "stale starting" : "stale";
        text = starting ? _("starting") : value === null ? _("stale, no beat") : `${_("stale")} ${text}`;
      } else if (value > ageing) {
        state = "ageing";
        text = `${_("ageing")} ${text}`;
      }
      dress(panel, `panel ${own ? `${own} ` : ""}${state}`.trimEnd());
      put(label, text);
    }
    this.#banner();
  }

  #banner() {
    const { state, detail } = this.trouble;
    const text = this.#words(state, detail);
    const quiet = text === this.missed || state === "resync";
    this.node.classList.toggle("hidden", text === "");
    this.node.classList.toggle("attention", quiet);
    this.retry.hidden = state !== "lost";
    put(this.text, text);
  }

  #words(state, detail) {
    const { store, socket } = this;
    if (state === "closed") {
      return `${_("Disconnected")}: ${detail}. ${_("The picture is old; KILL and the commands still work while you are signed in.")}`;
    }
    if (state === "lost") {
      const gone = Math.floor((performance.now() - socket.lostAt) / 1000);
      const next = Math.max(0, Math.ceil(((socket.retryAt ?? performance.now()) - performance.now()) / 1000));
      const clock = store.values.clock;
      const why = detail ? ` (${detail})` : "";
      return `${_("Disconnected")} ${Math.floor(gone / 60)}:${String(gone % 60).padStart(2, "0")}${why}. ${_("Position as of")} ${time(clock?.now_us, store.zone)} ${_("may be wrong.")} ${_("Next try in")} ${next} s (${socket.tries}).`;
    }
    if (state === "resync") return `${_("A frame was lost")} (${detail}); ${_("asking for a fresh picture.")}`;
    const mode = store.values.mode;
    if (mode && mode.mode !== "paper" && mode.mode !== "replay") return `${_("Unknown mode")} "${mode.mode}": ${_("this is a fault. Nothing may be started from this page; reduce and look at the session.")}`;
    if (mode?.status === "failed") return _("The session has failed: see Sessions for its reason.");
    if (store.values.account?.latched || mode?.label === "HALTED") return _("HALTED. Nothing trades until a person has looked and unlocked: manage.py unlock.");
    return this.missed;
  }
}
