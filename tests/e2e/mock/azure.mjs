// Azure OpenAI: OpenAI's operations behind deployments, with content filters.
// Follows https://learn.microsoft.com/azure/ai-foundry/openai/reference.

import { openai } from './openai.mjs';

const VERSION = /^(20\d\d-\d\d-\d\d(-preview)?|preview|latest|v1)$/;
const SAFE = Object.fromEntries(['hate', 'self_harm', 'sexual', 'violence'].map(name => [name, { filtered: false, severity: 'safe' }]));
const PROMPT = [{ prompt_index: 0, content_filter_results: { ...SAFE, jailbreak: { detected: false, filtered: false } } }];
/** What a deployment's name leads to, by the rest of the path. */
const DEPLOYED = { '/chat/completions': 'chat', '/embeddings': 'embeddings', '/completions': 'completions', '/images/generations': 'image_generate', '/audio/speech': 'speech', '/audio/transcriptions': 'transcription', '/audio/translations': 'translation' };

const readEvent = event => JSON.parse(event.slice('data: '.length));
const frame = data => `data: ${JSON.stringify(data)}\n\n`;

/** The filters come first, in a chunk without choices and without a name; then every choice carries its own. */
function filteredEvents({ events, end }) {
  const first = { choices: [], created: 0, id: '', model: '', object: '', prompt_filter_results: PROMPT };
  const chunk = event => {
    const { service_tier: _tier, ...data } = readEvent(event);
    return frame({ ...data, choices: data.choices.map(choice => ({ content_filter_results: choice.delta.content ? SAFE : {}, ...choice })) });
  };
  return { events: [frame(first), ...events.map(chunk)], end };
}

function operationsOf(wire) {
  const { chat, ...others } = wire.operations;
  const named = operation => ({
    ...operation, shape: operation.shape && ((value, path, faults) => operation.shape({ model: 'deployment', ...value }, path, faults)), published: value => (operation.published ?? (one => one))({ model: 'deployment', ...value }),
    check: (body, model, route) => operation.check?.({ ...body, model }, model, route) ?? null,
    body: (body, model, route) => operation.body({ ...body, model }, model, route), events: operation.events && ((body, model) => operation.events({ ...body, model }, model)),
  });
  return {
    ...Object.fromEntries(Object.entries(others).map(([name, operation]) => [name, named(operation)])),
    chat: {
      ...named(chat),
      events: (body, model) => filteredEvents(chat.events({ ...body, model }, model)),
      body: (body, model) => {
        const { service_tier: _tier, ...answer } = chat.body({ ...body, model }, model);
        return { ...answer, choices: answer.choices.map(choice => ({ content_filter_results: SAFE, ...choice })), prompt_filter_results: PROMPT };
      },
    },
  };
}

const REFUSED = {
  'content-policy': { message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.", type: null, param: 'prompt', code: 'content_filter', status: 400,
    innererror: { code: 'ResponsibleAIPolicyViolation', content_filter_result: { ...SAFE, violence: { filtered: true, severity: 'high' } } } },
  model: { type: 'invalid_request_error', code: 'DeploymentNotFound', message: 'The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.' },
};

/** The wire. */
export function azure() {
  const wire = openai();
  return {
    ...wire,
    operations: operationsOf(wire),
    errorBody(problem) {
      if (REFUSED[problem.reason]) return { error: REFUSED[problem.reason] };
      if (problem.status === 401) return { error: { code: '401', message: 'Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.' } };
      if (problem.status === 429) return { error: { code: '429', message: `Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after ${problem.retryAfter ?? 10} seconds.` } };
      return problem.reason === 'resource' ? { error: { code: '404', message: 'Resource not found' } } : wire.errorBody(problem);
    },
    authenticate: (headers, key) => (headers['api-key'] === key || headers.authorization === `Bearer ${key}` ? null : { status: 401, message: 'Access denied' }),
    route(method, path, query) {
      const problem = { status: 404, message: 'Resource not found', reason: 'resource' };
      const deployed = /^\/openai\/deployments\/([^/]+)(\/.+)$/.exec(path);
      if (deployed) {
        const op = method === 'POST' ? DEPLOYED[deployed[2]] : undefined;
        return op && VERSION.test(query.get('api-version') ?? '') ? { op, model: decodeURIComponent(deployed[1]) } : { problem };
      }
      return path.startsWith('/openai/v1/') ? wire.route(method, path.slice('/openai'.length), query) : { problem };
    },
    headers: id => ({ 'apim-request-id': `a-${id}`, 'x-ms-region': 'Sweden Central', 'x-ratelimit-remaining-requests': '119', 'x-ratelimit-remaining-tokens': '119984', 'x-request-id': `a-${id}` }),
  };
}
