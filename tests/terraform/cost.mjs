// What a month of the gateway costs: public prices and what a request uses, multiplied. Whole numbers only.
//
//   node tests/terraform/cost.mjs 10000 50000 1000000
//
// Models cost what their providers charge; this is what carrying the requests costs.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const { cloudflare, aws, usage } = JSON.parse(readFileSync(join(import.meta.dirname, "prices.json"), "utf8"), whole);
const HOURS = 720n;
const SECONDS = HOURS * 3600n;
const MINUTES = HOURS * 60n;

/** Numbers as whole ones, so that nothing is rounded where nobody sees it. */
function whole(_, value) {
  return typeof value === "number" ? BigInt(value) : value;
}

const up = (value, by) => (value + by - 1n) / by;
const use = (name) => usage[name].value;

/** What is used in a month of 30 days on Cloudflare. */
export function cloudflareUse(perMinute) {
  const requests = perMinute * MINUTES;
  const calls = up(requests * use("object_requests_per_1000"), 1000n);
  const ledgers = up(up(calls, SECONDS), use("ledger_requests_per_second_max"));
  return {
    ledgers,
    lines: {
      "worker requests": requests,
      "worker CPU, ms": up(requests * use("worker_cpu_micros"), 1000n),
      "object requests": calls,
      // A ledger with so much to do never rests; beside the ledgers there is the registry.
      "object duration, GB s": up((ledgers + 1n) * SECONDS * use("object_megabytes"), 1000n),
      "object rows read": requests * use("rows_read"),
      "object rows written": requests * use("rows_written"),
      "KV reads": up(requests * use("kv_reads_per_1000"), 1000n),
      "R2 writes": up(SECONDS, use("ship_interval_s")) * ledgers,
      "R2 storage, GB": up(requests * use("record_bytes") * use("retention_months"), 1_000_000_000n),
    },
  };
}

/** The same beside AWS: Spin on Fargate, Redis, S3. Load balancers and traffic are left out. */
export function awsUse(perMinute) {
  const requests = perMinute * MINUTES;
  const perSecond = up(requests, SECONDS);
  const busy = 1_000_000n * use("vcpu_busy_percent");
  const cores = up(perSecond * use("vcpu_micros") * 100n, busy);
  const tasks = cores < 2n ? 2n : cores;
  const nodes = up(perSecond * use("redis_scripts"), use("redis_scripts_per_second_max")) * use("redis_copies");
  const { ledgers } = cloudflareUse(perMinute);
  return {
    lines: {
      "Fargate vCPU hours": tasks * HOURS,
      "Fargate GB hours": tasks * use("gigabytes_per_vcpu") * HOURS,
      "Redis node hours (cache.r7g.large)": nodes * HOURS,
      "S3 writes": up(SECONDS, use("ship_interval_s")) * ledgers,
      "S3 storage, GB": up(requests * use("record_bytes") * use("retention_months"), 1_000_000_000n),
      "KMS keys": 1n,
      secrets: use("secrets"),
    },
  };
}

/** What the use costs, line by line, in nano-dollars. */
export function bill(lines, prices, fixed = 0n) {
  const priced = Object.entries(lines).map(([name, quantity]) => {
    const { included, per, nano_usd } = prices[name];
    const billed = quantity > included ? quantity - included : 0n;
    return { name, quantity, nano_usd: up(billed * nano_usd, per) };
  });
  return { lines: priced, total: priced.reduce((sum, line) => sum + line.nano_usd, fixed) };
}

export const cloudflareBill = (perMinute) => bill(cloudflareUse(perMinute).lines, cloudflare.lines, cloudflare.plan_month);
export const awsBill = (perMinute) => bill(awsUse(perMinute).lines, aws.lines);

const grouped = (value) => value.toString().replace(/\B(?=(\d{3})+$)/g, ",");
const dollars = (nano) => grouped(up(nano, 1_000_000_000n));

/** The bills side by side, as a table of Markdown. */
export function table(title, rates, billOf, fixed = 0n) {
  const bills = rates.map(billOf);
  const row = (cells) => `| ${cells.join(" | ")} |`;
  const perMillion = (it, rate) => up(it.total * 1_000_000n, rate * MINUTES);
  const cents = (nano) => `${nano / 1_000_000_000n}.${(up(nano % 1_000_000_000n, 10_000_000n)).toString().padStart(2, "0")}`;
  return [
    row([title, ...rates.map((rate) => `${grouped(rate)} a minute`)]),
    row(["---", ...rates.map(() => "---:")]),
    ...(fixed > 0n ? [row(["the plan", ...rates.map(() => dollars(fixed))])] : []),
    ...bills[0].lines.map((line, index) => row([line.name, ...bills.map((it) => dollars(it.lines[index].nano_usd))])),
    row(["**a month**", ...bills.map((it) => `**${dollars(it.total)}**`)]),
    row(["a million requests", ...bills.map((it, index) => cents(perMillion(it, rates[index])))]),
  ].join("\n");
}

/** Both tables for these rates. */
export function tables(rates) {
  return [
    table("Cloudflare, USD", rates, cloudflareBill, cloudflare.plan_month),
    table(`AWS (${aws.region}), USD`, rates, awsBill),
  ].join("\n\n");
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === import.meta.filename) {
  const rates = process.argv.slice(2);
  if (rates.length === 0 || rates.some((rate) => !/^[1-9]\d{0,8}$/.test(rate))) {
    console.error("usage: node tests/terraform/cost.mjs REQUESTS_A_MINUTE…");
    process.exit(2);
  }
  console.log(tables(rates.map(BigInt)));
}
