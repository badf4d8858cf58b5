// The page of keys, on the admin listener: create, rotate, revoke, and what each has used.
// The admin token is asked for, sent in a header alone, and kept in this page's memory.

import { AdminApi, askToken } from "./admin.js";
import { clear, h, write } from "./dom.js";
import { bytes, compact, digits, duration, moment } from "./format.js";
import { switchTheme } from "./look.js";

const SHOWN_MAX = 500;
const USAGE_SHOWN = 40; // Each is a request.
const REFRESH_MS = 10_000;

class KeysPage {
  constructor(api) {
    this.api = api;
    this.problem = h("p", { class: "problem", role: "alert" });
    this.made = h("div", { class: "made", role: "status", hidden: true });
    this.body = h("tbody");
    this.empty = h(
      "p",
      { class: "empty", hidden: true },
      "There is no key yet: create the first one above.",
    );
    this.node = h(
      "main",
      { class: "page keys" },
      this.problem,
      this.#form(),
      this.made,
      this.#table(),
    );
  }

  async start() {
    document.body.append(header(), this.node);
    await this.refresh();
    setInterval(() => this.#isBusy || this.refresh({ isByItself: true }), REFRESH_MS);
  }

  /** A row under somebody's hand is not to be made anew. */
  get #isBusy() {
    return document.hidden || this.body.querySelector("[data-sure], :focus") !== null;
  }

  async refresh({ isByItself = false } = {}) {
    await this.#try(async () => {
      const { keys } = await this.api.ask("GET", "/");
      const newest = keys.slice().reverse().slice(0, SHOWN_MAX);
      const usages = await Promise.all(newest.slice(0, USAGE_SHOWN).map((key) => this.#usage(key)));
      // Somebody has laid a hand on a row while the answers were on their way.
      if (isByItself && this.#isBusy) return;
      clear(this.body).append(...newest.map((key, at) => this.#row(key, usages[at] ?? null)));
      this.empty.hidden = newest.length > 0;
    });
  }

  #usage({ id }) {
    return this.api.ask("GET", `/${encodeURIComponent(id)}/usage`).catch(() => null);
  }

  #form() {
    const field = (label, node) => h("label", {}, h("span", {}, label), node);
    const label = h("input", { name: "label", maxlength: 64, autocomplete: "off" });
    const plan = h("input", {
      name: "plan",
      value: "free",
      list: "plans",
      autocomplete: "off",
      required: true,
    });
    const days = h("input", {
      name: "days",
      type: "number",
      min: 1,
      max: 3650,
      placeholder: "never",
    });
    const channels = h("input", {
      name: "channels",
      placeholder: "all of the plan",
      autocomplete: "off",
    });
    const submit = async (event) => {
      event.preventDefault();
      const body = { label: label.value.trim(), plan: plan.value.trim() };
      if (days.value) body.expires_in_s = Number(days.value) * 86_400;
      const patterns = channels.value.split(/[\s,]+/).filter(Boolean);
      if (patterns.length > 0) body.channels = patterns;
      await this.#try(async () => {
        this.#showKey(await this.api.ask("POST", "/", body));
        event.target.reset();
        await this.refresh();
      });
    };
    return h(
      "form",
      { class: "panel create", onsubmit: submit },
      h("h2", {}, "Create a key"),
      h(
        "datalist",
        { id: "plans" },
        ...["free", "pro", "unlimited"].map((value) => h("option", { value })),
      ),
      field("Label", label),
      field("Plan", plan),
      field("Days", days),
      field("Channels", channels),
      h("button", { type: "submit", class: "primary" }, "Create"),
    );
  }

  /** A key is told this once: only its hash is kept. */
  #showKey({ id, key }) {
    const copy = h(
      "button",
      { type: "button", onclick: () => navigator.clipboard?.writeText(key) },
      "Copy",
    );
    const hide = h("button", { type: "button", onclick: () => this.#hideKey() }, "Done");
    clear(this.made).append(
      h("p", {}, `The key of ${id}, shown this once:`),
      h("code", {}, key),
      copy,
      hide,
    );
    this.made.hidden = false;
  }

  #hideKey() {
    clear(this.made);
    this.made.hidden = true;
  }

  #table() {
    const names = [
      "Id",
      "Label",
      "Plan",
      "State",
      "Created",
      "Ends",
      "Channels",
      "Open",
      "REST",
      "Messages",
      "Bytes",
      "",
    ];
    const head = names.map((name) =>
      h("th", { scope: "col", class: /Open|REST|Mess|Bytes/.test(name) ? null : "left" }, name),
    );
    return h(
      "section",
      { class: "panel" },
      h("h2", {}, "Keys, and what they used this month"),
      h(
        "div",
        { class: "scroll" },
        h("table", { "aria-label": "Keys" }, h("thead", {}, h("tr", {}, ...head)), this.body),
      ),
      this.empty,
    );
  }

  #row(key, usage) {
    const cell = (label, text, name) => h("td", { class: name, "data-label": label }, text);
    const left = (label, text) => cell(label, text, "left");
    const channels = key.channels?.join(" ") ?? "all of the plan";
    const of = (used, limit) => (limit ? `${digits(used)} of ${digits(limit)}` : digits(used));
    const isOver = key.state === "revoked" || key.state === "expired";
    const nowMs = Date.now();
    const state = h(
      "span",
      { class: "lamp", "data-state": isOver ? "closed" : "live" },
      h("i", { "aria-hidden": "true" }),
      h("b", {}, key.state),
    );
    const ends = key.expires_us ? `in ${duration(key.expires_us / 1_000 - nowMs)}` : "never";
    return h(
      "tr",
      { class: isOver ? "over" : null },
      h("th", { scope: "row", class: "left" }, h("code", {}, key.id)),
      h("td", { class: "left label", title: key.label || null }, key.label || "–"),
      left("plan", key.plan),
      h("td", { class: "left" }, state),
      left("created", moment(key.created_us / 1_000, nowMs)),
      left("ends", isOver ? "–" : ends),
      h("td", { class: "left channels", "data-label": "channels", title: channels }, channels),
      cell("open", usage ? of(usage.connections.open, usage.connections.limit) : "–"),
      cell("REST", usage ? of(usage.rest.used, usage.rest.limit) : "–"),
      cell("messages", usage ? compact(usage.messages) : "–"),
      cell("bytes", usage ? bytes(usage.bytes) : "–"),
      h("td", { class: "act" }, isOver ? null : this.#revoking(key)),
    );
  }

  /** Asked twice: its sockets end within seconds, and it never comes back. */
  #revoking({ id }) {
    const button = h("button", { type: "button", class: "danger" }, "Revoke");
    button.addEventListener("click", () => {
      if (button.dataset.sure === undefined) {
        button.dataset.sure = "";
        write(button, "For good?");
        return;
      }
      this.#try(async () => {
        await this.api.ask("POST", `/${encodeURIComponent(id)}/revoke`);
        await this.refresh();
      });
    });
    return button;
  }

  async #try(act) {
    try {
      await act();
      write(this.problem, "");
    } catch (error) {
      write(this.problem, error.message);
      if (error.status === 401) location.reload();
    }
  }
}

function header() {
  const theme = h(
    "button",
    {
      type: "button",
      class: "icon",
      title: "Dark or light",
      "aria-label": "Dark or light",
      onclick: switchTheme,
    },
    "◐",
  );
  return h(
    "header",
    {},
    h("span", { class: "brand" }, "Tickgate"),
    h("nav", {}, h("a", { "aria-current": "page" }, "Keys")),
    h("a", { class: "right", href: "/metrics" }, "metrics"),
    theme,
  );
}

async function begin() {
  let problem = "";
  for (;;) {
    const api = new AdminApi(await askToken(problem));
    try {
      await api.ask("GET", "/");
      await new KeysPage(api).start();
      return;
    } catch (error) {
      problem = error.status === 401 ? "That is not the admin token." : error.message;
    }
  }
}

begin();
