// Anthropic's official client for Node.js.

import { randomUUID } from 'node:crypto';

import Anthropic from '@anthropic-ai/sdk';

import { CITY, ECHO, FORBIDDEN, GREETING, KEY, OTHER_KEY, PIXEL, SEEN, URL_OF_GATEWAY, USE_BOTH, USE_TOOL, WORDS, assert, assertAborted, run, versionOf } from './harness.mjs';

const options = { baseURL: URL_OF_GATEWAY, maxRetries: 0, timeout: 20_000 };
const sdk = new Anthropic({ ...options, apiKey: KEY });
const hello = [{ role: 'user', content: GREETING }];
const TOOLS = ['get_weather', 'get_time'].map(name => ({ name, input_schema: CITY }));

const ask = (up, { model = 'chat', client = sdk, ...more } = {}) => client.messages.create({ model: up.model(model), max_tokens: 2000, messages: hello, ...more });
const finished = (up, stream, { model = 'chat', ...more } = {}) => (stream ? sdk.messages.stream({ model: up.model(model), max_tokens: 2000, messages: hello, ...more }).finalMessage() : ask(up, { model, ...more }));
const textOf = answer => answer.content.filter(block => block.type === 'text').map(block => block.text).join('');

async function toolTurns(up, asked, names, stream, more = {}) {
  const turns = [{ role: 'user', content: asked }];
  const first = await finished(up, stream, { messages: turns, tools: TOOLS, ...more });
  const calls = first.content.filter(block => block.type === 'tool_use');
  assert.deepEqual([first.stop_reason, calls.map(call => call.name), calls.map(call => call.input)], ['tool_use', names, names.map(() => ({ city: 'sample' }))]);
  const results = calls.map((call, index) => ({ type: 'tool_result', tool_use_id: call.id, content: `sunny ${index}` }));
  const said = first.content.map(block => Object.fromEntries(Object.entries(block).filter(([name, value]) => value !== null && !['parsed_output', 'caller'].includes(name))));
  const second = await finished(up, stream, { messages: [...turns, { role: 'assistant', content: said }, { role: 'user', content: results }], tools: TOOLS, ...more });
  assert.equal(textOf(second), `The tool said: ${names.map((_, index) => `sunny ${index}`).join(' | ')}`);
  return first;
}

await run({ name: 'anthropic (Node.js)', dialect: 'anthropic', version: versionOf(new URL('../../', import.meta.url), '@anthropic-ai/sdk'), features: {
  async chat(up) {
    for (const client of [sdk, new Anthropic({ ...options, apiKey: null, authToken: KEY })]) {
      const answer = await ask(up, { client, system: 'Be brief.' });
      assert.deepEqual([textOf(answer), answer.stop_reason, answer.role], [ECHO, 'end_turn', 'assistant']);
    }
  },
  async stream(up) {
    const [whole, end] = [await ask(up), await finished(up, true)];
    assert.deepEqual([textOf(end), end.stop_reason, end.usage.input_tokens, end.usage.output_tokens], [ECHO, 'end_turn', whole.usage.input_tokens, whole.usage.output_tokens]);
  },
  async tools(up) {
    await toolTurns(up, USE_TOOL, ['get_weather'], false);
    if (!up.choice) return;
    const forced = await ask(up, { tools: TOOLS, tool_choice: { type: 'tool', name: 'get_time' } });
    assert.deepEqual(forced.content.filter(block => block.type === 'tool_use').map(call => call.name), ['get_time']);
  },
  'streamed tools': up => toolTurns(up, USE_TOOL, ['get_weather'], true),
  async 'parallel tools'(up) { for (const stream of [false, true]) await toolTurns(up, USE_BOTH, ['get_weather', 'get_time'], stream); },
  async 'structured output'(up) {
    const answer = await ask(up, { output_config: { format: { type: 'json_schema', schema: CITY } } });
    assert.deepEqual([JSON.parse(textOf(answer)), answer.stop_reason], [{ city: 'sample' }, 'end_turn']);
  },
  async images(up) {
    const content = [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: PIXEL } }, { type: 'text', text: 'What is it?' }];
    assert.match(textOf(await ask(up, { messages: [{ role: 'user', content }] })), SEEN);
  },
  async thinking(up) {
    for (const stream of [false, true]) {
      const first = await toolTurns(up, USE_TOOL, ['get_weather'], stream, { model: 'thinking', ...(up.thoughts ? { thinking: { type: 'enabled', budget_tokens: 1024 } } : {}) });
      if (up.thoughts) assert.ok(first.content.some(block => block.type === 'thinking'));
    }
  },
  async errors(up) {
    await assert.rejects(ask(up, { client: sdk.withOptions({ apiKey: 'wrong' }) }), Anthropic.AuthenticationError);
    await assert.rejects(ask(up, { client: sdk.withOptions({ apiKey: OTHER_KEY, defaultHeaders: FORBIDDEN }) }), Anthropic.PermissionDeniedError);
    await assert.rejects(ask(up, { model: 'unknown' }), Anthropic.NotFoundError);
    await assert.rejects(ask(up, { temperature: 'hot' }), error => error instanceof Anthropic.BadRequestError && /temperature/.test(error.message));
    await assert.rejects(ask(up, { model: 'fault-context-length' }), Anthropic.BadRequestError);
    await assert.rejects(ask(up, { model: 'fault-429-retry-after-7' }), error => error instanceof Anthropic.RateLimitError && error.headers.get('retry-after') === '7');
    await assert.rejects(ask(up, { model: 'fault-500' }), Anthropic.InternalServerError);
    await assert.rejects(ask(up, { model: 'fault-html' }), Anthropic.InternalServerError);
  },
  async 'broken streams'(up) {
    for (const model of ['fault-cut-after-4', 'error-event-after-4', 'fault-end-after-4']) {
      await assert.rejects(finished(up, true, { model, messages: [{ role: 'user', content: WORDS }] }), Anthropic.AnthropicError, model);
      await assert.rejects(async () => { for await (const event of await ask(up, { model, messages: [{ role: 'user', content: WORDS }], stream: true })) assert.notEqual(event.type, 'message_stop'); }, Anthropic.APIError, model);
    }
    await assert.rejects(ask(up, { model: 'fault-500', stream: true }), Anthropic.APIError);
  },
  async cancellation(up) {
    const nonce = `${randomUUID()} ${WORDS}`;
    for await (const event of await ask(up, { model: 'slow-chunks-100', messages: [{ role: 'user', content: nonce }], stream: true })) if (event.type === 'content_block_delta') break;
    await assertAborted(nonce);
  },
  async 'token counting'(up) {
    assert.ok((await sdk.messages.countTokens({ model: up.model(), messages: hello, tools: TOOLS })).input_tokens > 0);
  },
  async models() {
    const names = [];
    for await (const model of sdk.models.list()) names.push(model.id);
    assert.ok(names.includes('sandbox/echo'), names.join());
    assert.equal((await sdk.models.retrieve('sandbox/echo')).id, 'sandbox/echo');
  },
  embeddings: 'Anthropic has no embeddings',
} });
