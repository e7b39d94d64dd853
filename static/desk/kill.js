/* KILL: the first road is the desk's own POST, the second the guard's address.  Done is said only with the server's proof. */
import { Hold } from "./hold.js";
import { by, make, put } from "./dom.js";

const SECOND_ROAD_MS = 1000;

export function installKill() {
  const button = by("kill");
  if (!button) return;
  let running = null;
  const say = (text) => put(by("kill-says"), text);
  const word = (text) => put(by("kill-word"), text);

  async function fire() {
    if (running) return;
    const started = performance.now();
    const elapsed = () => Math.round(performance.now() - started);
    running = setInterval(() => word(`KILL requested ${(elapsed() / 1000).toFixed(1)} s`), 100);
    word("KILL requested 0.0 s");
    say("Kill requested.");
    const second = setTimeout(() => guardRoad(button), SECOND_ROAD_MS);
    const body = new URLSearchParams({ action: "kill", reason: "KILL button", csrfmiddlewaretoken: by("csrf").value });
    try {
      const response = await fetch(button.dataset.url, {
        method: "POST", body, keepalive: true, redirect: "error", headers: { Accept: "application/json", "X-CSRFToken": by("csrf").value },
      });
      const answer = await response.json();
      clearTimeout(second);
      if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
      show(answer.flat ? `FLAT, proved in ${Math.round(answer.ms)} ms, road: ${answer.road}` : "NOT PROVED FLAT: look below, call the broker", answer.flat, answer.steps);
    } catch (error) {
      clearTimeout(second);
      const reached = await guardRoad(button);
      const text = reached
        ? "NOT PROVED here: sent by the guard's road, whose answer this page may not read; its own page has the proof"
        : "UNKNOWN: neither the desk nor the guard answered";
      show(`${text} (${error.message})`, false, []);
    } finally {
      clearInterval(running);
      running = null;
      word("HOLD TO KILL");
    }
  }

  function show(text, good, steps) {
    say(text);
    const list = make("ol", { class: "steps" }, ...steps.map((step) => make("li", { class: step.ok ? "" : "bad" }, `${step.name} ${step.ok ? "ok" : "failed"} at ${step.ms.toFixed(1)} ms${step.detail && !step.ok ? `: ${step.detail}` : ""}`)));
    const close = make("button", { type: "button", class: "plain" }, "Close");
    const panel = make("section", { id: "kill-panel", class: `kill-panel ${good ? "good" : "bad-end"}`, "aria-label": "Kill" }, make("b", {}, `KILL: ${text}`), list, close);
    close.addEventListener("click", () => panel.remove());
    by("kill-panel")?.remove();
    by("main").prepend(panel);
  }

  new Hold(button, { fire, say, word });
}

/** A plain form POST to the guard with a token that may only reduce.  True when something answered there. */
async function guardRoad(button) {
  const { token, guardPort } = button.dataset;
  if (!token) return false;
  const host = location.hostname === "localhost" ? "localhost" : "127.0.0.1";
  try {
    const body = new URLSearchParams({ token, reason: "KILL button, second road" });
    await fetch(`http://${host}:${guardPort}/kill`, { method: "POST", mode: "no-cors", keepalive: true, body });
    return true;
  } catch (error) {
    console.warn("the guard does not answer", error.message);
    return false;
  }
}
