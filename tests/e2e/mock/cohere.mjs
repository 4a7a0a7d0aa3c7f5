// Cohere's second API: chat, embed, rerank, models. What the real API refuses is refused here, in its words.
// Follows https://docs.cohere.com/reference/chat.

import { any, array, boolean, choice, integer, map, nullable, number, object, string, stringOr, tagged } from './shape.mjs';
import { decide, digest, piecesOf, vector } from './answer.mjs';

const FINISH = { stop: 'COMPLETE', length: 'MAX_TOKENS', tool: 'TOOL_CALL', refusal: 'ERROR_TOXIC' };
/** The dimensions that newer embedding models offer. */
const DIMENSIONS = ['256', '512', '1024', '1536'];
const NAME = string({ pattern: /^[a-zA-Z_][a-zA-Z0-9_-]*$/ });

const text = object({ 'type!': any, 'text!': string({ min: 1 }) });
const thinking = object({ 'type!': any, 'thinking!': string() });
const image = object({ 'type!': any, 'image_url!': object({ 'url!': string({ pattern: /^(https?:\/\/|data:image\/)/ }), detail: choice('auto', 'low', 'high') }) });
const document = object({ 'type!': any, 'document!': object({ id: string(), 'data!': (value, path, faults) => (typeof value === 'string' ? undefined : map(any)(value, path, faults)) }) });
const call = object({ 'id!': string({ min: 1 }), 'type!': choice('function'), 'function!': object({ 'name!': NAME, 'arguments!': string() }) });
const MESSAGES = {
  system: object({ 'role!': any, 'content!': stringOr(array(text)) }),
  user: object({ 'role!': any, 'content!': stringOr(array(tagged('type', { text, image_url: image }))) }),
  assistant: object({ 'role!': any, content: nullable(stringOr(array(tagged('type', { text, thinking })))), tool_plan: nullable(string()), tool_calls: array(call), citations: array(any) }),
  tool: object({ 'role!': any, 'tool_call_id!': string(), 'content!': stringOr(array(tagged('type', { text, document }))) }),
};
const chat = object({
  'model!': string({ min: 1 }), 'messages!': array(tagged('role', MESSAGES), { min: 1 }), tools: array(object({ 'type!': choice('function'), 'function!': object({ 'name!': NAME, description: string(), 'parameters!': map(any) }) })),
  strict_tools: boolean, documents: array(any), citation_options: object({ mode: choice('FAST', 'ACCURATE', 'OFF', 'ENABLED', 'DISABLED') }), stream: boolean,
  response_format: tagged('type', { text: object({ 'type!': any }), json_object: object({ 'type!': any, schema: map(any), json_schema: map(any) }) }), safety_mode: choice('CONTEXTUAL', 'STRICT', 'OFF'), max_tokens: integer({ min: 1 }),
  stop_sequences: array(string(), { max: 5 }), temperature: number({ min: 0, max: 1 }), seed: integer({ min: 0 }), frequency_penalty: number({ min: 0, max: 1 }), presence_penalty: number({ min: 0, max: 1 }), k: integer({ min: 0, max: 500 }), p: number({ min: 0.01, max: 0.99 }),
  logprobs: boolean, tool_choice: choice('REQUIRED', 'NONE'), thinking: object({ 'type!': choice('enabled', 'disabled'), token_budget: integer({ min: 1 }) }), priority: integer({ min: 0, max: 999 }), raw_prompting: boolean,
});
const embed = object({
  'model!': string({ min: 1 }), 'input_type!': choice('search_document', 'search_query', 'classification', 'clustering', 'image'), texts: array(string(), { min: 1, max: 96 }), images: array(string(), { min: 1, max: 1 }), inputs: array(any, { min: 1, max: 96 }),
  max_tokens: integer({ min: 1 }), output_dimension: integer(), embedding_types: array(choice('float', 'int8', 'uint8', 'binary', 'ubinary', 'base64')), truncate: choice('NONE', 'START', 'END'), priority: integer(),
});
const rerank = object({ 'model!': string({ min: 1 }), 'query!': string({ min: 1 }), 'documents!': array(string(), { min: 1, max: 10_000 }), top_n: integer({ min: 1 }), max_tokens_per_doc: integer({ min: 1 }), priority: integer() });

const refuse = message => ({ status: 400, message });

/** The first fault, as Cohere words it. */
function worded({ path, kind, want, got }) {
  if (kind === 'unknown') return { status: 422, message: `unknown field: parameter '${path}' is not a valid field` };
  if (kind === 'missing') return refuse(`invalid request: missing required parameter '${path}'`);
  return refuse(`invalid request: ${path} must be ${want}, got ${got}.`);
}

function checkChat(body) {
  let open = [];
  for (const [index, message] of body.messages.entries()) {
    if (message.role === 'tool') {
      if (!open.includes(message.tool_call_id)) return refuse(`invalid request: tool call id not found in previous tool calls. Received: ${message.tool_call_id}`);
      open = open.filter(id => id !== message.tool_call_id);
      continue;
    }
    if (open.length > 0) return refuse(`invalid request: all tool calls must be answered, messages[${index}] comes before the results of ${open.join(', ')}`);
    if (message.role !== 'assistant') continue;
    if ((message.content ?? '').length === 0 && !(message.tool_calls?.length > 0)) return refuse(`invalid request: messages[${index}] must have content or tool_calls`);
    open = (message.tool_calls ?? []).map(one => one.id);
  }
  if (open.length > 0) return refuse('invalid request: cannot specify message with tool calls as the last message');
  if (body.messages.at(-1).role === 'assistant' || body.messages.at(-1).role === 'system') return refuse('invalid request: the last message must be from the user or a tool');
  if (body.tool_choice !== undefined && !(body.tools?.length > 0)) return refuse('invalid request: tool_choice can only be specified if tools are');
  const format = body.response_format;
  if (format?.type === 'json_object' && (body.tools?.length > 0 || body.documents?.length > 0)) return refuse("invalid request: response_format type 'json_object' cannot be used with tools or documents");
  const schema = format?.schema ?? format?.json_schema;
  if (schema && (schema.type !== 'object' || !(schema.required?.length > 0))) return refuse('invalid request: response_format: schema must be an object with at least one required field');
  return null;
}

const said = content => (typeof content === 'string' ? content : (content ?? []).map(one => one.text ?? (one.document ? typeof one.document.data === 'string' ? one.document.data : one.document.data.result ?? one.document.data.content ?? one.document.data.text ?? JSON.stringify(one.document.data) : '')).join(''));

function questionOf(body) {
  const results = [];
  for (let index = body.messages.length - 1; body.messages[index]?.role === 'tool'; index -= 1) results.unshift(said(body.messages[index].content));
  const user = body.messages.filter(message => message.role === 'user').at(-1);
  return {
    model: body.thinking?.type === 'enabled' ? `thinking ${body.model}` : body.model, text: said(user?.content), tools: (body.tools ?? []).map(tool => ({ name: tool.function.name, schema: tool.function.parameters })),
    forced: { REQUIRED: 'any', NONE: 'none' }[body.tool_choice], parallel: undefined, results: results.length > 0 ? results : undefined,
    format: body.response_format?.type === 'json_object' ? { schema: body.response_format.schema ?? body.response_format.json_schema } : undefined, outputMax: body.max_tokens,
    inputText: body.messages.map(message => said(message.content) + JSON.stringify(message.tool_calls ?? '')).join('\n'), images: body.messages.flatMap(message => (Array.isArray(message.content) ? message.content : [])).filter(one => one.type === 'image_url').length,
  };
}

const usageBody = usage => ({ billed_units: { input_tokens: usage.input - usage.cached, output_tokens: usage.output }, tokens: { input_tokens: usage.input, output_tokens: usage.output }, cached_tokens: usage.cached });
const callBody = one => ({ id: `${one.name}_${one.id.slice(0, 12)}`, type: 'function', function: { name: one.name, arguments: JSON.stringify(one.arguments) } });
const idOf = body => digest('cohere', body).slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
const PLAN = 'I will use a tool.';

/** What is said, in blocks. */
const blocksOf = answer => [...(answer.reasoning ? [{ type: 'thinking', thinking: answer.reasoning }] : []), ...(answer.calls.length === 0 ? [{ type: 'text', text: answer.text }] : [])];

function chatBody(body) {
  const answer = decide(questionOf(body));
  const content = blocksOf(answer);
  const message = { role: 'assistant', ...(answer.calls.length > 0 ? { tool_plan: PLAN, tool_calls: answer.calls.map(callBody) } : {}), ...(content.length > 0 ? { content } : {}) };
  return { id: idOf(body), message, finish_reason: FINISH[answer.finish], ...(/^no-usage/.test(body.model) ? {} : { usage: usageBody(answer.usage) }) };
}

const frame = data => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;

function chatEvents(body) {
  const answer = decide(questionOf(body));
  const events = [{ id: idOf(body), type: 'message-start', delta: { message: { role: 'assistant', content: [], tool_plan: '', tool_calls: [], citations: [] } } }];
  blocksOf(answer).forEach((block, index) => {
    const field = block.type;
    events.push({ type: 'content-start', index, delta: { message: { content: { type: field, [field]: '' } } } });
    for (const piece of piecesOf(block[field])) events.push({ type: 'content-delta', index, delta: { message: { content: { [field]: piece } } } });
    events.push({ type: 'content-end', index });
  });
  if (answer.calls.length > 0) for (const piece of piecesOf(PLAN)) events.push({ type: 'tool-plan-delta', delta: { message: { tool_plan: piece } } });
  answer.calls.map(callBody).forEach((one, index) => {
    events.push({ type: 'tool-call-start', index, delta: { message: { tool_calls: { ...one, function: { name: one.function.name, arguments: '' } } } } });
    for (const piece of one.function.arguments.match(/[\s\S]{1,5}/g)) events.push({ type: 'tool-call-delta', index, delta: { message: { tool_calls: { function: { arguments: piece } } } } });
    events.push({ type: 'tool-call-end', index });
  });
  events.push({ type: 'message-end', delta: { finish_reason: FINISH[answer.finish], ...(/^no-usage/.test(body.model) ? {} : { usage: usageBody(answer.usage) }) } });
  return { events: events.map(frame), end: 'data: [DONE]\n\n' };
}

function checkEmbed(body) {
  const given = ['texts', 'images', 'inputs'].filter(name => body[name] !== undefined);
  if (given.length !== 1) return refuse('invalid request: exactly one of texts, images or inputs must be given');
  if (body.output_dimension !== undefined && !DIMENSIONS.includes(String(body.output_dimension))) return refuse(`invalid request: output_dimension must be one of ${DIMENSIONS.join(', ')}`);
  return null;
}

function embedBody(body) {
  const inputs = body.texts ?? body.images ?? body.inputs.map(one => one.content?.map(part => part.text ?? '').join('') ?? '');
  const vectors = inputs.map(input => vector(input, body.output_dimension ?? 1024));
  const whole = vectors.map(values => values.map(value => Math.round(value * 127)));
  const kinds = { float: vectors, int8: whole, uint8: whole.map(values => values.map(value => value + 128)), base64: vectors.map(values => Buffer.from(Float32Array.from(values).buffer).toString('base64')) };
  const embeddings = Object.fromEntries((body.embedding_types ?? ['float']).map(name => [name, kinds[name] ?? whole]));
  return { id: idOf(body), ...(body.texts ? { texts: body.texts } : {}), embeddings, meta: { api_version: { version: '2' }, billed_units: { input_tokens: inputs.reduce((sum, input) => sum + Math.ceil(input.length / 4), 0) } }, response_type: 'embeddings_by_type' };
}

function rerankBody(body) {
  const words = new Set(body.query.toLowerCase().split(/\W+/).filter(Boolean));
  const scored = body.documents.map((document, index) => ({ index, relevance_score: document.toLowerCase().split(/\W+/).filter(word => words.has(word)).length / (words.size + 1) }));
  const results = scored.sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index).slice(0, body.top_n ?? scored.length);
  return { id: idOf(body), results, meta: { api_version: { version: '2' }, billed_units: { search_units: 1 } } };
}

const REASONS = {
  'context-length': 'too many tokens: total number of tokens in the prompt exceeds the limit of 128000', quota: "You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use the Trial key for free or upgrade to a Production key.",
  'content-policy': 'invalid request: the prompt was blocked by the safety policy', country: 'Your country is not supported.',
};

/** The wire. */
export const cohere = () => ({
  operations: {
    chat: { shape: chat, check: checkChat, streamed: body => body.stream === true, body: chatBody, events: chatEvents },
    embeddings: { shape: embed, check: checkEmbed, body: embedBody },
    rerank: { shape: rerank, body: rerankBody },
  },
  worded,
  errorBody: problem => ({ id: 'cohere-error', message: problem.message ?? REASONS[problem.reason] ?? (problem.status === 429 ? 'You are past the per minute request limit, please wait and try again later.' : `The mock answers ${problem.status}, as it was asked to.`) }),
  statusOf: problem => problem.status,
  streamType: 'text/event-stream',
  authenticate: (headers, key) => (headers.authorization === `Bearer ${key}` ? null : { status: 401, message: headers.authorization ? 'invalid api token' : 'no api key supplied' }),
  route(method, path) {
    if (method === 'POST') return { '/v2/chat': { op: 'chat' }, '/v2/embed': { op: 'embeddings' }, '/v2/rerank': { op: 'rerank' } }[path] ?? null;
    return method === 'GET' && path === '/v1/models' ? { op: 'models' } : null;
  },
  errorEvent: () => frame({ type: 'message-end', delta: { error: 'The server had an error.', finish_reason: 'ERROR' } }),
  hugeEvent: bytes => frame({ type: 'content-delta', index: 0, delta: { message: { content: { text: 'x'.repeat(bytes) } } } }),
  models: () => ({ models: ['command-a-03-2025', 'embed-v4.0', 'rerank-v3.5'].map(name => ({ name, endpoints: ['chat'], finetuned: false, context_length: 256_000 })) }),
  headers: id => ({ 'x-debug-trace-id': `c-${id}`, 'x-trial-endpoint-call-limit': '40', 'x-trial-endpoint-call-remaining': '39' }),
});
