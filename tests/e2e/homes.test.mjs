// One organisation on one budget in two regions, on the real runtime: each region has its own ledger, and one of them leases from the other.

import assert from 'node:assert/strict';
import test from 'node:test';

import { startGateway } from './gateway.mjs';
import { json, until } from './http.mjs';

const REGIONS = ['west', 'east'];
const CALLERS = 4;
const NANOS_PER_USD = 1_000_000_000;
/** How long what a region has settled takes to be known at home, at most. */
const TOLD_MS_MAX = 10_000;

const region = { countries: ['DE'], jurisdiction: 'eu', bucket: 'RECORDS' };
const documentWith = rules => ({
  accounting: { ship_interval: '500ms' },
  regions: { west: region, east: region },
  orgs: { acme: { home: 'west', regions: REGIONS, ...rules } },
});

async function world(t, rules, wish) {
  // Two workers of one gateway, over the same objects.
  const gateway = await startGateway({ document: documentWith(rules), secrets: { SLUICE_MACHINES: 'own' }, isolates: ['second'] });
  t.after(() => gateway.stop());
  const { key } = await gateway.mint({ org: 'acme', ...wish });
  const second = await gateway.isolate('second');
  const chat = async name => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-gateway-region': name };
    const body = { model: 'sandbox/echo', max_tokens: 50, messages: [{ role: 'user', content: 'Say this again, word for word, if you please.' }] };
    if (name === 'west') {
      const { status, headers: got, json: answer } = await json(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers, body });
      return { status, region: got['x-sluice-region'], borrowed: got['x-sluice-borrowed'], answer };
    }
    const answer = await second.fetch('http://gateway/v1/chat/completions', { method: 'POST', headers, body: JSON.stringify(body) });
    const { headers: got } = answer;
    return { status: answer.status, region: got.get('x-sluice-region'), borrowed: got.get('x-sluice-borrowed') ?? undefined, answer: await answer.json() };
  };
  const org = async name => {
    const { json: body } = await gateway.admin('GET', `/admin/ledger?org=acme&region=${name}`);
    return body.scopes.find(one => one.scope === 'org') ?? { spent_total: 0, spent_month: 0, reserved: 0, leased: { c: 0 } };
  };
  return { gateway, chat, org };
}

test('two regions spend one budget at the same time, all of it and no more', async t => {
  const budget = 0.01;
  const { gateway, chat, org } = await world(t, { budgets: [{ usd: String(budget), per: 'month' }] });
  const served = { west: 0, east: 0 };
  const caller = async name => {
    for (;;) {
      const { status, region, answer } = await chat(name);
      if (status !== 200) {
        assert.equal(status, 429, JSON.stringify(answer));
        assert.equal(answer.error.code, 'budget_exceeded', JSON.stringify(answer));
        return;
      }
      assert.equal(region, name);
      served[name] += 1;
    }
  };
  await Promise.all(REGIONS.flatMap(name => Array.from({ length: CALLERS }, () => caller(name))));
  assert.ok(served.west > 0 && served.east > 0, JSON.stringify(served));
  const [west, east] = await until(() => Promise.all(REGIONS.map(org)), ([west, east]) => west.reserved === 0 && east.reserved === 0 && west.leased.c === 0 && east.leased.c === 0, TOLD_MS_MAX);
  const nanos = budget * NANOS_PER_USD;
  assert.ok(west.spent_month <= nanos, `${west.spent_month} of ${nanos} were spent`);
  assert.ok(west.spent_month >= nanos * 0.9, `only ${west.spent_month} of ${nanos} were spent`);
  // What the home has charged is its own and the other region's, to the nano-dollar: as the records say.
  const records = await until(() => gateway.records(), all => all.length === served.west + served.east, TOLD_MS_MAX);
  const sum = name => records.filter(one => one.region === name).reduce((sum, one) => sum + one.cost_nano_usd, 0);
  assert.equal(east.spent_total, sum('east'));
  assert.equal(west.spent_total, sum('west') + sum('east'));
});

test('two regions borrow of one organisation what it has, and no more', async t => {
  const [pool, own] = [30, 10];
  const rules = { limits: [{ requests: pool, per: '1h' }], teams: { search: { limits: [{ requests: own, per: '1h', borrow: true }] } } };
  const { gateway, chat } = await world(t, rules, { team: 'search' });
  let [served, borrowed] = [0, 0];
  for (let round = 0; round < pool * 2; round += 1) {
    const answer = await chat(REGIONS[round % REGIONS.length]);
    if (answer.status === 429) continue;
    assert.equal(answer.status, 200, JSON.stringify(answer.answer));
    assert.ok([undefined, 'team/search; of=requests'].includes(answer.borrowed), answer.borrowed);
    served += 1;
    borrowed += Number(answer.borrowed !== undefined);
  }
  assert.ok(served > own && served <= pool, `${served} were served`);
  assert.ok(borrowed >= served - own, `${borrowed} of ${served} were borrowed`);
  const records = await until(() => gateway.records(), all => all.length === served, TOLD_MS_MAX);
  const told = records.filter(one => one.borrowed?.[0].scope === 'team/search' && one.borrowed[0].of.requests === 3_600_000_000);
  assert.equal(told.length, borrowed);
  const ledger = async () => {
    const { json: body } = await gateway.admin('GET', '/admin/ledger?org=acme&region=west');
    return body.scopes.find(one => one.scope.team === 'search').borrowed_total?.r;
  };
  assert.equal(await until(ledger, count => count === borrowed, TOLD_MS_MAX), borrowed);
});
