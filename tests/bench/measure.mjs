// Measures cells: one side, one request, so many connections, in several short rounds.
//
// Rounds of the sides alternate, so that whatever else the machine does meets all alike. What a side still does when
// the answers are out (settling, recording, shipping) belongs to its round: the round ends when that is done, and its
// CPU is counted.
import { cpuMs, difference } from "./cpu.mjs";
import { drive, openAll } from "./load.mjs";

/** How long and on how many connections a new side is asked before anything counts: engines compile what is hot. */
const WARM_UP_SIDE_MS = 1500;
const WARM_UP_CONNECTIONS = 16;
/** How long the first round of a cell is preceded by one that does not count. */
const WARM_UP_MS = 400;

/** One cell while it is measured. */
class Cell {
  #rounds = [];

  constructor(side, exchange, connections) {
    this.side = side;
    this.exchange = exchange;
    this.connections = connections;
  }

  async warmUp() {
    const sockets = await openAll(this.side.port, this.connections);
    await drive(sockets, this.exchange, WARM_UP_MS);
    for (const socket of sockets) socket.close();
    await this.side.settle();
  }

  async round(milliseconds) {
    // Not kept from round to round: the other cells' rounds are longer than a server waits.
    const sockets = await openAll(this.side.port, this.connections);
    const before = cpuMs(this.side.pid);
    const load = await drive(sockets, this.exchange, milliseconds);
    const answered = cpuMs(this.side.pid);
    for (const socket of sockets) socket.close();
    await this.side.settle();
    const settled = cpuMs(this.side.pid);
    this.#rounds.push({
      ...load,
      answeringMs: difference(before, answered),
      settlingMs: difference(answered, settled),
    });
  }

  result() {
    const sum = (of) => this.#rounds.reduce((total, round) => total + of(round), 0);
    const answers = sum((round) => round.answers);
    const each = (of) => {
      const total = sum(of);
      return Number.isFinite(total) ? total / answers : undefined;
    };
    const answering = each((round) => round.answeringMs);
    const settling = each((round) => round.settlingMs);
    return {
      side: this.side.name,
      connections: this.connections,
      answers,
      perSecond: (answers * 1000) / sum((round) => round.elapsedMs),
      cpuMs: answering === undefined ? undefined : answering + settling,
      cpuSettlingMs: settling,
      totalMs: percentiles(this.#rounds.flatMap((round) => round.totalMs)),
      firstMs: percentiles(this.#rounds.flatMap((round) => round.firstMs)),
    };
  }
}

function percentiles(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** Asks a new side until it has compiled what is hot; all of it takes an engine half a minute. */
export async function warmUp(side, exchange, milliseconds = WARM_UP_SIDE_MS) {
  const sockets = await openAll(side.port, WARM_UP_CONNECTIONS);
  await drive(sockets, exchange, milliseconds);
  await side.settle();
  for (const socket of sockets) socket.close();
}

/**
 * Measures cells in turns: A B … A B …, each for `seconds` in all.
 *
 * `cells` are [{ side, exchange, connections }]; answers their results in the same order.
 */
export async function measure(cells, { seconds, rounds }) {
  const all = cells.map(({ side, exchange, connections }) => new Cell(side, exchange, connections));
  for (const cell of all) await cell.warmUp();
  for (let i = 0; i < rounds; i += 1) {
    for (const cell of all) await cell.round((seconds * 1000) / rounds);
  }
  return all.map((cell) => cell.result());
}
