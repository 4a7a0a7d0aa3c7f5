// What holds on Spin besides the scenarios: its stores, its bucket, its grants. Each test starts gateways of its own.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';

import { configDocument } from './config.mjs';
import { send, until } from './http.mjs';
import { startMocks } from './mocks.mjs';
import { startRedis, startSpinGateway } from './spin.mjs';

const skip = (process.env.SLUICE_RUNTIME ?? '').startsWith('spin') ? false : 'the runtime that is tested is another';
const SHIPPED_MS_MAX = 20_000;
/** The same where reservations must expire first. */
const EXPIRED_MS_MAX = 90_000;
/** How often Redis is killed under load. */
const KILLS = 2;

let mocks;
before(async () => { if (!skip) mocks = await startMocks(); });
after(() => mocks?.stop());

async function ask(gateway, key, model = 'mock-openai/chat', more = {}) {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], ...more });
  const answer = await send(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${key.key}` }, body });
  const { text } = await answer.read();
  return { status: answer.status, id: answer.headers['x-request-id'], text };
}

/** Runs `body` with a gateway that is stopped afterwards. */
async function withGateway(options, body) {
  const gateway = await startSpinGateway({ mocksUrl: mocks.url, ...options });
  try {
    await body(gateway);
  } finally {
    await gateway.stop();
  }
}

const slowly = () => {
  const document = configDocument(mocks.url);
  return { ...document, accounting: { ...document.accounting, ship_interval: '1h' } };
};

test('the maintenance address ships what waits, and takes the admin token alone', { skip }, () => withGateway({ document: slowly() }, async gateway => {
  const key = await gateway.mint({ org: 'e2e' });
  const { id } = await ask(gateway, key);
  await until(() => gateway.standing('e2e'), ({ open }) => open === 0);
  assert.deepEqual(await gateway.records(), []);
  assert.equal((await gateway.upkeep('wrong')).status, 401);
  assert.equal((await gateway.upkeep(key.key)).status, 401);
  assert.deepEqual(await gateway.records(), []);
  assert.deepEqual(await gateway.upkeep(), { status: 200, text: '{"ledgers":1}\n' });
  assert.deepEqual((await gateway.records()).map(record => record.request), [id]);
  assert.deepEqual(gateway.bucket.refusals, []);
}));

test('a batch is locked for as long as is configured', { skip }, () => withGateway({ retention: 'compliance 30d' }, async gateway => {
  await ask(gateway, await gateway.mint({ org: 'e2e' }));
  const objects = await until(() => gateway.objects(), all => all.length > 0, SHIPPED_MS_MAX);
  const { headers } = objects[0];
  assert.equal(headers['x-amz-object-lock-mode'], 'COMPLIANCE');
  const days = (Date.parse(headers['x-amz-object-lock-retain-until-date']) - Date.now()) / 86_400_000;
  assert.ok(days > 29.9 && days < 30.1, `${days} days`);
  assert.deepEqual(gateway.bucket.refusals, []);
}));

test('a batch whose confirmation was lost is not written again; another one in its place keeps the records waiting', { skip }, () => withGateway({ document: slowly() }, async gateway => {
  const key = await gateway.mint({ org: 'e2e' });
  const outbox = async () => (await gateway.standing('e2e')).outbox;
  const settled = () => until(() => gateway.standing('e2e'), ({ open }) => open === 0);
  await ask(gateway, key);
  await settled();
  gateway.bucket.isSilent = true;
  await gateway.upkeep();
  gateway.bucket.isSilent = false;
  assert.equal(await outbox(), 1, 'nothing leaves unconfirmed');
  // The first retry is due after a second.
  await until(() => gateway.upkeep().then(outbox), count => count === 0);
  const [first, ...more] = (await gateway.objects()).filter(({ name }) => name.startsWith('usage/'));
  assert.deepEqual(more, []);
  gateway.bucket.place(first.name.replace('000000000001', '000000000002'), Buffer.from('somebody else was here'));
  await ask(gateway, key);
  await settled();
  await gateway.upkeep();
  assert.equal(await outbox(), 1);
}));

test('a store that cannot keep limits exact is refused with a clear message', { skip }, () => withGateway({ redis: { url: 'kv' } }, async gateway => {
  const answer = await send(`${gateway.url}/v1/models`);
  assert.equal(answer.status, 503);
  assert.match((await answer.read()).text, /a key-value store cannot/);
}));

test('an address that the manifest does not grant is never called', { skip }, () => {
  const document = configDocument(mocks.url);
  document.providers['mock-openai'].base_url = document.providers['mock-openai'].base_url.replace('127.0.0.1', 'localhost');
  return withGateway({ document, granted: [] }, async gateway => {
    const mark = await mocks.mark();
    const { status } = await ask(gateway, await gateway.mint({ org: 'e2e' }));
    assert.equal(status, 502);
    assert.deepEqual(await mocks.calls(mark), []);
  });
});

/** Takes the database's write lock, says so, and keeps it until it is told to end. */
const HOLD = 'import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute("BEGIN IMMEDIATE"); print("held", flush=True); sys.stdin.read()';
/** SQLite itself waits for five seconds. */
const HELD_MS = 6_000;
const withoutSqlite = process.env.SLUICE_RUNTIME === 'spin-redis' ? 'its store is Redis'
  : skip || (spawnSync('python3', ['-c', 'import sqlite3']).status === 0 ? false : 'python3 has no sqlite3');

test('a request waits for a database that others hold for longer than SQLite waits', { skip: withoutSqlite }, () => withGateway({}, async gateway => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ requests: 10, per: '1h' }] });
  const file = fs.readdirSync(gateway.stateFolder).find(name => name.endsWith('.db'));
  const holder = spawn('python3', ['-c', HOLD, path.join(gateway.stateFolder, file)], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  const answer = ask(gateway, key, 'sandbox/echo');
  setTimeout(() => holder.stdin.end(), HELD_MS);
  assert.equal((await answer).status, 200);
}));

const withoutRedis = skip || (spawnSync('redis-server', ['--version']).status === 0 ? false : 'redis-server is not installed');
/** Runs `body` with a Redis of its own. */
async function withRedis(body) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-redis-'));
  const redis = await startRedis(folder);
  try {
    await body(redis);
  } finally {
    await redis.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

test('two hosts on one Redis let exactly as many requests in as the limit says', { skip: withoutRedis }, () => withRedis(async redis => {
  const hosts = [];
  try {
    for (let index = 0; index < 2; index += 1) hosts.push(await startSpinGateway({ mocksUrl: mocks.url, redis }));
    const [first] = hosts;
    const key = await first.mint({ org: 'storm', limits: [{ requests: 1_000, per: '1h' }] });
    const count = {};
    const failures = new Set();
    let left = 10_000;
    const worker = async () => {
      while (left > 0) {
        left -= 1;
        const { status, text } = await ask(hosts[left % 2], key, 'sandbox/echo');
        count[status] = (count[status] ?? 0) + 1;
        if (status >= 500) failures.add(JSON.parse(text).error.message);
      }
    };
    await Promise.all(Array.from({ length: Number(process.env.SLUICE_STORM ?? 500) }, worker));
    assert.deepEqual([count, [...failures]], [{ 200: 1_000, 429: 9_000 }, []]);
    const standing = await first.quiet('storm', SHIPPED_MS_MAX);
    const scope = standing.scopes.find(one => JSON.stringify(one.scope) === JSON.stringify({ key: key.id }));
    assert.equal(scope.requests_total, 1_000);
  } finally {
    for (const host of hosts) await host.stop();
  }
}));

test('killing Redis under load loses nothing that was answered', { skip: withoutRedis }, () => withRedis(redis => withGateway({ redis }, async gateway => {
  const key = await gateway.mint({ org: 'crash', limits: [{ requests: 1_000_000, per: '1h' }], budgets: [{ usd: '1000', per: 'month' }] });
  const answers = { before: [], without: [], after: [] };
  let phase = 'before';
  let isOver = false;
  const others = {};
  const worker = async (_, index) => {
    while (!isOver) {
      const isStream = index % 2 === 1;
      const { status, id, text } = isStream ? await ask(gateway, key, 'mock-anthropic/chat', { stream: true }) : await ask(gateway, key);
      if (status === 200 && (!isStream || text.includes('[DONE]'))) answers[phase].push(id);
      else others[status] = (others[status] ?? 0) + 1;
    }
  };
  const workers = Promise.all(Array.from({ length: 16 }, worker));
  for (let kill = 0; kill < KILLS; kill += 1) {
    const enough = 150 * (kill + 1);
    await until(() => answers.before.length + answers.after.length, count => count >= enough, SHIPPED_MS_MAX, 5);
    await redis.kill();
    phase = 'without';
    const refused = others[503] ?? 0;
    await until(() => others[503] ?? 0, count => count > refused, SHIPPED_MS_MAX, 5);
    await redis.restart();
    phase = 'after';
  }
  await until(() => answers.after.length, count => count >= 300, SHIPPED_MS_MAX, 5);
  isOver = true;
  await workers;
  assert.ok(answers.after.length >= 300, `only ${answers.after.length} answers once Redis was back, and ${JSON.stringify(others)}`);
  const { ledger, records } = await gateway.sums('crash', EXPIRED_MS_MAX);
  const found = new Map();
  for (const record of await gateway.records()) found.set(record.request, (found.get(record.request) ?? 0) + 1);
  const seen = Object.values(answers).flat();
  assert.deepEqual(seen.filter(id => found.get(id) !== 1), [], `of ${seen.length} answers, each has one record`);
  assert.equal(records, ledger);
})));
