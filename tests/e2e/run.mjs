// Runs the end-to-end tests: `node tests/e2e/run.mjs [--runtime workerd|spin|spin-redis|spin-valkey] [file …]`;
// or the matrix of clients: `node tests/e2e/run.mjs matrix`. Installs what they need on the first run.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const FILES = ['mocks', 'replay', 'runner', 'scenarios', 'accounting', 'limits', 'streams', 'residency', 'homes', 'shards', 'revocation', 'egress', 'audit', 'circuits', 'capacity', 'events', 'optimised', 'sdk', 'clients', 'types', 'python', 'spin', 'spinkube'];

const inherit = { cwd: HERE, stdio: 'inherit' };
const manifest = name => JSON.parse(fs.readFileSync(path.join(HERE, name), 'utf8'));
const installed = ([name, version]) => fs.existsSync(path.join(HERE, 'node_modules', name)) && manifest(`node_modules/${name}/package.json`).version === version;
if (!Object.entries(manifest('package.json').dependencies).every(installed)) {
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], inherit);
  if (status !== 0) process.exit(status ?? 1);
}
if (process.argv[2] === 'matrix') {
  const { status } = spawnSync(process.execPath, ['matrix.mjs', ...process.argv.slice(3)], inherit);
  process.exit(status ?? 1);
}
const names = process.argv.slice(2);
const at = names.indexOf('--runtime');
if (at >= 0) [, process.env.SLUICE_RUNTIME] = names.splice(at, 2);
const wanted = names.length > 0 ? names : FILES;
const files = wanted.map(name => `${name.replace(/(\.test)?(\.mjs)?$/, '')}.test.mjs`);
// One file at a time: they measure how long things take.
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files], inherit);
process.exit(status ?? 1);
