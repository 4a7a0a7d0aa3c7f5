// Google's official client for Node.js, as it talks to the Gemini API.

import { randomUUID } from 'node:crypto';

import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from '@google/genai';

import { CITY, ECHO, FORBIDDEN, GREETING, KEY, OTHER_KEY, PIXEL, SEEN, URL_OF_GATEWAY, USE_BOTH, USE_TOOL, WORDS, assert, assertAborted, run, versionOf } from './harness.mjs';

const clientOf = (apiKey = KEY, headers = {}, more = {}) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: URL_OF_GATEWAY, timeout: 20_000, headers }, ...more });
const sdk = clientOf();
const TOOLS = [{ functionDeclarations: ['get_weather', 'get_time'].map(name => ({ name, parametersJsonSchema: CITY })) }];

const ask = (up, { model = 'chat', client = sdk, contents = GREETING, ...config } = {}) => client.models.generateContent({ model: up.model(model), contents, config });
const streamed = (up, { model = 'chat', contents = GREETING, ...config } = {}) => sdk.models.generateContentStream({ model: up.model(model), contents, config });
async function gather(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

async function turn(up, stream, more) {
  const answers = stream ? await gather(streamed(up, more)) : [await ask(up, more)];
  const parts = answers.flatMap(answer => answer.candidates?.[0]?.content?.parts ?? []).filter(part => part.text !== '' || part.thoughtSignature);
  return { parts, finish: answers.at(-1).candidates[0].finishReason };
}

async function toolTurns(up, asked, names, stream, more = {}) {
  const contents = [{ role: 'user', parts: [{ text: asked }] }];
  const first = await turn(up, stream, { contents, tools: TOOLS, ...more });
  const calls = first.parts.filter(part => part.functionCall).map(part => part.functionCall);
  assert.deepEqual([first.finish, calls.map(call => call.name), calls.map(call => call.args)], ['STOP', names, names.map(() => ({ city: 'sample' }))]);
  const results = calls.map((call, index) => ({ functionResponse: { id: call.id, name: call.name, response: { result: `sunny ${index}` } } }));
  const second = await turn(up, stream, { contents: [...contents, { role: 'model', parts: first.parts }, { role: 'user', parts: results }], tools: TOOLS, ...more });
  assert.equal(second.parts.filter(part => !part.thought).map(part => part.text ?? '').join(''), `The tool said: ${names.map((_, index) => `sunny ${index}`).join(' | ')}`);
  return first;
}

const status = code => error => error instanceof ApiError && error.status === code;

await run({ name: '@google/genai (Node.js)', dialect: 'gemini', version: versionOf(new URL('../../', import.meta.url), '@google/genai'), features: {
  async chat(up) {
    const answer = await ask(up, { systemInstruction: 'Be brief.', temperature: 0.5 });
    assert.deepEqual([answer.text, answer.candidates[0].finishReason], [ECHO, 'STOP']);
    for (const apiVersion of ['v1', 'v1beta']) assert.equal((await ask(up, { client: clientOf(KEY, {}, { apiVersion }) })).text, ECHO);
    assert.equal((await sdk.models.generateContent({ model: `${up.name}-alias`, contents: GREETING })).text, ECHO);
  },
  async stream(up) {
    const [whole, chunks] = [await ask(up), await gather(streamed(up))];
    const usage = answer => [answer.usageMetadata.promptTokenCount, answer.usageMetadata.candidatesTokenCount, answer.usageMetadata.totalTokenCount];
    assert.deepEqual([chunks.map(chunk => chunk.text ?? '').join(''), chunks.at(-1).candidates[0].finishReason, usage(chunks.at(-1))], [ECHO, 'STOP', usage(whole)]);
  },
  async tools(up) {
    await toolTurns(up, USE_TOOL, ['get_weather'], false);
    if (!up.choice) return;
    const choice = (mode, ...allowedFunctionNames) => ({ functionCallingConfig: { mode, ...(allowedFunctionNames.length > 0 ? { allowedFunctionNames } : {}) } });
    assert.deepEqual((await ask(up, { tools: TOOLS, toolConfig: choice(FunctionCallingConfigMode.ANY, 'get_time') })).functionCalls.map(call => call.name), ['get_time']);
    assert.equal((await ask(up, { contents: USE_TOOL, tools: TOOLS, toolConfig: choice(FunctionCallingConfigMode.NONE) })).functionCalls, undefined);
  },
  'streamed tools': up => toolTurns(up, USE_TOOL, ['get_weather'], true),
  async 'parallel tools'(up) { for (const stream of [false, true]) await toolTurns(up, USE_BOTH, ['get_weather', 'get_time'], stream); },
  async 'structured output'(up) {
    for (const form of [{ responseSchema: { type: 'OBJECT', properties: { city: { type: 'STRING' } }, required: ['city'] } }, { responseJsonSchema: CITY }]) {
      const answer = await ask(up, { responseMimeType: 'application/json', ...form });
      assert.deepEqual([JSON.parse(answer.text), answer.candidates[0].finishReason], [{ city: 'sample' }, 'STOP']);
    }
  },
  async images(up) { assert.match((await ask(up, { contents: [{ inlineData: { mimeType: 'image/png', data: PIXEL } }, { text: 'What is it?' }] })).text, SEEN); },
  async thinking(up) {
    const more = up.thoughts ? { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 }, maxOutputTokens: 4000 } : {};
    for (const stream of [false, true]) {
      const first = await toolTurns(up, USE_TOOL, ['get_weather'], stream, { model: 'thinking', ...more });
      if (up.thoughts) assert.ok(first.parts.some(part => part.thought));
    }
  },
  async errors(up) {
    await assert.rejects(ask(up, { client: clientOf('wrong') }), error => [400, 401].includes(error.status) && error instanceof ApiError);
    await assert.rejects(ask(up, { client: clientOf(OTHER_KEY, FORBIDDEN) }), status(403));
    await assert.rejects(ask(up, { model: 'unknown' }), status(404));
    await assert.rejects(ask(up, { temperature: 'hot' }), status(400));
    await assert.rejects(ask(up, { model: 'fault-context-length' }), status(400));
    await assert.rejects(ask(up, { model: 'fault-429-retry-after-7' }), error => status(429)(error) && /"retryDelay": ?"7s"/.test(error.message));
    for (const model of ['fault-500', 'fault-html']) await assert.rejects(ask(up, { model }), error => error instanceof ApiError && error.status >= 500, model);
  },
  async 'broken streams'(up) {
    for (const model of ['fault-cut-after-4', 'error-event-after-4', 'fault-end-after-4']) {
      await assert.rejects(async () => { for await (const chunk of await streamed(up, { model, contents: WORDS })) assert.equal(chunk.candidates?.[0]?.finishReason, undefined, 'a broken stream ended as a whole one'); }, error => error.code !== 'ERR_ASSERTION', model);
    }
    await assert.rejects(streamed(up, { model: 'fault-500' }), ApiError);
  },
  async cancellation(up) {
    const nonce = `${randomUUID()} ${WORDS}`;
    const leave = new AbortController();
    const read = async () => { for await (const chunk of await streamed(up, { model: 'slow-chunks-100', contents: nonce, abortSignal: leave.signal })) if (chunk.text) leave.abort(); };
    await read().catch(error => assert.match(`${error}`, /abort/i));
    await assertAborted(nonce);
  },
  async 'token counting'(up) { assert.ok((await sdk.models.countTokens({ model: up.model(), contents: GREETING })).totalTokens > 0); },
  async models() {
    const names = [];
    for await (const model of await sdk.models.list()) names.push(model.name);
    assert.ok(names.includes('models/sandbox/echo'), names.join());
    assert.equal((await sdk.models.get({ model: 'sandbox/echo' })).name, 'models/sandbox/echo');
  },
  async embeddings(up) {
    const { embeddings } = await sdk.models.embedContent({ model: up.model('embed'), contents: ['a', 'b'], config: { outputDimensionality: up.dimensions } });
    assert.deepEqual(embeddings.map(one => one.values.length), [up.dimensions, up.dimensions]);
  },
} });
