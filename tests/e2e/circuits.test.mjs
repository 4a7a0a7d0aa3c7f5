// What isolates of one region tell each other of targets that fail, and what the region finds out by itself.
// Needs a gateway whose isolates are at hand.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { configDocument } from './config.mjs';
import { startGateway } from './gateway.mjs';
import { until } from './http.mjs';
import { startMocks } from './mocks.mjs';

/** How long news may take. */
const HEARD_MS_MAX = 15_000;
const LOOKED_MS_MAX = 15_000;

const skip = process.env.SLUICE_URL || (process.env.SLUICE_RUNTIME ?? 'workerd') !== 'workerd' ? 'the isolates of this gateway are not at hand' : false;
let mocks;
let gateway;
let key;

before(async () => {
  if (skip) return;
  mocks = await startMocks();
  const document = configDocument(mocks.url);
  const circuit = { ...document.providers['mock-circuit'].circuit, open: '20s', open_max: '20s', look: '1s' };
  document.providers['mock-circuit'].circuit = circuit;
  // Nobody listens there.
  for (const name of ['mock-gone', 'mock-lost']) document.providers[name] = { ...document.providers['mock-circuit'], base_url: 'http://127.0.0.1:9/v1' };
  document.models['chain/lost'] = { targets: [{ provider: 'mock-lost', model: 'chat' }, { provider: 'mock-backup', model: 'chat' }] };
  gateway = await startGateway({ mocksUrl: mocks.url, document, isolates: ['other', 'third'] });
  key = await gateway.mint({ org: 'e2e' });
});
after(async () => {
  await gateway?.stop();
  await mocks?.stop();
});

const request = model => ({
  method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${key.key}` },
  body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] }),
});
const codeOf = async answer => (await answer.json()).error?.code;
const here = async model => codeOf(await fetch(`${gateway.url}/v1/chat/completions`, request(model)));
const at = async (name, model) => codeOf(await (await gateway.isolate(name)).fetch(`${gateway.url}/v1/chat/completions`, request(model)));
const there = model => at('other', model);
const known = async name => (await gateway.admin('GET', '/admin/health')).json.targets.find(one => one.name === name);

test('what one isolate has seen the other hears, without having called', { skip }, async () => {
  const model = 'mock-circuit/fault-500-times-3-shared';
  assert.equal(await there('mock-openai/chat'), undefined);
  for (let call = 0; call < 3; call += 1) assert.equal(await here(model), 'upstream_error');
  assert.equal(await here(model), 'circuit_open');
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
  const gone = await until(() => known('mock-gone'), one => one?.looked_at && one.state === 'open', LOOKED_MS_MAX);
  assert.deepEqual([gone.state, gone.answers], ['open', false]);
  const answering = await until(() => known('mock-circuit'), one => one?.looked_at, LOOKED_MS_MAX);
  assert.deepEqual([answering.state, answering.answers], ['closed', true]);
});

test('a target that nobody has called and that is gone is known to be, and not called', { skip }, async () => {
  assert.equal(await here('mock-circuit/chat'), undefined);
  const gone = await until(() => known('mock-lost'), one => one?.state === 'open', LOOKED_MS_MAX);
  assert.deepEqual([gone.state, gone.answers, gone.calls, gone.called_at], ['open', false, 0, null]);
  assert.ok(Date.now() - Date.parse(gone.looked_at) < LOOKED_MS_MAX, gone.looked_at);
  // An isolate that has reported has heard.
  const { calls } = await known('mock-circuit');
  assert.equal(await at('third', 'mock-circuit/chat'), undefined);
  await until(() => known('mock-circuit'), one => one.calls > calls, HEARD_MS_MAX);
  const answer = await (await gateway.isolate('third')).fetch(`${gateway.url}/v1/chat/completions`, request('chain/lost'));
  assert.equal(answer.headers.get('x-sluice-provider'), 'mock-backup');
  const record = (await gateway.recordsOnce(all => all.has(answer.headers.get('x-request-id')), HEARD_MS_MAX)).get(answer.headers.get('x-request-id'))[0];
  assert.deepEqual(record.attempts.map(one => [one.provider, one.error ?? null]), [['mock-lost', 'circuit_open'], ['mock-backup', null]]);
  assert.equal((await known('mock-lost')).calls, 0);
});
