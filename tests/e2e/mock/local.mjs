// Servers for a machine of one's own that speak Chat Completions in their own way: Ollama and vLLM.
// Follows https://docs.ollama.com/api/openai-compatibility and https://docs.vllm.ai/en/latest/serving/openai_compatible_server.

import { openai } from './openai.mjs';
import { any, array, integer, object, string } from './shape.mjs';

const readEvent = event => JSON.parse(event.slice('data: '.length));
const frame = data => `data: ${JSON.stringify(data)}\n\n`;

/** Applies a change to every chunk of a stream. */
const each = (events, change) => events.map(event => change(readEvent(event))).filter(chunk => chunk !== null).map(frame);
const without = (value, ...names) => Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));

/** Ollama knows no picture by its address, no choice of tools, and calls each tool in one piece. */
const OLLAMA = {
  check(body) {
    const pictures = body.messages.flatMap(message => (Array.isArray(message.content) ? message.content : [])).filter(part => part.type === 'image_url');
    return pictures.some(part => !part.image_url.url.startsWith('data:')) ? { status: 400, message: 'invalid image input' } : null;
  },
  body(answer) {
    const calls = choice => (choice.message.tool_calls ? { tool_calls: choice.message.tool_calls.map((call, index) => ({ id: call.id.slice(0, 13), index, type: 'function', function: call.function })) } : {});
    const choices = answer.choices.map(choice => ({ index: choice.index, message: { role: 'assistant', content: choice.message.content ?? '', ...calls(choice) }, finish_reason: choice.finish_reason }));
    return { id: 'chatcmpl-123', object: answer.object, created: answer.created, model: answer.model, system_fingerprint: 'fp_ollama', choices, usage: answer.usage && without(answer.usage, 'prompt_tokens_details', 'completion_tokens_details') };
  },
  events(events) {
    let call;
    return each(events, chunk => {
      const head = { id: 'chatcmpl-123', object: chunk.object, created: chunk.created, model: chunk.model, system_fingerprint: 'fp_ollama' };
      const [choice] = chunk.choices;
      if (!choice) return { ...head, choices: [], usage: without(chunk.usage, 'prompt_tokens_details', 'completion_tokens_details') };
      const [piece] = choice.delta.tool_calls ?? [];
      if (piece) {
        if (piece.id) call = { id: piece.id.slice(0, 13), index: piece.index, type: 'function', function: { name: piece.function.name, arguments: '' } };
        call.function.arguments += piece.function.arguments;
        try { JSON.parse(call.function.arguments); } catch { return null; }
        return { ...head, choices: [{ index: 0, delta: { role: 'assistant', content: '', tool_calls: [call] }, finish_reason: null }] };
      }
      return { ...head, choices: [{ index: 0, delta: { role: 'assistant', content: choice.delta.content ?? '' }, finish_reason: choice.finish_reason }] };
    });
  },
};

/** vLLM says more than it was asked and wants the role once. */
const VLLM = {
  check: () => null,
  body(answer) {
    const choices = answer.choices.map(choice => ({
      index: choice.index, message: { role: 'assistant', content: choice.message.content, refusal: null, annotations: null, audio: null, function_call: null, tool_calls: choice.message.tool_calls?.map(call => ({ ...call, id: `chatcmpl-tool-${call.id.slice(5)}` })) ?? [], reasoning_content: null },
      logprobs: choice.logprobs, finish_reason: choice.finish_reason, stop_reason: null,
    }));
    const usage = answer.usage && { prompt_tokens: answer.usage.prompt_tokens, total_tokens: answer.usage.total_tokens, completion_tokens: answer.usage.completion_tokens, prompt_tokens_details: null };
    return { id: answer.id, object: answer.object, created: answer.created, model: answer.model, choices, service_tier: null, system_fingerprint: null, usage, prompt_logprobs: null, prompt_token_ids: null, kv_transfer_params: null };
  },
  events: events => each(events, chunk => ({
    id: chunk.id, object: chunk.object, created: chunk.created, model: chunk.model,
    choices: chunk.choices.map(choice => ({
      index: choice.index, delta: { ...without(choice.delta, 'refusal'), ...(choice.delta.tool_calls ? { tool_calls: choice.delta.tool_calls.map(call => ({ ...call, ...(call.id ? { id: `chatcmpl-tool-${call.id.slice(5)}` } : {}) })) } : {}) },
      logprobs: choice.logprobs, finish_reason: choice.finish_reason, ...(choice.finish_reason ? { stop_reason: null } : {}), token_ids: null,
    })),
    ...(chunk.usage ? { usage: { prompt_tokens: chunk.usage.prompt_tokens, total_tokens: chunk.usage.total_tokens, completion_tokens: chunk.usage.completion_tokens } } : {}),
  })),
};

/** Both servers read over what they do not know, and take `null` for nothing. */
const lenient = shape => (value, path, faults) => {
  const found = [];
  shape(withoutNulls(value), path, found);
  faults.push(...found.filter(fault => fault.kind !== 'unknown'));
};
const withoutNulls = value => (Array.isArray(value) ? value.map(withoutNulls) : value !== null && typeof value === 'object' ? Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null).map(([name, inner]) => [name, withoutNulls(inner)])) : value);

function local(quirks, wire) {
  const { chat, embeddings } = wire.operations;
  return {
    ...wire,
    spec: undefined,
    operations: {
      embeddings: { ...embeddings, shape: lenient(embeddings.shape), schema: undefined },
      chat: {
        ...chat, schema: undefined, shape: lenient(chat.shape), check: (body, model) => chat.check(withoutNulls(body), model) ?? quirks.check(body), body: (body, model) => quirks.body(chat.body(withoutNulls(body), model)),
        events: (body, model) => {
          const { events, end } = chat.events(withoutNulls(body), model);
          return { events: quirks.events(events), end };
        },
      },
    },
    headers: () => ({}),
  };
}

/** Ollama's types of errors, as its compatible address writes them. */
const OLLAMA_TYPES = { 400: 'invalid_request_error', 404: 'not_found_error' };

/** Ollama's wire: whatever choice of tools is asked for, the model decides. */
export function ollama() {
  const wire = openai({ plain: true });
  const { chat, embeddings } = wire.operations;
  const free = body => without(body, 'tool_choice', 'parallel_tool_calls');
  const operations = { embeddings, chat: { ...chat, check: (body, model) => chat.check(free(body), model), body: (body, model) => chat.body(free(body), model), events: (body, model) => chat.events(free(body), model) } };
  return {
    ...local(OLLAMA, { ...wire, operations }),
    authenticate: () => null,
    errorBody: problem => ({ error: { message: problem.reason === 'model' ? problem.message.replace(/^The model `(.*)` does.*/, 'model "$1" not found, try pulling it first') : problem.message ?? wire.errorBody(problem).error.message, type: OLLAMA_TYPES[problem.status] ?? 'api_error', param: null, code: null } }),
  };
}

const rerankRequest = object({ 'model!': string({ min: 1 }), 'query!': string({ min: 1 }), 'documents!': array(any, { min: 1 }), top_n: integer({ min: 0 }) });

/** Documents by how many words of the query they hold. */
function rerank({ model, query, documents, top_n: most }) {
  const texts = documents.map(one => (typeof one === 'string' ? one : one.text));
  const words = query.toLowerCase().split(/\W+/);
  const score = text => words.filter(word => text.toLowerCase().includes(word)).length / words.length;
  const results = texts.map((text, index) => ({ index, document: { text }, relevance_score: score(text) })).sort((a, b) => b.relevance_score - a.relevance_score);
  return { id: 'rerank-1', model, usage: { prompt_tokens: texts.length * 4, total_tokens: texts.length * 4 }, results: results.slice(0, most ?? results.length) };
}

const TYPES = { 400: 'BadRequestError', 401: 'AuthenticationError', 404: 'NotFoundError', 429: 'RateLimitError' };

/** vLLM's wire. */
export function vllm() {
  const wire = openai();
  const own = local(VLLM, wire);
  return {
    ...own,
    operations: { ...own.operations, rerank: { shape: rerankRequest, body: rerank } },
    route(method, path) {
      if (method === 'POST' && path === '/v1/rerank') return { op: 'rerank' };
      return /^\/v1\/(chat\/completions|embeddings|models)$/.test(path) ? wire.route(method, path) : null;
    },
    errorBody: problem => (problem.status === 401 ? { error: 'Unauthorized' }
      : { error: { message: problem.message ?? wire.errorBody(problem).error.message, type: TYPES[problem.status] ?? 'InternalServerError', param: problem.param ?? null, code: problem.status } }),
  };
}
