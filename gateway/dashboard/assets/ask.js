// The form that asks for a key, where the link brought none along in its fragment, which no browser
// sends to any server. A key is kept in memory alone: not in the address, in storage or a cookie.

import { h, overlay } from "./dom.js";
import { dress } from "./later.js";

/** Asks until something is given. `problem` says why it is asked again. */
export function ask(problem = "") {
  dress();
  return new Promise((give) => {
    const input = h("input", {
      type: "password",
      id: "key",
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "tg_…",
      required: true,
    });
    const form = h(
      "form",
      {
        class: "ask",
        onsubmit: (event) => {
          event.preventDefault();
          const key = input.value.trim();
          if (key === "") return;
          close();
          give(key);
        },
      },
      h("h1", {}, "Tickgate"),
      h("p", { class: "problem", role: "alert" }, problem),
      h("label", { for: "key" }, "API key"),
      input,
      h("button", { type: "submit", class: "primary" }, "Open"),
      h(
        "p",
        { class: "hint" },
        "It stays in this page’s memory: a reload asks again. ",
        h("code", {}, "tickgate run"),
        " prints a link that brings its demo key along; ",
        h("code", {}, "tickgate keys create"),
        " makes one that stays.",
      ),
    );
    const dialog = h("div", { class: "veil" }, form);
    const close = overlay(dialog);
    input.focus();
  });
}
