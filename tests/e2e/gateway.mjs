// A gateway to test, with the mock providers behind it.
//
// By default it runs on workerd, from the worker in `build/` (made by `cargo xtask build`; SLUICE_BUILD names another folder), on a random
// port and with state of its own in a temporary folder. SLUICE_RUNTIME says `spin`, `spin-redis` or `spin-valkey` for Spin. With SLUICE_URL and SLUICE_ADMIN_TOKEN the tests use a gateway that runs already:
// it must have the configuration that `node tests/e2e/gateway.mjs --config FILE` writes, for mocks on SLUICE_MOCKS_PORT.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';

import { Response as MiniflareResponse } from 'miniflare';

import { start as startWorkerd } from '../../edge/cloudflare/dev/gateway.mjs';
import { ID_KEY, RECEIPT_KEY, SECRETS, configDocument } from './config.mjs';
import { json, until } from './http.mjs';
import { startMocks } from './mocks.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
/** How long the ledger may take to show what an answer has settled. */
const SETTLED_MS_MAX = 5_000;

/** Mocks and a gateway in front of them: { gateway, mocks, capabilities, stop() }. */
export async function startWorld(options = {}) {
  if (process.env.SLUICE_URL) return foreignWorld();
  const mocks = await startMocks();
  const secrets = { MOCK_SERVICE_ACCOUNT: JSON.stringify(await mocks.serviceAccount()) };
  const gateway = await startGateway({ mocksUrl: mocks.url, ...options, secrets: { ...secrets, ...options.secrets } }).catch(async error => {
    await mocks.stop();
    throw error;
  });
  forbidKeys(gateway, mocks);
  const stop = async () => {
    await gateway.stop();
    await mocks.stop();
  };
  const leaving = isOnSpin() ? [] : ['leaving'];
  return { gateway, mocks, capabilities: new Set(['mocks', 'admin', 'records', 'sandbox', 'process', ...leaving]), stop };
}

async function foreignWorld() {
  const mocks = await startMocks({ port: Number(process.env.SLUICE_MOCKS_PORT ?? 0) });
  const gateway = new Gateway(process.env.SLUICE_URL.replace(/\/$/, ''), process.env.SLUICE_ADMIN_TOKEN);
  const capabilities = new Set(['mocks', 'sandbox', ...(gateway.adminToken ? ['admin'] : [])]);
  if (process.env.SLUICE_RECORDS) {
    capabilities.add('records');
    gateway.objects = () => readFolder(process.env.SLUICE_RECORDS);
  }
  if (!gateway.adminToken) gateway.mint = async () => ({ id: undefined, key: process.env.SLUICE_KEY });
  forbidKeys(gateway, mocks);
  return { gateway, mocks, capabilities, stop: () => mocks.stop() };
}

/** Whatever key is made must never reach a provider. */
function forbidKeys(gateway, mocks) {
  const mint = gateway.mint.bind(gateway);
  gateway.mint = async body => {
    const minted = await mint(body);
    await mocks.forbid([minted.key]);
    return minted;
  };
}

const readFolder = folder => fs.readdirSync(folder, { recursive: true }).filter(name => name.endsWith('.ndjson.gz'))
  .map(name => ({ name, bytes: fs.readFileSync(path.join(folder, name)) }));

/** What the tests ask of a gateway, wherever it runs. */
export class Gateway {
  constructor(url, adminToken) {
    this.url = url;
    this.adminToken = adminToken;
  }

  admin(method, target, body) {
    return json(this.url + target, { method, headers: { authorization: `Bearer ${this.adminToken}` }, body });
  }

  async mint(body) {
    const made = await this.admin('POST', '/admin/keys', body);
    if (made.status !== 201) throw new Error(`no key was made: ${made.status} ${JSON.stringify(made.json)}`);
    return made.json;
  }

  revoke(id) {
    return this.admin('POST', `/admin/keys/${id}/revoke`);
  }

  async standing(org) {
    const { status, json: body } = await this.admin('GET', `/admin/ledger?org=${org}`);
    if (status !== 200) throw new Error(`the ledger did not answer: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  /** What stands at one scope, once it satisfies (or the time is up). */
  async standingOf(org, scope, satisfies = () => true, waitMs = SETTLED_MS_MAX) {
    const wanted = JSON.stringify(scope);
    const ask = async () => (await this.standing(org)).scopes.find(one => JSON.stringify(one.scope) === wanted) ?? { requests_total: 0, tokens_total: 0, spent_total: 0, spent_day: 0, spent_month: 0, reserved: 0 };
    return until(ask, satisfies, waitMs);
  }

  /** The ledger, once nothing is open and everything is shipped (or the time is up). */
  quiet(org, waitMs) {
    return until(() => this.standing(org), standing => standing.open === 0 && standing.outbox === 0, waitMs);
  }

  /** Every usage record in the bucket, in the order of the objects' names; refusals and changes are none. A batch's first line is its header. */
  async records() {
    const objects = (await this.objects()).sort((a, b) => (a.name < b.name ? -1 : 1));
    return objects.flatMap(({ name, bytes }) => gunzipSync(bytes).toString('utf8').split('\n').slice(1, -1).map(line => ({ ...JSON.parse(line), object: name }))).filter(record => record.cost_nano_usd !== undefined);
  }

  /** The records by request, once they satisfy (or the time is up). */
  async recordsOnce(satisfies, waitMs) {
    const ask = async () => {
      const byRequest = new Map();
      for (const record of await this.records()) byRequest.set(record.request, [...(byRequest.get(record.request) ?? []), record]);
      return byRequest;
    };
    return until(ask, satisfies, waitMs, 250);
  }

  /** What an organisation has spent, as its ledger says and as the records add up to, in nano-dollars. */
  async sums(org, waitMs) {
    const standing = await this.quiet(org, waitMs);
    const ledger = standing.scopes.find(one => one.scope === 'org')?.spent_total ?? 0;
    const records = (await this.records()).filter(record => record.org === org).reduce((sum, record) => sum + record.cost_nano_usd, 0);
    return { ledger, records, standing };
  }
}

/** The bucket as a binding that can be told to fail: it asks before each call. */
const FLAKY_BUCKET = `export default env => new Proxy({}, { get: (_, name) => async (...args) => {
  const answer = await env.FAULTS.fetch('http://faults/' + name);
  if (answer.status !== 200) throw new Error('the bucket fails, as it was asked to');
  return env.REAL[name](...args);
} });`;

/** Whether the runtime that is tested is Spin. */
export const isOnSpin = () => (process.env.SLUICE_RUNTIME ?? 'workerd').startsWith('spin');

/** How long what follows an answer at once takes, at most. */
const OVER_MS = 100;
/** After this long without a request an instance on Spin has ended: it ships first, twice an interval later at most, and waits for a second. */
const ENDED_MS = 4_000;

/**
 * Waits until the next request meets the instance that the last one met, or, before the first, a new one: Spin spreads requests
 * over all instances that wait for one, ends each after 128, and makes another where each still sees to what follows an answer.
 */
export const meetOneInstance = isFirst => (isOnSpin() ? sleep(isFirst ? ENDED_MS : OVER_MS) : undefined);

/** Why a test that needs the gateway's process cannot run, where it cannot. */
export const withoutProcess = process.env.SLUICE_URL ? 'the gateway that is tested runs elsewhere' : false;
/** The same where requests must wait in one line: an instance of Spin's serves few at a time, and lines are the instance's own. */
export const withoutLine = withoutProcess || (isOnSpin() ? 'on Spin requests that come together do not wait in one line' : false);

/** Starts a gateway on the runtime that is tested. */
export async function startGateway(options) {
  if (!isOnSpin()) return startWorkerdGateway(options);
  const { startSpinGateway } = await import('./spin.mjs');
  return startSpinGateway(options);
}

async function startWorkerdGateway({ mocksUrl, document = configDocument(mocksUrl), secrets = {}, stateFolder, flakyBucket = false, isolates = [] }) {
  const folder = stateFolder ?? fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-e2e-'));
  const adminToken = randomBytes(24).toString('hex');
  const gateway = new WorkerdGateway({ folder, adminToken, document, secrets, flakyBucket, isolates });
  await gateway.start();
  return gateway;
}

class WorkerdGateway extends Gateway {
  #options;
  #miniflare;
  /** While set, every call of the bucket fails. */
  bucketFails = false;
  /** How many calls of the bucket have failed. */
  bucketFailures = 0;

  constructor(options) {
    super(undefined, options.adminToken);
    this.#options = options;
  }

  async start() {
    const { folder, document, secrets, flakyBucket, isolates } = this.#options;
    const faults = async () => {
      if (this.bucketFails) this.bucketFailures += 1;
      return new MiniflareResponse(null, { status: this.bucketFails ? 503 : 200 });
    };
    const flaky = flakyBucket ? {
      buckets: { RECORDS_REAL: 'records' }, more: { wrappedBindings: { RECORDS: 'flaky-bucket' } },
      workers: [{ name: 'flaky-bucket', modules: true, script: FLAKY_BUCKET, r2Buckets: { REAL: 'records' }, serviceBindings: { FAULTS: faults } }],
    } : {};
    const { gateway, url } = await startWorkerd({
      build: path.resolve(process.env.SLUICE_BUILD ?? path.join(PROJECT, 'build')), state: folder, document, log: Boolean(process.env.SLUICE_E2E_LOG),
      bindings: { ...SECRETS, SLUICE_RECEIPT_KEY: RECEIPT_KEY, ...secrets, SLUICE_ADMIN_TOKEN: this.adminToken, SLUICE_ID_KEY: ID_KEY }, isolates, ...flaky,
    });
    this.#miniflare = gateway;
    this.url = url;
  }

  /** Another isolate of this gateway, by its name. */
  isolate(name) {
    return this.#miniflare.getWorker(name);
  }

  /** The objects in the bucket. */
  async objects() {
    const bucket = await this.#miniflare.getR2Bucket(this.#options.flakyBucket ? 'RECORDS_REAL' : 'RECORDS', 'sluice');
    const found = [];
    let cursor;
    do {
      const page = await bucket.list({ cursor });
      for (const { key } of page.objects) found.push({ name: key, bytes: Buffer.from(await (await bucket.get(key)).arrayBuffer()) });
      cursor = page.truncated ? page.cursor : undefined;
    } while (cursor);
    return found;
  }

  /** Ends workerd as a power cut would. Only processes that this one has started are touched. */
  kill() {
    const children = fs.readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
    const workers = children.filter(id => fs.readFileSync(`/proc/${id}/cmdline`, 'utf8').includes('workerd'));
    if (workers.length === 0) throw new Error('workerd is not running');
    for (const id of workers) process.kill(Number(id), 'SIGKILL');
  }

  /** Starts again on the same state. */
  async restart() {
    await this.#miniflare.dispose().catch(() => {});
    await this.start();
  }

  async stop() {
    await this.#miniflare.dispose();
    fs.rmSync(this.#options.folder, { recursive: true, force: true });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const at = process.argv.indexOf('--config');
  if (at < 0) throw new Error('usage: node gateway.mjs --config FILE');
  fs.writeFileSync(process.argv[at + 1], `${JSON.stringify(configDocument(`http://127.0.0.1:${process.env.SLUICE_MOCKS_PORT ?? 9_900}`), null, 2)}\n`);
}
