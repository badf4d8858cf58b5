// One client of the public protocol: a ticket, a WebSocket, and its return as the close code says.

import { now, ServerClock } from "./clock.js";
import { openStream } from "./opening.js";
import { Positions } from "./positions.js";
import { Subscriptions } from "./subscriptions.js";

const PING_MS = 5_000;
const FIRST_PINGS_MS = 300; // The first few come quickly: the clocks are compared by them.
const STEADY_MS = 10_000;
const STOPS = new Set([1002, 1003, 1007, 1008, 1009]);

/** What a close code asks for: 4000-4099 stop, 4100-4199 back off, all else come back. */
export function nextAfter(code) {
  if ((code >= 4000 && code < 4100) || STOPS.has(code)) return "stop";
  return code >= 4100 && code < 4200 ? "back_off" : "come_back";
}

/** Milliseconds to wait, with full jitter: all clients of a gateway lose it at the same moment. */
export function pauseMs(next, failures) {
  if (next === "back_off") return 500 + Math.random() * Math.min(29_500, 1_000 * 2 ** failures);
  if (failures <= 1) return Math.random() * 3_000;
  return Math.random() * Math.min(30_000, 3_000 * 2 ** (failures - 2));
}

export class Connection {
  #key;
  #listener;
  #begun;
  #socket = null;
  #failures = 0;
  #timers = new Set();
  #pings = new Map();
  #pingId = 0;
  #heardMs = 0;
  #silenceLimitMs = 20_000;

  /**
   * `listener` has `data(message, arrivedMs)`, `told(message)` for announcements,
   * `missed({ch, from, to, by})`, `refused(text)` for a key that is none, and `changed()`.
   * `begun`: of `openStream`, where it was called already.
   */
  constructor(key, listener, begun = null) {
    this.#key = key;
    this.#listener = listener;
    this.#begun = begun;
    this.positions = new Positions();
    this.clock = new ServerClock();
    this.subscriptions = new Subscriptions((command) => this.#send(command), this.positions);
    this.state = "connecting"; // then open, reconnecting, stopped
    this.why = "";
    this.code = 0;
    this.sinceMs = now();
    this.againMs = 0;
    this.welcome = null;
    this.usage = null;
    this.comings = 0;
    this.lostMs = 0;
    this.bytes = 0;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.#hurry());
    addEventListener("online", () => this.#hurry());
    this.#open();
  }

  /** Asks the gateway what the key has used: told with the next `usage` message. */
  askUsage() {
    this.#send({ op: "usage", id: "usage" });
  }

  /** Tries at once, where a return is waited for. */
  retry() {
    if (this.state === "reconnecting" && this.#socket === null) this.#open();
  }

  async #open() {
    this.#clearTimers();
    this.againMs = 0;
    this.#listener.changed();
    const begun = this.#begun ?? openStream(this.#key);
    this.#begun = null;
    let opened;
    try {
      opened = await begun;
    } catch {
      this.#lost(0, "the gateway can’t be reached", "come_back");
      return;
    }
    if (opened.socket) this.#take(opened);
    else await this.#noTicket(opened.answer);
  }

  async #noTicket(answer) {
    const body = await answer.json().catch(() => ({}));
    const text = body.message ?? body.detail ?? `the gateway answered ${answer.status}`;
    if (answer.status === 401 || answer.status === 403) {
      this.#stop(answer.status, text);
      return;
    }
    const waitMs = 1_000 * Number(answer.headers.get("Retry-After") ?? 0);
    this.#lost(answer.status, text, answer.status === 429 ? "back_off" : "come_back", waitMs);
  }

  #take({ socket, events }) {
    this.#socket = socket;
    this.#heardMs = performance.now();
    const heard = ({ data }) => this.#heard(data);
    const closed = ({ code, reason }) => {
      if (this.#socket === socket) this.#lost(code, reason, nextAfter(code));
    };
    socket.onmessage = heard;
    socket.onclose = closed;
    this.#every(1_000, () => this.#watch());
    for (const event of events) (event.type === "close" ? closed : heard)(event);
  }

  #heard(text) {
    const arrivedMs = now();
    this.#heardMs = performance.now();
    this.bytes += text.length;
    const message = JSON.parse(text);
    if (message.type === undefined) this.#data(message, arrivedMs);
    else this.#announced(message, arrivedMs);
  }

  #data(message, arrivedMs) {
    const { ch, seq } = message;
    const count = standsFor(message);
    const [isNew, missed] = this.positions.came(ch, seq, count);
    if (missed !== null) this.#listener.missed(missed);
    if (isNew) this.#listener.data(message, arrivedMs, count);
  }

  #announced(message, arrivedMs) {
    switch (message.type) {
      case "welcome":
        this.#welcomed(message);
        break;
      case "ack":
        for (const told of message.ok) {
          const missed = this.positions.accepted(told);
          if (missed !== null) this.#listener.missed(missed);
        }
        this.subscriptions.answered(message);
        break;
      case "error":
        this.subscriptions.answered(message);
        break;
      case "gap":
        if (this.positions.announced(message)) this.#listener.missed(message);
        return;
      case "reset":
        this.positions.beganAnew(message);
        this.#listener.missed({ ch: message.ch, from: null, to: null, by: message.by });
        break;
      case "state":
        if (message.epoch !== undefined) this.positions.begins(message);
        break;
      case "pong":
        this.#ponged(message, arrivedMs);
        return;
      case "usage":
        this.usage = message.usage;
        break;
    }
    this.#listener.told(message);
    // Last: only who knows the limits knows what is wanted.
    if (message.type === "welcome") this.subscriptions.opened();
  }

  #welcomed(message) {
    this.welcome = message;
    this.#silenceLimitMs = message.heartbeat_ms * 3 + 1_000;
    this.comings += 1;
    this.#become("open", "", 0);
    const failures = this.#failures;
    this.#after(STEADY_MS, () => {
      if (this.#failures === failures) this.#failures = 0;
    });
    for (let n = 0; n < 4; n += 1) this.#after(n * FIRST_PINGS_MS, () => this.#ping());
    this.#every(PING_MS, () => this.#ping());
  }

  #ping() {
    this.#pingId += 1;
    const id = `p${this.#pingId}`;
    this.#pings.set(id, now());
    this.#send({ op: "ping", id });
  }

  #ponged({ id, t }, arrivedMs) {
    const sentMs = this.#pings.get(id);
    this.#pings.delete(id);
    if (sentMs !== undefined) this.clock.heard(sentMs, arrivedMs, t);
  }

  /** A socket may be dead without a word; a heartbeat comes at least every other interval. */
  #watch() {
    if (performance.now() - this.#heardMs > this.#silenceLimitMs) {
      this.#lost(1006, "nothing was heard any more", "come_back");
    }
  }

  #send(command) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(command));
  }

  #lost(code, reason, next, leastMs = 0) {
    this.#leave();
    if (next === "stop") {
      this.#stop(code, reason);
      return;
    }
    if (this.state === "open") this.lostMs = now();
    this.#failures += 1;
    const waitMs = Math.max(leastMs, pauseMs(next, this.#failures));
    this.#become("reconnecting", reason || "the connection to the gateway was lost", code);
    this.againMs = now() + waitMs;
    this.#after(waitMs, () => this.#open());
    this.#listener.changed();
  }

  #stop(code, reason) {
    this.#leave();
    this.#become("stopped", reason || "the gateway ended the connection", code);
    this.#listener.refused(this.why, code);
  }

  #leave() {
    this.#clearTimers();
    this.#pings.clear();
    this.clock.forget();
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onmessage = null;
      socket.onclose = null;
      socket.close();
    }
    this.subscriptions.closed();
  }

  #become(state, why, code) {
    if (state !== this.state) this.sinceMs = now();
    this.state = state;
    this.why = why;
    this.code = code;
    this.#listener.changed();
  }

  /** Somebody looks again, or the network is back: no reason to wait on. */
  #hurry() {
    if (!document.hidden && this.againMs > now() + 500) this.retry();
  }

  #after(ms, act) {
    this.#timers.add(setTimeout(act, ms));
  }

  #every(ms, act) {
    this.#timers.add(setInterval(act, ms));
  }

  #clearTimers() {
    for (const timer of this.#timers) clearTimeout(timer); // An interval's is cleared by it, too.
    this.#timers.clear();
  }
}

const OWN_N = /^(candle|signal|outcome)\b/;

/** How many messages of its channel one stands for; a candle's `n` counts its trades. */
function standsFor({ ch, n }) {
  return n === undefined || OWN_N.test(ch) ? 1 : n;
}
