/* Narrow screens: panels that share one place behind tabs, the rail behind a button, seldom commands behind "more". */
import { by, put } from "./dom.js";
import { count } from "./format.js";

/** Tabs with arrow keys; on(name) is called with the chosen one. */
export function tabs(list, on) {
  const choose = (chosen, focus) => {
    list.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
    });
    on(chosen);
    if (focus) list[chosen].focus();
  };
  list.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(i, false));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const shown = list.filter((one) => one.offsetParent !== null);
      const next = shown[(shown.indexOf(tab) + step + shown.length) % shown.length];
      choose(list.indexOf(next), true);
    });
  });
  return choose;
}

export function panes(store) {
  const desk = by("desk");
  const list = [...by("panes").children];
  const show = tabs(list, (i) => {
    desk.dataset.pane = list[i].dataset.pane;
    store.changed.add("*");
  });
  const open = (name) => show(list.findIndex((tab) => tab.dataset.pane === name));

  /* The state word and the number of holds open the list of holds, wherever it is. */
  by("s-label").addEventListener("click", (event) => {
    event.preventDefault();
    open("holds");
    by("holds").focus();
  });
  toggle(by("rail-button"), by("rail"), "open");
  toggle(by("more"), document.querySelector(".head"), "more-open");

  function update() {
    const [ladder, decisions, blotter, holds, loops] = ["ladder", "decisions", "blotter", "holds", "loops"].map((name) => by(`pane-${name}`)?.querySelector(".count"));
    put(ladder, "");
    const told = store.rows.decision?.to;
    put(decisions, told ? ` ${count(told)}` : "");
    const working = (store.values.orders ?? []).filter((row) => row.live !== false).length;
    put(blotter, working ? ` ${working} working` : "");
    put(holds, store.values.holds ? ` ${store.values.holds.length}` : "");
    const silent = by("loops").querySelectorAll(".loop.dead").length;
    put(loops, store.ended() ? "" : silent ? ` ${silent} silent` : " ok");
  }
  return { keys: ["rows:decision", "orders", "holds", "loops", "*"], update, open };
}

function toggle(button, target, name) {
  button.hidden = false;
  const set = (on) => {
    target.classList.toggle(name, on);
    button.setAttribute("aria-expanded", String(on));
  };
  button.addEventListener("click", () => set(!target.classList.contains(name)));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && target.classList.contains(name)) {
      set(false);
      button.focus();
    }
  });
  document.addEventListener("pointerdown", (event) => {
    if (target.classList.contains(name) && !target.contains(event.target) && !button.contains(event.target)) set(false);
  });
}
