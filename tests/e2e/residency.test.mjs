// What the worker asks of the platform for pinned callers, on the real runtime: under which jurisdiction it opens their ledgers, and that it
// opens none where the runtime knows no jurisdictions and nobody has said that the machines are in the right place.

import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { start } from '../../edge/cloudflare/dev/gateway.mjs';
import { json } from './http.mjs';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const TOKEN = 'admin-token-of-the-tests';
const DOCUMENT = {
  regions: { eu: { bucket: 'RECORDS' } },
  orgs: { acme: { teams: { eu: { region: 'eu' }, free: {} } } },
};

/** A namespace that keeps jurisdictions apart as Cloudflare does, and notes which were asked for. */
const WATCHED = `
const within = (env, jurisdiction) => ({
  jurisdiction: (name) => within(env, name),
  idFromName: (name) => name,
  get: (name) => ({
    async call(text) {
      const full = jurisdiction + ":" + name;
      await env.ASKED.put(full, "");
      return env.REAL.get(env.REAL.idFromName(full)).call(text);
    },
  }),
});
export default (env) => within(env, "anywhere");`;

async function world(t, { more = {}, workers = [], bindings = {} } = {}) {
  const { gateway, url } = await start({
    build: path.resolve(process.env.SLUICE_BUILD ?? path.join(PROJECT, 'build')), log: Boolean(process.env.SLUICE_E2E_LOG),
    document: DOCUMENT, bindings: { SLUICE_ADMIN_TOKEN: TOKEN, ...bindings }, more, workers,
  });
  t.after(() => gateway.dispose());
  const mint = async (team, fields = {}) => {
    const made = await json(`${url}/admin/keys`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: { org: 'acme', team, ...fields } });
    assert.equal(made.status, 201, JSON.stringify(made.json));
    return made.json.key;
  };
  const chat = (key, headers = {}) => json(`${url}/v1/chat/completions`, {
    method: 'POST', headers: { authorization: `Bearer ${key}`, ...headers }, body: { model: 'sandbox/echo', messages: [{ role: 'user', content: 'Hello' }] },
  });
  return { gateway, mint, chat };
}

test('the worker opens the ledger of a pinned caller under its jurisdiction', async t => {
  const { gateway, mint, chat } = await world(t, {
    more: { durableObjects: { REGISTRY: { className: 'Registry', useSQLite: true } }, wrappedBindings: { LEDGER: 'watched' } },
    workers: [{
      name: 'watched', modules: true, script: WATCHED, r2Buckets: { ASKED: 'asked' },
      durableObjects: { REAL: { className: 'Ledger', scriptName: 'sluice', useSQLite: true } },
    }],
  });
  const asked = async () => {
    const bucket = await gateway.getR2Bucket('ASKED', 'watched');
    const { objects } = await bucket.list();
    return objects.map(one => one.key);
  };
  const free = await mint('free');
  for (let round = 0; round < 4; round += 1) assert.equal((await chat(free)).status, 200);
  assert.deepEqual(await asked(), ['anywhere:local/acme']);
  const pinned = await mint('eu');
  for (let round = 0; round < 4; round += 1) assert.equal((await chat(pinned)).status, 200);
  assert.deepEqual(await asked(), ['anywhere:local/acme', 'eu:eu/acme']);
});

test('where the runtime knows no jurisdiction, a pinned caller is refused and nobody else', async t => {
  const { mint, chat } = await world(t);
  const pinned = await chat(await mint('eu'));
  assert.deepEqual([pinned.status, pinned.json.error.code], [503, 'store_unavailable']);
  assert.equal((await chat(await mint('free'))).status, 200);
});

test('on machines of its own, which the operator says are in the region, a pinned caller is served', async t => {
  const { mint, chat } = await world(t, { bindings: { SLUICE_MACHINES: 'own' } });
  assert.equal((await chat(await mint('eu'))).status, 200);
});
