// How everything does: feeds, each hop's latency, what was missed and by whom, limits used.

import { venueName } from "./catalog.js";
import { now } from "./clock.js";
import { h, setAttribute, write } from "./dom.js";
import { bytes, clockTime, compact, digits, duration, plural } from "./format.js";
import { lamp, setLamp, who } from "./lamp.js";
import { HOPS } from "./latency.js";
import { Lines } from "./lines.js";

const USAGE_MS = 5_000;
const GAPS_SHOWN = 50;
const PROBES = 6; // Trades that come at once, so that the socket's hop is seen as it is.
const SERIES = [
  { label: "p50", colour: "accent" },
  { label: "p99", colour: "lagging" },
];

export class Page {
  #feeds = new Map();
  #gapsShown = -1;
  #askedMs = -Infinity;
  #seconds = 0;

  constructor(app) {
    this.app = app;
    this.title = "Health";
    this.hops = HOPS.map(({ name, title }) => new Lines(name, SERIES, { unit: " ms", title }));
    this.traffic = new Lines("Messages a second", [{ colour: "accent" }]);
    this.feeds = h("tbody");
    this.gaps = h("tbody");
    this.noGaps = h("p", { class: "empty" }, "Nothing has been missed since this page was opened.");
    this.limits = h("dl", { class: "tiles" });
    this.tiles = new Map();
    this.node = h(
      "section",
      { class: "page health" },
      h(
        "div",
        { class: "halves" },
        h("div", {}, this.#feedsPanel(), this.traffic.node),
        h("section", { class: "panel" }, h("h2", {}, "This key and this connection"), this.limits),
      ),
      h(
        "h2",
        { class: "between" },
        "Latency by hop, second by second: ",
        h("b", { class: "p50" }, "p50"),
        " and ",
        h("b", { class: "p99" }, "p99"),
      ),
      h("div", { class: "quarters" }, ...this.hops.map(({ node }) => node)),
      this.#gapsPanel(),
    );
  }

  mount() {
    this.#askUsage();
    return this.node;
  }

  unmount() {}

  channels() {
    const trades = this.app.catalog.named("trade").slice(0, PROBES);
    return new Map(trades.map((channel) => [channel, "all"]));
  }

  second() {
    this.#seconds += 1;
    if (now() - this.#askedMs > USAGE_MS && !document.hidden) this.#askUsage();
  }

  paint() {
    const { market, connection } = this.app;
    this.#paintFeeds(market, connection);
    this.#paintLines(market);
    this.#paintTiles(market, connection);
    this.#paintGaps(market);
  }

  #askUsage() {
    this.#askedMs = now();
    this.app.connection.askUsage();
  }

  #feedsPanel() {
    const head = ["Feed", "State", "For", "Messages/s", "Why"].map((text) =>
      h("th", { scope: "col", class: /Feed|State|Why/.test(text) ? "left" : null }, text),
    );
    return h(
      "section",
      { class: "panel" },
      h("h2", {}, "Feeds"),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          { class: "feeds", "aria-label": "Feeds" },
          h("thead", {}, h("tr", {}, ...head)),
          this.feeds,
        ),
      ),
    );
  }

  #gapsPanel() {
    const head = ["Noticed", "Channel", "Messages", "From", "To", "By whom"].map((text) =>
      h("th", { scope: "col", class: /Mess|From|To/.test(text) ? null : "left" }, text),
    );
    return h(
      "section",
      { class: "panel" },
      h("h2", {}, "What was missed, and by whose fault"),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          { class: "gaps", "aria-label": "What was missed" },
          h("thead", {}, h("tr", {}, ...head)),
          this.gaps,
        ),
      ),
      this.noGaps,
    );
  }

  #paintFeeds(market, connection) {
    const serverMs = connection.clock.now();
    for (const venue of this.app.catalog.statusVenues) {
      const row = this.#feed(venue);
      const standing = market.venueStanding(venue, connection);
      setLamp(row.lamp, standing, serverMs);
      write(
        row.since,
        standing.since ? duration(Math.max(0, serverMs - standing.since / 1_000)) : "–",
      );
      write(row.rate, digits(market.rates.get(venue)?.perS ?? 0));
      const apart = Object.entries(standing.channels ?? {});
      const few = apart
        .slice(0, 3)
        .map(([channel, { state, by }]) => `${channel} ${state}${by ? ` by ${who(by)}` : ""}`);
      if (apart.length > 3) few.push(`and ${apart.length - 3} more`);
      const blame = standing.by && standing.state !== "live" ? `by ${who(standing.by)}` : "";
      write(row.why, [blame, standing.why, ...few].filter(Boolean).join("; "));
    }
  }

  #feed(venue) {
    let row = this.#feeds.get(venue);
    if (row === undefined) {
      row = { lamp: lamp(), since: h("td"), rate: h("td"), why: h("td", { class: "left why" }) };
      this.#feeds.set(venue, row);
      this.feeds.append(
        h(
          "tr",
          {},
          h("th", { scope: "row", class: "left" }, venueName(venue)),
          h("td", { class: "left" }, row.lamp),
          row.since,
          row.rate,
          row.why,
        ),
      );
    }
    return row;
  }

  #paintLines(market) {
    const { latency } = market;
    latency.hops.forEach((hop, at) => {
      this.hops[at].paint([latency.times, hop.p50, hop.p99], this.#seconds);
      const newest = latency.newest(at);
      write(
        this.hops[at].newest,
        newest === null ? "nothing yet" : `${duration(newest[0])} · ${duration(newest[1])}`,
      );
    });
    this.traffic.paint([latency.times, market.history], this.#seconds);
    write(this.traffic.newest, digits(market.messagesPerS));
  }

  #paintTiles(market, connection) {
    const { usage, welcome, subscriptions } = connection;
    const limits = welcome?.limits ?? {};
    const of = (used, limit) => (limit ? `${digits(used)} of ${digits(limit)}` : digits(used));
    const share = (used, limit) => (limit ? used / limit : null);
    this.#tile(
      "Connection",
      connection.state === "open"
        ? `open for ${duration(now() - connection.sinceMs)}`
        : connection.state,
      plural(connection.comings, "time", "times") + " opened",
    );
    this.#tile(
      "Gateway’s clock",
      connection.clock.best === null ? "–" : `${duration(connection.clock.best.aheadMs)} ahead`,
      connection.clock.best === null ? "" : `round trip ${duration(connection.clock.best.tripMs)}`,
    );
    this.#tile(
      "Subscriptions",
      of(subscriptions.count, limits.subscriptions),
      refusedText(subscriptions.refused),
      share(subscriptions.count, limits.subscriptions),
    );
    this.#tile(
      "Messages a second",
      of(market.messagesPerS, limits.messages_per_s),
      `${compact(market.messages)} here since the start, ${bytes(connection.bytes)}`,
      share(market.messagesPerS, limits.messages_per_s),
    );
    if (usage === null) return;
    this.#tile(
      "Connections of the key",
      of(usage.connections.open, usage.connections.limit),
      `plan ${usage.plan}`,
      share(usage.connections.open, usage.connections.limit),
    );
    this.#tile(
      "REST calls this month",
      of(usage.rest.used, usage.rest.limit),
      usage.month,
      share(usage.rest.used, usage.rest.limit),
    );
    this.#tile(
      "Sent to the key",
      `${compact(usage.messages)} messages`,
      `${bytes(usage.bytes)} in ${usage.month}`,
    );
  }

  #tile(name, value, note, used = null) {
    let tile = this.tiles.get(name);
    if (tile === undefined) {
      tile = {
        value: h("span"),
        note: h("small"),
        bar: h("div", { class: "bar", hidden: true }, h("i")),
      };
      this.tiles.set(name, tile);
      this.limits.append(
        h("div", {}, h("dt", {}, name), h("dd", {}, tile.value, " ", tile.note, tile.bar)),
      );
    }
    write(tile.value, value);
    write(tile.note, note);
    tile.bar.hidden = used === null;
    if (used === null) return;
    tile.bar.firstChild.style.width = `${Math.min(100, used * 100).toFixed(1)}%`;
    setAttribute(tile.bar, "data-full", used > 0.9 ? "true" : null);
  }

  #paintGaps(market) {
    if (this.#gapsShown === market.missedCount) return;
    this.#gapsShown = market.missedCount;
    const rows = market.gaps
      .slice(0, GAPS_SHOWN)
      .map(({ atMs, ch, from, to, by, count }) =>
        h(
          "tr",
          {},
          h("td", { class: "left" }, clockTime(atMs)),
          h("th", { scope: "row", class: "left" }, ch),
          h("td", {}, count === null ? "not known" : digits(count)),
          h("td", {}, digits(from)),
          h("td", {}, digits(to)),
          h(
            "td",
            { class: "left by" },
            count === null ? `${who(by)}: the numbering began anew` : who(by),
          ),
        ),
      );
    this.gaps.replaceChildren(...rows);
    this.noGaps.hidden = rows.length > 0;
  }
}

function refusedText(refused) {
  if (refused.size === 0) return "none refused";
  const [[channel, { code }]] = refused;
  return `${refused.size} refused: ${channel} ${code}`;
}
