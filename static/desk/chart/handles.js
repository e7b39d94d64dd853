/* Stop and target on the chart as handles: drag in whole ticks, or focus and use the arrows; Enter sends, Esc drops.

A ghost shows where it would go; the real line stays until the broker has taken the move, and a refusal drops the ghost. */
import { dress, make, put } from "../dom.js";
import { price } from "../format.js";
import { distance, legTick, objection } from "../legs.js";
import { gettext as _ } from "../texts.js";
import { tickSize } from "./looks.js";

const DOTTED = 1;
const OVER = new Set(["refused", "failed", "unknown"]);

export class Handles {
  /** box: the element that holds the chart; series: whose price scale counts; commands: null in a replay. */
  constructor(box, series, commands) {
    Object.assign(this, { box, series, commands });
    this.nodes = new Map();
  }

  /** Draw what `pos:<place>` says. */
  update(position, inst, place, colours) {
    Object.assign(this, { position, inst, place, colours });
    for (const leg of ["stop", "target"]) this.#one(leg);
  }

  #one(leg) {
    const tick = this.commands && this.position?.qty && !this.position.closing ? legTick(this.position, leg) : null;
    let handle = this.nodes.get(leg);
    if (tick === null) {
      if (handle) this.#drop(handle);
      handle?.node.remove();
      this.nodes.delete(leg);
      return;
    }
    if (!handle) {
      handle = { leg, node: make("button", { type: "button", class: "leg-handle", "data-leg": leg }), ghost: null, tick: null, sent: null };
      this.nodes.set(leg, handle);
      this.#listen(handle);
      this.box.append(handle.node);
    }
    if (handle.sent && (tick === handle.tick || OVER.has(handle.sent.state))) this.#drop(handle);
    this.#place(handle);
  }

  #listen(handle) {
    const { node, leg } = handle;
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || handle.sent) return;
      node.setPointerCapture(event.pointerId);
      handle.held = true;
    });
    node.addEventListener("pointermove", (event) => {
      if (!handle.held) return;
      const at = this.series.coordinateToPrice(event.clientY - this.box.getBoundingClientRect().top);
      if (at !== null) this.#show(handle, Math.max(1, Math.round(at / tickSize(this.inst))));
    });
    node.addEventListener("pointerup", () => {
      if (handle.held && handle.tick !== null) this.#send(handle);
      handle.held = false;
    });
    node.addEventListener("pointercancel", () => this.#drop(handle));
    node.addEventListener("blur", () => {
      if (!handle.sent) this.#drop(handle);
    });
    node.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (event.key === "Escape" && !handle.sent) this.#drop(handle);
      else if (event.key === "Enter" && handle.tick !== null) this.#send(handle);
      else if (step && !handle.sent) this.#show(handle, (handle.tick ?? legTick(this.position, leg)) + step * (event.shiftKey ? 4 : 1));
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** The ghost at `tick`, with the way that it would go, or why it may not. */
  #show(handle, tick) {
    handle.tick = tick;
    const options = { price: tick * tickSize(this.inst), color: this.colours["text-2"], lineStyle: DOTTED, lineWidth: 1, axisLabelVisible: true, title: this.#words(handle) };
    if (handle.ghost) handle.ghost.applyOptions(options);
    else handle.ghost = this.series.createPriceLine(options);
    this.#place(handle);
  }

  #words(handle) {
    if (handle.sent) return `${handle.leg} ${_("requested")}`;
    return objection(this.position, handle.leg, handle.tick) || distance(this.position, handle.leg, handle.tick);
  }

  #send(handle) {
    if (handle.sent) return;
    if (handle.tick === legTick(this.position, handle.leg)) {
      this.#drop(handle);
      return;
    }
    const against = objection(this.position, handle.leg, handle.tick);
    if (against) {
      this.commands.refuse(handle.leg, against);
      this.#drop(handle);
      return;
    }
    handle.sent = this.commands.move(handle.leg, Number(this.place), handle.tick);
    this.#show(handle, handle.tick);
  }

  #drop(handle) {
    if (handle.ghost) this.series.removePriceLine(handle.ghost);
    Object.assign(handle, { ghost: null, tick: null, sent: null, held: false });
    this.#place(handle);
  }

  #place(handle) {
    const tick = handle.tick ?? legTick(this.position, handle.leg);
    const y = this.series.priceToCoordinate(tick * tickSize(this.inst));
    const visible = y !== null && y >= 0 && y <= this.box.clientHeight;
    dress(handle.node, visible ? "leg-handle" : "leg-handle away");
    if (visible) handle.node.style.setProperty("top", `${Math.round(y)}px`);
    put(handle.node, `⇕ ${handle.leg}`);
    const label = `${handle.leg} ${price(tick, this.inst)}${handle.tick === null ? "" : `, ${this.#words(handle)}`}. ${_("Arrow keys move it, Enter sends")}`;
    if (handle.node.getAttribute("aria-label") !== label) handle.node.setAttribute("aria-label", label);
  }
}
