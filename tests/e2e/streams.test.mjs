// Streams that nobody reads. Needs a gateway whose process is at hand, and a provider that says how much it could write.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { configDocument } from './config.mjs';
import { startGateway, withoutProcess as skip } from './gateway.mjs';
import { send, until } from './http.mjs';
import { WIDE_BYTES } from './mock/server.mjs';
import { startMocks } from './mocks.mjs';

/** 128 MB, of which the system's own buffers on both ways hold some. */
const EVENTS = 2_000;
const STANDS_STILL_MS = 1_000;
const FILLED_MS_MAX = 20_000;

let mocks;
let gateway;
before(async () => {
  if (skip) return;
  mocks = await startMocks();
  gateway = await startGateway({ mocksUrl: mocks.url, document: configDocument(mocks.url) });
});
after(async () => {
  await gateway?.stop();
  await mocks?.stop();
});

for (const provider of ['mock-openai', 'mock-anthropic']) {
  test(`a provider is read no faster than its caller reads: ${provider}`, { skip }, async told => {
    const key = await gateway.mint({ org: 'e2e' });
    const mark = await mocks.mark();
    const answer = await send(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key.key}` },
      body: JSON.stringify({ model: `${provider}/wide-${EVENTS}`, stream: true, messages: [{ role: 'user', content: 'Hello' }] }),
    });
    assert.equal(answer.status, 200);
    let written = 0;
    const grown = async () => {
      const before = written;
      written = (await mocks.callsNow(mark))[0].events;
      return written - before;
    };
    assert.equal(await until(grown, growth => written > 0 && growth === 0, FILLED_MS_MAX, STANDS_STILL_MS), 0);
    assert.ok(written < EVENTS / 2, `${written} of ${EVENTS} events were taken from the provider, and nobody has read one`);
    told.diagnostic(`${written} of ${EVENTS} events were taken`);
    const { text, cut } = await answer.read();
    assert.equal(cut, false);
    assert.ok(text.length > EVENTS * WIDE_BYTES, `${text.length} bytes came`);
    assert.ok(text.lastIndexOf('data: [DONE]') > EVENTS * WIDE_BYTES, 'and the end');
  });
}
