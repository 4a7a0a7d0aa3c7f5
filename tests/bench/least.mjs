// What a gateway costs at least that keeps its word, beside what this one costs, over the same floor in the same run:
// `node tests/bench/least.mjs [--seconds N] [--connections 16,64] [--warm-up N]`.
//
// Needs the worker in `build/` (`cargo xtask build --release`). What the least one does stands in `least/worker.js`; beside
// it runs an attentive one, which bounds its provider's time and sees that the caller leaves.
// Each side is asked for some seconds before anything counts: an isolate lives for hours, and an engine is done with
// compiling after half a minute.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { measure, warmUp } from "./measure.mjs";
import { startMock, stopAll } from "./processes.mjs";
import { matrixTable } from "./report.mjs";
import { startFloor, startGateway, startLeast } from "./sides.mjs";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "8" },
    connections: { type: "string", default: "16,64" },
    "warm-up": { type: "string", default: "40" },
  },
});
const seconds = Number(values.seconds);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-bench-"));
process.on("exit", () => {
  stopAll();
  fs.rmSync(folder, { recursive: true, force: true });
});
const { url: upstream } = await startMock();
const into = (name) => path.join(folder, name);
const floor = await startFloor(into("floor"), { upstream });
const gateway = await startGateway(into("gateway"), { upstream });
const least = await startLeast(into("least"), { upstream });
const attentive = await startLeast(into("attentive"), { upstream, isAttentive: true });
const sides = [floor, gateway, least, attentive];
for (const side of sides) await warmUp(side, side.ask("chat"), Number(values["warm-up"]) * 1000);
const rows = { gateway: [], least: [], attentive: [] };
for (const connections of values.connections.split(",").map(Number)) {
  const cells = sides.map((side) => ({ side, exchange: side.ask("chat"), connections }));
  const [one, ours, other, more] = await measure(cells, { seconds, rounds: Math.max(1, Math.round(seconds)) });
  rows.gateway.push({ floor: one, subject: ours });
  rows.least.push({ floor: one, subject: other });
  rows.attentive.push({ floor: one, subject: more });
}
for (const found of Object.values(rows)) console.log(`\n${matrixTable("chat", found)}`);
process.exit(0);
