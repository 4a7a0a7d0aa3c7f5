// A real S3 server with Object Lock for tests: Versity's gateway over a folder, and a proxy in front of it that fails.
//
// The server is `versitygw` on the PATH or in target/tools; where Go is there, it is built once (some 90 seconds).
// Its own bucket operations are signed here: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.

import { spawn, spawnSync } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

import { until } from './http.mjs';
import { freePort } from './listening.mjs';

const TOOLS = fileURLToPath(new URL('../../target/tools/', import.meta.url));
const PACKAGE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
const REGION = 'us-east-1';
const HOST = '127.0.0.1';

const works = command => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** The server's program, or why there is none: { program } or { missing }. */
export function findVersity() {
  const own = path.join(TOOLS, 'versitygw');
  for (const program of ['versitygw', own]) if (works(program)) return { program };
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) return { missing: 'no S3 server: neither versitygw nor go is installed' };
  fs.mkdirSync(TOOLS, { recursive: true });
  const { status, stderr } = spawnSync('go', ['install', PACKAGE], { env: { ...process.env, GOBIN: TOOLS }, encoding: 'utf8' });
  return status === 0 ? { program: own } : { missing: `versitygw was not built: ${stderr.slice(-300)}` };
}

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex');
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();

/** Sends bytes on; resolves with { status, headers, body }. */
function exchange(options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: HOST, ...options }, async response => {
      try {
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(await response.toArray()) });
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
    request.end(body);
  });
}

class Versity {
  bucket = 'records';
  region = REGION;
  accessKeyId = 'AKIDTEST';
  secretAccessKey = randomBytes(20).toString('hex');
  #process;
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-s3-'));

  async start(program) {
    this.port = await freePort();
    this.endpoint = `http://${HOST}:${this.port}`;
    const [data, versions] = ['data', 'versions'].map(name => path.join(this.#folder, name));
    for (const folder of [data, versions]) fs.mkdirSync(folder);
    const env = { ...process.env, ROOT_ACCESS_KEY: this.accessKeyId, ROOT_SECRET_KEY: this.secretAccessKey };
    this.#process = spawn(program, ['--port', `${HOST}:${this.port}`, 'posix', '--versioning-dir', versions, data], { env, stdio: 'ignore' });
    const answers = await until(() => exchange({ port: this.port, path: '/' }).then(() => true, () => false), Boolean);
    if (!answers) throw new Error('the S3 server did not start');
    const { status, body } = await this.ask('PUT', '', { 'x-amz-bucket-object-lock-enabled': 'true' });
    if (status !== 200) throw new Error(`no bucket: ${status} ${body}`);
  }

  /** Asks the server directly, signed. */
  ask(method, name, headers = {}, body = Buffer.alloc(0), query = '') {
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
    const target = `/${this.bucket}${name ? `/${name.split('/').map(encodeURIComponent).join('/')}` : ''}`;
    const all = { host: `${HOST}:${this.port}`, 'x-amz-content-sha256': sha256(body), 'x-amz-date': date, ...headers };
    const names = Object.keys(all).sort();
    const canonical = [method, target, query, ...names.map(one => `${one}:${all[one]}`), '', names.join(';'), all['x-amz-content-sha256']].join('\n');
    const scope = [date.slice(0, 8), REGION, 's3', 'aws4_request'];
    const key = scope.reduce(hmac, `AWS4${this.secretAccessKey}`);
    const signature = hmac(key, ['AWS4-HMAC-SHA256', date, scope.join('/'), sha256(canonical)].join('\n')).toString('hex');
    const authorization = `AWS4-HMAC-SHA256 Credential=${this.accessKeyId}/${scope.join('/')}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
    return exchange({ port: this.port, method, path: target + (query && `?${query}`), headers: { ...all, authorization, 'content-length': body.length } }, body);
  }

  /** What the environment of `sluice` must hold to read the bucket. */
  environment() {
    return { AWS_ACCESS_KEY_ID: this.accessKeyId, AWS_SECRET_ACCESS_KEY: this.secretAccessKey, AWS_REGION: REGION, AWS_ENDPOINT_URL: this.endpoint };
  }

  stop() {
    this.#process?.kill('SIGKILL');
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Starts a server with one bucket whose objects can be locked. */
export async function startVersity(program) {
  const server = new Versity();
  try {
    await server.start(program);
  } catch (error) {
    server.stop();
    throw error;
  }
  return server;
}

/** What the proxy does to a call: nothing, or one of these, in turn. */
const FAULTS = ['refused', 'unheard', 'reset', 'slow', 'twice'];

/**
 * A proxy that fails one call of `every`: it refuses, it forwards and answers 500, it breaks the connection after
 * forwarding, it is slow, or it delivers twice. { url, faults (counted by kind), stop() }.
 */
export async function startFaultyProxy(server, every) {
  const faults = Object.fromEntries(FAULTS.map(kind => [kind, 0]));
  let calls = 0;
  const proxy = http.createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    calls += 1;
    const kind = every > 0 && calls % every === 0 ? FAULTS[(calls / every) % FAULTS.length] : undefined;
    if (kind) faults[kind] += 1;
    const forward = () => exchange({ port: server.port, method: request.method, path: request.url, headers: request.headers }, body);
    try {
      if (kind === 'refused') return void response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
      if (kind === 'slow') await new Promise(resolve => setTimeout(resolve, 400));
      if (kind === 'twice') await forward();
      const answer = await forward();
      if (kind === 'unheard') return void response.writeHead(500).end('<Error><Code>InternalError</Code></Error>');
      if (kind === 'reset') return void request.socket.resetAndDestroy();
      response.writeHead(answer.status, answer.headers);
      response.end(answer.body);
    } catch {
      request.socket.destroy();
    }
    return undefined;
  });
  await new Promise(resolve => proxy.listen(0, HOST, resolve));
  const stop = () => {
    proxy.close();
    proxy.closeAllConnections();
  };
  return { url: `http://${HOST}:${proxy.address().port}/${server.bucket}`, faults, stop };
}
