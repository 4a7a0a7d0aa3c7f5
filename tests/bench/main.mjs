// Measures the gateway against the floor on the same workerd and the same mock upstream, and prints tables.
//
// Asserts that every answer is right, and no times. Everything listens on this machine's loopback alone.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { checkAsking, count } from "./counts.mjs";
import { KINDS } from "./exchange.mjs";
import { measure, warmUp } from "./measure.mjs";
import { startMock, stopAll } from "./processes.mjs";
import { breakdownTable, countsTable, matrixTable, sizeLine, startTable } from "./report.mjs";
import { startFloor, startGateway } from "./sides.mjs";
import { measureStarts } from "./startup.mjs";
import { WASM } from "./workers.mjs";

const USAGE = `usage: cargo xtask bench [--seconds N] [--connections 1,16,64] [--kinds ${Object.keys(KINDS)}]
                         [--state DIR] [--json FILE] [--subject gateway|floor]`;
/** A round is about this long. */
const ROUND_SECONDS = 1;
const SECONDS_MAX = 600;
const CONNECTIONS_MAX = 1024;
/** How many connections the breakdown is made at. */
const BREAKDOWN_CONNECTIONS = 16;

/** Where Linux has a file system in memory. */
const MEMORY = "/dev/shm";

const say = (line) => console.log(`\n${line}`);
const progress = (line) => console.error(`==> ${line}`);

function readOptions() {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "3" },
      connections: { type: "string", default: "1,16,64" },
      kinds: { type: "string", default: Object.keys(KINDS).join(",") },
      state: { type: "string", default: os.tmpdir() },
      subject: { type: "string", default: "gateway" },
      json: { type: "string" },
      "options-only": { type: "boolean", default: false },
    },
  });
  const seconds = Number(values.seconds);
  const connections = values.connections.split(",").map(Number);
  const isCount = (value) => Number.isInteger(value) && value >= 1 && value <= CONNECTIONS_MAX;
  if (!(seconds > 0 && seconds <= SECONDS_MAX)) {
    throw new Error(`--seconds is a number above 0, at most ${SECONDS_MAX}`);
  }
  if (!connections.every(isCount)) {
    throw new Error(`--connections is a list of whole numbers from 1 to ${CONNECTIONS_MAX}, such as 1,16,64`);
  }
  const kinds = values.kinds.split(",");
  const unknown = kinds.find((kind) => !Object.hasOwn(KINDS, kind));
  if (unknown !== undefined) throw new Error(`--kinds are some of ${Object.keys(KINDS)}`);
  if (!fs.existsSync(values.state)) throw new Error(`--state: there is no ${values.state}`);
  if (!["gateway", "floor"].includes(values.subject)) throw new Error("--subject is gateway or floor");
  const rounds = Math.max(1, Math.round(seconds / ROUND_SECONDS));
  const { state, subject, json } = values;
  const isDry = values["options-only"];
  return { seconds, rounds, connections, kinds, state, subject, json, isDry };
}

/** Every kind at every number of connections. */
async function matrix(floor, subject, options) {
  progress("warming up");
  for (const side of [floor, subject]) {
    for (const kind of ["chat", "burst"]) await warmUp(side, side.ask(kind));
  }
  const found = {};
  for (const kind of options.kinds) {
    found[kind] = [];
    for (const connections of options.connections) {
      progress(`${KINDS[kind].title}, ${connections} connections`);
      const cells = [floor, subject].map((side) => ({ side, exchange: side.ask(kind), connections }));
      const [one, other] = await measure(cells, options);
      found[kind].push({ floor: one, subject: other });
    }
    say(matrixTable(kind, found[kind]));
  }
  return found;
}

/** The gateway's ways, from the shortest to the whole. `inMemory` is a gateway that never waits for a disk, if there is one. */
async function breakdown(floor, gateway, inMemory, options) {
  progress("breakdown");
  const { variants } = gateway;
  const without = inMemory === undefined ? [] : [["whole, objects in memory", inMemory, inMemory.variants.strict]];
  const ways = [
    ["floor", floor, floor.ask("chat")],
    ["shell: /health/live", gateway, variants.live],
    ["+ authenticate: unknown key, 401", gateway, variants.unknownKey],
    ["+ parse: unknown model, 404", gateway, variants.unknownModel],
    ["+ admit, settle, record: sandbox echo", gateway, variants.echo],
    ["+ upstream: no limits, no budgets", gateway, variants.loose],
    ["+ five levels: the whole", gateway, variants.strict],
    ...without,
  ];
  const cells = await measure(
    ways.map(([, side, exchange]) => ({ side, exchange, connections: BREAKDOWN_CONNECTIONS })),
    options,
  );
  const rows = ways.map(([title], i) => ({ title, cell: cells[i] }));
  say(breakdownTable(rows));
  return rows;
}

async function counts(folder, setting, options) {
  progress("counting what a chat asks of the ledger");
  const gateway = await startGateway(folder, { ...setting, entry: "counting" });
  const found = await count(gateway, gateway.ask("chat"), options.connections);
  await gateway.stop();
  say(countsTable(found));
  checkAsking(found);
  return found;
}

async function starts(folder, setting) {
  progress("starts");
  const floor = await startFloor(path.join(folder, "floor"), setting);
  const gateway = await startGateway(path.join(folder, "gateway"), setting);
  await Promise.all([floor.pause(), gateway.pause()]);
  const found = await measureStarts([
    { name: "floor", start: floor.again, exchange: floor.ask("chat") },
    { name: "gateway: /health/live", start: gateway.again, exchange: gateway.variants.live },
    { name: "gateway: chat", start: gateway.again, exchange: gateway.ask("chat") },
  ]);
  await gateway.stop();
  say(startTable(found));
  return found;
}

function sizes() {
  const wasm = fs.readFileSync(WASM);
  const found = { raw: wasm.length, gzip: gzipSync(wasm).length };
  say(sizeLine(found));
  return found;
}

/** The run against the gateway: all tables. */
async function compare(folder, setting, options) {
  const memory = makeMemoryFolder(options);
  const into = (name) => path.join(folder, name);
  const floor = await startFloor(into("floor"), setting);
  const gateway = await startGateway(into("gateway"), setting);
  const found = { matrix: await matrix(floor, gateway, options) };
  const inMemory = memory && (await startGateway(into("in-memory"), { ...setting, state: memory }));
  found.breakdown = await breakdown(floor, gateway, inMemory, options);
  await Promise.all([floor, gateway, inMemory].map((side) => side?.stop()));
  found.counts = await counts(into("counting"), setting, options);
  found.starts = await starts(into("starts"), setting);
  found.wasm = sizes();
  return found;
}

/** The floor against itself: how far its ratios are from 1 is how far any ratio of such a run may be off. */
async function compareFloors(folder, setting, options) {
  const one = await startFloor(path.join(folder, "floor"), setting);
  const other = await startFloor(path.join(folder, "floor-again"), setting);
  return { matrix: await matrix(one, { ...other, name: "floor again" }, options) };
}

async function run(folder, options) {
  const mock = await startMock();
  const setting = { upstream: mock.url };
  const cores = os.availableParallelism();
  console.log(
    `${os.type()} ${os.arch()}, ${cores} cores (${os.cpus()[0]?.model ?? "unknown"}), load ${os.loadavg()[0].toFixed(1)}`,
  );
  const found = await (options.subject === "floor" ? compareFloors : compare)(folder, setting, options);
  if (options.json === undefined) return;
  const { seconds, connections } = options;
  const machine = { system: os.type(), architecture: os.arch(), cores };
  fs.writeFileSync(options.json, `${JSON.stringify({ machine, seconds, connections, ...found }, null, 2)}\n`);
}

const made = [];
/** A new folder that goes when this process does. */
function makeFolder(under) {
  const folder = fs.mkdtempSync(path.join(under, "sluice-bench-"));
  made.push(folder);
  return folder;
}

/** A folder in memory, where the system has one and the state is elsewhere. */
const makeMemoryFolder = ({ state }) =>
  fs.existsSync(MEMORY) && !path.resolve(state).startsWith(MEMORY) ? makeFolder(MEMORY) : undefined;

function clean() {
  stopAll();
  for (const folder of made) fs.rmSync(folder, { recursive: true, force: true });
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(130));
process.on("exit", clean);
try {
  const options = readOptions();
  if (options.isDry) process.exit(0);
  await run(makeFolder(options.state), options);
  process.exit(0);
} catch (error) {
  console.error(`error: ${error.message}`);
  if (error.code?.startsWith("ERR_PARSE_ARGS")) console.error(USAGE);
  process.exit(1);
}
