// What isolates of one region tell each other of targets that fail, and what the region finds out by itself.
// Needs a gateway whose isolates, or hosts, are at hand.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { configDocument } from './config.mjs';
import { isOnSpin, meetOneInstance, startGateway } from './gateway.mjs';
import { until } from './http.mjs';
import { startMocks } from './mocks.mjs';

/** How long news may take: on Spin they come with reports, every ten seconds. */
const HEARD_MS_MAX = 18_000;
const LOOKED_MS_MAX = 15_000;

const skip = process.env.SLUICE_URL ? 'the isolates of this gateway are not at hand' : false;
let mocks;
let gateway;
let key;
/** Who else serves: isolates of the same worker, or other hosts over the same store. */
const others = {};

before(async () => {
  if (skip) return;
  mocks = await startMocks();
  const document = configDocument(mocks.url);
  const circuit = { ...document.providers['mock-circuit'].circuit, open: '20s', open_max: '20s', look: '1s' };
  document.providers['mock-circuit'].circuit = circuit;
  // Nobody listens there.
  for (const name of ['mock-gone', 'mock-lost']) document.providers[name] = { ...document.providers['mock-circuit'], base_url: 'http://127.0.0.1:9/v1' };
  document.models['chain/lost'] = { targets: [{ provider: 'mock-lost', model: 'chat' }, { provider: 'mock-backup', model: 'chat' }] };
  const names = ['other', 'third'];
  gateway = await startGateway({ mocksUrl: mocks.url, document, isolates: names });
  for (const name of names) others[name] = isOnSpin() ? await gateway.beside() : await gateway.isolate(name);
  key = await gateway.mint({ org: 'e2e' });
});
after(async () => {
  if (isOnSpin()) for (const other of Object.values(others)) await other.stop();
  await gateway?.stop();
  await mocks?.stop();
});

const request = model => ({
  method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${key.key}` },
  body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }),
});
const ask = (where, model) => {
  const [path, other] = ['/v1/chat/completions', others[where]];
  if (isOnSpin()) return fetch((other ?? gateway).url + path, request(model));
  return (other ?? globalThis).fetch(gateway.url + path, request(model));
};
const codeAt = async (where, model) => (await (await ask(where, model)).json()).error?.code;
const here = model => codeAt('here', model);
const there = model => codeAt('other', model);
const known = async name => (await gateway.admin('GET', '/admin/health')).json.targets.find(one => one.name === name);
/** The same, once somebody may have looked: by alarm, or when the maintenance address is called. */
const looked = async name => {
  if (isOnSpin()) await gateway.upkeep();
  return known(name);
};

test('what one isolate has seen the other hears, without having called', { skip }, async () => {
  const model = 'mock-circuit/fault-500-times-3-shared';
  assert.equal(await there('mock-openai/chat'), undefined);
  for (const [call, code] of ['upstream_error', 'upstream_error', 'upstream_error', 'circuit_open'].entries()) {
    await meetOneInstance(call === 0);
    assert.equal(await here(model), code);
  }
  assert.equal((await until(() => known(model), one => one?.state === 'open', HEARD_MS_MAX)).state, 'open');
  // Each of these requests asks the ledger, which hands the news on. A call would be answered: the mock has failed enough.
  const asked = async () => {
    await here('mock-openai/chat');
    await there('mock-openai/chat');
    return there(model);
  };
  assert.equal(await until(asked, code => code === 'circuit_open', HEARD_MS_MAX), 'circuit_open');
  assert.equal((await known(model)).failures, 3);
});

test('a provider that is gone is looked at, and one that answers', { skip }, async () => {
  // Three failures, of calls or of looks, or of both.
  assert.equal(await until(() => here('mock-gone/chat'), code => code === 'circuit_open', HEARD_MS_MAX), 'circuit_open');
  assert.equal(await here('mock-gone/other'), 'circuit_open');
  const gone = await until(() => looked('mock-gone'), one => one?.looked_at && one.state === 'open', LOOKED_MS_MAX);
  assert.deepEqual([gone.state, gone.answers], ['open', false]);
  const answering = await until(() => looked('mock-circuit'), one => one?.looked_at, LOOKED_MS_MAX);
  assert.deepEqual([answering.state, answering.answers], ['closed', true]);
});

test('a target that nobody has called and that is gone is known to be, and not called', { skip }, async () => {
  assert.equal(await here('mock-circuit/chat'), undefined);
  const gone = await until(() => looked('mock-lost'), one => one?.state === 'open', LOOKED_MS_MAX);
  assert.deepEqual([gone.state, gone.answers, gone.calls, gone.called_at], ['open', false, 0, null]);
  assert.ok(Date.now() - Date.parse(gone.looked_at) < LOOKED_MS_MAX, gone.looked_at);
  // Who has reported has heard.
  const { calls } = await known('mock-circuit');
  assert.equal(await codeAt('third', 'mock-circuit/chat'), undefined);
  await until(() => known('mock-circuit'), one => one.calls > calls, HEARD_MS_MAX);
  const answer = await ask('third', 'chain/lost');
  assert.equal(answer.headers.get('x-sluice-provider'), 'mock-backup');
  const id = answer.headers.get('x-request-id');
  const [record] = (await gateway.recordsOnce(all => all.has(id), HEARD_MS_MAX)).get(id);
  assert.deepEqual(record.attempts.map(one => [one.provider, one.error ?? null]), [['mock-lost', 'circuit_open'], ['mock-backup', null]]);
  assert.equal((await known('mock-lost')).calls, 0);
});
