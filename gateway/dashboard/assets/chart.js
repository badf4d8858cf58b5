// Candles that live: history, then each message of the channel; signals stand on them as markers.

import { h, write } from "./dom.js";
import { clockTime, digits } from "./format.js";
import { colour, isStill, onTheme } from "./look.js";
import { Marks } from "./marks.js";

const LIBRARY = "/assets/vendor/lightweight-charts.mjs";
const CANDLES_MAX = 1_500;
const HISTORY = 500;

export const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "4h", "1d"];
const SECONDS = {
  "1s": 1,
  "1m": 60,
  "5m": 300,
  "15m": 900,
  "1h": 3_600,
  "4h": 14_400,
  "1d": 86_400,
};

export class CandleChart {
  #library = null;
  #chart = null;
  #series = null;
  #volume = null;
  #marks = new Marks();
  #candles = new Map(); // start in seconds -> message
  #last = 0;
  #fresh = []; // what came since the last paint
  #signals = [];
  #precision = -1;
  #isOver = false;

  constructor(app, market) {
    this.app = app;
    this.channel = null;
    this.legend = h("p", { class: "legend" });
    // Canvases say nothing to who can't see them: the legend does, and the tip does.
    this.plot = h("div", { class: "plot", "aria-hidden": "true" });
    this.empty = h("p", { class: "empty" }, "waiting for candles");
    const room = h("div", { class: "room" }, this.plot, this.#marks.tip);
    this.node = h(
      "div",
      {
        class: "chart",
        role: "group",
        tabindex: 0,
        "aria-label": `Candles of ${market}: left and right tell its signals`,
        onkeydown: (event) => this.#pressed(event),
        onblur: () => this.#marks.leave(),
      },
      this.legend,
      room,
      this.empty,
    );
    this.endTheme = onTheme(() => this.#colours());
  }

  /** Shows another channel; what it was before comes from the history. */
  async show(channel, interval) {
    this.channel = channel;
    this.interval = interval;
    this.#candles.clear();
    this.#fresh = [];
    this.#last = 0;
    this.#precision = -1;
    this.#library ??= await import(LIBRARY);
    if (this.#isOver || this.channel !== channel) return;
    if (this.#chart === null) this.#make();
    const candles = await this.app.history(channel, HISTORY, { isUrgent: true });
    if (this.#isOver || this.channel !== channel) return;
    const newest = this.app.market.latest.get(channel);
    for (const candle of newest ? [...candles, newest] : candles) this.#keep(candle);
    this.#lay();
    this.#chart.timeScale().scrollToRealTime();
  }

  take(candle) {
    if (candle.ch === this.channel) this.#fresh.push(candle);
  }

  mark(signals) {
    this.#signals = signals;
    this.#layMarkers();
  }

  paint() {
    if (this.#chart === null || this.#fresh.length === 0) return;
    this.#takeIn();
    this.#marks.follow();
  }

  #takeIn() {
    const fresh = this.#fresh;
    this.#fresh = [];
    let isOld = this.#candles.size === 0;
    for (const candle of fresh) {
      if (!this.#keep(candle)) continue;
      const time = timeOf(candle);
      isOld ||= time < this.#last;
      if (!isOld) this.#update(candle, time);
    }
    // Of a candle before the newest one only the whole can be set again: a correction is rare.
    if (isOld || this.#candles.size > CANDLES_MAX) this.#lay();
    this.#tellLegend(this.#candles.get(this.#last));
    this.empty.hidden = this.#candles.size > 0;
  }

  end() {
    this.#isOver = true;
    this.endTheme();
    this.#chart?.remove();
    this.#chart = null;
  }

  #update(candle, time) {
    const isNew = time > this.#last;
    this.#last = time;
    this.#series.update(bar(candle));
    this.#volume.update(this.#volumeBar(candle));
    if (isNew) this.#layMarkers();
  }

  /** Keeps the newest word on a candle; gives whether this is it. */
  #keep(candle) {
    if (!isSound(candle)) return false;
    const time = timeOf(candle);
    const had = this.#candles.get(time);
    if (had !== undefined && (had.version ?? 1) > (candle.version ?? 1)) return false;
    if (had?.final && !candle.final) return false;
    this.#candles.set(time, candle);
    return true;
  }

  #lay() {
    const sorted = [...this.#candles.entries()].sort(([one], [other]) => one - other);
    const kept = sorted.slice(-CANDLES_MAX);
    this.#candles = new Map(kept);
    this.#last = kept.at(-1)?.[0] ?? 0;
    if (kept.length > 0) this.#setPrecision(kept.at(-1)[1]);
    this.#series.setData(kept.map(([, candle]) => bar(candle)));
    this.#volume.setData(kept.map(([, candle]) => this.#volumeBar(candle)));
    this.#layMarkers();
    this.#tellLegend(kept.at(-1)?.[1]);
    this.empty.hidden = kept.length > 0;
  }

  #layMarkers() {
    if (this.#chart === null || this.#candles.size === 0) return;
    const first = this.#candles.keys().next().value;
    this.#marks.lay(this.#signals, SECONDS[this.interval], first, this.#last);
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#marks.key(event.key)) return;
    event.preventDefault();
    event.stopPropagation(); // Or the page would take the key, too.
  }

  #make() {
    const { createChart, CandlestickSeries, HistogramSeries, createSeriesMarkers } = this.#library;
    this.#chart = createChart(this.plot, {
      autoSize: true,
      // Its logo would be markup from a script, which the page's policy refuses: the help names it.
      layout: {
        attributionLogo: false,
        fontFamily: "system-ui, sans-serif",
        fontSize: 11,
        panes: {},
      },
      timeScale: { timeVisible: true, secondsVisible: true, rightOffset: 4, barSpacing: 8 },
      crosshair: { mode: 0 },
      kineticScroll: { mouse: false, touch: !isStill() },
    });
    this.#series = this.#chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#series.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.22 } });
    const markers = createSeriesMarkers(this.#series, []);
    const height = (time) => Number(this.#candles.get(time)?.high);
    this.#marks.attach(this.#chart, this.#series, markers, height);
    this.#chart.subscribeCrosshairMove(({ time }) => {
      this.#tellLegend(this.#candles.get(time) ?? this.#candles.get(this.#last));
    });
    this.#colours();
  }

  #colours() {
    if (this.#chart === null) return;
    const [up, down, line] = [colour("up"), colour("down"), colour("line")];
    this.#chart.applyOptions({
      layout: { background: { type: "solid", color: colour("panel") }, textColor: colour("dim") },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.#series.applyOptions({
      upColor: up,
      downColor: down,
      wickUpColor: up,
      wickDownColor: down,
    });
    if (this.#candles.size > 0) this.#lay();
  }

  #volumeBar(candle) {
    const isUp = Number(candle.close) >= Number(candle.open);
    return {
      time: timeOf(candle),
      value: Number(candle.volume),
      color: colour(isUp ? "up-ground" : "down-ground"),
    };
  }

  #setPrecision(candle) {
    const precision = Math.max(
      ...[candle.open, candle.close].map((text) => (text.split(".")[1] ?? "").length),
    );
    if (precision === this.#precision) return;
    this.#precision = precision;
    const shown = Math.min(12, precision);
    this.#series.applyOptions({
      priceFormat: { type: "price", precision: shown, minMove: 10 ** -shown },
    });
  }

  #tellLegend(candle) {
    if (candle === undefined) return;
    const state = candle.final ? "final" : "running";
    const notes = [
      state,
      candle.partial ? "partial" : "",
      candle.version > 1 ? `corrected ×${candle.version - 1}` : "",
    ];
    const text =
      `${clockTime(candle.start / 1_000)}  O ${digits(candle.open)}  H ${digits(candle.high)}  ` +
      `L ${digits(candle.low)}  C ${digits(candle.close)}  V ${digits(candle.volume)}  ` +
      `${digits(candle.n)} trades  ${notes.filter(Boolean).join(", ")}`;
    write(this.legend, text);
  }
}

/** What is no number would stop the chart for good. */
const isSound = ({ start, open, high, low, close, volume }) =>
  Number.isInteger(start) &&
  [open, high, low, close, volume].every((text) => /^\d{1,20}(\.\d{1,20})?$/.test(text));

const timeOf = (candle) => Math.floor(candle.start / 1e6);

function bar(candle) {
  const { open, high, low, close } = candle;
  return {
    time: timeOf(candle),
    open: Number(open),
    high: Number(high),
    low: Number(low),
    close: Number(close),
  };
}
