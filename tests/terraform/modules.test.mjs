// The Terraform modules and examples, with mocked providers that have the real ones' schemas.
//
// What is copied is tested: nothing is written into terraform/. Where there is no Terraform, the files are still parsed.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { LOOSE_BUCKET, OUT_OF_THE_EU, PLACELESS } from "./mutations.mjs";
import { CACHE, MODULES, Missing, ROOT, parses, providers, quiet, terraform, usedTypes } from "./tools.mjs";

const TREE = join(CACHE, "tree");
const ARTEFACT = join(CACHE, "artefact");
const APPLIED = join(CACHE, "applied");
const EXAMPLES = ["basic", "eu-pinned", "multi-region", "spin-aws"].map((name) => `examples/${name}`);
const SUBJECTS = [...readdirSync(join(MODULES, "modules")).map((name) => `modules/${name}`), ...EXAMPLES];
/** What a test says when it has noticed, rather than stumbled. */
const NOTICED = /Error: (Test assertion failed|Resource precondition failed)/;

const setting = found(prepare);
const skip = setting.missing ?? false;

/** What this finds, or what is missing. */
function found(look) {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    return { missing: error.message };
  }
}

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

function sluice() {
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

function run(folder, ...words) {
  const done = spawnSync(setting.program, words, { cwd: join(TREE, folder), env: setting.env, encoding: "utf8", maxBuffer: 1 << 28 });
  return { passed: done.status === 0, text: `${done.stdout}${done.stderr}` };
}

function succeed(folder, ...words) {
  const { passed, text } = run(folder, ...words);
  assert.ok(passed, `${setting.program} ${words.join(" ")} in ${folder}:\n${text}`);
  return text;
}

/** Puts one thing wrong, runs the tests of a folder, and puts it right again. */
function mutated({ file, from, to, artefact }, folder) {
  const path = file && join(TREE, file);
  const right = path && readFileSync(path, "utf8");
  if (path) {
    assert.equal(right.split(from).length, 2, `${file} has not exactly one ${JSON.stringify(from)}: bring the mutation up to date`);
    writeFileSync(path, right.replace(from, () => to));
  }
  if (artefact) writeArtefact(artefact);
  try {
    return run(folder, "test", "-no-color");
  } finally {
    if (path) writeFileSync(path, right);
    if (artefact) writeArtefact(() => {});
  }
}

test("every file parses", { skip: !setting.missing && "Terraform itself reads them" }, (t) => {
  const problems = parses();
  if (problems === undefined) return t.skip(`${setting.missing}, and no go either`);
  assert.deepEqual(problems, []);
});

test("every file is formatted", (t) => {
  const tool = found(terraform);
  if (tool.missing) return t.skip(tool.missing);
  const done = spawnSync(tool.program, ["fmt", "-check", "-diff", "-recursive", MODULES], { env: quiet(), encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout);
});

for (const folder of [".", ...SUBJECTS]) {
  test(`${folder} is valid`, { skip }, () => {
    succeed(folder, "init", "-backend=false", "-input=false", "-no-color");
    succeed(folder, "validate", "-no-color");
  });
}

for (const folder of SUBJECTS) {
  test(`the tests of ${folder} pass`, { skip }, () => {
    rmSync(APPLIED, { force: true });
    succeed(folder, "test", "-no-color");
  });
}

test("one apply puts the configuration in force with the token that it made", { skip }, () => {
  rmSync(APPLIED, { force: true });
  succeed("examples/basic", "test", "-no-color");
  const line = /^[0-9a-f]{64} config apply \S+\/sluice\.toml --url https:\/\/llm\.example\.com --author terraform --reason terraform apply\n$/;
  assert.match(readFileSync(APPLIED, "utf8"), line);
});

test("a configuration with a mistake stops the apply before the deployment", { skip }, () => {
  rmSync(APPLIED, { force: true });
  const mistake = { file: "examples/multi-region/main.tf", from: `{ provider = "openai", model`, to: `{ provider = "opnai", model` };
  const { passed, text } = mutated(mistake, "examples/multi-region");
  assert.ok(!passed, "a provider that does not exist went through");
  assert.match(text, /no provider is named "opnai"/);
  assert.ok(!existsSync(APPLIED), "the configuration was put in force");
});

for (const mutation of OUT_OF_THE_EU) {
  test(`it is noticed in eu-pinned when ${mutation.wrong}`, { skip }, () => {
    const { passed, text } = mutated(mutation, "examples/eu-pinned");
    assert.ok(!passed, "the example's test passed");
    assert.match(text, NOTICED);
  });
}

test("every resource of a region and of the zone has been put wrong", () => {
  const wrong = new Set([...PLACELESS, ...OUT_OF_THE_EU.map((mutation) => mutation.resource)]);
  // For names alone rather than the zone: the module's own tests.
  wrong.add("cloudflare_hostname_tls_setting");
  const left = usedTypes().filter((type) => type.startsWith("cloudflare_") && !wrong.has(type));
  assert.deepEqual(left, []);
});

for (const mutation of LOOSE_BUCKET) {
  test(`it is noticed in the audit bucket: ${mutation.wrong}`, { skip }, () => {
    const { passed, text } = mutated(mutation, "modules/aws-audit-bucket");
    assert.ok(!passed, "the module's tests passed");
    assert.match(text, NOTICED);
  });
}

test("every variable says what it is, and every output", () => {
  const files = readdirSync(MODULES, { recursive: true }).filter((name) => name.endsWith(".tf"));
  const silent = files.flatMap((name) => {
    const text = readFileSync(join(MODULES, name), "utf8");
    const blocks = [...text.matchAll(/^(variable|output) "(\w+)" \{\n([\s\S]*?)^\}/gm)];
    return blocks
      .filter(([, kind, , body]) => !/^ {2}description\s+= /m.test(body) || (kind === "variable" && !/^ {2}type\s+= /m.test(body)))
      .map(([, kind, label]) => `${name}: ${kind} ${label}`);
  });
  assert.deepEqual(silent, []);
});
