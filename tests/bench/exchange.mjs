// What is asked and what is answered: known to the mock upstream, which answers it, and to the load, which checks it.

/** The text of a whole answer; the document around it is about 1 KB. */
export const TEXT =
  "A gateway stands between those who ask and those who answer, and it is measured by what it adds. ".repeat(8);

const COMMON = { id: "chatcmpl-bench", created: 1_760_000_000, model: "bench-1" };
const USAGE = { prompt_tokens: 24, completion_tokens: 160, total_tokens: 184 };

/** The whole answer. */
export const WHOLE = Buffer.from(
  JSON.stringify({
    ...COMMON,
    object: "chat.completion",
    choices: [
      { index: 0, message: { role: "assistant", content: TEXT }, logprobs: null, finish_reason: "stop" },
    ],
    usage: USAGE,
  }),
);

const chunk = (choices, usage) =>
  `data: ${JSON.stringify({ ...COMMON, object: "chat.completion.chunk", choices, usage })}\n\n`;
const delta = (content, finish = null) => [{ index: 0, delta: content, finish_reason: finish }];

/** A streamed answer of so many chunks, as events; the end mark is one more. */
export function events(chunks) {
  // Role, end and usage are chunks too.
  const words = Array.from({ length: chunks - 3 }, (_, i) =>
    chunk(delta({ content: word(i) }), null),
  );
  const all = [
    chunk(delta({ role: "assistant", content: "" }), null),
    ...words,
    chunk(delta({}, "stop"), null),
    chunk([], USAGE),
    "data: [DONE]\n\n",
  ];
  return all.map((event) => Buffer.from(event));
}

const word = (i) => `word ${i} `;

/** The text that the chunks of such an answer add up to. */
const streamedText = (chunks) => Array.from({ length: chunks - 3 }, (_, i) => word(i)).join("");

/** The kinds of exchange: what each is called, how it is asked for, what it must bring. */
export const KINDS = {
  chat: { title: "chat 1 KB", model: "whole", chunks: 0, paceMs: 0 },
  burst: { title: "100 chunks at once", model: "burst", chunks: 100, paceMs: 0 },
  paced: { title: "50 chunks, 10 ms apart", model: "paced", chunks: 50, paceMs: 10 },
};

/** The request's body for a kind, under the name that this side knows the model by. */
export function requestBody(kind, modelPrefix) {
  const { model, chunks } = KINDS[kind];
  return JSON.stringify({
    model: modelPrefix + model,
    messages: [
      { role: "system", content: "You measure gateways. Answer at length." },
      { role: "user", content: "What does a gateway add to a request? ".repeat(3) },
    ],
    max_tokens: 256,
    ...(chunks > 0 ? { stream: true, stream_options: { include_usage: true } } : {}),
  });
}

/** Fails unless the answer is the right one. `thorough` looks at each chunk's text too. */
export function checkAnswer(kind, { status, body }, thorough) {
  const text = body.toString("utf8");
  const refuse = (why) => {
    throw new Error(`${KINDS[kind].title}: ${why}: ${status} … ${text.slice(-500)}`);
  };
  if (status !== 200) refuse("the status is not 200");
  const { chunks } = KINDS[kind];
  if (chunks === 0) {
    if (JSON.parse(text).choices[0].message.content !== TEXT) refuse("the text is not the mock's");
    return;
  }
  if (!text.includes("data: [DONE]\n\n")) refuse("the stream has no end");
  const count = text.split("data: ").length - 1;
  if (count !== chunks + 1) refuse(`there are ${count - 1} chunks instead of ${chunks}`);
  if (thorough && contents(text) !== streamedText(chunks)) refuse("the text is not the mock's");
}

function contents(text) {
  return text
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? "")
    .join("");
}
