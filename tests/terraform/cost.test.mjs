// The calculator counts as one would by hand, and docs/deploy.md says what it says.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { awsUse, bill, cloudflareBill, cloudflareUse, tables } from "./cost.mjs";
import { ROOT } from "./tools.mjs";

const RATES = [10_000n, 50_000n, 1_000_000n];

test("what is included costs nothing, and the rest is rounded up to the nano-dollar", () => {
  const prices = { a: { included: 10n, per: 3n, nano_usd: 10n }, b: { included: 0n, per: 1n, nano_usd: 7n } };
  const { lines, total } = bill({ a: 11n, b: 2n }, prices, 100n);
  assert.deepEqual(lines.map((line) => line.nano_usd), [4n, 14n]);
  assert.equal(total, 118n);
  assert.equal(bill({ a: 10n }, prices).total, 0n);
});

test("10,000 requests a minute are counted as by hand", () => {
  const { ledgers, lines } = cloudflareUse(10_000n);
  assert.equal(ledgers, 1n);
  assert.equal(lines["worker requests"], 432_000_000n);
  assert.equal(lines["object requests"], 475_200_000n);
  assert.equal(lines["object rows written"], 3_456_000_000n);
  assert.equal(lines["object duration, GB s"], 663_552n);
  assert.equal(lines["R2 writes"], 518_400n);
  const cost = Object.fromEntries(cloudflareBill(10_000n).lines.map((line) => [line.name, line.nano_usd]));
  // (432 − 10) million × $0.30, (3,456 − 50) million × $1.
  assert.equal(cost["worker requests"], 126_600_000_000n);
  assert.equal(cost["object rows written"], 3_406_000_000_000n);
});

test("a ledger is added for every thousand calls a second", () => {
  // 1,000,000 a minute are 16,667 a second, of which each asks the ledger 1.1 times.
  assert.equal(cloudflareUse(1_000_000n).ledgers, 19n);
});

test("a gateway on AWS has two tasks and two copies of Redis, however little it does", () => {
  const { lines } = awsUse(1n);
  assert.equal(lines["Fargate vCPU hours"], 1440n);
  assert.equal(lines["Redis node hours (cache.r7g.large)"], 1440n);
});

test("more requests never cost less", () => {
  let before = 0n;
  for (let rate = 1n; rate <= 1_000_000n; rate *= 10n) {
    const { total } = cloudflareBill(rate);
    assert.ok(total >= before, `${rate}`);
    before = total;
  }
});

test("docs/deploy.md says what the calculator says", () => {
  const page = readFileSync(join(ROOT, "docs/deploy.md"), "utf8");
  assert.ok(page.includes(tables(RATES)), `the tables in docs/deploy.md are to be:\n\n${tables(RATES)}`);
});
