// The two sides of a comparison, started and ready to be asked.
import path from "node:path";
import { LOOSE, RULES, STRICT } from "./config.mjs";
import { askOnce } from "./load.mjs";
import { checkAnswer, requestBody } from "./exchange.mjs";
import { requestBytes } from "./connection.mjs";
import { startStores, startWorkerd } from "./processes.mjs";
import { ADMIN_TOKEN, writeFloor, writeGateway, writeLeast } from "./workers.mjs";

/** How long the ledger may take to settle and ship what a round has left. */
const SETTLE_MS_MAX = 60_000;
const SETTLE_POLL_MS = 500;
/** How long the least gateway has for the same. */
const LEAST_SETTLES_MS = 1_500;

const CHAT = "/v1/chat/completions";

/** What a side is asked for a kind, and how its answers are checked. */
function exchange(kind, { key, modelPrefix, headers }) {
  return {
    bytes: requestBytes({ path: CHAT, key, body: requestBody(kind, modelPrefix), headers }),
    check: (answer, thorough) => checkAnswer(kind, answer, thorough),
  };
}

/** Starts the floor. */
export async function startFloor(folder, { upstream }) {
  const config = writeFloor(folder, upstream);
  const workerd = await startWorkerd(config);
  return {
    ...workerd,
    pause: workerd.stop,
    name: "floor",
    ask: (kind) => exchange(kind, { key: "sk-bench", modelPrefix: "" }),
    settle: async () => {},
    again: () => startWorkerd(config),
  };
}

/** Starts the least gateway, with an R2 of its own; an attentive one bounds its provider's time and sees who leaves. */
export async function startLeast(folder, { upstream, isAttentive = false }) {
  const stores = await startStores(path.join(folder, "stores"));
  const workerd = await startWorkerd(writeLeast(folder, { upstream, stores, isAttentive }));
  return {
    ...workerd,
    name: isAttentive ? "attentive" : "least",
    ask: (kind) => exchange(kind, { key: "sk-bench", modelPrefix: "" }),
    // Its alarm comes once a second.
    settle: () => new Promise((resolve) => setTimeout(resolve, LEAST_SETTLES_MS)),
  };
}

/** Starts a gateway with a KV and an R2 of its own, and makes its keys. */
export async function startGateway(folder, options) {
  const stores = await startStores(path.join(folder, "stores"));
  const config = writeGateway(folder, { ...options, stores });
  const workerd = await startWorkerd(config);
  const { port } = workerd;
  const strict = await mint(port, { ...STRICT, ...RULES, name: "strict" });
  const loose = await mint(port, { ...LOOSE, name: "loose" });
  return {
    ...workerd,
    /** Stops workerd but not what it needs, so that it can be started again. */
    pause: workerd.stop,
    name: "gateway",
    ask: (kind, modelPrefix = "mock/", headers = {}) => exchange(kind, { key: strict, modelPrefix, headers }),
    variants: variants(strict, loose),
    settle: async () => {
      await quiet(port, STRICT.org);
      await quiet(port, LOOSE.org);
    },
    /** Starts it anew on what an earlier start has left; to be stopped by itself. */
    again: () => startWorkerd(config),
    stop: async () => {
      await workerd.stop();
      await stores.stop();
    },
  };
}

async function admin(port, method, target, body) {
  const bytes = requestBytes({
    method,
    path: target,
    key: ADMIN_TOKEN,
    body: body === undefined ? "" : JSON.stringify(body),
  });
  const answer = await askOnce(port, bytes);
  const text = answer.body.toString("utf8");
  if (answer.status >= 300) throw new Error(`${method} ${target}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const mint = async (port, key) => (await admin(port, "POST", "/admin/keys", key)).key;

/** Resolves when all that was answered is settled, recorded and shipped. */
async function quiet(port, org) {
  const until = performance.now() + SETTLE_MS_MAX;
  for (;;) {
    const standing = await admin(port, "GET", `/admin/ledger?org=${org}`);
    if (standing.open === 0 && standing.outbox === 0) return;
    if (performance.now() > until) {
      throw new Error(`the ledger is not quiet: ${standing.open} open, ${standing.outbox} to ship`);
    }
    await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
  }
}

/** Requests that go a part of the way, to see what each part costs. */
function variants(strict, loose) {
  const expect = (status, mark) => (answer) => {
    const text = answer.body.toString("utf8");
    if (answer.status !== status || !text.includes(mark)) {
      throw new Error(`expected ${status} with ${mark}: ${answer.status} ${text.slice(0, 500)}`);
    }
  };
  const echo = { model: "sandbox/echo", messages: [{ role: "user", content: "What does it add?" }] };
  return {
    live: {
      bytes: requestBytes({ method: "GET", path: "/health/live", key: strict }),
      check: expect(200, ""),
    },
    unknownKey: {
      bytes: requestBytes({ path: CHAT, key: `${strict}x`, body: requestBody("chat", "mock/") }),
      check: expect(401, '"error"'),
    },
    unknownModel: {
      bytes: requestBytes({ path: CHAT, key: strict, body: requestBody("chat", "none/") }),
      check: expect(404, '"error"'),
    },
    echo: {
      bytes: requestBytes({ path: CHAT, key: strict, body: JSON.stringify(echo) }),
      check: expect(200, "What does it add?"),
    },
    loose: exchange("chat", { key: loose, modelPrefix: "mock/" }),
    strict: exchange("chat", { key: strict, modelPrefix: "mock/" }),
  };
}
