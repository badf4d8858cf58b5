// A small line of a price's way: its points by their time, so that a day is as wide as a day.

import { h } from "./dom.js";

const WIDTH = 96;
const HEIGHT = 24;
const REDRAW_MS = 1_000; // Nobody sees the end of a day's line move.

export class Sparkline {
  #line = null;
  #drawnMs = -Infinity;

  /** Made when it is to be seen. */
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

  /** The points of a Day. */
  draw(day, nowMs) {
    if (nowMs - this.#drawnMs < REDRAW_MS) return;
    const { points } = day;
    if (points.length < 2) return;
    this.#drawnMs = nowMs;
    const values = points.map(([, value]) => value);
    const low = Math.min(...values);
    const spread = Math.max(...values) - low || 1;
    const beginMs = points[0][0];
    const scale = WIDTH / (points.at(-1)[0] - beginMs || 1);
    const y = (value) => HEIGHT - 2 - ((value - low) / spread) * (HEIGHT - 4);
    const text = points.map(
      ([ms, value]) => `${((ms - beginMs) * scale).toFixed(1)},${y(value).toFixed(1)}`,
    );
    this.#line.setAttribute("points", text.join(" "));
    // The line begins where the change is measured from: its colour says the same.
    this.node.dataset.way = values.at(-1) >= values[0] ? "up" : "down";
  }

  /** More is known than what was drawn. */
  forget() {
    this.#drawnMs = -Infinity;
  }
}
