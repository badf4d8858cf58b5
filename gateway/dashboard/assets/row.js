// One market of the watchlist: its price, where it came from, and how it stands.

import { CONSOLIDATED } from "./catalog.js";
import { Day } from "./day.js";
import { h, setAttribute, write } from "./dom.js";
import { clockTime, digits, duration, moment, percent, rough } from "./format.js";
import { lamp, setLamp } from "./lamp.js";
import { Sparkline } from "./sparkline.js";

const REPAINT_MS = 180; // Faster than this nobody reads.
const FLASH_MS = 450;

export class Row {
  #painted = -Infinity;
  #flashed = 0;
  #shownPrice = null;
  #price = null;
  #node = null;
  #open;
  #decimals = 0;

  constructor(venue, symbol, open) {
    this.venue = venue;
    this.symbol = symbol;
    this.isDirty = true;
    this.isVisible = false;
    this.day = new Day();
    this.key = `${venue}:${symbol}`;
    this.channels =
      venue === CONSOLIDATED
        ? [`price:${CONSOLIDATED}:${symbol}`]
        : [`trade:${venue}:${symbol}`, `quote:${venue}:${symbol}`];
    this.spark = new Sparkline();
    this.#open = open;
  }

  /** Its line of the table, made when it is asked for: of 500 markets few are in sight. */
  get node() {
    if (this.#node === null) this.#build();
    return this.#node;
  }

  get price() {
    return this.#price;
  }

  /** Since when the change is told, where that is not a day ago. */
  get since() {
    const { sinceMs, isWhole } = this.day;
    return sinceMs === null || isWhole ? "" : `since ${clockTime(sinceMs, { seconds: false })}`;
  }

  /** A message of one of its channels. */
  take(message) {
    this.isDirty = true;
    if (message.px === undefined) return; // A quote; or a price that there is none of.
    this.#price = message.px;
    this.day.take((message.tx ?? message.gw) / 1_000, Number(message.px));
  }

  /** Candles of the last 24 hours, or of what there is of them. */
  recall(candles) {
    this.day.recall(candles);
    this.spark.forget();
    this.isDirty = true;
  }

  /** Gives whether there is something to paint that was put off. */
  paint(nowMs, market, connection, serverMs) {
    if (!this.isDirty) return false;
    if (nowMs - this.#painted < REPAINT_MS) return true;
    this.isDirty = false;
    this.#painted = nowMs;
    const standing = this.standing(market, connection);
    setLamp(this.lamp, standing, serverMs);
    setAttribute(this.node, "data-state", standing.state);
    this.#paintPrice(nowMs);
    this.#paintChange(serverMs);
    this.#paintSource(market, serverMs);
    this.spark.draw(this.day, nowMs);
    return false;
  }

  /** Ends a flash that has been seen; gives whether there is one that goes on. */
  settle(nowMs) {
    if (this.#flashed && nowMs - this.#flashed > FLASH_MS) {
      this.#flashed = 0;
      this.node.classList.remove("up", "down");
    }
    return this.#flashed !== 0;
  }

  standing(market, connection) {
    const [first, second] = this.channels.map((channel) => market.standing(channel, connection));
    return first.state === "waiting" && second !== undefined ? second : first;
  }

  #build() {
    // Said aloud: a browser that lays cells out as a grid may forget that they are a table's.
    const cell = (name, ...children) => h("td", { class: name, role: "cell" }, ...children);
    this.lamp = lamp();
    this.changed = h("span");
    this.told = h("small");
    this.same = h("span");
    this.moved = h("em");
    this.blanks = h("span", { "aria-hidden": "true" });
    this.spread = h("span");
    this.venues = h("span");
    this.age = h("span");
    this.mark = h("small", { class: "sim", hidden: true }, "simulated");
    this.#node = h(
      "tr",
      { role: "row", tabindex: -1, "data-key": this.key, onclick: () => this.#open(this) },
      cell("state", this.lamp),
      h(
        "th",
        { class: "pair", scope: "row", role: "rowheader" },
        h("a", { href: pairLink(this), tabindex: -1 }, this.symbol),
        this.mark,
      ),
      cell("price", this.same, this.moved, this.blanks),
      cell("change", this.changed, " ", this.told),
      cell("way", this.spark.build()),
      cell("spread", this.spread),
      cell("venues", this.venues),
      cell("age", this.age),
    );
  }

  #paintPrice(nowMs) {
    const text = digits(this.#price);
    const before = this.#shownPrice;
    if (text === before) return;
    const at = before === null ? text.length : sameLength(before, text);
    write(this.same, text.slice(0, at));
    write(this.moved, text.slice(at));
    write(this.blanks, this.#blanks(text));
    if (before !== null && before !== "–") {
      const isUp = valueOf(text) > valueOf(before);
      this.node.classList.toggle("up", isUp);
      this.node.classList.toggle("down", !isUp);
      this.#flashed = nowMs;
    }
    this.#shownPrice = text;
  }

  /** As wide as the digits that the price had before and has not now: nothing jumps. */
  #blanks(text) {
    const decimals = text.includes(".") ? text.length - text.indexOf(".") : 0;
    this.#decimals = Math.min(10, Math.max(this.#decimals, decimals));
    const isWhole = decimals === 0 && this.#decimals > 0;
    return (
      (isWhole ? "\u2008" : "") + "\u2007".repeat(Math.max(0, this.#decimals - decimals - isWhole))
    );
  }

  #paintChange(serverMs) {
    const { change, sinceMs } = this.day;
    write(this.changed, percent(change));
    setAttribute(
      this.changed,
      "data-way",
      !Number.isFinite(change) || Math.abs(change) < 5e-5 ? null : change > 0 ? "up" : "down",
    );
    write(this.told, this.since);
    const exactly = sinceMs === null ? null : `since ${moment(sinceMs, serverMs)} UTC`;
    setAttribute(this.changed, "title", exactly);
  }

  #paintSource(market, serverMs) {
    if (this.venue === CONSOLIDATED)
      this.#paintVotes(market.latest.get(this.channels[0]), serverMs);
    else
      this.#paintQuote(
        market.latest.get(this.channels[1]),
        market.latest.get(this.channels[0]),
        serverMs,
      );
    this.mark.hidden = !market.isSimulated(this.channels[0]);
  }

  #paintVotes(price, serverMs) {
    if (price === undefined) return;
    const votes = price.venues ?? [];
    write(this.spread, price.conf === undefined ? "–" : `± ${rough(price.conf)}`);
    const counted = votes.filter((vote) => vote.in).length;
    const isPriced = price.px !== undefined;
    write(this.venues, isPriced ? `${counted}/${votes.length}` : `${counted} of ${price.min ?? "?"}`);
    write(
      this.age,
      price.rx === undefined ? "–" : duration(Math.max(0, serverMs - price.rx / 1_000)),
    );
  }

  #paintQuote(quote, trade, serverMs) {
    if (quote !== undefined) write(this.spread, `${digits(quote.bid)} / ${digits(quote.ask)}`);
    write(this.venues, this.venue);
    const newest = Math.max(quote?.tx ?? 0, trade?.tx ?? 0);
    write(this.age, newest === 0 ? "–" : duration(Math.max(0, serverMs - newest / 1_000)));
  }
}

export const pairLink = ({ venue, symbol }) =>
  `#/pair/${encodeURIComponent(venue)}/${encodeURIComponent(symbol)}`;

const valueOf = (text) => Number(text.replaceAll(",", ""));

/** How many leading characters two prices have in common. */
function sameLength(before, text) {
  if (before.length !== text.length) return 0;
  let at = 0;
  while (at < text.length && before[at] === text[at]) at += 1;
  return at;
}
