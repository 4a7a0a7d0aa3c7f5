// What a receipt on each answer costs: `node tests/bench/receipts.mjs [--seconds N] [--rounds N] [--kinds chat,burst,paced]`.
//
// Needs the worker in `build/` (`cargo xtask build --release`). One process answers with receipts and without in turns,
// each first as often as the other, so that neither an engine's state nor what else the machine does tells them apart.
// CPU is workerd's, user and system, settling and shipping included; what is told is the median over the rounds.
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { cpuMs, difference } from "./cpu.mjs";
import { KINDS } from "./exchange.mjs";
import { drive, openAll } from "./load.mjs";
import { warmUp } from "./measure.mjs";
import { startMock, stopAll } from "./processes.mjs";
import { startGateway } from "./sides.mjs";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "12" },
    kinds: { type: "string", default: Object.keys(KINDS).join() },
  },
});
const [seconds, rounds] = [values.seconds, values.rounds].map(Number);
const CONNECTIONS = 16;

function receiptKey() {
  const { d, x } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
  return `bench:${d}:${x}`;
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-bench-"));
process.on("exit", () => {
  stopAll();
  fs.rmSync(folder, { recursive: true, force: true });
});
const { url: upstream } = await startMock();
const side = await startGateway(folder, { upstream, receiptKey: receiptKey(), entry: "switch" });

/** The same exchange with a receipt or without, and whether the answer is what it should be. */
function way(kind, isOn) {
  const { bytes, check } = side.ask(kind, "mock/", { "x-bench-receipts": isOn ? "on!" : "off" });
  const holds = (answer) => `${answer.head}\n${answer.body.toString("utf8")}`.includes("x-sluice-receipt");
  const checked = (answer, thorough) => {
    check(answer, thorough);
    if (thorough && holds(answer) !== isOn) throw new Error(`a receipt was expected to be ${isOn ? "there" : "absent"}`);
  };
  return { bytes, check: checked };
}

/** Milliseconds of CPU for each answer of one round. */
async function round(exchange) {
  const sockets = await openAll(side.port, CONNECTIONS);
  const before = cpuMs(side.pid);
  const { answers } = await drive(sockets, exchange, seconds * 1000);
  for (const socket of sockets) socket.close();
  await side.settle();
  return difference(before, cpuMs(side.pid)) / answers;
}

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const at = (share) => (numbers) => sorted(numbers)[Math.floor((numbers.length - 1) * share)];
const [low, median, high] = [at(0.25), at(0.5), at(0.75)];

for (const kind of values.kinds.split(",")) {
  const ways = [way(kind, false), way(kind, true)];
  for (const exchange of ways) await warmUp(side, exchange);
  const found = [];
  for (let i = 0; i < rounds; i += 1) {
    const pair = [];
    for (const one of i % 2 === 0 ? [0, 1] : [1, 0]) pair[one] = await round(ways[one]);
    found.push(pair);
  }
  const more = found.map(([without, receipt]) => receipt - without);
  const ratio = found.map(([without, receipt]) => receipt / without);
  const show = (value) => value.toFixed(3);
  console.log(
    `${KINDS[kind].title}: ${show(median(found.map(([without]) => without)))} ms without, a receipt ${show(median(more))} ms more ` +
      `(quartiles ${show(low(more))} to ${show(high(more))}; ratio ${show(median(ratio))})`,
  );
}
process.exit(0);
