// What the first request after a start costs over a warm one.
import { askOnce } from "./load.mjs";

const STARTS = 5;
const WARM = 20;

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/**
 * Starts each side a few times, in turns.
 *
 * `sides` are [{ name, start(), exchange }]; answers medians in milliseconds: until it listens, the first answer, a
 * warm one, and the difference.
 */
export async function measureStarts(sides) {
  const seen = sides.map(() => []);
  for (let i = 0; i < STARTS; i += 1) {
    for (const [at, side] of sides.entries()) seen[at].push(await startOnce(side));
  }
  return sides.map(({ name }, at) => {
    const of = (field) => median(seen[at].map((one) => one[field]));
    return { name, startMs: of("startMs"), firstMs: of("firstMs"), warmMs: of("warmMs"), overMs: of("overMs") };
  });
}

async function startOnce({ start, exchange }) {
  const { port, startMs, stop } = await start();
  try {
    const ask = async () => {
      const answer = await askOnce(port, exchange.bytes);
      exchange.check(answer, true);
      return answer.totalMs;
    };
    const firstMs = await ask();
    const warm = [];
    for (let i = 0; i < WARM; i += 1) warm.push(await ask());
    const warmMs = median(warm);
    return { startMs, firstMs, warmMs, overMs: firstMs - warmMs };
  } finally {
    await stop();
  }
}
