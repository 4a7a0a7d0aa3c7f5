// OpenAI's official clients against the gateway, where the matrix does not lead: limits, raw answers, files and batches.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import process from 'node:process';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';

import OpenAI, { toFile } from 'openai';

import { pythonAbsent, pythonWith } from './clients/environment.mjs';
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

const LINE = JSON.stringify({ custom_id: '1', method: 'POST', url: '/v1/chat/completions', body: { model: 'gpt-4o-mini', messages: hello } });
const lines = () => toFile(Buffer.from(`${LINE}\n`), 'lines.jsonl');

test('files and batches work as at OpenAI', async () => {
  const file = await client.files.create({ file: await lines(), purpose: 'batch' });
  assert.deepEqual([file.object, file.filename, file.bytes, file.purpose], ['file', 'lines.jsonl', Buffer.byteLength(LINE) + 1, 'batch']);
  assert.equal((await client.files.retrieve(file.id)).id, file.id);
  assert.equal(await (await client.files.content(file.id)).text(), `${LINE}\n`);
  const begun = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h', metadata: { job: 'node' } });
  assert.deepEqual([begun.input_file_id, begun.metadata], [file.id, { job: 'node' }]);
  const batch = await client.batches.retrieve(begun.id);
  assert.equal(batch.status, 'completed');
  assert.equal(JSON.parse(await (await client.files.content(batch.output_file_id)).text()).custom_id, '1');
  assert.equal((await client.batches.cancel(begun.id)).id, begun.id);
  const second = await client.files.create({ file: await lines(), purpose: 'user_data' });
  const all = [];
  for await (const one of client.files.list({ limit: 1, order: 'asc' })) all.push(one.id);
  assert.deepEqual(all, [file.id, second.id]);
  const batches = [];
  for await (const one of client.batches.list({ limit: 1 })) batches.push(one.id);
  assert.deepEqual(batches, [begun.id]);
  const read = [{ role: 'user', content: [{ type: 'file', file: { file_id: second.id } }, { type: 'text', text: 'Read it' }] }];
  assert.equal((await client.chat.completions.create({ model: 'mock-openai/chat', messages: read })).choices[0].finish_reason, 'stop');
  assert.deepEqual(await client.files.delete(file.id), { id: file.id, object: 'file', deleted: true });
});

test('what is not there, or may not be, is said in the class that fits', async () => {
  await assert.rejects(client.files.retrieve('file-0123'), error => error instanceof OpenAI.NotFoundError && /^404 No such File object: file-0123$/.test(error.message));
  await assert.rejects(client.batches.retrieve('batch_0123'), OpenAI.NotFoundError);
  const { key } = await world.gateway.mint({ org: 'sdk', budgets: [{ usd: '1', per: 'day' }] });
  const bounded = client.withOptions({ apiKey: key });
  const file = await bounded.files.create({ file: await lines(), purpose: 'batch' });
  const ask = bounded.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
  await assert.rejects(ask, error => error instanceof OpenAI.PermissionDeniedError && error.code === 'batch_not_bounded');
  await bounded.files.delete(file.id);
});

test('files and batches work with the Python client', async t => {
  const absent = pythonAbsent();
  if (absent) return t.skip(absent);
  const { key } = await world.gateway.mint({ org: 'leavers' });
  const script = fileURLToPath(new URL('python/test_files.py', import.meta.url));
  const child = spawn(pythonWith('requirements.txt'), ['-W', 'ignore', script], { env: { ...process.env, SLUICE_URL: world.gateway.url, SLUICE_KEY: key } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { output += data; });
  assert.equal(await new Promise(resolve => child.once('close', resolve)), 0, output);
  return undefined;
});

test('nothing of all that was refused by a provider', async () => {
  const calls = await until(() => world.mocks.calls(), () => true);
  assert.deepEqual([...new Set(calls.flatMap(call => call.violations))], []);
});
