// CPU per request beside another gateway's on the same machine, in the same run, over the same floor:
// `node tests/bench/portkey.mjs [--seconds N] [--connections 16,64]`.
//
// Needs the worker in `build/` (`cargo xtask build --release`). Portkey's gateway comes from npm on the first run. It
// runs as it comes, on Node, and only passes on: no keys, no limits, no budgets, no records. Sluice has all of them on.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { freePort, startListening } from "../e2e/listening.mjs";
import { requestBytes } from "./connection.mjs";
import { KINDS, checkAnswer, requestBody } from "./exchange.mjs";
import { measure, warmUp } from "./measure.mjs";
import { startMock, stopAll } from "./processes.mjs";
import { matrixTable } from "./report.mjs";
import { startFloor, startGateway } from "./sides.mjs";

const PACKAGE = "@portkey-ai/gateway";
const VERSION = "1.15.2";
const TOOLS = fileURLToPath(new URL("../../target/tools/portkey/", import.meta.url));

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "8" },
    connections: { type: "string", default: "16,64" },
    kinds: { type: "string", default: "chat" },
  },
});
const seconds = Number(values.seconds);

/** Where the other gateway is; installs it when it is not there. */
function installed() {
  const folder = path.join(TOOLS, "node_modules", PACKAGE);
  const manifest = path.join(folder, "package.json");
  const isThere = fs.existsSync(manifest) && JSON.parse(fs.readFileSync(manifest, "utf8")).version === VERSION;
  if (!isThere) {
    fs.mkdirSync(TOOLS, { recursive: true });
    const args = ["install", "--prefix", TOOLS, "--ignore-scripts", "--no-audit", "--no-fund", `${PACKAGE}@${VERSION}`];
    const { status } = spawnSync("npm", args, { stdio: "inherit" });
    if (status !== 0) throw new Error(`npm install ${PACKAGE}: ${status}`);
  }
  return path.join(folder, "build/start-server.js");
}

/** Starts it in front of the mock. */
async function startPortkey(upstream) {
  const port = await freePort();
  const args = [installed(), `--port=${port}`, "--headless"];
  const child = await startListening(process.execPath, args, { port, env: { ...process.env, NODE_ENV: "production" } });
  process.on("exit", () => child.kill("SIGKILL"));
  const headers = { "x-portkey-provider": "openai", "x-portkey-custom-host": `${upstream}/v1` };
  return {
    name: "portkey",
    port,
    pid: child.pid,
    settle: async () => {},
    ask: (kind) => ({
      bytes: requestBytes({ path: "/v1/chat/completions", key: "sk-bench", body: requestBody(kind, ""), headers }),
      check: (answer, thorough) => checkAnswer(kind, answer, thorough),
    }),
  };
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-bench-"));
process.on("exit", () => {
  stopAll();
  fs.rmSync(folder, { recursive: true, force: true });
});
const { url: upstream } = await startMock();
const floor = await startFloor(path.join(folder, "floor"), { upstream });
const gateway = await startGateway(path.join(folder, "gateway"), { upstream });
const portkey = await startPortkey(upstream);
for (const kind of values.kinds.split(",")) {
  if (!Object.hasOwn(KINDS, kind)) throw new Error(`--kinds are some of ${Object.keys(KINDS)}`);
  for (const side of [floor, gateway, portkey]) await warmUp(side, side.ask(kind));
  const rows = { gateway: [], portkey: [] };
  for (const connections of values.connections.split(",").map(Number)) {
    const cells = [floor, gateway, portkey].map((side) => ({ side, exchange: side.ask(kind), connections }));
    const [one, ours, theirs] = await measure(cells, { seconds, rounds: Math.max(1, Math.round(seconds)) });
    rows.gateway.push({ floor: one, subject: ours });
    rows.portkey.push({ floor: one, subject: theirs });
  }
  for (const found of Object.values(rows)) console.log(`\n${matrixTable(kind, found)}`);
}
process.exit(0);
