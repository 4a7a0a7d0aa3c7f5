// Anthropic's wire: Messages and Models. What the real API refuses is refused here, in its words.
// Follows https://docs.anthropic.com/en/api/messages and its errors page.

import { createHmac } from 'node:crypto';

import { any, array, boolean, check, choice, integer, map, nullable, number, object, string, stringOr, tagged } from './shape.mjs';
import { decide, digest, piecesOf } from './answer.mjs';

/** The versions that the official clients send. */
const VERSIONS = ['2023-06-01', '2026-10-21'];
const STOP = { stop: 'end_turn', length: 'max_tokens', tool: 'tool_use', refusal: 'refusal' };
const TOOL_NAME = /^[a-zA-Z0-9_-]{1,128}$/;
const TOOL_ID = string({ pattern: /^[a-zA-Z0-9_-]+$/ });
/** The smallest thinking budget. */
const THINKING_TOKENS_MIN = 1024;
/** Families that take temperature or top_p, not both. */
const ONE_SAMPLER = /^claude-(opus-4-[1-9]|sonnet-4-[5-9]|haiku-4-[5-9]|\w+-5)/;

const cache = nullable(object({ 'type!': choice('ephemeral'), ttl: choice('5m', '1h') }));
const text = object({ 'type!': any, 'text!': string({ min: 1 }), cache_control: cache, citations: nullable(array(any)) });
const source = tagged('type', {
  base64: object({ 'type!': any, 'media_type!': choice('image/jpeg', 'image/png', 'image/gif', 'image/webp'), 'data!': string({ min: 1, pattern: /^[A-Za-z0-9+/]+=*$/ }) }),
  url: object({ 'type!': any, 'url!': string({ pattern: /^https:\/\// }) }),
  file: object({ 'type!': any, 'file_id!': string() }),
});
const image = object({ 'type!': any, 'source!': source, cache_control: cache });
const document = object({ 'type!': any, 'source!': map(any), title: nullable(string()), context: nullable(string()), citations: nullable(object({ enabled: boolean })), cache_control: cache });
const toolResult = object({
  'type!': any, 'tool_use_id!': TOOL_ID, is_error: boolean, cache_control: cache,
  content: stringOr(array(tagged('type', { text, image, document, search_result: map(any) }))),
});
const USER = { text, image, document, tool_result: toolResult, search_result: map(any) };
const ASSISTANT = {
  text,
  tool_use: object({ 'type!': any, 'id!': TOOL_ID, 'name!': string({ pattern: TOOL_NAME }), 'input!': map(any), cache_control: cache, caller: any }),
  thinking: object({ 'type!': any, 'thinking!': string(), 'signature!': string() }),
  redacted_thinking: object({ 'type!': any, 'data!': string() }),
};
const message = tagged('role', {
  user: object({ 'role!': any, 'content!': stringOr(array(tagged('type', USER))) }),
  assistant: object({ 'role!': any, 'content!': stringOr(array(tagged('type', ASSISTANT))) }),
});
const CHAT = {
  'model!': string({ min: 1 }), 'max_tokens!': integer({ min: 1 }), 'messages!': array(message, { min: 1 }),
  cache_control: cache, container: any, inference_geo: nullable(string()), metadata: object({ user_id: nullable(string({ max: 256 })) }),
  output_config: object({ effort: nullable(choice('low', 'medium', 'high', 'xhigh', 'max')), format: nullable(object({ 'type!': choice('json_schema'), 'schema!': map(any) })) }),
  service_tier: choice('auto', 'standard_only'), stop_sequences: array(string({ min: 1, pattern: /\S/ })), stream: boolean,
  system: stringOr(array(text)), temperature: number({ min: 0, max: 1 }),
  thinking: tagged('type', {
    enabled: object({ 'type!': any, 'budget_tokens!': integer({ min: THINKING_TOKENS_MIN }), display: nullable(choice('summarized', 'omitted')) }),
    disabled: object({ 'type!': any }),
    adaptive: object({ 'type!': any, display: nullable(choice('summarized', 'omitted')) }),
  }),
  tool_choice: tagged('type', {
    auto: object({ 'type!': any, disable_parallel_tool_use: boolean }), any: object({ 'type!': any, disable_parallel_tool_use: boolean }),
    tool: object({ 'type!': any, 'name!': string(), disable_parallel_tool_use: boolean }), none: object({ 'type!': any }),
  }),
  tools: array(object({
    'name!': string({ pattern: TOOL_NAME }), description: string(), 'input_schema!': map(any), cache_control: cache, type: nullable(choice('custom')),
    strict: boolean, eager_input_streaming: nullable(boolean), defer_loading: boolean, input_examples: array(map(any)), allowed_callers: array(string()),
  })),
  top_k: integer({ min: 0 }), top_p: number({ min: 0, max: 1 }),
};
const chat = object(CHAT);

const refuse = messageText => ({ status: 400, message: messageText });
const dotted = path => path.replace(/\[(\d+)\]/g, '.$1');

/** The first fault, as Anthropic words it. */
function worded({ path, kind, want, got }) {
  const at = dotted(path);
  if (kind === 'unknown') return refuse(`${at}: Extra inputs are not permitted`);
  if (kind === 'missing') return refuse(`${at}: Field required`);
  if (kind === 'type') return refuse(`${at}: Input should be a valid ${want.replace(/^an? /, '')}`);
  if (/\.text$/.test(at)) return refuse('messages: text content blocks must be non-empty');
  return refuse(`${at}: Input should be ${want}, not '${got}'`);
}

const blocksOf = content => (typeof content === 'string' ? [{ type: 'text', text: content }] : content);

/** Consecutive turns of one role are one turn to Anthropic. */
function mergedTurns(messages) {
  const turns = [];
  for (const { role, content } of messages) {
    if (turns.at(-1)?.role === role) turns.at(-1).blocks.push(...blocksOf(content));
    else turns.push({ role, blocks: [...blocksOf(content)] });
  }
  return turns;
}

function checkTurns(messages) {
  if (messages[0].role !== 'user') return refuse('messages: first message must use the "user" role');
  for (const [index, { role, content }] of messages.entries()) {
    const last = index === messages.length - 1 && role === 'assistant';
    if (content.length === 0 && !last) return refuse(`messages.${index}: all messages must have non-empty content except for the optional final assistant message`);
    const text = typeof content === 'string' ? content : content.at(-1)?.type === 'text' ? content.at(-1).text : '';
    if (last && /\s$/.test(text)) return refuse('messages: final assistant content cannot end with trailing whitespace');
    if (typeof content === 'string' ? content.trim() === '' && !last : content.some(block => block.type === 'text' && block.text.trim() === '')) {
      return refuse('messages: text content blocks must contain non-whitespace text');
    }
  }
  const turns = mergedTurns(messages);
  const seen = new Set();
  for (const [index, turn] of turns.entries()) {
    const calls = turn.blocks.filter(block => block.type === 'tool_use').map(block => block.id);
    for (const id of calls) {
      if (seen.has(id)) return refuse(`messages.${index}.content: \`tool_use\` ids must be unique`);
      seen.add(id);
    }
    const results = turn.blocks.filter(block => block.type === 'tool_result').map(block => block.tool_use_id);
    const called = turns[index - 1]?.blocks.filter(block => block.type === 'tool_use').map(block => block.id) ?? [];
    const stray = results.find(id => !called.includes(id));
    if (stray) return refuse(`messages.${index}.content.0: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${stray}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`);
    if (new Set(results).size !== results.length) return refuse(`messages.${index}: each tool_use must have a single result.`);
    const missing = turn.role === 'user' ? called.filter(id => !results.includes(id)) : index === turns.length - 1 ? calls : [];
    if (missing.length > 0) return refuse(`messages.${index}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`);
    if (results.length > 0 && turn.blocks.findIndex(block => block.type !== 'tool_result') !== -1 && turn.blocks.findIndex(block => block.type !== 'tool_result') < results.length) {
      return refuse(`messages.${index}: \`tool_result\` blocks must come first in the content of a message`);
    }
    const forged = turn.blocks.find(block => block.type === 'thinking' && block.signature !== signature(block.thinking));
    if (forged) return refuse(`messages.${index}.content.0: Invalid \`signature\` in \`thinking\` block`);
  }
  return null;
}

/** Only Anthropic can sign a thought. */
const signature = thought => createHmac('sha256', 'mock').update(thought).digest('base64');

/** Rules between fields. */
function checkChat(body) {
  const turns = checkTurns(body.messages);
  if (turns) return turns;
  const thinks = body.thinking?.type === 'enabled' || body.thinking?.type === 'adaptive';
  if (body.thinking?.type === 'enabled' && body.thinking.budget_tokens >= body.max_tokens) return refuse('`max_tokens` must be greater than `thinking.budget_tokens`.');
  if (thinks && body.temperature !== undefined && body.temperature !== 1) return refuse('`temperature` may only be set to 1 when thinking is enabled.');
  if (thinks && body.top_k !== undefined) return refuse('`top_k` must be unset when thinking is enabled.');
  if (thinks && ['any', 'tool'].includes(body.tool_choice?.type)) return refuse('Thinking may not be enabled when tool_choice forces tool use.');
  if (ONE_SAMPLER.test(body.model) && body.temperature !== undefined && body.top_p !== undefined) return refuse('`temperature` and `top_p` cannot both be specified for this model. Please use only one.');
  if (body.tool_choice && !(body.tools?.length > 0)) return refuse('tool_choice: may only be specified while providing tools');
  const names = (body.tools ?? []).map(tool => tool.name);
  if (new Set(names).size !== names.length) return refuse('tools: Tool names must be unique.');
  const flawed = (body.tools ?? []).findIndex(tool => tool.input_schema.type !== 'object');
  if (flawed >= 0) return refuse(`tools.${flawed}.custom.input_schema.type: Field required`);
  if (body.tool_choice?.type === 'tool' && !names.includes(body.tool_choice.name)) return refuse(`Tool '${body.tool_choice.name}' not found in provided tools`);
  return null;
}

const resultText = content => blocksOf(content ?? '').map(block => block.text ?? `[${block.type}]`).join('');

function questionOf(body) {
  const turns = mergedTurns(body.messages);
  const last = turns.at(-1);
  const results = last.blocks.filter(block => block.type === 'tool_result').map(block => resultText(block.content));
  const users = turns.filter(turn => turn.role === 'user');
  const spoken = users.map(turn => turn.blocks.filter(block => block.type === 'text').map(block => block.text).join('')).filter(said => said !== '');
  const chosen = body.tool_choice?.type;
  return {
    model: body.model,
    text: spoken.at(-1) ?? '',
    tools: (body.tools ?? []).map(tool => ({ name: tool.name, schema: tool.input_schema })),
    forced: chosen === 'any' ? 'any' : chosen === 'none' ? 'none' : chosen === 'tool' ? body.tool_choice.name : undefined,
    parallel: body.tool_choice?.disable_parallel_tool_use === true ? false : undefined,
    results: results.length > 0 ? results : undefined,
    format: body.output_config?.format ? { schema: body.output_config.format.schema } : undefined,
    outputMax: body.max_tokens,
    inputText: (typeof body.system === 'string' ? body.system : (body.system ?? []).map(block => block.text).join('')) + turns.flatMap(turn => turn.blocks)
      .map(block => block.text ?? (block.type === 'tool_result' ? resultText(block.content) : block.type === 'tool_use' ? JSON.stringify(block.input) : '')).join('\n'),
    images: turns.flatMap(turn => turn.blocks).filter(block => block.type === 'image').length,
  };
}

/** Input excludes what the cache held. */
const usageBody = usage => ({
  input_tokens: usage.input - usage.cached, cache_creation_input_tokens: 0, cache_read_input_tokens: usage.cached,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 }, output_tokens: usage.output, service_tier: 'standard', inference_geo: 'global',
});

function answerOf(body) {
  const question = questionOf(body);
  if (body.thinking?.type === 'enabled' && !/^thinking/.test(question.model)) question.model = `thinking ${question.model}`;
  return decide(question);
}

function blocks(answer, forced) {
  const content = [];
  if (answer.reasoning) content.push({ type: 'thinking', thinking: answer.reasoning, signature: signature(answer.reasoning) });
  if (answer.calls.length > 0) {
    // A forced call comes without a word before it.
    if (!forced) content.push({ type: 'text', text: 'I use a tool.' });
    for (const call of answer.calls) content.push({ type: 'tool_use', id: `toolu_${call.id}`, name: call.name, input: call.arguments });
  } else if (!answer.refusal) content.push({ type: 'text', text: answer.text });
  return content;
}

const isForced = body => ['any', 'tool'].includes(body.tool_choice?.type);

const headOf = (body, answer) => ({ id: `msg_${digest('messages', body).slice(0, 24)}`, type: 'message', role: 'assistant', model: body.model, usage: usageBody(answer.usage) });

function chatBody(body) {
  const answer = answerOf(body);
  const response = { ...headOf(body, answer), content: blocks(answer, isForced(body)), stop_reason: STOP[answer.finish], stop_sequence: null, stop_details: null };
  if (/^no-usage/.test(body.model)) delete response.usage;
  return response;
}

const event = data => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

/** The deltas of one block. */
function deltas(block) {
  if (block.type === 'text') return piecesOf(block.text).map(piece => ({ type: 'text_delta', text: piece }));
  if (block.type === 'thinking') return [...piecesOf(block.thinking).map(piece => ({ type: 'thinking_delta', thinking: piece })), { type: 'signature_delta', signature: block.signature }];
  const json = JSON.stringify(block.input);
  const pieces = json === '{}' ? [''] : ['', ...json.match(/[\s\S]{1,6}/g)];
  return pieces.map(piece => ({ type: 'input_json_delta', partial_json: piece }));
}

const opened = block => (block.type === 'text' ? { type: 'text', text: '' } : block.type === 'thinking' ? { type: 'thinking', thinking: '', signature: '' } : { ...block, input: {} });

function chatEvents(body) {
  const answer = answerOf(body);
  const head = headOf(body, answer);
  const events = [event({ type: 'message_start', message: { ...head, content: [], stop_reason: null, stop_sequence: null, usage: { ...head.usage, output_tokens: 1 } } })];
  blocks(answer, isForced(body)).forEach((block, index) => {
    events.push(event({ type: 'content_block_start', index, content_block: opened(block) }));
    if (index === 0) events.push(event({ type: 'ping' }));
    for (const delta of deltas(block)) events.push(event({ type: 'content_block_delta', index, delta }));
    events.push(event({ type: 'content_block_stop', index }));
  });
  const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens } = head.usage;
  const usage = { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens };
  events.push(event({ type: 'message_delta', delta: { stop_reason: STOP[answer.finish], stop_sequence: null }, usage }));
  return { events, end: event({ type: 'message_stop' }) };
}

const TYPES = {
  400: 'invalid_request_error', 401: 'authentication_error', 402: 'billing_error', 403: 'permission_error', 404: 'not_found_error', 413: 'request_too_large',
  422: 'invalid_request_error', 429: 'rate_limit_error', 500: 'api_error', 504: 'timeout_error', 529: 'overloaded_error',
};
const REASONS = {
  quota: 'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.',
  'context-length': 'prompt is too long: 204800 tokens > 200000 maximum',
  'content-policy': 'Output blocked by content filtering policy',
  country: 'Request not allowed',
};

/** No credit is a 400 here. */
const statusOf = problem => (problem.reason === 'quota' ? 400 : problem.status);

function errorBody(problem) {
  const type = TYPES[statusOf(problem)] ?? (problem.status >= 500 ? 'api_error' : 'invalid_request_error');
  const usual = problem.status === 529 ? 'Overloaded' : `The mock answers ${problem.status}, as it was asked to.`;
  return { type: 'error', error: { type: problem.reason === 'country' ? 'forbidden' : type, message: problem.message ?? REASONS[problem.reason] ?? usual }, request_id: 'req_mock' };
}

const countShape = object(Object.fromEntries(Object.entries(CHAT).filter(([name]) => !/^(max_tokens!|metadata|stop_sequences|stream|temperature|top_k|top_p|inference_geo|container|service_tier)$/.test(name))));
const count = body => ({ input_tokens: answerOf({ ...body, max_tokens: 1 }).usage.input });

export const operations = {
  chat: { shape: chat, schema: 'messages', check: checkChat, streamed: body => body.stream === true, body: chatBody, events: chatEvents },
  count: { shape: countShape, schema: 'count_tokens', check: body => checkTurns(body.messages), body: count },
};

const MODELS = ['claude-sonnet-4-5', 'claude-haiku-4-5'];
const modelBody = id => ({ type: 'model', id, display_name: id, created_at: '2025-09-29T00:00:00Z' });

/** The wire. */
export const anthropic = () => ({
  operations,
  spec: 'anthropic',
  worded,
  errorBody,
  statusOf,
  streamType: 'text/event-stream; charset=utf-8',
  authenticate(headers, key) {
    if (headers['x-api-key'] !== undefined && headers.authorization !== undefined) return { status: 401, message: 'x-api-key and authorization are both present' };
    if (headers['x-api-key'] !== key && headers.authorization !== `Bearer ${key}`) return { status: 401, message: 'invalid x-api-key' };
    if (headers['anthropic-version'] === undefined) return { status: 400, message: 'anthropic-version: header is required' };
    if (!VERSIONS.includes(headers['anthropic-version'])) return { status: 400, message: `anthropic-version: "${headers['anthropic-version']}" is not a valid version` };
    return null;
  },
  route(method, path) {
    if (method === 'POST' && path === '/v1/messages') return { op: 'chat' };
    if (method === 'POST' && path === '/v1/messages/count_tokens') return { op: 'count' };
    if (method === 'GET' && path === '/v1/models') return { op: 'models' };
    if (method === 'GET' && /^\/v1\/models\/./.test(path)) return { op: 'models', id: decodeURIComponent(path.slice('/v1/models/'.length)) };
    return null;
  },
  errorEvent: () => event({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }),
  hugeEvent: bytes => event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x'.repeat(bytes) } }),
  models: ({ id }) => (id === undefined ? { data: MODELS.map(modelBody), has_more: false, first_id: MODELS[0], last_id: MODELS.at(-1) } : modelBody(id)),
  headers: id => ({
    'request-id': `req_${id}`, 'anthropic-organization-id': 'org_mock', 'anthropic-ratelimit-requests-limit': '4000', 'anthropic-ratelimit-requests-remaining': '3999',
    'anthropic-ratelimit-requests-reset': '2026-11-01T00:00:00Z', 'anthropic-ratelimit-tokens-limit': '480000', 'anthropic-ratelimit-tokens-remaining': '480000', 'anthropic-ratelimit-tokens-reset': '2026-11-01T00:00:00Z',
  }),
});
