// The least that a gateway can do which keeps its word: no answer begins before its reservation is durable, and each
// ends as a record in the bucket. One organisation, no rules, no keys, no translation, no retries, plain JavaScript.
//
// It does what any such gateway must do on this platform, in the cheapest way that is known: requests of one isolate
// share calls to the object, what is settled goes with the next call, the object commits once for each, and an alarm
// ships what is settled. What the real gateway costs beyond this is its own; what this costs beyond the floor is not.
import { DurableObject } from "cloudflare:workers";

/** How many come to an end before somebody calls the object for their sake alone. */
const SETTLED_MAX = 64;
const SHIP_INTERVAL_MS = 1000;

const outgoing = { commands: [], waiting: [], settled: 0, isCalling: false };
let answered = 0;

/** Sends what has gathered, one call at a time. */
async function send(env) {
  if (outgoing.isCalling) return;
  outgoing.isCalling = true;
  try {
    while (outgoing.waiting.length > 0 || outgoing.settled >= SETTLED_MAX) {
      const { commands, waiting } = outgoing;
      Object.assign(outgoing, { commands: [], waiting: [], settled: 0 });
      const ledger = env.LEDGER.get(env.LEDGER.idFromName("org"));
      await ledger.commit(JSON.stringify(commands));
      for (const resolve of waiting) resolve();
    }
  } finally {
    outgoing.isCalling = false;
  }
}

function reserve(env, intent) {
  const { promise, resolve } = Promise.withResolvers();
  outgoing.commands.push(intent);
  outgoing.waiting.push(resolve);
  send(env);
  return promise;
}

function settle(env, record) {
  outgoing.commands.push(record);
  outgoing.settled += 1;
  return send(env);
}

export default {
  async fetch(request, env, ctx) {
    const id = crypto.randomUUID();
    const at = Date.now();
    const text = await request.text();
    const asked = JSON.parse(text);
    const draft = { request: id, at_us: at * 1000, org: "org", team: "team", key: "key_1", model: asked.model };
    const reserved = reserve(env, { intent: { ...draft, cost_nano_usd: text.length * 300 } });
    const upstream = await fetch(env.UPSTREAM + new URL(request.url).pathname, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer sk-bench" },
      body: text,
    });
    const body = await upstream.text();
    const { usage } = JSON.parse(body);
    await reserved;
    const cost = usage.prompt_tokens * 150 + usage.completion_tokens * 600;
    const settled = { ...draft, status: upstream.status, usage, cost_nano_usd: cost, latency_us: (Date.now() - at) * 1000 };
    ctx.waitUntil(settle(env, { settled }));
    answered += 1;
    return new Response(body, {
      status: upstream.status,
      headers: {
        "content-type": "application/json",
        "x-request-id": id,
        "x-cost-usd": String(cost / 1e9),
        "x-ratelimit-limit-requests": "100000000",
        "x-ratelimit-remaining-requests": String(100_000_000 - answered),
      },
    });
  },
};

export class Ledger extends DurableObject {
  #sql;
  #sequence;
  #alarm = false;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
    const [{ last }] = this.#sql.exec("SELECT MAX(key) AS last FROM rows WHERE key LIKE 'q/%'").toArray();
    this.#sequence = last === null ? 0 : Number(last.slice(2));
  }

  async commit(text) {
    for (const { intent, settled } of JSON.parse(text)) {
      if (intent) {
        this.#sql.exec("INSERT OR REPLACE INTO rows VALUES (?, ?)", `o/${intent.request}`, JSON.stringify(intent));
      } else {
        this.#sequence += 1;
        const key = `q/${String(this.#sequence).padStart(20, "0")}`;
        this.#sql.exec("DELETE FROM rows WHERE key = ?", `o/${settled.request}`);
        this.#sql.exec("INSERT INTO rows VALUES (?, ?)", key, JSON.stringify(settled));
      }
    }
    if (!this.#alarm) {
      this.#alarm = true;
      await this.ctx.storage.setAlarm(Date.now() + SHIP_INTERVAL_MS);
    }
  }

  async alarm() {
    this.#alarm = false;
    const rows = this.#sql.exec("SELECT key, value FROM rows WHERE key > 'q/' AND key < 'q0' ORDER BY key").toArray();
    if (rows.length === 0) return;
    const lines = rows.map(({ value }) => value).join("\n");
    const stream = new Blob([lines]).stream().pipeThrough(new CompressionStream("gzip"));
    const last = rows.at(-1).key;
    const bytes = await new Response(stream).arrayBuffer();
    await this.env.RECORDS.put(`usage/${last.slice(2)}.ndjson.gz`, bytes, { onlyIf: { etagDoesNotMatch: "*" } });
    this.#sql.exec("DELETE FROM rows WHERE key > 'q/' AND key <= ?", last);
  }
}
