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
  document.providers['mock-gone'] = { ...document.providers['mock-circuit'], base_url: 'http://127.0.0.1:9/v1' };
  gateway = await startGateway({ mocksUrl: mocks.url, document, isolates: ['other'] });
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
const there = async model => codeOf(await (await gateway.isolate('other')).fetch(`${gateway.url}/v1/chat/completions`, request(model)));
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
  for (let call = 0; call < 3; call += 1) assert.equal(await here('mock-gone/chat'), 'upstream_unreachable');
  assert.equal(await here('mock-gone/other'), 'circuit_open');
  const looked = name => until(() => known(name), one => one?.looked_at, LOOKED_MS_MAX);
  const gone = await looked('mock-gone');
  assert.deepEqual([gone.state, gone.answers], ['open', false]);
  const there = await looked('mock-circuit');
  assert.deepEqual([there.state, there.answers], ['closed', true]);
});
