// Calls that leave from a place, on the real runtime: what the objects that make them are asked for, and that both bodies pass as they come.
//
// The runtime that runs here places nothing: what is shown is that the place is asked for, and that nothing leaves from anywhere else.

import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import path from 'node:path';
import process from 'node:process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { start } from '../../edge/cloudflare/dev/gateway.mjs';
import { json, send, sendAndLeave, until } from './http.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const TOKEN = 'admin-token-of-the-tests';
const MIB = 1 << 20;
/** What may be under way between a provider and a caller who does not read. */
const UNDER_WAY_BYTES_MAX = 48 * MIB;

const ANSWER = { id: 'c', object: 'chat.completion', created: 1, model: 'm', choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } };
const WRONG_COUNTRY = { error: { message: 'Country, region, or territory not supported', type: 'request_forbidden', param: null, code: 'unsupported_country_region_territory' } };
const chunk = (content, finish = null) => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;

const answer = (response, status, body) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

/** A provider of the test's own: `react` answers, and each call is noted with its body as far as it came. */
async function provider(t, react) {
  const calls = [];
  const server = http.createServer((request, response) => {
    const call = { method: request.method, url: request.url, headers: request.headers, bytes: 0, text: '', ended: false, cancelled: false };
    calls.push(call);
    request.on('data', piece => {
      call.bytes += piece.length;
      if (call.bytes < MIB) call.text += piece;
    });
    request.on('end', () => (call.ended = true));
    response.on('close', () => (call.cancelled = !response.writableFinished));
    react(request, response, call);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { calls, base: `http://127.0.0.1:${server.address().port}/v1` };
}

/** Namespaces that note what is asked of them, and know jurisdictions. */
const WATCHED = `
const within = (env, jurisdiction) => ({
  jurisdiction: (name) => within(env, name),
  idFromName: (name) => name,
  get: (name, options) => ({
    async fetch(url, init) {
      await env.ASKED.put([jurisdiction, name, options?.locationHint ?? "nowhere"].join(" "), "");
      return env.REAL.get(env.REAL.idFromName(jurisdiction + name)).fetch(url, init);
    },
  }),
});
export default (env) => within(env, "anywhere");`;

async function world(t, { base, targets = {}, isWatched = false, bindings = {} }) {
  const models = { m: { output_tokens_max: 100 }, whisper: {} };
  const to = more => ({ dialect: 'openai', base_url: base, key: 'PROVIDER_KEY', auth: 'bearer', country: 'DE', retry: { attempts_max: 1 }, models, ...more });
  const providers = Object.fromEntries(Object.entries(targets).map(([name, more]) => [name, to(more)]));
  const watched = {
    more: { durableObjects: { LEDGER: { className: 'Ledger', useSQLite: true }, HEALTH: { className: 'Health', useSQLite: true }, REGISTRY: { className: 'Registry', useSQLite: true } }, wrappedBindings: { EGRESS: 'watched' } },
    workers: [{ name: 'watched', modules: true, script: WATCHED, r2Buckets: { ASKED: 'asked' }, durableObjects: { REAL: { className: 'Egress', scriptName: 'sluice', useSQLite: true } } }],
  };
  const { gateway, url } = await start({
    build: path.resolve(process.env.SLUICE_BUILD ?? path.join(PROJECT, 'build')), log: Boolean(process.env.SLUICE_E2E_LOG),
    // Looks at providers are calls too.
    document: { gateway: { circuit: { look: '0s' } }, regions: { eu: { bucket: 'RECORDS' } }, providers, orgs: { acme: {} } },
    bindings: { SLUICE_ADMIN_TOKEN: TOKEN, PROVIDER_KEY: 'sk-of-the-gateway', ...bindings }, ...(isWatched ? watched : {}),
  });
  t.after(() => gateway.dispose());
  const made = await json(`${url}/admin/keys`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: { org: 'acme' } });
  assert.equal(made.status, 201, JSON.stringify(made.json));
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${made.json.key}` };
  const body = (model, more = {}) => JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], ...more });
  const chat = (model, more = {}) => json(`${url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.parse(body(model, more)) });
  const asked = async () => {
    const { objects } = await (await gateway.getR2Bucket('ASKED', 'watched')).list();
    return [...new Set(objects.map(one => one.key.replace(/\/\d /, ' ')))];
  };
  return { gateway, url, headers, body, chat, asked };
}

test('the object is asked to be where the target says, and the call passes through it unchanged', async t => {
  const { calls, base } = await provider(t, (request, response) => answer(response, 200, ANSWER));
  const targets = { direct: {}, west: { egress: 'wnam' }, union: { egress: 'eu' } };
  const { chat, asked } = await world(t, { base, targets, isWatched: true });
  const direct = await chat('direct/m');
  assert.deepEqual([direct.status, direct.headers['x-sluice-egress']], [200, undefined]);
  assert.deepEqual(await asked(), []);
  const west = await chat('west/m');
  assert.deepEqual([west.status, west.headers['x-sluice-egress']], [200, 'wnam']);
  assert.deepEqual(await asked(), ['anywhere wnam wnam']);
  assert.equal((await chat('union/m')).headers['x-sluice-egress'], 'eu');
  assert.deepEqual(await asked(), ['anywhere wnam wnam', 'eu eu nowhere']);
  const [one, ...placed] = calls;
  for (const other of placed) {
    assert.deepEqual({ ...other.headers, host: one.headers.host }, one.headers);
    assert.deepEqual([other.method, other.url, other.text], [one.method, one.url, one.text]);
  }
  assert.equal(one.headers.authorization, 'Bearer sk-of-the-gateway');
  assert.equal(Number(one.headers['content-length']), one.bytes);
});

test('where the runtime knows no jurisdiction, nothing is sent from anywhere', async t => {
  const { calls, base } = await provider(t, (request, response) => answer(response, 200, ANSWER));
  const { chat } = await world(t, { base, targets: { union: { egress: 'eu' }, west: { egress: 'wnam' } } });
  const refused = await chat('union/m');
  assert.deepEqual([refused.status, refused.json.error.code], [502, 'upstream_unreachable']);
  assert.match(refused.json.error.message, /no way out at the place/);
  assert.equal(calls.length, 0);
  assert.equal((await chat('west/m')).status, 200);
});

test('a provider that refuses the country is called again from the place, and from then on at once', async t => {
  const { calls, base } = await provider(t, (request, response, call) => {
    const isFirst = calls.indexOf(call) === 0;
    answer(response, isFirst ? 403 : 200, isFirst ? WRONG_COUNTRY : ANSWER);
  });
  const { chat, asked } = await world(t, { base, targets: { picky: { egress: 'enam', egress_when: 'refused' } }, isWatched: true });
  assert.equal((await chat('picky/m')).headers['x-sluice-egress'], 'enam');
  assert.equal((await chat('picky/m')).headers['x-sluice-egress'], 'enam');
  assert.deepEqual([calls.length, await asked()], [3, ['anywhere enam enam']]);
});

test('the pieces of a stream come as the provider sends them', async t => {
  const written = [];
  const { base } = await provider(t, async (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const word of ['One', 'two', 'three']) {
      written.push(Date.now());
      response.write(chunk(word));
      await new Promise(resolve => setTimeout(resolve, 150));
    }
    response.end(`${chunk('', 'stop')}data: [DONE]\n\n`);
  });
  const { url, headers, body } = await world(t, { base, targets: { west: { egress: 'wnam' } } });
  const stream = await send(`${url}/v1/chat/completions`, { method: 'POST', headers, body: body('west/m', { stream: true }) });
  assert.deepEqual([stream.status, stream.headers['x-sluice-egress']], [200, 'wnam']);
  const came = [];
  let text = '';
  for await (const piece of stream.chunks) {
    text += piece;
    for (const word of ['One', 'two', 'three']) if (text.includes(`"${word}"`) && came.length < ['One', 'two', 'three'].indexOf(word) + 1) came.push(Date.now());
  }
  assert.match(text, /data: \[DONE\]\n\n/);
  assert.equal(came.length, 3);
  for (const [index, at] of came.entries()) assert.ok(at - written[index] < 140, `piece ${index} took ${at - written[index]} ms`);
});

test('the call ends when the caller leaves', async t => {
  const { calls, base } = await provider(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const beat = setInterval(() => response.write(chunk('more ')), 50);
    response.on('close', () => clearInterval(beat));
  });
  const { url, headers, body } = await world(t, { base, targets: { west: { egress: 'wnam' } } });
  const leaving = sendAndLeave(`${url}/v1/chat/completions`, { headers, body: body('west/m', { stream: true }) });
  const response = await leaving.answered;
  await once(response, 'data');
  leaving.reset();
  await until(() => calls[0].cancelled, Boolean);
  assert.ok(calls[0].cancelled, 'the provider is still sending');
});

test('a call that nobody waits for any longer ends before its answer begins', async t => {
  const { calls, base } = await provider(t, () => {});
  const { url, headers, body } = await world(t, { base, targets: { west: { egress: 'wnam' } } });
  const leaving = sendAndLeave(`${url}/v1/chat/completions`, { headers, body: body('west/m') });
  await until(() => calls.length, Boolean);
  leaving.reset();
  await until(() => calls[0].cancelled, Boolean);
  assert.ok(calls[0].cancelled, 'the provider still holds the call');
});

test('a provider does not get rid of more than a caller takes', async t => {
  let sent = 0;
  const { base } = await provider(t, async (request, response) => {
    response.writeHead(200, { 'content-type': 'audio/mpeg' });
    const piece = Buffer.alloc(MIB);
    const gone = once(response, 'close');
    while (!response.closed && sent < 4 * UNDER_WAY_BYTES_MAX) {
      const hasRoom = response.write(piece);
      sent += piece.length;
      if (!hasRoom) await Promise.race([once(response, 'drain'), gone]);
    }
    response.end();
  });
  const { url, headers } = await world(t, { base, targets: { west: { egress: 'wnam' } } });
  const body = JSON.stringify({ model: 'west/m', input: 'Hello', voice: 'alloy' });
  const answer = await send(`${url}/v1/audio/speech`, { method: 'POST', headers, body });
  assert.equal(answer.status, 200);
  // Nobody reads: what the provider gets rid of comes to a halt.
  let before = -1;
  await until(() => sent, found => {
    const isStill = found === before && found > 0;
    before = found;
    return isStill;
  }, 20_000, 1_000);
  assert.ok(sent <= UNDER_WAY_BYTES_MAX, `${sent} bytes are under way`);
  let received = 0;
  for await (const piece of answer.chunks) received += piece.length;
  assert.equal(received, sent);
});

test('an upload goes on as it comes', async t => {
  const { calls, base } = await provider(t, (request, response, call) => {
    request.on('end', () => answer(response, 200, { text: `${call.bytes}` }));
  });
  const { url, headers } = await world(t, { base, targets: { west: { egress: 'wnam' } } });
  const boundary = 'limit';
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="model"\r\n\r\nwest/whisper\r\n--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n`;
  const request = http.request(`${url}/v1/audio/transcriptions`, { method: 'POST', headers: { ...headers, 'content-type': `multipart/form-data; boundary=${boundary}` } });
  const answered = once(request, 'response');
  request.write(head);
  request.write(Buffer.alloc(MIB, 'a'));
  await until(() => calls[0]?.bytes ?? 0, bytes => bytes >= MIB);
  assert.ok(calls[0].bytes >= MIB && !calls[0].ended, 'the first half is there before the second is sent');
  request.end(`${Buffer.alloc(MIB, 'b')}\r\n--${boundary}--\r\n`);
  const [response] = await answered;
  response.resume();
  assert.equal(response.statusCode, 200);
  assert.ok(calls[0].bytes > 2 * MIB, `${calls[0].bytes}`);
});

test('a redirect is not followed', async t => {
  const { calls, base } = await provider(t, (request, response) => {
    response.writeHead(307, { location: '/elsewhere' });
    response.end();
  });
  const { chat } = await world(t, { base, targets: { west: { egress: 'wnam' } } });
  assert.equal((await chat('west/m')).status, 502);
  assert.deepEqual(calls.map(call => call.url), ['/v1/chat/completions']);
});
