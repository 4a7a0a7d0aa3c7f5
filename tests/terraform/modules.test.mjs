// The Terraform modules and examples: formatted, valid, their own tests, and what those tests must notice.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { applied, found, init, mutated, run, skip, state, succeed } from "./modules.mjs";
import { LOOSE_BUCKET, OUT_OF_THE_EU, PLACELESS } from "./mutations.mjs";
import { MODULES, parses, quiet, terraform, usedTypes } from "./tools.mjs";

const EXAMPLES = ["basic", "eu-pinned", "multi-region", "spin-aws"].map((name) => `examples/${name}`);
const SUBJECTS = [".", ...readdirSync(join(MODULES, "modules")).map((name) => `modules/${name}`), ...EXAMPLES];
/** What a test says when it has noticed, rather than stumbled. */
const NOTICED = /Error: (Test assertion failed|Resource precondition failed)/;

test("every file parses", { skip: !skip && "Terraform itself reads them" }, (t) => {
  const problems = parses();
  if (problems === undefined) return t.skip(`${skip}, and no go either`);
  assert.deepEqual(problems, []);
});

test("every file is formatted", (t) => {
  const tool = found(terraform);
  if (tool.missing) return t.skip(tool.missing);
  const done = spawnSync(tool.program, ["fmt", "-check", "-diff", "-recursive", MODULES], { env: quiet(), encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout);
});

test("tflint finds nothing", (t) => {
  const words = ["--recursive", `--config=${join(MODULES, ".tflint.hcl")}`, "--no-color"];
  const done = spawnSync("tflint", words, { cwd: MODULES, env: quiet(), encoding: "utf8" });
  if (done.error) return t.skip("no tflint on the PATH; `go install github.com/terraform-linters/tflint@v0.64.0` makes it");
  assert.equal(done.status, 0, done.stdout + done.stderr);
});

for (const folder of SUBJECTS) {
  test(`${folder} is valid`, { skip }, () => {
    init(folder);
    succeed(folder, "validate", "-no-color");
  });
}

for (const folder of SUBJECTS) {
  test(`the tests of ${folder} pass`, { skip }, () => {
    succeed(folder, "test", "-no-color");
  });
}

test("one apply puts the configuration in force with the token that it made", { skip }, () => {
  const { passed, text, lines } = applied("examples/basic");
  assert.ok(passed, text);
  assert.equal(lines.length, 1);
  const wanted = /^[0-9a-f]{64} config apply \S+\/sluice\.toml --url https:\/\/llm\.example\.com --author terraform --reason terraform apply$/;
  assert.match(lines[0], wanted);
});

test("a configuration with a mistake stops the apply before the deployment", { skip }, () => {
  const mistake = { file: "examples/multi-region/main.tf", from: `{ provider = "openai", model`, to: `{ provider = "opnai", model` };
  const { passed, text, lines } = mutated(mistake, () => applied("examples/multi-region"));
  assert.ok(!passed, "a provider that does not exist went through");
  assert.match(text, /no provider is named "opnai"/);
  assert.deepEqual(lines, [], "the configuration was put in force");
});

test("secrets that can be kept out of the state are", { skip }, () => {
  const { text } = state("examples/spin-aws");
  assert.doesNotMatch(text, /not-a-password|not-a-key/);
});

for (const mutation of OUT_OF_THE_EU) {
  test(`it is noticed in eu-pinned when ${mutation.wrong}`, { skip }, () => {
    const { passed, text } = mutated(mutation, () => run("examples/eu-pinned", "test", "-no-color"));
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
    const { passed, text } = mutated(mutation, () => run("modules/aws-audit-bucket", "test", "-no-color"));
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
