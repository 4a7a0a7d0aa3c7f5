// The memory of workerd while a large file goes through the gateway: `node tests/bench/upload.mjs [--megabytes 95]`.
//
// Needs the worker in `build/` (`cargo xtask build`, or the folder in SLUICE_BUILD). Prints, as JSON, the resident memory of the
// process before the first upload, its peak while the file went up and while it came down again, and how long both took.

import fs from 'node:fs';
import http from 'node:http';
import process from 'node:process';
import { parseArgs } from 'node:util';

import { startGateway } from '../e2e/gateway.mjs';

const MEGABYTE = 1_000_000;
const PIECE = Buffer.alloc(65_536, 'a');
const BOUNDARY = 'sluice-bench-boundary';

const { values } = parseArgs({ options: { megabytes: { type: 'string', default: '95' } } });
const bytes = Number(values.megabytes) * MEGABYTE;

/** Writes so many bytes, no faster than they are taken. */
async function write(stream, count) {
  for (let left = count; left > 0; left -= PIECE.length) {
    if (!stream.write(PIECE.subarray(0, Math.min(left, PIECE.length)))) await new Promise(resolve => stream.once('drain', resolve));
  }
}

/** A provider that keeps nothing: it counts what comes, and sends as much. */
async function startProvider() {
  const server = http.createServer(async (request, response) => {
    let came = 0;
    for await (const piece of request) came += piece.length;
    if (request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      await write(response, bytes);
      return response.end();
    }
    const file = { id: 'file-1', object: 'file', bytes: came, created_at: 1, filename: 'a.jsonl', purpose: 'batch', status: 'processed' };
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(file));
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** What a process says of its memory, in megabytes. */
function memory(pid, field) {
  const line = fs.readFileSync(`/proc/${pid}/status`, 'utf8').split('\n').find(one => one.startsWith(field));
  return Math.round(Number(/\d+/.exec(line)[0]) * 1_024 / MEGABYTE);
}

const workerd = () => fs.readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').map(Number)
  .find(pid => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('workerd'));

function send(url, key, method, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers: { authorization: `Bearer ${key}`, ...headers } }, async response => {
      let came = 0;
      const pieces = [];
      for await (const piece of response) {
        came += piece.length;
        if (came <= MEGABYTE) pieces.push(piece);
      }
      resolve({ status: response.statusCode, came, text: Buffer.concat(pieces).toString('utf8').slice(0, 1_000) });
    });
    request.once('error', reject);
    (body ? body(request) : Promise.resolve()).then(() => request.end(), reject);
  });
}

/** The peak of a process's memory while something is done, and how long it took. */
async function watch(pid, work) {
  fs.writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const started = performance.now();
  const answer = await work();
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`);
  return { answer, peak_mb: memory(pid, 'VmHWM'), ms: Math.round(performance.now() - started) };
}

const provider = await startProvider();
const document = {
  gateway: { timeouts: { total: '300s' } }, providers: { keeper: { dialect: 'openai', base_url: `http://127.0.0.1:${provider.address().port}/v1`, auth: 'none', models_allow: ['*'] } }, orgs: { bench: {} },
};
const gateway = await startGateway({ document });
try {
  const { key } = await gateway.mint({ org: 'bench' });
  const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n`;
  const tail = `\r\n--${BOUNDARY}--\r\n`;
  const upload = count => send(`${gateway.url}/v1/files`, key, 'POST', { 'content-type': `multipart/form-data; boundary=${BOUNDARY}`, 'content-length': head.length + count + tail.length }, async request => {
    request.write(head);
    await write(request, count);
    request.write(tail);
  });
  const { id } = JSON.parse((await upload(1)).text);
  const pid = workerd();
  const before = memory(pid, 'VmRSS');
  const up = await watch(pid, () => upload(bytes));
  const down = await watch(pid, () => send(`${gateway.url}/v1/files/${id}/content`, key, 'GET', {}));
  if (down.answer.came !== bytes) throw new Error(`only ${down.answer.came} bytes came down`);
  process.stdout.write(`${JSON.stringify({ megabytes: bytes / MEGABYTE, before_mb: before, up: { peak_mb: up.peak_mb, ms: up.ms }, down: { peak_mb: down.peak_mb, ms: down.ms } })}\n`);
} finally {
  await gateway.stop();
  provider.close();
}
