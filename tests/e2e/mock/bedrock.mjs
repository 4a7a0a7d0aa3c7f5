// Amazon Bedrock's wire: Converse and ConverseStream. What the real API refuses is refused here, in its words.
// Follows https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.

import { createHmac } from 'node:crypto';

import { any, array, boolean, choice, integer, map, number, object, string } from './shape.mjs';
import { decide, piecesOf } from './answer.mjs';
import { message as frame } from './eventstream.mjs';
import { signatureProblem } from './sigv4.mjs';

const SCOPE = { region: 'us-east-1', service: 'bedrock' };
const STOP = { stop: 'end_turn', length: 'max_tokens', tool: 'tool_use', refusal: 'content_filtered' };
const NAME = string({ pattern: /^[a-zA-Z0-9_-]{1,64}$/ });
const CALL_ID = string({ pattern: /^[a-zA-Z0-9_.:-]{1,64}$/ });
const BASE64 = string({ min: 1, pattern: /^[A-Za-z0-9+/]+=*$/ });
/** The smallest thinking budget of Claude. */
const THINKING_TOKENS_MIN = 1024;

/** A union: exactly one of its members. */
const union = members => (value, path, faults) => {
  object(members)(value, path, faults);
  const count = value !== null && typeof value === 'object' ? Object.keys(value).length : 1;
  if (count !== 1) faults.push({ path, kind: 'value', want: 'exactly one member of the union', got: String(count) });
};
const source = union({ bytes: BASE64, s3Location: object({ 'uri!': string(), bucketOwner: string() }) });
const image = object({ 'format!': choice('png', 'jpeg', 'gif', 'webp'), 'source!': source });
const document = object({ format: choice('pdf', 'csv', 'doc', 'docx', 'xls', 'xlsx', 'html', 'txt', 'md'), 'name!': string({ pattern: /^[a-zA-Z0-9\s()[\]-]{1,200}$/ }), 'source!': union({ bytes: BASE64, s3Location: map(any), text: string(), content: array(any) }), context: string(), citations: object({ 'enabled!': boolean }) });
const cachePoint = object({ 'type!': choice('default'), ttl: choice('5m', '1h') });
const block = union({
  text: string(), image, document, video: map(any), audio: map(any), cachePoint, guardContent: map(any), citationsContent: map(any), searchResult: map(any),
  toolUse: object({ 'toolUseId!': CALL_ID, 'name!': NAME, 'input!': map(any), type: string() }),
  toolResult: object({ 'toolUseId!': CALL_ID, 'content!': array(union({ json: any, text: string(), image, document, video: map(any), searchResult: map(any) })), status: choice('success', 'error'), type: string() }),
  reasoningContent: union({ reasoningText: object({ 'text!': string(), signature: string() }), redactedContent: BASE64 }),
});
const system = union({ text: string({ min: 1 }), cachePoint, guardContent: map(any) });
const chat = object({
  messages: array(object({ 'role!': choice('user', 'assistant'), 'content!': array(block) })), system: array(system),
  inferenceConfig: object({ maxTokens: integer({ min: 1 }), temperature: number({ min: 0, max: 1 }), topP: number({ min: 0, max: 1 }), stopSequences: array(string({ min: 1 }), { max: 2500 }) }),
  toolConfig: object({ 'tools!': array(union({ toolSpec: object({ 'name!': NAME, description: string({ min: 1 }), 'inputSchema!': union({ json: map(any) }), strict: boolean }), cachePoint, systemTool: map(any) }), { min: 1 }), toolChoice: union({ auto: object({}), any: object({}), tool: object({ 'name!': NAME }) }) }),
  guardrailConfig: map(any), additionalModelRequestFields: map(any), promptVariables: map(any), additionalModelResponseFieldPaths: array(string(), { max: 10 }), requestMetadata: map(string({ max: 256 }), { max: 16 }),
  performanceConfig: object({ latency: choice('standard', 'optimized') }), serviceTier: object({ 'type!': choice('priority', 'default', 'flex', 'reserved') }), outputConfig: map(any),
});

const refuse = message => ({ status: 400, type: 'ValidationException', message });
const dotted = path => path.replace(/\[(\d+)\]/g, '.$1');

/** The first fault, as Bedrock words it. */
function worded({ path, kind, want, got }) {
  if (kind === 'unknown') return refuse(`Malformed input request: #: extraneous key [${got}] is not permitted, please reformat your input and try again.`);
  return refuse(`1 validation error detected: Value at '${dotted(path)}' failed to satisfy constraint: ${kind === 'missing' ? 'Member must not be null' : `Member must be ${want}`}`);
}

const signature = thought => createHmac('sha256', 'mock bedrock').update(thought).digest('base64');

function checkTurns(messages) {
  if (messages[0].role !== 'user') return refuse('A conversation must start with a user message. Try again with a conversation that starts with a user message.');
  for (const [index, { role, content }] of messages.entries()) {
    if (messages[index - 1]?.role === role) return refuse('A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.');
    if (content.length === 0) return refuse(`The content field in the Message object at messages.${index} is empty. Add a ContentBlock object to the content field and try again.`);
    const blank = content.findIndex(one => one.text !== undefined && one.text.trim() === '');
    if (blank >= 0) return refuse(`The text field in the ContentBlock object at messages.${index}.content.${blank} is blank. Add text to the text field, and try again.`);
    const calls = (messages[index - 1]?.content ?? []).filter(one => one.toolUse).map(one => one.toolUse.toolUseId);
    const results = content.filter(one => one.toolResult).map(one => one.toolResult.toolUseId);
    if (results.length > calls.length) return refuse(`The number of toolResult blocks at messages.${index}.content exceeds the number of toolUse blocks of previous turn.`);
    const missing = calls.filter(id => !results.includes(id));
    if (missing.length > 0) return refuse(`Expected toolResult blocks at messages.${index}.content for the following Ids: ${missing.join(', ')}`);
    if (content.some(one => one.toolUse) && role !== 'assistant') return refuse(`toolUse blocks are only allowed in assistant messages, at messages.${index}`);
    if (new Set(content.filter(one => one.toolUse).map(one => one.toolUse.toolUseId)).size !== content.filter(one => one.toolUse).length) return refuse(`messages.${index} contains duplicate Ids`);
    const text = content.at(-1).text;
    if (index === messages.length - 1 && role === 'assistant' && text !== undefined && /\s$/.test(text)) return refuse('The model returned the following errors: messages: final assistant content cannot end with trailing whitespace');
    const forged = content.find(one => one.reasoningContent?.reasoningText && one.reasoningContent.reasoningText.signature !== signature(one.reasoningContent.reasoningText.text));
    if (forged) return refuse(`The model returned the following errors: messages.${index}.content.0: Invalid \`signature\` in \`thinking\` block`);
    const named = content.filter(one => one.document).map(one => one.document.name);
    if (new Set(named).size !== named.length) return refuse('The document names in a request must be unique.');
    if (named.length > 0 && !content.some(one => one.text)) return refuse('If you include a document, you must also include a text block.');
  }
  if (messages.at(-1).content.some(one => one.toolUse)) return refuse(`Expected toolResult blocks for the following Ids: ${messages.at(-1).content.filter(one => one.toolUse).map(one => one.toolUse.toolUseId).join(', ')}`);
  return null;
}

/** Rules between fields. */
function checkChat(body, model) {
  if (!(body.messages?.length > 0)) return refuse('The messages field is required and must not be empty.');
  const turns = checkTurns(body.messages);
  if (turns) return turns;
  const called = body.messages.some(({ content }) => content.some(one => one.toolUse || one.toolResult));
  if (called && !body.toolConfig) return refuse('The toolConfig field must be defined when using toolUse and toolResult content blocks.');
  const names = (body.toolConfig?.tools ?? []).filter(tool => tool.toolSpec).map(tool => tool.toolSpec.name);
  if (new Set(names).size !== names.length) return refuse('The tool names in toolConfig must be unique.');
  const flawed = (body.toolConfig?.tools ?? []).findIndex(tool => tool.toolSpec && tool.toolSpec.inputSchema.json.type !== 'object');
  if (flawed >= 0) return refuse(`The value at toolConfig.tools.${flawed}.toolSpec.inputSchema.json.type must be one of the following: object.`);
  const chosen = body.toolConfig?.toolChoice?.tool?.name;
  if (chosen !== undefined && !names.includes(chosen)) return refuse(`The tool ${chosen} in toolChoice is not among the tools.`);
  return checkModelFields(body, model);
}

/** What the models themselves refuse. */
function checkModelFields(body, model) {
  const thinking = body.additionalModelRequestFields?.thinking;
  if (thinking && !/claude/.test(model) && !/^thinking/.test(model)) return refuse('The model returned the following errors: Malformed input request: #: extraneous key [thinking] is not permitted, please reformat your input and try again.');
  if (thinking?.type !== 'enabled') return null;
  if (!(thinking.budget_tokens >= THINKING_TOKENS_MIN)) return refuse('The model returned the following errors: thinking.enabled.budget_tokens: Input should be greater than or equal to 1024');
  if (body.inferenceConfig?.maxTokens !== undefined && thinking.budget_tokens >= body.inferenceConfig.maxTokens) return refuse('The model returned the following errors: `max_tokens` must be greater than `thinking.budget_tokens`.');
  if (body.inferenceConfig?.temperature !== undefined && body.inferenceConfig.temperature !== 1) return refuse('The model returned the following errors: `temperature` may only be set to 1 when thinking is enabled.');
  return body.toolConfig?.toolChoice && !body.toolConfig.toolChoice.auto ? refuse('The model returned the following errors: Thinking may not be enabled when tool_choice forces tool use.') : null;
}

const resultText = content => content.map(one => one.text ?? (one.json === undefined ? '' : typeof one.json === 'string' ? one.json : one.json?.result ?? JSON.stringify(one.json))).join('');

function questionOf(body, model) {
  const { messages } = body;
  const results = messages.at(-1).content.filter(one => one.toolResult).map(one => resultText(one.toolResult.content));
  const spoken = messages.filter(({ role }) => role === 'user').map(({ content }) => content.map(one => one.text ?? one.guardContent?.text?.text ?? '').join('')).filter(said => said !== '');
  const chosen = body.toolConfig?.toolChoice ?? {};
  return {
    model: body.additionalModelRequestFields?.thinking?.type === 'enabled' ? `thinking ${model}` : model, text: spoken.at(-1) ?? '',
    tools: (body.toolConfig?.tools ?? []).filter(tool => tool.toolSpec).map(({ toolSpec }) => ({ name: toolSpec.name, schema: toolSpec.inputSchema.json })), forced: chosen.any ? 'any' : chosen.tool?.name, parallel: body.additionalModelRequestFields?.tool_choice?.disable_parallel_tool_use === true ? false : undefined,
    results: results.length > 0 ? results : undefined, format: body.outputConfig?.textFormat ? { schema: JSON.parse(body.outputConfig.textFormat.structure?.jsonSchema?.schema ?? '{}') } : undefined, outputMax: body.inferenceConfig?.maxTokens,
    inputText: [...(body.system ?? []), ...messages.flatMap(({ content }) => content)].map(one => one.text ?? JSON.stringify(one.toolUse?.input ?? one.toolResult?.content ?? '')).join('\n'), images: messages.flatMap(({ content }) => content).filter(one => one.image).length,
  };
}

/** Input excludes what the cache held. */
const usageBody = usage => ({ inputTokens: usage.input - usage.cached, outputTokens: usage.output, totalTokens: usage.input + usage.output, ...(usage.cached > 0 ? { cacheReadInputTokens: usage.cached, cacheWriteInputTokens: 0 } : {}) });
const isForced = body => body.toolConfig?.toolChoice?.any !== undefined || body.toolConfig?.toolChoice?.tool !== undefined;

function blocksOf(body, answer) {
  const blocks = answer.reasoning ? [{ reasoningContent: { reasoningText: { text: answer.reasoning, signature: signature(answer.reasoning) } } }] : [];
  if (answer.calls.length > 0) {
    if (!isForced(body)) blocks.push({ text: 'I use a tool.' });
    for (const one of answer.calls) blocks.push({ toolUse: { toolUseId: `tooluse_${one.id.slice(0, 22)}`, name: one.name, input: one.arguments } });
  } else if (!answer.refusal) blocks.push({ text: answer.text });
  return blocks;
}

function chatBody(body, model) {
  const answer = decide(questionOf(body, model));
  const whole = { output: { message: { role: 'assistant', content: blocksOf(body, answer) } }, stopReason: STOP[answer.finish], usage: usageBody(answer.usage), metrics: { latencyMs: 12 } };
  if (/^no-usage/.test(model)) delete whole.usage;
  return whole;
}

const event = (type, payload) => frame({ ':event-type': type, ':content-type': 'application/json', ':message-type': 'event' }, { ...payload, p: 'abcdefgh' });

function blockEvents(one, contentBlockIndex) {
  const delta = value => event('contentBlockDelta', { contentBlockIndex, delta: value });
  const events = [];
  if (one.toolUse) {
    const { toolUseId, name, input } = one.toolUse;
    events.push(event('contentBlockStart', { contentBlockIndex, start: { toolUse: { toolUseId, name } } }));
    for (const piece of Object.keys(input).length === 0 ? [] : JSON.stringify(input).match(/[\s\S]{1,6}/g)) events.push(delta({ toolUse: { input: piece } }));
  } else if (one.reasoningContent) {
    for (const piece of piecesOf(one.reasoningContent.reasoningText.text)) events.push(delta({ reasoningContent: { text: piece } }));
    events.push(delta({ reasoningContent: { signature: one.reasoningContent.reasoningText.signature } }));
  } else for (const piece of piecesOf(one.text)) events.push(delta({ text: piece }));
  return [...events, event('contentBlockStop', { contentBlockIndex })];
}

function chatEvents(body, model) {
  const answer = decide(questionOf(body, model));
  const events = [event('messageStart', { role: 'assistant' }), ...blocksOf(body, answer).flatMap(blockEvents), event('messageStop', { stopReason: STOP[answer.finish] })];
  return { events, end: event('metadata', { ...(/^no-usage/.test(model) ? {} : { usage: usageBody(answer.usage) }), metrics: { latencyMs: 12 } }) };
}

const TYPES = { 400: 'ValidationException', 401: 'UnrecognizedClientException', 403: 'AccessDeniedException', 404: 'ResourceNotFoundException', 408: 'ModelTimeoutException', 424: 'ModelErrorException', 429: 'ThrottlingException', 500: 'InternalServerException', 503: 'ServiceUnavailableException' };
const REASONS = {
  'context-length': 'Input is too long for requested model.', quota: 'Too many tokens per day, please wait before trying again.', 'content-policy': 'The model returned the following errors: Output blocked by content filtering policy',
  country: 'Access to this model is not available for channel program accounts. Reach out to your AWS Solution Provider or AWS Distributor for more information.',
};

/** The wire. */
export const bedrock = () => ({
  operations: { chat: { shape: chat, schema: 'ConverseRequest', check: checkChat, streamed: (_body, route) => route.stream, body: chatBody, events: chatEvents } },
  spec: 'bedrock',
  worded,
  errorBody: problem => ({ message: problem.message ?? REASONS[problem.reason] ?? (problem.status === 429 ? 'Too many requests, please wait before trying again.' : `The mock answers ${problem.status}, as it was asked to.`) }),
  errorHeaders: problem => ({ 'x-amzn-errortype': `${problem.type ?? TYPES[problem.status] ?? 'InternalServerException'}:http://internal.amazon.com/coral/com.amazon.bedrock/` }),
  statusOf: problem => problem.status,
  streamType: 'application/vnd.amazon.eventstream',
  authenticate(headers, key, request) {
    if (headers.authorization === undefined) return { status: 403, type: 'MissingAuthenticationTokenException', message: 'Missing Authentication Token' };
    if (headers.authorization.startsWith('Bearer ')) return headers.authorization === `Bearer ${key.bearer}` ? null : { status: 403, type: 'AccessDeniedException', message: 'Authentication failed: Please make sure your API Key is valid.' };
    return signatureProblem({ ...request, headers }, key, SCOPE);
  },
  route(method, path) {
    const called = /^\/model\/([^/]+)\/converse(-stream)?$/.exec(path);
    return method === 'POST' && called ? { op: 'chat', model: decodeURIComponent(called[1]), stream: called[2] !== undefined } : null;
  },
  errorEvent: () => frame({ ':exception-type': 'modelStreamErrorException', ':content-type': 'application/json', ':message-type': 'exception' }, { message: 'The model had an error while it was streaming.', originalStatusCode: 500 }),
  hugeEvent: bytes => event('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'x'.repeat(bytes) } }),
  headers: id => ({ 'x-amzn-requestid': `b-${id}` }),
});
