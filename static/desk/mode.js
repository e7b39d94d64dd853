/* What the mode means for the page: its title, and which controls may stand here at all. */
import { by } from "./dom.js";
import { gettext as _ } from "./texts.js";

const MODES = { paper: "PAPER", replay: "REPLAY" };

export function mode(store) {
  const form = by("start");
  form?.addEventListener("submit", (event) => {
    if (!unknown()) return;
    event.preventDefault();
    form.open = false;
  }, true);

  function unknown() {
    const value = store.values.mode;
    return Boolean(value) && !MODES[value.mode];
  }

  function update() {
    const value = store.values.mode;
    if (value?.mode === "replay") by("command-bar")?.remove(); // KILL alone stays, and always means the real desk
    const start = form?.querySelector("summary");
    if (start) {
      start.setAttribute("aria-disabled", String(unknown()));
      start.title = unknown() ? _("Refused: the mode of this session is unknown") : "";
      if (unknown()) form.open = false;
    }
    title(value);
  }

  function title(value) {
    const word = value ? (MODES[value.mode] ?? `UNKNOWN MODE ${value.mode ?? ""}`) : "—";
    const held = Object.entries(store.values).find(([key, row]) => key.startsWith("pos:") && row?.qty);
    const text = held ? `${held[1].qty > 0 ? "L" : "S"}${Math.abs(held[1].qty)} ${held[1].symbol}` : "flat";
    const lost = store.painted || store.ended() ? "" : "? ";
    const page = `${lost}${word} ${text} · ${value?.key ?? "desk"}`;
    if (document.title !== page) document.title = page;
  }
  form?.querySelector("summary").addEventListener("click", (event) => {
    if (unknown()) event.preventDefault();
  });
  return { keys: ["mode", "pos:", "*"], update, tick: update };
}
