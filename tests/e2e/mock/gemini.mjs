// Google's wire: generateContent, streamGenerateContent, batchEmbedContents, models. What the real API refuses is refused here.
// Follows https://ai.google.dev/api (v1beta). Fields may be camelCase or snake_case, as in any proto3 JSON.

import { any, array, boolean, check, choice, integer, map, number, object, string } from './shape.mjs';
import { decide, digest, piecesOf, vector } from './answer.mjs';

const FINISH = { stop: 'STOP', length: 'MAX_TOKENS', tool: 'STOP', refusal: 'SAFETY' };
/** The signatures that Google documents for histories that come from elsewhere, as they are and as bytes are written in JSON. */
const NO_SIGNATURE = ['skip_thought_signature_validator', 'context_engineering_is_the_way_to_go'].flatMap(text => [text, Buffer.from(text).toString('base64')]);
/** Families that want the thought signature back with a function call. */
const SIGNS = /^gemini-3/;
/** Families that cannot call functions and answer in JSON at once. */
const NO_JSON_WITH_TOOLS = /^gemini-2/;
const NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/;
const BASE64 = /^[A-Za-z0-9+/_-]+=*$/;

const schema = (value, path, faults) => SCHEMA(value, path, faults);
const SCHEMA = object({
  'type': choice('STRING', 'NUMBER', 'INTEGER', 'BOOLEAN', 'ARRAY', 'OBJECT', 'NULL', 'string', 'number', 'integer', 'boolean', 'array', 'object', 'null'),
  format: string(), title: string(), description: string(), nullable: boolean, enum: array(string()), items: schema, maxItems: any, minItems: any, properties: map(schema),
  required: array(string()), minProperties: any, maxProperties: any, minimum: number(), maximum: number(), minLength: any, maxLength: any, pattern: string(), example: any,
  anyOf: array(schema), propertyOrdering: array(string()), default: any,
});
const blob = object({ 'mimeType!': string({ pattern: /^[a-z]+\/[\w.+-]+$/ }), 'data!': string({ min: 1, pattern: BASE64 }), displayName: string() });
const part = object({
  text: string(), inlineData: blob, fileData: object({ mimeType: string(), 'fileUri!': string() }), thought: boolean, thoughtSignature: string({ pattern: /^[A-Za-z0-9+/_-]+=*$/ }),
  functionCall: object({ id: string(), 'name!': string({ pattern: NAME }), args: map(any) }),
  functionResponse: object({ id: string(), 'name!': string({ pattern: NAME }), 'response!': map(any), parts: array(object({ inlineData: blob })), willContinue: boolean, scheduling: string() }),
  executableCode: map(any), codeExecutionResult: map(any), videoMetadata: map(any), partMetadata: map(any), mediaResolution: map(any),
});
const content = object({ role: string(), 'parts!': array(part, { min: 1 }) });
const declaration = object({
  'name!': string({ pattern: NAME }), description: string(), parameters: schema, parametersJsonSchema: any, response: schema, responseJsonSchema: any, behavior: string(),
});
const generationConfig = object({
  candidateCount: integer({ min: 1, max: 8 }), stopSequences: array(string({ min: 1 }), { max: 5 }), maxOutputTokens: integer({ min: 1 }), temperature: number({ min: 0, max: 2 }), topP: number({ min: 0, max: 1 }),
  topK: integer({ min: 1 }), seed: integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), responseMimeType: choice('text/plain', 'application/json', 'text/x.enum'), responseSchema: schema, responseJsonSchema: any,
  presencePenalty: number({ min: -2, max: 2 }), frequencyPenalty: number({ min: -2, max: 2 }), responseLogprobs: boolean, logprobs: integer({ min: 0, max: 20 }), responseModalities: array(string()),
  speechConfig: any, mediaResolution: string(), imageConfig: any, enableEnhancedCivicAnswers: boolean,
  thinkingConfig: object({ includeThoughts: boolean, thinkingBudget: integer({ min: -1 }), thinkingLevel: choice('MINIMAL', 'LOW', 'MEDIUM', 'HIGH', 'minimal', 'low', 'medium', 'high') }),
});
const chat = object({
  model: string({ pattern: /^models\// }), 'contents!': array(content, { min: 1 }), systemInstruction: object({ role: string(), 'parts!': array(part, { min: 1 }) }),
  tools: array(object({ functionDeclarations: array(declaration, { min: 1 }), googleSearch: any, googleSearchRetrieval: any, codeExecution: any, urlContext: any, computerUse: any, fileSearch: any, googleMaps: any })),
  toolConfig: object({ functionCallingConfig: object({ mode: choice('AUTO', 'ANY', 'NONE', 'VALIDATED'), allowedFunctionNames: array(string()) }), retrievalConfig: any, includeServerSideToolInvocations: boolean }),
  safetySettings: array(object({ 'category!': string({ pattern: /^HARM_CATEGORY_/ }), 'threshold!': choice('HARM_BLOCK_THRESHOLD_UNSPECIFIED', 'BLOCK_LOW_AND_ABOVE', 'BLOCK_MEDIUM_AND_ABOVE', 'BLOCK_ONLY_HIGH', 'BLOCK_NONE', 'OFF') })),
  generationConfig, cachedContent: string(), labels: map(string()), serviceTier: string(), store: boolean,
});
const embedding = object({
  'model!': string({ pattern: /^models\// }), 'content!': content, taskType: choice('TASK_TYPE_UNSPECIFIED', 'RETRIEVAL_QUERY', 'RETRIEVAL_DOCUMENT', 'SEMANTIC_SIMILARITY', 'CLASSIFICATION', 'CLUSTERING', 'QUESTION_ANSWERING', 'FACT_VERIFICATION', 'CODE_RETRIEVAL_QUERY'),
  title: string(), outputDimensionality: integer({ min: 1, max: 3072 }),
});
const batch = object({ 'requests!': array(embedding, { min: 1, max: 100 }) });

/** Fields whose content is the caller's own and keeps its spelling. */
const FREE = new Set(['args', 'response', 'properties', 'parametersJsonSchema', 'responseJsonSchema', 'parameters_json_schema', 'response_json_schema', 'labels', 'default', 'example']);
const camel = name => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

/** The same message with camelCase names. */
function normal(value, free = false) {
  if (Array.isArray(value)) return value.map(item => normal(item, free));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => {
    const renamed = free ? name : camel(name);
    if (renamed === 'properties' && !free) return [renamed, Object.fromEntries(Object.entries(inner ?? {}).map(([property, one]) => [property, normal(one)]))];
    return [renamed, normal(inner, free || FREE.has(renamed))];
  }));
}

const refuse = message => ({ status: 400, message });
const snake = path => path.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);

/** The first fault, as Google words it. */
function worded({ path, kind, want, got }) {
  const parent = snake(path.replace(/\.?[^.]*$/, ''));
  if (kind === 'unknown') return refuse(`Invalid JSON payload received. Unknown name "${got}"${parent ? ` at '${parent}'` : ''}: Cannot find field.`);
  if (kind === 'missing') return refuse(`* GenerateContentRequest.${snake(path)}: ${snake(want)} is not specified`);
  if (kind === 'type') return refuse(`Invalid value at '${snake(path)}' (${want}), ${got}`);
  return refuse(`* GenerateContentRequest.${snake(path)}: Invalid value: expected ${want}, got "${got}"`);
}

const DATA = ['text', 'inlineData', 'fileData', 'functionCall', 'functionResponse', 'executableCode', 'codeExecutionResult'];

function checkParts(contents) {
  for (const [index, { role, parts }] of contents.entries()) {
    if (role !== undefined && !['user', 'model', 'function'].includes(role)) return refuse('Please use a valid role: user, model.');
    if (role === undefined && contents.length > 1) return refuse('Please use a valid role: user, model.');
    for (const [at, one] of parts.entries()) {
      const given = DATA.filter(name => one[name] !== undefined);
      const path = `GenerateContentRequest.contents[${index}].parts[${at}].data`;
      if (given.length === 0 && one.thoughtSignature === undefined) return refuse(`* ${path}: required oneof field 'data' must have one initialized field`);
      if (given.length > 1) return refuse(`Invalid value at 'contents[${index}].parts[${at}]' (oneof), oneof field 'data' is already set. Cannot set '${given[1]}'`);
      if (one.functionCall && role !== 'model') return refuse(`* GenerateContentRequest.contents[${index}].parts[${at}]: function calls come from the model`);
      if (one.functionResponse && role === 'model') return refuse(`* GenerateContentRequest.contents[${index}].parts[${at}]: function responses come from the user`);
    }
  }
  return null;
}

/** Turns in which functions are called and answered. */
function checkTurns(contents, model) {
  const turns = [];
  for (const { role, parts } of contents) {
    const who = role === 'model' ? 'model' : 'user';
    if (turns.at(-1)?.who === who) turns.at(-1).parts.push(...parts);
    else turns.push({ who, parts: [...parts] });
  }
  for (const [index, turn] of turns.entries()) {
    const calls = turn.parts.filter(one => one.functionCall);
    const answers = turn.parts.filter(one => one.functionResponse);
    const asked = turns[index - 1]?.parts.filter(one => one.functionCall) ?? [];
    if (calls.length > 0 && index === 0) return refuse('Please ensure that function call turn comes immediately after a user turn or after a function response turn.');
    if (answers.length > 0 && asked.length === 0) return refuse('Please ensure that function response turn comes immediately after a function call turn.');
    if (asked.length > 0 && answers.length !== asked.length) return refuse('Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.');
    const names = found => found.map(one => (one.functionCall ?? one.functionResponse).name).sort().join();
    if (asked.length > 0 && names(asked) !== names(answers)) return refuse('Please ensure that function response names match the function calls of the function call turn.');
    if (calls.length > 0 && index === turns.length - 1) return refuse('Please ensure that function call turn is followed by a function response turn.');
    const first = calls[0];
    if (SIGNS.test(model) && first && first.thoughtSignature === undefined) return refuse(`Function call is missing a thought_signature in functionCall parts. Function \`${first.functionCall.name}\`, position ${index + 1}.`);
    const forged = turn.parts.find(one => one.thoughtSignature !== undefined && !NO_SIGNATURE.includes(one.thoughtSignature) && !isSignature(one.thoughtSignature));
    if (forged) return refuse('Thought signature is not valid.');
  }
  return null;
}

/** Only Google can sign a thought: its signatures carry a check of their own. */
function signatureOf(seed) {
  const core = digest('thought', seed).slice(0, 32);
  return Buffer.from(core + digest('sealed', core).slice(0, 16)).toString('base64');
}
function isSignature(value) {
  const plain = Buffer.from(value, 'base64').toString();
  return plain.length === 48 && digest('sealed', plain.slice(0, 32)).slice(0, 16) === plain.slice(32);
}

/** What Google's schema dialect wants beyond its fields. */
function checkSchema(node, path) {
  if (!node || typeof node !== 'object') return null;
  const type = String(node.type ?? '').toUpperCase();
  if (type === '' && !node.anyOf) return refuse(`* ${path}.type: must be specified`);
  if (type === 'OBJECT' && node.properties && Object.keys(node.properties).length === 0) return refuse(`* ${path}.properties: should be non-empty for OBJECT type`);
  if (type === 'ARRAY' && !node.items) return refuse(`* ${path}.items: missing field.`);
  if (node.enum && type !== 'STRING') return refuse(`* ${path}.enum: only allowed for STRING type`);
  if (node.enum?.includes('')) return refuse(`* ${path}.enum[0]: cannot be empty`);
  if (type === 'STRING' && node.format && !['enum', 'date-time'].includes(node.format)) return refuse(`* ${path}.format: only 'enum' and 'date-time' are supported for STRING type`);
  const stray = (node.required ?? []).find(name => !Object.hasOwn(node.properties ?? {}, name));
  if (stray) return refuse(`* ${path}.required[0]: property is not defined`);
  for (const [name, inner] of Object.entries(node.properties ?? {})) {
    const problem = checkSchema(inner, `${path}.properties[${name}]`);
    if (problem) return problem;
  }
  return (node.items && checkSchema(node.items, `${path}.items`)) ?? (node.anyOf ?? []).map(inner => checkSchema(inner, `${path}.any_of`)).find(Boolean) ?? null;
}

function checkTools(body, model) {
  const declared = (body.tools ?? []).flatMap(tool => tool.functionDeclarations ?? []);
  const names = declared.map(one => one.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice) return refuse(`Duplicate function declaration found: ${twice}`);
  for (const [index, one] of declared.entries()) {
    if (one.parameters && one.parametersJsonSchema !== undefined) return refuse('parameters and parameters_json_schema must not both be set');
    const problem = one.parameters && checkSchema(one.parameters, `GenerateContentRequest.tools[0].function_declarations[${index}].parameters`);
    if (problem) return problem;
  }
  const calling = body.toolConfig?.functionCallingConfig;
  if (calling && calling.mode !== 'NONE' && calling.mode !== 'AUTO' && names.length === 0) return refuse('Function calling config is set without function_declarations.');
  if (calling?.allowedFunctionNames?.length > 0 && !['ANY', 'VALIDATED'].includes(calling.mode)) return refuse('Allowed function names should only be set when function calling mode is ANY.');
  const stray = calling?.allowedFunctionNames?.find(name => !names.includes(name));
  if (stray) return refuse(`* GenerateContentRequest.tool_config.function_calling_config.allowed_function_names: "${stray}" is not declared`);
  if (names.length > 0 && body.generationConfig?.responseMimeType === 'application/json' && NO_JSON_WITH_TOOLS.test(model)) return refuse("Function calling with a response mime type: 'application/json' is unsupported");
  return null;
}

function checkChat(body, model) {
  const config = body.generationConfig ?? {};
  if ((config.responseSchema || config.responseJsonSchema) && !['application/json', 'text/x.enum'].includes(config.responseMimeType)) return refuse('* GenerateContentRequest.generation_config.response_mime_type: must be set when a response schema is');
  if (config.responseSchema && config.responseJsonSchema) return refuse('response_schema and response_json_schema must not both be set');
  if (config.logprobs !== undefined && config.responseLogprobs !== true) return refuse('logprobs is set without response_logprobs');
  if (config.thinkingConfig?.thinkingBudget !== undefined && config.thinkingConfig.thinkingLevel !== undefined) return refuse('You can only set only one of thinking budget and thinking level.');
  return checkParts(body.contents) ?? checkTurns(body.contents, model) ?? (config.responseSchema ? checkSchema(config.responseSchema, 'GenerateContentRequest.generation_config.response_schema') : null) ?? checkTools(body, model);
}

const spoken = parts => parts.filter(one => one.text !== undefined && !one.thought).map(one => one.text).join('');

function questionOf(body, model) {
  const last = body.contents.at(-1);
  const users = body.contents.filter(one => one.role !== 'model').map(one => spoken(one.parts)).filter(said => said !== '');
  const results = [];
  for (let index = body.contents.length - 1; index >= 0 && body.contents[index].role !== 'model'; index -= 1) {
    results.unshift(...body.contents[index].parts.filter(one => one.functionResponse).map(one => {
      const { response } = one.functionResponse;
      return typeof (response.result ?? response.output ?? response.content) === 'string' ? response.result ?? response.output ?? response.content : JSON.stringify(response);
    }));
  }
  const calling = body.toolConfig?.functionCallingConfig;
  const only = calling?.mode === 'ANY' && calling.allowedFunctionNames?.length === 1 ? calling.allowedFunctionNames[0] : undefined;
  const config = body.generationConfig ?? {};
  return {
    model, text: users.at(-1) ?? '',
    tools: (body.tools ?? []).flatMap(tool => tool.functionDeclarations ?? []).map(one => ({ name: one.name, schema: one.parametersJsonSchema ?? one.parameters })),
    forced: only ?? (calling?.mode === 'ANY' ? 'any' : calling?.mode === 'NONE' ? 'none' : undefined),
    parallel: undefined,
    results: last.role !== 'model' && results.length > 0 ? results : undefined,
    format: config.responseMimeType === 'application/json' ? { schema: config.responseJsonSchema ?? config.responseSchema } : undefined,
    outputMax: config.maxOutputTokens,
    inputText: [body.systemInstruction, ...body.contents].filter(Boolean).flatMap(one => one.parts).map(one => one.text ?? JSON.stringify(one.functionCall?.args ?? one.functionResponse?.response ?? '')).join('\n'),
    images: body.contents.flatMap(one => one.parts).filter(one => one.inlineData?.mimeType?.startsWith('image/') || one.fileData).length,
  };
}

function usageBody(usage) {
  const visible = usage.output - usage.reasoning;
  return {
    promptTokenCount: usage.input, candidatesTokenCount: visible, totalTokenCount: usage.input + usage.output,
    ...(usage.cached > 0 ? { cachedContentTokenCount: usage.cached } : {}), promptTokensDetails: [{ modality: 'TEXT', tokenCount: usage.input }],
    ...(usage.reasoning > 0 ? { thoughtsTokenCount: usage.reasoning } : {}),
  };
}

const RATINGS = ['HATE_SPEECH', 'DANGEROUS_CONTENT', 'HARASSMENT', 'SEXUALLY_EXPLICIT'].map(name => ({ category: `HARM_CATEGORY_${name}`, probability: 'NEGLIGIBLE' }));

/** The answer in parts, in the order in which they come. Only the first call of a turn is signed. */
function partsOf(answer, model) {
  const parts = answer.reasoning ? piecesOf(answer.reasoning).map(piece => ({ text: piece, thought: true })) : [];
  const sign = SIGNS.test(model) || /^thinking/.test(model);
  answer.calls.forEach((call, index) => parts.push({
    functionCall: { name: call.name, args: call.arguments, ...(SIGNS.test(model) ? { id: call.id.slice(0, 8) } : {}) },
    ...(sign && index === 0 ? { thoughtSignature: signatureOf(call.id) } : {}),
  }));
  if (answer.calls.length === 0 && !answer.refusal) parts.push(...piecesOf(answer.text).map(piece => ({ text: piece })));
  return parts;
}

const tail = (body, model) => ({ modelVersion: model, responseId: digest('generate', model, body).slice(0, 22) });

function chatBody(body, model) {
  const answer = decide(questionOf(body, model));
  const parts = partsOf(answer, model);
  const joined = parts.reduce((merged, one) => {
    const before = merged.at(-1);
    if (before?.text !== undefined && one.text !== undefined && Boolean(before.thought) === Boolean(one.thought)) merged.splice(-1, 1, { ...before, text: before.text + one.text });
    else merged.push(one);
    return merged;
  }, []);
  const candidate = { ...(joined.length > 0 ? { content: { parts: joined, role: 'model' } } : {}), finishReason: FINISH[answer.finish], index: 0, ...(answer.refusal ? { safetyRatings: RATINGS } : {}) };
  const candidates = Array.from({ length: body.generationConfig?.candidateCount ?? 1 }, (_, index) => ({ ...candidate, index }));
  const response = { candidates, usageMetadata: usageBody({ ...answer.usage, output: answer.usage.output * candidates.length }), ...tail(body, model) };
  if (/^no-usage/.test(model)) delete response.usageMetadata;
  return response;
}

const frame = data => `data: ${JSON.stringify(data)}\r\n\r\n`;

/** Two pieces of text an event, a call an event; the last one says why it stopped. Usage grows with each. */
function chatEvents(body, model) {
  const answer = decide(questionOf(body, model));
  const parts = partsOf(answer, model);
  const groups = [];
  for (const one of parts) {
    const before = groups.at(-1);
    if (one.text !== undefined && before?.[0].text !== undefined && before.length < 2 && Boolean(before[0].thought) === Boolean(one.thought)) before.push(one);
    else groups.push([one]);
  }
  let shown = 0;
  const events = groups.map(group => {
    shown += group.length;
    const merged = group[0].text === undefined ? group : [{ ...group[0], text: group.map(one => one.text).join('') }];
    const usage = usageBody({ ...answer.usage, output: Math.min(shown, answer.usage.output), reasoning: Math.min(shown, answer.usage.reasoning) });
    return frame({ candidates: [{ content: { parts: merged, role: 'model' }, index: 0 }], ...(/^no-usage/.test(model) ? {} : { usageMetadata: usage }), ...tail(body, model) });
  });
  const last = answer.refusal ? {} : { content: { parts: [{ text: '' }], role: 'model' } };
  const end = frame({ candidates: [{ ...last, finishReason: FINISH[answer.finish], index: 0 }], ...(/^no-usage/.test(model) ? {} : { usageMetadata: usageBody(answer.usage) }), ...tail(body, model) });
  return { events, end };
}

function embeddingsBody(body) {
  return { embeddings: body.requests.map(one => ({ values: vector(spoken(one.content.parts), one.outputDimensionality ?? 768) })) };
}

const STATUS = { 400: 'INVALID_ARGUMENT', 401: 'UNAUTHENTICATED', 403: 'PERMISSION_DENIED', 404: 'NOT_FOUND', 429: 'RESOURCE_EXHAUSTED', 500: 'INTERNAL', 503: 'UNAVAILABLE', 504: 'DEADLINE_EXCEEDED' };
const REASONS = {
  quota: 'You exceeded your current quota, please check your plan and billing details.',
  'context-length': 'The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).',
  'content-policy': 'The request was blocked by the safety policy.',
  country: 'User location is not supported for the API use.',
};

/** A caller from the wrong country is a 400 here. */
const statusOf = problem => (problem.reason === 'country' ? 400 : problem.status);

function errorBody(problem) {
  const details = [];
  if (problem.retryAfter !== undefined) details.push({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${problem.retryAfter}s` });
  if (problem.reason === 'quota') details.push({ '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }] });
  const status = problem.reason === 'country' ? 'FAILED_PRECONDITION' : STATUS[problem.status] ?? 'UNKNOWN';
  return { error: { code: statusOf(problem), message: problem.message ?? REASONS[problem.reason] ?? `The mock answers ${problem.status}, as it was asked to.`, status, ...(details.length > 0 ? { details } : {}) } };
}

const countShape = object({ contents: array(content, { min: 1 }), generateContentRequest: chat });
const single = object({ model: string({ pattern: /^models\// }), 'content!': content, taskType: string(), title: string(), outputDimensionality: integer({ min: 1, max: 3072 }) });

function countBody(body, model) {
  const asked = body.generateContentRequest ?? { contents: body.contents };
  const total = decide(questionOf(asked, model)).usage.input;
  return { totalTokens: total, promptTokensDetails: [{ modality: 'TEXT', tokenCount: total }] };
}

export const operations = {
  chat: { shape: chat, schema: 'GenerateContentRequest', normal, check: checkChat, streamed: (_body, route) => route.stream === true, body: chatBody, events: chatEvents },
  count: {
    shape: countShape, schema: 'CountTokensRequest', normal, body: countBody,
    check: (body, model) => (body.generateContentRequest && body.contents ? refuse('only one of contents and generate_content_request may be set') : !body.contents && !body.generateContentRequest ? refuse('* CountTokensRequest.contents: contents is not specified') : checkParts((body.generateContentRequest ?? body).contents, model)),
  },
  embeddings: {
    shape: batch, schema: 'BatchEmbedContentsRequest', normal, body: embeddingsBody,
    check: (body, model) => (body.requests.every(one => one.model === `models/${model}`) ? null : refuse('* BatchEmbedContentsRequest.requests[0].model: must match the model of the batch request')),
  },
  embedding: { shape: single, schema: 'EmbedContentRequest', normal, body: body => ({ embedding: embeddingsBody({ requests: [body] }).embeddings[0] }) },
};
export const METHODS = { generateContent: 'chat', streamGenerateContent: 'chat', countTokens: 'count', batchEmbedContents: 'embeddings', embedContent: 'embedding' };

const MODELS = ['gemini-2.5-flash', 'gemini-3-pro', 'gemini-embedding-001'];
const modelBody = id => ({ name: `models/${id}`, version: '001', displayName: id, inputTokenLimit: 1_048_576, outputTokenLimit: 65_536, supportedGenerationMethods: ['generateContent', 'countTokens'] });

/** The wire. */
export const gemini = () => ({
  operations,
  spec: 'gemini',
  worded,
  errorBody,
  statusOf,
  retryAfterInBody: true,
  streamType: 'text/event-stream',
  authenticate(headers, key, { query }) {
    const given = headers['x-goog-api-key'] ?? query.get('key');
    if (given == null) return { status: 403, message: "Method doesn't allow unregistered callers (callers without established identity)." };
    return given === key ? null : { status: 400, message: 'API key not valid. Please pass a valid API key.' };
  },
  route(method, path, query) {
    const called = /^\/v1(?:beta)?\/models\/([^/:]+):(\w+)$/.exec(path);
    if (method === 'POST' && called && Object.hasOwn(METHODS, called[2])) {
      const stream = called[2] === 'streamGenerateContent';
      return { op: METHODS[called[2]], model: decodeURIComponent(called[1]), stream, json: stream && query.get('alt') !== 'sse' };
    }
    const listed = /^\/v1(?:beta)?\/models(?:\/([^/:]+))?$/.exec(path);
    return method === 'GET' && listed ? { op: 'models', id: listed[1] } : null;
  },
  errorEvent: () => frame({ error: { code: 503, message: 'The model is overloaded. Please try again later.', status: 'UNAVAILABLE' } }),
  hugeEvent: bytes => frame({ candidates: [{ content: { parts: [{ text: 'x'.repeat(bytes) }], role: 'model' }, index: 0 }] }),
  models: ({ id }) => (id === undefined ? { models: MODELS.map(modelBody) } : modelBody(id)),
  headers: () => ({ 'server-timing': 'gfet4t7; dur=12', vary: 'Origin, X-Origin, Referer' }),
});
