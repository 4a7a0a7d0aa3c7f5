// The upstream that both sides call: a process of its own, so that its CPU is nobody else's.
//
// Prints its port. Ends when its standard input does.
import http from "node:http";
import { KINDS, WHOLE, events } from "./exchange.mjs";

const STREAMS = Object.values(KINDS)
  .filter(({ chunks }) => chunks > 0)
  .map(({ model, chunks, paceMs }) => ({ mark: `"model":"${model}"`, events: events(chunks), paceMs }));

function stream(response, { events, paceMs }) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  if (paceMs === 0) {
    for (const event of events) response.write(event);
    response.end();
    return;
  }
  let at = 0;
  const timer = setInterval(() => {
    response.write(events[at]);
    at += 1;
    if (at < events.length) return;
    clearInterval(timer);
    response.end();
  }, paceMs);
  response.on("close", () => clearInterval(timer));
}

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const asked = Buffer.concat(pieces);
    const wanted = STREAMS.find(({ mark }) => asked.includes(mark));
    if (wanted !== undefined) {
      stream(response, wanted);
      return;
    }
    response.writeHead(200, { "content-type": "application/json", "content-length": WHOLE.length });
    response.end(WHOLE);
  });
});
server.keepAliveTimeout = 600_000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
