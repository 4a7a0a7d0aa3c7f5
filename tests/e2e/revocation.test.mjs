// A revoked key stops everywhere within five seconds: in two isolates of one gateway, or in two hosts over one store, that are busy with it, and where its requests wait for a limit.

import assert from 'node:assert/strict';
import test from 'node:test';

import { isOnSpin, startGateway } from './gateway.mjs';
import { until } from './http.mjs';

/** The bar: no request that began later is served, counted from the revocation's answer. */
const STOPS_MS_MAX = 5_000;
/** How long both are asked on after the bar. */
const BEYOND_MS = 3_000;
const CALLERS = 3;
/** How much each has served before the key is revoked. */
const SERVED_MIN = 30;
const BUSY_MS_MAX = 30_000;

const skip = process.env.SLUICE_URL ? 'the isolates of this gateway are not at hand' : false;

/** Two that serve: each asks with a key and says when it asked and what it was told. */
async function world(t, orgs) {
  const gateway = await startGateway({ document: { orgs }, ...(isOnSpin() ? {} : { isolates: ['other'] }) });
  const other = isOnSpin() ? await gateway.beside() : await gateway.isolate('other');
  t.after(async () => {
    if (isOnSpin()) await other.stop();
    await gateway.stop();
  });
  const asker = serve => async (key, model) => {
    const begunMs = Date.now();
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const answer = await serve({ method: 'POST', headers, body: JSON.stringify({ model, max_tokens: 5, messages: [{ role: 'user', content: 'Hello' }] }) });
    const body = await answer.json();
    return { begunMs, endedMs: Date.now(), status: answer.status, code: body.error?.code };
  };
  const path = '/v1/chat/completions';
  const there = isOnSpin() ? request => fetch(other.url + path, request) : request => other.fetch(`http://gateway${path}`, request);
  return { gateway, sides: [asker(request => fetch(gateway.url + path, request)), asker(there)] };
}

/** Revokes the key; when that was answered. */
async function revoke(gateway, id) {
  const { status, json } = await gateway.revoke(id);
  assert.deepEqual([status, json.state], [200, 'revoked']);
  return Date.now();
}

test('a key that both let in without asking stops at both within five seconds of its revocation', { skip }, async t => {
  const { gateway, sides } = await world(t, { acme: { limits: [{ requests: 1_000_000, per: '1h' }] } });
  const { id, key } = await gateway.mint({ org: 'acme' });
  let endMs = Infinity;
  const caller = async (ask, told) => {
    while (Date.now() < endMs) told.push(await ask(key, 'sandbox/echo'));
  };
  const told = sides.map(() => []);
  const isServed = one => one.status === 200;
  const callers = [];
  for (const [side, ask] of sides.entries()) {
    callers.push(...Array.from({ length: CALLERS }, () => caller(ask, told[side])));
    const count = await until(() => told[side].filter(isServed).length, served => served >= SERVED_MIN, BUSY_MS_MAX);
    assert.ok(count >= SERVED_MIN, `only ${count} were served at ${side}`);
  }
  // Slices of the allowance are held: nobody need ask for what is let in.
  const { leased } = await gateway.standingOf('acme', { key: id }, one => one.leased?.r > 0);
  assert.ok(leased?.r > 0, 'no slice is held');
  const revokedMs = await revoke(gateway, id);
  endMs = revokedMs + STOPS_MS_MAX + BEYOND_MS;
  await Promise.all(callers);
  for (const [side, all] of told.entries()) {
    const refused = all.filter(one => !isServed(one));
    assert.ok(refused.length > 0 && refused.every(one => one.status === 401 && one.code === 'key_revoked'), JSON.stringify(refused.slice(0, 3)));
    const served = all.filter(isServed);
    const last = Math.max(...served.map(one => one.begunMs));
    assert.ok(last > revokedMs - STOPS_MS_MAX, `nobody asked at ${side} when the key was revoked`);
    assert.ok(last - revokedMs <= STOPS_MS_MAX, `a request that began ${last - revokedMs} ms after the revocation was served at ${side}`);
    const first = Math.min(...refused.map(one => one.endedMs));
    const after = served.filter(one => one.begunMs > first);
    // A host of Spin's has many instances, each of which hears of it by itself.
    if (!isOnSpin()) assert.equal(after.length, 0, `${after.length} were served at ${side} after one was refused`);
    t.diagnostic(`at ${side}: the last of ${served.length} began ${last - revokedMs} ms after the revocation, ${refused.length} were refused`);
  }
});

test('who waits for a limit when the key is revoked is refused within five seconds', { skip }, async t => {
  const { gateway, sides } = await world(t, { acme: { limits: [{ concurrent: 1, queue: '60s' }] } });
  const { id, key } = await gateway.mint({ org: 'acme' });
  const first = sides[0](key, 'sandbox/echo:delay-15s');
  const holds = await until(() => gateway.standing('acme'), standing => standing.open === 1);
  assert.equal(holds.open, 1);
  // Of two in a line only the first asks; the other is told by it.
  let answered = 0;
  const waiting = sides.flatMap(ask => [ask(key, 'sandbox/echo'), ask(key, 'sandbox/echo')]).map(one => one.finally(() => { answered += 1; }));
  assert.equal(await until(() => answered, count => count > 0, 1_000), 0, 'all wait');
  const revokedMs = await revoke(gateway, id);
  for (const one of await Promise.all(waiting)) {
    assert.deepEqual([one.status, one.code], [401, 'key_revoked']);
    const late = one.endedMs - revokedMs;
    assert.ok(late <= STOPS_MS_MAX, `it waited on for ${late} ms`);
  }
  assert.equal((await first).status, 200, 'what was let in before goes on');
});
