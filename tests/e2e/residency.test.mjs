// What the worker asks of the platform for pinned callers, on the real runtime: under which jurisdiction it opens their ledgers, and that it
// opens none where the runtime knows no jurisdictions and nobody has said that the machines are in the right place.

import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { start } from '../../edge/cloudflare/dev/gateway.mjs';
import { json, until } from './http.mjs';

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

/** A platform that notes each ledger that is opened: by the worker, and by ledgers that lease from another. */
const watching = (buckets = { RECORDS: 'records' }) => ({
  more: { durableObjects: { REGISTRY: { className: 'Registry', useSQLite: true } }, wrappedBindings: { LEDGER: 'watched' }, r2Buckets: buckets },
  workers: [{
    name: 'watched', modules: true, script: WATCHED, r2Buckets: { ASKED: 'asked' },
    durableObjects: { REAL: { className: 'Ledger', scriptName: 'sluice', useSQLite: true } },
  }],
});

async function world(t, { document = DOCUMENT, more = {}, workers = [], bindings = {} } = {}) {
  const { gateway, url } = await start({
    build: path.resolve(process.env.SLUICE_BUILD ?? path.join(PROJECT, 'build')), log: Boolean(process.env.SLUICE_E2E_LOG),
    document, bindings: { SLUICE_ADMIN_TOKEN: TOKEN, ...bindings }, more, workers,
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
  const listed = async (bucket, worker) => {
    const { objects } = await (await gateway.getR2Bucket(bucket, worker)).list();
    return objects.map(one => one.key);
  };
  const asked = () => listed('ASKED', 'watched');
  const stored = bucket => listed(bucket, 'sluice');
  const standing = query => json(`${url}/admin/ledger?${query}`, { headers: { authorization: `Bearer ${TOKEN}` } });
  return { mint, chat, asked, stored, standing };
}

test('the worker opens the ledger of a pinned caller under its jurisdiction', async t => {
  const { mint, chat, asked } = await world(t, watching());
  const free = await mint('free');
  for (let round = 0; round < 4; round += 1) assert.equal((await chat(free)).status, 200);
  assert.deepEqual(await asked(), ['anywhere:local/acme']);
  const pinned = await mint('eu');
  for (let round = 0; round < 4; round += 1) assert.equal((await chat(pinned)).status, 200);
  assert.deepEqual(await asked(), ['anywhere:local/acme', 'eu:eu/acme']);
});

/** Two organisations in shards: one that is held to the Union, with a team that is held to a part of it, and one with a team that is. */
const SHARDS = 3;
const KEYS = 12;
const SHARDED = {
  accounting: { ship_interval: '200ms' },
  regions: { eu: { bucket: 'RECORDS_EU' }, de: { countries: ['DE'], jurisdiction: 'eu', bucket: 'RECORDS_EU' } },
  orgs: {
    acme: { shards: SHARDS, region: 'eu', budgets: [{ usd: '1', per: 'month' }], teams: { any: {}, berlin: { region: 'de' } } },
    beta: { shards: SHARDS, budgets: [{ usd: '1', per: 'month' }], teams: { eu: { region: 'eu' }, free: {} } },
  },
};
const shardsOf = (jurisdiction, ledger) => Array.from({ length: SHARDS }, (_, index) => `${jurisdiction}:${ledger}/${index + 1}`);
/** How long a record takes to be stored, at most. */
const STORED_MS_MAX = 10_000;

/** The platform for them, with a bucket in the Union; and how several keys of a team ask twice each. */
async function sharded(t) {
  const made = await world(t, { document: SHARDED, ...watching({ RECORDS: 'records', RECORDS_EU: 'records-eu' }) });
  const ask = async (org, team) => {
    for (let index = 0; index < KEYS; index += 1) {
      const key = await made.mint(team, { org });
      for (let round = 0; round < 2; round += 1) {
        const { status, json: body } = await made.chat(key);
        assert.equal(status, 200, JSON.stringify(body));
      }
    }
  };
  /** The ledgers that have stored records in this bucket, as they are named. */
  const ledgers = async bucket => {
    const names = (await made.stored(bucket)).map(name => /^usage\/region=(\w+)\/org=(\w+)\/shard=(\d+)\/date=/.exec(name)).filter(Boolean);
    return [...new Set(names.map(([, region, org, shard]) => `${region}/${org}/${shard}`))].sort();
  };
  return { ...made, ask, ledgers };
}

test('the shards of an organisation that is held to a region, and the home that they lease from, are opened under its jurisdiction alone', async t => {
  const { ask, asked, ledgers, stored, standing } = await sharded(t);
  await ask('acme', 'any');
  await ask('acme', 'berlin');
  const opened = await asked();
  assert.deepEqual(opened.filter(one => !one.startsWith('eu:')), [], 'opened elsewhere');
  // The home counts by itself nobody, so there is no record of it.
  const home = 'eu:eu/acme';
  assert.ok(opened.includes(home), opened.join());
  const counted = opened.filter(one => one !== home).map(one => one.slice('eu:'.length)).sort();
  assert.ok(counted.filter(one => one.startsWith('eu/')).length > 1 && counted.filter(one => one.startsWith('de/')).length > 1, counted.join());
  const named = await until(() => ledgers('RECORDS_EU'), found => found.length === counted.length, STORED_MS_MAX);
  assert.deepEqual(named, counted);
  assert.deepEqual((await stored('RECORDS')).filter(name => name.startsWith('usage/')), [], 'stored elsewhere');
  // Whoever looks at them opens them where they are.
  for (const region of ['eu', 'de']) assert.equal((await standing(`org=acme&region=${region}`)).status, 200);
  assert.deepEqual(await asked(), ['eu:de/acme', ...shardsOf('eu', 'de/acme'), home, ...shardsOf('eu', 'eu/acme')].sort());
});

test('shards of a region that counts by itself lease from its own ledger, and those beside it from the home', async t => {
  const { ask, asked, ledgers } = await sharded(t);
  await ask('beta', 'eu');
  const pinned = await asked();
  assert.ok(pinned.length > 2 && pinned.includes('eu:eu/beta'), pinned.join());
  assert.deepEqual(pinned.filter(one => !one.startsWith('eu:eu/beta')), [], 'opened elsewhere');
  await ask('beta', 'free');
  const free = (await asked()).filter(one => !pinned.includes(one));
  assert.ok(free.length > 2 && free.includes('anywhere:local/beta'), free.join());
  assert.deepEqual(free.filter(one => !one.startsWith('anywhere:local/beta')), []);
  const shards = names => names.map(one => one.slice(one.indexOf(':') + 1)).filter(one => one.split('/').length === 3).sort();
  for (const [bucket, names] of [['RECORDS_EU', shards(pinned)], ['RECORDS', shards(free)]]) {
    assert.deepEqual(await until(() => ledgers(bucket), found => found.length === names.length, STORED_MS_MAX), names);
  }
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
