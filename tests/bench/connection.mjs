// One keep-alive connection that asks one thing at a time: as little HTTP/1.1 as two known servers need.
import net from "node:net";

/** How long an answer may take before the run fails. */
const ANSWER_MS_MAX = 15_000;
const HEAD_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);

/** A request as the bytes that go over the wire. */
export function requestBytes({ method = "POST", path, key, body = "", headers = {} }) {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    "host: 127.0.0.1",
    `authorization: Bearer ${key}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

export class Connection {
  #socket;
  /** The answer that is under way. */
  #answer;

  /** Resolves when connected. */
  static open(port) {
    return new Promise((resolve, reject) => {
      const connection = new Connection();
      const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        socket.on("error", (error) => connection.#fail(error));
        socket.on("close", () => connection.#fail(new Error("the connection was closed")));
        socket.on("data", (bytes) => connection.#take(bytes));
        socket.setTimeout(ANSWER_MS_MAX, () => connection.#idle());
        resolve(connection);
      });
      connection.#socket = socket;
    });
  }

  /** Asks, and resolves with the answer: { status, body, firstMs, totalMs }, first being the body's first byte. */
  ask(bytes) {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error("the connection was closed"));
      this.#answer = new Answer(resolve, reject);
      this.#socket.write(bytes);
    });
  }

  close() {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #take(bytes) {
    try {
      if (this.#answer === undefined) throw new Error("bytes came that nobody asked for");
      if (this.#answer.push(bytes)) this.#answer = undefined;
    } catch (error) {
      this.#fail(error);
    }
  }

  #idle() {
    if (this.#answer !== undefined) this.#fail(new Error(`no answer within ${ANSWER_MS_MAX} ms`));
  }

  #fail(error) {
    this.#answer?.reject(error);
    this.#answer = undefined;
    this.#socket.destroy();
  }
}

/** One answer while it arrives. */
class Answer {
  #resolve;
  #askedAt = performance.now();
  #firstAt;
  #rest = EMPTY;
  #pieces = [];
  #status;
  /** The status line and the headers, in small letters. */
  #lines;
  /** Bytes of the body, or of the current chunk, that have not come yet. */
  #wanted;
  #isChunked = false;

  constructor(resolve, reject) {
    this.#resolve = resolve;
    this.reject = reject;
  }

  /** Takes the next bytes; true when the answer is complete. */
  push(bytes) {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    if (this.#status === undefined && !this.#head()) return false;
    if (this.#firstAt === undefined && this.#rest.length > 0) this.#firstAt = performance.now();
    return this.#isChunked ? this.#chunks() : this.#whole();
  }

  #head() {
    const end = this.#rest.indexOf(HEAD_END);
    if (end < 0) return false;
    const head = this.#rest.subarray(0, end).toString("latin1").toLowerCase();
    this.#rest = this.#rest.subarray(end + HEAD_END.length);
    this.#lines = head;
    this.#status = Number(head.slice(9, 12));
    this.#isChunked = /\r\ntransfer-encoding: *chunked/.test(head);
    this.#wanted = Number(/\r\ncontent-length: *(\d+)/.exec(head)?.[1] ?? 0);
    return true;
  }

  #whole() {
    if (this.#rest.length < this.#wanted) return false;
    this.#pieces.push(this.#rest);
    return this.#end();
  }

  #chunks() {
    for (;;) {
      const end = this.#rest.indexOf("\r\n");
      if (end < 0) return false;
      const size = Number.parseInt(this.#rest.subarray(0, end).toString("latin1"), 16);
      if (!Number.isInteger(size)) throw new Error("a chunk without a size came");
      // The size's line, the chunk, and the end of line behind it.
      const after = end + 2 + size + 2;
      if (this.#rest.length < after) return false;
      this.#pieces.push(this.#rest.subarray(end + 2, end + 2 + size));
      this.#rest = this.#rest.subarray(after);
      if (size === 0) return this.#end();
    }
  }

  #end() {
    const totalMs = performance.now() - this.#askedAt;
    const firstMs = (this.#firstAt ?? performance.now()) - this.#askedAt;
    this.#resolve({ status: this.#status, head: this.#lines, body: Buffer.concat(this.#pieces), firstMs, totalMs });
    return true;
  }
}
