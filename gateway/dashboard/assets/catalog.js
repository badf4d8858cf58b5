// Which channels there are, and the markets that they make: what a watchlist has rows of.

import { partsOf } from "./market.js";

const RANKS = ["BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "AVAX", "LINK", "LTC", "DOT"];
const QUOTES = ["USD", "USDT", "USDC", "EUR"];
export const CONSOLIDATED = "agg";

/** A venue as people are told of it. */
export const venueName = (venue) => (venue === CONSOLIDATED ? "consolidated" : venue);

/** By code points: a collator would take longer to come up than all names to be sorted. */
const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

export class Catalog {
  #names = new Set();
  #symbols = new Map(); // venue -> what can be followed there
  #statuses = [];

  /** Takes channel names in; gives whether any was new. */
  learn(names) {
    const before = this.#names.size;
    for (const name of names) this.#names.add(name);
    const isNew = this.#names.size > before;
    if (isNew) this.#sort();
    return isNew;
  }

  has(channel) {
    return this.#names.has(channel);
  }

  /** Everything whose price can be followed at a venue, in the order of interest. */
  symbols(venue) {
    return this.#symbols.get(venue) ?? [];
  }

  /** Venues with a market; the consolidated one first. */
  get marketVenues() {
    return [...this.#symbols.keys()];
  }

  /** All that has a status. */
  get statusVenues() {
    return this.#statuses;
  }

  /** Once for each change: these lists are asked for with every frame. */
  #sort() {
    const found = new Map();
    const statuses = new Set();
    for (const name of this.#names) {
      const { kind, venue, symbol } = partsOf(name);
      if (kind === "status") statuses.add(venue);
      if (!/^(price|trade|quote)$/.test(kind)) continue;
      if (!found.has(venue)) found.set(venue, new Set());
      found.get(venue).add(symbol);
    }
    this.#statuses = [...statuses].sort(byWeight);
    const venues = [...found.keys()].sort(byWeight);
    this.#symbols = new Map(venues.map((venue) => [venue, [...found.get(venue)].sort(byInterest)]));
  }

  /** Who else trades a symbol. */
  venuesOf(symbol) {
    return this.marketVenues.filter(
      (venue) =>
        venue !== CONSOLIDATED &&
        (this.has(`trade:${venue}:${symbol}`) || this.has(`quote:${venue}:${symbol}`)),
    );
  }

  /** Names of a kind (`signal`), of one symbol or of all. */
  named(kind, symbol = null) {
    return [...this.#names].filter((name) => {
      const parts = partsOf(name);
      return parts.kind === kind && (symbol === null || parts.symbol === symbol);
    });
  }
}

const weight = (venue) =>
  venue === CONSOLIDATED ? 0 : venue === "replay" ? 3 : venue === "sim" ? 2 : 1;

const byWeight = (one, other) => weight(one) - weight(other) || compare(one, other);

function byInterest(one, other) {
  const [base, quote] = rank(one);
  const [otherBase, otherQuote] = rank(other);
  return base - otherBase || quote - otherQuote || compare(one, other);
}

function rank(symbol) {
  const [base, quote] = symbol.split("-");
  const place = (list, word) => (list.includes(word) ? list.indexOf(word) : list.length);
  return [place(RANKS, base), place(QUOTES, quote)];
}
