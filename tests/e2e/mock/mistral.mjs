// Mistral's wire: chat, embeddings, models. What the real API refuses is refused here, in its words.
// Follows https://docs.mistral.ai/api.

import { any, array, boolean, choice, integer, map, nullable, number, object, string, stringOr, tagged } from './shape.mjs';
import { decide, digest, piecesOf, vector } from './answer.mjs';

const CREATED = 1_790_000_000;
const CALL_ID = /^[a-zA-Z0-9]{9}$/;
const FINISH = { stop: 'stop', length: 'length', tool: 'tool_calls', refusal: 'stop' };
const NAME = string({ pattern: /^[a-zA-Z0-9_-]{1,64}$/ });

const textPart = object({ 'type!': any, 'text!': string() });
const image = (value, path, faults) => (typeof value === 'string' ? string({ pattern: /^(https?:\/\/|data:image\/)/ }) : object({ 'url!': string({ pattern: /^(https?:\/\/|data:image\/)/ }), detail: nullable(string()) }))(value, path, faults);
const part = tagged('type', {
  text: textPart, image_url: object({ 'type!': any, 'image_url!': image }), document_url: object({ 'type!': any, 'document_url!': string(), document_name: nullable(string()) }), input_audio: object({ 'type!': any, 'input_audio!': any }),
  reference: object({ 'type!': any, 'reference_ids!': array(any) }), file: object({ 'type!': any, 'file_id!': string() }), thinking: object({ 'type!': any, 'thinking!': array(any), closed: boolean, signature: nullable(string()) }),
});
const content = stringOr(array(part));
const call = object({ id: string(), type: choice('function'), index: integer(), 'function!': object({ 'name!': NAME, 'arguments!': (value, path, faults) => (typeof value === 'string' ? undefined : map(any)(value, path, faults)) }) });
const MESSAGES = {
  system: object({ 'role!': any, 'content!': content }),
  user: object({ 'role!': any, 'content!': nullable(content) }),
  assistant: object({ 'role!': any, content: nullable(content), tool_calls: nullable(array(call)), prefix: boolean }),
  tool: object({ 'role!': any, 'content!': nullable(content), tool_call_id: nullable(string()), name: nullable(string()) }),
};
const chat = object({
  'model!': string({ min: 1 }), 'messages!': array(tagged('role', MESSAGES)), temperature: nullable(number({ min: 0, max: 1.5 })), top_p: nullable(number({ min: 0, max: 1 })), max_tokens: nullable(integer({ min: 0 })), stream: boolean,
  stop: nullable(stringOr(array(string()))), random_seed: nullable(integer({ min: 0 })), metadata: nullable(map(any)), n: nullable(integer({ min: 1 })), presence_penalty: nullable(number({ min: -2, max: 2 })), frequency_penalty: nullable(number({ min: -2, max: 2 })),
  response_format: nullable(tagged('type', { text: object({ 'type!': any }), json_object: object({ 'type!': any }), json_schema: object({ 'type!': any, 'json_schema!': object({ 'name!': string(), description: nullable(string()), 'schema!': map(any), strict: boolean }) }) })),
  tools: nullable(array(object({ type: choice('function'), 'function!': object({ 'name!': NAME, description: string(), 'parameters!': map(any), strict: boolean }) }))),
  tool_choice: (value, path, faults) => (typeof value === 'string' ? choice('auto', 'none', 'any', 'required') : object({ type: choice('function'), 'function!': object({ 'name!': string() }) }))(value, path, faults),
  prediction: nullable(object({ 'type': any, 'content': string() })), parallel_tool_calls: boolean, reasoning_effort: nullable(choice('none', 'low', 'medium', 'high')), prompt_mode: nullable(choice('reasoning')), safe_prompt: boolean, guardrails: any, prompt_cache_key: nullable(string()), service_tier: any,
});
const embeddings = object({ 'model!': string({ min: 1 }), 'input!': stringOr(array(string(), { min: 1 })), output_dimension: nullable(integer({ min: 1 })), output_dtype: choice('float', 'int8', 'uint8', 'binary', 'ubinary'), encoding_format: choice('float', 'base64'), metadata: nullable(map(any)) });

const KINDS = { unknown: ['extra_forbidden', 'Extra inputs are not permitted'], missing: ['missing', 'Field required'] };

/** The first fault, as Mistral words it. */
function worded({ path, kind, want, got }) {
  const [type, msg] = KINDS[kind] ?? ['value_error', `Input should be ${want}`];
  const loc = ['body', ...path.replace(/\[(\d+)\]/g, '.$1').split('.').map(one => (/^\d+$/.test(one) ? Number(one) : one))];
  return { status: 422, message: `${loc.join('.')}: ${msg}`, detail: [{ type, loc, msg, input: got }] };
}

const refuse = (message, type = 'invalid_request_message_order', code = '3230') => ({ status: 400, message, type, code });
const AFTER = { system: ['system', 'user', 'assistant'], user: ['assistant', 'user', 'system'], tool: ['assistant', 'tool'], assistant: ['user', 'assistant', 'system', 'tool'] };
const titled = role => role[0].toUpperCase() + role.slice(1);

function checkChat(body) {
  const { messages } = body;
  if (messages.length === 0) return refuse('Conversation must have at least one message', 'invalid_request_error', '3051');
  let open = [];
  for (const [index, message] of messages.entries()) {
    const before = messages[index - 1]?.role;
    if (before && !AFTER[before].includes(message.role)) return refuse(`Unexpected role '${message.role}' after role '${before}'`);
    if (message.role === 'tool') {
      if (!CALL_ID.test(message.tool_call_id ?? '')) return refuse(`Tool call id was ${message.tool_call_id} but must be a-z, A-Z, 0-9, with a length of 9.`, 'invalid_function_call', '3280');
      if (!open.includes(message.tool_call_id)) return refuse('Unexpected tool call id in tool results.', 'invalid_request_message_order', '3231');
      open = open.filter(id => id !== message.tool_call_id);
      continue;
    }
    if (open.length > 0) return refuse('Not the same number of function calls and responses', 'invalid_request_message_order', '3230');
    if (message.role !== 'assistant') continue;
    const calls = message.tool_calls ?? [];
    if (calls.length === 0 && (message.content ?? '').length === 0) return refuse('Assistant message must have either content or tool_calls, but not none.', 'invalid_request_assistant_message', '3240');
    const wrong = calls.find(one => !CALL_ID.test(one.id ?? ''));
    if (wrong) return refuse(`Tool call id was ${wrong.id} but must be a-z, A-Z, 0-9, with a length of 9.`, 'invalid_function_call', '3280');
    open = calls.map(one => one.id);
    if (new Set(open).size !== open.length) return refuse('Duplicate tool call id in assistant message.', 'invalid_function_call', '3281');
  }
  if (open.length > 0) return refuse('Not the same number of function calls and responses');
  const last = messages.at(-1);
  if (last.role === 'assistant' && last.prefix !== true) return refuse('Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant');
  if (last.role === 'system') return refuse('Expected last role User or Tool (or Assistant with prefix True) for serving but got system');
  if (typeof body.tool_choice === 'object' && !(body.tools ?? []).some(tool => tool.function.name === body.tool_choice.function.name)) return refuse(`Tool choice ${titled(body.tool_choice.function.name)} is not among the tools.`, 'invalid_request_error', '3000');
  return null;
}

const said = value => (typeof value === 'string' ? value : (value ?? []).map(one => one.text ?? '').join(''));

function questionOf(body) {
  const results = [];
  for (let index = body.messages.length - 1; body.messages[index]?.role === 'tool'; index -= 1) results.unshift(said(body.messages[index].content));
  const user = body.messages.filter(message => message.role === 'user').at(-1);
  const chosen = body.tool_choice;
  return {
    model: body.prompt_mode === 'reasoning' || (body.reasoning_effort && body.reasoning_effort !== 'none') ? `thinking ${body.model}` : body.model, text: said(user?.content),
    tools: (body.tools ?? []).map(tool => ({ name: tool.function.name, schema: tool.function.parameters })), forced: ['any', 'required'].includes(chosen) ? 'any' : chosen === 'none' ? 'none' : chosen?.function?.name, parallel: body.parallel_tool_calls,
    results: results.length > 0 ? results : undefined, format: body.response_format && body.response_format.type !== 'text' ? { schema: body.response_format.json_schema?.schema } : undefined, outputMax: body.max_tokens,
    inputText: body.messages.map(message => said(message.content) + JSON.stringify(message.tool_calls ?? '')).join('\n'),
    images: body.messages.flatMap(message => (Array.isArray(message.content) ? message.content : [])).filter(one => one.type === 'image_url').length,
  };
}

const usageBody = usage => ({ prompt_tokens: usage.input, total_tokens: usage.input + usage.output, completion_tokens: usage.output, ...(usage.cached > 0 ? { prompt_tokens_details: { cached_tokens: usage.cached } } : {}) });
const headOf = (body, object) => ({ id: digest('mistral', body).slice(0, 32), object, created: CREATED, model: body.model });
const callBody = (one, index) => ({ id: one.id.slice(0, 9), function: { name: one.name, arguments: JSON.stringify(one.arguments) }, index });
const thought = text => ({ type: 'thinking', thinking: [{ type: 'text', text }] });

function chatBody(body) {
  const answer = decide(questionOf(body));
  const spoken = answer.calls.length > 0 ? [] : [{ type: 'text', text: answer.text }];
  const text = answer.reasoning ? [thought(answer.reasoning), ...spoken] : answer.calls.length > 0 ? '' : answer.text;
  const message = { role: 'assistant', tool_calls: answer.calls.length > 0 ? answer.calls.map(callBody) : null, content: text };
  return { ...headOf(body, 'chat.completion'), usage: usageBody(answer.usage), choices: [{ index: 0, finish_reason: FINISH[answer.finish], message }] };
}

function chatEvents(body) {
  const answer = decide(questionOf(body));
  const head = headOf(body, 'chat.completion.chunk');
  const chunk = (delta, finish = null, more = {}) => `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason: finish }], ...more, p: 'abcdefghij' })}\n\n`;
  const events = [chunk({ role: 'assistant', content: '' })];
  const usage = /^no-usage/.test(body.model) ? {} : { usage: usageBody(answer.usage) };
  for (const piece of piecesOf(answer.reasoning)) events.push(chunk({ content: [thought(piece)] }));
  if (answer.calls.length > 0) return { events: [...events, chunk({ content: '', tool_calls: answer.calls.map(callBody) }, FINISH.tool, usage)], end: 'data: [DONE]\n\n' };
  for (const piece of piecesOf(answer.text)) events.push(chunk({ content: answer.reasoning ? [{ type: 'text', text: piece }] : piece }));
  return { events: [...events, chunk({ content: '' }, FINISH[answer.finish], usage)], end: 'data: [DONE]\n\n' };
}

function embeddingsBody(body) {
  const inputs = [body.input].flat();
  const tokens = inputs.reduce((sum, input) => sum + Math.ceil(input.length / 4), 0);
  const encode = values => (body.encoding_format === 'base64' ? Buffer.from(Float32Array.from(values).buffer).toString('base64') : values);
  return { id: digest(body).slice(0, 32), object: 'list', data: inputs.map((input, index) => ({ object: 'embedding', embedding: encode(vector(input, body.output_dimension ?? 1024)), index })), model: body.model, usage: { prompt_tokens: tokens, total_tokens: tokens, completion_tokens: 0, prompt_audio_seconds: null, request_count: inputs.length, prompt_token_details: null } };
}

const REASONS = {
  'context-length': ['Prompt contains 130000 tokens and 0 draft tokens, too large for model with 128000 maximum context length', 'invalid_request_prompt', '3051'], quota: ['Monthly usage limit reached', 'quota_exceeded', '1301'],
  'content-policy': ['The prompt was refused by the moderation policy.', 'invalid_request_prompt', '3060'], model: ['Invalid model: unknown', 'invalid_model', '1500'],
};
const TYPES = { 401: ['invalid_authentication', '2000'], 429: ['rate_limited', '1300'], 500: ['internal_server_error', '3700'], 503: ['unreachable_backend', '1100'] };

function errorBody(problem) {
  if (problem.detail) return { object: 'error', message: { detail: problem.detail }, type: 'invalid_request_error', param: null, code: null };
  if (problem.status === 401) return { detail: 'Unauthorized' };
  const [message, type, code] = REASONS[problem.reason] ?? [problem.message ?? (problem.status === 429 ? 'Rate limit exceeded' : `The mock answers ${problem.status}, as it was asked to.`), problem.type ?? TYPES[problem.status]?.[0] ?? 'invalid_request_error', problem.code ?? TYPES[problem.status]?.[1] ?? null];
  return { object: 'error', message, type, param: null, code };
}

const MODELS = ['mistral-small-latest', 'mistral-embed'];
const modelBody = id => ({ id, object: 'model', created: CREATED, owned_by: 'mistralai', capabilities: { completion_chat: true, function_calling: true, vision: true }, max_context_length: 131_072 });

/** The wire. */
export const mistral = () => ({
  operations: {
    chat: { shape: chat, schema: 'chat', published: body => ({ ...body, ...(body.tools ? { tools: body.tools.map(tool => ({ type: 'function', ...tool })) } : {}) }), check: checkChat, streamed: body => body.stream === true, body: chatBody, events: chatEvents },
    embeddings: { shape: embeddings, schema: 'embed', body: embeddingsBody },
  },
  spec: 'mistral',
  worded,
  errorBody,
  statusOf: problem => (problem.reason === 'model' ? 400 : problem.status),
  streamType: 'text/event-stream; charset=utf-8',
  authenticate: (headers, key) => (headers.authorization === `Bearer ${key}` ? null : { status: 401, message: 'Unauthorized' }),
  route(method, path) {
    if (method === 'POST' && path === '/v1/chat/completions') return { op: 'chat' };
    if (method === 'POST' && path === '/v1/embeddings') return { op: 'embeddings' };
    return method === 'GET' && path === '/v1/models' ? { op: 'models' } : null;
  },
  errorEvent: () => `data: ${JSON.stringify({ object: 'error', message: 'Internal server error', type: 'internal_server_error', param: null, code: '3700' })}\n\n`,
  hugeEvent: bytes => `data: ${JSON.stringify({ ...headOf({ model: 'huge' }, 'chat.completion.chunk'), choices: [{ index: 0, delta: { content: 'x'.repeat(bytes) }, finish_reason: null }] })}\n\n`,
  models: () => ({ object: 'list', data: MODELS.map(modelBody) }),
  headers: id => ({ 'mistral-correlation-id': `m-${id}`, 'x-ratelimit-limit-req-minute': '60', 'x-ratelimit-remaining-req-minute': '53', 'x-ratelimit-limit-tokens-minute': '2000000', 'x-ratelimit-remaining-tokens-minute': '1999370', 'x-ratelimit-tokens-query-cost': '110' }),
});
