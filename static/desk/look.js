/* How the desk looks to this person: theme, density, time zone.  Kept in cookies, so that the server draws it from the start. */
import { by, put } from "./dom.js";
import { gettext as _ } from "./texts.js";

const YEAR_S = 31536000;
const CHOICES = {
  theme: { auto: _("Auto theme"), dark: _("Dark theme"), light: _("Light theme") },
  density: { auto: _("Auto density"), compact: _("Compact"), comfortable: _("Comfortable"), touch: _("Touch") },
  zone: { venue: _("Venue time"), local: _("Local time"), utc: _("UTC") },
};

function keep(name, value) {
  document.cookie = `${name}=${value}; path=/; max-age=${YEAR_S}; samesite=strict`;
}

function kept(name) {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
  const value = found?.split("=")[1];
  return value in CHOICES[name] ? value : Object.keys(CHOICES[name])[0];
}

/** Which clock the page's times are written for: venue, local or utc. */
export function zoneChoice() {
  return document.documentElement.dataset.zone ?? "venue";
}

export function setLook(name, value) {
  document.documentElement.dataset[name] = value;
  keep(name, value);
  show(name);
  document.dispatchEvent(new CustomEvent("look", { detail: { name, value } }));
}

/** The next choice in the row. */
export function turn(name) {
  const values = Object.keys(CHOICES[name]);
  const now = document.documentElement.dataset[name] ?? values[0];
  setLook(name, values[(values.indexOf(now) + 1) % values.length]);
}

function show(name) {
  const button = by(name);
  if (button) put(button, CHOICES[name][document.documentElement.dataset[name]]);
}

export function installLook() {
  for (const name of Object.keys(CHOICES)) {
    document.documentElement.dataset[name] = kept(name);
    const button = by(name);
    if (!button) continue;
    button.hidden = false;
    button.addEventListener("click", () => turn(name));
    show(name);
  }
}
