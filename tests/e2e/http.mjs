// A plain HTTP client for the tests: it sends exactly what it is told, broken or not, and reads answers as bytes.

import http from 'node:http';

const usual = new http.Agent({ keepAlive: true, maxSockets: 256 });
/** No answer takes longer. */
export const ANSWER_MS_MAX = 60_000;

/**
 * Sends a request; resolves once the headers are there.
 * The answer: { status, headers, text(), read() → { bytes, text, cut }, chunks (async iterable of Buffer), abort(), sentMs }.
 */
export function send(url, { method = 'GET', headers = {}, body, agent = usual } = {}) {
  const sentMs = Date.now();
  return new Promise((resolve, reject) => {
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const request = http.request(url, { method, agent, headers: { ...(bytes ? { 'content-length': bytes.length } : {}), ...headers } });
    request.setTimeout(ANSWER_MS_MAX, () => request.destroy(new Error(`no answer within ${ANSWER_MS_MAX} ms`)));
    let answered = false;
    request.on('error', error => (answered ? undefined : reject(error)));
    request.on('response', response => {
      answered = true;
      resolve({
        status: response.statusCode, headers: response.headers, chunks: response, sentMs,
        text: async () => (await readAll(response)).text,
        read: () => readAll(response),
        abort: () => request.destroy(),
      });
    });
    request.end(bytes);
  });
}

/** All that came, and whether it was cut off. */
async function readAll(response) {
  const pieces = [];
  let cut = false;
  try {
    for await (const piece of response) pieces.push(piece);
  } catch {
    cut = true;
  }
  const bytes = Buffer.concat(pieces);
  return { bytes, text: bytes.toString('utf8'), cut };
}

/**
 * Starts a request that is given up. `leave()` closes its connection as a client does; workerd hears of that when it next writes.
 * `reset()` tears it down, which it hears of at once: what a network edge in front of it does, too.
 */
export function sendAndLeave(url, { method = 'POST', headers = {}, body }) {
  const request = http.request(url, { method, headers: { 'content-length': Buffer.byteLength(body), ...headers } });
  const ended = new Promise(resolve => {
    request.once('error', resolve);
    request.once('close', resolve);
  });
  const answered = new Promise(resolve => request.once('response', resolve));
  request.end(body);
  return { answered, ended, leave: () => request.destroy(), reset: () => request.socket.resetAndDestroy() };
}

/** Sends JSON, reads JSON. */
export async function json(url, { method = 'GET', headers = {}, body } = {}) {
  const answer = await send(url, { method, headers: { 'content-type': 'application/json', ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  try {
    return { status: answer.status, headers: answer.headers, json: JSON.parse(text) };
  } catch {
    throw new Error(`${method} ${url} answered ${answer.status} with no JSON: ${text.slice(0, 300)}`);
  }
}

/** Asks again until the answer satisfies, or the time is up; answers the last one. */
export async function until(ask, satisfies, waitMs = 10_000, pauseMs = 50) {
  const end = Date.now() + waitMs;
  for (;;) {
    const found = await ask();
    if (satisfies(found) || Date.now() > end) return found;
    await new Promise(resolve => setTimeout(resolve, pauseMs));
  }
}
