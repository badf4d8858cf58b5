// Of which venues' prices a consolidated price was made, and why others did not count.

import { h, setAttribute, write } from "./dom.js";
import { digits, duration } from "./format.js";

const VENUES_MAX = 24;

export class Votes {
  #rows = new Map();

  constructor() {
    this.body = h("tbody");
    this.summary = h("small");
    const head = ["Venue", "Price", "From ours", "± half spread", "Age", "Counts"].map((text, at) =>
      h("th", { scope: "col", class: at === 0 || at === 5 ? "left" : null }, text),
    );
    this.node = h(
      "section",
      { class: "panel" },
      h("h2", {}, "What the price is made of ", this.summary),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          { class: "votes", "aria-label": "Venues of the price" },
          h("thead", {}, h("tr", {}, ...head)),
          this.body,
        ),
      ),
    );
  }

  paint(price) {
    if (price === undefined) {
      write(this.summary, "nothing yet");
      return;
    }
    const votes = price.venues.slice(0, VENUES_MAX);
    const oldest = duration(price.age_max_ms);
    const least = `at least ${price.min} of ${votes.length}`;
    const rule = `${price.method}, ${least}, none older than ${oldest}`;
    write(this.summary, price.px === undefined ? `no price: ${price.why ?? price.state}` : rule);
    for (const vote of votes) this.#paintVote(vote, price);
    for (const [name, row] of this.#rows) {
      if (votes.some((vote) => nameOf(vote) === name)) continue;
      row.node.remove();
      this.#rows.delete(name);
    }
  }

  #paintVote(vote, price) {
    const row = this.#row(nameOf(vote));
    setAttribute(row.node, "data-in", String(vote.in));
    write(row.price, digits(vote.px));
    const ours = Number(price.px);
    const theirs = Number(vote.px) * Number(vote.rate ?? 1);
    write(row.off, vote.px && price.px ? inBasisPoints(theirs / ours - 1) : "–");
    write(row.half, digits(vote.half));
    write(row.age, vote.age_ms === undefined ? "–" : duration(vote.age_ms));
    write(row.word, vote.in ? "in" : `out: ${vote.out ?? "?"}`);
  }

  #row(name) {
    let row = this.#rows.get(name);
    if (row !== undefined) return row;
    const cells = ["price", "off", "half", "age", "word"].map((cell) => [
      cell,
      h("td", { class: cell === "word" ? "left word" : null }),
    ]);
    row = Object.fromEntries(cells);
    row.node = h(
      "tr",
      {},
      h("th", { scope: "row", class: "left" }, name),
      ...cells.map(([, node]) => node),
    );
    this.#rows.set(name, row);
    const after = [...this.#rows.keys()].sort();
    this.body.insertBefore(row.node, this.body.children[after.indexOf(name)] ?? null);
    return row;
  }
}

function nameOf({ venue, of, via }) {
  if (of === undefined) return venue;
  return `${venue} ${of}${via ? ` via ${via.split(":")[2]}` : ""}`;
}

function inBasisPoints(fraction) {
  const points = fraction * 10_000;
  const sign = Math.abs(points) < 0.05 ? "" : points > 0 ? "+" : "−";
  return `${sign}${Math.abs(points).toFixed(1)} bp`;
}
