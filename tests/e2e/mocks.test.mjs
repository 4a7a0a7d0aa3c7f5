// The mocks themselves: that they refuse what the real providers refuse, and break the way they are told to.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test, { after, before } from 'node:test';

import { json, send, sendAndLeave, until } from './http.mjs';
import { signatureProblem } from './mock/sigv4.mjs';
import { fetchToken, startMocks } from './mocks.mjs';

let mocks;
let account;
let token;
before(async () => {
  mocks = await startMocks();
  account = await mocks.serviceAccount();
  token = await fetchToken(account);
});
after(() => mocks.stop());

const hello = [{ role: 'user', content: 'Hello' }];
const VERTEX = '/vertex/v1/projects/mock-project/locations/global/publishers';
const said = (role, ...content) => ({ role, content });
const CHAT = {
  openai: more => ['/openai/v1/chat/completions', { authorization: 'Bearer sk-mock-openai' }, { model: 'chat', messages: hello, ...more }],
  plain: more => ['/plain/v1/chat/completions', { authorization: 'Bearer sk-mock-plain' }, { model: 'chat', messages: hello, ...more }],
  anthropic: more => ['/anthropic/v1/messages', { 'x-api-key': 'sk-ant-mock', 'anthropic-version': '2023-06-01' }, { model: 'chat', max_tokens: 9, messages: hello, ...more }],
  gemini: more => ['/gemini/v1beta/models/chat:generateContent', { 'x-goog-api-key': 'AIza-mock' }, { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }], ...more }],
  responses: more => ['/openai/v1/responses', { authorization: 'Bearer sk-mock-openai' }, { model: 'chat', input: 'Hello', ...more }],
  azure: more => ['/azure/openai/deployments/chat/chat/completions?api-version=2024-10-21', { 'api-key': 'azure-mock' }, { messages: hello, ...more }],
  vertex: more => [`${VERTEX}/google/models/chat:generateContent`, { authorization: `Bearer ${token}` }, { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }], ...more }],
  claude: more => [`${VERTEX}/anthropic/models/chat:rawPredict`, { authorization: `Bearer ${token}` }, { anthropic_version: 'vertex-2023-10-16', max_tokens: 9, messages: hello, ...more }],
  bedrock: more => ['/bedrock/model/claude/converse', { authorization: 'Bearer bedrock-api-key-mock' }, { messages: [said('user', { text: 'Hello' })], ...more }],
  mistral: more => ['/mistral/v1/chat/completions', { authorization: 'Bearer mistral-mock' }, { model: 'chat', messages: hello, ...more }],
  cohere: more => ['/cohere/v2/chat', { authorization: 'Bearer cohere-mock' }, { model: 'chat', messages: hello, ...more }],
  ollama: more => ['/ollama/v1/chat/completions', {}, { model: 'chat', messages: hello, ...more }],
  vllm: more => ['/vllm/v1/chat/completions', { authorization: 'Bearer vllm-mock' }, { model: 'chat', messages: hello, ...more }],
};
const post = ([path, headers, body]) => json(mocks.url + path, { method: 'POST', headers, body });
const call = (id, name = 'now') => ({ role: 'assistant', content: null, tool_calls: [{ id, type: 'function', function: { name, arguments: '{}' } }] });
const use = id => ({ role: 'assistant', content: [{ type: 'tool_use', id, name: 'now', input: {} }] });
const result = id => ({ type: 'tool_result', tool_use_id: id, content: 'noon' });
const strict = schema => ({ type: 'json_schema', json_schema: { name: 'a', strict: true, schema } });
const tool = parameters => [{ functionDeclarations: [{ name: 'now', parameters }] }];

const offered = { tools: [{ toolSpec: { name: 'now', inputSchema: { json: { type: 'object' } } } }] };

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
  responses: {
    'an unknown field': { messages: [] },
    'nothing to answer': { input: undefined },
    'a tool in the shape of Chat Completions': { tools: [{ type: 'function', function: { name: 'now' } }] },
    'what the assistant says in the shape of input': { input: [{ role: 'assistant', content: [{ type: 'input_text', text: 'x' }] }] },
    'an output of no call': { input: [{ type: 'function_call_output', call_id: 'a', output: 'x' }] },
    'a call without its output': { input: [{ type: 'function_call', call_id: 'a', name: 'now', arguments: '{}' }, { role: 'user', content: 'x' }] },
    'an unknown earlier answer': { previous_response_id: 'resp_1' },
    'a thought that somebody else sealed': { input: [{ type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'forged' }, { role: 'assistant', content: 'x' }, { role: 'user', content: 'y' }] },
    'a thought that was not kept': { store: false, input: [{ type: 'reasoning', id: 'rs_1', summary: [] }, { role: 'assistant', content: 'x' }, { role: 'user', content: 'y' }] },
    'too little output': { max_output_tokens: 15 },
    'a strict schema that is not strict': { text: { format: { type: 'json_schema', name: 'a', strict: true, schema: { type: 'object', properties: { a: { type: 'string' } } } } } },
  },
  azure: { 'an unknown field': { top_k: 1 }, 'a wrong type': { temperature: 'hot' } },
  vertex: { 'a turn without a role': { contents: [{ parts: [{ text: 'x' }] }] }, 'an unknown field': { max_tokens: 1 } },
  claude: { 'a model in the body': { model: 'chat' }, 'no version': { anthropic_version: undefined }, 'a stream where none is': { stream: true }, 'no max_tokens': { max_tokens: undefined } },
  bedrock: {
    'an unknown field': { max_tokens: 1 },
    'two turns of one role': { messages: [said('user', { text: 'x' }), said('user', { text: 'y' })] },
    'an assistant first': { messages: [said('assistant', { text: 'x' })] },
    'blank text': { messages: [said('user', { text: ' ' })] },
    'a block that is two': { messages: [said('user', { text: 'x', image: { format: 'png', source: { bytes: 'aaaa' } } })] },
    'tools in the history that are not offered': { messages: [said('user', { text: 'x' }), said('assistant', { toolUse: { toolUseId: 'a', name: 'now', input: {} } }), said('user', { toolResult: { toolUseId: 'a', content: [{ text: 'noon' }] } })] },
    'a call that nothing answers': { toolConfig: offered, messages: [said('user', { text: 'x' }), said('assistant', { toolUse: { toolUseId: 'a', name: 'now', input: {} } }), said('user', { text: 'y' })] },
    'a choice of no tool': { toolConfig: { ...offered, toolChoice: { none: {} } } },
    'no tools': { toolConfig: { tools: [] } },
    'a temperature above 1': { inferenceConfig: { temperature: 1.5 } },
    'a thought that somebody else signed': { messages: [said('user', { text: 'x' }), said('assistant', { reasoningContent: { reasoningText: { text: 'x', signature: 'forged' } } }, { text: 'y' }), said('user', { text: 'z' })] },
  },
  mistral: {
    'an unknown field': { seed: 1 },
    max_completion_tokens: { max_completion_tokens: 5 },
    'stream options': { stream: true, stream_options: { include_usage: true } },
    'a developer': { messages: [{ role: 'developer', content: 'x' }, ...hello] },
    'a call id of another provider': { messages: [...hello, call('call_123'), { role: 'tool', tool_call_id: 'call_123', content: 'x' }] },
    'a user after a tool': { messages: [...hello, call('abcdefghi'), { role: 'tool', tool_call_id: 'abcdefghi', content: 'x' }, ...hello] },
    'a call that nothing answers': { messages: [...hello, call('abcdefghi'), ...hello] },
    'an assistant last': { messages: [...hello, { role: 'assistant', content: 'x' }] },
    'an empty assistant': { messages: [...hello, { role: 'assistant', content: '' }, ...hello] },
    'a temperature above 1.5': { temperature: 1.6 },
  },
  cohere: {
    'an unknown field': { top_p: 0.5 },
    'a developer': { messages: [{ role: 'developer', content: 'x' }, ...hello] },
    'a result that answers nothing': { messages: [...hello, { role: 'tool', tool_call_id: 'a', content: 'x' }] },
    'an assistant last': { messages: [...hello, { role: 'assistant', content: 'x' }] },
    'a named choice': { tools: [{ type: 'function', function: { name: 'now', parameters: { type: 'object' } } }], tool_choice: { type: 'function', function: { name: 'now' } } },
    'JSON with tools': { tools: [{ type: 'function', function: { name: 'now', parameters: { type: 'object' } } }], response_format: { type: 'json_object' } },
    'a schema without required fields': { response_format: { type: 'json_object', json_schema: { type: 'object', properties: { a: { type: 'string' } } } } },
    'a temperature above 1': { temperature: 1.5 },
    'six stops': { stop_sequences: ['1', '2', '3', '4', '5', '6'] },
  },
  ollama: { 'a picture by its address': { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://a.invalid/b.png' } }] }] } },
  vllm: { 'a wrong type': { temperature: 'hot' } },
};

for (const [wire, cases] of Object.entries(REFUSED)) {
  test(`${wire} answers what is right`, async () => {
    const answer = await post(CHAT[wire]());
    assert.equal(answer.status, 200, JSON.stringify(answer.json));
  });
  for (const [name, more] of Object.entries(cases)) {
    test(`${wire} refuses ${name}`, async () => {
      const answer = await post(CHAT[wire](more));
      assert.ok([400, 422].includes(answer.status), JSON.stringify(answer.json));
      assert.match(JSON.stringify(answer.json), /"message":["{][^"]*/);
    });
  }
  test(`${wire} refuses a wrong key`, { skip: wire === 'ollama' }, async () => {
    const [path, headers, body] = CHAT[wire]();
    const wrong = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.replace(/mock.*/, 'wrong')]));
    assert.ok([400, 401, 403].includes((await post([path, wrong, body])).status));
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

test('Azure wants a version in the address, and a deployment that is there', async () => {
  const [path, headers, body] = CHAT.azure();
  assert.equal((await post([path.replace(/\?.*/, ''), headers, body])).status, 404);
  const missing = await post([path.replace('/chat/', '/unknown/'), headers, body]);
  assert.deepEqual([missing.status, missing.json.error.code], [404, 'DeploymentNotFound']);
});

test('a grant is checked before a token is given', async () => {
  const now = Math.floor(Date.now() / 1000);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
  const wrong = { 'Invalid JWT Signature': [{ ...account, private_key: privateKey }], 'account not found': [account, { iss: 'somebody@else' }], audience: [account, { aud: 'https://elsewhere' }], 'short-lived': [account, { exp: now + 7_200 }], scope: [account, { scope: 'email' }] };
  for (const [message, [key, claims]] of Object.entries(wrong)) await assert.rejects(fetchToken(key, claims), new RegExp(message));
});

test('a signature is checked as Amazon publishes it', () => {
  // The example of the signing guide.
  const request = { method: 'GET', url: '/?Action=ListUsers&Version=2010-05-08', body: undefined, headers: {
    'content-type': 'application/x-www-form-urlencoded; charset=utf-8', host: 'iam.amazonaws.com', 'x-amz-date': '20150830T123600Z',
    authorization: 'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
  } };
  const key = { id: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
  const then = Date.UTC(2015, 7, 30, 12, 37);
  const check = (more = {}, scope = { region: 'us-east-1', service: 'iam' }, now = then) => signatureProblem({ ...request, ...more }, key, scope, now)?.type ?? null;
  assert.equal(check(), null);
  assert.equal(check({ url: '/?Action=ListUsers&Version=2010-05-09' }), 'InvalidSignatureException');
  assert.equal(check({ body: 'x' }), 'InvalidSignatureException');
  assert.equal(check({}, { region: 'us-west-2', service: 'iam' }), 'InvalidSignatureException');
  assert.equal(check({}, undefined, then + 600_000), 'InvalidSignatureException');
  assert.equal(check({ headers: { ...request.headers, 'x-amz-security-token': 'x' } }), 'InvalidSignatureException');
});

test('files are taken apart and kept', async () => {
  const form = new FormData();
  form.append('purpose', 'batch');
  form.append('file', new Blob(['{"custom_id": "1"}\n']), 'batch.jsonl');
  const headers = { authorization: 'Bearer sk-mock-openai' };
  const upload = new Request('http://mock', { method: 'POST', body: form });
  const sent = async (path, options) => {
    const answer = await send(`${mocks.url}/openai/v1/${path}`, { ...options, headers: { ...headers, ...options?.headers } });
    return { status: answer.status, text: await answer.text() };
  };
  const made = await sent('files', { method: 'POST', headers: { 'content-type': upload.headers.get('content-type') }, body: Buffer.from(await upload.arrayBuffer()) });
  const { id, bytes } = JSON.parse(made.text);
  assert.equal(bytes, 19);
  assert.equal((await sent(`files/${id}/content`)).text, '{"custom_id": "1"}\n');
  const batch = await json(`${mocks.url}/openai/v1/batches`, { method: 'POST', headers, body: { input_file_id: id, endpoint: '/v1/chat/completions', completion_window: '24h' } });
  assert.equal(batch.json.status, 'validating');
  assert.equal((await sent('files/file-none')).status, 404);
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
