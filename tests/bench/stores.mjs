// KV and R2 on local disk, as far as the gateway uses them: bare workerd has the bindings but no service behind them.
//
// Speaks the two HTTP protocols that workerd's bindings speak: KV's get and put; R2's head and create-only put, whose
// metadata come before the payload. Anything else is refused, so that a gateway that starts to use more is noticed.
// Prints its ports. Ends when its standard input does.
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import http from "node:http";
import path from "node:path";

const folder = process.argv[2];
/** R2's own numbers for its errors. */
const NO_SUCH_OBJECT = 10007;
const PRECONDITION_FAILED = 10031;

/** The file of a name; names may hold anything. */
const fileOf = (store, name) => path.join(folder, store, Buffer.from(name).toString("base64url"));

async function readIfThere(file) {
  try {
    return await fs.readFile(file);
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function bodyOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

function answer(response, status, body = "", headers = {}) {
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
  response.end(body);
}

async function kv(request, response) {
  const file = fileOf("kv", decodeURIComponent(new URL(request.url, "http://kv").pathname.slice(1)));
  const body = await bodyOf(request);
  if (request.method === "PUT") {
    await fs.writeFile(file, body);
    return answer(response, 200);
  }
  if (request.method !== "GET") return answer(response, 501);
  const found = await readIfThere(file);
  return found === undefined ? answer(response, 404) : answer(response, 200, found);
}

function refuse(response, status, v4code, message) {
  const error = JSON.stringify({ version: 1, v4code, message });
  answer(response, status, "", { "cf-r2-error": error });
}

const describe = (response, metadata) =>
  answer(response, 200, metadata, { "cf-r2-metadata-size": Buffer.byteLength(metadata) });

async function r2(request, response) {
  const body = await bodyOf(request);
  const size = Number(request.headers["cf-r2-metadata-size"] ?? 0);
  const asked = JSON.parse(request.headers["cf-r2-request"] ?? body.subarray(0, size).toString());
  const file = fileOf("r2", asked.object);
  const known = await readIfThere(`${file}.json`);
  if (asked.method === "head") {
    if (known === undefined) return refuse(response, 404, NO_SUCH_OBJECT, "no such object");
    return describe(response, known);
  }
  if (asked.method !== "put" || asked.onlyIf === undefined) return answer(response, 501);
  if (known !== undefined) return refuse(response, 412, PRECONDITION_FAILED, "it is there already");
  const payload = body.subarray(size);
  const etag = createHash("md5").update(payload).digest("hex");
  const metadata = JSON.stringify({
    name: asked.object,
    version: etag,
    size: payload.length,
    etag,
    uploaded: Date.now(),
    httpFields: asked.httpFields ?? {},
    customFields: asked.customFields ?? [],
    checksums: { 0: etag },
  });
  await fs.writeFile(file, payload);
  await fs.writeFile(`${file}.json`, metadata);
  return describe(response, metadata);
}

async function serve(store, handle) {
  await fs.mkdir(path.join(folder, store), { recursive: true });
  const server = http.createServer((request, response) => {
    handle(request, response).catch((error) => {
      console.error(`${store}: ${error.message}`);
      response.destroy();
    });
  });
  server.keepAliveTimeout = 600_000;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

console.log(JSON.stringify({ kv: await serve("kv", kv), r2: await serve("r2", r2) }));
process.stdin.on("end", () => process.exit(0)).resume();
