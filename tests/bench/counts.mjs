// What a request asks of the ledger: calls, commands, commits, rows. In a run of its own, which is not timed.
import { requestBytes } from "./connection.mjs";
import { askOnce, drive, openAll } from "./load.mjs";

const MILLISECONDS = 1000;

async function read(port) {
  const answer = await askOnce(port, requestBytes({ method: "GET", path: "/counts", key: "none" }));
  return JSON.parse(answer.body.toString("utf8"));
}

/** At most so many of a hundred requests may have to ask to be let in, where many come. */
const ASKING_MAX = 10;
const MANY = 64;

/** Fails where too many had to ask before they were let in. */
export function checkAsking(found) {
  for (const { connections, commands } of found) {
    const asking = (commands.admit ?? 0) * 100;
    if (connections >= MANY && asking > ASKING_MAX) {
      throw new Error(`${asking.toFixed(1)} of 100 requests asked to be let in, at ${connections} connections`);
    }
  }
}

/** Counts for one kind of request at each number of connections. `gateway` runs with counters built in. */
export async function count(gateway, exchange, connections) {
  const found = [];
  for (const number of connections) {
    const sockets = await openAll(gateway.port, number);
    // Whoever comes after a pause is let in one by one; what is counted is the steady state.
    await drive(sockets, exchange, MILLISECONDS);
    const before = await read(gateway.port);
    const { answers } = await drive(sockets, exchange, MILLISECONDS);
    await gateway.settle();
    const after = await read(gateway.port);
    for (const socket of sockets) socket.close();
    const each = (name) => (after[name] - before[name]) / answers;
    const commands = Object.entries(after.commands)
      .map(([name, total]) => [name, (total - (before.commands[name] ?? 0)) / answers])
      .filter(([, share]) => share >= 0.01);
    found.push({
      connections: number,
      answers,
      calls: each("calls"),
      commands: Object.fromEntries(commands),
      commits: each("commits"),
      rowsWritten: each("rowsWritten"),
      bytesIn: each("bytesIn"),
      bytesOut: each("bytesOut"),
      alarms: each("alarms"),
    });
  }
  return found;
}
