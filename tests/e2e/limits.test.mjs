// Limits that only many requests at once can meet: in flight, in a line, in leases, and across the end of the runtime.
// Needs a gateway whose process is at hand.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { configDocument } from './config.mjs';
import { startGateway, withoutLine, withoutProcess as skip } from './gateway.mjs';
import { send, sendAndLeave, until } from './http.mjs';
import { startMocks } from './mocks.mjs';

const SETTLED_MS_MAX = 20_000;
/** How long after a crash what was open may stay held: its reservation's life, and what restarting takes. */
const EXPIRED_MS_MAX = 60_000;
/** How long before a request is answered that hangs: longer than any test looks at it. */
const HANGS = 'slow-first-byte-6000';
/** How many requests wait in one line of an isolate, at most. */
const LINE_MAX = 100;

let mocks;
let gateway;
before(async () => {
  if (skip) return;
  mocks = await startMocks();
  const document = configDocument(mocks.url);
  const teams = { red: {}, blue: {} };
  document.orgs = { ...document.orgs, fair: { limits: [{ requests: 1, per: '1s', queue: '40s' }], teams }, strict: { accounting: 'strict' } };
  gateway = await startGateway({ mocksUrl: mocks.url, document });
});
after(async () => {
  await gateway?.stop();
  await mocks?.stop();
});

const body = (model = 'chat', more = {}) => JSON.stringify({ model: `mock-openai/${model}`, messages: [{ role: 'user', content: 'Hello' }], ...more });
const target = () => `${gateway.url}/v1/chat/completions`;
const headersOf = key => ({ 'content-type': 'application/json', authorization: `Bearer ${key.key}` });

/** Asks, and says when the answer began and when it was over. */
async function ask(key, ...what) {
  const answer = await send(target(), { method: 'POST', headers: headersOf(key), body: body(...what) });
  const { text } = await answer.read();
  const code = answer.status === 200 ? undefined : JSON.parse(text).error.code;
  return { status: answer.status, code, headers: answer.headers, id: answer.headers['x-request-id'], limit: answer.headers['x-sluice-limit'], sentMs: answer.sentMs, endMs: Date.now() };
}
const statuses = answers => answers.map(one => one.status).sort();
const standingOf = (org, key, satisfies) => gateway.standingOf(org, { key: key.id }, satisfies);
const callsOnce = (mark, count) => until(() => mocks.callsNow(mark), calls => calls.length >= count, SETTLED_MS_MAX, 5);

test('of two requests at once one is refused where one may be in flight, and another is let in when the first has ended', { skip }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ concurrent: 1 }] });
  const mark = await mocks.mark();
  const first = ask(key, 'slow-first-byte-1500');
  await callsOnce(mark, 1);
  const second = await ask(key);
  assert.deepEqual([second.status, second.code], [429, 'concurrency_limit_exceeded']);
  assert.equal(second.limit, `key/${key.id}; of=concurrency; limit=1; remaining=0`);
  assert.ok(second.headers['retry-after'], 'it says when to come back');
  assert.equal((await first).status, 200);
  assert.equal((await first).limit, second.limit);
  assert.equal((await ask(key)).status, 200, 'whoever has its answer holds no slot');
  assert.equal((await mocks.calls(mark)).length, 2);
});

test('of many requests at once exactly as many are let in as may be in flight, and each slot comes back', { skip }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ concurrent: 5 }] });
  for (let round = 0; round < 2; round += 1) {
    const answers = await Promise.all(Array.from({ length: 15 }, () => ask(key, 'slow-first-byte-2000', round === 0 ? {} : { stream: true })));
    assert.equal(answers.filter(one => one.status === 200).length, 5, `${statuses(answers)}`);
    assert.ok(answers.every(one => one.status === 200 || one.code === 'concurrency_limit_exceeded'));
    // Other instances of the gateway hear a little later than the one that served.
    const standing = await standingOf('e2e', key, found => found.reserved === 0 && found.requests_total === 5 * (round + 1));
    assert.deepEqual([standing.reserved, standing.requests_total], [0, 5 * (round + 1)]);
  }
});

test('a stream holds its slot until it ends, and no longer than its caller is there', { skip }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ concurrent: 1 }] });
  const caller = sendAndLeave(target(), { headers: headersOf(key), body: body('slow-chunks-300', { stream: true, max_tokens: 100 }) });
  const answer = await caller.answered;
  answer.on('error', () => {});
  assert.equal(answer.statusCode, 200);
  assert.equal(answer.headers['x-sluice-limit'], `key/${key.id}; of=concurrency; limit=1; remaining=0`);
  assert.equal((await ask(key)).code, 'concurrency_limit_exceeded');
  caller.leave();
  assert.equal((await until(() => ask(key), one => one.status === 200, SETTLED_MS_MAX)).status, 200);
});

test('a request waits for its turn where the limit lets it', { skip }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ requests: 1, per: '1s', queue: '20s' }] });
  const first = await ask(key);
  const second = await ask(key);
  assert.deepEqual([first.status, second.status], [200, 200]);
  assert.ok(second.endMs - first.sentMs >= 1_000, `${second.endMs - first.sentMs} ms`);
});

test('many requests wait at once for a steady rate, and all are served at that rate', { skip }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ requests: 2, per: '1s', burst: 2, queue: '30s' }] });
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(key)));
  assert.deepEqual(statuses(answers), Array(8).fill(200));
  const ended = answers.map(one => one.endMs).sort((a, b) => a - b);
  const began = Math.min(...answers.map(one => one.sentMs));
  // Two at once, and one more each half of a second.
  for (const [index, end] of ended.entries()) assert.ok(end - began >= (index - 1) * 500, `the ${index + 1}. was served after ${end - began} ms`);
});

test('requests wait for a slot, and are let in as those before them end', { skip }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ concurrent: 2, queue: '30s' }] });
  const mark = await mocks.mark();
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(key, 'slow-first-byte-300')));
  assert.deepEqual(statuses(answers), Array(8).fill(200));
  const calls = await mocks.calls(mark);
  const atOnce = calls.map(one => calls.filter(other => other.at_ms <= one.at_ms && other.end_ms > one.at_ms).length);
  assert.ok(Math.max(...atOnce) <= 2, `${Math.max(...atOnce)} at once`);
});

test('teams take turns in the line before the limit of their organisation', { skip: withoutLine }, async () => {
  const [red, blue, opener] = await Promise.all(['red', 'blue', 'red'].map(team => gateway.mint({ org: 'fair', team })));
  assert.equal((await ask(opener)).status, 200);
  const served = [];
  const waiting = (team, key) => ask(key).then(answer => served.push({ team, ...answer }));
  const all = [1, 2, 3].map(() => waiting('red', red));
  // Asked after those: blue comes when all of red stands in the line.
  await gateway.standing('fair');
  all.push(...[1, 2, 3].map(() => waiting('blue', blue)));
  await Promise.all(all);
  assert.deepEqual(statuses(served), Array(6).fill(200));
  const order = served.map(one => one.team);
  assert.deepEqual(order, order[0] === 'red' ? ['red', 'blue', 'red', 'blue', 'red', 'blue'] : ['blue', 'red', 'blue', 'red', 'blue', 'red']);
});

test('whoever leaves the line, its head or another, lets those behind through and costs nothing', { skip: withoutLine }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ requests: 1, per: '2s', queue: '30s' }] });
  const mark = await mocks.mark();
  const first = await ask(key);
  // They come one after another: an answer of the gateway's lies between each two.
  const leaving = [];
  const staying = [];
  for (let pair = 0; pair < 2; pair += 1) {
    leaving.push(sendAndLeave(target(), { headers: headersOf(key), body: body() }));
    await gateway.standing('e2e');
    staying.push(ask(key));
    await gateway.standing('e2e');
  }
  leaving.forEach(one => one.reset());
  await Promise.all(leaving.map(one => one.ended));
  const served = await Promise.all(staying);
  assert.deepEqual(statuses([first, ...served]), [200, 200, 200]);
  const ended = served.map(one => one.endMs - first.sentMs).sort((one, other) => one - other);
  assert.ok(ended[0] >= 2_000 && ended[1] >= 4_000, `they had to wait, too: ${ended} ms`);
  assert.equal((await mocks.calls(mark)).length, 3);
  assert.equal((await standingOf('e2e', key, found => found.reserved === 0)).requests_total, 3);
});

test('a line takes so many and no more, and whoever waited in vain is refused', { skip: withoutLine }, async () => {
  const key = await gateway.mint({ org: 'e2e', limits: [{ requests: 1, per: '1h', queue: '5s' }] });
  assert.equal((await ask(key)).status, 200);
  const answers = await Promise.all(Array.from({ length: LINE_MAX + 20 }, () => ask(key)));
  const waited = answers.filter(one => one.endMs - one.sentMs >= 5_000);
  const refused = answers.filter(one => one.endMs - one.sentMs < 5_000);
  assert.deepEqual([waited.length, refused.length], [LINE_MAX, 20]);
  assert.ok(waited.every(one => one.status === 429 && one.code === 'rate_limit_exceeded'));
  assert.ok(refused.every(one => (one.status === 503 && one.code === 'queue_full') || (one.status === 429 && one.code === 'rate_limit_exceeded')), JSON.stringify(refused.map(one => one.code)));
});

test('strict accounting has each request on record before its provider hears of it', { skip }, async () => {
  const key = await gateway.mint({ org: 'strict' });
  // A busy key: others would be let in out of a slice now.
  for (let round = 0; round < 4; round += 1) assert.equal((await ask(key)).status, 200);
  await until(() => gateway.standing('strict'), ({ open }) => open === 0, SETTLED_MS_MAX);
  const mark = await mocks.mark();
  const answers = Promise.all(Array.from({ length: 12 }, () => ask(key, 'slow-first-byte-1500')));
  const look = async () => {
    const calls = await mocks.callsNow(mark);
    const { open } = await gateway.standing('strict');
    // Of one that has ended the record is no reservation any more.
    if (calls.every(one => one.end === null)) assert.ok(open >= calls.length, `${calls.length} calls, ${open} on record`);
    return calls.length;
  };
  assert.equal(await until(look, called => called === 12, SETTLED_MS_MAX, 0), 12);
  assert.deepEqual(statuses(await answers), Array(12).fill(200));
});

test('strict accounting records what a provider never answered', { skip }, async () => {
  const key = await gateway.mint({ org: 'strict' });
  const failed = await Promise.all(Array.from({ length: 4 }, () => ask(key, 'fault-reset')));
  assert.ok(failed.every(one => one.status === 502), `${statuses(failed)}`);
  const records = await gateway.recordsOnce(all => failed.every(one => all.has(one.id)), SETTLED_MS_MAX);
  for (const { id } of failed) {
    const found = records.get(id) ?? [];
    assert.deepEqual(found.map(one => [one.outcome, one.cost_nano_usd]), [['failed', 0]]);
  }
});

test('what was in flight when the runtime was killed is on record, and its slots come back', { skip }, async () => {
  const key = await gateway.mint({ org: 'strict', limits: [{ concurrent: 3 }] });
  const mark = await mocks.mark();
  const lost = Array.from({ length: 3 }, () => ask(key, HANGS).catch(() => null));
  await callsOnce(mark, 3);
  gateway.kill();
  assert.deepEqual(await Promise.all(lost), [null, null, null]);
  await gateway.restart();
  assert.equal((await ask(key)).code, 'concurrency_limit_exceeded', 'a crash frees no slot before its time');
  const back = await until(() => ask(key), one => one.status === 200, EXPIRED_MS_MAX, 500);
  assert.equal(back.status, 200, 'a crash holds no slot for ever');
  await standingOf('strict', key, found => found.reserved === 0);
  const answers = await Promise.all(Array.from({ length: 9 }, () => ask(key, 'slow-first-byte-2000')));
  assert.equal(answers.filter(one => one.status === 200).length, 3, `${statuses(answers)}`);
  const wanted = all => [...all.values()].flat().filter(one => one.key === key.id);
  const records = wanted(await gateway.recordsOnce(all => wanted(all).length >= 7, EXPIRED_MS_MAX));
  const outcomes = records.map(one => `${one.kind} ${one.outcome}`).sort();
  assert.deepEqual(outcomes, [...Array(3).fill('expired unknown'), ...Array(4).fill('settled completed')]);
});
