// The search field: pairs, venues and pages by a few letters; arrows and Enter open one.

import { CONSOLIDATED } from "./catalog.js";
import { h, setAttribute } from "./dom.js";
import { pairLink } from "./row.js";

const SHOWN_MAX = 12;
const PAGES = [
  { text: "Watchlist", hash: "#/" },
  { text: "Signals", hash: "#/signals" },
  { text: "Health", hash: "#/health" },
];

export class Search {
  #found = [];
  #at = 0;

  constructor(app) {
    this.app = app;
    this.input = h("input", {
      type: "search",
      placeholder: "Search  /",
      "aria-label": "Search pairs, venues and pages",
      role: "combobox",
      "aria-expanded": "false",
      "aria-controls": "found",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.#look(),
      onfocus: () => this.#look(),
      onblur: () => this.#hide(),
      onkeydown: (event) => this.#pressed(event),
    });
    this.list = h("ul", { id: "found", role: "listbox", hidden: true });
    this.node = h("div", { class: "search" }, this.input, this.list);
  }

  open() {
    this.input.focus();
    this.input.select();
  }

  /** Gives whether there was anything to close. */
  close() {
    const wasOpen = document.activeElement === this.input || this.input.value !== "";
    this.input.value = "";
    this.#hide();
    this.input.blur();
    return wasOpen;
  }

  #pressed(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.#choose(this.#at + (event.key === "ArrowDown" ? 1 : -1));
      event.preventDefault();
    } else if (event.key === "Enter" && this.#found.length > 0) {
      // Or the page below would take it, once the field has lost the focus.
      event.stopPropagation();
      this.#open(this.#found[this.#at]);
    }
  }

  #look() {
    const words = this.input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length === 0 ? [] : this.#matching(words);
    this.#found = found.slice(0, SHOWN_MAX);
    const items = this.#found.map((one, at) =>
      h(
        "li",
        {
          role: "option",
          id: `found-${at}`,
          // Before the field loses the focus, which hides the list.
          onmousedown: (event) => {
            event.preventDefault();
            this.#open(one);
          },
        },
        h("span", {}, one.text),
        h("small", {}, one.note ?? "page"),
      ),
    );
    this.list.replaceChildren(...items, remark(found.length));
    this.list.hidden = words.length === 0;
    setAttribute(this.input, "aria-expanded", String(words.length > 0));
    this.#choose(0);
  }

  #matching(words) {
    const { catalog } = this.app;
    const pairs = catalog.marketVenues.flatMap((venue) =>
      catalog.symbols(venue).map((symbol) => ({
        text: symbol,
        note: venue === CONSOLIDATED ? "consolidated" : venue,
        hash: pairLink({ venue, symbol }),
      })),
    );
    const fits = ({ text, note = "" }) =>
      words.every((word) =>
        `${text} ${text.replaceAll("-", "")} ${note}`.toLowerCase().includes(word),
      );
    return [...pairs, ...PAGES].filter(fits);
  }

  #choose(at) {
    const items = [...this.list.children].slice(0, this.#found.length);
    this.#at = items.length === 0 ? 0 : (at + items.length) % items.length;
    items.forEach((item, place) => setAttribute(item, "aria-selected", String(place === this.#at)));
    setAttribute(this.input, "aria-activedescendant", items.length ? `found-${this.#at}` : null);
  }

  #open({ hash }) {
    this.close();
    this.app.go(hash);
  }

  #hide() {
    this.list.hidden = true;
    setAttribute(this.input, "aria-expanded", "false");
  }
}

/** Below what was found: that there is nothing, or more. */
function remark(count) {
  const more = count - SHOWN_MAX;
  const text = count === 0 ? "Nothing is called that." : more > 0 ? `and ${more} more` : "";
  return h("li", { role: "option", "aria-disabled": "true", class: "remark" }, text);
}
