// CPU per answer on Spin: the gateway beside a bare pass-through component, and beside the least that loses nothing (the
// pass-through with one row on record before each answer), on the same host, in turns.
//
//     cargo xtask build spin --release
//     cargo build --package spin-floor --target wasm32-wasip2 --release
//     node tests/bench/spin.mjs [--answers N] [--connections N] [--redis] [--before FILE] [--starts N] [--keys N] [--config FILE]
//
// The store is SQLite, or a Redis of the bench's own. --before names the component of another build, measured in the same
// turns. --starts measures instead what a new instance costs; --config names a compiled configuration whose providers,
// models and prices are there besides, --keys how many keys there are. Prints a table, the components' sizes, and how long
// a first answer takes. Asserts no times: those belong to the machine.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { SECRETS, configDocument } from '../e2e/config.mjs';
import { Gateway } from '../e2e/gateway.mjs';
import { freePort, startListening } from '../e2e/listening.mjs';
import { runner, startRedis, writeManifest } from '../e2e/spin.mjs';
import { KINDS } from './exchange.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const option = (name, fallback) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const ANSWERS = option('--answers', 2_000);
const CONNECTIONS = option('--connections', 16);
const STARTS = option('--starts', 0);
const KEYS = option('--keys', 1);
const ROUNDS = 4;
/** An instance that nobody needs for a second ends. */
const IDLE_MS = 1_500;
/** What an answer has begun is over after this. */
const OVER_MS = 400;
const TOKEN = 'bench';

/** User and system time of a process, threads that have ended included, in milliseconds. */
function cpuMs(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** The same in millionths, of the threads that there are. */
function cpuNanos(pid) {
  const tasks = fs.readdirSync(`/proc/${pid}/task`);
  return tasks.reduce((sum, task) => sum + Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]), 0);
}

async function startSide(name, component, document, mockUrl) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `sluice-bench-${name}-`));
  const redis = name !== 'floor' && process.argv.includes('--redis') ? await startRedis(folder) : undefined;
  const manifest = writeManifest(folder, document, { hosts: [mockUrl], component });
  const port = await freePort();
  const [program, ...args] = [...runner(), '--from', manifest, '--listen', `127.0.0.1:${port}`, '--state-dir', path.join(folder, 'state')];
  const variables = { ...SECRETS, SLUICE_ADMIN_TOKEN: TOKEN, ...(redis ? { SLUICE_STORE: redis.url, SLUICE_STORE_HOST: redis.url } : {}) };
  const env = { ...process.env, ...Object.fromEntries(Object.entries(variables).map(([key, value]) => [`SPIN_VARIABLE_${key}`, value])) };
  const child = await startListening(program, args, { port, env, log: true });
  const stop = async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
    await redis?.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  };
  return { name, url: `http://127.0.0.1:${port}`, store: redis?.url ?? 'sqlite', pid: child.pid, stop };
}

async function ask(agent, side, body, path = '/v1/chat/completions') {
  const options = body ? { method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': body.length, ...side.headers } } : { agent, headers: side.headers };
  return new Promise((resolve, reject) => {
    const request = http.request(`${side.url}${path}`, options, response => {
      const pieces = [];
      response.on('data', piece => pieces.push(piece));
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(pieces) }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function load(side, kind, answers) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const text = JSON.stringify({ ...kind, model: side.model(kind.model), messages: [{ role: 'user', content: 'Hello' }] });
  let left = answers;
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    while (left > 0) {
      left -= 1;
      const { status, body } = await ask(agent, side, Buffer.from(text));
      if (status !== 200 || body.length < 500) throw new Error(`${side.name}: ${status} ${body}`);
    }
  }));
  agent.destroy();
}

/** CPU of a process for something and what follows from it, in milliseconds. */
async function cost(pid, work) {
  const earlier = cpuNanos(pid);
  await work();
  await sleep(OVER_MS);
  return (cpuNanos(pid) - earlier) / 1e6;
}

const median = values => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** What a new instance costs more than one that is there, for each side. The gateway is asked for what needs its configuration and no ledger. */
async function measureStarts(sides) {
  const seen = sides.map(() => []);
  const hello = Buffer.from(JSON.stringify({ model: KINDS.chat.model, messages: [{ role: 'user', content: 'Hello' }] }));
  for (let start = 0; start < STARTS; start += 1) {
    for (const [index, side] of sides.entries()) {
      const agent = new http.Agent({ keepAlive: true });
      const once = () => (side.name === 'floor' ? ask(agent, side, hello) : ask(agent, side, undefined, '/v1/models'));
      const first = await cost(side.pid, once);
      const second = await cost(side.pid, once);
      seen[index].push(first - second);
      agent.destroy();
    }
    await sleep(IDLE_MS);
  }
  return seen.map(median);
}

const mock = spawn(process.execPath, [path.join(PROJECT, 'tests/bench/mock.mjs')], { stdio: ['pipe', 'pipe', 'inherit'] });
const [port] = await once(readline.createInterface({ input: mock.stdout }), 'line');
const mockUrl = `http://127.0.0.1:${port}`;
const document = configDocument(mockUrl);
document.accounting = { reservation_ttl: '30s', ship_interval: STARTS > 0 ? '100ms' : '1s' };
document.providers['mock-openai'].base_url = `${mockUrl}/v1`;
document.orgs.bench = {};
const more = process.argv.indexOf('--config');
const given = more < 0 ? {} : JSON.parse(fs.readFileSync(process.argv[more + 1], 'utf8'));
for (const name of ['providers', 'models', 'prices']) document[name] = { ...document[name], ...given[name] };
const limits = [{ requests: 10_000_000, per: '1h' }, { tokens: 1_000_000_000, per: '1h' }];

const before = process.argv.indexOf('--before');
const floor = path.join(PROJECT, 'target/wasm32-wasip2/release/spin_floor.wasm');
const components = { floor, ...(STARTS > 0 ? {} : { least: floor }), ...(before < 0 ? {} : { before: process.argv[before + 1] }), gateway: path.join(PROJECT, 'build/spin/sluice.wasm') };
const sides = [];
try {
  for (const [name, component] of Object.entries(components)) {
    const side = await startSide(name, component, document, mockUrl);
    sides.push(side);
    if (component === floor) {
      side.headers = { 'x-upstream': `127.0.0.1:${port}`, ...(name === 'least' ? { 'x-record': side.store } : {}) };
      side.model = model => model;
      continue;
    }
    const began = performance.now();
    const { key } = await new Gateway(side.url, TOKEN).mint({ org: 'bench', limits, budgets: [{ usd: '1000000', per: 'month' }] });
    console.log(`${name}: ${fs.statSync(component).size} bytes; its first answer, an instance and its configuration included: ${(performance.now() - began).toFixed(1)} ms`);
    for (let more = 1; more < KEYS; more += 1) await new Gateway(side.url, TOKEN).mint({ org: 'bench' });
    side.headers = { authorization: `Bearer ${key}` };
    side.model = model => `mock-openai/${model}`;
  }
  if (STARTS > 0) {
    await sleep(IDLE_MS);
    const each = await measureStarts(sides);
    console.log(`A new instance, with a configuration of ${JSON.stringify(document).length} bytes: ${sides.map(({ name }, index) => `${name} ${each[index].toFixed(2)} ms`).join(', ')}`);
  }
  if (STARTS === 0) console.log(`| exchange | ${sides.map(({ name }) => `${name}, CPU ms`).join(' | ')} | to the floor |\n|${'---|'.repeat(sides.length + 2)}`);
  for (const [name, { model, chunks }] of Object.entries(KINDS).filter(([, { paceMs }]) => STARTS === 0 && paceMs === 0)) {
    const kind = { model, ...(chunks > 0 ? { stream: true } : {}) };
    const used = sides.map(() => 0);
    for (const side of sides) await load(side, kind, CONNECTIONS * 4);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [index, side] of sides.entries()) {
        const earlier = cpuMs(side.pid);
        await load(side, kind, ANSWERS / ROUNDS);
        // What is settled and shipped late counts too.
        if (!['floor', 'least'].includes(side.name)) await sleep(1_500);
        used[index] += cpuMs(side.pid) - earlier;
      }
    }
    const each = used.map(ms => ms / ANSWERS);
    console.log(`| ${name} | ${each.map(ms => ms.toFixed(3)).join(' | ')} | ${each.slice(1).map(ms => (ms / each[0]).toFixed(2)).join(', ')} |`);
  }
} finally {
  for (const side of sides) await side.stop();
  mock.stdin.end();
}
