// The wire crate's benchmarks, native beside wasm, as the tables of docs/performance.md.
//
// usage: node wire.mjs PROGRAM MODULE
// PROGRAM prints a line of JSON for each case; MODULE runs the same cases by their numbers.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { argv, exit } from "node:process";

const ROUNDS = 9;
const ROUND_MS = 10;

const [program, module] = argv.slice(2);
if (!module) {
  console.error("usage: node wire.mjs PROGRAM MODULE");
  exit(2);
}

const native = execFileSync(program, { encoding: "utf8" }).trim().split("\n").map((line) => JSON.parse(line));
const { instance } = await WebAssembly.instantiate(readFileSync(module), {});
const { run } = instance.exports;

const cases = native.map((measured, number) => {
  run(number, 1);
  return { ...measured, wasm: quickest(number) };
});

// The nanoseconds of one run in the quickest round: what else the machine does only ever adds.
function quickest(number) {
  let times = 1;
  while (time(number, times) < ROUND_MS) times *= 2;
  const rounds = Array.from({ length: ROUNDS }, () => (time(number, times) * 1e6) / times);
  return Math.min(...rounds);
}

function time(number, times) {
  const begun = performance.now();
  run(number, times);
  return performance.now() - begun;
}

const kinds = ["request", "answer", "chunk"];
const names = [...new Set(cases.filter(({ kind }) => kinds.includes(kind)).map(({ name }) => name))];
const number = (value) => (value < 100 ? value.toFixed(1) : Math.round(value).toString());

console.log(`| caller to provider | ${kinds.map((kind) => `${kind} native µs | wasm µs | allocations`).join(" | ")} |`);
console.log(`|---|${"---|".repeat(kinds.length * 3)}`);
for (const name of names) {
  const columns = kinds.map((kind) => {
    const found = cases.find((one) => one.kind === kind && one.name === name);
    const each = (value) => number(value / found.units);
    return `${each(found.ns / 1e3)} | ${each(found.wasm / 1e3)} | ${each(found.allocations)}`;
  });
  console.log(`| ${name} | ${columns.join(" | ")} |`);
}
console.log("\n| | native MB/s | wasm MB/s |\n|---|---|---|");
for (const { name, units, ns, wasm } of cases.filter(({ kind }) => kind === "bytes")) {
  console.log(`| ${name} | ${number((units * 1e3) / ns)} | ${number((units * 1e3) / wasm)} |`);
}
