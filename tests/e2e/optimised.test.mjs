// Tasks stay in their own requests when the engine has optimised the JavaScript around them.
//
// The engine optimises what has run often; here it does so after little, so that a second of load shows what otherwise
// takes minutes. Written for promises that had lost whose they were, once their making was optimised: callers then
// got what another request's event could not give.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { drive, openAll } from '../bench/load.mjs';
import { startMock, stopAll } from '../bench/processes.mjs';
import { startGateway } from '../bench/sides.mjs';

const EAGER = ['--no-lazy-feedback-allocation', '--invocation-count-for-turbofan=1', '--minimum-invocations-after-ic-update=1'];
const LOAD_MS = 1_500;

const skip = (process.env.SLUICE_RUNTIME ?? 'workerd') !== 'workerd' && 'about workerd';
let folder;
let mock;
let gateway;

before(async () => {
  if (skip) return;
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-optimised-'));
  mock = await startMock();
  gateway = await startGateway(folder, { upstream: mock.url, v8Flags: EAGER });
});

after(async () => {
  if (skip) return;
  await gateway.stop();
  await mock.stop();
  stopAll();
  fs.rmSync(folder, { recursive: true, force: true });
});

test('no caller sees another request where many connections close and others open', { skip }, async () => {
  let answers = 0;
  for (const [count, kind] of [[16, 'strict'], [64, 'strict'], [16, 'echo'], [64, 'echo']]) {
    const connections = await openAll(gateway.port, count);
    // Each answer is checked; a wrong one ends the drive.
    const driven = await drive(connections, gateway.variants[kind], LOAD_MS);
    answers += driven.answers;
    for (const connection of connections) connection.close();
  }
  assert.ok(answers > 0);
});
