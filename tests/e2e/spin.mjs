// A gateway on Spin: the built component, run by `spin up` where that is on the PATH, and by tests/spin-host elsewhere (SLUICE_SPIN_HOST names
// another program that takes the same options). Its store is SQLite, or a Redis of its own.

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

import { startBucket } from './bucket.mjs';
import { ID_KEY, RECEIPT_KEY, SECRETS, configDocument } from './config.mjs';
import { Gateway } from './gateway.mjs';
import { send } from './http.mjs';
import { freePort, startListening } from './listening.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const CREDENTIALS = { bucket: 'records', accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret/of+the/bucket', region: 'eu-central-1' };

/** The program that runs an application, and its first arguments. */
export function runner() {
  if (process.env.SLUICE_SPIN_HOST) return [process.env.SLUICE_SPIN_HOST];
  if (spawnSync('spin', ['--version']).status === 0) return ['spin', 'up', '--quiet'];
  return [path.join(PROJECT, 'target/spin-host/release/spin-host')];
}

/** The committed manifest, made to run this component with these files and to allow these hosts besides. */
export function writeManifest(folder, document, { hosts, secrets = SECRETS, component = path.join(PROJECT, 'build/spin/sluice.wasm') }) {
  const names = Object.keys(secrets).map(name => name.toLowerCase());
  const text = fs.readFileSync(path.join(PROJECT, 'spin.toml'), 'utf8')
    .replace('"build/spin/sluice.wasm"', JSON.stringify(component))
    .replace('"build/spin/config.json"', '"config.json"')
    .replace('"build/spin/wasm.sha256"', JSON.stringify(path.join(PROJECT, 'build/spin/wasm.sha256')))
    .replace('allowed_outbound_hosts = [', `allowed_outbound_hosts = [\n${hosts.map(host => `    ${JSON.stringify(host)},`).join('\n')}`)
    .replace('[variables]\n', `[variables]\n${names.map(name => `${name} = { default = "", secret = true }\n`).join('')}`)
    .replace('[component.sluice.variables]\n', `[component.sluice.variables]\n${names.map(name => `${name} = "{{ ${name} }}"\n`).join('')}`);
  fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify(document));
  fs.writeFileSync(path.join(folder, 'spin.toml'), text);
  return path.join(folder, 'spin.toml');
}

/** The settings with which a Redis keeps all that it has confirmed; docs/spin.md says so too. */
const REDIS_SETTINGS = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'];

/** What is started where a test wants a Redis. */
export const REDIS_PROGRAM = process.env.SLUICE_RUNTIME === 'spin-valkey' ? 'valkey-server' : 'redis-server';
/** Whether each gateway has one unless a test says otherwise. */
export const isOnRedis = ['spin-redis', 'spin-valkey'].includes(process.env.SLUICE_RUNTIME);

/** A Redis, or a Valkey, that keeps what it is told. */
export async function startRedis(folder) {
  const port = await freePort();
  const args = ['--port', port, '--bind', '127.0.0.1', '--dir', folder, '--save', '', ...REDIS_SETTINGS];
  const start = () => startListening(REDIS_PROGRAM, args, { port });
  let child = await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () => end(child, 'SIGTERM'),
    /** Ends it as a power cut would. */
    kill: () => end(child, 'SIGKILL'),
    /** Starts it again on what it has kept. */
    restart: async () => { child = await start(); },
  };
}

/** Ends a process, if it has not ended. */
export async function end(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}

/** The addresses of a configuration's providers, as the manifest grants them. */
const providersOf = document => Object.values(document.providers ?? {}).flatMap(({ base_url: url }) => (url ? [new URL(url).origin] : []));

/** Starts a gateway on Spin. */
export async function startSpinGateway({ mocksUrl, document = configDocument(mocksUrl), granted = providersOf(document), secrets = {}, redis, bucket, retention = '' }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-spin-'));
  const own = [];
  if (isOnRedis && !redis) {
    redis = await startRedis(folder);
    own.push(redis);
  }
  if (!bucket) {
    bucket = await startBucket(CREDENTIALS);
    own.push(bucket);
  }
  // The gateway's own variables stand in the committed manifest.
  const given = Object.entries(secrets);
  const named = { ...SECRETS, ...Object.fromEntries(given.filter(([name]) => !name.startsWith('SLUICE_'))) };
  const receivers = Object.values(document.notify ?? {}).map(({ url }) => new URL(url).origin);
  const hosts = new Set([...(mocksUrl ? [mocksUrl] : []), ...granted, ...receivers]);
  const manifest = writeManifest(folder, document, { hosts: [...hosts], secrets: named });
  const records = { SLUICE_RECORDS_RETENTION: retention, ...(secrets.SLUICE_RECORDS_URL ? { SLUICE_RECORDS_HOST: new URL(secrets.SLUICE_RECORDS_URL).origin } : {}) };
  const gateway = new SpinGateway({ folder, manifest, redis, bucket, variables: { ...SECRETS, ...records, ...secrets }, own, adminToken: randomBytes(24).toString('hex') });
  await gateway.start();
  return gateway;
}

class SpinGateway extends Gateway {
  #options;
  #child;

  constructor(options) {
    super(undefined, options.adminToken);
    this.#options = options;
  }

  get bucketFails() { return this.#options.bucket.fails; }
  set bucketFails(fails) { this.#options.bucket.fails = fails; }
  get bucketFailures() { return this.#options.bucket.failures; }
  get bucket() { return this.#options.bucket; }
  /** Where the host keeps its databases. */
  get stateFolder() { return path.join(this.#options.folder, 'state'); }
  /** The process that serves. */
  get processId() { return this.#child.pid; }

  async start() {
    const { folder, manifest, redis, bucket, variables: more } = this.#options;
    const port = await freePort();
    const variables = {
      SLUICE_ADMIN_TOKEN: this.adminToken, SLUICE_ID_KEY: ID_KEY, SLUICE_RECEIPT_KEY: RECEIPT_KEY, ...(redis ? { SLUICE_STORE: redis.url } : {}), ...(redis?.url.includes('://') ? { SLUICE_STORE_HOST: redis.url } : {}),
      SLUICE_RECORDS_URL: bucket.url, SLUICE_RECORDS_HOST: bucket.host, SLUICE_RECORDS_REGION: CREDENTIALS.region,
      SLUICE_RECORDS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId, SLUICE_RECORDS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey, ...more,
    };
    const env = { ...process.env, ...Object.fromEntries(Object.entries(variables).map(([name, value]) => [`SPIN_VARIABLE_${name}`, value])) };
    const [program, ...args] = [...runner(), '--from', manifest, '--listen', `127.0.0.1:${port}`, '--state-dir', path.join(folder, 'state')];
    this.#child = await startListening(program, args, { port, env, log: Boolean(process.env.SLUICE_E2E_LOG) });
    this.url = `http://127.0.0.1:${port}`;
  }

  /** The objects in the bucket. */
  async objects() {
    return this.#options.bucket.objects;
  }

  /** Sees to every ledger now, as a scheduled job does. */
  async upkeep(token = this.adminToken) {
    const answer = await send(`${this.url}/upkeep`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
    return { status: answer.status, text: (await answer.read()).text };
  }

  /** Ends the process as a power cut would. */
  kill() {
    this.#child.kill('SIGKILL');
  }

  /** Starts again on the same state. */
  async restart() {
    await end(this.#child, 'SIGKILL');
    await this.start();
  }

  /** Another host over the same state, to be stopped before this one. */
  async beside() {
    const other = new SpinGateway({ ...this.#options, isSecond: true });
    await other.start();
    return other;
  }

  async stop() {
    await end(this.#child, 'SIGTERM');
    const { folder, own, isSecond } = this.#options;
    if (isSecond) return;
    for (const one of own) await one.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
