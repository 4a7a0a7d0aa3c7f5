// Runs client scripts, in environments of their own that the first run makes, and gathers the cells that they print.

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

import { described } from './upstreams.mjs';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const E2E = path.join(HERE, '..');
/** A client script that takes longer hangs. */
const SCRIPT_MS_MAX = 1_200_000;

/** The scripts by language, and where each finds its packages. */
export const OFFICIAL = [
  { script: 'python/openai_sdk.py', requirements: 'requirements.txt' }, { script: 'python/anthropic_sdk.py', requirements: 'requirements.txt' }, { script: 'python/google_sdk.py', requirements: 'requirements.txt' },
  { script: 'node/openai_sdk.mjs' }, { script: 'node/anthropic_sdk.mjs' }, { script: 'node/google_sdk.mjs' },
];
export const FRAMEWORKS = [
  { script: 'python/langchain_clients.py', requirements: 'requirements-frameworks.txt' }, { script: 'python/pydantic_ai_clients.py', requirements: 'requirements-frameworks.txt' }, { script: 'python/agents_clients.py', requirements: 'requirements-frameworks.txt' },
  { script: 'python/llama_index_clients.py', requirements: 'requirements-index.txt' }, { script: 'python/instructor_clients.py', requirements: 'requirements-index.txt' },
  { script: 'vercel/clients.mjs', packages: 'vercel' },
];

/** Why no Python client can be run here, or `null`. */
export const pythonAbsent = () => (spawnSync('python3', ['-c', 'import venv, ensurepip']).status === 0 ? null : 'there is no python3 with venv on this machine: the Python clients are not tested');

function must(command, args, options = {}) {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

/** The interpreter of an environment that has exactly what a requirements file says; made once for each content. */
export function pythonWith(requirements) {
  const file = path.join(E2E, 'python', requirements);
  const folder = path.join(E2E, '.venv', requirements.replace('.txt', ''));
  const python = path.join(folder, 'bin', 'python');
  const stamp = path.join(folder, 'installed.txt');
  const wanted = fs.readFileSync(file, 'utf8');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return python;
  must('python3', ['-m', 'venv', '--clear', folder]);
  must(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', file]);
  fs.writeFileSync(stamp, wanted);
  return python;
}

/** Packages of Node.js that only some clients need. */
function nodeWith(packages) {
  const folder = path.join(HERE, packages);
  const stamp = path.join(folder, 'node_modules', '.installed.json');
  const wanted = fs.readFileSync(path.join(folder, 'package-lock.json'), 'utf8');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === wanted) return;
  must('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder });
  fs.writeFileSync(stamp, wanted);
}

function commandOf({ script, requirements, packages }) {
  if (requirements) return [pythonWith(requirements), ['-W', 'ignore', path.join(HERE, script)]];
  if (packages) nodeWith(packages);
  return [process.execPath, [path.join(HERE, script)]];
}

/** Runs one script against some upstreams; answers its cells and versions. A script that fails to run is a failed cell. */
export async function runScript(one, env, names = described.map(({ name }) => name)) {
  const [command, args] = commandOf(one);
  const child = spawn(command, args, { env: { ...process.env, ...env, MATRIX_UPSTREAMS: JSON.stringify(described.filter(({ name }) => names.includes(name))), PYTHONUTF8: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), SCRIPT_MS_MAX);
  let noise = '';
  child.stderr.on('data', data => { noise = (noise + data).slice(-4_000); });
  const cells = [];
  const versions = [];
  for await (const line of readline.createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"client":')) continue;
    const found = JSON.parse(line);
    if (found.version) versions.push(found);
    else cells.push(found);
  }
  const code = child.exitCode ?? await new Promise(resolve => child.once('close', resolve));
  clearTimeout(timer);
  if (code !== 0) cells.push({ client: one.script, dialect: '', feature: 'runs', upstream: '', result: 'fail', reason: noise.slice(-1_500), ms: 0 });
  return { cells, versions };
}

/** What the scripts need to know of a gateway. */
export async function settings({ gateway, mocks }) {
  const { key } = await gateway.mint({ org: 'sdk' });
  const other = await gateway.mint({ org: 'sdk', strict: true });
  return { SLUICE_URL: gateway.url, SLUICE_KEY: key, SLUICE_OTHER_KEY: other.key, MATRIX_MOCKS: mocks.url };
}
