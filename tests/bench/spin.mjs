// CPU per answer on Spin: the gateway beside a bare pass-through component, on the same host, in turns.
//
//     cargo xtask build spin --release
//     cargo build --package spin-floor --target wasm32-wasip2 --release
//     node tests/bench/spin.mjs [--answers N] [--connections N]
//
// Prints a table, the components' sizes, and how long a first answer takes. Asserts no times: those belong to the machine.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

import { configDocument } from '../e2e/config.mjs';
import { Gateway } from '../e2e/gateway.mjs';
import { freePort, startListening } from '../e2e/listening.mjs';
import { runner, writeManifest } from '../e2e/spin.mjs';
import { KINDS } from './exchange.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const option = (name, fallback) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const ANSWERS = option('--answers', 2_000);
const CONNECTIONS = option('--connections', 16);
const ROUNDS = 4;
const TOKEN = 'bench';

/** User and system time of a process, threads that have ended included, in milliseconds. */
function cpuMs(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function startSide(name, component, document, mockUrl) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `sluice-bench-${name}-`));
  const manifest = writeManifest(folder, document, { hosts: [mockUrl], component });
  const port = await freePort();
  const [program, ...args] = [...runner(), '--from', manifest, '--listen', `127.0.0.1:${port}`, '--state-dir', path.join(folder, 'state')];
  const env = { ...process.env, SPIN_VARIABLE_SLUICE_ADMIN_TOKEN: TOKEN, SPIN_VARIABLE_MOCK_OPENAI_KEY: 'sk-mock-openai' };
  const child = await startListening(program, args, { port, env, log: false });
  const stop = async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
    fs.rmSync(folder, { recursive: true, force: true });
  };
  return { name, url: `http://127.0.0.1:${port}`, pid: child.pid, stop };
}

async function ask(agent, side, body) {
  const options = { method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': body.length, ...side.headers } };
  return new Promise((resolve, reject) => {
    const request = http.request(`${side.url}/v1/chat/completions`, options, response => {
      let bytes = 0;
      response.on('data', piece => { bytes += piece.length; });
      response.on('end', () => resolve({ status: response.statusCode, bytes }));
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
      const { status, bytes } = await ask(agent, side, Buffer.from(text));
      if (status !== 200 || bytes < 500) throw new Error(`${side.name}: ${status}, ${bytes} bytes`);
    }
  }));
  agent.destroy();
}

const mock = spawn(process.execPath, [path.join(PROJECT, 'tests/bench/mock.mjs')], { stdio: ['pipe', 'pipe', 'inherit'] });
const [port] = await once(readline.createInterface({ input: mock.stdout }), 'line');
const mockUrl = `http://127.0.0.1:${port}`;
const document = configDocument(mockUrl);
document.accounting = { reservation_ttl: '30s', ship_interval: '1s' };
document.providers['mock-openai'].base_url = `${mockUrl}/v1`;
document.orgs.bench = {};
const limits = [{ requests: 10_000_000, per: '1h' }, { tokens: 1_000_000_000, per: '1h' }];

const gateway = await startSide('gateway', path.join(PROJECT, 'build/spin/sluice.wasm'), document, mockUrl);
const floor = await startSide('floor', path.join(PROJECT, 'target/wasm32-wasip2/release/spin_floor.wasm'), document, mockUrl);
try {
  const began = performance.now();
  const { key } = await new Gateway(gateway.url, TOKEN).mint({ org: 'bench', limits, budgets: [{ usd: '1000000', per: 'month' }] });
  console.log(`first answer of the gateway, an instance and its configuration included: ${(performance.now() - began).toFixed(1)} ms`);
  gateway.headers = { authorization: `Bearer ${key}` };
  gateway.model = model => `mock-openai/${model}`;
  floor.headers = { 'x-upstream': `127.0.0.1:${port}` };
  floor.model = model => model;
  console.log('| exchange | floor, CPU ms | gateway, CPU ms | ratio |\n|---|---|---|---|');
  for (const [name, { model, chunks }] of Object.entries(KINDS).filter(([, { paceMs }]) => paceMs === 0)) {
    const kind = { model, ...(chunks > 0 ? { stream: true } : {}) };
    const used = { floor: 0, gateway: 0 };
    for (const side of [floor, gateway]) await load(side, kind, CONNECTIONS * 4);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const side of [floor, gateway]) {
        const before = cpuMs(side.pid);
        await load(side, kind, ANSWERS / ROUNDS);
        // What is settled and shipped late counts too.
        if (side === gateway) await new Promise(resolve => setTimeout(resolve, 1_500));
        used[side.name] += cpuMs(side.pid) - before;
      }
    }
    const each = Object.fromEntries(Object.entries(used).map(([side, ms]) => [side, ms / ANSWERS]));
    console.log(`| ${name} | ${each.floor.toFixed(3)} | ${each.gateway.toFixed(3)} | ${(each.gateway / each.floor).toFixed(2)} |`);
  }
} finally {
  await gateway.stop();
  await floor.stop();
  mock.stdin.end();
}
