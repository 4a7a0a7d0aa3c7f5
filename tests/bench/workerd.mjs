// Starts bare workerd processes, one for the gateway and one for the floor, and reads how much CPU each has used.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const COMPATIBILITY_DATE = '2026-04-26';
/** The kernel's clock ticks in a second, as /proc counts them. */
const TICKS_PER_SECOND = 100;
const require = createRequire(import.meta.url);

const quoted = text => JSON.stringify(text);
const service = (name, port) => `(name = "${name}", external = (address = "127.0.0.1:${port}", http = ()))`;

/** The floor: a worker that passes requests on with the provider's key, and nothing else. */
export const floor = upstreamPort => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["private", "public"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "${COMPATIBILITY_DATE}",
  modules = [(name = "main.js", esModule = ${quoted(`export default { fetch(request) {
    const { pathname } = new URL(request.url);
    const headers = { 'content-type': 'application/json', authorization: 'Bearer provider-key' };
    return fetch('http://127.0.0.1:${upstreamPort}' + pathname, { method: request.method, headers, body: request.body });
  } };`)})],
);
`;

/** The gateway: the built worker with the configuration of the benchmark. */
export function gateway({ build, document, upstreamPort, adminToken, state }) {
  const names = fs.readdirSync(build).filter(name => /\.(js|wasm)$/.test(name));
  const module = name => {
    if (name === 'config.js') return `(name = "config.js", esModule = ${quoted(`export default ${quoted(JSON.stringify(document))};`)})`;
    return `(name = "${name}", ${name.endsWith('.wasm') ? 'wasm' : 'esModule'} = embed ${quoted(path.relative(state, path.join(build, name)))})`;
  };
  const modules = ['shim.js', ...names.filter(name => name !== 'shim.js')].map(module);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "internet", network = (allow = ["private", "public"])),
    ${service('kv', upstreamPort)}, ${service('r2', upstreamPort)}, (name = "disk", disk = (path = "${state}/objects", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "${COMPATIBILITY_DATE}",
  compatibilityFlags = ["enable_request_signal"],
  modules = [${modules.join(', ')}],
  bindings = [
    (name = "LEDGER", durableObjectNamespace = "Ledger"), (name = "REGISTRY", durableObjectNamespace = "Registry"),
    (name = "KEYS", kvNamespace = "kv"), (name = "RECORDS", r2Bucket = "r2"),
    (name = "BENCH_PROVIDER_KEY", text = "provider-key"), (name = "SLUICE_ADMIN_TOKEN", text = "${adminToken}"),
  ],
  durableObjectNamespaces = [(className = "Ledger", uniqueKey = "ledger", enableSql = true), (className = "Registry", uniqueKey = "registry", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
);
`;
}

/** Starts workerd with a configuration: { url, cpuMs(), startMs, stop() }. */
export async function start(name, text, state) {
  fs.mkdirSync(path.join(state, 'objects'), { recursive: true });
  const file = path.join(state, `${name}.capnp`);
  fs.writeFileSync(file, text);
  const binary = path.join(path.dirname(require.resolve('@cloudflare/workerd-linux-64/package.json')), 'bin', 'workerd');
  const started = performance.now();
  const child = spawn(binary, ['serve', file, '--control-fd=3', '--experimental'], { stdio: ['ignore', 'ignore', process.env.SLUICE_BENCH_LOG ? 'inherit' : 'ignore', 'pipe'] });
  const exited = once(child, 'exit').then(() => { throw new Error(`workerd did not start with ${file} (SLUICE_BENCH_LOG=1 shows why)`); });
  exited.catch(() => {});
  const [data] = await Promise.race([once(child.stdio[3], 'data'), exited]);
  const { port } = JSON.parse(String(data).split('\n')[0]);
  return {
    url: `http://127.0.0.1:${port}`, startMs: performance.now() - started,
    cpuMs: () => {
      const fields = fs.readFileSync(`/proc/${child.pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
      return (Number(fields[11]) + Number(fields[12])) * (1_000 / TICKS_PER_SECOND);
    },
    stop: () => child.kill('SIGKILL'),
  };
}
