// What the gateway's Rust side asks of the platform. Crossings cost, so each of these does a whole step, and what
// comes later is told under a key.
import { tell } from "./index.js";
import { enter, generation } from "./instance.js";
import wasm from "./wasm.js";

const EMPTY = new Uint8Array(0);
/** How much one read of an upstream body brings, at most. */
const PIECE_BYTES_MAX = 65536;
/** How long an upstream body is read at once, at most. */
const WHOLE_BYTES_MAX = 1 << 20;
/** How long an upstream body is awaited together with its head, at most. */
const SHORT_BYTES_MAX = 1 << 16;
/** How long a stream is quiet before it shows a sign of life, at least; at most twice that. */
const PULSE_MILLIS = 400;
/** How much of an unwanted body is read, at most. */
const DRAIN_BYTES_MAX = 32 << 20;

/** A way to tell the instance that is there now, and no later one. */
function teller(key) {
  const born = generation();
  return (isGood, value) => {
    if (born === generation()) enter(() => tell(key, isGood, value));
  };
}

/** Tells what becomes of a promise. */
export function watch(promise, key) {
  const say = teller(key);
  promise.then(
    (value) => say(true, value),
    (error) => say(false, error),
  );
}

/** A request's method, address and headers, one to a line. */
export function head(request) {
  let text = `${request.method}\n${request.url}`;
  for (const [name, value] of request.headers) text += `\n${name}\n${value}`;
  return text;
}

/** A request's body; null when it is larger than is allowed. */
export async function receive(request, bytesMax) {
  const declared = request.headers.get("content-length");
  if (request.body === null) return EMPTY;
  if (declared !== null) {
    // The platform holds the sender to what it declared.
    return Number(declared) > bytesMax ? null : new Uint8Array(await request.arrayBuffer());
  }
  const reader = request.body.getReader();
  const pieces = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > bytesMax) {
      reader.releaseLock();
      return null;
    }
    pieces.push(value);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/**
 * Reads and forgets what is left of a request's body. Most callers only look at the answer when they have sent
 * everything; one who is cut off before never learns why. Bounded, so that nobody sends for ever.
 */
export async function drain(request) {
  if (request.body === null || request.body.locked) return;
  try {
    const reader = request.body.getReader();
    for (let length = 0; length <= DRAIN_BYTES_MAX; ) {
      const { done, value } = await reader.read();
      if (done) return;
      length += value.byteLength;
    }
    await reader.cancel();
  } catch {
    // The caller went away, or the body was read before.
  }
}

/**
 * Tells when the caller has gone away.
 *
 * A workerd that callers reach without Cloudflare before it hears of a caller's end (FIN) only when it next writes;
 * of a reset at once.
 */
export function left(request, key) {
  const { signal } = request;
  const gone = deferred();
  if (signal.aborted) gone.resolve();
  else signal.addEventListener("abort", () => gone.resolve(), { once: true });
  watch(gone.promise, key);
}

/** Names and values, one to a line, as the platform takes headers: an object costs it least, but has each name once. */
function headersOf(lines) {
  const headers = Object.create(null);
  if (lines === "") return headers;
  const cells = lines.split("\n");
  for (let i = 0; i + 1 < cells.length; i += 2) {
    if (cells[i] in headers) return pairs(cells);
    headers[cells[i]] = cells[i + 1];
  }
  return headers;
}

function pairs(cells) {
  const headers = [];
  for (let i = 0; i + 1 < cells.length; i += 2) headers.push([cells[i], cells[i + 1]]);
  return headers;
}

/** Answers the caller. */
export function respond(resolve, status, headers, body) {
  const empty = status === 204 || status === 304;
  resolve(new Response(empty ? null : body, { status, headers: headersOf(headers) }));
}

/** The pieces of a request's body, one after another; undefined at the end. */
export class Upload {
  #reader;

  constructor(request) {
    this.#reader = request.body?.getReader();
  }

  next() {
    if (this.#reader === undefined) return Promise.resolve(undefined);
    return this.#reader.read().then(({ done, value }) => (done ? undefined : value));
  }

  /** Nobody reads on: what is left can be drained. */
  release() {
    this.#reader?.releaseLock();
  }
}

/**
 * A call to a provider, from here or by an object that is where the call is to leave from; the body is bytes or a
 * stream. Tells when the answer's head is there.
 */
export class Call {
  #controller = new AbortController();
  #response;
  #reader;
  #buffer;
  /** The answer's status and headers, one to a line. */
  head;
  /** The answer's body, where it is short. */
  short;

  constructor(method, url, headers, body, way, key) {
    const sent = (way ?? globalThis).fetch(url, {
      method,
      headers: headersOf(headers),
      body: body.byteLength === 0 ? undefined : body,
      redirect: "manual",
      signal: this.#controller.signal,
    });
    watch(this.#answered(sent), key);
  }

  async #answered(sent) {
    const response = await sent;
    let head = `${response.status}`;
    for (const [name, value] of response.headers) head += `\n${name}\n${value}`;
    this.head = head;
    const declared = response.headers.get("content-length");
    const length = declared === null ? Infinity : Number(declared);
    if (response.body === null) this.short = EMPTY;
    else if (length <= SHORT_BYTES_MAX) this.short = new Uint8Array(await response.arrayBuffer());
    else if (length <= WHOLE_BYTES_MAX) this.#response = response;
    else {
      this.#reader = response.body.getReader({ mode: "byob" });
      this.#buffer = new ArrayBuffer(PIECE_BYTES_MAX);
    }
  }

  /**
   * The next piece of a body that is not short, valid until the next call; undefined at the end. In the pieces that
   * the network brought, or at once where it says how long it is.
   */
  next() {
    if (this.#response !== undefined) {
      const whole = this.#response.arrayBuffer();
      this.#response = undefined;
      return whole.then((bytes) => (bytes.byteLength === 0 ? undefined : new Uint8Array(bytes)));
    }
    if (this.#reader === undefined) return Promise.resolve(undefined);
    return this.#reader.read(new Uint8Array(this.#buffer)).then(({ done, value }) => {
      if (value !== undefined) this.#buffer = value.buffer;
      return done ? undefined : value;
    });
  }

  abort() {
    this.#controller.abort();
  }
}

/**
 * The way back to the caller of a stream: bytes go through natively, one write at a time.
 *
 * While nothing is sent, the pulse goes out now and then, which clients skip: only a write shows whether the
 * caller is still there, and what lies between keeps a connection open on which something moves.
 */
export class Pipe {
  #writer;
  #quiet = false;
  #waiting = 0;
  #pulse;
  #timer;

  /** No pulse where it is empty. */
  constructor(pulse) {
    this.#pulse = new TextEncoder().encode(pulse);
    if (pulse !== "") this.#timer = setInterval(() => this.#beat(), PULSE_MILLIS);
    const { readable, writable } = new IdentityTransformStream();
    this.readable = readable;
    this.#writer = writable.getWriter();
    // Whoever writes hears of a failure from the write.
    this.#writer.closed.catch(() => this.#still());
  }

  write(bytes) {
    this.#quiet = false;
    this.#waiting += 1;
    return this.#writer.write(bytes).finally(() => {
      this.#waiting -= 1;
    });
  }

  close() {
    this.#still();
    return this.#writer.close();
  }

  abort() {
    this.#still();
    this.#writer.abort().catch(() => {});
  }

  #beat() {
    if (this.#quiet && this.#waiting === 0) this.write(this.#pulse).catch(() => {});
    this.#quiet = true;
  }

  #still() {
    clearInterval(this.#timer);
  }
}

/** Tells after a while; answers what `clearTimeout` takes. */
export function sleep(milliseconds, key) {
  const say = teller(key);
  return setTimeout(() => say(true), milliseconds);
}

/**
 * A promise that any request may settle; whoever waits for it goes on in its own request's context.
 *
 * Never by `new Promise`: the platform marks a promise with the request that made it, but not where its compiler has
 * optimised that expression, and then whoever waits goes on in the context of whoever settles.
 */
export const deferred = () => Promise.withResolvers();

/** Asks a Durable Object by its name. */
export const ask = (namespace, name, text) => namespace.get(namespace.idFromName(name)).call(text);

export { under } from "./storage.js";

/** Over how many objects the calls from one place are spread. */
const OBJECTS_AT_A_PLACE = 4;

/** An object that calls from a place: under the namespace's jurisdiction, or where the platform is asked to make it. */
export function placed(namespace, place, isWish) {
  const name = `${place}/${Math.floor(Math.random() * OBJECTS_AT_A_PLACE)}`;
  return namespace.get(namespace.idFromName(name), isWish ? { locationHint: place } : undefined);
}

/** Reads from the read copy. */
export const lookUp = (namespace, key) => namespace.get(key);

/** Fills bytes with randomness. */
export const random = (bytes) => crypto.getRandomValues(bytes);

/** The hash of the wasm, as the build has written it down. */
export const codeHash = () => wasm;

/** The signing key that was used last. */
let signer = { x: undefined, key: undefined };

/** Signs with Ed25519. A key is imported once; no request waits for what another has begun. */
export async function sign(d, x, message) {
  if (signer.x !== x) {
    const jwk = { kty: "OKP", crv: "Ed25519", d, x };
    signer = { x, key: await crypto.subtle.importKey("jwk", jwk, "Ed25519", false, ["sign"]) };
  }
  return new Uint8Array(await crypto.subtle.sign("Ed25519", signer.key, message));
}

/** Seals with AES-GCM: the ciphertext and its tag. */
export async function seal(raw, iv, additionalData, text) {
  const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
  return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, key, text));
}

/** Runs work that outlives the answer. */
export const outlive = (context, work) => context.waitUntil(work);
