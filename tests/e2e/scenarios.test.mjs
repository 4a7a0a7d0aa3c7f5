// The scenario list (tests/scenarios) against a gateway on workerd, or against one that runs already (see gateway.mjs).

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { startWorld } from './gateway.mjs';
import { mismatches } from './match.mjs';
import { missingNeed, run, scenarios } from './scenario.mjs';
import { skipped } from './schema.mjs';

/** How long a record may take from the answer to the bucket. */
const SHIPPED_MS_MAX = 20_000;

let world;
const requests = [];
before(async () => {
  world = await startWorld();
  if (skipped) process.stderr.write(`note: ${skipped}\n`);
  if (world.mocks && !(await world.mocks.state()).specs) process.stderr.write('note: the providers\' published formats are not at hand (SLUICE_SPECS): the mocks judge by their own rules alone\n');
});
after(() => world?.stop());

const wanted = process.env.SLUICE_SCENARIOS ? new RegExp(process.env.SLUICE_SCENARIOS) : /./;
for (const scenario of scenarios().filter(one => wanted.test(`${one.file}: ${one.name}`))) {
  test(`${scenario.file}: ${scenario.name}`, async t => {
    const missing = missingNeed(scenario, world);
    if (missing) return t.skip(`this gateway has no ${missing}`);
    for (const one of await run(scenario, world)) requests.push({ ...one, name: `${scenario.file}: ${scenario.name}` });
    return undefined;
  });
}

/** Model calls that were let in leave a record; nothing else does. */
function recordsExpected(one) {
  if (one.expectedRecords !== undefined) return one.expectedRecords;
  if (one.expectedRecord) return 1;
  return one.status === 200 && /^\/v1\/(chat\/completions|completions|responses|messages|embeddings|images\/\w+|audio\/\w+|moderations|rerank)$/.test(one.path) ? 1 : undefined;
}

test('each request has the record that it must have, and each record the right content', async t => {
  if (!world.capabilities.has('records')) return t.skip('the records of this gateway cannot be read');
  const due = requests.filter(one => recordsExpected(one) > 0).map(one => one.requestId);
  const records = await world.gateway.recordsOnce(all => due.every(id => all.has(id)), SHIPPED_MS_MAX);
  const wrong = requests.flatMap(one => {
    const found = records.get(one.requestId) ?? [];
    const count = recordsExpected(one);
    if (count !== undefined && found.length !== count) return [`${one.name}: ${found.length} records instead of ${count} (${one.requestId})`];
    return one.expectedRecord ? mismatches(one.expectedRecord, found[0]).map(line => `${one.name}: ${line}`) : [];
  });
  assert.equal(wrong.length, 0, `${wrong.length} wrong:\n${wrong.slice(0, 40).join('\n')}`);
  return undefined;
});

test('what the ledger says was spent is what the records add up to', async t => {
  if (!world.capabilities.has('records')) return t.skip('the records of this gateway cannot be read');
  const { ledger, records } = await world.gateway.sums('e2e', SHIPPED_MS_MAX);
  assert.equal(ledger, records);
  return undefined;
});
