// A small line of a price's way: points in a ring, one for each step of time.

import { h } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 24;
export const POINTS_MAX = 96;
const FIRST_STEP_MS = 500;
const STEP_MS = 2_000; // Once there are enough points for a line.
const ENOUGH = 30;

export class Sparkline {
  #points = [];
  #lastMs = 0;
  #isDrawn = false;
  #line = null;

  /** Made when it is to be seen; points are taken before that, too. */
  build() {
    this.#line = h("polyline", { fill: "none", "vector-effect": "non-scaling-stroke" });
    this.node = h(
      "svg",
      {
        class: "spark",
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: "none",
        "aria-hidden": "true",
      },
      this.#line,
    );
    return this.node;
  }

  /** What was before this page: closes, oldest first. They go before what it saw itself. */
  recall(values) {
    this.#points = [...values.filter(Number.isFinite), ...this.#points].slice(-POINTS_MAX);
    this.#isDrawn = false;
  }

  /** The price now. Within a step it replaces the one before. */
  add(value, nowMs) {
    const stepMs = this.#points.length < ENOUGH ? FIRST_STEP_MS : STEP_MS;
    const isNewStep = nowMs - this.#lastMs >= stepMs;
    if (isNewStep) this.#lastMs = nowMs;
    if (isNewStep || this.#points.length === 0) {
      this.#points.push(value);
      if (this.#points.length > POINTS_MAX) this.#points.shift();
      this.#isDrawn = false;
    } else this.#points[this.#points.length - 1] = value;
  }

  get count() {
    return this.#points.length;
  }

  draw() {
    if (this.#isDrawn || this.#points.length < 2) return;
    this.#isDrawn = true;
    const points = this.#points;
    const low = Math.min(...points);
    const spread = Math.max(...points) - low || 1;
    const step = WIDTH / (points.length - 1);
    const y = (value) => HEIGHT - 2 - ((value - low) / spread) * (HEIGHT - 4);
    const text = points.map((value, at) => `${(at * step).toFixed(1)},${y(value).toFixed(1)}`);
    this.#line.setAttribute("points", text.join(" "));
    this.node.dataset.way = points.at(-1) >= points[0] ? "up" : "down";
  }
}
