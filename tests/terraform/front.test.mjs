// The worker in front of the regions, on workerd: whom it asks, what it passes on, what it refuses.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { MODULES, ROOT } from "./tools.mjs";

const MINIFLARE = join(ROOT, "node_modules", "miniflare");
const skip = existsSync(MINIFLARE) ? false : "miniflare is not installed: npm ci";
const REGIONS = {
  eu: { hostname: "eu.llm.example.com", pinned: true },
  us: { hostname: "us.llm.example.com", pinned: false },
};

let upstream = [];
const running = {};

/** The region that answers: says what it was asked. */
async function region(request) {
  upstream.push({ url: request.url, method: request.method, key: request.headers.get("authorization"), body: await request.text() });
  if (new URL(request.url).pathname === "/elsewhere") return new Response(null, { status: 302, headers: { location: "https://evil.example" } });
  return new Response("data: one\n\n", { headers: { "content-type": "text/event-stream", "x-sluice-region": "it" } });
}

function start(forward_pinned) {
  const { Miniflare } = createRequire(import.meta.url)(MINIFLARE);
  return new Miniflare({
    modules: [{ type: "ESModule", path: "front.js", contents: readFileSync(join(MODULES, "modules/cloudflare-global/front.js"), "utf8") }],
    compatibilityDate: "2026-04-26",
    cf: false,
    bindings: { REGIONS: { default: "us", forward_pinned, regions: REGIONS } },
    outboundService: region,
  });
}

before(() => {
  if (skip) return;
  process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";
  running.strict = start(false);
  running.forwarding = start(true);
});

after(async () => {
  for (const front of Object.values(running)) await front.dispose();
});

async function ask(front, path, headers = {}) {
  upstream = [];
  const init = { method: "POST", headers: { authorization: "Bearer key", ...headers }, body: "{}", redirect: "manual" };
  return running[front].dispatchFetch(`https://llm.example.com${path}`, init);
}

test("a request that asks for no region goes to the default one, whole", { skip }, async () => {
  const answer = await ask("strict", "/v1/chat/completions?a=b");
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), "data: one\n\n");
  assert.equal(answer.headers.get("x-sluice-region"), "it");
  assert.deepEqual(upstream, [{ url: "https://us.llm.example.com/v1/chat/completions?a=b", method: "POST", key: "Bearer key", body: "{}" }]);
});

test("a request goes to the region that it asks for", { skip }, async () => {
  const answer = await ask("forwarding", "/v1/models", { "x-gateway-region": "eu" });
  assert.equal(answer.status, 200);
  assert.equal(upstream[0].url, "https://eu.llm.example.com/v1/models");
});

test("a pinned region's requests are refused, and reach nobody", { skip }, async () => {
  const answer = await ask("strict", "/v1/chat/completions", { "x-gateway-region": "eu" });
  assert.equal(answer.status, 421);
  const { error } = await answer.json();
  assert.equal(error.code, "pinned_region");
  assert.match(error.message, /https:\/\/eu\.llm\.example\.com /);
  assert.deepEqual(upstream, []);
});

for (const name of ["mars", "__proto__", "constructor", "EU"]) {
  test(`there is no region ${JSON.stringify(name)}`, { skip }, async () => {
    const answer = await ask("forwarding", "/v1/models", { "x-gateway-region": name });
    assert.equal(answer.status, 400);
    assert.equal((await answer.json()).error.code, "unknown_region");
    assert.deepEqual(upstream, []);
  });
}

test("a redirection is the caller's to follow", { skip }, async () => {
  const answer = await ask("strict", "/elsewhere");
  assert.equal(answer.status, 302);
  assert.equal(upstream.length, 1);
});
