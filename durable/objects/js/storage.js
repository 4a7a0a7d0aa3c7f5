// What the objects' Rust side asks of the platform. One call into here for each step: crossings cost.

/**
 * The rows that a statement yields, flat: a, b, a, b, …; none after those whose second cells are so long together,
 * in characters, of which there are never more than bytes.
 */
export function select(storage, statement, parameters, bytesMax) {
  const cells = [];
  let length = 0;
  for (const row of storage.sql.exec(statement, ...parameters).raw()) {
    cells.push(...row);
    length += row[1]?.length ?? 0;
    if (length >= bytesMax) break;
  }
  return cells;
}

/** Carries out statements, all or none; `counts` says how many of the parameters belong to each. */
export function write(storage, statements, counts, parameters) {
  if (statements.length === 1) {
    storage.sql.exec(statements[0], ...parameters);
    return;
  }
  storage.transactionSync(() => {
    let at = 0;
    statements.forEach((statement, i) => {
      storage.sql.exec(statement, ...parameters.slice(at, at + counts[i]));
      at += counts[i];
    });
  });
}

/** Wakes the object at this moment. Committed together with the writes around it. */
export function wake(storage, at) {
  return storage.setAlarm(at);
}

/**
 * Stores a text, compressed, unless there is something under that name already.
 * Answers the hash that was stored with what is there now.
 */
export async function create(bucket, name, text, hash) {
  const stored = await bucket.put(name, await pack(text), {
    onlyIf: { etagDoesNotMatch: "*" },
    customMetadata: { sha256: hash },
    httpMetadata: { contentType: "application/gzip" },
  });
  const there = stored ?? (await bucket.head(name));
  return there?.customMetadata?.sha256 ?? "";
}

/** How long a bucket may take for one answer. */
const BUCKET_MILLIS_MAX = 60_000;
/** How much of a refusal is kept, for the log. */
const REFUSAL_CHARS_MAX = 500;

/** Compresses a text. */
export async function pack(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Sends a signed request to a bucket that speaks S3: the status, the hash of what is there, and a refusal's words. */
export async function send(method, url, lines, body) {
  const cells = lines.split("\n");
  const headers = [];
  for (let i = 0; i + 1 < cells.length; i += 2) headers.push([cells[i], cells[i + 1]]);
  const signal = AbortSignal.timeout(BUCKET_MILLIS_MAX);
  const answer = await fetch(url, { method, headers, body, redirect: "manual", signal });
  const text = await answer.text();
  const hash = answer.headers.get("x-amz-meta-sha256") ?? undefined;
  return [answer.status, hash, answer.ok ? undefined : text.slice(0, REFUSAL_CHARS_MAX)];
}

/** Asks a bucket that speaks S3 for anything at all; rejected when it does not answer well. */
export async function reach(method, url, lines) {
  const [status, , refusal] = await send(method, url, lines);
  if (refusal !== undefined) throw new Error(`the bucket answered ${status}`);
}

/** Asks a bucket that is bound for anything at all. */
export const probe = (bucket) => bucket.head("probe");

/** How long a receiver may take. */
const NOTIFY_MS = 10_000;
const utf8 = new TextEncoder();

/** Tells a receiver of an event, signed where there is a secret; answers whether it has taken it. */
export async function notify(url, secret, id, text) {
  const headers = { "content-type": "application/json", "x-sluice-event-id": id };
  if (secret !== undefined) {
    const at = Math.floor(Date.now() / 1000);
    const key = await crypto.subtle.importKey("raw", utf8.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8.encode(`${at}.${text}`)));
    headers["x-sluice-signature"] = `t=${at},v1=${[...mac].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
  const answer = await fetch(url, { method: "POST", headers, body: text, redirect: "manual", signal: AbortSignal.timeout(NOTIFY_MS) });
  await answer.body?.cancel();
  return answer.ok;
}

/** Writes a read copy. */
export const copy = (namespace, key, value) => namespace.put(key, value);

/**
 * The part of a namespace that stays under a jurisdiction. Where the platform has none by that name it throws, unless
 * whoever runs it has said that its machines are in the right place.
 */
export function under(namespace, jurisdiction, isOwnMachine) {
  try {
    return namespace.jurisdiction(jurisdiction);
  } catch (error) {
    if (isOwnMachine) return namespace;
    throw error;
  }
}
