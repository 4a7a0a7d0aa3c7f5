// Runs what a client can do against every upstream, and prints each cell of the matrix as a line of JSON. The same as python/harness.py.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import process from 'node:process';

export const { SLUICE_URL: URL_OF_GATEWAY, SLUICE_KEY: KEY, SLUICE_OTHER_KEY: OTHER_KEY, MATRIX_MOCKS: MOCKS, MATRIX_FEATURE: FEATURE } = process.env;
/** With the other key, what its owner may not ask for. */
export const FORBIDDEN = { 'x-sluice-strict': 'false' };
/** No cell takes longer. */
const CELL_MS_MAX = 30_000;
/** A provider hears so soon that its caller has left. */
const ABORTED_MS_MAX = 5_000;
/** So many calls are looked through for one. */
const CALLS_MAX = 500;

export const GREETING = 'Grüße 🌍';
export const ECHO = `You said: ${GREETING}`;
export const WORDS = 'one two three four five six seven eight nine ten eleven twelve';
export const USE_TOOL = 'use the tool get_weather';
export const USE_BOTH = 'use both tools';
export const CITY = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
export const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
export const SEEN = /and showed 1 picture/;

/** The client has no way to ask for this. */
export class Absent extends Error {}

const UPSTREAMS = JSON.parse(process.env.MATRIX_UPSTREAMS).map(one => ({ ...one, model: (name = 'chat') => `mock-${one.name}/${name}` }));

async function callsWith(text) {
  const control = async since => (await fetch(`${MOCKS}/control/calls?since=${since}`)).json();
  const { next } = await control(Number.MAX_SAFE_INTEGER);
  const { calls } = await control(Math.max(0, next - CALLS_MAX));
  return calls.filter(call => JSON.stringify(call.body).includes(text));
}

/** The one call with a text in its body is given up by the gateway, soon. */
export async function assertAborted(text) {
  const until = Date.now() + ABORTED_MS_MAX;
  for (;;) {
    const ends = (await callsWith(text)).map(call => call.end);
    if (Date.now() > until || !ends.includes(null)) return assert.deepEqual(ends, ['aborted']);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

/** Runs one client: its name, its dialect, and its features by name: a function of the upstream, or why there is none. */
export async function run({ name, dialect, version, features }) {
  print({ client: name, version });
  for (const [feature, check] of Object.entries(features)) {
    if (FEATURE && FEATURE !== feature) continue;
    for (const upstream of UPSTREAMS) await cell(name, dialect, feature, check, upstream);
  }
}

const print = value => fs.writeSync(1, `${JSON.stringify(value)}\n`);

/** The version of a package, as it is installed. */
export const versionOf = (folder, name) => `${name} ${JSON.parse(fs.readFileSync(new URL(`node_modules/${name}/package.json`, folder), 'utf8')).version}`;

async function cell(client, dialect, feature, check, upstream) {
  const started = performance.now();
  let [result, reason] = ['pass', null];
  let timer;
  try {
    if (typeof check === 'string') throw new Absent(check);
    if (upstream.lacks[feature]) throw new Absent(upstream.lacks[feature]);
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no end within ${CELL_MS_MAX} ms`)), CELL_MS_MAX); });
    await Promise.race([check(upstream), late]);
  } catch (error) {
    result = error instanceof Absent ? 'absent' : 'fail';
    const [, line] = /clients\/\w+\/\w+\.mjs:(\d+)/.exec(error.stack ?? '') ?? [];
    reason = result === 'absent' ? error.message : `${error.constructor?.name}: ${error.message} (line ${line})`.slice(0, 1_500);
  }
  clearTimeout(timer);
  print({ client, dialect, feature, upstream: upstream.name, result, reason, ms: Math.round(performance.now() - started) });
}

export { assert };
