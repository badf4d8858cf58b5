// When to paint: once a frame at most, whatever came; not at all in a tab that nobody looks at.

const SECOND_MS = 1_000;

export class Painter {
  #paint;
  #second;
  #asked = false;

  /** `paint(nowMs)` when something is to be seen; `second()` once a second, also when hidden. */
  constructor(paint, second) {
    this.#paint = paint;
    this.#second = second;
    this.frames = 0;
  }

  start() {
    setInterval(() => {
      this.#second();
      this.ask();
    }, SECOND_MS);
    document.addEventListener("visibilitychange", () => this.ask());
    this.ask();
  }

  /** Something has changed. */
  ask() {
    if (this.#asked || document.hidden) return;
    this.#asked = true;
    requestAnimationFrame((nowMs) => {
      this.#asked = false;
      this.frames += 1;
      this.#paint(nowMs);
    });
  }
}
