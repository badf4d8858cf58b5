// The dashboard: joins the connection, what was heard, and the pages.

import { divided, shares } from "./allowance.js";
import { Catalog } from "./catalog.js";
import { now } from "./clock.js";
import { Connection } from "./connection.js";
import { Discovery } from "./discovery.js";
import { Painter } from "./frame.js";
import { Keyboard } from "./keyboard.js";
import { fetchSoon, moduleOf } from "./later.js";
import { Market } from "./market.js";
import { opening } from "./opening.js";
import { Rest } from "./rest.js";
import { Shell } from "./shell.js";
import { Watchlist } from "./watchlist.js";

const SLOW_AFTER_MS = 5_000;
const HIDDEN_RATE = "5s";
const SUBSCRIPTIONS_GUESS = 100;

class App {
  #page = null;
  #pages = new Map(); // name -> the one page of that name
  #turns = 0;
  #isComplete = false; // Whether the other pages are on their way.
  #slowTimer = 0;

  constructor(key, { stream = null, answers } = {}) {
    this.catalog = new Catalog();
    this.rest = new Rest(key, answers);
    this.connection = new Connection(key, this, stream);
    this.market = new Market(this.connection.clock);
    this.discovery = new Discovery(this.rest, (names) => this.#learn(names));
    this.painter = new Painter(
      (nowMs) => this.#paint(nowMs),
      () => this.#second(),
    );
    this.watchlist = new Watchlist(this);
    this.shell = new Shell(this);
    this.keyboard = new Keyboard(this);
  }

  start() {
    this.shell.show();
    this.connection.start();
    this.discovery.begin(); // Beside the ticket and the socket: none of them waits for the other.
    this.painter.start();
    addEventListener("hashchange", () => this.#route());
    document.addEventListener("visibilitychange", () => this.#hide());
    this.#route();
  }

  get page() {
    return this.#page;
  }

  // What the connection tells -------------------------------------------------------------------

  data(message, arrivedMs) {
    const isImmediate = this.connection.subscriptions.rateOf(message.ch) === "all";
    this.market.data(message, arrivedMs, isImmediate);
    const nowMs = performance.now();
    this.watchlist.data(message, nowMs);
    if (this.#page !== this.watchlist) this.#page?.data?.(message, nowMs);
    this.painter.ask();
  }

  told(message) {
    this.market.told(message);
    if (message.type === "welcome") this.#welcomed();
    if (message.type === "state") this.watchlist.second();
    this.#page?.told?.(message);
    this.painter.ask();
  }

  missed(missed) {
    this.market.missed(missed);
    this.painter.ask();
  }

  changed() {
    this.watchlist?.second();
    this.painter?.ask();
  }

  async refused(text) {
    const { ask } = await import("./ask.js");
    reborn(await ask(`The gateway ended it: ${text}`));
  }

  // What pages ask for ---------------------------------------------------------------------------

  /** The subscriptions that are needed have changed. */
  wantChanged() {
    const { subscriptions } = this.connection;
    // At the watchlist's rate, so that one command asks for both; a status comes once a second.
    const { rate } = this.watchlist;
    const statuses = this.catalog.named("status").map((channel) => [channel, rate]);
    const limit = this.subscriptionsMax;
    const most = shares(limit, statuses.length);
    const page = this.#page === this.watchlist ? null : this.#page;
    const wants = [new Map(statuses), this.watchlist.channels(), page?.channels() ?? new Map()];
    const given = divided(limit, wants, [most.statuses, most.watchlist, limit]);
    page?.tellLeftOut?.(wants[2].size - given[2].size);
    subscriptions.want(given);
  }

  /** What the plan allows this connection; a guess until it has said so. */
  get subscriptionsMax() {
    return this.connection.welcome?.limits.subscriptions ?? SUBSCRIPTIONS_GUESS;
  }

  /** The newest candles of a channel, oldest first; none where they can't be had. */
  async history(channel, limit, urgency = {}) {
    try {
      const { messages } = await this.rest.get("/v1/candles", { channel, limit }, urgency);
      return messages.reverse();
    } catch {
      return [];
    }
  }

  /** Signals from before this page; none where they can't be had. */
  async recalledSignals(parameters) {
    try {
      return (await this.rest.get("/v1/signals", parameters)).messages;
    } catch {
      return [];
    }
  }

  go(hash) {
    location.hash = hash;
  }

  // ----------------------------------------------------------------------------------------------

  #welcomed() {
    if (this.connection.comings > 1) {
      this.market.cameBack();
      this.shell.cameBack(now() - this.connection.lostMs);
      this.discovery.begin();
    }
    this.watchlist.catalogChanged();
  }

  #learn(names) {
    if (!this.catalog.learn(names)) return;
    this.watchlist.catalogChanged();
    this.#page?.catalogChanged?.();
    this.wantChanged();
    this.painter.ask();
  }

  async #route() {
    this.#turns += 1;
    const turn = this.#turns;
    const [name, ...parts] = partsOfAddress();
    let module;
    try {
      module = await moduleOf(name);
    } catch {
      this.go("#/"); // The gateway is gone, and with it the page.
      return;
    }
    if (turn !== this.#turns) return; // Somebody has gone on meanwhile.
    const page = this.#pageOf(module, name, parts);
    if (page === this.#page) return;
    this.#page?.unmount();
    this.#page = page;
    this.shell.turnTo(name || "watchlist", page);
    this.wantChanged();
    this.painter.ask();
  }

  #pageOf(module, name, parts) {
    if (module === null || (name === "pair" && parts.length !== 2)) return this.watchlist;
    if (name === "pair") return new module.Page(this, ...parts);
    if (!this.#pages.has(name)) this.#pages.set(name, new module.Page(this));
    return this.#pages.get(name);
  }

  #paint(nowMs) {
    if (!this.#isComplete && this.market.messages > 0) {
      this.#isComplete = true;
      fetchSoon();
    }
    this.shell.paint(nowMs);
    this.#page?.paint(nowMs);
  }

  #second() {
    this.market.second();
    this.watchlist.second();
    this.#page?.second?.();
  }

  /** A tab that nobody looks at asks for less, and for all of it again when it is looked at. */
  #hide() {
    clearTimeout(this.#slowTimer);
    const { subscriptions } = this.connection;
    if (document.hidden) {
      this.#slowTimer = setTimeout(() => subscriptions.slowTo(HIDDEN_RATE), SLOW_AFTER_MS);
    } else {
      subscriptions.slowTo("all");
      this.watchlist.second();
    }
  }
}

/** `#/pair/agg/BTC-USD` -> pair, agg, BTC-USD; nothing for what is no address of ours. */
function partsOfAddress() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    return [""];
  }
}

/** Another key: nothing of the one before stays, so the page begins anew; the key goes along. */
function reborn(key) {
  location.hash = `key=${encodeURIComponent(key)}`;
  location.reload();
}

async function begin() {
  if (opening.key !== null) new App(opening.key, opening).start();
  else {
    const { ask } = await import("./ask.js");
    new App(await ask()).start();
  }
}

begin();
