// What a call that leaves from a place costs, beside the same chat called from here:
// `node tests/bench/ways.mjs [--seconds N] [--connections 16]`.
//
// Needs the worker in `build/` (`cargo xtask build --release`). The object that makes the call is on the same machine:
// what is measured is its work, not the way to it, which is as long as the place is far.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

import { KINDS } from "./exchange.mjs";
import { measure, warmUp } from "./measure.mjs";
import { startMock, stopAll } from "./processes.mjs";
import { ratioTable } from "./report.mjs";
import { startGateway } from "./sides.mjs";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "6" }, connections: { type: "string", default: "16" } } });
const [seconds, connections] = [Number(values.seconds), Number(values.connections)];

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-bench-"));
process.on("exit", () => {
  stopAll();
  fs.rmSync(folder, { recursive: true, force: true });
});
const { url: upstream } = await startMock();
const plain = await startGateway(path.join(folder, "plain"), { upstream });
await warmUp(plain, plain.ask("chat"));
for (const kind of Object.keys(KINDS)) {
  const ways = [
    ["called from here", plain, plain.ask(kind)],
    ["called from a place", plain, plain.ask(kind, "placed/")],
  ];
  const cells = ways.map(([, side, exchange]) => ({ side, exchange, connections }));
  const found = await measure(cells, { seconds, rounds: Math.max(1, Math.round(seconds)) });
  console.log(`\n${ratioTable(kind, found.map((cell, i) => ({ title: ways[i][0], cell })))}`);
}
process.exit(0);
