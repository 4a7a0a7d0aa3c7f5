// The provider of the benchmark: the same bytes for everybody, made once, sent as fast as they are read.
//
//   model `whole`    a chat answer of about a kilobyte
//   model `burst`    a stream of 100 chunks at once
//   model `paced`    a stream of 50 chunks, 10 ms apart
//
// `node upstream.mjs` prints {"url"} and serves until its input ends. The two stores that a bare workerd lacks are here too:
// a key-value store under /kv and a bucket under /r2, as small as the gateway's use of them.

import http from 'node:http';
import process from 'node:process';

const CHUNK_GAP_MS = 10;
const WORD = ' benchmark';

const head = { id: 'chatcmpl-benchmark', created: 1_790_000_000, model: 'benchmark' };
const usage = { prompt_tokens: 20, completion_tokens: 100, total_tokens: 120 };
const whole = Buffer.from(JSON.stringify({
  ...head, object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: WORD.repeat(80), refusal: null }, logprobs: null, finish_reason: 'stop' }], usage,
}));
const event = (delta, finish = null) => `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], usage: null })}\n\n`;
const chunks = count => [event({ role: 'assistant', content: '' }), ...Array.from({ length: count }, () => event({ content: WORD })), event({}, 'stop'),
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\n`, 'data: [DONE]\n\n'].map(text => Buffer.from(text));
const burst = Buffer.concat(chunks(100));
const paced = chunks(50);

function serveChat(model, response) {
  if (model === 'whole') return response.writeHead(200, { 'content-type': 'application/json', 'content-length': whole.length }).end(whole);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (model === 'burst') return response.end(burst);
  let index = 0;
  const next = () => {
    if (response.destroyed) return;
    response.write(paced[index]);
    index += 1;
    if (index < paced.length) setTimeout(next, CHUNK_GAP_MS);
    else response.end();
  };
  return next();
}

const store = new Map();

/** What workerd asks of a key-value namespace. */
function serveKv(request, key, body, response) {
  if (request.method === 'PUT') {
    store.set(key, body);
    return response.writeHead(200).end();
  }
  return store.has(key) ? response.writeHead(200).end(store.get(key)) : response.writeHead(404).end();
}

/** What workerd asks of a bucket: metadata in a header for reads, before the value for writes. */
function serveBucket(request, body, response) {
  const size = Number(request.headers['cf-r2-metadata-size'] ?? 0);
  const asked = JSON.parse(size > 0 ? body.subarray(0, size) : request.headers['cf-r2-request']);
  const key = `r2 ${asked.object}`;
  if (asked.method === 'put' && !store.has(key)) store.set(key, { ...asked, size: body.length - size });
  const found = store.get(key);
  if (!found) return response.writeHead(404, { 'cf-r2-error': JSON.stringify({ version: 0, v4code: 10_007, message: 'The specified key does not exist.' }) }).end();
  const fields = Object.entries(found.customFields ?? {});
  const metadata = Buffer.from(JSON.stringify({
    name: found.object, version: '1', size: String(found.size), etag: '0'.repeat(32), uploaded: String(head.created * 1_000), httpFields: {},
    customFields: fields.map(([, field]) => field), checksums: {}, storageClass: 'Standard',
  }));
  return response.writeHead(200, { 'cf-r2-metadata-size': metadata.length, 'content-length': metadata.length }).end(metadata);
}

const server = http.createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  const { pathname } = new URL(request.url, 'http://store');
  if (pathname.endsWith('/chat/completions')) return serveChat(/"model":\s*"(whole|burst|paced)"/.exec(body)?.[1] ?? 'whole', response);
  if (request.headers['cf-r2-request'] !== undefined || request.headers['cf-r2-metadata-size'] !== undefined) return serveBucket(request, body, response);
  return serveKv(request, pathname, body, response);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`));
process.stdin.resume().once('end', () => process.exit(0));
