// How much the gateway adds: `node tests/bench/run.mjs [--rounds N] [--seconds S]`.
//
// The gateway and a bare pass-through worker run on the same workerd, each in a process of its own, in front of the same provider. Rounds
// alternate between the two, so that a noisy machine disturbs both alike; what counts is the ratio. Limits, budgets, authentication and
// usage records are on.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

import { floor, gateway, start } from './workerd.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const CONNECTIONS = [1, 16, 64];
const CASES = ['whole', 'burst', 'paced'];
const WARM_UP = 200;
/** The bar: CPU of a request that is not streamed, against the floor. */
const CPU_RATIO_MAX = 10;
/** The bar: the worker's wasm, compressed. */
const WASM_GZIP_BYTES_MAX = 700 * 1024;

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '2' }, quick: { type: 'boolean', default: false }, build: { type: 'string', default: path.join(PROJECT, 'build') } } });

const document = port => ({
  providers: { bench: { dialect: 'openai', base_url: `http://127.0.0.1:${port}/v1`, key: 'BENCH_PROVIDER_KEY', models_allow: ['*'] } },
  prices: { 'bench/*': { input: '2', output: '8' } },
  orgs: { bench: { limits: [{ requests: 1_000_000_000, per: '1h' }, { tokens: 1_000_000_000_000, per: '1h' }], budgets: [{ usd: '1000000', per: 'day' }] } },
});

const body = (model, stream) => JSON.stringify({
  model, messages: [{ role: 'system', content: 'You are a benchmark. '.repeat(20) }, { role: 'user', content: 'Write something. '.repeat(30) }], max_tokens: 200,
  ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
});

/** One request after the other on one connection until the time is up. */
async function connection(agent, target, until, samples) {
  while (performance.now() < until) {
    const began = performance.now();
    await new Promise((resolve, reject) => {
      const request = http.request(target.url, { method: target.method ?? 'POST', agent, headers: target.headers }, response => {
        if (response.statusCode !== target.status) reject(new Error(`${target.url} answered ${response.statusCode}`));
        let first;
        response.on('data', () => { first ??= performance.now() - began; });
        response.on('end', () => {
          samples.push({ first: first ?? performance.now() - began, whole: performance.now() - began });
          resolve();
        });
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end(target.body);
    });
  }
}

async function load(target, connections, seconds) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const samples = [];
  const began = performance.now();
  await Promise.all(Array.from({ length: connections }, () => connection(agent, target, began + seconds * 1_000, samples)));
  agent.destroy();
  return { samples, seconds: (performance.now() - began) / 1_000 };
}

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const sortedBy = (samples, field) => samples.map(sample => sample[field]).sort((a, b) => a - b);

/** What some rounds came to. */
function summary({ samples, seconds, cpuMs }) {
  const whole = sortedBy(samples, 'whole');
  const first = sortedBy(samples, 'first');
  return { requests: samples.length, cpu: cpuMs / samples.length, rate: samples.length / seconds, p50: quantile(whole, 0.5), p99: quantile(whole, 0.99), first50: quantile(first, 0.5) };
}

async function measure(process_, target, connections, seconds, total) {
  const before = process_.cpuMs();
  const { samples, seconds: took } = await load(target, connections, seconds);
  total.samples.push(...samples);
  total.seconds += took;
  total.cpuMs += process_.cpuMs() - before;
}

const show = (number, digits = 2) => number.toFixed(digits).padStart(8);
const line = (label, sum) => console.log(`  ${label.padEnd(9)}${show(sum.cpu, 3)} ms CPU ${show(sum.rate, 0)} /s   p50 ${show(sum.p50)} ms   p99 ${show(sum.p99)} ms   first byte ${show(sum.first50)} ms   (${sum.requests} requests)`);

async function compare(world, name, connections) {
  const stream = name !== 'whole';
  const headers = { 'content-type': 'application/json' };
  const own = { url: `${world.gateway.url}/v1/chat/completions`, status: 200, headers: { ...headers, authorization: `Bearer ${world.key}` }, body: body(`bench/${name}`, stream) };
  const bare = { url: `${world.floor.url}/v1/chat/completions`, status: 200, headers, body: body(name, stream) };
  const totals = { own: { samples: [], seconds: 0, cpuMs: 0 }, bare: { samples: [], seconds: 0, cpuMs: 0 } };
  for (let round = 0; round < Number(options.rounds); round += 1) {
    await measure(world.floor, bare, connections, Number(options.seconds), totals.bare);
    await measure(world.gateway, own, connections, Number(options.seconds), totals.own);
  }
  const sums = { own: summary(totals.own), bare: summary(totals.bare) };
  console.log(`\n${name}, ${connections} connection${connections > 1 ? 's' : ''}`);
  line('floor', sums.bare);
  line('gateway', sums.own);
  const ratio = sums.own.cpu / sums.bare.cpu;
  console.log(`  ratio    ${show(ratio)} × CPU${show(sums.own.rate / sums.bare.rate)} × rate   p50 +${(sums.own.p50 - sums.bare.p50).toFixed(2)} ms   first byte +${(sums.own.first50 - sums.bare.first50).toFixed(2)} ms`);
  return ratio;
}

/** Where the CPU goes: requests that end ever later on the way. */
async function breakdown(world) {
  const key = { 'content-type': 'application/json', authorization: `Bearer ${world.key}` };
  const chat = `${world.gateway.url}/v1/chat/completions`;
  const stages = [
    ['shell: nothing but an answer', { url: `${world.gateway.url}/health/live`, method: 'GET', status: 200, headers: {} }],
    ['+ authentication, request parsed, model unknown', { url: chat, status: 404, headers: key, body: body('no-such-model', false) }],
    ['+ ledger (admit, settle, record), built-in provider', { url: chat, status: 200, headers: key, body: body('sandbox/echo', false) }],
    ['+ provider called, answer read', { url: chat, status: 200, headers: key, body: body('bench/whole', false) }],
  ];
  console.log('\nwhere the CPU goes (16 connections)');
  let before = 0;
  for (const [label, target] of stages) {
    const total = { samples: [], seconds: 0, cpuMs: 0 };
    await measure(world.gateway, target, 16, Number(options.seconds), total);
    const { cpu } = summary(total);
    console.log(`  ${label.padEnd(54)}${show(cpu, 3)} ms  (+${(cpu - before).toFixed(3)})`);
    before = cpu;
  }
}

async function mint(url, adminToken) {
  const response = await fetch(`${url}/admin/keys`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${adminToken}` }, body: JSON.stringify({ org: 'bench' }) });
  if (response.status !== 201) throw new Error(`no key was made: ${response.status} ${await response.text()}`);
  return (await response.json()).key;
}

function sizes() {
  const wasm = fs.readFileSync(path.join(options.build, 'index_bg.wasm'));
  const gzip = gzipSync(wasm, { level: 9 }).length;
  console.log(`wasm ${(wasm.length / 1_024).toFixed(0)} KB, ${(gzip / 1_024).toFixed(0)} KB gzip (at most ${WASM_GZIP_BYTES_MAX / 1_024})`);
  return gzip;
}

const state = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));
const upstream = spawn(process.execPath, [fileURLToPath(new URL('./upstream.mjs', import.meta.url))], { stdio: ['pipe', 'pipe', 'inherit'] });
const world = {};
try {
  const gzip = sizes();
  const [first] = await once(readline.createInterface({ input: upstream.stdout }), 'line');
  const { port } = JSON.parse(first);
  const adminToken = 'benchmark-admin-token';
  world.floor = await start('floor', floor(port), state);
  world.gateway = await start('gateway', gateway({ build: path.resolve(options.build), document: document(port), upstreamPort: port, adminToken, state }), state);
  const began = performance.now();
  await fetch(`${world.gateway.url}/health/live`);
  console.log(`start-up: floor ${world.floor.startMs.toFixed(0)} ms, gateway ${world.gateway.startMs.toFixed(0)} ms, its first answer after another ${(performance.now() - began).toFixed(0)} ms`);
  world.key = await mint(world.gateway.url, adminToken);
  const warm = { url: `${world.gateway.url}/v1/chat/completions`, status: 200, headers: { 'content-type': 'application/json', authorization: `Bearer ${world.key}` }, body: body('bench/whole', false) };
  for (let count = 0; count < WARM_UP; count += (await load(warm, 4, 0.2)).samples.length);
  const ratios = [];
  for (const name of options.quick ? ['whole'] : CASES) {
    for (const connections of options.quick ? [16] : CONNECTIONS) ratios.push([name, connections, await compare(world, name, connections)]);
  }
  await breakdown(world);
  const worst = ratios.find(([name, connections]) => name === 'whole' && connections === 16)[2];
  const passed = worst <= CPU_RATIO_MAX && gzip <= WASM_GZIP_BYTES_MAX;
  console.log(`\n${passed ? 'within' : 'BEYOND'} the bars: ${worst.toFixed(2)} × CPU whole at 16 connections (at most ${CPU_RATIO_MAX}), ${(gzip / 1_024).toFixed(0)} KB gzip (at most ${WASM_GZIP_BYTES_MAX / 1_024})`);
  process.exitCode = passed ? 0 : 1;
} finally {
  world.gateway?.stop();
  world.floor?.stop();
  upstream.kill();
  fs.rmSync(state, { recursive: true, force: true });
}
