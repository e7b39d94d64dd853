/* Which instrument the page looks at: one choice for chart, ladder and list. */
export class View {
  constructor() {
    this.inst = "0";
    this.listeners = [];
  }

  /** fn(inst) after every change. */
  onChange(fn) {
    this.listeners.push(fn);
  }

  choose(inst) {
    if (inst === this.inst) return;
    this.inst = inst;
    for (const fn of this.listeners) fn(inst);
  }

  /** The next or previous instrument of the session. */
  step(store, by) {
    const all = Object.keys(store.values.instruments ?? {});
    if (all.length > 0) this.choose(all[(all.indexOf(this.inst) + by + all.length) % all.length]);
  }
}
