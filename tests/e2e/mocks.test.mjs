// The mocks themselves: that they refuse what the real providers refuse, and break the way they are told to.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { json, send, sendAndLeave, until } from './http.mjs';
import { startMocks } from './mocks.mjs';

let mocks;
before(async () => { mocks = await startMocks(); });
after(() => mocks.stop());

const hello = [{ role: 'user', content: 'Hello' }];
const CHAT = {
  openai: more => ['/openai/v1/chat/completions', { authorization: 'Bearer sk-mock-openai' }, { model: 'chat', messages: hello, ...more }],
  plain: more => ['/plain/v1/chat/completions', { authorization: 'Bearer sk-mock-plain' }, { model: 'chat', messages: hello, ...more }],
  anthropic: more => ['/anthropic/v1/messages', { 'x-api-key': 'sk-ant-mock', 'anthropic-version': '2023-06-01' }, { model: 'chat', max_tokens: 9, messages: hello, ...more }],
  gemini: more => ['/gemini/v1beta/models/chat:generateContent', { 'x-goog-api-key': 'AIza-mock' }, { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }], ...more }],
};
const post = ([path, headers, body]) => json(mocks.url + path, { method: 'POST', headers, body });
const call = (id, name = 'now') => ({ role: 'assistant', content: null, tool_calls: [{ id, type: 'function', function: { name, arguments: '{}' } }] });
const use = id => ({ role: 'assistant', content: [{ type: 'tool_use', id, name: 'now', input: {} }] });
const result = id => ({ type: 'tool_result', tool_use_id: id, content: 'noon' });
const strict = schema => ({ type: 'json_schema', json_schema: { name: 'a', strict: true, schema } });
const tool = parameters => [{ functionDeclarations: [{ name: 'now', parameters }] }];

const REFUSED = {
  openai: {
    'an unknown field': { top_k: 1 },
    'an unknown field deep down': { messages: [{ role: 'user', content: [{ type: 'text', text: 'x', cache_control: {} }] }] },
    'a wrong type': { temperature: 'hot' },
    'no output': { max_tokens: 0 },
    'both output limits': { max_tokens: 1, max_completion_tokens: 1 },
    'a result that answers nothing': { messages: [{ role: 'tool', tool_call_id: 'a', content: 'x' }] },
    'a call that nothing answers': { messages: [...hello, call('a'), ...hello] },
    'a call id that is too long': { messages: [...hello, call('a'.repeat(41)), { role: 'tool', tool_call_id: 'a'.repeat(41), content: 'x' }] },
    'an illegal tool name': { tools: [{ type: 'function', function: { name: 'a b' } }] },
    'a choice without tools': { tool_choice: 'auto' },
    'stream options without a stream': { stream_options: { include_usage: true } },
    'a strict schema that is not strict': { response_format: strict({ type: 'object', properties: { a: { type: 'string' } } }) },
    'max_tokens for a reasoning model': { model: 'gpt-5-mini', max_tokens: 5 },
  },
  plain: { 'a developer': { messages: [{ role: 'developer', content: 'x' }] }, max_completion_tokens: { max_completion_tokens: 5 } },
  anthropic: {
    'an unknown field': { frequency_penalty: 1 },
    'no max_tokens': { max_tokens: undefined },
    'an assistant first': { messages: [{ role: 'assistant', content: 'x' }, ...hello] },
    'a system turn': { messages: [{ role: 'system', content: 'x' }, ...hello] },
    'blank text': { messages: [{ role: 'user', content: [{ type: 'text', text: ' ' }] }] },
    'trailing blanks of a last assistant': { messages: [...hello, { role: 'assistant', content: 'x ' }] },
    'a result that answers nothing': { messages: [{ role: 'user', content: [result('a')] }] },
    'a call that nothing answers': { messages: [...hello, use('a'), ...hello] },
    'text before a result': { messages: [...hello, use('a'), { role: 'user', content: [{ type: 'text', text: 'x' }, result('a')] }] },
    'an illegal call id': { messages: [...hello, use('a.b'), { role: 'user', content: [result('a.b')] }] },
    'a thought that somebody else signed': { messages: [...hello, { role: 'assistant', content: [{ type: 'thinking', thinking: 'x', signature: 'forged' }, { type: 'text', text: 'y' }] }, ...hello] },
    'a temperature above 1': { temperature: 1.5 },
    'a choice without tools': { tool_choice: { type: 'auto' } },
    'thinking beyond max_tokens': { thinking: { type: 'enabled', budget_tokens: 2000 } },
    'a tool without a schema': { tools: [{ name: 'now' }] },
  },
  gemini: {
    'an unknown field': { max_tokens: 1 },
    'an unknown setting': { generationConfig: { n: 1 } },
    'an unknown role': { contents: [{ role: 'assistant', parts: [{ text: 'x' }] }] },
    'a part without data': { contents: [{ role: 'user', parts: [{}] }] },
    'a part with two': { contents: [{ role: 'user', parts: [{ text: 'x', inlineData: { mimeType: 'image/png', data: 'aaaa' } }] }] },
    'an unknown schema keyword': { tools: tool({ type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }) },
    'an object without properties': { tools: tool({ type: 'OBJECT', properties: {} }) },
    'a list without items': { tools: tool({ type: 'OBJECT', properties: { a: { type: 'ARRAY' } } }) },
    'a numeric enum': { tools: tool({ type: 'OBJECT', properties: { a: { type: 'INTEGER', enum: ['1'] } } }) },
    'a type array': { tools: tool({ type: 'OBJECT', properties: { a: { type: ['string', 'null'] } } }) },
    'an answer to no call': { contents: [{ role: 'user', parts: [{ functionResponse: { name: 'now', response: {} } }] }] },
    'a call that nothing answers': { contents: [{ role: 'user', parts: [{ text: 'x' }] }, { role: 'model', parts: [{ functionCall: { name: 'now' } }] }, { role: 'user', parts: [{ text: 'y' }] }] },
    'a schema without its type of answer': { generationConfig: { responseSchema: { type: 'STRING' } } },
    'six stops': { generationConfig: { stopSequences: ['1', '2', '3', '4', '5', '6'] } },
  },
};

for (const [wire, cases] of Object.entries(REFUSED)) {
  test(`${wire} answers what is right`, async () => {
    const answer = await post(CHAT[wire]());
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
  });
  for (const [name, more] of Object.entries(cases)) {
    test(`${wire} refuses ${name}`, async () => {
      const answer = await post(CHAT[wire](more));
      assert.equal(answer.status, 400, JSON.stringify(answer.json));
      assert.match(JSON.stringify(answer.json.error), /"message":"[^"]+/);
    });
  }
  test(`${wire} refuses a wrong key`, async () => {
    const [path, headers, body] = CHAT[wire]();
    const wrong = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.replace(/mock.*/, 'wrong')]));
    assert.ok([400, 401].includes((await post([path, wrong, body])).status));
  });
  test(`${wire} refuses what belongs to the caller`, async () => {
    const [path, headers, body] = CHAT[wire]();
    for (const foreign of ['cookie', 'x-forwarded-for', 'x-sluice-org', wire === 'anthropic' ? 'x-goog-api-key' : 'x-api-key']) {
      assert.equal((await post([path, { ...headers, [foreign]: 'x' }, body])).status, 400, foreign);
    }
  });
}

test('a virtual key that goes upstream is seen wherever it hides', async () => {
  await mocks.forbid(['sk-sluice-secret']);
  const mark = await mocks.mark();
  await post(CHAT.openai({ user: 'sk-sluice-secret' }));
  const [seen] = await mocks.calls(mark);
  assert.equal(seen.violations.length, 1);
});

test('an Anthropic version is required', async () => {
  const [path, headers, body] = CHAT.anthropic();
  delete headers['anthropic-version'];
  assert.equal((await post([path, headers, body])).status, 400);
});

for (const [model, status] of Object.entries({ 'fault-429-retry-after-7': 429, 'fault-500': 500, 'fault-529': 529, 'fault-quota': 429, 'fault-context-length': 400, 'fault-html': 502, unknown: 404 })) {
  test(`${model} answers ${status}`, async () => {
    const [path, headers, body] = CHAT.openai({ model });
    const answer = await send(mocks.url + path, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) });
    await answer.text();
    assert.equal(answer.status, status);
    assert.equal(answer.headers['retry-after'], model.startsWith('fault-429') ? '7' : undefined);
  });
}

test('a fault that is asked for once comes once', async () => {
  const ask = () => post(CHAT.openai({ model: 'fault-500-then-ok-mocks' }));
  assert.deepEqual([(await ask()).status, (await ask()).status, (await ask()).status], [500, 200, 200]);
});

test('a stream is cut where it was asked to be', async () => {
  const [path, headers, body] = CHAT.openai({ model: 'fault-cut-after-3', stream: true });
  const answer = await send(mocks.url + path, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  const { text, cut } = await answer.read();
  assert.ok(cut);
  assert.equal(text.split('\n\n').filter(Boolean).length, 3);
});

test('whoever leaves is seen to leave', async () => {
  const mark = await mocks.mark();
  const [path, headers, body] = CHAT.openai({ model: 'fault-hang' });
  const caller = sendAndLeave(mocks.url + path, { headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  await until(() => mocks.callsNow(mark), calls => calls[0]?.fault === 'hang');
  caller.leave();
  const [seen] = await mocks.calls(mark);
  assert.equal(seen.end, 'aborted');
});

test('recorded answers are replayed where they are at hand', async t => {
  if (!(await mocks.state()).recordings) return t.skip('the recordings are not at hand (SLUICE_RECORDINGS)');
  for (const wire of ['openai', 'anthropic']) assert.equal((await post(CHAT[wire]({ model: 'recorded-0' }))).status, 200);
  return undefined;
});
