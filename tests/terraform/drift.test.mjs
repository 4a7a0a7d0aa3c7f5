// wrangler.toml, the Terraform modules and the code name the same things.
//
// What wrangler would deploy is what it prints in a dry run, and what it reads; what the module would deploy is the plan
// of the basic example; what the code asks for stands in its sources.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import { skip as withoutTerraform, state } from "./modules.mjs";
import { CACHE, ROOT } from "./tools.mjs";

const WRANGLER = join(ROOT, "node_modules", "wrangler");
const skip = withoutTerraform || (existsSync(WRANGLER) ? false : "wrangler is not installed: npm ci");
const KINDS = {
  "Durable Object": "durable_object_namespace",
  "KV Namespace": "kv_namespace",
  "R2 Bucket": "r2_bucket",
  Queue: "queue",
  Assets: "assets",
  "Environment Variable": "plain_text",
};
/** Where the code asks for bindings by name. */
const SOURCES = ["edge/cloudflare/src", "edge/cloudflare/js", "durable/objects/src", "durable/objects/js"];

/** What the basic example makes; asked for once. */
let made;
const all = (type) => (made ??= state("examples/basic")).all(type);
const one = (type) => {
  const values = all(type);
  assert.equal(values.length, 1, type);
  return values[0];
};

const source = (path) => readFileSync(join(ROOT, path), "utf8");
const manifest = () => JSON.parse(source("build/worker.json"));

function code() {
  const files = SOURCES.flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true }).map((name) => join(folder, name)));
  return files.filter((name) => /\.(rs|js)$/.test(name)).map(source).join("\n");
}

/** The classes that the worker's main module exports. */
function exported() {
  const shim = source("edge/cloudflare/js/shim.js");
  const lists = [...shim.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, list]) => list.split(","));
  const names = lists.map((name) => name.trim().split(/\s+as\s+/).at(-1)).filter((name) => name !== "");
  return [...names, ...[...shim.matchAll(/^export class (\w+)/gm)].map(([, name]) => name)].sort();
}

/** A folder in which wrangler can do as if it deployed: the real settings, and a main module with the real exports. */
function rehearsal() {
  const folder = join(CACHE, "wrangler");
  mkdirSync(folder, { recursive: true });
  const classes = exported().map((name) => `export class ${name} extends DurableObject {}\n`);
  const lines = [`import { DurableObject } from "cloudflare:workers";\n`, ...classes, "export default { fetch: () => new Response() };\n"];
  writeFileSync(join(folder, "main.js"), lines.join(""));
  const settings = source("wrangler.toml").replace(/^main = .*$/m, `main = "main.js"`);
  // The worker is not built again for its bindings' sake.
  writeFileSync(join(folder, "wrangler.toml"), settings.replace(/^\[build\]\n(?:(?!\[)[^\n]*\n)*/m, ""));
  return folder;
}

/** What wrangler says that the worker would be bound to: `NAME kind`, with the class for an object. */
function rehearsed() {
  const folder = rehearsal();
  const words = ["deploy", "--dry-run", "--outdir", "out", "--config", "wrangler.toml"];
  const done = spawnSync(process.execPath, [join(WRANGLER, "bin", "wrangler.js"), ...words], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true", CLOUDFLARE_CF_FETCH_ENABLED: "false" },
  });
  assert.equal(done.status, 0, done.stdout + done.stderr);
  const rows = [...done.stdout.matchAll(/^env\.(\w+) \((.*?)\)\s{2,}(\S.*?)\s*$/gm)];
  return rows.map(([, name, value, kind]) => {
    assert.ok(kind in KINDS, `wrangler binds ${name} to a ${kind}, which this test does not know`);
    return [name, KINDS[kind], kind === "Durable Object" ? value.split(",")[0] : ""].join(" ").trim();
  });
}

test("wrangler and the module bind the worker to the same things", { skip }, () => {
  const { bindings } = one("cloudflare_worker_version");
  const ours = bindings
    .filter((binding) => binding.type !== "secret_text")
    .map(({ name, type, class_name }) => [name, type, type === "durable_object_namespace" ? class_name : ""].join(" ").trim());
  assert.deepEqual(ours.sort(), rehearsed().sort());
});

test("wrangler's migrations leave the classes that the module declares", { skip }, () => {
  const wrangler = createRequire(import.meta.url)(WRANGLER);
  const { migrations } = wrangler.unstable_readConfig({ config: join(rehearsal(), "wrangler.toml") });
  const left = new Map();
  for (const step of migrations) {
    for (const name of step.new_sqlite_classes ?? []) left.set(name, "created sqlite");
    for (const name of step.new_classes ?? []) left.set(name, "created legacy-kv");
    for (const { from, to } of step.renamed_classes ?? []) {
      left.set(to, left.get(from));
      left.set(from, `renamed ${to}`);
    }
    for (const name of step.deleted_classes ?? []) left.set(name, "deleted");
  }
  const declared = Object.entries(one("cloudflare_worker_version").exports).map(([name, it]) => {
    assert.equal(it.type, "durable-object");
    return [name, [it.state, it.storage, it.renamed_to].filter(Boolean).join(" ")];
  });
  assert.deepEqual(Object.fromEntries(declared), Object.fromEntries(left));
});

test("wrangler and the module run the worker in the same way", { skip }, () => {
  const wrangler = createRequire(import.meta.url)(WRANGLER);
  const read = wrangler.unstable_readConfig({ config: join(rehearsal(), "wrangler.toml") });
  const version = one("cloudflare_worker_version");
  assert.equal(version.compatibility_date, read.compatibility_date);
  assert.deepEqual([...version.compatibility_flags].sort(), [...read.compatibility_flags].sort());
  assert.equal(version.main_module, source("wrangler.toml").match(/^main = "build\/(.*)"$/m)[1]);
  assert.equal(one("cloudflare_worker").observability.enabled, read.observability?.enabled ?? false);
  const crons = all("cloudflare_workers_cron_trigger").flatMap((trigger) => trigger.schedules.map((it) => it.cron));
  assert.deepEqual(crons.sort(), [...(read.triggers?.crons ?? [])].sort());
  const buckets = all("cloudflare_r2_bucket").map((bucket) => `${bucket.name} ${bucket.jurisdiction}`);
  assert.deepEqual(buckets.sort(), read.r2_buckets.map((it) => `${it.bucket_name} ${it.jurisdiction ?? "default"}`).sort());
});

test("the code exports the classes that live", () => {
  const live = Object.entries(manifest().classes).filter(([, it]) => it.state === "created").map(([name]) => name);
  assert.deepEqual(exported(), live.sort());
});

test("the code asks for the bindings that there are, and for no others", () => {
  const { durable_objects, kv_namespaces, r2_buckets, queue_producers, assets } = manifest();
  const there = [...Object.keys(durable_objects), ...kv_namespaces, ...Object.keys(r2_buckets), ...Object.keys(queue_producers)];
  if (assets?.binding) there.push(assets.binding);
  const text = code();
  assert.deepEqual(there.filter((name) => !text.includes(`"${name}"`) && !new RegExp(`\\benv\\.${name}\\b`).test(text)), [], "nobody asks for these");
  const asked = [...text.matchAll(/^const \w+: &str = "([A-Z][A-Z0-9_]*)";$/gm), ...text.matchAll(/\benv\.([A-Z][A-Z0-9_]*)\b/g)];
  // What begins with SLUICE_ is a secret.
  const names = [...new Set(asked.map(([, name]) => name))].filter((name) => !name.startsWith("SLUICE_"));
  assert.deepEqual(names.filter((name) => !there.includes(name)), [], "these are not there");
});
