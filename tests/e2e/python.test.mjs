// The providers' own Python clients, straight at the mocks: each understands the other.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { pythonAbsent, pythonWith } from './clients/environment.mjs';
import { startMocks } from './mocks.mjs';

const SCRIPT = path.join(fileURLToPath(new URL('./', import.meta.url)), 'python', 'test_mocks.py');

function run(python, env) {
  const child = spawn(python, ['-W', 'ignore', SCRIPT], { env: { ...process.env, ...env } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => { output += data; });
  return new Promise(resolve => child.once('close', code => resolve({ code, output })));
}

test('the providers\' own clients and the mocks understand each other', async t => {
  const absent = pythonAbsent();
  if (absent) return t.skip(absent);
  const mocks = await startMocks({ lenient: true });
  const { code, output } = await run(pythonWith('requirements.txt'), { SLUICE_MOCKS: mocks.url });
  await mocks.stop();
  assert.equal(code, 0, output);
  return undefined;
});
