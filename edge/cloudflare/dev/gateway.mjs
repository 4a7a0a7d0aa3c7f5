// The built worker on workerd, through Miniflare: what `cargo xtask dev` serves and what tests drive.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

// Nothing of a development gateway leaves the machine.
process.env.CLOUDFLARE_CF_FETCH_ENABLED ??= "false";

const { Log, LogLevel, Miniflare } = await import("miniflare");

/** The project's root. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The worker's modules, the entry first. */
function modules(build) {
  const entry = "shim.js";
  const names = fs.readdirSync(build).filter((name) => /\.(js|wasm)$/.test(name) && name !== entry);
  return [entry, ...names].map((name) => ({
    type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path: path.join(build, name),
  }));
}

/** The platform's version that the worker is deployed with. */
function compatibilityDate() {
  const text = fs.readFileSync(path.join(root, "wrangler.toml"), "utf8");
  const date = /^compatibility_date = "([0-9-]+)"$/m.exec(text)?.[1];
  if (date === undefined) throw new Error("wrangler.toml names no compatibility_date");
  return date;
}

/** The names of the secrets that the resolved configuration wants. */
export function secretNames(build) {
  const document = JSON.parse(fs.readFileSync(path.join(build, "config.json"), "utf8"));
  const providers = Object.values(document.providers ?? {});
  return providers.map((provider) => provider.key).filter((name) => typeof name === "string");
}

/**
 * Starts a gateway.
 *
 * - `build`: where the worker is (default: `build/`)
 * - `state`: where Durable Objects, KV and R2 are kept; in memory without it
 * - `host`, `port`: where to listen (default: a free port of 127.0.0.1)
 * - `bindings`: secrets and variables by name
 * - `log`: whether the worker's log is shown
 * - `more`: further options of Miniflare, such as `outboundService`
 */
export async function start(options = {}) {
  const build = options.build ?? path.join(root, "build");
  const gateway = new Miniflare({
    name: "sluice",
    modules: modules(build),
    modulesRoot: build,
    compatibilityDate: compatibilityDate(),
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 0,
    cf: false,
    log: new Log(options.log === false ? LogLevel.NONE : LogLevel.WARN),
    bindings: options.bindings ?? {},
    durableObjects: {
      LEDGER: { className: "Ledger", useSQLite: true },
      REGISTRY: { className: "Registry", useSQLite: true },
    },
    kvNamespaces: ["KEYS"],
    r2Buckets: ["RECORDS"],
    ...(options.state === undefined ? {} : { defaultPersistRoot: path.resolve(options.state) }),
    ...(options.more ?? {}),
  });
  const url = await gateway.ready;
  return { gateway, url: url.origin };
}
