// Dense lines over the last minutes, by uPlot: p50 and p99 of a hop, or messages a second.

import { h } from "./dom.js";
import { colour, onTheme } from "./look.js";
import Plot from "./vendor/uplot.mjs";

const HEIGHT = 130;

export class Lines {
  #plot = null;
  #data = null;
  #seen = 0;

  /** `series`: {label, colour}; `unit` is written behind the numbers of the axis. */
  constructor(title, series, { unit = "", title: hint = "", isLog = false } = {}) {
    this.series = series;
    this.unit = unit;
    this.isLog = isLog;
    this.newest = h("small");
    this.box = h("div", { class: "lines" });
    this.node = h(
      "section",
      { class: "panel", title: hint },
      h("h2", {}, title, " ", this.newest),
      this.box,
    );
    onTheme(() => this.#remake());
    new ResizeObserver(() => this.#resize()).observe(this.box);
  }

  /** `data`: times in seconds, then the values of each series. */
  paint(data, length) {
    if (this.#seen === length && this.#plot !== null) return;
    this.#seen = length;
    this.#data = data;
    if (this.#plot === null) this.#make();
    else this.#plot.setData(data);
  }

  #make() {
    if (this.box.clientWidth === 0 || this.#data === null) return;
    const axis = {
      stroke: colour("dim"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui",
    };
    this.#plot = new Plot(
      {
        width: this.box.clientWidth,
        height: HEIGHT,
        cursor: { show: false },
        legend: { show: false },
        tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1_000), "Etc/UTC"),
        scales: {
          x: { time: true },
          y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 1, 0.001) * 1.1] },
        },
        axes: [
          { ...axis, space: 70, size: 26, values: (_, ticks) => ticks.map(clock) },
          {
            ...axis,
            size: 58,
            space: 24,
            values: (_, ticks) => ticks.map((tick) => `${tidy(tick)}${this.unit}`),
          },
        ],
        series: [
          {},
          ...this.series.map(({ colour: name }) => ({
            stroke: colour(name),
            width: 1.5,
            points: { show: false },
            spanGaps: false,
          })),
        ],
      },
      this.#data,
      this.box,
    );
  }

  #remake() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#make();
  }

  #resize() {
    if (this.#plot === null) this.#make();
    else if (this.box.clientWidth > 0)
      this.#plot.setSize({ width: this.box.clientWidth, height: HEIGHT });
  }
}

const clock = (seconds) => new Date(seconds * 1_000).toISOString().slice(11, 19);
const tidy = (value) => Number(value.toPrecision(3)).toString();
