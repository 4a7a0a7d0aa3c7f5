// The runner itself, against a small gateway that only knows one wire: right answers pass, wrong ones are found out.

import assert from 'node:assert/strict';
import http from 'node:http';
import test, { after, before } from 'node:test';

import { send } from './http.mjs';
import { mismatches } from './match.mjs';
import { startMocks } from './mocks.mjs';
import { run, scenarios } from './scenario.mjs';
import { assemble } from './stream.mjs';

let context;
let server;
before(async () => {
  const mocks = await startMocks();
  server = http.createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const forward = await send(`${mocks.url}/openai${request.url}`, {
      method: request.method, headers: { 'content-type': 'application/json', authorization: 'Bearer sk-mock-openai' }, body: body.toString().replace('mock-openai/', ''),
    });
    const { text } = await forward.read();
    const type = forward.headers['content-type'];
    response.writeHead(forward.status, { 'content-type': type, 'cache-control': 'no-cache', 'x-request-id': 'r1', 'x-sluice-provider': 'mock-openai', 'x-sluice-model': 'chat', 'x-sluice-region': 'here' });
    response.end(text);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const gateway = { url: `http://127.0.0.1:${server.address().port}`, mint: async () => ({ id: 'k1', key: 'virtual-key' }), revoke: async () => {} };
  context = { gateway, mocks, capabilities: new Set(['mocks']) };
});
after(async () => {
  server.close();
  server.closeAllConnections();
  await context.mocks.stop();
});

const scenario = (expect, request = {}, more = {}) => ({
  name: 'made up', file: 'made up', values: {}, stream: false, ...more,
  steps: [{ request: { json: '{"model": "mock-openai/chat", "messages": [{"role": "user", "content": "Hello"}]}', ...request }, expect }],
});

for (const one of scenarios().filter(({ file, name }) => ['chat', 'tools'].includes(file) && /\[openai\]/.test(name) && !/says what it cost|only OpenAI allows|lowered/.test(name))) {
  test(`passes: ${one.name}`, () => run(one, context));
}

test('a wrong status, header, body, call or text is found out', async () => {
  for (const expect of [
    { status: 201 }, { headers: { 'x-nothing': true } }, { headers: { 'x-request-id': false } }, { headers: { 'x-sluice-provider': 'other' } },
    { json: '{"choices": []}' }, { text: '/nothing like it/' }, { upstream: '[]' }, { upstream: '[{"status": 500}]' }, { error: { code: 'x' } }, { stream: { done: true } }, { after_ms: 60_000 },
  ]) await assert.rejects(run(scenario(expect), context), JSON.stringify(expect));
});

test('a request that the provider refuses is found out', async () => {
  await assert.rejects(run(scenario({ status: 400 }, { json: '{"model": "mock-openai/chat", "messages": [{"role": "user", "content": "x"}], "surprise": 1}' }), context), /the provider refuses: .*surprise/);
});

test('a broken stream is found out', async () => {
  await assert.rejects(run(scenario({}, { json: '{"model": "mock-openai/fault-cut-after-3", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}' }), context), /without \[DONE\]/);
  await assert.rejects(run(scenario({}, { json: '{"model": "mock-openai/error-event-after-3", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}' }), context), /an error event/);
});

test('a field that does not exist is found out', async () => {
  await assert.rejects(run(scenario({ statuss: 200 }), context), /there is no field statuss/);
});

test('matchers match what they say', () => {
  const cases = [
    [{ a: 1 }, { a: 1, b: 2 }, true], [{ a: 1 }, { a: 2 }, false], [[1, 2], [1], false], [['$contains', 2], [1, 2], true], [['$contains', 3], [1, 2], false],
    ['/^a/', 'abc', true], ['/^b/', 'abc', false], ['$absent', undefined, true], ['$absent', null, false], [{ a: '$any' }, {}, false], [{ $gt: 1 }, 2, true], [{ $gt: 2 }, 2, false],
    [{ $length: 2 }, [1, 2], true], [{ $json: { a: 1 } }, '{"a":1}', true], [{ $json: { a: 1 } }, '{', false], [{ $not: 'x' }, 'x', false], [{ $in: [1, 2] }, 2, true], [null, undefined, false],
  ];
  for (const [expected, value, right] of cases) assert.equal(mismatches(expected, value).length === 0, right, JSON.stringify([expected, value]));
});

test('streams that no strict client accepts have flaws', () => {
  const chunk = (delta, finish = null, index = 0) => `data: ${JSON.stringify({ id: 'a', model: 'm', created: 1, choices: [{ index, delta, finish_reason: finish }] })}\n\n`;
  const role = { role: 'assistant', content: '' };
  const begun = { index: 0, id: 'c', type: 'function', function: { name: 'f', arguments: '{' } };
  const right = chunk(role) + chunk({ tool_calls: [begun] }) + chunk({ tool_calls: [{ index: 0, function: { arguments: '}' } }] }) + chunk({}, 'tool_calls') + 'data: [DONE]\n\n';
  assert.deepEqual(assemble(right).flaws, []);
  assert.equal(assemble(right).json.choices[0].message.tool_calls[0].function.arguments, '{}');
  for (const text of [
    chunk({ content: 'x' }), chunk(role) + chunk({}, 'stop') + chunk({ content: 'x' }), `${chunk(role)}data: [DONE]\n\n${chunk({})}`, chunk(role) + chunk({ tool_calls: [{ index: 0, function: { arguments: '' } }] }),
    chunk(role) + chunk({ tool_calls: [{ ...begun, index: 1 }] }), 'data: {"a\n\n', chunk(role).trimEnd(), chunk(role) + chunk({}).replace('"a"', '"b"'),
  ]) assert.notDeepEqual(assemble(text).flaws, [], text);
});
