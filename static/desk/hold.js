/* Hold to confirm: 600 ms by pointer or key fires once; a short press arms for 5 s and a second press fires.

Release, leaving by more than 12 px, Esc and lost focus abort.  Key repeat is not a press. */

export const HOLD_MS = 600;
export const ARM_MS = 5000;
const LEAVE_PX = 12;
const SHORT_MS = 350;

export class Hold {
  /** on: {fire(), say(text), word(text)}.  `word` is the button's text, `say` is announced. */
  constructor(button, on) {
    Object.assign(this, { button, on, started: null, armedUntil: 0, key: null });
    button.addEventListener("pointerdown", (event) => {
      if (event.button === 0) this.#down(event);
    });
    button.addEventListener("pointermove", (event) => {
      if (this.started !== null && this.key === null && this.#outside(event)) this.#abort("left");
    });
    button.addEventListener("pointerup", () => this.#up());
    button.addEventListener("pointercancel", () => this.#abort("interrupted"));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("keydown", (event) => this.#keyDown(event));
    button.addEventListener("keyup", (event) => {
      if (event.code === this.key) this.#up();
    });
    button.addEventListener("blur", () => this.#abort("lost focus"));
    window.addEventListener("blur", () => this.#abort("lost focus"));
    /* A click without pointer or key comes from a switch or a screen reader: it is a short press. */
    button.addEventListener("click", (event) => {
      event.preventDefault();
      if (event.detail === 0 && this.key === null && performance.now() - (this.upAt ?? -1e9) > 50) this.#press();
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey && event.code === "Period" && !event.repeat && this.started === null) this.#start("Period", event);
    });
    document.addEventListener("keyup", (event) => {
      if (this.key === "Period" && (event.code === "Period" || event.key === "Control")) this.#up();
    });
  }

  #down(event) {
    this.box = this.button.getBoundingClientRect();
    this.button.setPointerCapture(event.pointerId);
    this.button.focus({ preventScroll: true });
    this.#start(null, event);
  }

  #keyDown(event) {
    if (event.code === "Escape") this.#abort("not sent");
    if (event.repeat || this.started !== null || event.ctrlKey) {
      if (event.code === "Space" || event.code === "Enter") event.preventDefault();
      return;
    }
    if (event.code === "Space" || event.code === "Enter") this.#start(event.code, event);
  }

  #start(key, event) {
    event.preventDefault();
    this.started = performance.now();
    this.key = key;
    this.timer = setTimeout(() => this.#fire(), HOLD_MS);
    this.#grow();
  }

  #grow() {
    if (this.started === null) return;
    const held = Math.min(1, (performance.now() - this.started) / HOLD_MS);
    this.button.style.setProperty("--held", matchMedia("(prefers-reduced-motion: reduce)").matches ? Math.floor(held * 3) / 3 : held);
    requestAnimationFrame(() => this.#grow());
  }

  #outside(event) {
    const { left, right, top, bottom } = this.box;
    const x = event.clientX, y = event.clientY;
    return x < left - LEAVE_PX || x > right + LEAVE_PX || y < top - LEAVE_PX || y > bottom + LEAVE_PX;
  }

  #up() {
    if (this.started === null) return;
    const held = performance.now() - this.started;
    this.upAt = performance.now();
    this.#reset();
    if (held < SHORT_MS) this.#press();
    else this.on.say("Not sent: hold for 0.6 seconds.");
  }

  #press() {
    if (performance.now() < this.armedUntil) {
      this.#fire();
      return;
    }
    this.armedUntil = performance.now() + ARM_MS;
    this.button.classList.add("armed");
    this.on.word("PRESS AGAIN TO KILL");
    this.on.say("Armed for 5 seconds. Press again to kill.");
    clearTimeout(this.disarm);
    this.disarm = setTimeout(() => {
      this.#calm();
      this.on.say("No longer armed. Nothing was sent.");
    }, ARM_MS);
  }

  #fire() {
    this.#reset();
    this.#calm();
    this.on.fire();
  }

  #abort(why) {
    if (this.started === null) return;
    this.#reset();
    this.on.say(`Not sent: ${why}.`);
  }

  #reset() {
    clearTimeout(this.timer);
    this.started = null;
    this.key = null;
    this.button.style.setProperty("--held", 0);
  }

  #calm() {
    clearTimeout(this.disarm);
    this.armedUntil = 0;
    this.button.classList.remove("armed");
    this.on.word("HOLD TO KILL");
  }
}
