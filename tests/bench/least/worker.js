// The least that a gateway can do which keeps its word: no answer begins before its reservation is durable, and each
// ends as a record in the bucket. One organisation, no rules, no keys, no translation, no retries, plain JavaScript.
//
// It does what any such gateway must do on this platform, in the cheapest way that is known: requests of one isolate
// share calls to the object, what is settled goes with the next call, the object commits once for each, and an alarm
// ships what is settled. What the real gateway costs beyond this is its own; what this costs beyond the floor is not.
//
// Deployed with ATTENTIVE it also bounds its provider's time and sees that the caller leaves, as a gateway has to.
import { DurableObject } from "cloudflare:workers";

/** How many come to an end before somebody calls the object for their sake alone. */
const SETTLED_MAX = 64;
const SHIP_INTERVAL_MS = 1000;

/** How long a provider may take. */
const TIMEOUT_MS = 60_000;

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

/** What ends the call of the provider: its time, or the caller. */
function attention(request) {
  const ends = new AbortController();
  const end = () => ends.abort();
  const timer = setTimeout(end, TIMEOUT_MS);
  request.signal.addEventListener("abort", end, { once: true });
  return { signal: ends.signal, over: () => clearTimeout(timer) };
}

export default {
  async fetch(request, env, ctx) {
    const id = crypto.randomUUID();
    const at = Date.now();
    const text = await request.text();
    const asked = JSON.parse(text);
    const draft = { request: id, at_us: at * 1000, org: "org", team: "team", key: "key_1", model: asked.model };
    const attentive = env.ATTENTIVE ? attention(request) : undefined;
    const reserved = reserve(env, { intent: { ...draft, cost_nano_usd: text.length * 300 } });
    const upstream = await fetch(env.UPSTREAM + new URL(request.url).pathname, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer sk-bench" },
      body: text,
      signal: attentive?.signal,
    });
    const body = await upstream.text();
    attentive?.over();
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

/** What is open and what is to be shipped is in memory, behind a journal: one row for each commit. */
export class Ledger extends DurableObject {
  #sql;
  #open = new Map();
  #settled = [];
  #sequence = 0;
  #alarm = false;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS journal (sequence INTEGER PRIMARY KEY, commands TEXT NOT NULL)");
    for (const { sequence, commands } of this.#sql.exec("SELECT * FROM journal ORDER BY sequence")) {
      this.#sequence = sequence;
      this.#apply(JSON.parse(commands));
    }
  }

  #apply(commands) {
    for (const { intent, settled } of commands) {
      if (intent) {
        this.#open.set(intent.request, intent);
      } else {
        this.#open.delete(settled.request);
        this.#settled.push(settled);
      }
    }
  }

  #write(commands) {
    this.#sequence += 1;
    this.#sql.exec("INSERT INTO journal VALUES (?, ?)", this.#sequence, commands);
  }

  async commit(text) {
    this.#apply(JSON.parse(text));
    this.#write(text);
    if (!this.#alarm) {
      this.#alarm = true;
      await this.ctx.storage.setAlarm(Date.now() + SHIP_INTERVAL_MS);
    }
  }

  async alarm() {
    this.#alarm = false;
    const count = this.#settled.length;
    if (count === 0) return;
    const lines = this.#settled.map((record) => JSON.stringify(record)).join("\n");
    const stream = new Blob([lines]).stream().pipeThrough(new CompressionStream("gzip"));
    const bytes = await new Response(stream).arrayBuffer();
    const name = `usage/${String(this.#sequence).padStart(20, "0")}.ndjson.gz`;
    await this.env.RECORDS.put(name, bytes, { onlyIf: { etagDoesNotMatch: "*" } });
    // What came meanwhile, and what is open, begins the next journal.
    this.#settled.splice(0, count);
    const intents = [...this.#open.values()].map((intent) => ({ intent }));
    const settled = this.#settled.map((record) => ({ settled: record }));
    this.#sql.exec("DELETE FROM journal");
    this.#write(JSON.stringify([...intents, ...settled]));
  }
}
