// Signals on the candles: a marker each, and what it says with its reasons: for a mouse over it, a
// finger on it, and the arrow keys where the chart has the focus.

import { clear, h } from "./dom.js";
import { clockTime, number } from "./format.js";
import { colour } from "./look.js";
import { ARROWS, reasonsText, WAYS } from "./opinions.js";

const MARKS_MAX = 60;
const TOLD_MAX = 4; // Of one candle, the newest: a day's may have dozens.
const LABEL_CANDLES = 8; // As wide as so many: labels nearer than that would lie on each other.
const NEAR_MOUSE_PX = 7;
const NEAR_FINGER_PX = 18;
const EDGE_PX = 4;
const SHAPES = {
  __proto__: null, // A direction may be any text.
  bull: { position: "belowBar", shape: "arrowUp", ink: "up" },
  bear: { position: "aboveBar", shape: "arrowDown", ink: "down" },
};
const QUIET = { position: "aboveBar", shape: "circle", ink: "dim" };

export class Marks {
  #chart;
  #series;
  #markers;
  #said = new Map(); // time of a candle -> its signals, oldest first
  #time = null; // whose signals are told just now
  #isHeld = false; // By a finger or a key: no mouse that goes ends it.
  #height = () => undefined;

  constructor() {
    this.tip = h("div", { class: "tip", role: "status" });
  }

  /** `markers` is the library's; `height(time)` gives the price that a tip stands above. */
  attach(chart, series, markers, height) {
    this.#chart = chart;
    this.#series = series;
    this.#markers = markers;
    this.#height = height;
    chart.subscribeCrosshairMove(({ point }) => this.#hovered(point));
    chart.subscribeClick(({ point }) => this.#tell(this.#near(point, NEAR_FINGER_PX), true));
  }

  /** Signals of candles `step` seconds long, of those from `first` to `last`. */
  lay(signals, step, first, last) {
    this.#said.clear();
    const marks = signals
      .map((signal) => ({ signal, time: Math.floor(signal.at / 1e6 / step) * step }))
      .filter(({ time }) => time >= first && time <= last)
      .slice(0, MARKS_MAX)
      .sort((one, other) => one.time - other.time || one.signal.at - other.signal.at);
    for (const { signal, time } of marks) {
      if (!this.#said.has(time)) this.#said.set(time, []);
      this.#said.get(time).push(signal);
    }
    this.#markers.setMarkers(labelled(marks, step));
    if (this.#time !== null && !this.#said.has(this.#time)) this.#tell(null);
  }

  /** Gives whether the key was one of ours. */
  key(key) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (key === "Escape" && this.#time !== null) this.#tell(null);
    else if (step !== undefined && this.#said.size > 0) this.#walk(step);
    else return false;
    return true;
  }

  leave() {
    this.#tell(null);
  }

  /** Where the tip's candle is now: candles move on under it. */
  follow() {
    if (this.#time === null) return;
    const x = this.#chart.timeScale().timeToCoordinate(this.#time);
    const y = this.#series.priceToCoordinate(this.#height(this.#time));
    if (x === null || y === null) return;
    const { clientWidth: width, parentElement: room } = this.tip;
    const left = Math.min(Math.max(EDGE_PX, x - width / 2), room.clientWidth - width - EDGE_PX);
    this.tip.style.left = `${Math.max(EDGE_PX, left)}px`;
    this.tip.style.bottom = `${Math.max(EDGE_PX, room.clientHeight - y + 28)}px`;
  }

  #hovered(point) {
    if (point === undefined) {
      if (!this.#isHeld) this.#tell(null);
      return;
    }
    const time = this.#near(point, NEAR_MOUSE_PX);
    if (time !== null || !this.#isHeld) this.#tell(time);
  }

  #near(point, mostPx) {
    let [nearest, leastPx] = [null, mostPx];
    for (const time of point === undefined ? [] : this.#said.keys()) {
      const x = this.#chart.timeScale().timeToCoordinate(time);
      if (x === null || Math.abs(x - point.x) > leastPx) continue;
      [nearest, leastPx] = [time, Math.abs(x - point.x)];
    }
    return nearest;
  }

  /** The newest first, then from one to the next. */
  #walk(step) {
    const times = [...this.#said.keys()];
    const at = this.#time === null ? times.length : times.indexOf(this.#time) + step;
    const time = times[Math.min(times.length - 1, Math.max(0, at))];
    this.#bringIntoSight(time);
    this.#tell(time, true);
  }

  #bringIntoSight(time) {
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const index = scale.timeToIndex(time, true);
    if (range === null || index === null || (index > range.from && index < range.to)) return;
    const half = (range.to - range.from) / 2;
    scale.setVisibleLogicalRange({ from: index - half, to: index + half });
  }

  #tell(time, isHeld = false) {
    this.#isHeld = isHeld && time !== null;
    if (time === this.#time) return;
    this.#time = time;
    const said = [...(this.#said.get(time) ?? [])].reverse();
    clear(this.tip).append(...said.slice(0, TOLD_MAX).flatMap(told));
    if (said.length > TOLD_MAX)
      this.tip.append(h("small", {}, `and ${said.length - TOLD_MAX} before`));
    this.follow();
  }
}

function told(signal) {
  const { at, direction, model, version, score, reasons } = signal;
  const way = { "data-way": WAYS[direction] };
  return [
    h(
      "p",
      {},
      h("b", way, ARROWS[direction] ?? direction),
      ` ${model} ${version}, score ${number(score, 2)} `,
      h("small", {}, clockTime(at / 1_000)),
    ),
    h("p", { class: "reasons" }, reasonsText(reasons)),
  ];
}

/** For the library; each with its model's name where there is room for it. */
function labelled(marks, step) {
  const labelledAt = {};
  return marks.map(({ signal: { model, direction }, time }) => {
    const { position, shape, ink } = SHAPES[direction] ?? QUIET;
    const isFree = !(time - labelledAt[position] < LABEL_CANDLES * step);
    const text = direction in SHAPES && isFree ? model : "";
    if (text !== "") labelledAt[position] = time;
    return { time, position, shape, color: colour(ink), text };
  });
}
