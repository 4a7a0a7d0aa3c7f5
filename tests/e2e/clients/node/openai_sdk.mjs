// OpenAI's official client for Node.js: Chat Completions and Responses.

import { randomUUID } from 'node:crypto';

import OpenAI from 'openai';

import { CITY, ECHO, FORBIDDEN, GREETING, KEY, OTHER_KEY, PIXEL, SEEN, URL_OF_GATEWAY, USE_BOTH, USE_TOOL, WORDS, assert, assertAborted, run, versionOf } from './harness.mjs';

const sdk = new OpenAI({ baseURL: `${URL_OF_GATEWAY}/v1`, apiKey: KEY, maxRetries: 0, timeout: 20_000 });
const version = versionOf(new URL('../../', import.meta.url), 'openai');
const hello = [{ role: 'user', content: GREETING }];
const TOOLS = ['get_weather', 'get_time'].map(name => ({ type: 'function', function: { name, parameters: CITY, strict: true } }));
const FLAT = TOOLS.map(({ function: one }) => ({ type: 'function', ...one }));

const ask = (up, { model = 'chat', client = sdk, ...more } = {}) => client.chat.completions.create({ model: up.model(model), messages: hello, ...more });
const streamed = (up, { model = 'chat', ...more } = {}) => sdk.chat.completions.stream({ model: up.model(model), messages: hello, ...more });
const finished = (up, stream, more) => (stream ? streamed(up, more).finalChatCompletion() : ask(up, more));

async function errors(ask, wrong, param) {
  await assert.rejects(ask({ client: sdk.withOptions({ apiKey: 'wrong' }) }), OpenAI.AuthenticationError);
  await assert.rejects(ask({ client: sdk.withOptions({ apiKey: OTHER_KEY, defaultHeaders: FORBIDDEN }) }), OpenAI.PermissionDeniedError);
  await assert.rejects(ask({ model: 'unknown' }), OpenAI.NotFoundError);
  await assert.rejects(ask(wrong), error => error instanceof OpenAI.BadRequestError && error.param === param);
  await assert.rejects(ask({ model: 'fault-context-length' }), error => error instanceof OpenAI.BadRequestError && error.code === 'context_length_exceeded');
  await assert.rejects(ask({ model: 'fault-429-retry-after-7' }), error => error instanceof OpenAI.RateLimitError && error.headers.get('retry-after') === '7');
  await assert.rejects(ask({ model: 'fault-500' }), OpenAI.InternalServerError);
  await assert.rejects(ask({ model: 'fault-html' }), OpenAI.InternalServerError);
}

async function toolTurns(up, asked, names, stream, more = {}) {
  const messages = [{ role: 'user', content: asked }];
  const { message, finish_reason: finish } = (await finished(up, stream, { messages, tools: TOOLS, ...more })).choices[0];
  const calls = message.tool_calls;
  assert.deepEqual([finish, calls.map(call => call.function.name), calls.map(call => JSON.parse(call.function.arguments))], ['tool_calls', names, names.map(() => ({ city: 'sample' }))]);
  const { parsed: _parsed, ...said } = message;
  for (const call of said.tool_calls) delete call.function.parsed_arguments;
  const results = calls.map((call, index) => ({ role: 'tool', tool_call_id: call.id, content: `sunny ${index}` }));
  const second = (await finished(up, stream, { messages: [...messages, said, ...results], tools: TOOLS, ...more })).choices[0];
  assert.equal(second.message.content, `The tool said: ${names.map((_, index) => `sunny ${index}`).join(' | ')}`);
}

await run({ name: 'openai (Node.js), Chat Completions', dialect: 'openai', version, features: {
  async chat(up) {
    const answer = await ask(up);
    assert.deepEqual([answer.choices[0].message.content, answer.choices[0].finish_reason], [ECHO, 'stop']);
    assert.ok(answer.usage.total_tokens === answer.usage.prompt_tokens + answer.usage.completion_tokens && answer.usage.total_tokens > 0);
  },
  async stream(up) {
    const whole = await ask(up);
    const stream = streamed(up, { stream_options: { include_usage: true } });
    const end = await stream.finalChatCompletion();
    assert.deepEqual([end.choices[0].message.content, end.choices[0].finish_reason], [ECHO, 'stop']);
    const usage = await stream.totalUsage();
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens], [whole.usage.prompt_tokens, whole.usage.completion_tokens, whole.usage.total_tokens]);
  },
  async tools(up) {
    await toolTurns(up, USE_TOOL, ['get_weather'], false);
    if (!up.choice) return;
    const forced = await ask(up, { tools: TOOLS, tool_choice: { type: 'function', function: { name: 'get_time' } } });
    assert.deepEqual(forced.choices[0].message.tool_calls.map(call => call.function.name), ['get_time']);
    assert.ok(!((await ask(up, { messages: [{ role: 'user', content: USE_TOOL }], tools: TOOLS, tool_choice: 'none' })).choices[0].message.tool_calls?.length > 0));
  },
  async 'streamed tools'(up) {
    await toolTurns(up, USE_TOOL, ['get_weather'], true);
    const asked = [];
    const runner = sdk.chat.completions.runTools({ model: up.model(), messages: [{ role: 'user', content: USE_TOOL }], stream: true, tools: [{ type: 'function', function: { ...TOOLS[0].function, parse: JSON.parse, function: args => { asked.push(args.city); return 'sunny'; } } }] });
    assert.equal(await runner.finalContent(), 'The tool said: sunny');
    assert.deepEqual(asked, ['sample']);
  },
  async 'parallel tools'(up) { for (const stream of [false, true]) await toolTurns(up, USE_BOTH, ['get_weather', 'get_time'], stream); },
  async 'structured output'(up) {
    const answer = await sdk.chat.completions.parse({ model: up.model(), messages: hello, response_format: { type: 'json_schema', json_schema: { name: 'place', strict: true, schema: CITY } } });
    assert.deepEqual([JSON.parse(answer.choices[0].message.content), answer.choices[0].finish_reason], [{ city: 'sample' }, 'stop']);
  },
  async images(up) {
    const content = [{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${PIXEL}` } }];
    assert.match((await ask(up, { messages: [{ role: 'user', content }] })).choices[0].message.content, SEEN);
  },
  async thinking(up) { for (const stream of [false, true]) await toolTurns(up, USE_TOOL, ['get_weather'], stream, { model: 'thinking', ...(up.thoughts ? { reasoning_effort: 'low', max_completion_tokens: 4000 } : {}) }); },
  errors: up => errors(more => ask(up, more), { temperature: 'hot' }, 'temperature'),
  async 'broken streams'(up) {
    for (const model of ['fault-cut-after-4', 'error-event-after-4', 'fault-end-after-4']) {
      await assert.rejects(async () => { for await (const chunk of await ask(up, { model, messages: [{ role: 'user', content: WORDS }], stream: true })) assert.ok(chunk.object !== 'error'); }, OpenAI.APIError, model);
    }
    await assert.rejects(ask(up, { model: 'fault-500', stream: true }), OpenAI.InternalServerError);
  },
  async cancellation(up) {
    const nonce = `${randomUUID()} ${WORDS}`;
    for await (const chunk of await ask(up, { model: 'slow-chunks-100', messages: [{ role: 'user', content: nonce }], stream: true })) if (chunk.choices[0]?.delta.content) break;
    await assertAborted(nonce);
  },
  async models() {
    const names = [];
    for await (const model of sdk.models.list()) names.push(model.id);
    assert.ok(names.includes('sandbox/echo'), names.join());
    assert.equal((await sdk.models.retrieve('sandbox/echo')).id, 'sandbox/echo');
  },
  async embeddings(up) {
    const { data } = await sdk.embeddings.create({ model: up.model('embed'), input: ['a', 'b'], dimensions: up.dimensions });
    assert.deepEqual(data.map(one => one.embedding.length), [up.dimensions, up.dimensions]);
  },
  'token counting': 'Chat Completions have no address for it',
} });

const respond = (up, { model = 'chat', client = sdk, ...more } = {}) => client.responses.create({ model: up.model(model), input: GREETING, store: false, ...more });
const responded = (up, stream, { model = 'chat', ...more }) => (stream ? sdk.responses.stream({ model: up.model(model), store: false, ...more }).finalResponse() : respond(up, { model, ...more }));

async function responseTurns(up, asked, names, stream, more = {}) {
  const input = [{ role: 'user', content: asked }];
  const first = await responded(up, stream, { input, tools: FLAT, ...more });
  const calls = first.output.filter(item => item.type === 'function_call');
  assert.deepEqual([calls.map(call => call.name), calls.map(call => JSON.parse(call.arguments))], [names, names.map(() => ({ city: 'sample' }))]);
  const said = first.output.map(({ parsed_arguments: _parsed, ...item }) => item);
  const second = await responded(up, stream, { input: [...input, ...said, ...calls.map((call, index) => ({ type: 'function_call_output', call_id: call.call_id, output: `sunny ${index}` }))], tools: FLAT, ...more });
  assert.equal(second.output_text, `The tool said: ${names.map((_, index) => `sunny ${index}`).join(' | ')}`);
  return first;
}

await run({ name: 'openai (Node.js), Responses', dialect: 'responses', version, features: {
  async chat(up) {
    const answer = await respond(up, { instructions: 'Be brief.' });
    assert.deepEqual([answer.output_text, answer.status], [ECHO, 'completed']);
  },
  async stream(up) {
    const [whole, end] = [await respond(up), await responded(up, true, { input: GREETING })];
    assert.deepEqual([end.output_text, end.status, end.usage.input_tokens, end.usage.output_tokens], [ECHO, 'completed', whole.usage.input_tokens, whole.usage.output_tokens]);
  },
  async tools(up) {
    await responseTurns(up, USE_TOOL, ['get_weather'], false);
    if (!up.choice) return;
    assert.deepEqual((await respond(up, { tools: FLAT, tool_choice: { type: 'function', name: 'get_time' } })).output.filter(item => item.type === 'function_call').map(call => call.name), ['get_time']);
  },
  'streamed tools': up => responseTurns(up, USE_TOOL, ['get_weather'], true),
  async 'parallel tools'(up) { for (const stream of [false, true]) await responseTurns(up, USE_BOTH, ['get_weather', 'get_time'], stream); },
  async 'structured output'(up) {
    const answer = await sdk.responses.parse({ model: up.model(), input: GREETING, text: { format: { type: 'json_schema', name: 'place', strict: true, schema: CITY } } });
    assert.deepEqual(answer.output_parsed, { city: 'sample' });
  },
  async images(up) {
    const content = [{ type: 'input_text', text: 'What is it?' }, { type: 'input_image', detail: 'auto', image_url: `data:image/png;base64,${PIXEL}` }];
    assert.match((await respond(up, { input: [{ role: 'user', content }] })).output_text, SEEN);
  },
  async thinking(up) {
    const more = { include: ['reasoning.encrypted_content'], ...(up.thoughts ? { reasoning: { effort: 'low', summary: 'auto' }, max_output_tokens: 4000 } : {}) };
    for (const stream of [false, true]) {
      const first = await responseTurns(up, USE_TOOL, ['get_weather'], stream, { model: 'thinking', ...more });
      if (up.thoughts) assert.ok(first.output.some(item => item.type === 'reasoning'));
    }
  },
  errors: up => errors(more => respond(up, more), { temperature: 'hot' }, 'temperature'),
  async 'broken streams'(up) {
    for (const model of ['fault-cut-after-4', 'error-event-after-4', 'fault-end-after-4']) {
      const types = [];
      const read = async () => { for await (const event of await respond(up, { model, input: WORDS, stream: true })) types.push(event.type); };
      await read().catch(error => { assert.ok(error instanceof OpenAI.APIError, `${error}`); types.push('error'); });
      assert.ok(!types.includes('response.completed') && ['error', 'response.failed'].includes(types.at(-1)), `${model}: ${types.at(-1)}`);
    }
  },
  async cancellation(up) {
    const nonce = `${randomUUID()} ${WORDS}`;
    for await (const event of await respond(up, { model: 'slow-chunks-100', input: nonce, stream: true })) if (event.type === 'response.output_text.delta') break;
    await assertAborted(nonce);
  },
  models: 'the same call as with Chat Completions',
  embeddings: 'the same call as with Chat Completions',
  'token counting': 'the gateway keeps no state and counts no tokens for Responses',
} });
