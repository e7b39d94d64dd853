/* Stop and target on the chart as handles: drag in whole ticks, or focus and use the arrows; Enter sends, Esc drops.

A ghost shows where it would go; the real line stays until the broker has taken the move, and a refusal drops the ghost. */
import { dress, make, put } from "../dom.js";
import { price } from "../format.js";
import { distance, legTick, objection } from "../legs.js";
import { gettext as _ } from "../texts.js";
import { tickSize } from "./looks.js";

const DOTTED = 1;
const OVER = new Set(["refused", "failed", "unknown"]);
const SETTLES_MS = 1500; // the picture may be so much behind the receipt
const MOVED_PX = 4; // a hand that only presses moves less

export class Handles {
  /** box: the element that holds the chart; series: whose price scale counts; commands: null in a replay. */
  constructor(box, series, commands) {
    Object.assign(this, { box, series, commands });
    this.nodes = new Map();
  }

  /** Draw what `pos:<place>` says. */
  update(position, inst, place, colours) {
    if (place !== this.place) this.#clear(); // what was aimed at one instrument is never sent to another
    Object.assign(this, { position, inst, place, colours });
    for (const leg of ["stop", "target"]) this.#one(leg);
  }

  #clear() {
    for (const handle of this.nodes.values()) {
      if (handle.ghost) this.series.removePriceLine(handle.ghost);
      handle.node.remove();
    }
    this.nodes.clear();
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
    if (handle.sent && this.#settled(handle, tick)) this.#drop(handle);
    this.#place(handle);
  }

  /** Taken, refused, or done with nothing under way any more: then the real line tells where it stands. */
  #settled({ sent, tick, leg }, now) {
    if (now === tick || OVER.has(sent.state)) return true;
    const idle = (this.position[leg]?.request ?? "NOTHING") === "NOTHING";
    return sent.state === "done" && idle && performance.now() - sent.endedAt > SETTLES_MS;
  }

  #listen(handle) {
    const { node, leg } = handle;
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || handle.sent) return;
      node.setPointerCapture(event.pointerId);
      const { top, height } = node.getBoundingClientRect();
      Object.assign(handle, { held: true, moved: false, from: event.clientY, grip: event.clientY - top - height / 2 });
    });
    node.addEventListener("pointermove", (event) => {
      if (!handle.held || handle.sent) return;
      handle.moved ||= Math.abs(event.clientY - handle.from) >= MOVED_PX;
      if (!handle.moved) return;
      const at = this.series.coordinateToPrice(event.clientY - handle.grip - this.box.getBoundingClientRect().top);
      if (at !== null) this.#show(handle, Math.max(1, Math.round(at / tickSize(this.inst))));
    });
    node.addEventListener("pointerup", () => {
      if (handle.held && handle.moved && handle.tick !== null) this.#send(handle);
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
