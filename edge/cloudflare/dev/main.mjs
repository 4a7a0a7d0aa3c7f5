// `cargo xtask dev`, once the worker is built: serves it, with a development key, until it is told to stop.
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { root, secretNames, start } from "./gateway.mjs";

const ADMIN_TOKEN = "SLUICE_ADMIN_TOKEN";
const ID_KEY = "SLUICE_ID_KEY";

/** Ends with one line that says why. */
function fail(line) {
  console.error(`error: ${line}`);
  process.exit(1);
}

/** Writes a file that only its owner may read, at once or not at all. */
function writePrivately(file, text) {
  const draft = `${file}.${process.pid}.tmp`;
  fs.writeFileSync(draft, text, { mode: 0o600 });
  fs.renameSync(draft, file);
}

function readIfThere(file) {
  try {
    return fs.readFileSync(file, "utf8").trim();
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** The admin token: the environment's, or the one of an earlier run, or a new one, shown this once. */
function adminToken(state) {
  const given = process.env[ADMIN_TOKEN];
  if (given) return given;
  const file = path.join(state, "admin-token");
  const stored = readIfThere(file);
  if (stored) return stored;
  const token = `sluice-admin-${randomBytes(32).toString("hex")}`;
  writePrivately(file, `${token}\n`);
  console.log(`\nThe admin token, shown this once and kept in ${file}:\n\n  ${token}`);
  return token;
}

/** What seals the identifiers of files and batches: the environment's, or the one of an earlier run, or a new one. */
function idKey(state) {
  const given = process.env[ID_KEY];
  if (given) return given;
  const file = path.join(state, "id-key");
  const stored = readIfThere(file);
  if (stored) return stored;
  const key = randomBytes(32).toString("hex");
  writePrivately(file, `${key}\n`);
  return key;
}

async function ask(url, token, method, body) {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/** A virtual key that works: the one of an earlier run, or a new one. */
async function developmentKey(url, token, state) {
  const file = path.join(state, "development-key");
  const stored = readIfThere(file);
  if (stored && (await ask(`${url}/v1/models`, stored, "GET")).status === 200) return stored;
  const config = JSON.parse(fs.readFileSync(path.join(root, "build/config.json"), "utf8"));
  const [org] = Object.keys(config.orgs ?? {});
  if (org === undefined) fail("the configuration names no organisation, so no key can be made");
  const made = await ask(`${url}/admin/keys`, token, "POST", { org, name: "development" });
  if (made.status !== 201) {
    fail(`no development key could be made: ${made.body?.error?.message ?? `status ${made.status}`}`);
  }
  writePrivately(file, `${made.body.key}\n`);
  return made.body.key;
}

function secrets(token, key) {
  const bindings = { [ADMIN_TOKEN]: token, [ID_KEY]: key };
  const missing = [];
  for (const name of new Set(secretNames(path.join(root, "build")))) {
    if (process.env[name]) bindings[name] = process.env[name];
    else missing.push(name);
  }
  return { bindings, missing };
}

function summary({ url, key, state, bindings, missing }) {
  const bound = Object.keys(bindings).filter((name) => ![ADMIN_TOKEN, ID_KEY].includes(name));
  const list = (names) => (names.length === 0 ? "none" : names.join(", "));
  console.log(`
Sluice serves at ${url}
  state              ${state}
  provider keys      ${list(bound)}
  not set            ${list(missing)}

Try it:

  curl ${url}/v1/chat/completions \\
    -H "authorization: Bearer ${key}" \\
    -H "content-type: application/json" \\
    -d '{"model": "sandbox/echo", "messages": [{"role": "user", "content": "Hello"}]}'

Ctrl-C stops it.`);
}

const { values } = parseArgs({
  options: {
    host: { type: "string" },
    port: { type: "string" },
    state: { type: "string" },
    "ready-file": { type: "string" },
  },
});
const state = path.resolve(values.state);
fs.mkdirSync(state, { recursive: true, mode: 0o700 });
const token = adminToken(state);
const { bindings, missing } = secrets(token, idKey(state));

let stop = () => process.exit(0);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => stop());

let served;
try {
  served = await start({ host: values.host, port: Number(values.port), state, bindings });
} catch (error) {
  if (error.code === "EADDRINUSE") fail(`port ${values.port} is in use; choose another with --port`);
  fail(`the gateway did not start: ${error.message.split("\n")[0]}`);
}
let stopping = false;
stop = async () => {
  if (stopping) return;
  stopping = true;
  if (values["ready-file"]) fs.rmSync(values["ready-file"], { force: true });
  await served.gateway.dispose();
  process.exit(0);
};

const { url } = served;
try {
  const key = await developmentKey(url, token, state);
  summary({ url, key, state, bindings, missing });
  if (values["ready-file"]) {
    writePrivately(values["ready-file"], `${JSON.stringify({ url, key, admin_token: token })}\n`);
  }
} catch (error) {
  await served.gateway.dispose();
  fail(`the gateway started but did not answer: ${error.message.split("\n")[0]}`);
}
