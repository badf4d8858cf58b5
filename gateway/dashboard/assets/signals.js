// What the models say, and what their word was worth so far: the track record before the opinions.

import { CONSOLIDATED } from "./catalog.js";
import { clear, h, write } from "./dom.js";
import { digits, moment, percent, plural, share } from "./format.js";
import { partsOf } from "./market.js";
import { Opinions, pairOf } from "./opinions.js";

const REFRESH_MS = 60_000; // A call counts against the key's month.
const SHOWN = 40;
const CHANNELS_MAX = 50;
const MODELS_MAX = 8;
const ANOMALIES = "anomaly";

export class Page {
  #records = null;
  #recalled = [];
  #askedMs = -Infinity;
  #isShown = false;
  #shownSecond = 0;
  #flagged = ""; // pairs of the anomalies that are shown

  constructor(app) {
    this.app = app;
    this.title = "Signals";
    this.records = h("div", { class: "records" });
    this.state = h("p", { class: "note", role: "status" });
    this.leftOut = h("p", { class: "note" });
    this.anomalies = new Opinions(
      "Anomalies: what was flagged, and the live return since",
      "Nothing unusual has been flagged yet.",
      true,
    );
    this.opinions = new Opinions(
      "All signals, newest first",
      "No model has said anything yet: each warms up first.",
      true,
    );
    const record = h(
      "section",
      { class: "panel" },
      h("h2", {}, "Track record"),
      this.state,
      this.records,
      this.leftOut,
    );
    this.node = h(
      "section",
      { class: "page signals" },
      record,
      this.anomalies.node,
      this.opinions.node,
    );
  }

  mount() {
    this.#isShown = true;
    if (performance.now() - this.#askedMs > REFRESH_MS) this.#ask();
    this.#tell();
    return this.node;
  }

  unmount() {
    this.#isShown = false;
  }

  channels() {
    const { catalog } = this.app;
    const signals = catalog.named("signal").map((channel) => [channel, "all"]);
    const known = (channel) => catalog.has(channel);
    const pricesOf = (pairs) => pairs.map(priceChannel).filter(known).map((name) => [name, "1s"]);
    // Where the plan has no room for all: a live return first, it is what changes.
    return new Map([
      ...pricesOf(this.#flagged.split(" ")),
      ...signals,
      ...pricesOf(signals.map(([channel]) => partsOf(channel).symbol)),
    ]);
  }

  /** How many of its channels the plan has no room for. */
  tellLeftOut(count) {
    const text = `This key’s plan has no room for ${plural(count, "channel")} of this page:`;
    write(this.leftOut, count === 0 ? "" : `${text} what they say is asked for once a minute.`);
  }

  catalogChanged() {
    if (this.#recalled.length === 0) this.#ask();
  }

  second() {
    if (this.#isShown && !document.hidden && performance.now() - this.#askedMs > REFRESH_MS)
      this.#ask();
  }

  paint(nowMs) {
    const { market, connection } = this.app;
    if (nowMs - this.#shownSecond < 250) return;
    this.#shownSecond = nowMs;
    const known = new Set(market.signals.map(({ id }) => id));
    const all = [...market.signals, ...this.#recalled.filter(({ id }) => !known.has(id))].sort(
      (one, other) => other.at - one.at,
    );
    const priceOf = (pair) => market.newest(priceChannel(pair), connection);
    const serverMs = connection.clock.now();
    const flagged = all.filter(
      ({ model, direction }) => model === ANOMALIES && direction !== "neutral",
    );
    this.anomalies.paint(flagged.slice(0, SHOWN), priceOf, serverMs);
    this.#wantPricesOf(flagged.slice(0, SHOWN));
    this.opinions.paint(all.slice(0, SHOWN), priceOf, serverMs);
  }

  #wantPricesOf(signals) {
    const pairs = [...new Set(signals.map(pairOf))].sort().join(" ");
    if (pairs === this.#flagged) return;
    this.#flagged = pairs;
    this.app.wantChanged();
  }

  async #ask() {
    this.#askedMs = performance.now();
    try {
      this.#records = (await this.app.rest.get("/v1/track-record")).records;
      this.problem = "";
    } catch (error) {
      this.problem = error.message;
    }
    if (this.app.catalog.named("signal").length > 0)
      this.#recalled = await this.#recall();
    this.#tell();
    this.app.painter.ask();
  }

  /** One call asks for so many channels: where there are more, for each model by itself. */
  async #recall() {
    const { catalog } = this.app;
    const names = catalog.named("signal");
    const models = new Set(names.map((channel) => partsOf(channel).venue));
    const asked = names.length > CHANNELS_MAX ? [...models].slice(0, MODELS_MAX) : [null];
    const ask = (model) => this.app.recalledSignals({ model, limit: 100 });
    return (await Promise.all(asked.map(ask))).flat();
  }

  #tell() {
    const records = this.#records;
    if (records === null)
      write(
        this.state,
        this.problem
          ? `The record can’t be had just now: ${this.problem}.`
          : "asking for the record",
      );
    else if (records.length === 0)
      write(this.state, "No record yet: it begins with the first signal whose horizon has ended.");
    else write(this.state, ledgerText(records));
    clear(this.records).append(...(records ?? []).map((record) => card(record, Date.now())));
  }
}

const priceChannel = (pair) => `price:${CONSOLIDATED}:${pair}`;

/** Of the record that knows most of the ledger: they are not all computed at one moment. */
function ledgerText(records) {
  const { entries, head } = records.reduce((most, one) =>
    (one.entries ?? 0) > (most.entries ?? 0) ? one : most,
  );
  const of = entries ? ` of ${plural(entries, "entry", "entries")}` : "";
  const hash = head ? `, whose last hash is ${String(head).slice(0, 16)}…` : "";
  return `From the ledger${of}${hash}. Returns are after costs; intervals hold 95 of 100 times.`;
}

function card(record, nowMs) {
  const { hit_rate: hits } = record;
  const from = record.from_us ? `since ${moment(record.from_us / 1_000, nowMs)}` : "";
  return h(
    "article",
    { class: "record", "data-edge": String(record.has_edge) },
    h(
      "h3",
      {},
      `${record.model} ${record.version} `,
      record.simulated ? h("span", { class: "sim" }, "simulated") : null,
    ),
    h("p", { class: "verdict-line" }, record.verdict),
    scale(record),
    h(
      "dl",
      { class: "tiles" },
      fact(
        "Hit rate",
        hits.share === null ? "–" : `${share(hits.share)}`,
        hits.low === null ? "no outcome yet" : `${share(hits.low)} to ${share(hits.high)}`,
      ),
      fact(
        "Outcomes",
        digits(record.outcomes),
        `${record.open} open, ${record.unpriced} without a price`,
      ),
      fact(
        "Mean return",
        percent(record.mean_return ?? NaN, 3),
        `median ${percent(record.median_return ?? NaN, 3)}`,
      ),
      record.brier === undefined
        ? null
        : fact("Brier", record.brier.toFixed(4), "0.25 is knowing nothing"),
    ),
    baselines(record),
    h("small", {}, `${plural(record.signals, "signal")} ${from}`),
  );
}

const fact = (name, value, note) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, value, " ", h("small", {}, note)));

/** The hit rate's interval, with the baselines' shares as marks, on a line from 0 to 1. */
function scale({ hit_rate: hits, baselines: others }) {
  const x = (value) => (value * 300).toFixed(1);
  const marks = others
    .filter(({ hit_rate: one }) => one.share !== null)
    .map(({ name, hit_rate: one }) =>
      h(
        "line",
        { class: "base", x1: x(one.share), x2: x(one.share), y1: 4, y2: 20 },
        h("title", {}, `${name}: ${share(one.share)}`),
      ),
    );
  const own =
    hits.share === null
      ? []
      : [
          h("line", { class: "own", x1: x(hits.low), x2: x(hits.high), y1: 12, y2: 12 }),
          h("circle", { class: "own", cx: x(hits.share), cy: 12, r: 4 }),
        ];
  const title = h("title", {}, "hit rate with its interval; marks: the baselines");
  return h(
    "svg",
    { class: "scale", viewBox: "0 0 300 24", role: "img" },
    title,
    h("line", { class: "axis", x1: 0, x2: 300, y1: 12, y2: 12 }),
    h("line", { class: "axis", x1: 150, x2: 150, y1: 7, y2: 17 }),
    ...marks,
    ...own,
  );
}

function baselines({ baselines: others }) {
  if (others.length === 0) return null;
  const rows = others.map(
    ({ name, hit_rate: one, edge, edge_low: low, edge_high: high, mean_return: mean }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row", class: "left" }, name),
        h("td", {}, share(one.share ?? NaN)),
        h("td", {}, percent(mean ?? NaN, 3)),
        h(
          "td",
          {},
          edge === null ? "–" : percent(edge, 0),
          " ",
          h("small", {}, low === null ? "" : `${percent(low, 0)} to ${percent(high, 0)}`),
        ),
      ),
  );
  const head = ["Knowing nothing", "Hits", "Mean", "Edge of the model"].map((text, at) =>
    h("th", { scope: "col", class: at === 0 ? "left" : null }, text),
  );
  return h(
    "table",
    { class: "baselines", "aria-label": "Compared with knowing nothing" },
    h("thead", {}, h("tr", {}, ...head)),
    h("tbody", {}, ...rows),
  );
}
