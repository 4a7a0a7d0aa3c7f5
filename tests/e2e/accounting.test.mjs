// Money under load: budgets that many callers draw on at once, callers that leave, processes that die, buckets that fail.
// Needs a gateway whose process and bucket are at hand.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { FLAT_PRICE_USD } from './config.mjs';
import { startWorld, withoutProcess as skip } from './gateway.mjs';
import { json, send, sendAndLeave, until } from './http.mjs';

const NANO = 1_000_000_000;
const FLAT_NANO = Math.round(Number(FLAT_PRICE_USD) * NANO);
const SHIPPED_MS_MAX = 20_000;
/** How soon a provider must be let go when the caller has left. */
const ABORTED_MS_MAX = 1_000;

let world;
before(async () => { if (!skip) world = await startWorld({ flakyBucket: true }); });
after(() => world?.stop());

const chat = (model, more = {}) => JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], ...more });
const target = () => `${world.gateway.url}/v1/chat/completions`;
const headers = key => ({ 'content-type': 'application/json', authorization: `Bearer ${key.key}` });
async function ask(key, body) {
  const answer = await send(target(), { method: 'POST', headers: headers(key), body });
  const { text, cut } = await answer.read();
  return { status: answer.status, id: answer.headers['x-request-id'], cost: answer.headers['x-sluice-cost-usd'], text, cut };
}
const keyScope = (standing, key) => standing.scopes.find(one => JSON.stringify(one.scope) === JSON.stringify({ key: key.id }));

test('of 200 callers at once exactly those are served that the budget pays for', { skip }, async () => {
  const key = await world.gateway.mint({ org: 'storm', budgets: [{ usd: '1', per: 'day' }] });
  const answers = await Promise.all(Array.from({ length: 200 }, () => ask(key, chat('mock-openai/flat'))));
  const served = answers.filter(one => one.status === 200);
  const refused = answers.filter(one => one.status === 429);
  assert.deepEqual([served.length, refused.length], [50, 150]);
  for (const one of refused) {
    const { error } = JSON.parse(one.text);
    assert.match(`${error.code} ${error.message}`, /budget/);
    assert.ok(error.message.includes(key.id), error.message);
  }
  const { ledger, records, standing } = await world.gateway.sums('storm', SHIPPED_MS_MAX);
  assert.equal(ledger, 50 * FLAT_NANO);
  assert.equal(records, ledger);
  assert.equal(keyScope(standing, key).requests_total, 50);
  assert.equal(keyScope(standing, key).reserved, 0);
  const shipped = await world.gateway.records();
  assert.deepEqual(shipped.filter(record => record.key === key.id).map(record => record.request).sort(), served.map(one => one.id).sort());
});

test('a budget in tokens is never overspent, and what is left over is less than one request', { skip }, async () => {
  // 9 tokens in at $2 and 3 out at $8 for a million: 42,000 nano-dollars a request.
  const key = await world.gateway.mint({ org: 'storm', budgets: [{ usd: '0.002', per: 'day' }] });
  const body = chat('mock-openai/chat', { max_tokens: 3 });
  // A request reserves more than it uses, so that each round leaves something to the next, until nothing fits.
  let served = 1;
  for (let round = 0; round < 40 && served > 0; round += 1) {
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(key, body)));
    served = answers.filter(one => one.status === 200).length;
    await until(() => world.gateway.standing('storm'), ({ open }) => open === 0, SHIPPED_MS_MAX);
  }
  assert.equal(served, 0);
  const scope = keyScope((await world.gateway.quiet('storm', SHIPPED_MS_MAX)), key);
  assert.ok(scope.spent_day <= 2_000_000, `${scope.spent_day}`);
  assert.ok(scope.spent_day >= 2_000_000 - 10 * 42_000, `${scope.spent_day}`);
  assert.equal(scope.spent_day % 42_000, 0);
});

test('a request limit is kept by many callers at once', { skip }, async () => {
  const key = await world.gateway.mint({ org: 'storm', limits: [{ requests: 25, per: '1h' }] });
  const answers = await Promise.all(Array.from({ length: 100 }, () => ask(key, chat('mock-openai/flat'))));
  assert.equal(answers.filter(one => one.status === 200).length, 25);
  assert.equal(answers.filter(one => one.status === 429).length, 75);
});

for (const [wire, streamed, model] of [
  ['openai', false, 'fault-hang'], ['anthropic', true, 'fault-hang'], ['openai', true, 'slow-chunks-300'], ['anthropic', true, 'slow-chunks-300'], ['gemini', true, 'slow-chunks-300'], ['openai', true, 'fault-hang-after-4'],
]) {
  test(`a caller who leaves frees the provider within a second and is settled: ${wire}, ${streamed ? 'streamed' : 'whole'}, ${model}`, { skip }, async t => {
    if (model === 'fault-hang' && !world.capabilities.has('leaving')) return t.skip('this runtime does not say that a caller has left before the answer begins');
    const key = await world.gateway.mint({ org: 'leavers' });
    const mark = await world.mocks.mark();
    const body = JSON.stringify({ model: `mock-${wire}/${model}`, messages: [{ role: 'user', content: 'one two three four five six seven eight nine ten' }], ...(streamed ? { stream: true } : {}) });
    const caller = sendAndLeave(target(), { headers: headers(key), body });
    await until(() => world.mocks.callsNow(mark), calls => calls.length === 1 && (!streamed || model === 'fault-hang' || calls[0].events >= 3));
    const leftMs = Date.now();
    if (model.startsWith('fault-hang')) caller.reset();
    else caller.leave();
    const calls = await world.mocks.calls(mark);
    assert.deepEqual(calls.map(one => one.end), ['aborted'], 'one call, and it is not tried again');
    assert.ok(calls[0].end_ms - leftMs <= ABORTED_MS_MAX, `${calls[0].end_ms - leftMs} ms`);
    const { standing } = await world.gateway.sums('leavers', SHIPPED_MS_MAX);
    assert.equal(keyScope(standing, key).reserved, 0);
    const records = (await world.gateway.records()).filter(record => record.key === key.id);
    assert.equal(records.length, 1);
    assert.equal(records[0].outcome, 'downstream_left');
    assert.equal(records[0].cost_nano_usd, keyScope(standing, key).spent_total);
    if (streamed && model !== 'fault-hang') assert.ok(records[0].cost_nano_usd > 0, 'what came is charged');
    return undefined;
  });
}

test('a bucket that fails for a while loses nothing', { skip }, async () => {
  const key = await world.gateway.mint({ org: 'outage' });
  world.gateway.bucketFails = true;
  const answers = [];
  for (let index = 0; index < 20; index += 1) answers.push(await ask(key, chat('mock-openai/chat')));
  assert.deepEqual(answers.map(one => one.status), answers.map(() => 200));
  await until(() => world.gateway.bucketFailures, failures => failures > 0);
  assert.ok(world.gateway.bucketFailures > 0, 'shipping was tried');
  const waiting = await until(() => world.gateway.standing('outage'), ({ outbox }) => outbox === 20, SHIPPED_MS_MAX);
  assert.equal(waiting.outbox, 20);
  world.gateway.bucketFails = false;
  const { ledger, records, standing } = await world.gateway.sums('outage', 60_000);
  assert.equal(standing.outbox, 0);
  assert.equal(records, ledger);
  const shipped = (await world.gateway.records()).filter(record => record.key === key.id).map(record => record.request);
  assert.deepEqual(shipped.sort(), answers.map(one => one.id).sort());
});

test('health says that the bucket fails, and nothing else, for as long as it does', { skip }, async () => {
  const health = async () => {
    const answer = await send(`${world.gateway.url}/health`);
    const { status, checks } = JSON.parse(await answer.text());
    // A provider of these tests has no key, whatever else there is.
    const { provider_keys: keys, ...others } = checks;
    assert.equal(keys.status, 'degraded');
    assert.ok(['registry', 'ledger', 'key_copy', 'records'].every(name => Number.isInteger(checks[name].latency_us)), JSON.stringify(checks));
    return { code: answer.status, status, failing: Object.keys(others).filter(name => others[name].status !== 'ok'), records: checks.records.status };
  };
  assert.deepEqual(await health(), { code: 200, status: 'degraded', failing: [], records: 'ok' });
  world.gateway.bucketFails = true;
  assert.deepEqual(await health(), { code: 200, status: 'degraded', failing: ['records'], records: 'degraded' });
  world.gateway.bucketFails = false;
  assert.deepEqual(await health(), { code: 200, status: 'degraded', failing: [], records: 'ok' });
});

test('killing the runtime under load loses no record of an answer that a caller saw', { skip }, async () => {
  const key = await world.gateway.mint({ org: 'crash' });
  const seen = [];
  let killed = false;
  const worker = async (_, index) => {
    while (!killed) {
      const body = index % 2 === 0 ? chat('mock-openai/chat') : chat('mock-anthropic/chat', { stream: true });
      const answer = await ask(key, body).catch(() => null);
      const whole = answer?.status === 200 && !answer.cut && (index % 2 === 0 || /\[DONE\]/.test(answer.text));
      if (whole) seen.push(answer.id);
    }
  };
  const workers = Promise.all(Array.from({ length: 16 }, worker));
  await until(() => seen.length, count => count >= 150, 30_000, 5);
  killed = true;
  world.gateway.kill();
  await workers;
  assert.ok(seen.length >= 150, `only ${seen.length} answers before the end`);
  await world.gateway.restart();
  const again = await json(target(), { method: 'POST', headers: headers(key), body: JSON.parse(chat('mock-openai/chat')) });
  assert.equal(again.status, 200, 'the key and the configuration are still there');
  const { ledger, records } = await world.gateway.sums('crash', 90_000);
  const found = new Map();
  for (const record of await world.gateway.records()) if (record.org === 'crash') found.set(record.request, (found.get(record.request) ?? 0) + 1);
  const lost = seen.filter(id => !found.has(id));
  assert.deepEqual(lost, [], `${lost.length} of ${seen.length} are lost`);
  assert.deepEqual(seen.filter(id => found.get(id) !== 1), [], 'one record each');
  assert.equal(records, ledger);
});

test('callers let no foreign text, header or key through to the providers', { skip }, async () => {
  const calls = await world.mocks.calls();
  assert.ok(calls.length > 200);
  assert.deepEqual([...new Set(calls.flatMap(call => call.violations))], []);
});
