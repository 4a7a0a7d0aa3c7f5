// OpenAI's Responses: what the real API refuses is refused here, in its words.
// Follows https://platform.openai.com/docs/api-reference/responses.

import { createHmac } from 'node:crypto';

import { any, array, boolean, choice, integer, map, nullable, number, object, string, stringOr, tagged } from './shape.mjs';
import { decide, digest, piecesOf } from './answer.mjs';

const CREATED = 1_790_000_000;
/** So many answers are remembered for `previous_response_id`. */
const STORED_MAX = 1_000;
const NAME = string({ pattern: /^[a-zA-Z0-9_-]{1,128}$/ });
const CALL_ID = string({ min: 1, max: 64 });
const identifier = prefix => string({ pattern: new RegExp(`^${prefix}_`) });
/** Families that reason of their own accord. */
const REASONS = /^(o\d|gpt-5|thinking)/;

const text = object({ 'type!': any, 'text!': string(), prompt_cache_breakpoint: any });
const image = object({ 'type!': any, detail: nullable(choice('auto', 'low', 'high', 'original')), image_url: nullable(string({ pattern: /^(https?:\/\/|data:image\/(png|jpeg|gif|webp);base64,)/ })), file_id: nullable(string()) });
const file = object({ 'type!': any, file_id: nullable(string()), file_data: string(), file_url: string(), filename: string(), detail: any });
const INPUT = { input_text: text, input_image: image, input_file: file };
const OUTPUT = {
  output_text: object({ 'type!': any, 'text!': string(), annotations: array(any), logprobs: array(any) }),
  refusal: object({ 'type!': any, 'refusal!': string() }),
};
const input = stringOr(array(tagged('type', INPUT)));
const message = tagged('role', {
  user: object({ type: choice('message'), 'role!': any, 'content!': input, id: string(), status: string() }),
  system: object({ type: choice('message'), 'role!': any, 'content!': input, id: string(), status: string() }),
  developer: object({ type: choice('message'), 'role!': any, 'content!': input, id: string(), status: string() }),
  assistant: object({ type: choice('message'), 'role!': any, 'content!': stringOr(array(tagged('type', OUTPUT))), id: identifier('msg'), status: string(), phase: nullable(string()) }),
});
const status = choice('in_progress', 'completed', 'incomplete');
const ITEMS = {
  message,
  function_call: object({ 'type!': any, 'call_id!': CALL_ID, 'name!': NAME, 'arguments!': string(), id: identifier('fc'), status, namespace: string() }),
  function_call_output: object({ 'type!': any, 'call_id!': CALL_ID, 'output!': input, id: nullable(string()), status: nullable(status), name: nullable(string()), namespace: nullable(string()), caller: any }),
  reasoning: object({
    'type!': any, 'id': identifier('rs'), 'summary!': array(object({ 'type!': choice('summary_text'), 'text!': string() })), content: nullable(array(object({ 'type!': choice('reasoning_text'), 'text!': string() }))),
    encrypted_content: nullable(string()), status: nullable(status),
  }),
  item_reference: object({ 'type!': any, 'id!': string() }),
  custom_tool_call: map(any), custom_tool_call_output: map(any), web_search_call: map(any), file_search_call: map(any), code_interpreter_call: map(any), image_generation_call: map(any),
  computer_call: map(any), computer_call_output: map(any), local_shell_call: map(any), local_shell_call_output: map(any), mcp_call: map(any), mcp_list_tools: map(any), compaction: map(any),
};
const item = (value, path, faults) => (value !== null && typeof value === 'object' && value.type === undefined ? message : tagged('type', ITEMS))(value, path, faults);
const TOOLS = {
  function: object({ 'type!': any, 'name!': NAME, description: nullable(string()), parameters: nullable(map(any)), strict: nullable(boolean), defer_loading: boolean }),
  custom: map(any), web_search: map(any), web_search_preview: map(any), file_search: map(any), code_interpreter: map(any), image_generation: map(any), mcp: map(any), computer_use_preview: map(any), local_shell: map(any),
};
const FORMATS = {
  text: object({ 'type!': any }), json_object: object({ 'type!': any }),
  json_schema: object({ 'type!': any, 'name!': NAME, 'schema!': map(any), description: nullable(string()), strict: nullable(boolean) }),
};
const named = object({ 'type!': any, 'name!': string() });

/** The shape of a request. */
export const shape = object({
  'model!': string({ min: 1 }), input: stringOr(array(item)), background: nullable(boolean), context_management: any, conversation: any,
  include: nullable(array(choice('reasoning.encrypted_content', 'message.output_text.logprobs', 'message.input_image.image_url', 'file_search_call.results', 'web_search_call.results', 'web_search_call.action.sources', 'code_interpreter_call.outputs', 'computer_call_output.output.image_url'))),
  instructions: nullable(string()), max_output_tokens: nullable(integer({ min: 16 })), max_tool_calls: nullable(integer({ min: 1 })), metadata: nullable(map(string({ max: 512 }), { max: 16 })),
  parallel_tool_calls: nullable(boolean), previous_response_id: nullable(string()), prompt: any, prompt_cache_key: nullable(string()), prompt_cache_retention: nullable(choice('in-memory', 'in_memory', '24h')), prompt_cache_options: any,
  reasoning: nullable(object({ effort: nullable(choice('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max')), summary: nullable(choice('auto', 'concise', 'detailed')), generate_summary: nullable(string()) })),
  safety_identifier: nullable(string({ max: 64 })), service_tier: nullable(choice('auto', 'default', 'flex', 'scale', 'priority', 'fast', 'standard')), store: nullable(boolean), stream: nullable(boolean),
  stream_options: nullable(object({ include_obfuscation: boolean })), temperature: nullable(number({ min: 0, max: 2 })),
  text: object({ format: tagged('type', FORMATS), verbosity: nullable(choice('low', 'medium', 'high')) }),
  tool_choice: (value, path, faults) => (typeof value === 'string' ? choice('none', 'auto', 'required') : tagged('type', { function: named, custom: named, allowed_tools: map(any), file_search: map(any), web_search_preview: map(any), mcp: map(any) }))(value, path, faults),
  tools: array(tagged('type', TOOLS), { max: 128 }), top_logprobs: nullable(integer({ min: 0, max: 20 })), top_p: nullable(number({ min: 0, max: 1 })), truncation: nullable(choice('auto', 'disabled')), user: nullable(string()),
});

const refuse = (messageText, param, code = null) => ({ status: 400, message: messageText, param, code });

/** Only OpenAI can seal a thought. */
const sealOf = id => `gAAAA${createHmac('sha256', 'mock').update(id).digest('base64url')}`;

const stored = new Map();
const itemsOf = value => (typeof value === 'string' ? [{ role: 'user', content: value }] : value ?? []);

/** Every item of the conversation, what was stored before included. */
function conversation(body) {
  const before = body.previous_response_id == null ? [] : stored.get(body.previous_response_id) ?? [];
  return [...before, ...itemsOf(body.input)];
}

function checkCalls(items) {
  const open = new Map();
  for (const one of items) {
    if (one.type === 'function_call') open.set(one.call_id, false);
    if (one.type !== 'function_call_output') continue;
    if (!open.has(one.call_id)) return refuse(`No tool call found for function call output with call_id ${one.call_id}.`, 'input');
    open.set(one.call_id, true);
  }
  const missing = [...open].find(([, answered]) => !answered);
  return missing ? refuse(`No tool output found for function call ${missing[0]}.`, 'input') : null;
}

function checkReasoning(items, body) {
  for (const [index, one] of items.entries()) {
    if (one.type !== 'reasoning') continue;
    if (one.encrypted_content != null && one.encrypted_content !== sealOf(one.id ?? '')) return refuse(`The encrypted content for item ${one.id} could not be verified.`, 'input', 'invalid_encrypted_content');
    if (one.encrypted_content == null && body.store === false) return refuse(`Item with id '${one.id}' not found. Items are not persisted when \`store\` is set to false. Try again with \`store\` set to true, or remove this item from your input.`, 'input');
    const next = items[index + 1];
    if (!next || next.role === 'user' || next.type === 'function_call_output') return refuse(`Item '${one.id}' of type 'reasoning' was provided without its required following item.`, 'input');
  }
  return null;
}

/** Rules between fields. `strict` checks a schema that says it is strict. */
export function checkResponse(body, strict) {
  if (body.input === undefined && body.prompt == null && body.previous_response_id == null) return refuse("Missing required parameter: 'input'.", 'input', 'missing_required_parameter');
  if (body.previous_response_id != null && !stored.has(body.previous_response_id)) return refuse(`Previous response with id '${body.previous_response_id}' not found.`, 'previous_response_id', 'previous_response_not_found');
  const items = conversation(body);
  if (body.input !== undefined && items.length === 0) return refuse("Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead.", 'input', 'empty_array');
  if (body.stream_options != null && body.stream !== true) return refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options');
  if (/^(o\d|gpt-5)/.test(body.model) && body.temperature != null && body.temperature !== 1) return refuse("Unsupported parameter: 'temperature' is not supported with this model.", 'temperature');
  const chosen = body.tool_choice?.name;
  if (chosen && !(body.tools ?? []).some(tool => tool.name === chosen)) return refuse(`Tool choice '${chosen}' not found in 'tools' parameter.`, 'tool_choice');
  if (body.tool_choice === 'required' && !(body.tools?.length > 0)) return refuse("Tool choice 'required' must be specified with 'tools' parameter.", 'tool_choice');
  const format = body.text?.format;
  if (format?.type === 'json_object' && !/json/i.test(JSON.stringify([body.input, body.instructions]))) return refuse("Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.", 'input');
  const flawed = (format?.type === 'json_schema' && format.strict === true && strict(format.schema, 'text.format.schema'))
    || (body.tools ?? []).map((tool, index) => tool.type === 'function' && tool.strict === true && tool.parameters && strict(tool.parameters, `tools[${index}].parameters`)).find(Boolean);
  return flawed || (checkCalls(items) ?? checkReasoning(items, body));
}

const spoken = content => (typeof content === 'string' ? content : (content ?? []).map(part => part.text ?? part.refusal ?? '').join(''));
const roleOf = one => (one.type === undefined || one.type === 'message' ? one.role : undefined);

function questionOf(body) {
  const items = conversation(body);
  const results = [];
  for (let index = items.length - 1; items[index]?.type === 'function_call_output'; index -= 1) results.unshift(spoken(items[index].output));
  const user = items.filter(one => roleOf(one) === 'user').at(-1);
  const format = body.text?.format;
  return {
    model: body.model, text: spoken(user?.content ?? ''),
    tools: (body.tools ?? []).filter(tool => tool.type === 'function').map(tool => ({ name: tool.name, schema: tool.parameters })),
    forced: body.tool_choice === 'required' ? 'any' : body.tool_choice === 'none' ? 'none' : body.tool_choice?.name,
    parallel: body.parallel_tool_calls ?? undefined, results: results.length > 0 ? results : undefined,
    format: format && format.type !== 'text' ? { schema: format.schema } : undefined, outputMax: body.max_output_tokens,
    inputText: (body.instructions ?? '') + items.map(one => spoken(one.content ?? one.output ?? '') + (one.arguments ?? '')).join('\n'),
    images: items.flatMap(one => (Array.isArray(one.content) ? one.content : [])).filter(part => part.type === 'input_image').length,
  };
}

/** The items of an answer, as they stand when they are whole. */
function outputOf(body, answer) {
  const seed = digest('responses', body).slice(0, 40);
  const output = [];
  if (answer.reasoning) {
    const id = `rs_${seed}`;
    const sealed = body.include?.includes('reasoning.encrypted_content') ? { encrypted_content: sealOf(id) } : {};
    output.push({ id, type: 'reasoning', summary: body.reasoning?.summary ? [{ type: 'summary_text', text: answer.reasoning }] : [], ...sealed });
  }
  answer.calls.forEach((call, index) => output.push({ id: `fc_${seed}${index}`, type: 'function_call', status: 'completed', arguments: JSON.stringify(call.arguments), call_id: `call_${call.id}`, name: call.name }));
  if (answer.calls.length === 0) {
    const part = answer.refusal ? { type: 'refusal', refusal: answer.text } : { type: 'output_text', annotations: [], logprobs: [], text: answer.text };
    output.push({ id: `msg_${seed}`, type: 'message', status: answer.finish === 'length' ? 'incomplete' : 'completed', content: [part], role: 'assistant' });
  }
  return output;
}

function headOf(body) {
  const text = body.text ?? {};
  return {
    id: `resp_${digest('response', body).slice(0, 48)}`, object: 'response', created_at: CREATED, status: 'in_progress', background: false, error: null, incomplete_details: null, instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null, max_tool_calls: body.max_tool_calls ?? null, model: body.model, output: [], parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null, prompt_cache_key: body.prompt_cache_key ?? null, reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null },
    safety_identifier: body.safety_identifier ?? null, service_tier: 'auto', store: body.store ?? true, temperature: body.temperature ?? 1, text: { format: text.format ?? { type: 'text' }, verbosity: text.verbosity ?? 'medium' },
    tool_choice: body.tool_choice ?? 'auto', tools: (body.tools ?? []).map(tool => (tool.type === 'function' ? { description: null, parameters: null, strict: true, ...tool } : tool)),
    top_logprobs: body.top_logprobs ?? 0, top_p: body.top_p ?? 1, truncation: body.truncation ?? 'disabled', usage: null, user: body.user ?? null, metadata: body.metadata ?? {},
  };
}

const usageBody = usage => ({
  input_tokens: usage.input, input_tokens_details: { cached_tokens: usage.cached, cache_write_tokens: 0 }, output_tokens: usage.output, output_tokens_details: { reasoning_tokens: usage.reasoning }, total_tokens: usage.input + usage.output,
});

function answered(body) {
  const question = questionOf(body);
  if (REASONS.test(body.model) || body.reasoning?.effort) question.model = `thinking ${question.model}`;
  const answer = decide(question);
  const output = outputOf(body, answer);
  const cut = answer.finish === 'length';
  const whole = { ...headOf(body), status: cut ? 'incomplete' : 'completed', incomplete_details: cut ? { reason: 'max_output_tokens' } : null, service_tier: 'default', output, usage: usageBody(answer.usage) };
  if (/^no-usage/.test(body.model)) whole.usage = null;
  if (body.store !== false) {
    stored.set(whole.id, [...conversation(body), ...output.filter(one => one.type !== 'reasoning')]);
    if (stored.size > STORED_MAX) stored.delete(stored.keys().next().value);
  }
  return whole;
}

export const responseBody = answered;

/** The events of one item, from its addition to its end. */
function itemEvents(one, at) {
  const place = { item_id: one.id, output_index: at };
  const events = [];
  const add = (type, more) => events.push({ type, ...more });
  if (one.type === 'function_call') {
    add('response.output_item.added', { output_index: at, item: { ...one, status: 'in_progress', arguments: '' } });
    for (const piece of one.arguments.match(/[\s\S]{1,5}/g)) add('response.function_call_arguments.delta', { ...place, delta: piece, obfuscation: 'x' });
    add('response.function_call_arguments.done', { ...place, arguments: one.arguments });
  } else if (one.type === 'reasoning') {
    add('response.output_item.added', { output_index: at, item: { ...one, summary: [] } });
    one.summary.forEach((part, index) => {
      add('response.reasoning_summary_part.added', { ...place, summary_index: index, part: { ...part, text: '' } });
      for (const piece of piecesOf(part.text)) add('response.reasoning_summary_text.delta', { ...place, summary_index: index, delta: piece, obfuscation: 'x' });
      add('response.reasoning_summary_text.done', { ...place, summary_index: index, text: part.text });
      add('response.reasoning_summary_part.done', { ...place, summary_index: index, part });
    });
  } else {
    const [part] = one.content;
    const refused = part.type === 'refusal';
    const content = { ...place, content_index: 0 };
    add('response.output_item.added', { output_index: at, item: { ...one, status: 'in_progress', content: [] } });
    add('response.content_part.added', { ...content, part: refused ? { ...part, refusal: '' } : { ...part, text: '' } });
    for (const piece of piecesOf(refused ? part.refusal : part.text)) add(refused ? 'response.refusal.delta' : 'response.output_text.delta', { ...content, delta: piece, ...(refused ? {} : { logprobs: [], obfuscation: 'x' }) });
    add(refused ? 'response.refusal.done' : 'response.output_text.done', refused ? { ...content, refusal: part.refusal } : { ...content, text: part.text, logprobs: [] });
    add('response.content_part.done', { ...content, part });
  }
  add('response.output_item.done', { output_index: at, item: one });
  return events;
}

const frame = (data, number) => `event: ${data.type}\ndata: ${JSON.stringify({ type: data.type, sequence_number: number, ...data })}\n\n`;

export function responseEvents(body) {
  const whole = answered(body);
  const head = headOf(body);
  const events = [{ type: 'response.created', response: head }, { type: 'response.in_progress', response: head }, ...whole.output.flatMap(itemEvents)];
  return { events: events.map(frame), end: frame({ type: `response.${whole.status}`, response: whole }, events.length) };
}

export const responseErrorEvent = () => frame({ type: 'error', code: 'server_error', message: 'The server had an error while processing your request.', param: null }, 0);
