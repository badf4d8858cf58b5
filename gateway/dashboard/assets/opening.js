// What is begun before anything else is here: the key, the WebSocket, the list of channels.
// It needs no other module, so that the gateway's answers come while those are still on their way.

const LIMIT_MS = 10_000;
const SYMBOLS = "/v1/symbols?limit=1000"; // As the discovery asks first.

const ask = (path, method, key) =>
  fetch(path, { method, headers: { "X-API-Key": key }, signal: AbortSignal.timeout(LIMIT_MS) });

/**
 * A ticket, and the WebSocket that it opens: {socket, events}, with what came before somebody
 * listened; or {answer}, where the gateway gave no ticket. Rejects where it can't be reached.
 */
export async function openStream(key) {
  const answer = await ask("/v1/tickets", "POST", key);
  if (!answer.ok) return { answer };
  const address = new URL("/v1/stream", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.searchParams.set("ticket", (await answer.json()).ticket);
  const socket = new WebSocket(address, "tickgate.v1.json");
  const events = [];
  socket.onmessage = (event) => events.push(event);
  socket.onclose = (event) => events.push(event);
  return { socket, events };
}

/** Takes the key out of the address, so that it stands in no history; null where there is none. */
function keyFromAddress() {
  const found = /^#key=([^&/]+)/.exec(location.hash);
  if (found === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return null;
  }
}

function begin() {
  const key = keyFromAddress();
  if (key === null) return { key, stream: null, answers: new Map() };
  const stream = openStream(key);
  const symbols = ask(SYMBOLS, "GET", key);
  // Whoever takes them is told of a failure; until then nobody need be.
  for (const begun of [stream, symbols]) begun.catch(() => {});
  return { key, stream, answers: new Map([[SYMBOLS, symbols]]) };
}

/** `key` of the address; `stream` of `openStream`; `answers`: address -> what a GET answers. */
export const opening = begin();
