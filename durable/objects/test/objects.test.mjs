// The Durable Objects on workerd, called as the gateway calls them. Needs a worker in build/ (`cargo xtask build`).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";
import { gunzipSync } from "node:zlib";
import { start } from "../../../edge/cloudflare/dev/gateway.mjs";

/** How long something may take that happens by alarm. */
const PATIENCE_MS = 10_000;

/** Asks until the answer satisfies. */
async function until(ask, satisfies) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (satisfies(answer)) return answer;
    if (Date.now() > deadline) assert.fail(`not within ${PATIENCE_MS} ms: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A bucket that can lose its first answer, and leaves a note when it was asked what it has. */
const WATCHED = (losesAnswer) => `
let losesAnswer = ${losesAnswer};
export default (env) => ({
  async head(name) {
    await env.REAL.put("asked", "");
    return env.REAL.head(name);
  },
  async put(...args) {
    const stored = await env.REAL.put(...args);
    if (losesAnswer) {
      losesAnswer = false;
      throw new Error("the answer was lost");
    }
    return stored;
  },
});`;

async function world(t, { interval = "20ms", state, losesAnswer = false } = {}) {
  const { gateway } = await start({
    state,
    log: false,
    document: { accounting: { ship_interval: interval } },
    buckets: { KEPT: "records" },
    more: { wrappedBindings: { RECORDS: "watched" } },
    workers: [
      { name: "watched", modules: true, script: WATCHED(losesAnswer), r2Buckets: { REAL: "records" } },
    ],
  });
  let stopped;
  const stop = () => (stopped ??= gateway.dispose());
  t.after(stop);
  const ask = async (namespace, name, command) => {
    const objects = await gateway.getDurableObjectNamespace(namespace);
    return JSON.parse(await objects.get(objects.idFromName(name)).call(JSON.stringify(command)));
  };
  const bucket = await gateway.getR2Bucket("KEPT", "sluice");
  const ledger = async (...commands) => (await ask("LEDGER", "local/dev", { commands })).replies;
  return {
    gateway,
    stop,
    ledger,
    registry: (command) => ask("REGISTRY", "registry", command),
    bucket,
    keys: await gateway.getKVNamespace("KEYS", "sluice"),
    standing: async () => (await ledger("standing"))[0].standing,
    names: async () => (await bucket.list()).objects.map(({ key }) => key),
  };
}

const record = (request) => ({
  request,
  kind: "settled",
  at_us: Date.UTC(2026, 0, 31, 23, 59) * 1000,
  org: "dev",
  key: "key_1",
  operation: "chat",
  model: "sandbox/echo",
  stream: false,
  region: "local",
  usage: {},
  usage_source: "provider",
  cost_nano_usd: 7,
  latency_us: 1,
  cache: "off",
  outcome: "completed",
  status: 200,
});

const admit = (request, ttl = 60_000_000) => ({
  admit: {
    scopes: [{ scope: "org", rules: [] }],
    estimate: { tokens: 10, cost: 70 },
    ttl,
    draft: record(request),
  },
});

const settle = (request) => ({
  settle: { actual: { tokens: 1, cost: 7 }, record: record(request) },
});

const lines = async (bucket, name) => {
  const bytes = Buffer.from(await (await bucket.get(name)).arrayBuffer());
  return gunzipSync(bytes).toString("utf8").trimEnd().split("\n").slice(1).map((line) => JSON.parse(line));
};

const BATCH = "usage/region=local/org=dev/date=2026-01-31/000000000001.ndjson.gz";

test("what is settled reaches the bucket once and leaves the outbox", async (t) => {
  const { ledger, standing, bucket, names } = await world(t);
  const replies = await ledger(admit("req_1"), admit("req_2"), settle("req_1"), settle("req_2"));
  assert.deepEqual(replies, [{ admitted: {} }, { admitted: {} }, "done", "done"]);
  await until(standing, ({ outbox }) => outbox === 0);
  assert.deepEqual(await names(), [BATCH]);
  assert.deepEqual((await lines(bucket, BATCH)).map(({ request }) => request), ["req_1", "req_2"]);
});

test("a batch that is there already counts as delivered", async (t) => {
  const { ledger, standing, bucket, names } = await world(t, { losesAnswer: true });
  await ledger(admit("req_1"), settle("req_1"));
  await until(standing, ({ outbox }) => outbox === 0);
  assert.deepEqual(await names(), ["asked", BATCH]);
  assert.equal((await lines(bucket, BATCH)).length, 1);
});

test("something else under a batch's name is left alone, and the records are kept", async (t) => {
  const { ledger, standing, bucket, names } = await world(t);
  const sha256 = createHash("sha256").update("other").digest("hex");
  await bucket.put(BATCH, "other", { customMetadata: { sha256 } });
  await ledger(admit("req_1"), settle("req_1"));
  await until(names, (found) => found.includes("asked"));
  assert.equal(await (await bucket.get(BATCH)).text(), "other");
  assert.equal((await standing()).outbox, 1);
  await bucket.delete(BATCH);
  await until(standing, ({ outbox }) => outbox === 0);
  assert.equal((await lines(bucket, BATCH)).length, 1);
});

test("a reservation that nobody comes back for is charged by alarm", async (t) => {
  const { ledger, standing, bucket } = await world(t);
  await ledger(admit("req_1", 1));
  const { scopes } = await until(standing, ({ open, outbox }) => open === 0 && outbox === 0);
  assert.equal(scopes[0].spent_total, 70);
  assert.equal((await lines(bucket, BATCH))[0].kind, "expired");
});

test("state and what is to be shipped survive a restart", async (t) => {
  const state = fs.mkdtempSync(path.join(os.tmpdir(), "sluice-objects-"));
  t.after(() => fs.rmSync(state, { recursive: true, force: true }));
  const before = await world(t, { state, interval: "60s" });
  await before.ledger(admit("req_1"), settle("req_1"), admit("req_2"));
  await before.stop();
  const after = await world(t, { state });
  const { outbox, open, scopes } = await after.standing();
  assert.deepEqual([outbox, open, scopes[0].spent_total], [1, 1, 7]);
  // A command shortens the wait that the alarm of before has left.
  await after.ledger(settle("req_2"));
  await until(after.standing, ({ outbox }) => outbox === 0);
  assert.equal((await lines(after.bucket, BATCH)).length, 2);
});

test("what is no command changes nothing and is refused", async (t) => {
  const { gateway, standing } = await world(t);
  const objects = await gateway.getDurableObjectNamespace("LEDGER");
  const stub = objects.get(objects.idFromName("local/dev"));
  for (const text of ["", "[", "{}", '{"commands": ["zork"]}']) {
    await assert.rejects(async () => stub.call(text), undefined, text);
  }
  assert.deepEqual(await standing(), { scopes: [], outbox: 0, open: 0 });
});

test("a key that was made or revoked reaches the read copy", async (t) => {
  const { registry, keys } = await world(t);
  const hash = "ab".repeat(32);
  const key = { id: "key_1", hash, org: "dev", created_at: 1, expires_at: 2 };
  assert.ok((await registry({ create_key: { key } })).key);
  const copied = () => keys.get(`key/${hash}`, "json");
  assert.equal((await until(copied, (copy) => copy !== null)).revoked_at, undefined);
  await registry({ revoke_key: { id: "key_1" } });
  await until(copied, ({ revoked_at }) => revoked_at > 0);
});
