// Which channels there are, and the markets that they make: what a watchlist has rows of.

import { partsOf } from "./market.js";

const RANKS = ["BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "AVAX", "LINK", "LTC", "DOT"];
const QUOTES = ["USD", "USDT", "USDC", "EUR"];
export const CONSOLIDATED = "agg";

export class Catalog {
  #names = new Set();

  /** Takes channel names in; gives whether any was new. */
  learn(names) {
    const before = this.#names.size;
    for (const name of names) this.#names.add(name);
    return this.#names.size > before;
  }

  has(channel) {
    return this.#names.has(channel);
  }

  get size() {
    return this.#names.size;
  }

  /** Everything whose price can be followed at a venue, in the order of interest. */
  symbols(venue) {
    const kinds = venue === CONSOLIDATED ? ["price"] : ["trade", "quote"];
    const found = new Set();
    for (const name of this.#names) {
      const parts = partsOf(name);
      if (parts.venue === venue && kinds.includes(parts.kind)) found.add(parts.symbol);
    }
    return [...found].sort(byInterest);
  }

  /** Venues with a market; the consolidated one first. */
  get marketVenues() {
    const venues = new Set();
    for (const name of this.#names) {
      const { kind, venue } = partsOf(name);
      if (kind === "price" || kind === "trade" || kind === "quote") venues.add(venue);
    }
    return [...venues].sort((one, other) => weight(one) - weight(other) || (one < other ? -1 : 1));
  }

  /** All that has a status. */
  get statusVenues() {
    const venues = new Set();
    for (const name of this.#names) {
      const { kind, venue } = partsOf(name);
      if (kind === "status") venues.add(venue);
    }
    return [...venues].sort((one, other) => weight(one) - weight(other) || (one < other ? -1 : 1));
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

function byInterest(one, other) {
  const [base, quote] = rank(one);
  const [otherBase, otherQuote] = rank(other);
  return (
    base - otherBase || quote - otherQuote || one.localeCompare(other, "en", { numeric: true })
  );
}

function rank(symbol) {
  const [base, quote] = symbol.split("-");
  const place = (list, word) => (list.includes(word) ? list.indexOf(word) : list.length);
  return [place(RANKS, base), place(QUOTES, quote)];
}
