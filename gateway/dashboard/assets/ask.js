// The key: from the link's fragment, which no browser sends to any server, or from a form.
// It is kept in memory alone: not in the address, not in storage, not in a cookie.

import { h } from "./dom.js";

/** Takes it out of the address, so that it stands in no history; null where there is none. */
export function keyFromAddress() {
  const found = /^#key=([^&/]+)/.exec(location.hash);
  if (found === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return null;
  }
}

/** Asks until something is given. `problem` says why it is asked again. */
export function ask(problem = "") {
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
          dialog.remove();
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
        "It stays in this page’s memory: a reload asks again. `tickgate run` prints a link that",
        " brings its demo key along; `tickgate keys create` makes one that stays.",
      ),
    );
    const dialog = h("div", { class: "veil" }, form);
    document.body.append(dialog);
    input.focus();
  });
}
