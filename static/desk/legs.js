/* Moving the stop or the target of what is held: the dialog with its number field, and what every way of moving shares.

A stop only comes closer; the page says so before it asks, the kernel decides.  Prices are whole ticks. */
import { openDialog } from "./dialogs.js";
import { by, put } from "./dom.js";
import { known, price, ticks } from "./format.js";
import { fill, gettext as _ } from "./texts.js";

export const KIND = { stop: "move_stop", target: "move_target" };

/** Where a leg stands: the plan's tick, else the working order's. */
export function legTick(position, leg) {
  return position?.[`${leg}_tick`] ?? position?.[leg]?.tick ?? null;
}

/** Why a leg of this position may not go to `tick`, in words; "" when nothing here speaks against it. */
export function objection(position, leg, tick) {
  const now = legTick(position, leg);
  if (!position || position.qty === 0 || !known(now)) return _("nothing is held");
  if (tick === now) return _("it stands there");
  const side = Math.sign(position.qty);
  if (leg === "stop" && (tick - now) * side < 0) return _("a stop never loosens");
  if (known(position.mark_tick) && (position.mark_tick - tick) * side * (leg === "stop" ? 1 : -1) <= 0) return _("it would be through the market");
  return "";
}

/** "+4 t closer": how far a leg moves, seen from what is held. */
export function distance(position, leg, tick) {
  const by_ = (tick - legTick(position, leg)) * Math.sign(position.qty);
  const closer = leg === "stop" ? by_ > 0 : by_ < 0;
  return `${ticks(by_)} ${by_ === 0 ? "" : closer ? _("closer") : _("farther")}`.trim();
}

export class LegDialog {
  constructor(store, commands) {
    Object.assign(this, { store, commands });
    this.dialog = by("leg-dialog");
    this.field = by("leg-price");
    this.field.addEventListener("input", () => this.#tell());
    for (const [id, step] of [["leg-down", -1], ["leg-up", 1]]) by(id).addEventListener("click", () => this.#set((this.#tick() ?? this.#now()) + step));
    by("leg-entry").addEventListener("click", () => this.#set(this.#entry()));
    this.dialog.addEventListener("close", () => {
      const tick = this.#tick();
      if (this.dialog.returnValue !== "send" || tick === null) return;
      const another = this.#position()?.since_us !== this.since;
      const against = another ? _("it is another position") : objection(this.#position(), this.leg, tick);
      if (against) this.commands.refuse(this.leg, against);
      else this.commands.move(this.leg, this.place, tick);
    });
  }

  open(place, leg) {
    Object.assign(this, { place, leg, since: this.store.values[`pos:${place}`]?.since_us });
    put(by("h-leg"), leg === "stop" ? _("MOVE STOP") : _("MOVE TARGET"));
    by("leg-entry").hidden = leg !== "stop";
    this.field.step = String(this.#inst().tick_nanos / 1e9);
    openDialog(this.dialog);
    this.#set(this.#now());
    this.field.focus();
    this.field.select();
  }

  #inst() {
    return this.store.instrument(String(this.place));
  }

  #position() {
    return this.store.values[`pos:${this.place}`];
  }

  #now() {
    return legTick(this.#position(), this.leg);
  }

  /** The tick at the average entry, on the side of profit where that lies between two. */
  #entry() {
    const average = (Number(this.#position().avg_text) * 1e9) / this.#inst().tick_nanos;
    if (!Number.isFinite(average)) return null;
    return this.#position().qty > 0 ? Math.ceil(average - 1e-6) : Math.floor(average + 1e-6);
  }

  /** What the field says in ticks; null while it is no price of the grid. */
  #tick() {
    const exact = (Number(this.field.value) * 1e9) / this.#inst().tick_nanos;
    return this.field.value !== "" && Math.abs(exact - Math.round(exact)) < 1e-6 ? Math.round(exact) : null;
  }

  #set(tick) {
    if (!known(tick)) return;
    this.field.value = price(tick, this.#inst());
    this.#tell();
  }

  #tell() {
    const tick = this.#tick();
    const against = tick === null ? fill(_("no price of %(symbol)s"), { symbol: this.#inst().symbol }) : objection(this.#position(), this.leg, tick);
    put(by("leg-note"), against || distance(this.#position(), this.leg, tick));
    by("leg-send").disabled = against !== "";
    const entry = this.#entry();
    by("leg-entry").disabled = entry === null || objection(this.#position(), "stop", entry) !== "";
  }
}
