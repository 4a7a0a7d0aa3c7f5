// The built worker on workerd, through Miniflare: what `cargo xtask dev` serves and what tests drive.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

// Nothing of a development gateway leaves the machine.
process.env.CLOUDFLARE_CF_FETCH_ENABLED ??= "false";

const { Log, LogLevel, Miniflare } = await import("miniflare");

/** The project's root. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The worker's modules, the entry first; a configuration given here takes the place of the one built in. */
function modules(build, document) {
  const entry = "shim.js";
  const names = fs.readdirSync(build).filter((name) => /\.(js|wasm)$/.test(name) && name !== entry);
  return [entry, ...names].map((name) => ({
    type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path: path.join(build, name),
    ...(name === "config.js" && document !== undefined
      ? { contents: `export default ${JSON.stringify(JSON.stringify(document))};` }
      : {}),
  }));
}

/** The platform's version and behaviour that the worker is deployed with. */
function compatibility() {
  const text = fs.readFileSync(path.join(root, "wrangler.toml"), "utf8");
  const read = (name) => JSON.parse(new RegExp(`^${name} = (.*)$`, "m").exec(text)[1]);
  return {
    compatibilityDate: read("compatibility_date"),
    compatibilityFlags: read("compatibility_flags"),
  };
}

/** Another isolate of this worker. */
function isolate(worker, name) {
  const objects = Object.entries(worker.durableObjects);
  const shared = objects.map(([binding, object]) => [binding, { ...object, scriptName: worker.name }]);
  return { ...worker, name, durableObjects: Object.fromEntries(shared) };
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
 * - `document`: a resolved configuration (default: the one built in)
 * - `bindings`: secrets and variables by name
 * - `log`: whether the worker's log is shown
 * - `buckets`: R2 buckets by binding
 * - `isolates`: names of further isolates of the same gateway, which share its objects and stores
 * - `more`: further options of the worker, such as `outboundService`; `workers`: further workers
 */
export async function start(options = {}) {
  const build = options.build ?? path.join(root, "build");
  const worker = {
    name: "sluice",
    modules: modules(build, options.document),
    modulesRoot: build,
    ...compatibility(),
    bindings: options.bindings ?? {},
    durableObjects: {
      LEDGER: { className: "Ledger", useSQLite: true },
      HEALTH: { className: "Health", useSQLite: true },
      EGRESS: { className: "Egress", useSQLite: true },
      REGISTRY: { className: "Registry", useSQLite: true },
    },
    kvNamespaces: { KEYS: "keys" },
    r2Buckets: options.buckets ?? { RECORDS: "records" },
    ...(options.more ?? {}),
  };
  const quiet = {
    log: new Log(LogLevel.NONE),
    handleRuntimeStdio: (out, err) => [out, err].forEach((stream) => stream.resume()),
  };
  const gateway = new Miniflare({
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 0,
    cf: false,
    ...(options.log === false ? quiet : { log: new Log(LogLevel.WARN) }),
    ...(options.state === undefined ? {} : { defaultPersistRoot: path.resolve(options.state) }),
    workers: [
      worker,
      ...(options.isolates ?? []).map((name) => isolate(worker, name)),
      ...(options.workers ?? []),
    ],
  });
  const url = await gateway.ready;
  return { gateway, url: url.origin };
}
