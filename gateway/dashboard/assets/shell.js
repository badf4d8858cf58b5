// What surrounds each page: where one is, what is live, and whom to blame where something is not.

import { venueName } from "./catalog.js";
import { now } from "./clock.js";
import { h, setAttribute, write } from "./dom.js";
import { clockTime, duration, plural } from "./format.js";
import { lamp, sentence, setLamp, who } from "./lamp.js";
import { switchTheme } from "./look.js";
import { Search } from "./search.js";

const PAGES = [
  ["watchlist", "#/", "Watchlist"],
  ["signals", "#/signals", "Signals"],
  ["health", "#/health", "Health"],
];
const REPAINT_MS = 200;
const BACK_SHOWN_MS = 12_000;
const ALOUD_MS = 5_000; // Nobody can listen to more.

export class Shell {
  #venues = new Map(); // name -> {node, lamp, rate}
  #back = null;
  #painted = -Infinity;
  #state = "";
  #aloudMs = -Infinity;

  constructor(app) {
    this.app = app;
    this.search = new Search(app);
    this.links = new Map(PAGES.map(([name, href, text]) => [name, h("a", { href }, text)]));
    this.missed = h("b", { class: "badge", hidden: true });
    this.links.get("health").append(" ", this.missed);
    this.lamp = lamp();
    this.verdict = h("p", { class: "verdict" });
    this.aloud = h("p", { class: "aloud", role: "status" });
    this.facts = h("p", { class: "facts" });
    this.clock = h("time", { class: "clock" });
    this.venueStrip = h("ul", { class: "venues", "aria-label": "Venues" });
    this.simulated = h(
      "span",
      { class: "sim", hidden: true, title: "A generated market: no real prices" },
      "simulated market",
    );
    this.main = h("main", { id: "page", tabindex: -1 });
  }

  show() {
    const theme = h(
      "button",
      {
        type: "button",
        class: "icon",
        title: "Dark or light (t)",
        "aria-label": "Dark or light",
        onclick: switchTheme,
      },
      "◐",
    );
    const help = h(
      "button",
      {
        type: "button",
        class: "icon",
        title: "Keys (?)",
        "aria-label": "Help: keys",
        onclick: () => this.app.keyboard.help(),
      },
      "?",
    );
    const header = h(
      "header",
      {},
      h("a", { class: "brand", href: "#/" }, "Tickgate"),
      h("nav", { "aria-label": "Pages" }, ...this.links.values()),
      this.search.node,
      this.clock,
      theme,
      help,
    );
    this.strip = h(
      "section",
      { class: "strip", "aria-label": "How everything is" },
      this.lamp,
      this.simulated,
      this.verdict,
      this.aloud,
      this.venueStrip,
      this.facts,
    );
    // Instead of what stood there while the scripts were on their way.
    document.body.replaceChildren(header, this.strip, this.main);
  }

  turnTo(name, page) {
    for (const [linked, link] of this.links) {
      setAttribute(link, "aria-current", linked === name ? "page" : null);
    }
    document.title = `${page.title} · Tickgate`;
    this.main.replaceChildren(page.mount());
    scrollTo(0, 0);
  }

  openSearch() {
    this.search.open();
  }

  closeSearch() {
    return this.search.close();
  }

  /** The connection stands again. */
  cameBack(awayMs) {
    this.#back = { atMs: now(), awayMs };
  }

  paint(nowMs) {
    const { connection, market } = this.app;
    // To go through all that could be wrong takes as long as the rest of a frame.
    if (nowMs - this.#painted < REPAINT_MS && connection.state === this.#state) return;
    this.#painted = nowMs;
    this.#state = connection.state;
    const serverMs = connection.clock.now();
    write(this.clock, `${clockTime(serverMs)} UTC`);
    this.#paintVenues(serverMs);
    this.#paintVerdict(nowMs, serverMs);
    const socket = market.latency.newest(3);
    const facts = [`${market.messagesPerS} msg/s`];
    if (socket !== null) facts.push(`${duration(Math.max(0, socket[0]))} from gateway`);
    write(this.facts, facts.join(" · "));
    const missed = market.gaps.length;
    this.missed.hidden = missed === 0;
    write(this.missed, missed > 99 ? "99+" : String(missed));
    setAttribute(this.missed, "title", `${plural(missed, "gap")} announced`);
    this.simulated.hidden = !this.app.watchlist.shown.some((row) =>
      market.isSimulated(row.channels[0]),
    );
  }

  #paintVerdict(nowMs, serverMs) {
    const [standing, text, aloud = text] = this.#verdict(serverMs);
    setLamp(this.lamp, standing, serverMs);
    setAttribute(this.strip, "data-state", standing.state);
    const isAway = /^(reconnecting|stopped)$/.test(this.app.connection.state);
    setAttribute(this.strip, "data-away", isAway ? "true" : null);
    write(this.verdict, text);
    if (nowMs - this.#aloudMs < ALOUD_MS || this.aloud.textContent === aloud) return;
    this.#aloudMs = nowMs;
    write(this.aloud, aloud);
  }

  /** The one sentence that says how everything is, the worst first; and without what it counts. */
  #verdict(serverMs) {
    const { connection, market, catalog, watchlist } = this.app;
    if (connection.state === "connecting")
      return [{ state: "waiting" }, "connecting to the gateway"];
    if (connection.state !== "open")
      return [market.standing("", connection), this.#away(), connection.why];
    for (const venue of catalog.statusVenues) {
      const standing = market.venueStanding(venue, connection);
      if (
        standing.state === "stale" ||
        standing.state === "reconnecting" ||
        standing.state === "closed"
      ) {
        const name = venueName(venue);
        return [standing, `${name} is ${sentence(standing, serverMs)}`, spoken(name, standing)];
      }
    }
    const ailing = watchlist.ailing();
    if (ailing.length > 0) {
      const [standing, row] = ailing[0];
      const others = ailing.length > 1 ? `, and ${plural(ailing.length - 1, "other")}` : "";
      const text = `${row.symbol} is ${sentence(standing, serverMs)}${others}`;
      return [standing, text, spoken(row.symbol, standing)];
    }
    const back = this.#backText();
    if (back !== null) return [{ state: "live" }, back, "back"];
    if (market.messages === 0) return [{ state: "waiting" }, "connected; nothing has come yet"];
    const { shown } = watchlist;
    const { statusVenues } = catalog;
    return [
      { state: "live" },
      `${plural(shown.length, "market")} and ${plural(statusVenues.length, "feed")}: all live`,
    ];
  }

  #away() {
    const { connection } = this.app;
    const againMs = connection.againMs - now();
    const next =
      connection.state === "stopped"
        ? ""
        : againMs > 0
          ? ` Next try in ${duration(Math.ceil(againMs / 1_000) * 1_000)}.`
          : " Trying now.";
    const code = connection.code ? ` (${connection.code})` : "";
    const of = clockTime(connection.lostMs || now());
    return `${connection.why}${code}. Prices below are of ${of} UTC.${next}`;
  }

  #backText() {
    if (this.#back === null || now() - this.#back.atMs > BACK_SHOWN_MS) return null;
    const { market } = this.app;
    const missed = market.missedCount - (market.missedBefore ?? 0);
    const lost =
      missed === 0 ? "nothing is missing" : `${plural(missed, "message")} missed: see Health`;
    const made = plural(market.replayed, "message");
    return `back after ${duration(this.#back.awayMs)}: ${made} made up for, ${lost}`;
  }

  #paintVenues(serverMs) {
    const { catalog, market, connection } = this.app;
    for (const venue of catalog.statusVenues) {
      let shown = this.#venues.get(venue);
      if (shown === undefined) {
        shown = { lamp: lamp(), rate: h("small") };
        this.#venues.set(venue, shown);
        this.venueStrip.append(
          h("li", {}, h("span", {}, venueName(venue)), shown.lamp, shown.rate),
        );
      }
      const standing = market.venueStanding(venue, connection);
      setLamp(shown.lamp, standing, serverMs);
      const blame =
        standing.by && standing.state !== "live" && connection.state === "open"
          ? `by ${who(standing.by)}`
          : "";
      const perS = market.rates.get(venue)?.perS ?? 0;
      write(shown.rate, blame || `${perS}/s`);
    }
  }
}

/** `BTC-USD is stale, by the venue`: the same from second to second. */
const spoken = (name, { state, by }) =>
  `${name} is ${state}${by && by !== "late" ? `, by ${who(by)}` : ""}`;
