// The mock providers: one HTTP server on the loopback, one path prefix for each provider.
//
//   /openai/v1      OpenAI                        key sk-mock-openai
//   /backup/v1      OpenAI again, to fall back to key sk-mock-backup
//   /plain/v1       a plain OpenAI-compatible one key sk-mock-plain
//   /anthropic/v1   Anthropic                     key sk-ant-mock
//   /gemini/v1beta  Google                        key AIza-mock
//   /azure/openai   Azure OpenAI                  key azure-mock
//   /vertex/v1      Vertex AI (Gemini, Claude)    token from /vertex/token for the service account
//   /bedrock        Bedrock                       signed with AKIAMOCKMOCKMOCKMOCK, or key bedrock-api-key-mock
//   /mistral/v1     Mistral                       key mistral-mock
//   /cohere/v2      Cohere                        key cohere-mock
//   /ollama/v1      Ollama                        no key
//   /vllm/v1        vLLM                          key vllm-mock
//
//   GET  /control/calls?since=N&settled=1&wait_ms=M   calls from number N on; `settled` waits until none is under way
//   POST /control/forbid {"values": […]}              texts that must never arrive (virtual keys); a call with one is a violation
//   POST /control/reset                               forgets calls, `then-ok` counters, forbidden texts and issued tokens
//   GET  /control/service-account                     the credentials that Vertex AI accepts, as a key file
//   GET  /control/state                               {"specs", "recordings", "open"}
//
// `node server.mjs [--port N] [--lenient]` prints {"url": …} and serves until its input ends. `--lenient` allows any header, for SDKs
// that talk to it directly. What each provider refuses stands in its file, what faults there are in faults.mjs.

import http from 'node:http';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

import { anthropic } from './anthropic.mjs';
import { azure } from './azure.mjs';
import { bedrock } from './bedrock.mjs';
import { cohere } from './cohere.mjs';
import { faultOf } from './faults.mjs';
import { gemini } from './gemini.mjs';
import { ollama, vllm } from './local.mjs';
import { mistral } from './mistral.mjs';
import { formOf, parseMultipart } from './multipart.mjs';
import { openai } from './openai.mjs';
import { recordings, recordingsFolder } from './recordings.mjs';
import { check } from './shape.mjs';
import { specProblem, specsFolder } from './specs.mjs';
import { serviceAccount, vertex } from './vertex.mjs';

const BODY_BYTES_MAX = 64 * 1024 * 1024;
const CALLS_MAX = 50_000;
/** Bodies above this size are not kept. */
const KEPT_BYTES_MAX = 256 * 1024;

/** The providers by path prefix. */
export const PROVIDERS = {
  openai: { dialect: 'openai', key: 'sk-mock-openai', wire: openai() },
  backup: { dialect: 'openai', key: 'sk-mock-backup', wire: openai() },
  plain: { dialect: 'openai', key: 'sk-mock-plain', wire: openai({ plain: true }) },
  anthropic: { dialect: 'anthropic', key: 'sk-ant-mock', wire: anthropic() },
  gemini: { dialect: 'gemini', key: 'AIza-mock', wire: gemini() },
  azure: { dialect: 'azure', key: 'azure-mock', wire: azure() },
  vertex: { dialect: 'vertex', key: 'mock-project', wire: vertex() },
  bedrock: { dialect: 'bedrock', key: { id: 'AKIAMOCKMOCKMOCKMOCK', secret: 'mock/secret+access+key', bearer: 'bedrock-api-key-mock' }, wire: bedrock() },
  mistral: { dialect: 'mistral', key: 'mistral-mock', wire: mistral() },
  cohere: { dialect: 'cohere', key: 'cohere-mock', wire: cohere() },
  ollama: { dialect: 'ollama', key: null, wire: ollama() },
  vllm: { dialect: 'vllm', key: 'vllm-mock', wire: vllm() },
};

/** All that a gateway may send upstream. Everything else came from the caller, or belongs to one connection only. */
const HEADERS_ALLOWED = new Set([
  'host', 'connection', 'content-type', 'content-length', 'transfer-encoding', 'accept', 'accept-encoding', 'user-agent', 'traceparent', 'tracestate',
  'cf-worker', 'cf-connecting-ip', 'cf-ray', 'cf-ew-via', 'cdn-loop', 'mf-original-url',
]);
const HEADERS_OF = {
  openai: ['authorization', 'idempotency-key', 'x-client-request-id'],
  anthropic: ['x-api-key', 'authorization', 'anthropic-version', 'anthropic-beta'],
  gemini: ['x-goog-api-key', 'x-goog-api-client', 'x-goog-user-project'],
  azure: ['api-key', 'authorization', 'x-ms-client-request-id'],
  vertex: ['authorization', 'x-goog-api-client', 'x-goog-user-project', 'anthropic-version', 'anthropic-beta'],
  bedrock: ['authorization', 'x-amz-date', 'x-amz-content-sha256', 'x-amz-security-token'],
  mistral: ['authorization'],
  cohere: ['authorization', 'x-client-name'],
  ollama: ['authorization'],
  vllm: ['authorization'],
};

/** Starts the server. */
export async function startMocks({ port = 0, lenient = false } = {}) {
  const state = { calls: [], first: 0, thenOk: new Map(), forbidden: [], open: new Set(), waiting: [], lenient };
  const server = http.createServer((request, response) => serve(state, request, response).catch(error => {
    process.stderr.write(`mock: ${error.stack}\n`);
    response.destroy();
  }));
  server.keepAliveTimeout = 30_000;
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const close = () => new Promise(resolve => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, state, close };
}

async function readBody(request) {
  const pieces = [];
  let bytes = 0;
  for await (const piece of request) {
    bytes += piece.length;
    if (bytes <= BODY_BYTES_MAX) pieces.push(piece);
  }
  return bytes > BODY_BYTES_MAX ? null : Buffer.concat(pieces);
}

const sendJson = (response, status, value, headers = {}) => {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length, ...headers }).end(body);
};

async function serve(state, request, response) {
  const url = new URL(request.url, 'http://mock');
  const [, name, ...rest] = url.pathname.split('/');
  if (name === 'control') return control(state, request, response, rest[0], url.searchParams);
  const provider = PROVIDERS[name];
  if (!provider) return sendJson(response, 404, { error: 'no such provider' });
  // Each wait of a slow stream listens for the caller's leaving.
  response.setMaxListeners(0);
  const call = openCall(state, name, request, `/${rest.join('/')}`, url);
  response.once('close', () => closeCall(state, call, response));
  const body = await readBody(request);
  await answer(state, provider, call, request, response, body);
}

function openCall(state, provider, request, path, url) {
  const call = {
    number: state.first + state.calls.length, provider, dialect: PROVIDERS[provider].dialect, method: request.method, path, query: Object.fromEntries(url.searchParams),
    headers: request.headers, body: null, model: null, op: null, stream: false, at_ms: Date.now(), status: null, fault: null, events: 0, end: null, end_ms: null, violations: [],
  };
  state.calls.push(call);
  if (state.calls.length > CALLS_MAX) state.first += state.calls.splice(0, CALLS_MAX / 2).length;
  state.open.add(call);
  return call;
}

/** `end`: `answered` whole, `aborted` by the caller, or broken off by a `fault` that was asked for. */
function closeCall(state, call, response) {
  call.end ??= response.writableFinished ? 'answered' : 'aborted';
  call.end_ms = Date.now();
  state.open.delete(call);
  for (const waiter of state.waiting.splice(0)) waiter();
}

/** Headers and texts that must not come here. */
function violations(state, provider, call, url, body) {
  const found = [];
  if (!state.lenient) {
    const allowed = new Set([...HEADERS_ALLOWED, ...HEADERS_OF[provider.dialect]]);
    for (const header of Object.keys(call.headers)) if (!allowed.has(header)) found.push(`header ${header} must not go upstream`);
    if (call.headers.connection && !['keep-alive', 'close'].includes(call.headers.connection.toLowerCase())) found.push('connection options must not go upstream');
    if (provider.dialect === 'gemini' && call.query.key !== undefined) found.push('a key must not stand in the address');
  }
  const everything = `${JSON.stringify(call.headers)} ${url} ${body?.toString('latin1') ?? ''}`;
  if (state.forbidden.some(value => everything.includes(value))) found.push('a forbidden text (a virtual key?) went upstream');
  return found;
}

function parseJson(operation, body) {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    return operation.normal ? operation.normal(value) : value;
  } catch {
    return undefined;
  }
}

/** The body of a request as its operation takes it: { value } or { problem }. */
function readValue(operation, type, body) {
  if (operation.bodyless) return { value: {} };
  if (body === null) return { problem: { status: 413, message: 'Request too large.' } };
  if (operation.form) return { value: Object.fromEntries(new URLSearchParams(body.toString('utf8'))) };
  if (operation.multipart) {
    const parts = parseMultipart(type, body);
    return parts ? { value: formOf(parts) } : { problem: { status: 400, message: 'Could not parse multipart form.' } };
  }
  if (!/^application\/json\b/.test(type ?? '')) return { problem: { status: 415, message: 'Unsupported content type.' } };
  const value = parseJson(operation, body);
  return value === null || typeof value !== 'object' ? { problem: { status: 400, message: 'We could not parse the JSON body of your request.' } } : { value };
}

/** What is wrong with a question, or `null`. */
function wrongWith(wire, operation, value, call, route) {
  const [fault] = operation.shape ? check(operation.shape, value) : [];
  const wrong = (fault ? (operation.worded ?? wire.worded)(fault) : operation.check?.(value, call.model, route)) ?? operation.find?.(route.id);
  if (wrong) return { of: operation.of, ...wrong };
  const unlike = specProblem(wire.spec, operation.schema, operation.published ? operation.published(value) : value);
  return unlike ? { status: 400, message: `unlike the published format: ${unlike}` } : null;
}

/** All that stands between a request and its answer: the problem, or the question. */
function admit(state, provider, call, request, body) {
  const { wire } = provider;
  call.violations = violations(state, provider, call, request.url, body);
  if (call.violations.length > 0) return { problem: { status: 400, message: `strict mock: ${call.violations.join('; ')}` } };
  const { searchParams: query } = new URL(request.url, 'http://mock');
  const unknown = wire.authenticate(call.headers, provider.key, { method: call.method, path: call.path, url: request.url, query, body });
  if (unknown) return { problem: unknown };
  const route = wire.route(call.method, call.path, query);
  if (!route) return { problem: { status: 404, message: `Unknown request URL: ${call.method} ${call.path}.` } };
  if (route.problem) return { problem: route.problem, refused: true };
  call.op = route.op;
  if (route.op === 'models') return { route };
  const operation = wire.operations[route.op];
  const { value, problem } = readValue(operation, call.headers['content-type'], body);
  if (problem) return { problem };
  if (body !== null && body.length <= KEPT_BYTES_MAX && !operation.multipart) call.body = value;
  call.model = route.model ?? (typeof value.model === 'string' ? value.model : '');
  const wrong = wrongWith(wire, operation, value, call, route);
  if (wrong) return { problem: wrong, refused: true };
  call.stream = operation.streamed?.(value, route) === true;
  return { route, operation, value };
}

async function answer(state, provider, call, request, response, body) {
  const { wire } = provider;
  const { problem, refused, route, operation, value } = admit(state, provider, call, request, body);
  if (problem) {
    call.refused = problem.message;
    if (refused) call.violations.push(problem.message);
    return refuse(wire, call, response, problem);
  }
  if (route.op === 'models') return reply(wire, call, response, wire.models(route));
  if (/unknown/.test(call.model)) return refuse(wire, call, response, { status: 404, message: `The model \`${call.model}\` does not exist or you do not have access to it.`, reason: 'model' });
  const fault = faultOf(call.model, state.thenOk);
  call.fault = fault.kind === 'none' ? null : fault.kind;
  if (fault.firstByteMs) await wait(fault.firstByteMs, response);
  if (response.destroyed) return undefined;
  return perform(provider, call, route, operation, value, response, fault);
}

const wait = (milliseconds, response) => new Promise(resolve => {
  const timer = setTimeout(resolve, milliseconds);
  response.once('close', () => {
    clearTimeout(timer);
    resolve();
  });
});

function refuse(wire, call, response, problem) {
  call.status = wire.statusOf(problem);
  const headers = problem.retryAfter !== undefined && !wire.retryAfterInBody ? { 'retry-after': String(problem.retryAfter) } : {};
  sendJson(response, call.status, wire.errorBody(problem), { ...wire.headers(call.number), ...wire.errorHeaders?.(problem), ...headers });
}

function reply(wire, call, response, value) {
  call.status = 200;
  sendJson(response, 200, value, wire.headers(call.number));
}

const HTML = '<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>';

function perform(provider, call, route, operation, value, response, fault) {
  const { wire } = provider;
  const type = call.stream ? wire.streamType : 'application/json';
  switch (fault.kind) {
    case 'status': return refuse(wire, call, response, { of: operation.of, ...fault });
    case 'reset': return breakOff(call, response);
    case 'hang': return undefined;
    case 'empty': return raw(call, response, 200, type, '');
    case 'garbage': return raw(call, response, 200, type, call.stream ? 'data: {"choices": [{"delta": {"con\n\ndata: tent}\n\n' : '{"choices": [{"mess');
    case 'html': return raw(call, response, fault.status, 'text/html', HTML);
    case 'recorded': return replay(provider, call, route, response, fault.index);
    default:
  }
  if (call.stream) return stream(wire, call, route, operation, value, response, fault);
  const answered = operation.body(value, route.model ?? call.model, route);
  const { type: own, bytes } = Buffer.isBuffer(answered?.bytes) ? answered : { type, bytes: Buffer.from(JSON.stringify(answered)) };
  call.status = 200;
  response.writeHead(200, { 'content-type': own, 'content-length': bytes.length, ...wire.headers(call.number) });
  if (/-after$/.test(fault.kind)) return response.write(bytes.subarray(0, bytes.length / 2), () => (fault.kind === 'hang-after' ? undefined : breakOff(call, response)));
  return response.end(bytes);
}

function breakOff(call, response) {
  call.end = 'fault';
  response.socket?.resetAndDestroy();
}

function raw(call, response, status, type, body) {
  call.status = status;
  response.writeHead(status, { 'content-type': type }).end(body);
}

function replay(provider, call, route, response, index) {
  const recorded = recordings(provider.dialect, route.op, call.stream)[index];
  if (!recorded) return refuse(provider.wire, call, response, { status: 404, message: `There is no recording ${index}.` });
  const body = typeof recorded.response === 'string' ? recorded.response : JSON.stringify(recorded.response);
  call.recorded = recorded.src;
  return raw(call, response, recorded.status, call.stream ? provider.wire.streamType : 'application/json', body);
}

/** How long each event of a wide stream is. */
export const WIDE_BYTES = 65_536;

/** Writes a stream's events as the fault has it. */
async function stream(wire, call, route, operation, value, response, fault) {
  const { events, end } = operation.events(value, call.model);
  const list = route.json;
  call.status = 200;
  response.writeHead(200, { 'content-type': list ? 'application/json' : wire.streamType, 'cache-control': 'no-cache', ...wire.headers(call.number) });
  if (fault.kind === 'huge-event') events.splice(1, 0, wire.hugeEvent(fault.bytes));
  if (fault.wide) events.splice(2, 0, ...Array(fault.wide).fill(wire.hugeEvent(WIDE_BYTES)));
  const after = fault.after ?? Infinity;
  for (const [index, event] of [...events, end].entries()) {
    if (index >= after) return finishEarly(operation.errorEvent ?? wire.errorEvent, call, response, fault);
    if (fault.chunkMs) await wait(fault.chunkMs, response);
    if (response.destroyed) return undefined;
    await write(response, list ? asListItem(event, index) : event, fault.splitBytes);
    call.events += 1;
  }
  if (list) await write(response, ']');
  return response.end();
}

const asListItem = (event, index) => `${index === 0 ? '[' : ',\r\n'}${event.replace(/^data: /, '').trim()}`;

async function write(response, text, splitBytes) {
  const bytes = Buffer.from(text);
  const size = splitBytes ?? bytes.length;
  for (let at = 0; at < bytes.length && !response.destroyed; at += size) {
    const flowing = response.write(bytes.subarray(at, at + size));
    if (splitBytes) await new Promise(resolve => setImmediate(resolve));
    if (!flowing) await new Promise(resolve => { response.once('drain', resolve); response.once('close', resolve); });
  }
}

async function finishEarly(errorEvent, call, response, fault) {
  if (fault.kind === 'hang-after') return undefined;
  if (fault.kind === 'cut-after') return setImmediate(() => breakOff(call, response));
  if (fault.kind === 'error-event') await write(response, errorEvent());
  call.end = 'fault';
  return response.end();
}

/** The control endpoint. */
async function control(state, request, response, what, query) {
  const body = await readBody(request);
  if (request.method === 'GET' && what === 'calls') {
    if (query.get('settled')) await settled(state, Number(query.get('wait_ms') ?? 5_000));
    const since = Number(query.get('since') ?? 0);
    return sendJson(response, 200, { next: state.first + state.calls.length, open: state.open.size, calls: state.calls.slice(Math.max(0, since - state.first)) });
  }
  if (request.method === 'POST' && what === 'forbid') {
    state.forbidden.push(...JSON.parse(body).values);
    return sendJson(response, 200, {});
  }
  if (request.method === 'GET' && what === 'service-account') return sendJson(response, 200, serviceAccount(`http://${request.headers.host}/vertex/token`));
  if (request.method === 'POST' && what === 'reset') {
    for (const { wire } of Object.values(PROVIDERS)) wire.forget?.();
    state.first += state.calls.splice(0).length;
    state.thenOk.clear();
    state.forbidden.length = 0;
    return sendJson(response, 200, {});
  }
  if (request.method === 'GET' && what === 'state') return sendJson(response, 200, { specs: specsFolder() !== null, recordings: recordingsFolder() !== null, open: state.open.size });
  return sendJson(response, 404, {});
}

/** Waits until no call is under way, or the time is up. */
async function settled(state, waitMs) {
  const until = Date.now() + waitMs;
  while (state.open.size > 0 && Date.now() < until) {
    await new Promise(resolve => {
      const timer = setTimeout(resolve, until - Date.now());
      state.waiting.push(() => { clearTimeout(timer); resolve(); });
    });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const at = process.argv.indexOf('--port');
  const mocks = await startMocks({ port: at > 0 ? Number(process.argv[at + 1]) : 0, lenient: process.argv.includes('--lenient') });
  process.stdout.write(`${JSON.stringify({ url: mocks.url })}\n`);
  process.stdin.resume().once('end', () => process.exit(0));
}
