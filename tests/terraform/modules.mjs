// A workbench for tests of the Terraform modules: a copy of them, mocked providers with the real ones' schemas, and the
// real `sluice` for what the modules ask it.
//
// Nothing is written into terraform/. Where something is missing, the workbench says what, and the tests are left out.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { CACHE, MODULES, Missing, ROOT, providers, quiet, terraform } from "./tools.mjs";

const TREE = join(CACHE, "tree");
const ARTEFACT = join(CACHE, "artefact");
const APPLIED = join(CACHE, "applied");

/** What this finds, or what is missing. */
export function found(look) {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    return { missing: error.message };
  }
}

const setting = found(prepare);

/** Why tests are left out; false where they are not. */
export const skip = setting.missing ?? false;

/** Everything that the tests share. */
function prepare() {
  const tool = terraform();
  const { env, sources } = providers(tool.program);
  console.log(`${tool.program}: ${tool.version}`);
  for (const source of sources) console.log(`schema: ${source}`);
  copyTree();
  writeArtefact(() => {});
  return { ...tool, env: quiet({ ...env, ...variables() }) };
}

/** The settings of the tests, which no test file knows. */
function variables() {
  const command = join(CACHE, "sluice");
  // `check` is the real one; what would reach a gateway is written down.
  writeFileSync(
    command,
    `#!/bin/sh\n[ "$1" = check ] && exec ${JSON.stringify(sluice())} "$@"\necho "$SLUICE_ADMIN_TOKEN $*" >> ${JSON.stringify(APPLIED)}\n`,
  );
  chmodSync(command, 0o755);
  return { TF_VAR_sluice_command: command, TF_VAR_artefact_dir: ARTEFACT };
}

/** The real command. */
export function sluice() {
  const path = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug", "sluice");
  if (!existsSync(path)) throw new Missing("no sluice command: `cargo build --package sluice-cli`, or `cargo xtask terraform`");
  return path;
}

function copyTree() {
  rmSync(TREE, { recursive: true, force: true });
  cpSync(MODULES, TREE, { recursive: true, filter: (path) => !/[/\\]\.terraform/.test(path) });
}

/** An artefact with the real manifest; the modules are empty, since nobody runs them. */
function writeArtefact(change) {
  const manifest = join(ROOT, "build", "worker.json");
  if (!existsSync(manifest)) throw new Missing("no build/worker.json: `cargo xtask build` or `cargo xtask terraform` writes it");
  const worker = JSON.parse(readFileSync(manifest, "utf8"));
  change(worker);
  mkdirSync(ARTEFACT, { recursive: true });
  writeFileSync(join(ARTEFACT, "worker.json"), JSON.stringify(worker));
  for (const name of ["shim.js", "config.js", "index_bg.wasm"]) writeFileSync(join(ARTEFACT, name), "");
}

/** Runs Terraform in a folder of the copy. */
export function run(folder, ...words) {
  const done = spawnSync(setting.program, words, { cwd: join(TREE, folder), env: setting.env, encoding: "utf8", maxBuffer: 1 << 28 });
  return { passed: done.status === 0, text: `${done.stdout}${done.stderr}` };
}

/** Runs Terraform, which must succeed. */
export function succeed(folder, ...words) {
  const { passed, text } = run(folder, ...words);
  assert.ok(passed, `${setting.program} ${words.join(" ")} in ${folder}:\n${text}`);
  return text;
}

/** Puts one thing wrong, does the work, and puts it right again. */
export function mutated({ file, from, to, artefact }, work) {
  const path = file && join(TREE, file);
  const right = path && readFileSync(path, "utf8");
  if (path) {
    assert.equal(right.split(from).length, 2, `${file} has not exactly one ${JSON.stringify(from)}: bring the mutation up to date`);
    writeFileSync(path, right.replace(from, () => to));
  }
  if (artefact) writeArtefact(artefact);
  try {
    return work();
  } finally {
    if (path) writeFileSync(path, right);
    if (artefact) writeArtefact(() => {});
  }
}

/** Makes a folder ready to be tested. */
export function init(folder) {
  succeed(folder, "init", "-backend=false", "-input=false", "-no-color");
}

/** What the tests of a folder put in force, a line for each time. */
export function applied(folder) {
  rmSync(APPLIED, { force: true });
  const { passed, text } = run(folder, "test", "-no-color");
  return { passed, text, lines: existsSync(APPLIED) ? readFileSync(APPLIED, "utf8").trim().split("\n") : [] };
}

/** What the first test of a folder leaves behind, as the state says it. */
export function state(folder) {
  init(folder);
  const lines = succeed(folder, "test", "-json", "-verbose").split("\n").filter((line) => line.startsWith("{"));
  const { test_state: left } = lines.map((line) => JSON.parse(line)).find((line) => line.type === "test_state");
  const resources = (module) => [...(module.resources ?? []), ...(module.child_modules ?? []).flatMap(resources)];
  const all = resources((left.values ?? left).root_module);
  return {
    text: JSON.stringify(left),
    outputs: left.outputs ?? left.values.outputs,
    all: (type) => all.filter((resource) => resource.type === type).map((resource) => resource.values),
  };
}
