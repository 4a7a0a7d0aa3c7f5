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

const WIRES = ['openai', 'plain', 'anthropic', 'gemini'];
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }];
const hello = [{ role: 'user', content: 'Grüße 🌍' }];

for (const wire of WIRES) {
  test(`${wire}: whole and streamed answers agree`, async () => {
    const whole = await client.chat.completions.create({ model: `mock-${wire}/chat`, messages: hello });
    assert.equal(whole.choices[0].message.content, 'You said: Grüße 🌍');
    const stream = await client.chat.completions.create({ model: `mock-${wire}/chat`, messages: hello, stream: true, stream_options: { include_usage: true } });
    let text = '';
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens], [whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens]);
  });

  test(`${wire}: the client's own tool runner makes the round trip`, async () => {
    const asked = [];
    const run = stream => client.chat.completions.runTools({
      model: `mock-${wire}/chat`, messages: [{ role: 'user', content: 'use the tool get_weather' }], stream,
      tools: [{ type: 'function', function: { ...tools[0].function, parse: JSON.parse, function: args => { asked.push(args.city); return 'sunny'; } } }],
    });
    for (const stream of [false, true]) assert.equal(await (run(stream)).finalContent(), 'The tool said: sunny');
    assert.deepEqual(asked, ['sample', 'sample']);
  });

  test(`${wire}: a stream that is given up is given up upstream`, async () => {
    const mark = await world.mocks.mark();
    const stream = await client.chat.completions.create({ model: `mock-${wire}/slow-chunks-200`, messages: [{ role: 'user', content: 'one two three four five six seven eight nine ten eleven twelve thirteen' }], stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    const [call] = await world.mocks.calls(mark);
    assert.equal(call.end, 'aborted');
  });
}

test('embeddings come back as numbers', async () => {
  for (const wire of ['openai', 'gemini']) {
    const { data } = await client.embeddings.create({ model: `mock-${wire}/embed`, input: ['a', 'b'], dimensions: 8 });
    assert.deepEqual(data.map(one => one.embedding.length), [8, 8]);
    assert.ok(Math.abs(Math.hypot(...data[0].embedding) - 1) < 1e-5);
  }
});

test('models are listed and looked up', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes('sandbox/echo'), names.join());
  assert.equal((await client.models.retrieve('chain/500')).id, 'chain/500');
});

test('errors arrive as their classes', async () => {
  const ask = (more = {}, own = client) => own.chat.completions.create({ model: 'mock-openai/chat', messages: hello, ...more });
  await assert.rejects(ask({}, client.withOptions({ apiKey: 'wrong' })), OpenAI.AuthenticationError);
  await assert.rejects(ask({ model: 'no-such-model' }), OpenAI.NotFoundError);
  await assert.rejects(ask({ temperature: 'hot' }), OpenAI.BadRequestError);
  await assert.rejects(ask({ model: 'mock-openai/fault-429-retry-after-30' }), OpenAI.RateLimitError);
  await assert.rejects(ask({ model: 'mock-anthropic/fault-500' }), OpenAI.InternalServerError);
  const { key } = await world.gateway.mint({ org: 'sdk', budgets: [{ usd: '0.000001', per: 'day' }] });
  await assert.rejects(ask({}, client.withOptions({ apiKey: key })), error => error instanceof OpenAI.RateLimitError && /budget/.test(error.code));
});

test('an error in mid-stream is thrown, not swallowed', async () => {
  for (const wire of WIRES) {
    const read = async () => {
      const stream = await client.chat.completions.create({ model: `mock-${wire}/fault-cut-after-4`, messages: [{ role: 'user', content: 'one two three four five six seven eight' }], stream: true });
      for await (const chunk of stream) assert.ok(chunk.id);
    };
    await assert.rejects(read(), OpenAI.APIError, wire);
  }
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

test('structured output is parsed', async () => {
  for (const wire of ['openai', 'anthropic', 'gemini']) {
    const schema = { type: 'object', additionalProperties: false, required: ['city'], properties: { city: { type: 'string' } } };
    const answer = await client.chat.completions.parse({ model: `mock-${wire}/chat`, messages: hello, response_format: { type: 'json_schema', json_schema: { name: 'place', strict: true, schema } } });
    assert.equal(JSON.parse(answer.choices[0].message.content).city, 'sample', wire);
  }
});

test('nothing of all that was refused by a provider', async () => {
  const calls = await until(() => world.mocks.calls(), () => true);
  assert.deepEqual([...new Set(calls.flatMap(call => call.violations))], []);
});
