// Runs one scenario of tests/scenarios against a gateway. The format stands in tests/scenarios/README.md.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { parse } from 'smol-toml';

import { meetOneInstance } from './gateway.mjs';
import { send } from './http.mjs';
import { mismatches } from './match.mjs';
import { answerProblem, chunkProblem } from './schema.mjs';
import { assemble, events } from './stream.mjs';

const FOLDER = fileURLToPath(new URL('../scenarios/', import.meta.url));
const FIELDS = {
  scenario: ['name', 'needs', 'alone', 'each', 'streamed', 'caller', 'key', 'step', 'request', 'expect'],
  request: ['method', 'path', 'headers', 'json', 'body', 'body_base64', 'form', 'generate'],
  expect: ['status', 'headers', 'json', 'error', 'text', 'bytes', 'events', 'stream', 'upstream', 'violations', 'record', 'records', 'ledger', 'within_ms', 'after_ms'],
  stream: ['done', 'error', 'chunks_min', 'usage'],
};

const known = (table, kind, where) => {
  for (const name of Object.keys(table ?? {})) assert.ok(FIELDS[kind].includes(name), `${where}: there is no field ${name} (${FIELDS[kind].join(', ')})`);
};

/** Every scenario of the list, with `each` and `streamed` multiplied out. */
export function scenarios(folder = FOLDER) {
  return fs.readdirSync(folder).filter(file => file.endsWith('.toml')).sort().flatMap(file => {
    const { scenario: list = [] } = parse(fs.readFileSync(path.join(folder, file), 'utf8'));
    return list.flatMap(one => variants({ file: file.replace('.toml', ''), ...one }));
  });
}

function variants(one) {
  known(Object.fromEntries(Object.entries(one).filter(([name]) => name !== 'file')), 'scenario', `${one.file}: ${one.name}`);
  let list = [{ values: {}, name: one.name }];
  for (const [name, values] of Object.entries(one.each ?? {})) {
    list = list.flatMap(variant => values.map(value => ({ values: { ...variant.values, [name]: value }, name: `${variant.name} [${value}]` })));
  }
  const streamed = one.streamed === 'both' ? [false, true] : [one.streamed ?? false];
  return list.flatMap(variant => streamed.map(stream => ({
    ...one, ...variant, stream, name: one.streamed === 'both' && stream ? `${variant.name} (streamed)` : variant.name,
    steps: (one.step ?? [{ request: one.request, expect: one.expect }]),
  })));
}

/** What a scenario asks of the gateway that it runs on; the first thing that is missing, or `null`. */
export const missingNeed = (scenario, context) => (scenario.needs ?? ['mocks']).find(need => !context.capabilities.has(need)) ?? null;

/** Runs a scenario; throws what is wrong. Answers the requests that were made, for what is checked at the end. */
export async function run(scenario, context) {
  const values = { ...scenario.values, uid: randomUUID().slice(0, 8) };
  const fill = text => text.replace(/\{([a-z_]+)\}/g, (whole, name) => (Object.hasOwn(values, name) ? values[name] : whole));
  const caller = await callerOf(scenario, context, fill);
  const done = [];
  for (const [index, step] of scenario.steps.entries()) {
    const where = `step ${index + 1}`;
    if (scenario.alone) await meetOneInstance(index === 0);
    known(step.request, 'request', where);
    known(step.expect, 'expect', where);
    const own = step.key ? await callerOf({ ...scenario, key: step.key }, context, fill) : caller;
    done.push(await runStep({ scenario, context, caller: own, fill, where, done }, step.request, step.expect ?? {}));
  }
  return done;
}

/** The key that a scenario calls with: { id, key, headers }. */
async function callerOf(scenario, { gateway }, fill) {
  const kind = scenario.caller ?? 'key';
  if (kind === 'none') return { headers: {} };
  if (kind === 'admin') return { headers: { authorization: `Bearer ${gateway.adminToken}` } };
  if (kind === 'invalid') return { headers: { authorization: 'Bearer sk-sluice-0000000000000000000000000000000000000000000' } };
  const wish = scenario.key ? JSON.parse(fill(scenario.key)) : {};
  const minted = await gateway.mint({ org: 'e2e', name: scenario.name.slice(0, 60), ...(kind === 'expired' ? { expires_after: '1s' } : {}), ...wish });
  if (kind === 'revoked') await gateway.revoke(minted.id);
  if (kind === 'expired') await new Promise(resolve => setTimeout(resolve, 1_100));
  return { ...minted, headers: { authorization: `Bearer ${minted.key}` } };
}

/** Bodies too large or too odd to be written down. */
const GENERATORS = {
  bytes: ({ count }) => Buffer.concat([Buffer.from('{"model": "sandbox/echo", "messages": [{"role": "user", "content": "'), Buffer.alloc(count, 'a'), Buffer.from('"}]}')]),
  depth: ({ count }) => Buffer.from(`{"model": "sandbox/echo", "messages": [{"role": "user", "content": "x"}], "metadata": ${'['.repeat(count)}${']'.repeat(count)}}`),
  objects: ({ count }) => Buffer.from(`${'{"a":'.repeat(count)}1${'}'.repeat(count)}`),
  messages: ({ count }) => Buffer.from(JSON.stringify({ model: 'sandbox/echo', messages: Array.from({ length: count }, () => ({ role: 'user', content: 'x' })) })),
};

/** Where the parts of a form begin and end. */
const BOUNDARY = 'sluice-e2e-boundary';

/** A form out of its parts, in their order: { name, value }, or { name, filename, value | count }; `count` bytes of no meaning. */
function formBody(parts, fill) {
  const pieces = parts.flatMap(({ name, filename, value = '', count }) => {
    const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${fill(filename)}"\r\nContent-Type: application/octet-stream`}\r\n\r\n`;
    return [Buffer.from(head), count === undefined ? Buffer.from(fill(value)) : Buffer.alloc(count, 'a'), Buffer.from('\r\n')];
  });
  return Buffer.concat([...pieces, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

const typeOf = request => (request.form ? `multipart/form-data; boundary=${BOUNDARY}` : 'application/json');

const lookup = (value, expression) => expression.match(/[A-Za-z_]\w*|\d+/g).reduce((inner, name) => inner?.[name], value);

/** Puts earlier answers in: a text `"$0.choices[0].message"` stands for that part of the first step's answer. */
function withEarlier(value, done) {
  if (typeof value === 'string') {
    const found = /^\$(\d+)\.(.+)$/.exec(value);
    return found ? lookup(done[Number(found[1])].json, found[2]) : value;
  }
  if (Array.isArray(value)) return value.map(inner => withEarlier(inner, done));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withEarlier(inner, done)]));
}

function bodyOf(request, run) {
  if (request.generate) return GENERATORS[request.generate.kind](request.generate);
  if (request.body_base64 !== undefined) return Buffer.from(request.body_base64, 'base64');
  if (request.body !== undefined) return run.fill(request.body);
  if (request.form) return formBody(request.form, run.fill);
  if (request.json === undefined) return undefined;
  const value = withEarlier(JSON.parse(run.fill(request.json)), run.done);
  if (run.scenario.stream && value.stream === undefined) Object.assign(value, { stream: true, stream_options: { include_usage: true } });
  return JSON.stringify(value);
}

async function runStep(run, request, expect) {
  const { context, caller, fill, where } = run;
  const mark = context.mocks ? await context.mocks.mark() : 0;
  const headers = Object.fromEntries(Object.entries({ 'content-type': typeOf(request), ...caller.headers, ...request.headers })
    .map(([name, value]) => [name, fill(value).replace('$key', caller.key ?? '')]).filter(([, value]) => value !== ''));
  const body = bodyOf(request, run);
  const earlier = text => text.replace(/\$(\d+)\.([\w.]+)/g, (_whole, step, expression) => lookup(run.done[Number(step)].json, expression));
  const target = earlier(fill(request.path ?? '/v1/chat/completions'));
  const started = Date.now();
  const answer = await send(context.gateway.url + target, { method: fill(request.method ?? (body === undefined ? 'GET' : 'POST')), headers, body });
  const seen = await readAnswer(answer, target, request);
  seen.tookMs = Date.now() - started;
  const wrong = [...invariants(seen, target, caller), ...expectations(expect, seen, fill, run.done)];
  if (context.mocks) wrong.push(...await upstreamProblems(context, mark, expect, fill));
  wrong.push(...await ledgerProblems(context, caller, expect, fill));
  assert.ok(wrong.length === 0, `${where}: ${wrong.join('\n  ')}\n  answer: ${seen.status} ${seen.text.slice(0, 1_000)}`);
  const { record, records } = expect;
  return { ...seen, keyId: caller.id, expectedRecord: record ? JSON.parse(fill(record)) : undefined, expectedRecords: records };
}

/** Whether a request is in the words of Anthropic's API or Google's. */
const isForeign = (target, headers = {}) => /^\/v1\/messages|^\/v1beta\/|:\w+(\?|$)/.test(target) || headers['anthropic-version'] !== undefined || headers['x-goog-api-key'] !== undefined;

async function readAnswer(answer, target, request) {
  const { bytes, cut } = await answer.read();
  const text = bytes.toString('utf8');
  const seen = { status: answer.status, headers: answer.headers, text, bytes, cut, requestId: answer.headers['x-request-id'], path: target, method: request.method, isOpenAi: !isForeign(target, request.headers) };
  if (/^text\/event-stream/.test(answer.headers['content-type'] ?? '')) {
    seen.events = events(text).filter(one => one.data !== '').map(eventOf);
    if (/^\/v1\/chat\/completions$/.test(target)) seen.stream = assemble(text);
    seen.json = seen.stream?.json;
  } else {
    try {
      seen.json = JSON.parse(text);
    } catch {
      seen.json = undefined;
    }
  }
  return seen;
}

/** An event with its data as JSON, where it is JSON. */
function eventOf({ event, data }) {
  try {
    return { event, data: JSON.parse(data) };
  } catch {
    return { event, data };
  }
}

/** What holds for every answer, whatever was asked. */
function invariants(seen, target, caller) {
  const wrong = [];
  if (seen.cut) wrong.push('the answer was cut off');
  if (target.startsWith('/v1/') && !seen.requestId) wrong.push('there is no x-request-id');
  if (caller.key && (seen.text + JSON.stringify(seen.headers)).includes(caller.key)) wrong.push("the caller's key stands in the answer");
  if (/sk-mock|sk-ant-mock|AIza-mock/.test(seen.text + JSON.stringify(seen.headers))) wrong.push("a provider's key stands in the answer");
  if (seen.status >= 500 && seen.json === undefined) wrong.push('a failure without a JSON error');
  if (seen.stream) {
    wrong.push(...seen.stream.flaws);
    if (seen.stream.done && seen.stream.error) wrong.push('[DONE] after an error');
    if (!seen.stream.done && !seen.stream.error) wrong.push('the stream ends without [DONE] and without an error');
    wrong.push(...seen.stream.chunks.map(chunkProblem).filter(Boolean).slice(0, 1).map(problem => `a chunk is unlike the published format: ${problem}`));
  }
  if (seen.events) {
    if (!/no-cache/.test(seen.headers['cache-control'] ?? '')) wrong.push('a stream without cache-control: no-cache');
  } else if (seen.json !== undefined) {
    const problem = seen.isOpenAi ? answerProblem(target, seen.status, seen.json) : null;
    if (problem) wrong.push(`the answer is unlike the published format: ${problem}`);
  }
  return wrong;
}

function headerProblems(expected, headers, fill) {
  return Object.entries(expected ?? {}).flatMap(([name, wanted]) => {
    const value = headers[name.toLowerCase()];
    if (wanted === true) return value === undefined ? [`there is no ${name}`] : [];
    if (wanted === false) return value === undefined ? [] : [`${name} is there: ${value}`];
    return mismatches(fill(String(wanted)), value, name);
  });
}

function expectations(expect, seen, fill, done) {
  const wrong = [];
  const statuses = [expect.status ?? 200].flat();
  if (!statuses.includes(seen.status)) wrong.push(`expected status ${statuses.join(' or ')}, got ${seen.status}`);
  wrong.push(...headerProblems(expect.headers, seen.headers, fill));
  if (expect.json) wrong.push(...mismatches(withEarlier(JSON.parse(fill(expect.json)), done), seen.json, 'body'));
  if (expect.text) wrong.push(...mismatches(fill(expect.text), seen.text, 'text'));
  if (expect.bytes !== undefined) wrong.push(...mismatches(JSON.parse(fill(String(expect.bytes))), seen.bytes.length, 'bytes'));
  if (expect.events) wrong.push(...mismatches(JSON.parse(fill(expect.events)), seen.events, 'events'));
  if (expect.error) wrong.push(...mismatches({ error: { message: '$string', type: '$string', code: '$any', param: '$any', ...JSON.parse(fill(JSON.stringify(expect.error))) } }, seen.json, 'body'));
  if (expect.within_ms !== undefined && seen.tookMs > expect.within_ms) wrong.push(`took ${seen.tookMs} ms, at most ${expect.within_ms} are allowed`);
  if (expect.after_ms !== undefined && seen.tookMs < expect.after_ms) wrong.push(`took only ${seen.tookMs} ms, at least ${expect.after_ms} were expected`);
  if (expect.stream) wrong.push(...streamProblems(expect.stream, seen.stream));
  if (seen.stream?.error && !expect.stream?.error) wrong.push(`an error event: ${JSON.stringify(seen.stream.error)}`);
  return wrong;
}

function streamProblems(expected, stream) {
  known(expected, 'stream', 'expect.stream');
  if (!stream) return ['the answer is not a stream'];
  const wrong = [];
  if (expected.done !== undefined && stream.done !== expected.done) wrong.push(expected.done ? 'there is no [DONE]' : 'there is a [DONE]');
  if (expected.error) wrong.push(...mismatches({ message: '$string', ...expected.error }, stream.error, 'error event'));
  if (expected.chunks_min !== undefined && stream.chunks.length < expected.chunks_min) wrong.push(`only ${stream.chunks.length} chunks`);
  if (expected.usage) wrong.push(...mismatches(JSON.parse(expected.usage), stream.json.usage, 'usage'));
  return wrong;
}

async function upstreamProblems({ mocks }, mark, expect, fill) {
  const calls = await mocks.calls(mark);
  const wrong = [];
  if (expect.upstream) wrong.push(...mismatches(JSON.parse(fill(expect.upstream)), calls, 'upstream'));
  const strict = calls.flatMap(call => call.violations.map(violation => `${call.provider}: ${violation}`));
  if (expect.violations) return [...wrong, ...mismatches(JSON.parse(expect.violations), strict, 'violations')];
  return [...wrong, ...strict.map(violation => `the provider refuses: ${violation}`)];
}

async function ledgerProblems({ gateway, capabilities }, caller, expect, fill) {
  if (!expect.ledger || !capabilities.has('admin')) return [];
  const wanted = JSON.parse(fill(expect.ledger));
  const standing = await gateway.standingOf('e2e', { key: caller.id }, found => mismatches(wanted, found).length === 0);
  return mismatches(wanted, standing, 'ledger');
}
