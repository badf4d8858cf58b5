// The last trades of a market, of all venues that have it; newest first, repainted in place.

import { h, setAttribute, write } from "./dom.js";
import { clockTime, digits } from "./format.js";
import { partsOf } from "./market.js";

const ROWS = 18;
const REPAINT_MS = 200;

export class Trades {
  #rows = [];
  #painted = -Infinity;
  #newest = null;

  constructor() {
    this.body = h("tbody");
    this.empty = h("p", { class: "empty" }, "no trade yet");
    const head = ["Time", "Venue", "Taker", "Price", "Size"].map((text, at) =>
      h("th", { scope: "col", class: at < 3 ? "left" : null }, text),
    );
    this.node = h(
      "section",
      { class: "panel" },
      h("h2", {}, "Last trades"),
      h(
        "table",
        { class: "trades", "aria-label": "Last trades" },
        h("thead", {}, h("tr", {}, ...head)),
        this.body,
      ),
      this.empty,
    );
  }

  paint(trades, nowMs) {
    if (trades === undefined || trades[0] === this.#newest || nowMs - this.#painted < REPAINT_MS)
      return;
    this.#painted = nowMs;
    [this.#newest] = trades;
    this.empty.hidden = true;
    trades.slice(0, ROWS).forEach((trade, at) => this.#paintRow(this.#row(at), trade));
  }

  #paintRow(row, trade) {
    write(row.time, clockTime((trade.t ?? trade.rx ?? trade.tx) / 1_000));
    write(row.venue, partsOf(trade.ch).venue);
    const side = trade.n > 1 ? `${trade.n} trades` : trade.side;
    write(row.side, side === "buy" ? "▲ buy" : side === "sell" ? "▼ sell" : side);
    setAttribute(row.side, "data-way", side === "buy" ? "up" : side === "sell" ? "down" : null);
    write(row.price, digits(trade.px));
    write(row.size, digits(trade.sz));
    row.node.classList.toggle("suspect", trade.suspect === true);
    setAttribute(row.node, "title", trade.suspect === true ? "our feed doubts this one" : null);
  }

  #row(at) {
    if (at < this.#rows.length) return this.#rows[at];
    const names = ["time", "venue", "side", "price", "size"];
    const row = Object.fromEntries(
      names.map((name, place) => [name, h("td", { class: place < 3 ? `left ${name}` : name })]),
    );
    row.node = h("tr", {}, ...names.map((name) => row[name]));
    this.#rows.push(row);
    this.body.append(row.node);
    return row;
  }
}
