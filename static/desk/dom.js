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

/**
 * A real table whose rows are reused by key.  columns: [{name, cls?, cell(row) → text | {text, cls, title}}].
 * Rows keep their node while their key stays, so a pointer or a reader never loses its place.
 */
export class Table {
  constructor(parent, columns, { caption, empty, key, fresh = false }) {
    Object.assign(this, { columns, keyOf: key, nodes: new Map(), fresh, seen: false });
    this.body = make("tbody");
    const head = make("tr", {}, ...columns.map((c) => make("th", { scope: "col", class: c.cls }, c.name)));
    this.table = make("table", {}, make("caption", { class: "sr" }, caption), make("thead", {}, head), this.body);
    this.empty = make("p", { class: "empty" }, empty);
    parent.replaceChildren(make("div", { class: "table", tabindex: "0", role: "group", "aria-label": caption }, this.table), this.empty);
  }

  render(rows, emptyText) {
    const keys = new Set();
    let place = this.body.firstElementChild;
    for (const row of rows) {
      const key = String(this.keyOf(row));
      keys.add(key);
      let node = this.nodes.get(key);
      if (!node) {
        node = make("tr", this.fresh && this.seen ? { class: "fresh" } : {}, ...this.columns.map(() => make("td")));
        this.nodes.set(key, node);
      }
      this.columns.forEach((column, i) => this.#cell(node.children[i], column, column.cell(row)));
      if (node !== place) this.body.insertBefore(node, place);
      else place = place.nextElementSibling;
    }
    for (const [key, node] of this.nodes) {
      if (!keys.has(key)) {
        node.remove();
        this.nodes.delete(key);
      }
    }
    this.seen = true;
    if (emptyText !== undefined) put(this.empty, emptyText);
    this.empty.hidden = rows.length > 0;
    this.table.parentElement.hidden = rows.length === 0;
  }

  #cell(node, column, value) {
    const it = typeof value === "object" && value !== null ? value : { text: value };
    put(node, String(it.text));
    dress(node, [column.cls, it.cls].filter(Boolean).join(" "));
    if ((node.title || "") !== (it.title ?? "")) node.title = it.title ?? "";
  }
}
