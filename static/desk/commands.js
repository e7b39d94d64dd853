/* The life of a command: requested, accepted, done in N ms, or refused, failed, unknown.  Nothing is shown before the server said it. */
import { openDialog } from "./dialogs.js";
import { by, dress, make, put } from "./dom.js";
import { KIND } from "./legs.js";

const OVER = new Set(["done", "refused", "failed"]);
const WORDS = { pause: "Pause", resume: "Resume", cancel_all: "Cancel all", flatten: "Flatten", stop: "Stop session", move_stop: "Move stop", move_target: "Move target" };
const KEYS = { F8: "cancel_all", F9: "flatten" };
const KEEP_MS = 30000;
const SILENT_MS = 1000;
const UNKNOWN_MS = 15000;
const VENUE_MS = 5000;  // after the kernel took a move the venue may still refuse it

export class Commands {
  constructor(store) {
    this.store = store;
    this.form = by("commands");
    this.current = null;
    this.receipt = by("receipt");
    this.resume = by("resume-dialog");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.give(event.submitter.value);
    });
    this.resume.addEventListener("close", () => {
      if (this.resume.returnValue === "send") this.send("resume", by("resume-reason").value, by("resume-password").value);
    });
    document.addEventListener("keydown", (event) => {
      if (event.repeat) return;
      const kind = event.ctrlKey && event.code === "Comma" ? "pause" : KEYS[event.code];
      if (kind && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        this.give(kind);
      }
    });
  }

  /** Resume is the one that lets the desk trade again: it asks for a reason first. */
  give(kind) {
    if (kind !== "resume") {
      this.send(kind, "");
      return;
    }
    by("resume-reason").value = "";
    by("resume-password").value = "";
    openDialog(this.resume);
  }

  /** Ask for another tick of a leg; returns the command, whose `state` follows the server's word. */
  move(leg, inst, tick) {
    this.send(KIND[leg], "", "", { inst, tick });
    return this.current;
  }

  /** What the page itself refuses is told like a refusal of the server. */
  refuse(leg, why) {
    this.current = { kind: KIND[leg], startedAt: performance.now(), heardAt: performance.now() };
    this.#end(this.current, "refused", why);
  }

  async send(kind, reason, password = "", place = {}) {
    const waiting = this.current;
    const again = waiting && waiting.kind === kind && waiting.tick === place.tick && waiting.inst === place.inst && !OVER.has(waiting.state) && waiting.state !== "unknown";
    const command = again ? waiting : { kind, reason, ...place, key: crypto.randomUUID(), state: "requested", startedAt: performance.now(), heardAt: performance.now() };
    this.current = command;
    this.#draw();
    try {
      const response = await fetch(this.form.dataset.url, {
        method: "POST",
        redirect: "error",
        headers: { "Content-Type": "application/json", "X-CSRFToken": by("csrf").value },
        body: JSON.stringify({ key: command.key, session: Number(this.form.dataset.session), kind, reason, ...place, ...(password && { password }) }),
      });
      const answer = await response.json();
      if (response.ok) this.#take(command, answer);
      else this.#end(command, "refused", answer.error ?? `status ${response.status}`);
    } catch (error) {
      console.warn("the command's answer was lost", error.message);
    }
    if (!again) this.#follow(command);
  }

  /** Ask until it is over; a lost answer ends in unknown, never in failed. */
  async #follow(command) {
    let pause = 60;
    while (this.#undecided(command) && performance.now() - command.startedAt < UNKNOWN_MS) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(500, pause * 1.5);
      try {
        const response = await fetch(`${this.form.dataset.url}${command.key}/`, { redirect: "error" });
        if (response.ok) this.#take(command, await response.json());
      } catch (error) {
        console.warn("the command's state could not be read", error.message);
      }
    }
    if (!OVER.has(command.state)) this.#end(command, "unknown", "no answer; look at the orders, or give it again");
  }

  #undecided(command) {
    if (command.state === "done" && command.tick !== undefined) return performance.now() - command.endedAt < VENUE_MS;
    return !OVER.has(command.state);
  }

  #take(command, answer) {
    command.heardAt = performance.now();
    Object.assign(command, { state: answer.state, ms: answer.ms, detail: answer.detail, seq: answer.seq });
    if (OVER.has(command.state)) command.endedAt ??= performance.now();
    this.#draw();
  }

  #end(command, state, detail) {
    Object.assign(command, { state, detail, endedAt: performance.now() });
    this.#draw();
  }

  tick() {
    const command = this.current;
    if (!command) return;
    if (command.endedAt && performance.now() - command.endedAt > KEEP_MS) this.current = null;
    this.#draw();
  }

  #draw() {
    const command = this.current;
    if (!command) {
      this.receipt.replaceChildren();
      return;
    }
    if (this.receipt.children.length === 0) this.receipt.append(make("span", { class: "what" }), make("span"));
    const [what, how] = this.receipt.children;
    put(what, WORDS[command.kind] ?? command.kind);
    const seconds = ((performance.now() - command.startedAt) / 1000).toFixed(1);
    const silent = performance.now() - command.heardAt > SILENT_MS;
    let text = `${command.state} ${seconds} s`;
    if (command.state === "done") text = `done in ${command.ms ?? "?"} ms`;
    else if (command.endedAt) text = `${command.state}${command.detail ? `: ${command.detail}` : ""}`;
    else if (command.state === "accepted" && command.seq) text = `accepted (journal ${command.seq}) ${seconds} s`;
    else if (silent) text = `${command.state}, no answer for ${seconds} s`;
    put(how, text);
    dress(how, command.state);
  }
}
