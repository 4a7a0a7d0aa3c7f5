// Vercel's AI SDK: its OpenAI (Responses, which is its default, and Chat Completions), Anthropic and Google providers.
//
// With Responses `store: false` is said: otherwise the client refers to items that only OpenAI keeps.

import { randomUUID } from 'node:crypto';

import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, Output, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

import { Absent, ECHO, GREETING, KEY, PIXEL, SEEN, URL_OF_GATEWAY, USE_BOTH, USE_TOOL, WORDS, assert, assertAborted, run, versionOf } from '../node/harness.mjs';

const HERE = new URL('./', import.meta.url);
const city = z.object({ city: z.string() });
const toolsThat = called => Object.fromEntries(['get_weather', 'get_time'].map((name, index) => [name, tool({ description: name, inputSchema: city, execute: async input => { called.push([name, input.city]); return `sunny ${index}`; } })]));

const openai = key => createOpenAI({ baseURL: `${URL_OF_GATEWAY}/v1`, apiKey: key });
const anthropic = key => createAnthropic({ baseURL: `${URL_OF_GATEWAY}/v1`, apiKey: key });
const google = key => createGoogleGenerativeAI({ baseURL: `${URL_OF_GATEWAY}/v1beta`, apiKey: key });

/** Ends in an error, and never as a whole answer. */
async function streamBreaks(options) {
  const errors = [];
  const result = streamText({ ...options, onError: ({ error }) => errors.push(error) });
  const types = [];
  for await (const part of result.fullStream) types.push(part.type === 'finish' ? `finish ${part.finishReason}` : part.type);
  assert.ok(errors.length > 0 || types.includes('error'), `a broken stream ended as ${types.at(-1)}`);
  assert.ok(!types.includes('finish stop'), types.join());
}

const features = (make, thinking, more = {}) => {
  const providerOptions = more.always ?? {};
  const ask = (up, { model = 'chat', key = KEY, ...rest } = {}) => generateText({ model: make(key)(up.model(model)), maxRetries: 0, providerOptions, ...(rest.messages ? {} : { prompt: GREETING }), ...rest });
  const open = (up, { model = 'chat', ...rest } = {}) => streamText({ model: make(KEY)(up.model(model)), maxRetries: 0, providerOptions, prompt: GREETING, onError: () => {}, ...rest });
  async function toolTurns(up, asked, names, stream, rest = {}) {
    const called = [];
    const options = { prompt: asked, tools: toolsThat(called), stopWhen: stepCountIs(4), ...rest };
    const result = stream ? open(up, options) : await ask(up, options);
    const text = await result.text;
    assert.deepEqual(called.sort(), names.map(name => [name, 'sample']).sort());
    names.forEach((_, index) => assert.ok(text.includes(`sunny ${names.length === 1 ? 0 : index}`), text));
    return result;
  }
  return {
    async chat(up) {
      const { text, finishReason, usage } = await ask(up, { system: 'Be brief.' });
      assert.deepEqual([text, finishReason], [ECHO, 'stop']);
      assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
    },
    async stream(up) {
      const [whole, result] = [await ask(up), open(up)];
      let text = '';
      for await (const piece of result.textStream) text += piece;
      const usage = await result.usage;
      assert.deepEqual([text, await result.finishReason, usage.inputTokens, usage.outputTokens], [ECHO, 'stop', whole.usage.inputTokens, whole.usage.outputTokens]);
    },
    async tools(up) {
      await toolTurns(up, USE_TOOL, ['get_weather'], false);
      if (!up.choice) return;
      const { toolCalls } = await ask(up, { tools: toolsThat([]), toolChoice: { type: 'tool', toolName: 'get_time' } });
      assert.deepEqual(toolCalls.map(call => call.toolName), ['get_time']);
    },
    'streamed tools': up => toolTurns(up, USE_TOOL, ['get_weather'], true),
    async 'parallel tools'(up) { for (const stream of [false, true]) await toolTurns(up, USE_BOTH, ['get_weather', 'get_time'], stream); },
    async 'structured output'(up) {
      if (more.calls && !up.choice) throw new Absent("the provider heeds no choice of tools, on which this client's structured output rests");
      assert.deepEqual((await generateObject({ model: make(KEY)(up.model()), maxRetries: 0, prompt: GREETING, schema: city })).object, { city: 'sample' });
      assert.deepEqual((await ask(up, { output: Output.object({ schema: city }) })).output, { city: 'sample' });
    },
    async images(up) {
      const content = [{ type: 'text', text: 'What is it?' }, { type: 'image', image: Buffer.from(PIXEL, 'base64'), mediaType: 'image/png' }];
      assert.match((await ask(up, { messages: [{ role: 'user', content }] })).text, SEEN);
    },
    async thinking(up) {
      for (const stream of [false, true]) {
        const result = await toolTurns(up, USE_TOOL, ['get_weather'], stream, { model: 'thinking', ...(up.thoughts ? { providerOptions: thinking, maxOutputTokens: 4000 } : {}) });
        if (up.thoughts && !more.hidden) assert.ok((await result.steps).some(step => step.reasoning.length > 0), 'no thought is shown');
      }
    },
    async errors(up) {
      const status = (...codes) => error => APICallError.isInstance(error) && codes.includes(error.statusCode);
      await assert.rejects(ask(up, { key: 'wrong' }), status(400, 401));
      await assert.rejects(ask(up, { model: 'unknown' }), status(404));
      await assert.rejects(ask(up, { model: 'fault-context-length' }), status(400));
      await assert.rejects(ask(up, { model: 'fault-429-retry-after-7' }), error => status(429)(error) && error.isRetryable && error.responseHeaders['retry-after'] === '7');
      await assert.rejects(ask(up, { model: 'fault-500' }), status(500, 502, 503));
    },
    async 'broken streams'(up) {
      for (const model of ['fault-cut-after-4', 'error-event-after-4', 'fault-end-after-4']) await streamBreaks({ model: make(KEY)(up.model(model)), maxRetries: 0, prompt: WORDS });
    },
    async cancellation(up) {
      const nonce = `${randomUUID()} ${WORDS}`;
      const leave = new AbortController();
      const result = open(up, { model: 'slow-chunks-100', prompt: nonce, abortSignal: leave.signal });
      for await (const part of result.fullStream) if (part.type === 'text-delta') leave.abort();
      await assertAborted(nonce);
    },
    async embeddings(up) {
      const { embeddings } = await embedMany({ model: more.embedder(KEY)(up.model('embed')), values: ['a', 'b'], maxRetries: 0, providerOptions: more.embedding(up) });
      assert.deepEqual(embeddings.map(one => one.length), [up.dimensions, up.dimensions]);
    },
    ...(more.embedder ? {} : { embeddings: more.noEmbeddings ?? 'not a part of this provider' }),
    'token counting': 'not a part of this framework',
    models: 'not a part of this framework',
  };
};

const client = (name, dialect, provider, ...rest) => run({ name: `Vercel AI SDK, ${name}`, dialect, version: `${versionOf(HERE, 'ai')}, ${versionOf(HERE, provider)}`, features: features(...rest) });

await client('OpenAI (Responses)', 'responses', '@ai-sdk/openai', key => openai(key), { openai: { reasoningEffort: 'low', reasoningSummary: 'auto', store: false, include: ['reasoning.encrypted_content'], forceReasoning: true } }, { always: { openai: { store: false } } });
await client('OpenAI Chat Completions', 'openai', '@ai-sdk/openai', key => openai(key).chat, { openai: { reasoningEffort: 'low' } }, { hidden: true, embedder: key => name => openai(key).embedding(name), embedding: up => ({ openai: { dimensions: up.dimensions } }) });
await client('Anthropic', 'anthropic', '@ai-sdk/anthropic', anthropic, { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } }, { calls: true });
await client('Google', 'gemini', '@ai-sdk/google', google, { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } } }, { embedder: key => name => google(key).embedding(name), embedding: up => ({ google: { outputDimensionality: up.dimensions } }) });
