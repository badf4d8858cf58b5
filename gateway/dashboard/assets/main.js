// The dashboard: joins the connection, what was heard, and the pages.

import { ask, keyFromAddress } from "./ask.js";
import { Catalog } from "./catalog.js";
import { now } from "./clock.js";
import { Connection } from "./connection.js";
import { Discovery } from "./discovery.js";
import { isTyping } from "./dom.js";
import { Painter } from "./frame.js";
import { HealthPage } from "./health.js";
import { Keyboard } from "./keyboard.js";
import { Market } from "./market.js";
import { PairPage } from "./pair.js";
import { Rest } from "./rest.js";
import { Shell } from "./shell.js";
import { SignalsPage } from "./signals.js";
import { Watchlist } from "./watchlist.js";

const SLOW_AFTER_MS = 5_000;
const HIDDEN_RATE = "5s";

class App {
  #page = null;
  #slowTimer = 0;

  constructor(key) {
    this.catalog = new Catalog();
    this.rest = new Rest(key);
    this.connection = new Connection(key, this);
    this.market = new Market(this.connection.clock);
    this.discovery = new Discovery(this.rest, (names) => this.#learn(names));
    this.painter = new Painter(
      (nowMs) => this.#paint(nowMs),
      () => this.#second(),
    );
    this.watchlist = new Watchlist(this);
    this.health = new HealthPage(this);
    this.signals = new SignalsPage(this);
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
    const key = await ask(`The gateway ended it: ${text}`);
    reborn(key);
  }

  // What pages ask for ---------------------------------------------------------------------------

  /** The subscriptions that are needed have changed. */
  wantChanged() {
    const { subscriptions } = this.connection;
    const statuses = this.catalog.named("status").map((channel) => [channel, "all"]);
    subscriptions.want("statuses", new Map(statuses));
    subscriptions.want("watchlist", this.watchlist.channels());
    subscriptions.want("page", this.#page?.channels?.() ?? null);
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

  #route() {
    const [name, ...parts] = partsOfAddress();
    const page = this.#pageOf(name, parts);
    if (page === this.#page) return;
    this.#page?.unmount();
    this.#page = page;
    this.shell.turnTo(name || "watchlist", page);
    this.wantChanged();
    this.painter.ask();
  }

  #pageOf(name, parts) {
    if (name === "pair" && parts.length === 2) return new PairPage(this, parts[0], parts[1]);
    if (name === "signals") return this.signals;
    if (name === "health") return this.health;
    return this.watchlist;
  }

  #paint(nowMs) {
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
  const key = keyFromAddress() ?? (await ask());
  if (!isTyping()) document.activeElement?.blur?.();
  new App(key).start();
}

begin();
