// Budgets that run out, and who is told: signed, at least once, whatever the receiver does.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import test, { after, before } from 'node:test';

import { configDocument } from './config.mjs';
import { startGateway, withoutProcess as skip } from './gateway.mjs';
import { send, until } from './http.mjs';
import { startMocks } from './mocks.mjs';

const SECRET = 'a secret of the receiver';
const TOLD_MS_MAX = 20_000;

let mocks;
let gateway;
let receiver;
const heard = [];
/** How many calls the receiver refuses before it takes one. */
let refusals = 2;
before(async () => {
  if (skip) return;
  receiver = http.createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    const isTaken = request.url !== '/pager' || refusals === 0;
    if (!isTaken) refusals -= 1;
    heard.push({ path: request.url, headers: request.headers, body, isTaken });
    response.writeHead(isTaken ? 204 : 503).end();
  });
  await new Promise(resolve => { receiver.listen(0, '127.0.0.1', resolve); });
  const root = `http://127.0.0.1:${receiver.address().port}`;
  mocks = await startMocks();
  const document = {
    ...configDocument(mocks.url),
    notify: { pager: { url: `${root}/pager`, secret: 'NOTIFY_SECRET' }, slack: { url: `${root}/slack`, format: 'slack' } },
  };
  gateway = await startGateway({ mocksUrl: mocks.url, document, secrets: { NOTIFY_SECRET: SECRET } });
});
after(async () => {
  await gateway?.stop();
  await mocks?.stop();
  receiver?.close();
});

/** A request that costs two cents. */
async function ask(key) {
  const body = JSON.stringify({ model: 'mock-openai/flat', messages: [{ role: 'user', content: 'Hello' }] });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key.key}` };
  const answer = await send(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers, body });
  await answer.read();
  return answer.status;
}

test('a budget warns at four fifths and says when it is used up, to each receiver in its words', { skip }, async () => {
  const key = await gateway.mint({ org: 'storm', budgets: [{ usd: '0.1', per: 'day' }] });
  const statuses = [];
  for (let i = 0; i < 6; i += 1) {
    statuses.push(await ask(key));
    await gateway.quiet('storm', TOLD_MS_MAX);
  }
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429]);
  const of = path => heard.filter(one => one.path === path && one.isTaken);
  const told = async () => {
    // Where no alarm wakes the gateway, the scheduled job does.
    await gateway.upkeep?.();
    return [of('/pager'), of('/slack')];
  };
  await until(told, ([pager, slack]) => pager.length >= 2 && slack.length >= 2, TOLD_MS_MAX);
  const pager = heard.filter(one => one.path === '/pager');
  for (const { headers, body } of pager) {
    const { t, v1 } = Object.fromEntries(headers['x-sluice-signature'].split(',').map(part => part.split('=')));
    assert.equal(v1, createHmac('sha256', SECRET).update(`${t}.${body}`).digest('hex'));
    assert.ok(Math.abs(Date.now() / 1000 - Number(t)) < 60);
    assert.equal(headers['x-sluice-event-id'], JSON.parse(body).id);
  }
  // The receiver had refused twice: the same event came again until it was taken.
  assert.equal(new Set(pager.slice(0, 3).map(one => one.body)).size, 1);
  const [warning, exhausted] = of('/pager').map(one => JSON.parse(one.body));
  const budget = { v: 1, org: 'storm', scope: `key/${key.id}`, period: 'day', limit_nano_usd: 100_000_000 };
  for (const [event, type, spent] of [[warning, 'budget.warning', 80_000_000], [exhausted, 'budget.exhausted', 100_000_000]]) {
    const { id, at_us: at, region, ...rest } = event;
    assert.deepEqual(rest, { ...budget, type, spent_nano_usd: spent });
    assert.match(id, new RegExp(`^storm/${region}/\\d+$`));
    assert.ok(at > 0);
  }
  const words = of('/slack').map(one => JSON.parse(one.body).text);
  assert.match(words[0], /^The daily budget of key\/.+ in storm \(.+\) is 80 % spent: \$0\.08 of \$0\.1\.$/);
  assert.match(words[1], /is used up: \$0\.1 of \$0\.1\.$/);
});
