// The reader of generated types reads what the provider itself prints, where both are at hand for one schema.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Missing, generatedSchema, readPrinted } from "./tools.mjs";

/** Resources that did not change between the version that was generated from and the one that was printed. */
const UNCHANGED = [
  "cloudflare_r2_bucket",
  "cloudflare_r2_bucket_event_notification",
  "cloudflare_r2_bucket_lock",
  "cloudflare_regional_hostname",
  "cloudflare_snippets",
  "cloudflare_workers_cron_trigger",
  "cloudflare_workers_kv_namespace",
  "cloudflare_workers_route",
];

/** Every attribute on a line: its path, its type, and who sets it. */
function lines(attributes, path = "") {
  return Object.entries(attributes).flatMap(([name, it]) => {
    const type = it.nested_type?.nesting_mode ?? JSON.stringify(it.type);
    const flags = ["required", "optional", "computed"].filter((flag) => it[flag]);
    const nested = it.nested_type ? lines(it.nested_type.attributes, `${path}${name}.`) : [];
    return [`${path}${name}: ${type} ${flags.join(" ")}`, ...nested];
  });
}

for (const type of UNCHANGED) {
  test(`${type} is read as it is printed`, (t) => {
    const printed = readPrinted("cloudflare");
    if (printed === undefined) return t.skip("no printed schema at hand");
    let read;
    try {
      read = generatedSchema("cloudflare", type);
    } catch (error) {
      if (error instanceof Missing) return t.skip(error.message);
      throw error;
    }
    assert.deepEqual(lines(read.schema.block.attributes).sort(), lines(printed.resource_schemas[type].block.attributes).sort());
  });
}
