// What the library writes for callers, held against the types of the providers' official Python SDKs.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { pythonAbsent, pythonWith } from './clients/environment.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

test('every answer is one of the official SDKs\' types', t => {
  const absent = pythonAbsent();
  if (absent) {
    process.stderr.write(`note: ${absent}\n`);
    return t.skip(absent);
  }
  const written = spawnSync('cargo', ['test', '--quiet', '-p', 'sluice-wire', '--test', 'suite', 'every_answer_is_written_down', '--', '--nocapture'], { cwd: PROJECT, encoding: 'utf8' });
  assert.equal(written.status, 0, written.stderr);
  const file = /written to (.+)/.exec(written.stdout)?.[1];
  assert.ok(file, written.stdout);
  const { status, stdout, stderr } = spawnSync(pythonWith('requirements.txt'), [path.join(PROJECT, 'tests', 'e2e', 'python', 'test_types.py')], { encoding: 'utf8', env: { ...process.env, SLUICE_WRITTEN: file } });
  assert.equal(status, 0, stdout + stderr);
  t.diagnostic(stdout.trim());
  return undefined;
});
