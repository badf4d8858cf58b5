// The admin API of keys, and the token that it asks for: kept in this page's memory alone.

import { h } from "./dom.js";

export class AdminApi {
  constructor(token) {
    this.token = token;
  }

  async ask(method, path, body) {
    const answer = await fetch(`/keys${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.token}`,
        ...(body && { "Content-Type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      const error = new Error(told.detail ?? `the listener answered ${answer.status}`);
      error.status = answer.status;
      throw error;
    }
    return told;
  }
}

export function askToken(problem = "") {
  return new Promise((give) => {
    const input = h("input", {
      id: "token",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
    });
    const submit = (event) => {
      event.preventDefault();
      veil.remove();
      give(input.value.trim());
    };
    const form = h(
      "form",
      { class: "ask", onsubmit: submit },
      h("h1", {}, "Tickgate keys"),
      h("p", { class: "problem", role: "alert" }, problem),
      h("label", { for: "token" }, "Admin token"),
      input,
      h("button", { type: "submit", class: "primary" }, "Open"),
      h(
        "p",
        { class: "hint" },
        "It stands in the file ",
        h("code", {}, "admin-token"),
        " of the data directory (the setting ",
        h("code", {}, "admin.token_file"),
        "). It stays in this page’s memory: a reload asks again.",
      ),
    );
    const veil = h("div", { class: "veil" }, form);
    document.body.append(veil);
    input.focus();
  });
}
