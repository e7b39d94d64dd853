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
    running = setInterval(() => word(`KILL requested ${((performance.now() - started) / 1000).toFixed(1)} s`), 100);
    word("KILL requested 0.0 s");
    say("Kill requested.");
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, SECOND_ROAD_MS); });
    const desk = deskRoad(button);
    const failed = desk.then(() => late, () => {});
    try {
      const { ms, road, steps } = await Promise.any([desk, Promise.race([late, failed]).then(() => guardRoad(button))]);
      show(`FLAT, proved in ${Math.round(ms)} ms, road: ${road}`, true, steps);
    } catch ({ errors }) {
      const report = errors.find((error) => error.report)?.report;
      const why = errors.map((error) => error.message).join("; ");
      if (report) show("NOT PROVED FLAT: look below, call the broker", false, report.steps);
      else show(`UNKNOWN: neither the desk nor the guard answered (${why})`, false, []);
    } finally {
      clearTimeout(timer);
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

/** A report that proves flat, or an error that carries it. */
function proved(report) {
  if (report.flat) return report;
  throw Object.assign(new Error("not flat"), { report });
}

async function deskRoad(button) {
  const token = by("csrf").value;
  const body = new URLSearchParams({ action: "kill", reason: "KILL button", csrfmiddlewaretoken: token });
  const headers = { Accept: "application/json", "X-CSRFToken": token };
  const response = await fetch(button.dataset.url, { method: "POST", body, keepalive: true, redirect: "error", headers });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? `status ${response.status}`);
  return proved(answer);
}

/** A plain form POST to the guard, with a token that may only reduce. */
async function guardRoad(button) {
  const { token, guardPort } = button.dataset;
  if (!token) throw new Error("no token for the guard");
  const host = location.hostname === "localhost" ? "localhost" : "127.0.0.1";
  const body = new URLSearchParams({ token, reason: "KILL button, second road" });
  const response = await fetch(`http://${host}:${guardPort}/kill`, { method: "POST", keepalive: true, body });
  if (!response.ok) throw new Error(`the guard: status ${response.status}`);
  const report = await response.json();
  let at = 0; // its steps say how long each took
  const steps = report.steps.map(({ step, ms, flat = true }) => ({ name: step, ok: flat, ms: (at += ms), detail: JSON.stringify(report.residual) }));
  return proved({ ...report, steps });
}
