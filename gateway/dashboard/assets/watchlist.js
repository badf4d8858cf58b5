// The watchlist: a row for each market of the chosen venue, as many as the plan allows.

import { shares } from "./allowance.js";
import { CONSOLIDATED } from "./catalog.js";
import { h, setAttribute, write } from "./dom.js";
import { plural } from "./format.js";
import { Recall } from "./recall.js";
import { pairLink, Row } from "./row.js";

const COLUMNS = [
  ["state", "State"],
  ["pair", "Pair"],
  ["price", "Price"],
  ["change", "24 h"],
  ["way", "Chart"],
  ["spread", "Spread"],
  ["venues", "Venues"],
  ["age", "Age"],
];
const MANY = 60; // From so many rows on, each is sent at most ten times a second.
const FIRST_ROWS = 20; // What a screen holds; the others are made when those have been painted.
const ROWS_A_FRAME = 12;

export class Watchlist {
  #rows = new Map(); // key -> Row
  #byChannel = new Map();
  #shown = [];
  #built = 0; // How many of them stand in the table already.
  #chosen = null; // the venue
  #cursor = -1;
  #recall;

  constructor(app) {
    this.app = app;
    this.title = "Watchlist";
    const onfocusin = (event) => this.#focused(event.target);
    this.body = h("tbody", { role: "rowgroup", onfocusin });
    this.tabs = h("div", { class: "tabs", role: "group", "aria-label": "Venue" });
    this.note = h("p", { class: "note", role: "status" });
    const attributes = { scope: "col", role: "columnheader" };
    this.head = COLUMNS.map(([name, text]) => h("th", { class: name, ...attributes }, text));
    this.table = h(
      "table",
      { class: "watch", role: "table", "aria-label": "Markets" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...this.head)),
      this.body,
    );
    this.node = h(
      "section",
      { class: "page" },
      this.tabs,
      h("div", { class: "scroll" }, this.table),
      this.note,
    );
    this.#recall = new Recall(app, () => this.#inSight());
    this.observer = new IntersectionObserver((seen) => this.#saw(seen), { rootMargin: "80px" });
  }

  mount() {
    this.catalogChanged();
    return this.node;
  }

  unmount() {}

  /** New channels are known. */
  catalogChanged() {
    const venues = this.app.catalog.marketVenues;
    if (this.#chosen === null || !venues.includes(this.#chosen)) this.#chosen = venues[0] ?? null;
    // Prices of many venues come a moment after those of one: nobody has chosen yet.
    if (!this.isChosenByHand && venues.includes(CONSOLIDATED)) this.#chosen = CONSOLIDATED;
    this.#paintTabs(venues);
    this.#layOut();
  }

  choose(venue) {
    this.isChosenByHand = true;
    this.#chosen = venue;
    this.#cursor = -1;
    this.#paintTabs(this.app.catalog.marketVenues);
    this.#layOut();
  }

  /** What is to be subscribed to: stays so on other pages, so that a return shows no old price. */
  channels() {
    const { rate } = this;
    const wanted = new Map();
    for (const row of this.#shown) for (const channel of row.channels) wanted.set(channel, rate);
    return wanted;
  }

  /** How often each of its channels is sent. */
  get rate() {
    return this.#shown.length > MANY ? "100ms" : "all";
  }

  data(message) {
    this.#byChannel.get(message.ch)?.take(message);
  }

  paint(nowMs) {
    const { market, connection } = this.app;
    const serverMs = connection.clock.now();
    let isOpen = false; // Whether something was put off to a later frame.
    for (const row of this.#shown) {
      if (!row.isVisible) continue;
      isOpen = row.paint(nowMs, market, connection, serverMs) || isOpen;
      isOpen = row.settle(nowMs) || isOpen;
    }
    if (this.#built < this.#shown.length) {
      this.#build(this.#built + ROWS_A_FRAME);
      isOpen = true;
    }
    if (isOpen) this.app.painter.ask();
  }

  second() {
    for (const row of this.#shown) row.isDirty = true;
    if (!document.hidden) this.#recall.look();
  }

  /** The worst first: [state, row] of what is shown and not live. */
  ailing() {
    const { market, connection } = this.app;
    return this.#shown
      .map((row) => [row.standing(market, connection), row])
      .filter(([standing]) => standing.state !== "live" && standing.state !== "waiting");
  }

  key(key) {
    if (key === "j" || key === "ArrowDown") this.#move(1);
    else if (key === "k" || key === "ArrowUp") this.#move(-1);
    else if (key === "Enter" && this.#isChosen()) this.app.go(pairLink(this.#shown[this.#cursor]));
    else return false;
    return true;
  }

  /** The row of a market, shown or not, once there is such a market. */
  rowOf(venue, symbol) {
    const isKnown = this.app.catalog.symbols(venue).includes(symbol);
    return isKnown ? this.#row(venue, symbol) : null;
  }

  /** Those whose past is of use. */
  *#inSight() {
    const { row = null } = this.app.page ?? {};
    if (row !== null) yield row;
    for (const one of this.#shown) if (one.isVisible) yield one;
  }

  get shown() {
    return this.#shown;
  }

  #layOut() {
    const { catalog, subscriptionsMax } = this.app;
    const all = this.#chosen === null ? [] : catalog.symbols(this.#chosen);
    const perRow = this.#chosen === CONSOLIDATED ? 1 : 2;
    const { watchlist } = shares(subscriptionsMax, catalog.named("status").length);
    const symbols = all.slice(0, Math.max(1, Math.floor(watchlist / perRow)));
    const rows = symbols.map((symbol) => this.#row(this.#chosen, symbol));
    const standing = this.#shown.slice(0, this.#built);
    this.#shown = rows;
    if (rows.length < standing.length || standing.some((row, at) => row !== rows[at])) {
      // As many as before: the page keeps its height, and so the place where somebody reads.
      this.#built = 0;
      this.body.replaceChildren();
      this.#build(standing.length);
    }
    this.#build(FIRST_ROWS);
    this.table.classList.toggle("many", rows.length > MANY);
    this.table.classList.toggle("one-venue", this.#chosen !== CONSOLIDATED);
    write(this.head[5], this.#chosen === CONSOLIDATED ? "Confidence" : "Bid / ask");
    write(this.head[6], this.#chosen === CONSOLIDATED ? "Venues" : "Venue");
    this.#tellNote(all, symbols);
    this.app.wantChanged();
  }

  /** Puts rows into the table, until there are so many. */
  #build(count) {
    const rows = this.#shown.slice(this.#built, count);
    this.body.append(...rows.map((row) => row.node));
    for (const row of rows) this.observer.observe(row.node);
    this.#built += rows.length;
    // The tab key finds the first; from there the arrows lead on.
    if (this.#built > 0) setAttribute(this.#shown[0].node, "tabindex", "0");
  }

  #tellNote(all, symbols) {
    let text = "";
    if (all.length === 0) {
      text = "No market yet: the feeds have reached no venue, or this key may see none.";
    } else if (symbols.length < all.length) {
      const shown = `${symbols.length} of ${plural(all.length, "market")}`;
      text = `${shown}: this key’s plan allows no more`;
      text += " subscriptions. Search with / to open the others.";
    }
    write(this.note, text);
  }

  #row(venue, symbol) {
    const key = `${venue}:${symbol}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = new Row(venue, symbol, (opened) => (location.hash = pairLink(opened)));
      this.#rows.set(key, row);
      for (const channel of row.channels) {
        this.#byChannel.set(channel, row);
        const known = this.app.market.latest.get(channel);
        if (known !== undefined) row.take(known);
      }
    }
    return row;
  }

  #saw(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.dataset.key);
      row.isVisible = isIntersecting;
      row.isDirty ||= isIntersecting;
    }
    this.#recall.look();
    this.app.painter.ask();
  }

  #paintTabs(venues) {
    const tabs = venues.map((venue) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(venue === this.#chosen),
          onclick: () => this.choose(venue),
        },
        venue === CONSOLIDATED ? "Consolidated" : venue,
        h("small", {}, String(this.app.catalog.symbols(venue).length)),
      ),
    );
    this.tabs.replaceChildren(...tabs);
  }

  #move(step) {
    if (this.#shown.length === 0) return;
    this.#shown[this.#cursor]?.node.classList.remove("cursor");
    this.#cursor = Math.min(this.#shown.length - 1, Math.max(0, this.#cursor + step));
    this.#build(this.#cursor + 1);
    const { node } = this.#shown[this.#cursor];
    node.classList.add("cursor");
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: "nearest" });
  }

  /** By the tab key or a finger: the arrows go on from there. */
  #focused(target) {
    const at = this.#shown.findIndex((row) => row.key === target.dataset.key);
    if (at < 0 || at === this.#cursor) return;
    this.#shown[this.#cursor]?.node.classList.remove("cursor");
    this.#cursor = at;
    target.classList.add("cursor");
  }

  /** Whether Enter means the row: not where it is pressed on a link or a button. */
  #isChosen() {
    const { activeElement } = document;
    const row = this.#shown[this.#cursor];
    return row !== undefined && (activeElement === document.body || activeElement === row.node);
  }
}
