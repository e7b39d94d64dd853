/* Dialogs that leave KILL free: not modal, so nothing else goes dead; focus goes round inside, Esc closes, focus returns. */

export function openDialog(dialog) {
  if (dialog.open) return;
  const opener = document.activeElement;
  dialog.returnValue = "";
  dialog.show();
  const onKey = (event) => {
    if (event.key === "Escape") dialog.close("");
    if (event.key !== "Tab") return;
    const inside = [...dialog.querySelectorAll("button, input, select, textarea, a[href], [tabindex='0']")].filter((node) => node.offsetParent !== null);
    const end = event.shiftKey ? inside[0] : inside.at(-1);
    if (document.activeElement !== end) return;
    event.preventDefault();
    (event.shiftKey ? inside.at(-1) : inside[0]).focus();
  };
  dialog.addEventListener("keydown", onKey);
  dialog.addEventListener("close", () => {
    dialog.removeEventListener("keydown", onKey);
    opener?.focus?.();
  }, { once: true });
}
