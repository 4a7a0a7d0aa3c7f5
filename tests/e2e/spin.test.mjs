// What holds on Spin besides the scenarios: its stores, its bucket, its grants. Each test starts gateways of its own.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { configDocument } from './config.mjs';
import { Gateway } from './gateway.mjs';
import { send, until } from './http.mjs';
import { freePort, startListening } from './listening.mjs';
import { startMocks } from './mocks.mjs';
import { REDIS_PROGRAM, end, isOnRedis, runner, startRedis, startSpinGateway } from './spin.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const skip = (process.env.SLUICE_RUNTIME ?? '').startsWith('spin') ? false : 'the runtime that is tested is another';
const SHIPPED_MS_MAX = 20_000;
/** The same where reservations must expire first. */
const EXPIRED_MS_MAX = 90_000;
/** How often Redis is killed under load. */
const KILLS = 2;

let mocks;
before(async () => { if (!skip) mocks = await startMocks(); });
after(() => mocks?.stop());

async function ask(gateway, key, model = 'mock-openai/chat', more = {}, agent = undefined) {
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], ...more });
  const answer = await send(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${key.key}` }, body, agent });
  const { text, cut } = await answer.read();
  return { status: answer.status, id: answer.headers['x-request-id'], text, cut };
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

test('the manifest as it is committed runs, and answers whoever follows the documentation', { skip }, async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-spin-'));
  const port = await freePort();
  const [program, ...args] = [...runner(), '--from', path.join(PROJECT, 'spin.toml'), '--listen', `127.0.0.1:${port}`, '--state-dir', folder];
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SPIN_VARIABLE_')));
  const env = { ...own, SPIN_VARIABLE_SLUICE_ADMIN_TOKEN: 'made-up' };
  const host = await startListening(program, args, { port, env });
  try {
    const gateway = new Gateway(`http://127.0.0.1:${port}`, 'made-up');
    const { status, text } = await ask(gateway, await gateway.mint({ org: 'dev', team: 'dev' }), 'demo');
    assert.equal(status, 200, text);
    assert.match(JSON.parse(text).choices[0].message.content, /Hello/);
  } finally {
    await end(host, 'SIGTERM');
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

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
const withoutSqlite = isOnRedis ? 'its store is another'
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

const withoutRedis = skip || (spawnSync(REDIS_PROGRAM, ['--version']).status === 0 ? false : `${REDIS_PROGRAM} is not installed`);
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

/** How many ask at the same time, each on a connection of its own. */
const CALLERS = Number(process.env.SLUICE_STORM ?? 500);

test('two hosts on one Redis let exactly as many requests in as the limit says', { skip: withoutRedis }, () => withRedis(redis => withGateway({ redis }, async first => {
  const second = await first.beside();
  const agent = new http.Agent({ keepAlive: true, maxSockets: CALLERS });
  try {
    const key = await first.mint({ org: 'storm', limits: [{ requests: 1_000, per: '1h' }] });
    const count = {};
    const failures = new Set();
    let left = 10_000;
    let busy = 0;
    let tokens = 0;
    const caller = async (_, index) => {
      const host = [first, second][index % 2];
      while (left > 0) {
        left -= 1;
        const { status, text } = await ask(host, key, 'sandbox/echo', {}, agent);
        // Where hosts have a small part of a processor each, some wait in vain for the store, before they are let in or after; they ask again.
        if (status === 503 && JSON.parse(text).error.code === 'store_unavailable') {
          left += 1;
          busy += 1;
          continue;
        }
        count[status] = (count[status] ?? 0) + 1;
        if (status >= 500) failures.add(text);
        if (status === 200) tokens = JSON.parse(text).usage.total_tokens;
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    assert.deepEqual([...failures], []);
    assert.equal(count[200] + count[429], 10_000);
    assert.ok(count[200] <= 1_000 && count[200] + busy >= 1_000, `${count[200]} answers, and ${busy} waited in vain`);
    const scope = await first.standingOf('storm', { key: key.id }, ({ reserved }) => reserved === 0, EXPIRED_MS_MAX);
    assert.equal(scope.tokens_total, 1_000 * tokens, 'as many were charged as the limit lets in');
    // Who waited in vain when it had been let in was taken back, and another was let in for it.
    assert.ok(scope.requests_total >= 1_000 && scope.requests_total <= 1_000 + busy, `${scope.requests_total} were let in, and ${busy} waited in vain`);
  } finally {
    agent.destroy();
    await second.stop();
  }
})));

/** What hangs when its host is killed; longer than that takes, shorter than a reservation lives. */
const HANGS = 'mock-openai/slow-first-byte-6000';
const SLOTS = 3;
const LIMIT = 600;

test('of two hosts on one Redis one is killed under load: nothing answered is lost, the limit stays exact, its slots come back', { skip: withoutRedis }, () => withRedis(redis => withGateway({ redis }, async first => {
  const second = await first.beside();
  let isKilled = false;
  try {
    const slots = await first.mint({ org: 'outage', limits: [{ concurrent: SLOTS }] });
    const key = await first.mint({ org: 'crash', limits: [{ requests: LIMIT, per: '1h' }], budgets: [{ usd: '1000', per: 'month' }] });
    const mark = await mocks.mark();
    const lost = Array.from({ length: SLOTS }, () => ask(second, slots, HANGS).catch(() => null));
    await until(() => mocks.callsNow(mark), calls => calls.length >= SLOTS, SHIPPED_MS_MAX, 5);
    const answered = [];
    const others = {};
    let broken = 0;
    let isOver = false;
    const worker = async (_, index) => {
      while (!isOver) {
        const isStream = index % 4 > 1;
        const host = index % 2 === 0 || isKilled ? first : second;
        const { status, id, text, cut } = await (isStream ? ask(host, key, 'mock-anthropic/chat', { stream: true }) : ask(host, key)).catch(() => ({ cut: true }));
        if (cut) broken += 1;
        else if (status === 200 && (!isStream || text.includes('[DONE]'))) answered.push(id);
        else others[status] = (others[status] ?? 0) + 1;
        // Whoever is refused asks again: what the dead host held comes back.
        if (status === 429) await sleep(100);
      }
    };
    const workers = Promise.all(Array.from({ length: 16 }, worker));
    await until(() => answered.length, count => count >= LIMIT / 3, SHIPPED_MS_MAX, 5);
    second.kill();
    isKilled = true;
    assert.deepEqual(await Promise.all(lost), Array(SLOTS).fill(null));
    assert.equal(JSON.parse((await ask(first, slots)).text).error.code, 'concurrency_limit_exceeded', 'a crash frees no slot before its time');
    const standing = await first.standingOf('crash', { key: key.id }, scope => scope.requests_total >= LIMIT, EXPIRED_MS_MAX);
    assert.equal((await until(() => ask(first, slots), ({ status }) => status === 200, EXPIRED_MS_MAX, 250)).status, 200, 'a crash holds no slot for ever');
    isOver = true;
    await workers;
    const { ledger, records } = await first.sums('crash', EXPIRED_MS_MAX);
    assert.equal(standing.requests_total, LIMIT);
    assert.deepEqual(Object.keys(others), ['429']);
    const found = new Map();
    for (const record of (await first.records()).filter(one => one.key === key.id)) found.set(record.request, (found.get(record.request) ?? 0) + 1);
    assert.deepEqual(answered.filter(id => found.get(id) !== 1), [], `of ${answered.length} answers, each has one record`);
    assert.equal(found.size, LIMIT, 'who was let in is on record');
    assert.ok(LIMIT - answered.length <= broken, `${answered.length} answers, and ${broken} were cut off`);
    assert.equal(records, ledger);
  } finally {
    await second.stop();
  }
})));

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
