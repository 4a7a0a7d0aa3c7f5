// What Terraform renders is what a running gateway takes: the configuration is put in force, declared keys are made,
// rotated and revoked, by the real `sluice` against the real worker on workerd.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { skip as withoutTerraform, sluice, state } from "./modules.mjs";
import { CACHE, ROOT } from "./tools.mjs";

const FOLDER = join(CACHE, "gateway");
const skip = withoutTerraform || (existsSync(join(ROOT, "build", "index_bg.wasm")) ? false : "no worker in build/: `cargo xtask build` makes it");

let gateway;
let ready;
let rendered;

before(async () => {
  if (skip) return;
  rendered = state("examples/basic").outputs;
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, "ready.json");
  const words = ["edge/cloudflare/dev/main.mjs", "--host", "127.0.0.1", "--port", "0", "--state", join(FOLDER, "state"), "--ready-file", file];
  gateway = spawn(process.execPath, words, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  ready = await until("the gateway serves", () => existsSync(file) && JSON.parse(readFileSync(file, "utf8") || "null"));
});

after(async () => {
  if (gateway === undefined) return;
  gateway.kill("SIGTERM");
  if (gateway.exitCode === null) await once(gateway, "exit");
});

/** Asks again and again, for half a minute. */
async function until(what, ask) {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const answer = await ask();
    if (answer) return answer;
    await sleep(100);
  }
  return assert.fail(`${what}: not within half a minute`);
}

function command(...words) {
  const env = { ...process.env, SLUICE_ADMIN_TOKEN: ready.admin_token };
  const done = spawnSync(sluice(), [...words, "--url", ready.url], { env, encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout;
}

/** Declares the example's keys, with this changed, and returns what was said and the secrets of those that were made. */
function synchronise(change) {
  const keys = JSON.parse(rendered.keys_json.value);
  Object.assign(keys.first, change);
  const [file, out] = [join(FOLDER, "keys.json"), join(FOLDER, "secrets.jsonl")];
  writeFileSync(file, JSON.stringify(keys));
  rmSync(out, { force: true });
  const said = command("key", "sync", file, "--out", out);
  const made = existsSync(out) ? readFileSync(out, "utf8").trim().split("\n").map((line) => JSON.parse(line).key) : [];
  return { said, made };
}

async function chat(key) {
  const answer = await fetch(`${ready.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "sandbox/echo", messages: [{ role: "user", content: "Hello" }], max_tokens: 10 }),
  });
  await answer.arrayBuffer();
  return answer.status;
}

test("a rendered configuration is put in force, and its keys live as they are declared", { skip }, async () => {
  const file = join(FOLDER, "sluice.toml");
  writeFileSync(file, rendered.sluice_toml.value);
  assert.match(command("config", "apply", file, "--reason", "a test"), /is in force/);

  const first = synchronise({});
  assert.equal(first.said, "create declared:first/v1\n");
  assert.equal(await chat(first.made[0]), 200);
  assert.equal(synchronise({}).said, "nothing to do\n");

  const second = synchronise({ version: 2 });
  assert.equal(second.said, "create declared:first/v2\n");
  assert.equal(await chat(second.made[0]), 200);
  assert.equal(await chat(first.made[0]), 200, "the old version works on within its grace");
  assert.match(synchronise({ version: 2 }).said, /^leave declared:first\/v1 until /);

  assert.match(synchronise({ version: 2, grace: "0s" }).said, /^revoke declared:first\/v1 /);
  await until("the old version is refused", async () => (await chat(first.made[0])) === 401);
  assert.equal(await chat(second.made[0]), 200);
});
