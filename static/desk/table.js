/* A real table whose rows are reused by key, and which holds still while somebody is in it. */
import { dress, hint, make, put } from "./dom.js";
import { fill, ngettext } from "./texts.js";

/**
 * columns: [{name, cls?, cell(row) → text | {text, cls, title, href}}].  A link is for the pointer: it is no stop of Tab, the
 * panel has one link of its own.  Rows keep their node while their key stays, so a pointer or a reader never loses its
 * place; while pointer or focus is inside, new rows wait behind "3 new".
 */
export class Table {
  constructor(parent, columns, { caption, empty, key, fresh = false, still = false }) {
    Object.assign(this, { columns, keyOf: key, nodes: new Map(), fresh, seen: false, inside: 0, waiting: null });
    this.body = make("tbody");
    const head = make("tr", {}, ...columns.map((c) => make("th", { scope: "col", class: c.cls }, c.name)));
    this.table = make("table", {}, make("caption", { class: "sr" }, caption), make("thead", {}, head), this.body);
    this.empty = make("p", { class: "empty" }, empty);
    this.scroller = make("div", { class: "table", tabindex: "0", role: "group", "aria-label": caption }, this.table);
    this.more = make("button", { type: "button", class: "more-rows", hidden: "" });
    this.more.addEventListener("click", () => this.#release(true));
    parent.replaceChildren(this.scroller, this.more, this.empty);
    if (still) this.#watch(parent);
  }

  #watch(parent) {
    const flags = { pointer: false, focus: false };
    const set = (name, value) => {
      flags[name] = value;
      this.inside = flags.pointer || flags.focus;
      if (!this.inside) this.#release(false);
    };
    parent.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && set("pointer", true));
    parent.addEventListener("pointerleave", () => set("pointer", false));
    parent.addEventListener("focusin", () => set("focus", parent.querySelector(":focus-visible") !== null));
    parent.addEventListener("focusout", () => set("focus", false));
  }

  #release(scroll) {
    if (!this.waiting) return;
    const { rows, emptyText } = this.waiting;
    this.waiting = null;
    this.#draw(rows, emptyText);
    if (scroll) this.scroller.scrollTop = 0;
  }

  render(rows, emptyText) {
    if (this.inside && this.seen && this.nodes.size > 0) {
      this.#keepStill(rows, emptyText);
      return;
    }
    this.#draw(rows, emptyText);
  }

  /** Known rows are updated where they stand; new ones are counted. */
  #keepStill(rows, emptyText) {
    let fresh = 0;
    for (const row of rows) {
      const node = this.nodes.get(String(this.keyOf(row)));
      if (node) this.#fill(node, row);
      else fresh += 1;
    }
    this.waiting = { rows, emptyText };
    this.more.hidden = fresh === 0;
    put(this.more, fill(ngettext("%(n)s new", "%(n)s new", fresh), { n: fresh }));
  }

  #draw(rows, emptyText) {
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
      this.#fill(node, row);
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
    this.waiting = null;
    this.more.hidden = true;
    if (emptyText !== undefined) put(this.empty, emptyText);
    this.empty.hidden = rows.length > 0;
    this.scroller.hidden = rows.length === 0;
  }

  #fill(node, row) {
    this.columns.forEach((column, i) => {
      const value = column.cell(row);
      const it = typeof value === "object" && value !== null ? value : { text: value };
      const cell = node.children[i];
      put(it.href ? link(cell, it.href) : cell, String(it.text));
      dress(cell, [column.cls, it.cls].filter(Boolean).join(" "));
      hint(cell, it.title ?? "");
    });
  }
}

/** The link inside a cell, made when it is not there yet. */
function link(cell, href) {
  const node = cell.querySelector("a") ?? make("a", { tabindex: "-1" });
  if (!node.parentNode) cell.replaceChildren(node);
  if (node.getAttribute("href") !== href) node.setAttribute("href", href);
  return node;
}
