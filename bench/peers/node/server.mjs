// The server of the peer `node_ws`: node server.mjs REDIS_SOCKET. Tells its port of 127.0.0.1.
// ws without compression, one send() of the same Buffer for each subscriber, as its README shows
// for a broadcast. Redis is read by a few lines of our own: a client library would only add to it.

import { createConnection } from "node:net";
import { WebSocketServer } from "ws";

const redis = createConnection(process.argv[2]);
const subscribers = new Map();

function publish(channel, message) {
  for (const socket of subscribers.get(channel) ?? []) socket.send(message, { binary: false });
}

// Redis' pushes are arrays of three: bulk strings, or a number last of all.
let kept = Buffer.alloc(0);
redis.on("data", (chunk) => {
  const data = kept.length ? Buffer.concat([kept, chunk]) : chunk;
  let at = 0;
  for (;;) {
    const words = [];
    let line = data.indexOf("\n", at);
    while (line >= 0 && words.length < 3) {
      const start = line + 1;
      const end = data.indexOf("\n", start);
      if (end < 0) break;
      if (data[start] === 58) {
        words.push(null);
        line = end;
        continue;
      }
      const size = Number(data.toString("latin1", start + 1, end - 1));
      if (end + 1 + size + 2 > data.length) break;
      words.push(data.subarray(end + 1, end + 1 + size));
      line = end + size + 2;
    }
    if (words.length < 3) break;
    at = line + 1;
    if (words[0].length === 7) publish(words[1].toString("latin1"), words[2]);
  }
  kept = data.subarray(at);
});

function subscribe(socket, channels) {
  for (const channel of channels) {
    let sockets = subscribers.get(channel);
    if (!sockets) {
      subscribers.set(channel, (sockets = new Set()));
      redis.write(`*2\r\n$9\r\nSUBSCRIBE\r\n$${Buffer.byteLength(channel)}\r\n${channel}\r\n`);
    }
    sockets.add(socket);
  }
  socket.on("close", () => channels.forEach((channel) => subscribers.get(channel).delete(socket)));
  socket.send('{"type":"ack"}');
}

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  backlog: 4096,
  perMessageDeflate: false,
});
server.on("connection", (socket) => {
  socket.on("error", () => socket.terminate());
  socket.once("message", (text) => subscribe(socket, JSON.parse(text).channels));
});
server.on("listening", () => console.log(server.address().port));
process.on("SIGTERM", () => process.exit(0));
