// The two workers that are compared, as configurations of workerd: the floor, and the gateway with all it needs.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { PROVIDER_KEY, document } from "./config.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
/** Where `cargo xtask build` puts the worker. */
const BUILD = path.join(root, "build");
/** The worker's entry among the modules. */
const ENTRY = "shim.js";
/** How long a record waits for others before it is shipped: short, so that a run need not wait long for the last. */
const SHIP_INTERVAL_MS = "1000";

/** The admin token of a run. It guards nothing. */
export const ADMIN_TOKEN = "bench-admin-token-that-guards-nothing-0123456789";

/** Where the gateway's wasm is. */
export const WASM = path.join(BUILD, "index_bg.wasm");

/** Capnp's text literals are written as JSON's are, for all that stands here. */
const text = (value) => JSON.stringify(value);

/** What the worker is deployed with, from the file that it is deployed by. */
function compatibility() {
  const file = fs.readFileSync(path.join(root, "wrangler.toml"), "utf8");
  const read = (name) => new RegExp(`^${name} = (.*)$`, "m").exec(file)?.[1];
  return `compatibilityDate = ${read("compatibility_date")},
  compatibilityFlags = ${read("compatibility_flags") ?? "[]"}`;
}

/** Everything around a worker: one socket on a free port, and a way out to this machine alone. */
function surround(services, worker, v8Flags = []) {
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["local", "private"])),
    ${services.join(",\n    ")}
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
  v8Flags = [${v8Flags.map(text).join(", ")}]
);

const main :Workerd.Worker = (
  ${compatibility()},
  ${worker}
);
`;
}

/** A service on another port of this machine. */
const external = (name, port) => `(name = ${text(name)}, external = (address = "127.0.0.1:${port}", http = ()))`;

/** Writes the floor's configuration into a new folder and returns its path. */
export function writeFloor(folder, upstream) {
  fs.mkdirSync(folder, { recursive: true });
  fs.copyFileSync(path.join(here, "floor.js"), path.join(folder, "floor.js"));
  const config = surround(
    [],
    `modules = [(name = "floor.js", esModule = embed "floor.js")],
  bindings = [(name = "UPSTREAM", text = ${text(upstream)})]`,
  );
  return write(folder, config);
}

/**
 * Writes the configuration of the least gateway into a new folder and returns its path; `stores` has the port of R2,
 * `isAttentive` has it bound its provider's time and see that the caller leaves.
 */
export function writeLeast(folder, { upstream, stores, isAttentive, state = path.join(folder, "state") }) {
  for (const one of [folder, state]) fs.mkdirSync(one, { recursive: true });
  fs.copyFileSync(path.join(here, "least/worker.js"), path.join(folder, "worker.js"));
  const config = surround(
    [external("r2", stores.r2), `(name = "state", disk = (path = ${text(state)}, writable = true))`],
    `modules = [(name = "worker.js", esModule = embed "worker.js")],
  durableObjectNamespaces = [(className = "Ledger", uniqueKey = "ledger", enableSql = true)],
  durableObjectStorage = (localDisk = "state"),
  bindings = [
    (name = "LEDGER", durableObjectNamespace = "Ledger"),
    (name = "RECORDS", r2Bucket = "r2"),
    (name = "ATTENTIVE", text = ${text(isAttentive ? "yes" : "")}),
    (name = "UPSTREAM", text = ${text(upstream)})
  ]`,
  );
  return write(folder, config);
}

/**
 * Writes the gateway's configuration into a new folder and returns its path.
 *
 * `stores` are the ports of KV and R2; `state` is where the objects are kept, in the same folder unless it is given;
 * `entry` is what stands before the worker: `counting` counts, `switch` turns receipts off; `receiptKey` signs receipts;
 * `v8Flags` go to the JavaScript engine.
 */
export function writeGateway(folder, options) {
  const { upstream, stores, state = path.join(folder, "state"), entry: before, receiptKey = "", v8Flags } = options;
  for (const one of [folder, state]) fs.mkdirSync(one, { recursive: true });
  const names = copyWorker(folder, upstream);
  const entry = before === undefined ? ENTRY : putBefore(folder, names, before);
  const ordered = [entry, ...names.filter((name) => name !== entry)];
  const modules = ordered.map((name) =>
    name.endsWith(".wasm")
      ? `(name = ${text(name)}, wasm = embed ${text(name)})`
      : `(name = ${text(name)}, esModule = embed ${text(name)})`,
  );
  const config = surround(
    [
      external("kv", stores.kv),
      external("r2", stores.r2),
      `(name = "state", disk = (path = ${text(state)}, writable = true))`,
    ],
    `modules = [
    ${modules.join(",\n    ")}
  ],
  durableObjectNamespaces = [
    (className = "Ledger", uniqueKey = "ledger", enableSql = true),
    (className = "Health", uniqueKey = "health", enableSql = true),
    (className = "Egress", uniqueKey = "egress", enableSql = true),
    (className = "Registry", uniqueKey = "registry", enableSql = true)
  ],
  durableObjectStorage = (localDisk = "state"),
  bindings = [
    (name = "LEDGER", durableObjectNamespace = "Ledger"),
    (name = "HEALTH", durableObjectNamespace = "Health"),
    (name = "EGRESS", durableObjectNamespace = "Egress"),
    (name = "REGISTRY", durableObjectNamespace = "Registry"),
    (name = "KEYS", kvNamespace = "kv"),
    (name = "RECORDS", r2Bucket = "r2"),
    (name = "SHIP_INTERVAL_MS", text = ${text(SHIP_INTERVAL_MS)}),
    (name = "SLUICE_ADMIN_TOKEN", text = ${text(ADMIN_TOKEN)}),
    (name = "SLUICE_RECEIPT_KEY", text = ${text(receiptKey)}),
    (name = ${text(PROVIDER_KEY)}, text = "sk-bench")
  ]`,
    v8Flags,
  );
  return write(folder, config);
}

function write(folder, config) {
  const file = path.join(folder, "config.capnp");
  fs.writeFileSync(file, config);
  return file;
}

/** Copies the built worker, with the bench's configuration in the place of the one that was built in. */
function copyWorker(folder, upstream) {
  const isBuilt = fs.existsSync(path.join(BUILD, ENTRY));
  if (!isBuilt) throw new Error("there is no worker in build/: run `cargo xtask build --release` first");
  const names = fs.readdirSync(BUILD).filter((name) => /\.(js|wasm)$/.test(name));
  for (const name of names) fs.copyFileSync(path.join(BUILD, name), path.join(folder, name));
  const config = JSON.stringify(JSON.stringify(document(upstream)));
  fs.writeFileSync(path.join(folder, "config.js"), `export default ${config};\n`);
  return names;
}

/** Puts an entry before the worker's own, with what comes with it, and returns its name. */
function putBefore(folder, names, before) {
  const own = fs.readdirSync(path.join(here, before));
  for (const name of own) {
    // What it stands in the place of, it calls by another name.
    if (names.includes(name)) {
      const real = name.replace(/\.js$/, "_real.js");
      fs.renameSync(path.join(folder, name), path.join(folder, real));
      names.push(real);
    } else names.push(name);
    fs.copyFileSync(path.join(here, before, name), path.join(folder, name));
  }
  return "entry.js";
}
