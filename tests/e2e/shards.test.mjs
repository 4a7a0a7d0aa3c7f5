// One organisation whose keys are divided among four ledgers, on the real runtime: its limits and budgets are one, its records are in four chains.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { startGateway } from './gateway.mjs';
import { json, until } from './http.mjs';

const SHARDS = 4;
const KEYS = 12;
const NANOS_PER_USD = 1_000_000_000;
/** How long what a shard has settled takes to be known at home, and what it holds to come back, at most. */
const TOLD_MS_MAX = 20_000;
const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

async function world(t, rules, teams = []) {
  const accounting = { ship_interval: '500ms' };
  const document = shards => ({ accounting, orgs: { acme: { shards, ...rules } } });
  const gateway = await startGateway({ document: document(SHARDS) });
  t.after(() => gateway.stop());
  const keys = await Promise.all(Array.from({ length: KEYS }, (_, index) => gateway.mint({ org: 'acme', team: teams[index % teams.length] })));
  const ask = async ({ key }) => {
    const headers = { authorization: `Bearer ${key}` };
    const body = { model: 'sandbox/echo', max_tokens: 50, messages: [{ role: 'user', content: 'Say this again, word for word, if you please.' }] };
    const { status, json: answer } = await json(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers, body });
    assert.ok([200, 429].includes(status), JSON.stringify(answer));
    return status === 200;
  };
  const asks = async (all, rounds = 1) => {
    const each = async key => {
      let count = 0;
      for (let round = 0; round < rounds; round += 1) count += Number(await ask(key));
      return count;
    };
    return (await Promise.all(all.map(each))).reduce((sum, one) => sum + one, 0);
  };
  return { gateway, keys, asks, document };
}

const standing = async (gateway, query = '') => (await gateway.admin('GET', `/admin/ledger?org=acme${query}`)).json;
const at = (standing, wanted) => standing.scopes.find(one => JSON.stringify(one.scope) === JSON.stringify(wanted)) ?? { spent_total: 0, requests_total: 0 };

/** The bucket, proven by the auditor's program; the names of the chains in it, without the registry's. */
async function verified(gateway) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-shards-'));
  for (const { name, bytes } of await gateway.objects()) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), bytes);
  }
  const words = ['run', '--quiet', '--package', 'sluice-cli', '--', 'audit', 'verify', folder];
  const { stdout } = await promisify(execFile)('cargo', words, { cwd: PROJECT });
  fs.rmSync(folder, { recursive: true });
  return stdout.split('\n').filter(line => line.startsWith('usage/')).map(line => line.split(':')[0]);
}

test('the keys of four shards have one limit at the organisation and one at a team, to the request', async t => {
  const [limit, ofTeam] = [40, 15];
  const rules = { limits: [{ requests: limit, per: '1h' }], teams: { search: { limits: [{ requests: ofTeam, per: '1h' }] }, sales: {} } };
  const { gateway, keys, asks, document } = await world(t, rules, ['search', 'sales']);
  const [search, sales] = [0, 1].map(team => keys.filter((_, index) => index % 2 === team));
  // What one shard holds and does not use comes back.
  let count = 0;
  const inTeam = await until(async () => (count += await asks(search)), all => all >= ofTeam, TOLD_MS_MAX, 500);
  assert.equal(inTeam, ofTeam);
  assert.equal(await asks(search, 3), 0);
  // Another number of shards, in the middle of it: nothing is let in twice.
  const { document: full } = (await gateway.admin('GET', '/admin/config')).json;
  full.orgs.acme = { ...full.orgs.acme, ...document(SHARDS - 1).orgs.acme };
  const put = await gateway.admin('PUT', '/admin/config', { document: full });
  assert.equal(put.status, 200, JSON.stringify(put.json));
  const inOrg = await until(async () => (count += await asks(sales)), all => all >= limit, TOLD_MS_MAX, 500);
  assert.equal(inOrg, limit);
  assert.equal(await asks(keys, 3), 0);
  const isTold = one => at(one, 'org').requests_total === limit && at(one, { team: 'search' }).requests_total === ofTeam;
  const home = await until(() => standing(gateway), isTold, TOLD_MS_MAX);
  assert.ok(isTold(home), JSON.stringify(home));
});

test('the keys of four shards spend one budget, and each shard proves what it has spent', async t => {
  const budget = 0.01;
  const { gateway, keys, asks } = await world(t, { budgets: [{ usd: String(budget), per: 'month' }] });
  const nanos = budget * NANOS_PER_USD;
  const enough = nanos * 0.9;
  // What one shard holds and does not use comes back.
  let count = 0;
  const spent = async () => {
    count += await asks(keys, 5);
    return at(await standing(gateway), 'org').spent_total;
  };
  await until(spent, one => one >= enough, 2 * TOLD_MS_MAX, 500);
  for (let got = 1; got > 0;) {
    got = await asks(keys, 5);
    count += got;
  }
  const settled = ({ open, outbox }) => open === 0 && outbox === 0;
  assert.ok(settled(await gateway.quiet('acme', TOLD_MS_MAX)));
  const records = await until(() => gateway.records(), all => all.length === count, TOLD_MS_MAX);
  assert.equal(records.length, count);
  const sum = of => of.reduce((sum, one) => sum + one.cost_nano_usd, 0);
  const home = await until(() => standing(gateway), one => at(one, 'org').spent_total === sum(records), TOLD_MS_MAX);
  assert.equal(at(home, 'org').spent_total, sum(records));
  assert.ok(sum(records) <= nanos, `${sum(records)} of ${nanos} were spent`);
  assert.ok(sum(records) >= enough, `only ${sum(records)} of ${nanos} were spent`);
  const used = new Set(records.map(one => one.shard));
  assert.ok(used.size > 2, [...used].join());
  for (const shard of used) {
    const own = records.filter(one => one.shard === shard);
    const said = at(await standing(gateway, `&shard=${shard}`), 'org');
    assert.deepEqual([said.spent_total, said.requests_total], [sum(own), own.length]);
    assert.ok(own.every(one => one.object.startsWith(`usage/region=local/org=acme/shard=${shard}/date=`)));
  }
  const places = new Set(records.map(one => `${one.key} ${one.shard}`));
  assert.equal(places.size, new Set(records.map(one => one.key)).size, 'a key is always in one');
  assert.deepEqual(await verified(gateway), [...used].sort().map(shard => `usage/region=local/org=acme/shard=${shard}`));
});
