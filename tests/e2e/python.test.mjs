// The Python clients, in an environment of their own that the first run makes (tests/e2e/.venv).

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startWorld } from './gateway.mjs';
import { startMocks } from './mocks.mjs';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const VENV = path.join(HERE, '.venv');
const PYTHON = path.join(VENV, 'bin', 'python');

let absent = false;
before(() => {
  if (spawnSync('python3', ['-c', 'import venv, ensurepip']).status !== 0) {
    absent = 'there is no python3 with venv on this machine: the Python clients are not tested';
    process.stderr.write(`note: ${absent}\n`);
  }
});

/** An environment that has exactly what a requirements file says; made once for each content. */
function environment(requirements) {
  const file = path.join(HERE, 'python', requirements);
  const stamp = path.join(VENV, `${requirements}.installed`);
  const wanted = fs.readFileSync(file, 'utf8');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return;
  const steps = [...(fs.existsSync(PYTHON) ? [] : [['python3', '-m', 'venv', VENV]]), [PYTHON, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', file]];
  for (const [command, ...args] of steps) {
    const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  }
  fs.writeFileSync(stamp, wanted);
}

function python(script, env) {
  const child = spawn(PYTHON, [path.join(HERE, 'python', script)], { env: { ...process.env, PYTHONWARNINGS: 'ignore', ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { output += data; });
  return new Promise(resolve => child.once('close', code => resolve({ code, output })));
}

test('the providers\' own clients and the mocks understand each other', async t => {
  if (absent) return t.skip(absent);
  environment('requirements-mocks.txt');
  const mocks = await startMocks({ lenient: true });
  const { code, output } = await python('test_mocks.py', { SLUICE_MOCKS: mocks.url });
  await mocks.stop();
  assert.equal(code, 0, output);
  return undefined;
});

let world;
after(() => world?.stop());
test('OpenAI\'s client and the gateway understand each other', async t => {
  if (absent) return t.skip(absent);
  environment('requirements.txt');
  world = await startWorld();
  const { key } = await world.gateway.mint({ org: 'sdk' });
  const poor = await world.gateway.mint({ org: 'sdk', budgets: [{ usd: '0.000001', per: 'day' }] });
  const { code, output } = await python('test_gateway.py', { SLUICE_URL: world.gateway.url, SLUICE_KEY: key, SLUICE_BUDGET_KEY: poor.key });
  assert.equal(code, 0, output);
  const calls = await world.mocks.calls();
  assert.deepEqual([...new Set(calls.flatMap(call => call.violations))], []);
  assert.deepEqual([...new Set(calls.filter(call => /slow-chunks/.test(call.model)).map(call => call.end))], ['aborted']);
  return undefined;
});
