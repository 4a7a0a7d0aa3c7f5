// A bucket that speaks as much S3 as a gateway needs, and is strict: it checks every signature and every checksum by itself, writes nothing
// over, and can be told to fail.
//
// Follows https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import http from 'node:http';

const sha256 = bytes => createHash('sha256').update(bytes).digest();
const hmac = (key, text) => createHmac('sha256', key).update(text).digest();

/** How far a request's time may be from now. */
const SKEW_MS_MAX = 15 * 60_000;

/** What is wrong with a request's signature, or `undefined`. */
function signatureProblem(request, body, { accessKeyId, secretAccessKey, region }) {
  const form = /^AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;
  const [, credential, names, signature] = form.exec(request.headers.authorization ?? '') ?? [];
  if (!credential) return 'AccessDenied';
  const date = request.headers['x-amz-date'] ?? '';
  const scope = [date.slice(0, 8), region, 's3', 'aws4_request'].join('/');
  if (credential !== `${accessKeyId}/${scope}`) return 'InvalidAccessKeyId';
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (!(Math.abs(Date.now() - at) <= SKEW_MS_MAX)) return 'RequestTimeTooSkewed';
  const payload = sha256(body).toString('hex');
  if (request.headers['x-amz-content-sha256'] !== payload) return 'XAmzContentSHA256Mismatch';
  const signed = names.split(';');
  const needed = ['host', ...Object.keys(request.headers).filter(name => name.startsWith('x-amz-'))];
  if (needed.some(name => !signed.includes(name))) return 'AccessDenied';
  const [path, query = ''] = request.url.split('?');
  const headers = signed.map(name => `${name}:${(request.headers[name] ?? '').trim().replace(/ +/g, ' ')}\n`).join('');
  const canonical = [request.method, path, query, headers, names, payload].join('\n');
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical).toString('hex')].join('\n');
  const key = scope.split('/').reduce(hmac, `AWS4${secretAccessKey}`);
  const wanted = hmac(key, text);
  return timingSafeEqual(wanted, Buffer.from(signature, 'hex')) ? undefined : 'SignatureDoesNotMatch';
}

class Bucket {
  /** While set, every call fails. */
  fails = false;
  /** While set, what is written is there, but nobody is told. */
  isSilent = false;
  /** How many calls have failed. */
  failures = 0;
  /** What was refused for what it was, and why: a gateway that behaves sees none of it. */
  refusals = [];
  #objects = new Map();
  #credentials;

  constructor(credentials) {
    this.#credentials = credentials;
  }

  get objects() {
    return [...this.#objects].map(([name, { bytes, headers }]) => ({ name, bytes, headers }));
  }

  /** Puts an object there as somebody else would. */
  place(name, bytes, headers = {}) {
    this.#objects.set(name, { bytes, headers });
  }

  answer(request, body) {
    if (this.fails) {
      this.failures += 1;
      return [503, 'SlowDown'];
    }
    const problem = signatureProblem(request, body, this.#credentials);
    if (problem) return this.#refuse(request, 403, problem);
    const [, bucket, name = ''] = /^\/([^/]+)(?:\/(.*))?$/.exec(request.url) ?? [];
    if (bucket !== this.#credentials.bucket) return this.#refuse(request, 404, 'NoSuchBucket');
    if (request.method === 'HEAD' && name === '') return [200];
    const key = decodeURIComponent(name);
    const there = this.#objects.get(key);
    if (request.method === 'HEAD') return there ? [200, undefined, there.headers] : [404];
    if (request.method !== 'PUT' || key === '') return this.#refuse(request, 405, 'MethodNotAllowed');
    const kept = Object.fromEntries(Object.entries(request.headers).filter(([header]) => /^x-amz-(meta-|object-lock-|checksum-)|^content-type$/.test(header)));
    const checksum = request.headers['x-amz-checksum-sha256'];
    if (checksum !== undefined && checksum !== sha256(body).toString('base64')) return this.#refuse(request, 400, 'BadDigest');
    if (kept['x-amz-object-lock-mode'] && checksum === undefined) return this.#refuse(request, 400, 'InvalidRequest');
    if (request.headers['if-none-match'] !== '*') return this.#refuse(request, 400, 'a batch is only ever created');
    if (there) return [412, 'PreconditionFailed'];
    this.#objects.set(key, { bytes: body, headers: kept });
    return this.isSilent ? [500, 'InternalError'] : [200];
  }

  #refuse(request, status, code) {
    this.refusals.push(`${request.method} ${request.url}: ${code}`);
    return [status, code];
  }
}

/** Starts a bucket: { url, host, objects, fails, failures, refusals, stop() }. */
export async function startBucket(credentials) {
  const bucket = new Bucket(credentials);
  const server = http.createServer(async (request, response) => {
    // Whoever is stopped while it uploads has written nothing.
    const pieces = await request.toArray().catch(() => undefined);
    if (!pieces) return;
    const body = Buffer.concat(pieces);
    const [status, code, headers = {}] = bucket.answer(request, body);
    response.writeHead(status, headers);
    response.end(code && request.method !== 'HEAD' ? `<Error><Code>${code}</Code></Error>` : undefined);
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  bucket.host = `http://127.0.0.1:${server.address().port}`;
  bucket.url = `${bucket.host}/${credentials.bucket}`;
  bucket.stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return bucket;
}
