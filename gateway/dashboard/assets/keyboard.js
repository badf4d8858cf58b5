// Everything by keyboard: the help says what, and is made of the same table.

import { h, isTyping, overlay } from "./dom.js";
import { dress } from "./later.js";
import { switchTheme } from "./look.js";

const GOES = {
  w: ["#/", "Watchlist"],
  s: ["#/signals", "Signals"],
  h: ["#/health", "Health"],
};
const HELP = [
  ["/", "Search a pair, a venue, a page"],
  ["j  k", "Down and up"],
  ["Enter", "Open what is chosen"],
  ["Esc", "Back, or close"],
  ["g w", "Go to the watchlist"],
  ["g s", "Go to the signals"],
  ["g h", "Go to health"],
  ["1 … 7", "A pair’s interval, from 1s to 1d"],
  ["← →", "On its chart: from signal to signal"],
  ["t", "Dark or light"],
  ["?", "This help"],
];
const SECOND_KEY_MS = 1_200;

export class Keyboard {
  #goMs = -Infinity;
  #help = null;
  #close = null;

  constructor(app) {
    this.app = app;
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  help() {
    if (this.#help !== null) {
      this.#closeHelp();
      return;
    }
    dress();
    const rows = HELP.map(([keys, text]) =>
      h(
        "div",
        {},
        h("dt", {}, ...keys.split(/\s+/).map((key) => h("kbd", {}, key))),
        h("dd", {}, text),
      ),
    );
    const close = h(
      "button",
      { type: "button", class: "primary", onclick: () => this.#closeHelp() },
      "Close",
    );
    const about = h(
      "p",
      { class: "hint" },
      "Candles: Lightweight Charts™, Copyright © TradingView, Inc., ",
      h(
        "a",
        { href: "https://www.tradingview.com/", rel: "noreferrer noopener", target: "_blank" },
        "tradingview.com",
      ),
      ". Lines: uPlot, Copyright © Leon Sorokin.",
    );
    const box = h(
      "div",
      { class: "help", role: "dialog", "aria-modal": "true", "aria-label": "Keys" },
      h("h2", {}, "Keys"),
      h("dl", {}, ...rows),
      about,
      close,
    );
    this.#help = h(
      "div",
      { class: "veil", onclick: (event) => event.target === this.#help && this.#closeHelp() },
      box,
    );
    this.#close = overlay(this.#help);
    close.focus();
  }

  #closeHelp() {
    this.#help = null;
    this.#close?.();
    this.#close = null;
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (key === "Escape") {
      this.#escape();
      return;
    }
    if (isTyping() || document.querySelector(".veil .ask") !== null) return;
    if (this.#act(key, event.timeStamp)) event.preventDefault();
  }

  #escape() {
    if (this.#help !== null) this.#closeHelp();
    else if (this.app.shell.closeSearch()) return;
    else if (this.app.page !== this.app.watchlist) this.app.go("#/");
  }

  #act(key, atMs) {
    if (atMs - this.#goMs < SECOND_KEY_MS && key in GOES) {
      this.#goMs = -Infinity;
      this.app.go(GOES[key][0]);
      return true;
    }
    if (key === "g") this.#goMs = atMs;
    else if (key === "/") this.app.shell.openSearch();
    else if (key === "?") this.help();
    else if (key === "t") switchTheme();
    else return this.#help === null && (this.app.page?.key?.(key) ?? false);
    return true;
  }
}
