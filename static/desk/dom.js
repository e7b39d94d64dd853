/* Small helpers that touch the document only where something changed. */
export const by = (id) => document.getElementById(id);

/** Set text if it differs. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set the class attribute if it differs. */
export function dress(node, name) {
  if (node.className !== name) node.className = name;
}

/** Set the title if it differs. */
export function hint(node, text) {
  if (node.title !== text) node.title = text;
}

export function share(node, value) {
  const text = String(Math.max(0, Math.min(1, value)).toFixed(3));
  if (node.style.getPropertyValue("--share") !== text) node.style.setProperty("--share", text);
}

/** make("td", {class: "n", title: "…"}, "text" | node …) */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Keep exactly `count` children made by `build(i)`. */
export function keep(parent, count, build) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(build(parent.children.length));
  return parent.children;
}

/** A row of choices of which one is pressed: choices(parent, [["5", "5s"], …], "5", chosen => …) → {choose(value)}. */
export function choices(parent, list, first, on) {
  const buttons = new Map();
  const mark = (value) => {
    for (const [key, button] of buttons) button.setAttribute("aria-pressed", String(key === value));
  };
  for (const [value, text] of list) {
    const button = make("button", { type: "button", class: "plain", "aria-pressed": "false", "data-choice": value }, text);
    button.addEventListener("click", () => {
      mark(value);
      on(value);
    });
    buttons.set(value, button);
    parent.append(button);
  }
  mark(first);
  return { choose: mark };
}
