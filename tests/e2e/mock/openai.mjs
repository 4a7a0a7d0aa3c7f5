// OpenAI's wire: Chat Completions, Embeddings, Models; Responses and the smaller endpoints stand in their own files.
// What the real API refuses is refused here, in its words.
// Follows https://platform.openai.com/docs/api-reference.
//
// `plain: true` makes it an OpenAI-compatible server of the plain kind, which knows neither the developer role
// nor `max_completion_tokens`.

import { any, array, boolean, check, choice, integer, map, nullable, number, object, string, stringOr, tagged } from './shape.mjs';
import { decide, digest, piecesOf, vector } from './answer.mjs';
import { endpointOf, endpoints } from './endpoints.mjs';
import { checkResponse, responseBody, responseErrorEvent, responseEvents, shape as responses } from './responses.mjs';

const CREATED = 1_790_000_000;
const FINISH = { stop: 'stop', length: 'length', tool: 'tool_calls', refusal: 'stop' };
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
/** A tool call's identifier is at most 40 characters long (not verified against the live API). */
const CALL_ID = string({ min: 1, max: 40 });
/** Families that refuse `max_tokens` and sampling, because they reason. */
const REASONS = /^(o\d|gpt-5)/;

const textPart = object({ 'type!': any, 'text!': string(), prompt_cache_breakpoint: any });
const userPart = tagged('type', {
  text: textPart,
  image_url: object({ 'type!': any, 'image_url!': object({ 'url!': string({ pattern: /^(https?:\/\/|data:image\/(png|jpeg|gif|webp);base64,)/ }), detail: choice('auto', 'low', 'high', 'original') }) }),
  input_audio: object({ 'type!': any, 'input_audio!': object({ 'data!': string({ min: 1 }), 'format!': choice('wav', 'mp3') }) }),
  file: object({ 'type!': any, 'file!': object({ file_data: string(), file_id: string(), filename: string() }) }),
});
const refusalPart = object({ 'type!': any, 'refusal!': string() });
const content = part => stringOr(array(part, { min: 1 }));
const toolCall = tagged('type', {
  function: object({ 'id!': CALL_ID, 'type!': any, 'function!': object({ 'name!': string({ pattern: NAME }), 'arguments!': string() }) }),
  custom: object({ 'id!': CALL_ID, 'type!': any, 'custom!': object({ 'name!': string({ pattern: NAME }), 'input!': string() }) }),
});
const systemMessage = object({ 'role!': any, 'content!': content(textPart), name: string() });
const MESSAGES = {
  system: systemMessage,
  developer: systemMessage,
  user: object({ 'role!': any, 'content!': content(userPart), name: string() }),
  assistant: object({
    'role!': any, content: nullable(content(tagged('type', { text: textPart, refusal: refusalPart }))), refusal: nullable(string()), name: string(),
    audio: nullable(object({ 'id!': string() })), tool_calls: array(toolCall, { min: 1, max: 128 }),
    function_call: nullable(object({ 'name!': string(), 'arguments!': string() })), annotations: array(any),
  }),
  tool: object({ 'role!': any, 'content!': content(textPart), 'tool_call_id!': CALL_ID }),
  function: object({ 'role!': any, 'content!': nullable(string()), 'name!': string() }),
};
const functionDefinition = object({ 'name!': string({ pattern: NAME }), description: string(), parameters: map(any), strict: nullable(boolean) });
const namedTool = object({ 'name!': string({ pattern: NAME }) });
const CHAT = {
  'model!': string({ min: 1 }),
  'messages!': array(tagged('role', MESSAGES), { min: 1 }),
  audio: nullable(any), frequency_penalty: nullable(number({ min: -2, max: 2 })), function_call: any, functions: array(functionDefinition, { min: 1, max: 128 }),
  logit_bias: nullable(map(number({ min: -100, max: 100 }))), logprobs: nullable(boolean), max_completion_tokens: nullable(integer({ min: 1 })),
  max_tokens: nullable(integer({ min: 1 })), metadata: nullable(map(string({ max: 512 }), { max: 16 })), modalities: nullable(array(choice('text', 'audio'))),
  moderation: nullable(any), n: nullable(integer({ min: 1, max: 128 })), parallel_tool_calls: boolean, prediction: nullable(any), presence_penalty: nullable(number({ min: -2, max: 2 })),
  prompt_cache_key: nullable(string()), prompt_cache_options: nullable(any), prompt_cache_retention: nullable(choice('in-memory', 'in_memory', '24h')),
  reasoning_effort: nullable(choice('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max')),
  response_format: tagged('type', {
    text: object({ 'type!': any }), json_object: object({ 'type!': any }),
    json_schema: object({ 'type!': any, 'json_schema!': object({ 'name!': string({ pattern: NAME }), description: string(), schema: map(any), strict: nullable(boolean) }) }),
  }),
  safety_identifier: nullable(string({ max: 64 })), seed: nullable(integer()), service_tier: nullable(choice('auto', 'default', 'flex', 'scale', 'priority', 'fast', 'standard')),
  stop: nullable(stringOr(array(string(), { min: 1, max: 4 }))), store: nullable(boolean), stream: nullable(boolean),
  stream_options: nullable(object({ include_usage: boolean, include_obfuscation: boolean })), temperature: nullable(number({ min: 0, max: 2 })),
  tool_choice: (value, path, faults) => (typeof value === 'string'
    ? choice('none', 'auto', 'required')(value, path, faults)
    : tagged('type', {
      function: object({ 'type!': any, 'function!': namedTool }), custom: object({ 'type!': any, 'custom!': namedTool }),
      allowed_tools: object({ 'type!': any, 'allowed_tools!': object({ 'mode!': choice('auto', 'required'), 'tools!': array(map(any)) }) }),
    })(value, path, faults)),
  tools: array(tagged('type', {
    function: object({ 'type!': any, 'function!': functionDefinition }), custom: object({ 'type!': any, 'custom!': map(any) }),
  }), { min: 1, max: 128 }),
  top_logprobs: nullable(integer({ min: 0, max: 20 })), top_p: nullable(number({ min: 0, max: 1 })), user: string(), verbosity: nullable(choice('low', 'medium', 'high')),
  web_search_options: any,
};
const chat = object(CHAT);
const plainChat = object(Object.fromEntries(Object.entries(CHAT).filter(([name]) => !/^(max_completion_tokens|store|moderation|verbosity|prompt_cache_|safety_identifier)/.test(name))));
const embeddings = object({
  'model!': string({ min: 1 }), encoding_format: choice('float', 'base64'), dimensions: integer({ min: 1, max: 3072 }), user: string(),
  'input!': (value, path, faults) => {
    if (typeof value === 'string') return string({ min: 1 })(value, path, faults);
    const item = typeof value?.[0] === 'number' ? integer({ min: 0 }) : Array.isArray(value?.[0]) ? array(integer({ min: 0 }), { min: 1 }) : string({ min: 1 });
    array(item, { min: 1, max: 2048 })(value, path, faults);
  },
});

const refuse = (message, param = null, code = null) => ({ status: 400, message, param, code });
const ARTICLE = { 'an integer': 'integer', 'a number': 'number', 'a string': 'string', 'a boolean': 'boolean', 'an array': 'array', 'an object': 'object' };
const CODES = { '>=': 'integer_below_min_value', '<=': 'integer_above_max_value', 'at least': 'string_below_min_length', 'at most': 'string_above_max_length' };

/** The first fault, as OpenAI words it. */
function worded({ path, kind, want, got }) {
  if (kind === 'unknown') return refuse(`Unknown parameter: '${path}'.`, path, 'unknown_parameter');
  if (kind === 'missing') return refuse(`Missing required parameter: '${path}'.`, path, 'missing_required_parameter');
  if (kind === 'type') return refuse(`Invalid type for '${path}': expected ${want}, but got ${ARTICLE[got] ?? got} instead.`, path, 'invalid_type');
  const code = Object.entries(CODES).find(([word]) => want.startsWith(word))?.[1] ?? 'invalid_value';
  return refuse(`Invalid '${path}': expected ${want}, but got ${got} instead.`, path, want.startsWith('an array with at least') ? 'empty_array' : code);
}

/** Every call is answered before anybody else speaks, and nothing is answered that was not called. */
function checkTurns(messages) {
  let open = new Set();
  for (const [index, message] of messages.entries()) {
    const param = `messages.[${index}].role`;
    if (message.role === 'tool') {
      if (!open.delete(message.tool_call_id)) return refuse("Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.", param);
      continue;
    }
    if (open.size > 0) return unanswered(open, param);
    if (message.role !== 'assistant') continue;
    if (message.tool_calls) open = new Set(message.tool_calls.map(call => call.id));
    if (message.tool_calls && open.size !== message.tool_calls.length) return refuse('Duplicate tool_call ids in one message.', param);
    if (!message.tool_calls && !message.function_call && message.content === undefined && message.refusal === undefined && message.audio === undefined) {
      return refuse(`Invalid value for 'content': expected a string, got null.`, `messages.[${index}].content`);
    }
  }
  return open.size > 0 ? unanswered(open, 'messages') : null;
}

const unanswered = (ids, param) => refuse(
  `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${[...ids].join(', ')}`, param);

/** A strict schema names all its properties as required, and allows no others. */
function checkStrictSchema(schema, path) {
  if (schema === null || typeof schema !== 'object') return null;
  if (schema.type === 'object' || schema.properties) {
    const names = Object.keys(schema.properties ?? {});
    if (schema.additionalProperties !== false) return refuse(`Invalid schema for ${path}: In context=(), 'additionalProperties' is required to be supplied and to be false.`, path, null);
    if (names.some(name => !(schema.required ?? []).includes(name))) return refuse(`Invalid schema for ${path}: In context=(), 'required' is required to be supplied and to be an array including every key in properties.`, path, null);
  }
  for (const inner of [...Object.values(schema.properties ?? {}), ...Object.values(schema.$defs ?? {}), schema.items, ...(schema.anyOf ?? [])]) {
    const problem = inner && checkStrictSchema(inner, path);
    if (problem) return problem;
  }
  return null;
}

/** Rules between fields. */
function checkChat(body, plain) {
  const turns = checkTurns(body.messages);
  if (turns) return turns;
  if (plain && body.messages.some(message => message.role === 'developer')) return refuse("Unexpected role 'developer'.", 'messages');
  if (body.max_tokens != null && body.max_completion_tokens != null) return refuse('Setting `max_tokens` and `max_completion_tokens` at the same time is not supported.', 'max_tokens', 'invalid_value');
  if (REASONS.test(body.model) && body.max_tokens != null) return refuse("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", 'max_tokens', 'unsupported_parameter');
  if (REASONS.test(body.model) && body.temperature != null && body.temperature !== 1) return refuse("Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is supported.", 'temperature', 'unsupported_value');
  if (body.stream_options != null && body.stream !== true) return refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options');
  if (body.tool_choice !== undefined && !body.tools) return refuse("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", 'tool_choice');
  if (body.parallel_tool_calls !== undefined && !body.tools) return refuse("Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified.", 'parallel_tool_calls');
  if (body.top_logprobs != null && body.logprobs !== true) return refuse("Invalid value for 'top_logprobs': 'logprobs' must be true.", 'top_logprobs');
  const chosen = body.tool_choice?.function?.name;
  if (chosen && !body.tools.some(tool => tool.function?.name === chosen)) return refuse(`Invalid value for 'tool_choice': tool '${chosen}' not found in 'tools'.`, 'tool_choice');
  if (body.response_format?.type === 'json_object' && !/json/i.test(JSON.stringify(body.messages))) {
    return refuse("'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", 'messages');
  }
  const wanted = body.response_format?.json_schema;
  if (wanted?.strict && wanted.schema) return checkStrictSchema(wanted.schema, 'response_format');
  return null;
}

const partsText = value => (typeof value === 'string' ? value : (value ?? []).map(part => part.text ?? part.refusal ?? '').join(''));

function questionOf(body) {
  const last = body.messages.at(-1);
  const results = [];
  for (let index = body.messages.length - 1; body.messages[index]?.role === 'tool'; index -= 1) results.unshift(partsText(body.messages[index].content));
  const user = body.messages.filter(message => message.role === 'user').at(-1);
  return {
    model: body.model,
    text: partsText(user?.content ?? ''),
    tools: (body.tools ?? []).filter(tool => tool.type === 'function').map(tool => ({ name: tool.function.name, schema: tool.function.parameters })),
    forced: body.tool_choice === 'required' ? 'any' : body.tool_choice === 'none' ? 'none' : body.tool_choice?.function?.name,
    parallel: body.parallel_tool_calls,
    results: last.role === 'tool' ? results : undefined,
    format: body.response_format && body.response_format.type !== 'text' ? { schema: body.response_format.json_schema?.schema } : undefined,
    outputMax: body.max_completion_tokens ?? body.max_tokens,
    inputText: body.messages.map(message => partsText(message.content) + JSON.stringify(message.tool_calls ?? '')).join('\n'),
    images: body.messages.flatMap(message => (Array.isArray(message.content) ? message.content : [])).filter(part => part.type === 'image_url').length,
  };
}

const usageBody = usage => ({
  prompt_tokens: usage.input, completion_tokens: usage.output, total_tokens: usage.input + usage.output,
  prompt_tokens_details: { cached_tokens: usage.cached, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: usage.reasoning, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
});
const callBody = call => ({ id: `call_${call.id}`, type: 'function', function: { name: call.name, arguments: JSON.stringify(call.arguments) } });
const tokenLogprob = (token, top) => {
  const entry = { token, logprob: -0.25, bytes: [...Buffer.from(token)] };
  return { ...entry, top_logprobs: Array.from({ length: top }, () => entry) };
};
const logprobsOf = (body, pieces) => (body.logprobs ? { content: pieces.map(piece => tokenLogprob(piece, body.top_logprobs ?? 0)), refusal: null } : null);

function headOf(body, object) {
  return {
    id: `chatcmpl-${digest('chat', body).slice(0, 29)}`, object, created: CREATED, model: body.model,
    ...(object === 'chat.completion' ? {} : { service_tier: 'default' }), system_fingerprint: 'fp_5f3b1c9d2e',
  };
}

function chatBody(body) {
  const answer = decide(questionOf(body));
  const message = { role: 'assistant', content: answer.calls.length > 0 || answer.refusal ? null : answer.text, refusal: answer.refusal ? answer.text : null, annotations: [] };
  if (answer.calls.length > 0) message.tool_calls = answer.calls.map(callBody);
  const choices = Array.from({ length: body.n ?? 1 }, (_, index) => ({ index, message, logprobs: logprobsOf(body, piecesOf(answer.text)), finish_reason: FINISH[answer.finish] }));
  const usage = { ...answer.usage, output: answer.usage.output * choices.length };
  const response = { ...headOf(body, 'chat.completion'), choices, usage: usageBody(usage), service_tier: 'default' };
  if (/^no-usage/.test(body.model)) delete response.usage;
  return response;
}

/** The stream's events: role, pieces, finish, usage (if asked for), [DONE]. */
function chatEvents(body) {
  const answer = decide(questionOf(body));
  const head = headOf(body, 'chat.completion.chunk');
  const usage = body.stream_options?.include_usage ? { usage: null } : {};
  const chunk = (index, delta, finish = null, pieces = undefined) => `data: ${JSON.stringify({
    ...head, choices: [{ index, delta, logprobs: pieces && body.logprobs ? logprobsOf(body, pieces) : null, finish_reason: finish }], ...usage,
    obfuscation: digest(delta, index).slice(0, 7),
  })}\n\n`;
  const events = [];
  const count = body.n ?? 1;
  for (let index = 0; index < count; index += 1) {
    const called = answer.calls.length > 0;
    events.push(chunk(index, { role: 'assistant', content: called ? null : '', refusal: null }));
    answer.calls.forEach((call, at) => {
      events.push(chunk(index, { tool_calls: [{ index: at, id: `call_${call.id}`, type: 'function', function: { name: call.name, arguments: '' } }] }));
      for (const piece of JSON.stringify(call.arguments).match(/[\s\S]{1,5}/g)) events.push(chunk(index, { tool_calls: [{ index: at, function: { arguments: piece } }] }));
    });
    if (!called) for (const piece of piecesOf(answer.text)) events.push(chunk(index, answer.refusal ? { refusal: piece } : { content: piece }, null, [piece]));
    events.push(chunk(index, {}, FINISH[answer.finish]));
  }
  if (body.stream_options?.include_usage && !/^no-usage/.test(body.model)) {
    events.push(`data: ${JSON.stringify({ ...head, choices: [], usage: usageBody({ ...answer.usage, output: answer.usage.output * count }), obfuscation: '' })}\n\n`);
  }
  return { events, end: 'data: [DONE]\n\n' };
}

function embeddingsBody(body) {
  const inputs = typeof body.input === 'string' || typeof body.input[0] === 'number' ? [body.input] : body.input;
  const dimensions = body.dimensions ?? 1536;
  const encode = values => (body.encoding_format === 'base64' ? Buffer.from(Float32Array.from(values).buffer).toString('base64') : values);
  const tokens = inputs.reduce((sum, input) => sum + (typeof input === 'string' ? Math.ceil(input.length / 4) : input.length), 0);
  return {
    object: 'list', data: inputs.map((input, index) => ({ object: 'embedding', index, embedding: encode(vector(input, dimensions)) })),
    model: body.model, usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

const REASONS_TEXT = {
  quota: ['You exceeded your current quota, please check your plan and billing details.', 'insufficient_quota', 'insufficient_quota'],
  'context-length': ["This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens. Please reduce the length of the messages.", 'invalid_request_error', 'context_length_exceeded'],
  'content-policy': ['Invalid prompt: your prompt was flagged as potentially violating our usage policy.', 'invalid_request_error', 'content_policy_violation'],
  country: ['Country, region, or territory not supported', 'request_forbidden', 'unsupported_country_region_territory'],
};
const TYPES = { 401: ['invalid_request_error', 'invalid_api_key'], 403: ['permission_error', null], 404: ['invalid_request_error', 'model_not_found'], 429: ['requests', 'rate_limit_exceeded'] };

/** An error's body. */
function errorBody(problem) {
  const [message, type, code] = REASONS_TEXT[problem.reason] ?? [];
  const [usualType, usualCode] = TYPES[problem.status] ?? (problem.status >= 500 ? ['server_error', null] : ['invalid_request_error', null]);
  return { error: {
    message: problem.message ?? message ?? `The mock answers ${problem.status}, as it was asked to.`, type: type ?? usualType,
    param: problem.param ?? null, code: problem.code ?? code ?? usualCode,
  } };
}

const MODELS = ['gpt-4o-mini', 'gpt-5-mini', 'text-embedding-3-small'];
const modelBody = id => ({ id, object: 'model', created: CREATED, owned_by: 'system' });

const operations = plain => ({
  chat: { shape: plain ? plainChat : chat, schema: 'CreateChatCompletionRequest', check: body => checkChat(body, plain), streamed: body => body.stream === true, body: chatBody, events: chatEvents },
  embeddings: { shape: embeddings, schema: 'CreateEmbeddingRequest', body: embeddingsBody },
  ...(plain ? {} : {
    responses: { shape: responses, schema: 'CreateResponse', published: publishedResponse, check: body => checkResponse(body, checkStrictSchema), streamed: body => body.stream === true, body: responseBody, events: responseEvents, errorEvent: responseErrorEvent },
    ...endpoints(),
  }),
});

/** The published format wants what the API does without: a type for each message, `strict` for each tool, no `user` that is null. Their own shapes are checked before. */
const publishedResponse = ({ user, ...body }) => ({ ...body, ...(user == null ? {} : { user }), input: 'x', ...(body.tools ? { tools: body.tools.map(tool => (tool.type === 'function' ? { strict: null, parameters: null, ...tool } : tool)) } : {}) });

const chatErrorEvent = () => `data: ${JSON.stringify({ error: { message: 'The server had an error while processing your request.', type: 'server_error', param: null, code: null } })}\n\n`;

/** The wire, or its plain kind. */
export const openai = ({ plain = false } = {}) => ({
  operations: operations(plain),
  spec: 'openai',
  worded,
  errorBody,
  statusOf: problem => problem.status,
  streamType: 'text/event-stream; charset=utf-8',
  authenticate: (headers, key) => (headers.authorization === `Bearer ${key}` ? null
    : { status: 401, message: headers.authorization ? 'Incorrect API key provided.' : "You didn't provide an API key." }),
  route(method, path, query) {
    if (method === 'POST' && path === '/v1/chat/completions') return { op: 'chat' };
    if (method === 'POST' && path === '/v1/embeddings') return { op: 'embeddings' };
    if (method === 'POST' && path === '/v1/responses' && !plain) return { op: 'responses' };
    if (method === 'GET' && path === '/v1/models') return { op: 'models' };
    if (method === 'GET' && /^\/v1\/models\/./.test(path)) return { op: 'models', id: decodeURIComponent(path.slice('/v1/models/'.length)) };
    return plain ? null : endpointOf(method, path, query);
  },
  errorEvent: chatErrorEvent,
  hugeEvent: bytes => `data: ${JSON.stringify({ ...headOf({ model: 'huge' }, 'chat.completion.chunk'), choices: [{ index: 0, delta: { content: 'x'.repeat(bytes) }, logprobs: null, finish_reason: null }] })}\n\n`,
  models: ({ id }) => (id === undefined ? { object: 'list', data: MODELS.map(modelBody) } : modelBody(id)),
  headers: id => ({
    'x-request-id': `req_${id}`, 'openai-processing-ms': '12', 'openai-version': '2020-10-01', 'openai-organization': 'org-mock',
    'x-ratelimit-limit-requests': '30000', 'x-ratelimit-remaining-requests': '29999', 'x-ratelimit-reset-requests': '2ms',
    'x-ratelimit-limit-tokens': '150000000', 'x-ratelimit-remaining-tokens': '149999982', 'x-ratelimit-reset-tokens': '0s',
  }),
});
