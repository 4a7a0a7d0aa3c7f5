// The audit chain from callers to a real S3 server with Object Lock, through a proxy that fails one call in five, while the runtime is killed.
//
// `SLUICE_AUDIT_REQUESTS=100000 SLUICE_AUDIT_KILLS=10 node tests/e2e/run.mjs audit` is the long run; by default it is short.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';

import { BODY_KEY } from './config.mjs';
import { startWorld } from './gateway.mjs';
import { send, until } from './http.mjs';
import { findVersity, startFaultyProxy, startVersity } from './versity.mjs';

const REQUESTS = Number(process.env.SLUICE_AUDIT_REQUESTS ?? 600);
const KILLS = Number(process.env.SLUICE_AUDIT_KILLS ?? 2);
const CALLERS = 24;
const SHIPPED_MS_MAX = 180_000;
const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

const { program, missing } = process.env.SLUICE_URL ? { missing: 'the gateway that is tested runs elsewhere' } : findVersity();
const skip = missing ?? false;

let store;
let proxy;
let world;
let folder;
let receiptKey;

/** Runs `sluice`, without holding up what else goes on here. */
function sluice(...words) {
  const built = path.join(PROJECT, 'target/debug/sluice');
  const [command, ...first] = fs.existsSync(built) ? [built] : ['cargo', 'run', '--quiet', '--package', 'sluice-cli', '--'];
  const options = { cwd: PROJECT, env: { ...process.env, ...store.environment() }, maxBuffer: 1 << 28 };
  return new Promise(resolve => {
    execFile(command, [...first, ...words], options, (error, out, err) => resolve({ status: error ? error.code : 0, out, err }));
  });
}

before(async () => {
  if (skip) return;
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-audit-'));
  store = await startVersity(program);
  proxy = await startFaultyProxy(store, 5);
  [receiptKey] = (await sluice('receipt', 'key', '--id', 'e2e')).out.split('\n');
  const secrets = {
    SLUICE_RECORDS_URL: proxy.url, SLUICE_RECORDS_REGION: store.region, SLUICE_RECORDS_ACCESS_KEY_ID: store.accessKeyId, SLUICE_RECORDS_SECRET_ACCESS_KEY: store.secretAccessKey,
    SLUICE_RECORDS_RETENTION: 'compliance 1d', SLUICE_RECEIPT_KEY: receiptKey,
  };
  world = await startWorld({ secrets });
});
after(async () => {
  await world?.stop();
  proxy?.stop();
  store?.stop();
  if (folder) fs.rmSync(folder, { recursive: true, force: true });
});

const chat = (key, more = {}) => send(`${world.gateway.url}/v1/chat/completions`, {
  method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${key.key}` },
  body: JSON.stringify({ model: 'sandbox/echo', messages: [{ role: 'user', content: 'Hello' }], ...more }),
});

/** Everything in the bucket, as an auditor gets it: proven on the way. */
async function exported(...more) {
  const file = path.join(folder, 'export.ndjson');
  const { status, err } = await sluice('audit', 'export', `s3://${store.bucket}`, '--out', file, ...more);
  assert.equal(status, 0, err);
  return fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line));
}

/** What opens bodies, as an auditor gives it. */
function bodyKeys(key = BODY_KEY) {
  const file = path.join(folder, 'body-keys');
  fs.writeFileSync(file, `${key}\n`);
  return ['--body-keys', file];
}

const shipped = org => until(() => world.gateway.standing(org), ({ open, outbox }) => open === 0 && outbox === 0, SHIPPED_MS_MAX, 250);

test(`of ${REQUESTS} requests every answered one is in the bucket exactly once, the store failing one call in five and the runtime killed ${KILLS} times`, { skip }, async () => {
  const key = await world.gateway.mint({ org: 'sealed' });
  const answered = new Set();
  const receipts = [];
  let begun = 0;
  let pause;
  const caller = async (_, number) => {
    while (begun < REQUESTS) {
      begun += 1;
      if (pause) await pause;
      const stream = number % 4 === 0;
      const answer = await chat(key, { stream }).catch(() => undefined);
      const { text, cut } = answer ? await answer.read() : { cut: true };
      if (cut || answer.status !== 200 || (stream && !text.includes('[DONE]'))) continue;
      answered.add(answer.headers['x-request-id']);
      const receipt = answer.headers['x-sluice-receipt'] ?? /^: x-sluice-receipt=(.*)$/m.exec(text)?.[1];
      assert.ok(receipt, text);
      if (receipts.length < 500) receipts.push(receipt);
    }
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, caller));
  for (let kill = 1; kill <= KILLS; kill += 1) {
    await until(() => begun, count => count >= (REQUESTS * kill) / (KILLS + 1), SHIPPED_MS_MAX * 10, 20);
    let resume;
    pause = new Promise(resolve => {
      resume = resolve;
    });
    world.gateway.kill();
    await world.gateway.restart();
    pause = undefined;
    resume();
  }
  await callers;
  assert.ok(answered.size >= REQUESTS * 0.8, `${answered.size} of ${REQUESTS} were answered`);
  const { open, outbox } = await shipped('sealed');
  assert.deepEqual({ open, outbox }, { open: 0, outbox: 0 });
  assert.ok(Object.values(proxy.faults).every(count => count > 0) || REQUESTS < 2_000, JSON.stringify(proxy.faults));

  const verified = await sluice('audit', 'verify', `s3://${store.bucket}`);
  assert.equal(verified.status, 0, verified.err);
  assert.match(verified.out, /usage\/region=local\/org=sealed: \d+ records in \d+ batches/);
  const found = new Map();
  for (const record of await exported(...bodyKeys())) {
    if (record.org !== 'sealed' || !['settled', 'expired'].includes(record.kind)) continue;
    found.set(record.request, (found.get(record.request) ?? 0) + 1);
    // Whoever died before it settled has taken them with it, and the record says so.
    if (record.kind === 'expired') assert.equal(record.bodies.missing, 'unsettled');
    else assert.match(JSON.stringify(record.bodies.request ?? record.bodies), /Hello/);
  }
  const wrong = [...answered].filter(id => found.get(id) !== 1);
  assert.deepEqual(wrong, [], `${wrong.length} of ${answered.size} are not there exactly once`);

  const [keys, file] = ['keys.json', 'receipts'].map(name => path.join(folder, name));
  const published = await send(`${world.gateway.url}/.well-known/sluice-receipts.json`);
  fs.writeFileSync(keys, await published.text());
  fs.writeFileSync(file, receipts.join('\n'));
  const checked = await sluice('receipt', 'verify', file, '--keys', keys);
  assert.equal(checked.status, 0, checked.err);
});

test('receipts are joined to the records of the bucket', { skip }, async () => {
  const key = await world.gateway.mint({ org: 'sdk' });
  const receipts = [];
  for (let round = 0; round < 3; round += 1) {
    const whole = await chat(key);
    receipts.push(whole.headers['x-sluice-receipt']);
    await whole.read();
    const stream = await (await chat(key, { stream: true })).text();
    receipts.push(/^: x-sluice-receipt=(.*)$/m.exec(stream)[1]);
    await shipped('sdk');
  }
  const [keys, file] = ['keys.json', 'receipts'].map(name => path.join(folder, name));
  fs.writeFileSync(keys, await (await send(`${world.gateway.url}/.well-known/sluice-receipts.json`)).text());
  fs.writeFileSync(file, receipts.join('\n'));
  const joined = await sluice('audit', 'verify', `s3://${store.bucket}`, '--receipts', file, '--keys', keys);
  assert.equal(joined.status, 0, joined.err);
  assert.match(joined.out, /6 receipts: each has its record/);
  const last = JSON.parse(Buffer.from(receipts.at(-1).split('.')[1], 'base64url'));
  assert.equal(last.audit.chain, 'usage/region=local/org=sdk');
  assert.match(last.audit.h, /^[0-9a-f]{64}$/);
  const { json: health } = await world.gateway.admin('GET', '/health');
  assert.equal(last.wasm, health.wasm_sha256);
  assert.equal(health.checks.receipts.key, 'e2e');
});

test('what was asked and answered is in the bucket, sealed, and opened by whoever has the key', { skip }, async () => {
  const key = await world.gateway.mint({ org: 'sealed' });
  const outlined = await world.gateway.mint({ org: 'sealed', team: 'outline' });
  const say = (content, more) => ({ messages: [{ role: 'user', content }], ...more });
  const asked = [
    [key, say('whisper one')], [key, say('whisper two', { stream: true })], [key, say(`whisper ${'x'.repeat(40_000)}`)],
    [outlined, say('whisper four')], [outlined, say('whisper five', { stream: true })], [key, say('whisper six', { model: 'mock-anthropic/chat' })],
  ];
  const ids = [];
  for (const [who, body] of asked) {
    const answer = await chat(who, body);
    const { text } = await answer.read();
    assert.equal(answer.status, 200, text);
    ids.push(answer.headers['x-request-id']);
  }
  await shipped('sealed');
  const named = (records, n) => records.find(one => one.request === ids[n]).bodies;
  const closed = await exported();
  assert.ok(ids.every((_, n) => named(closed, n).sealed.length > 50 && named(closed, n).key === 'e2e'));
  assert.doesNotMatch(JSON.stringify(closed), /whisper/);

  const opened = await exported(...bodyKeys());
  const [whole, streamed, long, outline, outlineStreamed, translated] = ids.map((_, n) => named(opened, n));
  assert.match(whole.request.text, /whisper one/);
  assert.match(whole.answer.text, /whisper one/);
  assert.equal(streamed.answer.choices[0].parts[0].text, JSON.parse(whole.answer.text).choices[0].message.content.replace('one', 'two'));
  assert.equal(streamed.answer.choices[0].finish, 'stop');
  assert.deepEqual([long.request.truncated, long.answer.truncated, long.request.text.length], [true, true, 16_384]);
  assert.ok(long.request.bytes > 40_000);
  assert.equal(translated.keep, 'full');
  assert.match(translated.request.text, /whisper six/);
  for (const { keep, request, answer } of [outline, outlineStreamed]) {
    assert.equal(keep, 'redacted');
    assert.deepEqual(request.messages, [{ role: 'user', parts: [{ kind: 'text', bytes: 12 }] }]);
    assert.equal(answer.choices[0].parts[0].kind, 'text');
    assert.doesNotMatch(JSON.stringify([request, answer]), /whisper/);
  }

  const verified = await sluice('audit', 'verify', `s3://${store.bucket}`, '--only', 'usage/region=local/org=sealed', ...bodyKeys());
  assert.equal(verified.status, 0, verified.err);
  assert.match(verified.out, /\d+ bodies were opened/);
  const wrong = (await sluice('audit', 'key', '--id', 'e2e')).out.split('\n')[0];
  const refused = await sluice('audit', 'verify', `s3://${store.bucket}`, '--only', 'usage/region=local/org=sealed', ...bodyKeys(wrong));
  assert.equal(refused.status, 1);
  assert.match(refused.err, /its bodies do not open/);
});

test('what is refused and what is changed is in the bucket too', { skip }, async () => {
  const key = await world.gateway.mint({ org: 'e2e', limits: [{ requests: 1, per: '1h' }] });
  const statuses = [];
  for (const model of ['nowhere', 'sandbox/echo', 'sandbox/echo']) {
    const answer = await chat(key, { model });
    await answer.read();
    statuses.push([answer.status, answer.headers['x-request-id']]);
  }
  assert.deepEqual(statuses.map(([status]) => status), [404, 200, 429]);
  await (await chat({ key: 'sk-nobody' })).read();
  await world.gateway.revoke(key.id);
  await shipped('e2e');
  const records = await until(exported, all => all.some(one => one.change === 'key_revoked') && all.some(one => one.org === '_gateway'), 60_000, 1_000);
  const of = id => records.filter(one => one.request === id).map(one => [one.kind, one.status, one.error]);
  assert.deepEqual(of(statuses[0][1]), [['refused', 404, 'model_not_found']]);
  assert.deepEqual(of(statuses[2][1]), [['refused', 429, 'rate_limit_exceeded']]);
  const changes = records.filter(one => one.key === key.id && one.change).map(one => one.change);
  assert.deepEqual(changes, ['key_created', 'key_revoked']);
  assert.ok(records.some(one => one.change === 'config_changed'));
  const nobodys = records.filter(one => one.org === '_gateway');
  assert.deepEqual(nobodys.map(one => [one.error, one.count]), [['invalid_api_key', 1]]);
});

test('the store keeps what is locked, and the verifier finds what was put in its place', { skip }, async () => {
  const listed = await store.ask('GET', '', {}, undefined, 'list-type=2&prefix=usage%2Fregion%3Dlocal%2Forg%3Dsdk');
  const [, name] = /<Key>([^<]*)<\/Key>/.exec(listed.body.toString());
  const versions = (await store.ask('GET', '', {}, undefined, `prefix=${encodeURIComponent(name)}&versions=`)).body.toString();
  const [, version] = /<VersionId>([^<]*)<\/VersionId>/.exec(versions);
  const deleted = await store.ask('DELETE', name, {}, undefined, `versionId=${version}`);
  assert.equal(deleted.status, 403, `${deleted.status} ${deleted.body}`);
  const whole = await store.ask('GET', name);
  assert.equal(whole.status, 200);
  const again = await store.ask('PUT', name, { 'if-none-match': '*' }, Buffer.from('something else'));
  assert.equal(again.status, 412, `${again.status} ${again.body}`);
  const text = gunzipSync(whole.body).toString('utf8');
  const forged = gzipSync(text.replace('"status":200', '"status":201'));
  const written = await store.ask('PUT', name, {}, forged);
  const verified = await sluice('audit', 'verify', `s3://${store.bucket}`, '--only', 'usage/region=local/org=sdk');
  if (written.status === 200) {
    // A bucket with versions takes a new version over the locked one: the verifier sees it, and the old one is still there.
    assert.equal(verified.status, 1);
    assert.match(verified.err, /record 1 was changed/);
    const kept = await store.ask('GET', name, {}, undefined, `versionId=${version}`);
    assert.deepEqual(kept.body, whole.body);
  } else {
    assert.equal(written.status, 403);
    assert.equal(verified.status, 0, verified.err);
  }
});
