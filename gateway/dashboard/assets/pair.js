// One market: its price and what it is made of, its candles, its signals, its trades.

import { CONSOLIDATED } from "./catalog.js";
import { CandleChart, INTERVALS } from "./chart.js";
import { h, setAttribute, write } from "./dom.js";
import { digits, number, percent, rough } from "./format.js";
import { lamp, sentence, setLamp } from "./lamp.js";
import { Opinions } from "./opinions.js";
import { pairLink } from "./row.js";
import { Trades } from "./trades.js";
import { Votes } from "./votes.js";

const SIGNALS_SHOWN = 12;
const REPAINT_MS = 100;

let chosenInterval = null; // Stays from pair to pair.

export class Page {
  #painted = -Infinity;
  #recalled = []; // signals from before this page
  #marked = "";

  constructor(app, venue, symbol) {
    this.app = app;
    this.venue = venue;
    this.symbol = symbol;
    this.title = `${symbol} ${venue === CONSOLIDATED ? "" : venue}`.trim();
    this.priceChannel = venue === CONSOLIDATED ? `price:agg:${symbol}` : `trade:${venue}:${symbol}`;
    this.chart = new CandleChart(app, this.title);
    this.trades = new Trades();
    this.votes = venue === CONSOLIDATED ? new Votes() : null;
    this.opinions = new Opinions("Signals", "No model has said anything of this pair yet.", false);
    this.#build();
  }

  mount() {
    this.#showInterval(this.interval);
    this.#recallSignals();
    return this.node;
  }

  unmount() {
    this.chart.end();
  }

  /** Of the watchlist: it knows the last 24 hours. */
  get row() {
    return this.app.watchlist.rowOf(this.venue, this.symbol);
  }

  get interval() {
    return chosenInterval ?? (this.app.market.isSimulated(this.priceChannel) ? "1s" : "1m");
  }

  channels() {
    const { catalog } = this.app;
    const venues = this.venue === CONSOLIDATED ? catalog.venuesOf(this.symbol) : [this.venue];
    const names = [
      this.priceChannel,
      this.candleChannel,
      ...venues.map((venue) => `trade:${venue}:${this.symbol}`),
      `quote:${this.venue}:${this.symbol}`,
      `grade:${CONSOLIDATED}:${this.symbol}`,
      ...catalog.named("signal", this.symbol),
    ];
    return new Map(names.filter((name) => catalog.has(name)).map((name) => [name, "all"]));
  }

  catalogChanged() {
    if (this.chart.channel === null) this.#showInterval(this.interval);
  }

  get candleChannel() {
    return `candle.${this.interval}:${this.venue}:${this.symbol}`;
  }

  data(message) {
    if (message.ch === this.candleChannel) this.chart.take(message);
  }

  paint(nowMs) {
    this.chart.paint();
    if (nowMs - this.#painted < REPAINT_MS) {
      this.app.painter.ask();
      return;
    }
    this.#painted = nowMs;
    const { market, connection } = this.app;
    const serverMs = connection.clock.now();
    this.#paintHead(market, connection, serverMs);
    this.votes?.paint(market.latest.get(this.priceChannel));
    this.trades.paint(this.#ownTrades(market), nowMs);
    this.#paintSignals(market, connection, serverMs);
  }

  key(key) {
    const interval = INTERVALS[Number(key) - 1];
    if (interval !== undefined) this.#showInterval(interval);
    else if (key === "j" || key === "k") this.#turn(key === "j" ? 1 : -1);
    else return false;
    return true;
  }

  #build() {
    this.lamp = lamp();
    this.why = h("small");
    this.price = h("strong", { class: "big" });
    this.change = h("span");
    this.confidence = h("span");
    this.spread = h("span");
    this.grade = h("span");
    this.mark = h("span", { class: "sim", hidden: true }, "simulated");
    this.buttons = INTERVALS.map((interval) =>
      h("button", { type: "button", onclick: () => this.#showInterval(interval) }, interval),
    );
    const fact = (name, node) => h("div", {}, h("dt", {}, name), h("dd", {}, node));
    const head = h(
      "div",
      { class: "pair-head" },
      h(
        "div",
        {},
        h(
          "h1",
          {},
          this.symbol,
          " ",
          h("small", {}, this.venue === CONSOLIDATED ? "consolidated" : this.venue),
          " ",
          this.mark,
        ),
        h("p", { class: "standing" }, this.lamp, this.why),
      ),
      this.price,
      h(
        "dl",
        {},
        fact("24 h", this.change),
        fact(this.votes ? "Confidence" : "Bid / ask", this.votes ? this.confidence : this.spread),
        fact("Grade", this.grade),
      ),
    );
    const chart = h(
      "section",
      { class: "panel candles" },
      h("div", { class: "tabs", role: "group", "aria-label": "Interval" }, ...this.buttons),
      this.chart.node,
    );
    const side = h("div", { class: "side" }, this.votes?.node, this.trades.node);
    this.node = h(
      "section",
      { class: "page pair-page" },
      head,
      h("div", { class: "columns" }, h("div", {}, chart, this.opinions.node), side),
    );
  }

  #showInterval(interval) {
    if (interval !== this.interval) chosenInterval = interval;
    INTERVALS.forEach((one, at) =>
      setAttribute(this.buttons[at], "aria-pressed", String(one === interval)),
    );
    if (this.app.catalog.has(this.candleChannel)) this.chart.show(this.candleChannel, interval);
    else write(this.chart.empty, "there are no candles of this market");
    this.app.wantChanged();
  }

  #paintHead(market, connection, serverMs) {
    const standing = market.standing(this.priceChannel, connection);
    setLamp(this.lamp, standing, serverMs);
    write(
      this.why,
      standing.state === "live" ? "" : sentence(standing, serverMs).slice(standing.state.length),
    );
    setAttribute(this.node, "data-state", standing.state);
    const message = market.latest.get(this.priceChannel);
    const { row } = this;
    write(this.price, digits(message?.px ?? row?.price));
    const change = row?.day.change ?? NaN;
    write(this.change, `${percent(change)} ${row?.since ?? ""}`.trim());
    setAttribute(
      this.change,
      "data-way",
      Math.abs(change) < 5e-5 || Number.isNaN(change) ? null : change > 0 ? "up" : "down",
    );
    write(this.confidence, message?.conf === undefined ? "–" : `± ${rough(message.conf)}`);
    const quote = market.latest.get(`quote:${this.venue}:${this.symbol}`);
    write(this.spread, quote === undefined ? "–" : `${digits(quote.bid)} / ${digits(quote.ask)}`);
    this.#paintGrade(market.latest.get(`grade:agg:${this.symbol}`));
    this.mark.hidden = !market.isSimulated(this.priceChannel);
  }

  #paintGrade(grade) {
    write(this.grade, grade === undefined ? "–" : `${grade.grade} of 100`);
    if (grade === undefined) return;
    const parts = grade.parts.map(
      ({ model, score, weight }) => `${model}: ${number(score, 2)}, weight ${number(weight, 2)}`,
    );
    setAttribute(this.grade, "title", parts.join("\n"));
  }

  #paintSignals(market, connection, serverMs) {
    const live = market.signals.filter((signal) => signal.ch.endsWith(`:${this.symbol}`));
    const known = new Set(live.map(({ id }) => id));
    const all = [...live, ...this.#recalled.filter(({ id }) => !known.has(id))].sort(
      (one, other) => other.at - one.at,
    );
    this.opinions.paint(
      all.slice(0, SIGNALS_SHOWN),
      () => market.newest(`price:${CONSOLIDATED}:${this.symbol}`, connection),
      serverMs,
    );
    const ids = all.map(({ id }) => id).join(" ");
    if (ids !== this.#marked) this.chart.mark(all);
    this.#marked = ids;
  }

  #ownTrades(market) {
    const trades = market.trades.get(this.symbol);
    if (this.venue === CONSOLIDATED || trades === undefined) return trades;
    return trades.filter(({ ch }) => ch === this.priceChannel);
  }

  async #recallSignals() {
    // Asked of a pair of which nobody has said anything, the gateway knows no such pair.
    if (this.app.catalog.named("signal", this.symbol).length === 0) return;
    this.#recalled = await this.app.recalledSignals({ pair: this.symbol, limit: 50 });
    this.app.painter.ask();
  }

  #turn(step) {
    const rows = this.app.watchlist.shown;
    const at = rows.findIndex((row) => row.venue === this.venue && row.symbol === this.symbol);
    const next = rows[at + step];
    if (at >= 0 && next !== undefined) this.app.go(pairLink(next));
  }
}
