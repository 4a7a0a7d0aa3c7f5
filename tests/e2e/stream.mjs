// Reads a Chat Completions stream as strictly as a client may, and puts the answer together.

/** Splits a whole `text/event-stream` text into events: { event?, data, comment? }. */
export function events(text) {
  const found = [];
  for (const block of text.split(/\r\n\r\n|\n\n|\r\r/)) {
    const lines = block.split(/\r\n|\n|\r/).filter(line => line !== '');
    if (lines.length === 0) continue;
    const field = name => lines.filter(line => line.startsWith(`${name}:`)).map(line => line.slice(name.length + 1).replace(/^ /, ''));
    found.push({ event: field('event')[0], data: field('data').join('\n'), comment: lines.filter(line => line.startsWith(':')).join('\n') || undefined });
  }
  return found;
}

/**
 * The stream as one answer: { chunks, done, error, json: { id, model, choices, usage }, flaws }.
 * `flaws` lists what no OpenAI client would accept.
 */
export function assemble(text) {
  const flaws = [];
  const all = events(text);
  if (text !== '' && !/(\r\n\r\n|\n\n|\r\r)$/.test(text)) flaws.push('the last event is not finished');
  const state = { chunks: [], done: false, error: undefined, choices: new Map(), usage: undefined, flaws };
  for (const { data } of all.filter(one => one.data !== '')) takeEvent(state, data);
  const choices = [...state.choices.entries()].sort(([a], [b]) => a - b).map(([index, choice]) => finished(index, choice));
  const { id, model, created } = state.chunks[0] ?? {};
  return { chunks: state.chunks, done: state.done, error: state.error, flaws, comments: all.map(one => one.comment).filter(Boolean), json: { id, model, created, object: 'chat.completion', choices, usage: state.usage } };
}

function takeEvent(state, data) {
  const { flaws } = state;
  if (state.done) return flaws.push('something follows [DONE]');
  if (data === '[DONE]') return (state.done = true);
  let chunk;
  try {
    chunk = JSON.parse(data);
  } catch {
    return flaws.push(`an event is not JSON: ${data.slice(0, 100)}`);
  }
  if (chunk.error !== undefined) return (state.error = chunk.error);
  if (state.error !== undefined) flaws.push('a chunk follows the error');
  state.chunks.push(chunk);
  const [first] = state.chunks;
  for (const name of ['id', 'model', 'created']) if (chunk[name] !== first[name]) flaws.push(`${name} changes within the stream`);
  if (chunk.usage) state.usage = chunk.usage;
  for (const choice of chunk.choices ?? []) takeChoice(state, choice);
  return undefined;
}

function takeChoice({ choices, flaws }, { index, delta, finish_reason: finish }) {
  const known = choices.has(index);
  if (!known) choices.set(index, { role: undefined, content: null, refusal: null, calls: [], finish: null });
  const choice = choices.get(index);
  if (choice.finish !== null) flaws.push(`a delta follows the finish of choice ${index}`);
  if (!known && delta.role !== 'assistant') flaws.push(`the first delta of choice ${index} has no role`);
  if (delta.role) choice.role = delta.role;
  if (typeof delta.content === 'string') choice.content = (choice.content ?? '') + delta.content;
  if (typeof delta.refusal === 'string') choice.refusal = (choice.refusal ?? '') + delta.refusal;
  for (const call of delta.tool_calls ?? []) takeCall(choice, call, flaws);
  if (finish) choice.finish = finish;
}

function takeCall(choice, call, flaws) {
  const open = choice.calls[call.index];
  if (!open) {
    if (call.index !== choice.calls.length) flaws.push(`tool call ${call.index} begins out of order`);
    if (!call.id || !call.function?.name) flaws.push(`tool call ${call.index} begins without id or name`);
    choice.calls[call.index] = { id: call.id, type: call.type, function: { name: call.function?.name, arguments: call.function?.arguments ?? '' }, extra_content: call.extra_content };
    return;
  }
  if (call.id !== undefined && call.id !== open.id) flaws.push(`tool call ${call.index} changes its id`);
  open.function.arguments += call.function?.arguments ?? '';
}

function finished(index, choice) {
  const message = { role: choice.role, content: choice.content === '' && choice.calls.length > 0 ? null : choice.content, refusal: choice.refusal };
  if (choice.calls.length > 0) message.tool_calls = choice.calls.map(call => JSON.parse(JSON.stringify(call)));
  return { index, message, finish_reason: choice.finish };
}
