/* The keyboard map.  Keys go by `event.code`, so a Russian layout changes nothing; single keys act outside fields alone. */
import { openDialog } from "./dialogs.js";
import { by, make } from "./dom.js";
import { gettext as _ } from "./texts.js";

const KEPT = "desk.single-keys";

/** What the four safety keys do is in commands.js and hold.js; here they are only named. */
const SAFETY = [
  ["F8", _("cancel all entry orders")],
  ["F9", _("flatten")],
  ["Ctrl ,", _("pause entries")],
  ["Ctrl . (hold)", _("KILL")],
];

export function installKeys(actions) {
  const single = [
    { code: "KeyC", key: "C", text: _("centre the ladder"), run: actions.centre },
    { code: "KeyL", key: "L", text: _("log scale of the chart"), run: actions.log },
    { code: "End", key: "End", text: _("chart to now"), run: actions.now },
    { code: "BracketLeft", key: "[", text: _("previous instrument"), run: () => actions.instrument(-1) },
    { code: "BracketRight", key: "]", text: _("next instrument"), run: () => actions.instrument(1) },
    { code: "KeyT", key: "T", text: _("theme"), run: actions.theme },
    { code: "Slash", shift: true, key: "?", text: _("this list"), run: showList },
    { code: "Slash", key: "/", text: _("search: the list of sessions"), run: actions.search },
    ...Array.from({ length: 9 }, (_unused, i) => ({ code: `Digit${i + 1}`, key: i === 0 ? "1…9" : "", text: _("session"), run: () => actions.session(i) })),
  ];
  const always = [{ code: "F2", key: "F2", text: _("say the state"), run: actions.speak }];
  const dialog = by("keys-dialog");
  const box = by("single-keys");
  box.checked = localStorage.getItem(KEPT) !== "off";
  box.addEventListener("change", () => localStorage.setItem(KEPT, box.checked ? "on" : "off"));
  by("key-list-button").addEventListener("click", showList);
  const named = [...SAFETY, ...always.map((one) => [one.key, one.text]), ...single.filter((one) => one.key).map((one) => [one.key, one.text])];
  by("keys-table").replaceChildren(...named.map(([key, text]) => make("div", { class: "key-row" }, make("kbd", {}, key), make("span", {}, text))));

  function showList() {
    openDialog(dialog);
  }

  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
    const found = always.find((one) => one.code === event.code) ?? (wanted(event) ? single.find((one) => one.code === event.code && Boolean(one.shift) === event.shiftKey) : null);
    if (!found) return;
    event.preventDefault();
    found.run();
  });

  function wanted(event) {
    const target = event.target;
    const field = target instanceof Element && target.closest("input, textarea, select, [contenteditable]");
    const scrolls = event.code === "End" && target instanceof Element && target.closest(".table, .ladder, dialog");
    return box.checked && !field && !scrolls && !document.querySelector("dialog[open]");
  }
}
