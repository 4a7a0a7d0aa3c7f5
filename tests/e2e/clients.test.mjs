// The providers' own clients, in both languages, over every dialect they speak, against every upstream behind the gateway.

import assert from 'node:assert/strict';
import process from 'node:process';
import test, { after, before } from 'node:test';

import { OFFICIAL, pythonAbsent, runScript, settings } from './clients/environment.mjs';
import { startWorld } from './gateway.mjs';

let world;
let env;
before(async () => {
  world = await startWorld();
  env = await settings(world);
});
after(() => world?.stop());

const absent = pythonAbsent();
if (absent) process.stderr.write(`note: ${absent}\n`);

for (const one of OFFICIAL) {
  test(`${one.script} and the gateway understand each other`, async t => {
    if (one.requirements && absent) return t.skip(absent);
    const { cells } = await runScript(one, env);
    t.diagnostic(`${cells.filter(cell => cell.result === 'pass').length} of ${cells.length} cells pass, ${cells.filter(cell => cell.result === 'absent').length} do not exist`);
    assert.deepEqual(cells.filter(cell => cell.result === 'fail').map(({ client, feature, upstream, reason }) => `${client}, ${feature}, ${upstream}: ${reason}`), []);
    return undefined;
  });
}

test('nothing of all that was refused by a provider', async () => {
  const calls = await world.mocks.calls();
  assert.deepEqual([...new Set(calls.flatMap(call => call.violations))], []);
});
