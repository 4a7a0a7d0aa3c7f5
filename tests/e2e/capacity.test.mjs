// Providers that take only so many calls at once: as the provider sees it, over all requests of a real runtime.
// Needs a gateway whose process is at hand.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { configDocument } from './config.mjs';
import { isOnSpin, startGateway, withoutLine, withoutProcess as skip } from './gateway.mjs';
import { send, sendAndLeave, until } from './http.mjs';
import { startMocks } from './mocks.mjs';

const SETTLED_MS_MAX = 20_000;
const SLOW = 'slow-first-byte-1000';
/** Longer than a test looks at it. */
const LONG = 'slow-first-byte-6000';

const seesLeavers = skip || (isOnSpin() ? 'on Spin a caller who leaves is noticed when its answer begins' : false);
let mocks;
let gateway;
before(async () => {
  if (skip) return;
  mocks = await startMocks();
  const document = configDocument(mocks.url);
  const like = capacity => ({ ...document.providers['mock-openai'], capacity });
  document.providers = { ...document.providers, waits: like({ concurrent: 2, queue: '30s' }), refuses: like({ concurrent: 1 }), passed: like({ concurrent: 1, queue: '30s' }) };
  const fallback = { targets: [{ provider: 'passed', model: LONG }, { provider: 'mock-backup', model: 'chat' }], fallback_on: ['error'] };
  document.models = { ...document.models, fallback };
  document.orgs = { ...document.orgs, fair: { teams: { red: {}, blue: {} } } };
  gateway = await startGateway({ mocksUrl: mocks.url, document });
});
after(async () => {
  await gateway?.stop();
  await mocks?.stop();
});

const headersOf = key => ({ 'content-type': 'application/json', authorization: `Bearer ${key.key}` });
const target = () => `${gateway.url}/v1/chat/completions`;
const body = (model, more = {}) => JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], ...more });

async function ask(key, ...what) {
  const answer = await send(target(), { method: 'POST', headers: headersOf(key), body: body(...what) });
  const { text } = await answer.read();
  const code = answer.status === 200 ? undefined : JSON.parse(text).error.code;
  return { status: answer.status, code, headers: answer.headers, id: answer.headers['x-request-id'] };
}
const callsOnce = (mark, count) => until(() => mocks.callsNow(mark), calls => calls.length >= count, SETTLED_MS_MAX, 5);

/** How many of these calls were under way at once, at most. */
function mostAtOnce(calls) {
  const changes = calls.flatMap(call => [[call.at_ms, 1], [call.end_ms, -1]]);
  changes.sort(([one, more], [other, less]) => one - other || more - less);
  let now = 0;
  return Math.max(...changes.map(([, change]) => (now += change)));
}

test('of many requests of two teams no more than a provider takes are with it at once, and all are answered', { skip }, async () => {
  const keys = await Promise.all(['red', 'blue'].map(team => gateway.mint({ org: 'fair', team })));
  for (const more of [{}, { stream: true }]) {
    const mark = await mocks.mark();
    const answers = await Promise.all(Array.from({ length: 8 }, (_, number) => ask(keys[number % 2], `waits/${SLOW}`, more)));
    assert.deepEqual(answers.map(one => one.status), Array(8).fill(200));
    const calls = await mocks.calls(mark);
    assert.equal(calls.length, 8);
    assert.equal(mostAtOnce(calls), 2);
  }
});

test('an operator sees how many slots of a provider are held', { skip }, async () => {
  const key = await gateway.mint({ org: 'fair' });
  const shown = async () => (await gateway.admin('GET', '/admin/health')).json.capacity.find(one => one.provider === 'waits');
  const mark = await mocks.mark();
  const all = [1, 2].map(() => ask(key, `waits/${LONG}`));
  await callsOnce(mark, 2);
  const full = await shown();
  assert.deepEqual([full.concurrent, full.held, typeof full.waiting_here], [2, 2, 'number']);
  assert.deepEqual((await Promise.all(all)).map(one => one.status), [200, 200]);
  // Slots that nobody needs are given back.
  assert.equal((await until(shown, one => one.held === 0, SETTLED_MS_MAX, 100)).held, 0);
});

test('teams take turns in the line of a provider', { skip: withoutLine }, async () => {
  const [red, blue] = await Promise.all(['red', 'blue'].map(team => gateway.mint({ org: 'fair', team })));
  const mark = await mocks.mark();
  const served = [];
  const waiting = (team, key) => ask(key, `waits/${SLOW}`).then(answer => served.push({ team, ...answer }));
  const all = [1, 2].map(() => waiting('opener', red));
  await callsOnce(mark, 2);
  all.push(...[1, 2, 3].map(() => waiting('red', red)));
  // An answer of the gateway's lies between: all of red stands in the line.
  await gateway.standing('fair');
  all.push(...[1, 2, 3].map(() => waiting('blue', blue)));
  await Promise.all(all);
  assert.deepEqual(served.map(one => one.status), Array(8).fill(200));
  // They are served two by two: one of each team.
  const teams = served.map(one => one.team);
  const pairs = [0, 2, 4, 6].map(at => teams.slice(at, at + 2).sort().join(' '));
  assert.deepEqual(pairs, ['opener opener', 'blue red', 'blue red', 'blue red']);
});

test('whoever leaves while it waits gives its place up and is not called for', { skip: seesLeavers }, async () => {
  const key = await gateway.mint({ org: 'fair' });
  const mark = await mocks.mark();
  const first = [1, 2].map(() => ask(key, `waits/${SLOW}`));
  await callsOnce(mark, 2);
  const leaves = sendAndLeave(target(), { headers: headersOf(key), body: body('waits/chat') });
  await gateway.standing('fair');
  const last = ask(key, 'waits/chat');
  leaves.reset();
  await leaves.ended;
  assert.deepEqual((await Promise.all([...first, last])).map(one => one.status), [200, 200, 200]);
  assert.equal((await mocks.calls(mark)).length, 3);
});

test('who may not wait is refused at once, and served when the call before has ended', { skip }, async () => {
  const key = await gateway.mint({ org: 'fair' });
  const mark = await mocks.mark();
  const first = ask(key, `refuses/${SLOW}`);
  await callsOnce(mark, 1);
  const second = await ask(key, 'refuses/chat');
  assert.deepEqual([second.status, second.code], [503, 'provider_at_capacity']);
  assert.equal(second.headers['retry-after'], '1');
  assert.equal((await first).status, 200);
  const third = await until(() => ask(key, 'refuses/chat'), one => one.status === 200, SETTLED_MS_MAX, 50);
  assert.equal(third.status, 200);
  const records = await gateway.recordsOnce(all => all.has(second.id), SETTLED_MS_MAX);
  const [{ attempts, error }] = records.get(second.id);
  assert.deepEqual([error, attempts.map(one => one.error)], ['provider_at_capacity', ['provider_at_capacity']]);
});

test('a caller that leaves its stream gives the slot back', { skip }, async () => {
  const key = await gateway.mint({ org: 'fair' });
  const mark = await mocks.mark();
  const leaves = sendAndLeave(target(), { headers: headersOf(key), body: body(`refuses/${LONG}`, { stream: true }) });
  await callsOnce(mark, 1);
  leaves.reset();
  await leaves.ended;
  const next = await until(() => ask(key, 'refuses/chat'), one => one.status === 200, SETTLED_MS_MAX, 50);
  assert.equal(next.status, 200);
});

test('a provider that is full is passed by while another serves', { skip }, async () => {
  const key = await gateway.mint({ org: 'fair' });
  const mark = await mocks.mark();
  const first = ask(key, 'fallback');
  await callsOnce(mark, 1);
  const second = await ask(key, 'fallback');
  assert.deepEqual([second.status, second.headers['x-sluice-provider']], [200, 'mock-backup']);
  assert.equal((await first).status, 200);
});
