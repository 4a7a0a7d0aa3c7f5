// OpenAI's official Node client against the gateway: two lines change, everything else stays.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import OpenAI from 'openai';

import { startWorld } from './gateway.mjs';
import { until } from './http.mjs';

let world;
let client;
before(async () => {
  world = await startWorld();
  const { key } = await world.gateway.mint({ org: 'sdk', name: 'sdk' });
  client = new OpenAI({ baseURL: `${world.gateway.url}/v1`, apiKey: key, maxRetries: 0 });
});
after(() => world?.stop());

const hello = [{ role: 'user', content: 'Grüße 🌍' }];

test('a spent budget is a limit that says so', async () => {
  const { key } = await world.gateway.mint({ org: 'sdk', budgets: [{ usd: '0.000001', per: 'day' }] });
  const ask = client.withOptions({ apiKey: key }).chat.completions.create({ model: 'mock-openai/chat', messages: hello });
  await assert.rejects(ask, error => error instanceof OpenAI.RateLimitError && /budget/.test(error.code));
});

test('the client waits as long as it is told and then succeeds', async () => {
  const patient = client.withOptions({ maxRetries: 2 });
  const { key } = await world.gateway.mint({ org: 'sdk', limits: [{ requests: 1, per: '2s' }] });
  const own = patient.withOptions({ apiKey: key });
  const started = Date.now();
  for (let index = 0; index < 2; index += 1) await own.chat.completions.create({ model: 'mock-openai/chat', messages: hello });
  assert.ok(Date.now() - started >= 900);
});

test('the raw answer tells who served and what it cost', async () => {
  const { response } = await client.chat.completions.create({ model: 'chain/500', messages: hello }).withResponse();
  assert.equal(response.headers.get('x-sluice-provider'), 'mock-backup');
  assert.ok(Number(response.headers.get('x-sluice-cost-usd')) > 0);
  assert.ok(response.headers.get('x-request-id'));
});

test('nothing of all that was refused by a provider', async () => {
  const calls = await until(() => world.mocks.calls(), () => true);
  assert.deepEqual([...new Set(calls.flatMap(call => call.violations))], []);
});
