// Load on one address: so many connections, each asking again as soon as it has its answer, every answer checked.
import { Connection } from "./connection.mjs";

/** One answer in so many is looked at in full. */
const THOROUGH_EVERY = 32;

/** So many connections, ready. */
export async function openAll(port, count) {
  return Promise.all(Array.from({ length: count }, () => Connection.open(port)));
}

/**
 * Asks for so long on all connections.
 *
 * `check(answer, thorough)` throws when an answer is wrong, which ends the run.
 * Answers { answers, elapsedMs, totalMs: [], firstMs: [] }; elapsed until the last answer was there.
 */
export async function drive(connections, { bytes, check }, milliseconds) {
  const totalMs = [];
  const firstMs = [];
  const begun = performance.now();
  const until = begun + milliseconds;
  const ask = async (connection) => {
    for (let i = 0; i === 0 || performance.now() < until; i += 1) {
      const answer = await connection.ask(bytes);
      check(answer, i % THOROUGH_EVERY === 0);
      totalMs.push(answer.totalMs);
      firstMs.push(answer.firstMs);
    }
  };
  await Promise.all(connections.map(ask));
  return { answers: totalMs.length, elapsedMs: performance.now() - begun, totalMs, firstMs };
}

/** One answer on a connection of its own. */
export async function askOnce(port, bytes) {
  const connection = await Connection.open(port);
  try {
    return await connection.ask(bytes);
  } finally {
    connection.close();
  }
}
