/* What every signed-in page has: KILL and the theme switch. */
import { by, put } from "./dom.js";
import { installKill } from "./kill.js";

const THEMES = ["auto", "dark", "light"];

function installTheme() {
  const button = by("theme");
  const root = document.documentElement;
  const show = () => put(button, `${root.dataset.theme[0].toUpperCase()}${root.dataset.theme.slice(1)} theme`);
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
    show();
  });
  show();
}

installKill();
installTheme();
