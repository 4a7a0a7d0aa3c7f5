// The faults that a mock provider can be asked for, by the model's name at the mock. The same list on every wire.
//
//   fault-<status>                     that status with the wire's error envelope: 400 401 403 404 408 413 422 429 500 502 503 504 529
//   fault-429-retry-after-<seconds>    429 that says how long to wait (Retry-After; at Gemini RetryInfo in the body, no header)
//   fault-503-retry-after-<seconds>    503 with Retry-After
//   fault-quota                        429: the account has no credit left (not worth a retry)
//   fault-context-length               400: the prompt is larger than the context window
//   fault-content-policy               400: refused by the safety policy
//   fault-country                      403: this country is not served
//   fault-reset                        the connection is reset before any answer
//   fault-hang                         nothing is ever answered
//   fault-garbage                      200 with the wire's content type and bytes that are not JSON
//   fault-empty                        200 with no body at all
//   fault-html                         502 with an HTML page, as load balancers write them
//   fault-html-200                     200 with an HTML page
//   fault-cut-after-<n>                the connection is reset after n stream events (not streamed: after half of the body)
//   fault-end-after-<n>                the stream ends cleanly after n events, without the wire's end
//   fault-hang-after-<n>               the stream stalls for ever after n events
//   fault-huge-event-<bytes>           one stream event of that size
//   error-event-after-<n>              the wire's own error event after n events, then the end
//   <fault>-then-ok-<id>               the fault on the first call with this id, a normal answer on the later ones
//   <fault>-times-<n>-<id>             the fault on the first n calls with this id, a normal answer on the later ones
//   slow-first-byte-<ms>               a normal answer after that wait
//   slow-chunks-<ms>                   a normal answer with that wait before each stream event
//   split-<n>                          a normal stream written n bytes at a time (cuts events, lines and characters)
//   long-<n>                           a normal answer of n words
//   wide-<n>                           a normal stream with n events of 64 KB each besides
//   no-usage                           a normal answer without usage
//   cached                             a normal answer of which half the input came from the prompt cache
//   thinking                           a normal answer with reasoning, and reasoning tokens
//   refusal                            the model refuses
//   recorded-<n>                       the n-th recorded answer of this provider for this operation (see recordings.mjs)
// Any other name is served normally, except those that contain `unknown`, which the mock does not know (404).

/** What a model's name asks for. `calls` counts calls by `then-ok` id and is kept by the server. */
export function faultOf(model, calls) {
  const some = /^(.*)-(?:then-ok|times-(\d+))-(.+)$/.exec(model);
  if (some) {
    const seen = calls.get(model) ?? 0;
    calls.set(model, seen + 1);
    return seen < Number(some[2] ?? 1) ? faultOf(some[1], calls) : { kind: 'none' };
  }
  for (const [pattern, build] of PATTERNS) {
    const found = pattern.exec(model);
    if (found) return build(found);
  }
  return { kind: 'none' };
}

const PATTERNS = [
  [/^fault-(\d{3})-retry-after-(\d+)$/, found => ({ kind: 'status', status: Number(found[1]), retryAfter: Number(found[2]) })],
  [/^fault-(\d{3})$/, found => ({ kind: 'status', status: Number(found[1]) })],
  [/^fault-quota$/, () => ({ kind: 'status', status: 429, reason: 'quota' })],
  [/^fault-context-length$/, () => ({ kind: 'status', status: 400, reason: 'context-length' })],
  [/^fault-content-policy$/, () => ({ kind: 'status', status: 400, reason: 'content-policy' })],
  [/^fault-country$/, () => ({ kind: 'status', status: 403, reason: 'country' })],
  [/^fault-(reset|hang|garbage|empty)$/, found => ({ kind: found[1] })],
  [/^fault-html(-200)?$/, found => ({ kind: 'html', status: found[1] ? 200 : 502 })],
  [/^fault-(cut|end|hang)-after-(\d+)$/, found => ({ kind: `${found[1]}-after`, after: Number(found[2]) })],
  [/^fault-huge-event-(\d+)$/, found => ({ kind: 'huge-event', bytes: Number(found[1]) })],
  [/^wide-(\d+)$/, found => ({ kind: 'none', wide: Number(found[1]) })],
  [/^error-event-after-(\d+)$/, found => ({ kind: 'error-event', after: Number(found[1]) })],
  [/^slow-first-byte-(\d+)$/, found => ({ kind: 'none', firstByteMs: Number(found[1]) })],
  [/^slow-chunks-(\d+)$/, found => ({ kind: 'none', chunkMs: Number(found[1]) })],
  [/^split-(\d+)$/, found => ({ kind: 'none', splitBytes: Number(found[1]) })],
  [/^recorded-(\d+)$/, found => ({ kind: 'recorded', index: Number(found[1]) })],
];
