// One organisation on one budget in two regions, on the real runtime: each region has its own ledger, and one of them leases from the other.
// On Spin both ledgers are in one store, and all callers are where the component is: away from home.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { isOnSpin, startGateway } from './gateway.mjs';
import { json, until } from './http.mjs';

const REGIONS = ['west', 'east'];
const CALLERS = 4;
const NANOS_PER_USD = 1_000_000_000;
/** How long what a region has settled takes to be known at home, at most. */
const TOLD_MS_MAX = 10_000;
/** How long whoever was refused waits before it asks again. */
const REFUSED_MS = 500;

const documentWith = rules => {
  const org = { home: 'west', ...rules };
  const region = { countries: ['DE'] };
  const held = { ...region, jurisdiction: 'eu', bucket: 'RECORDS' };
  const accounting = { ship_interval: '500ms' };
  if (isOnSpin()) return { accounting, gateway: { region: 'east' }, regions: { west: region, east: region }, orgs: { acme: org } };
  return { accounting, regions: { west: held, east: held }, orgs: { acme: { ...org, regions: REGIONS } } };
};
const served = () => (isOnSpin() ? ['east'] : REGIONS);

/** Two that serve, over the same state: two workers of one gateway, or two hosts. */
async function world(t, rules, wish) {
  const own = isOnSpin() ? {} : { secrets: { SLUICE_MACHINES: 'own' }, isolates: ['second'] };
  const gateway = await startGateway({ document: documentWith(rules), ...own });
  const second = isOnSpin() ? await gateway.beside() : await gateway.isolate('second');
  t.after(async () => {
    if (isOnSpin()) await second.stop();
    await gateway.stop();
  });
  const { key } = await gateway.mint({ org: 'acme', ...wish });
  const ask = async (serves, headers, body) => {
    if (isOnSpin() || serves === gateway) {
      const { status, headers: got, json: answer } = await json(`${serves.url}/v1/chat/completions`, { method: 'POST', headers, body });
      return { status, region: got['x-sluice-region'], borrowed: got['x-sluice-borrowed'], answer };
    }
    const answer = await serves.fetch('http://gateway/v1/chat/completions', { method: 'POST', headers, body: JSON.stringify(body) });
    const { headers: got } = answer;
    return { status: answer.status, region: got.get('x-sluice-region'), borrowed: got.get('x-sluice-borrowed') ?? undefined, answer: await answer.json() };
  };
  const chat = async (name, index) => {
    const held = isOnSpin() ? {} : { 'x-gateway-region': name };
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...held };
    const body = { model: 'sandbox/echo', max_tokens: 50, messages: [{ role: 'user', content: 'Say this again, word for word, if you please.' }] };
    const isFirst = isOnSpin() ? index % 2 === 0 : name === 'west';
    return ask(isFirst ? gateway : second, headers, body);
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
  const nanos = budget * NANOS_PER_USD;
  const enough = nanos * 0.9;
  const count = { west: 0, east: 0 };
  const isSpent = async () => (await org('west')).spent_month >= enough;
  const endMs = Date.now() + 3 * TOLD_MS_MAX;
  const caller = async (name, index) => {
    for (;;) {
      const { status, region, answer } = await chat(name, index);
      if (status === 200) {
        assert.equal(region, name);
        count[name] += 1;
        continue;
      }
      assert.equal(status, 429, JSON.stringify(answer));
      assert.equal(answer.error.code, 'budget_exceeded', JSON.stringify(answer));
      // What others hold and do not use comes back.
      if (Date.now() > endMs || await isSpent()) return;
      await sleep(REFUSED_MS);
    }
  };
  await Promise.all(served().flatMap(name => Array.from({ length: CALLERS }, (_, index) => caller(name, index))));
  assert.ok(served().every(name => count[name] > 0), JSON.stringify(count));
  const isQuiet = one => one.reserved === 0 && one.leased.c === 0;
  const [, east] = await until(() => Promise.all(REGIONS.map(org)), all => all.every(isQuiet), TOLD_MS_MAX);
  // What the home has charged is its own and the other region's, to the nano-dollar: as the records say.
  const records = await until(() => gateway.records(), all => all.length === count.west + count.east, TOLD_MS_MAX);
  const sum = name => records.filter(one => one.region === name).reduce((sum, one) => sum + one.cost_nano_usd, 0);
  assert.equal(east.spent_total, sum('east'));
  const all = sum('west') + sum('east');
  const west = await until(() => org('west'), one => one.spent_total === all, TOLD_MS_MAX);
  assert.equal(west.spent_total, all);
  assert.ok(west.spent_month <= nanos, `${west.spent_month} of ${nanos} were spent`);
  assert.ok(west.spent_month >= enough, `only ${west.spent_month} of ${nanos} were spent`);
});

test('two regions borrow of one organisation what it has, and no more', async t => {
  const [pool, own] = [30, 10];
  const rules = { limits: [{ requests: pool, per: '1h' }], teams: { search: { limits: [{ requests: own, per: '1h', borrow: true }] } } };
  const { gateway, chat } = await world(t, rules, { team: 'search' });
  const names = served();
  let [count, borrowed] = [0, 0];
  for (let round = 0; round < pool * 2; round += 1) {
    const answer = await chat(names[round % names.length], round);
    if (answer.status === 429) continue;
    assert.equal(answer.status, 200, JSON.stringify(answer.answer));
    assert.ok([undefined, 'team/search; of=requests'].includes(answer.borrowed), answer.borrowed);
    count += 1;
    borrowed += Number(answer.borrowed !== undefined);
  }
  assert.ok(count > own && count <= pool, `${count} were served`);
  assert.ok(borrowed >= count - own, `${borrowed} of ${count} were borrowed`);
  const records = await until(() => gateway.records(), all => all.length === count, TOLD_MS_MAX);
  const told = records.filter(one => one.borrowed?.[0].scope === 'team/search' && one.borrowed[0].of.requests === 3_600_000_000);
  assert.equal(told.length, borrowed);
  const ledger = async () => {
    const { json: body } = await gateway.admin('GET', '/admin/ledger?org=acme&region=west');
    return body.scopes.find(one => one.scope.team === 'search').borrowed_total?.r;
  };
  assert.equal(await until(ledger, all => all === borrowed, TOLD_MS_MAX), borrowed);
});
