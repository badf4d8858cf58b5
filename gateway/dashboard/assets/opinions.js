// Signals as a list: what was said, why, what it starts from, and what came of it up to now.

import { clear, h, setAttribute, write } from "./dom.js";
import { clockTime, digits, duration, moment, number, percent } from "./format.js";
import { sentence } from "./lamp.js";

const ASKED_MAX_MS = 90_000; // A price that REST told is asked for again within a minute.

export const ARROWS = { __proto__: null, bull: "▲ bull", bear: "▼ bear", neutral: "● neutral" };
export const WAYS = { __proto__: null, bull: "up", bear: "down" };

/** `rsi 71.2 · volume_z 3.1`: names with underscores as words. */
export function reasonsText(reasons) {
  return Object.entries(reasons ?? {})
    .map(
      ([name, value]) =>
        `${name.replaceAll("_", " ")} ${Number.isFinite(value) ? significant(value) : value}`,
    )
    .join(" · ");
}

/** Four digits that say something, whatever the size: a price's whole part stays whole. */
function significant(value) {
  if (value === 0) return "0";
  const places = 3 - Math.floor(Math.log10(Math.abs(value)));
  return number(value, Math.min(10, Math.max(1, places)));
}

/** The pair of `signal:<model>:<PAIR>`. */
export const pairOf = (signal) => signal.ch?.split(":")[2] ?? signal.id.split(":")[1];

export class Opinions {
  #rows = new Map(); // id -> {signal, since, left}
  #shown = "";

  /** `hasPair`: whether a column says of which pair each speaks. */
  constructor(title, empty, hasPair) {
    this.hasPair = hasPair;
    this.body = h("tbody");
    this.empty = h("p", { class: "empty" }, empty);
    const names = [
      "When",
      ...(hasPair ? ["Pair"] : []),
      "Model",
      "Says",
      "Score",
      "At price",
      "Since then",
      "Holds",
      ...(hasPair ? ["Because"] : []),
    ];
    const head = names.map((text) =>
      h("th", { scope: "col", class: /Score|price|Since|Holds/.test(text) ? null : "left" }, text),
    );
    this.node = h(
      "section",
      { class: "panel" },
      h("h2", {}, title),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          { class: "opinions", "aria-label": title },
          h("thead", {}, h("tr", {}, ...head)),
          this.body,
        ),
      ),
      this.empty,
    );
  }

  /** `priceOf(pair)` gives the newest price and how it stands, as Market tells. */
  paint(signals, priceOf, serverMs) {
    const ids = signals.map(({ id }) => id).join(" ");
    if (ids !== this.#shown) this.#lay(signals, serverMs);
    this.#shown = ids;
    for (const row of this.#rows.values()) this.#paintRow(row, priceOf, serverMs);
  }

  #lay(signals, serverMs) {
    this.#rows = new Map();
    clear(this.body);
    for (const signal of signals) {
      const row = { signal, since: h("td", { "data-label": "since" }), left: h("td") };
      this.#rows.set(signal.id, row);
      this.body.append(...this.#nodes(row, serverMs));
    }
    this.empty.hidden = signals.length > 0;
  }

  #nodes({ signal, since, left }, serverMs) {
    const pair = pairOf(signal);
    const text = (content, name = "left", label = null) =>
      h("td", { class: name, "data-label": label }, content);
    const because = h(
      "td",
      { class: "left reasons", colspan: this.hasPair ? null : 7 },
      reasonsText(signal.reasons),
      signal.p_up === undefined ? null : ` · up with ${number(signal.p_up * 100, 1)} %`,
    );
    const row = h(
      "tr",
      {},
      text(moment(signal.at / 1_000, serverMs)),
      this.hasPair
        ? h(
            "td",
            { class: "left" },
            h("a", { href: `#/pair/agg/${encodeURIComponent(pair)}` }, pair),
          )
        : null,
      text(`${signal.model} ${signal.version}`),
      h(
        "td",
        { class: "left", "data-way": WAYS[signal.direction] },
        ARROWS[signal.direction] ?? signal.direction,
      ),
      text(number(signal.score, 2), "", "score"),
      text(digits(signal.ref?.px), "", "at"),
      since,
      left,
      this.hasPair ? because : null,
    );
    return this.hasPair ? [row] : [row, h("tr", { class: "because" }, because)];
  }

  #paintRow({ signal, since, left }, priceOf, serverMs) {
    const { px, dead, title } = priceNow(signal, priceOf(pairOf(signal)), serverMs);
    const move = Number(px) / Number(signal.ref?.px) - 1;
    const isFlat = dead !== "" || Number.isNaN(move) || Math.abs(move) < 5e-5;
    write(since, `${percent(move)} ${dead}`.trim());
    setAttribute(since, "data-way", isFlat ? null : move > 0 ? "up" : "down");
    setAttribute(since, "data-dead", dead === "" ? null : "true");
    setAttribute(since, "title", title);
    const leftMs = signal.expires / 1_000 - serverMs;
    write(left, leftMs > 0 ? `${duration(Math.ceil(leftMs / 1_000) * 1_000)} more` : "over");
    setAttribute(left, "data-over", leftMs > 0 ? null : "true");
  }
}

/**
 * The price that a return is measured to: {px, dead, title}. `dead` is a word where the price lives
 * no more: no return is to look live whose price is not.
 */
function priceNow(signal, { message, standing }, serverMs) {
  const { state } = standing;
  const dead = /^(live|lagging|waiting)$/.test(state) ? "" : state;
  const why = dead === "" ? null : `the price is ${sentence(standing, serverMs)}`;
  if (message !== undefined) return { px: message.px, dead, title: why };
  // The plan had no room for the price: the newest that was asked for, where that is a live one.
  const { px, at } = signal.live ?? {};
  if (!(serverMs - at / 1_000 < ASKED_MAX_MS)) return { px: NaN, dead, title: "no live price" };
  return { px, dead, title: why ?? `as of ${clockTime(at / 1_000)} UTC` };
}
