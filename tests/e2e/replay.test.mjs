// What real providers were asked and answered, held against the mocks: a mock accepts what its provider accepted, and answers in its shape.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test, { after, before } from 'node:test';

import { messages } from './mock/eventstream.mjs';
import { recordingsFolder } from './mock/recordings.mjs';
import { send } from './http.mjs';
import { startMocks } from './mocks.mjs';
import { events } from './stream.mjs';

let mocks;
let token;
before(async () => {
  mocks = await startMocks({ lenient: true });
  token = await mocks.token();
});
after(() => mocks.stop());

/** By recording: the mock, the operations, how an address becomes the mock's, the headers. */
const REPLAYED = [
  { file: 'openai', mock: 'openai', ops: ['chat.completions', 'completions', 'embeddings', 'responses', 'images'], headers: { authorization: 'Bearer sk-mock-openai' } },
  { file: 'azure', mock: 'azure', ops: ['chat.completions', 'embeddings'], headers: { 'api-key': 'azure-mock' }, url: url => (url.includes('api-version') ? url : `${url}?api-version=2024-10-21`) },
  { file: 'anthropic', mock: 'anthropic', ops: ['messages'], headers: { 'x-api-key': 'sk-ant-mock', 'anthropic-version': '2023-06-01' } },
  { file: 'gemini', mock: 'gemini', ops: ['generateContent', 'streamGenerateContent', 'batchEmbedContents'], headers: { 'x-goog-api-key': 'AIza-mock' } },
  { file: 'vertex', mock: 'vertex', ops: ['generateContent'], headers: () => ({ authorization: `Bearer ${token}` }), url: url => url.replace(/projects\/[^/]+/, 'projects/mock-project') },
  { file: 'bedrock', mock: 'bedrock', ops: ['converse', 'converse-stream'], headers: { authorization: 'Bearer bedrock-api-key-mock' } },
  { file: 'mistral', mock: 'mistral', ops: ['chat.completions', 'embeddings'], headers: { authorization: 'Bearer mistral-mock' } },
  { file: 'cohere', mock: 'cohere', ops: ['cohere.v2.chat', 'embed', 'rerank'], headers: { authorization: 'Bearer cohere-mock' }, only: ({ url }) => /\/v2\//.test(url) },
  { file: 'local', mock: 'vllm', ops: ['chat.completions'], headers: { authorization: 'Bearer vllm-mock' } },
];

/** What a real provider accepted and its mock does not, with the reason. */
const EXEMPT = [
  // Signatures of a real Google: the mock only takes its own.
  { mock: 'gemini', says: /Thought signature is not valid/ }, { mock: 'vertex', says: /Thought signature is not valid/ },
  // Tools that Google runs itself are not spoken here.
  { mock: 'gemini', says: /includeServerSideToolInvocations|toolCall/ },
  // A field of a beta that `output_config` has replaced.
  { mock: 'anthropic', says: /output_format: Extra inputs/ },
  // One old model takes two turns of one role; those that are in use do not.
  { mock: 'bedrock', says: /must alternate between user and assistant/ },
];

const exchanges = ({ file, ops, only = () => true }) => fs.readFileSync(path.join(recordingsFolder(), `${file}.jsonl`), 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line))
  .filter(one => one.status === 200 && ops.includes(one.op) && typeof one.request === 'object' && only(one));

async function ask({ mock, headers, url: change = url => url }, one) {
  const url = new URL(change(one.url.replace(/#.*$/, '')));
  const answer = await send(`${mocks.url}/${mock}${url.pathname}${url.search}`, { method: 'POST', headers: { 'content-type': 'application/json', ...(typeof headers === 'function' ? headers() : headers) }, body: JSON.stringify(one.request) });
  const pieces = [];
  for await (const piece of answer.chunks) pieces.push(piece);
  return { status: answer.status, bytes: Buffer.concat(pieces) };
}

/** The paths of all fields of a value, list positions left out. What is named by callers (tools, schemas, instructions) is not looked into. */
function fields(value, at = '', found = new Set()) {
  if (Array.isArray(value)) value.forEach(item => fields(item, `${at}[]`, found));
  else if (value !== null && typeof value === 'object') {
    for (const [name, inner] of Object.entries(value)) {
      found.add(`${at}.${name}`);
      if (!/^(tools|args|input|parameters|schema|metadata|instructions|format)$/.test(name)) fields(inner, `${at}.${name}`, found);
    }
  }
  return found;
}

/** What every one of some answers has. */
const common = sets => [...sets[0]].filter(field => sets.every(set => set.has(field)));

const streamEvents = (one, bytes) => (one.response_kind === 'eventstream' ? messages(bytes).map(({ headers, payload }) => ({ type: headers[':event-type'], ...payload })) : events(bytes.toString('utf8')).filter(({ data }) => data !== '' && data !== '[DONE]').map(({ data }) => JSON.parse(data)));
const recordedBytes = one => (one.response_kind === 'eventstream' ? Buffer.from(one.response._base64, 'base64') : Buffer.from(typeof one.response === 'string' ? one.response : JSON.stringify(one.response)));

/** The fields of an answer; of a stream those of each event under its type. */
function shapeOf(one, bytes) {
  if (one.response_kind === 'json') return fields(JSON.parse(bytes.toString('utf8')));
  const all = streamEvents(one, bytes).map(event => [event.type ?? 'chunk', fields(event)]);
  return new Set(all.flatMap(([type, found]) => [type, ...[...found].map(field => `${type}${field}`)]));
}

/** Fields of the mocks that no recording shows, with the reason. */
const NEWER = [
  // Published since: OpenAI's cache writes and pictures of gpt-image, Anthropic's places and reasons to stop.
  /^openai .*cache_write_tokens$/, /^openai \.(background|output_format|quality|size|usage.*|data\[\]\.b64_json)$/, /^anthropic .*(usage\.inference_geo|stop_details)$/,
  // The recordings are of an old vLLM and of another server.
  /^vllm .*(refusal|annotations|audio|function_call|reasoning_content|service_tier|system_fingerprint|prompt_tokens_details|prompt_logprobs|prompt_token_ids|kv_transfer_params|token_ids)$/,
];
/** Fields of every recording that the mocks leave out: pictures are inline where gpt-image draws them. */
const ABSENT = [/^openai \.data\[\]\.url$/];

const except = (mock, found, list) => found.filter(field => !list.some(pattern => pattern.test(`${mock} ${field}`)));

for (const replayed of REPLAYED) {
  test(`${replayed.mock} accepts what ${replayed.file} accepted, and answers in its shape`, async t => {
    if (recordingsFolder() === null) return t.skip('the recordings are not at hand (SLUICE_RECORDINGS)');
    const all = exchanges(replayed);
    const refused = [];
    const groups = new Map();
    for (const one of all) {
      const { status, bytes } = await ask(replayed, one);
      const message = bytes.toString('utf8');
      if (status !== 200 && !EXEMPT.some(({ mock, says }) => mock === replayed.mock && says.test(message))) refused.push(`${one.src}: ${status} ${message.slice(0, 400)}`);
      const kind = `${one.op} ${one.response_kind}`;
      const group = groups.get(kind) ?? { real: [], mock: [] };
      group.real.push(shapeOf(one, recordedBytes(one)));
      if (status === 200) group.mock.push(shapeOf(one, bytes));
      groups.set(kind, group);
    }
    t.diagnostic(`${all.length} requests replayed`);
    assert.deepEqual(refused, []);
    const unlike = [...groups].flatMap(([kind, { real, mock }]) => {
      const missing = except(replayed.mock, common(real).filter(field => mock.some(found => !found.has(field))), ABSENT);
      const known = new Set(real.flatMap(found => [...found]));
      const invented = except(replayed.mock, [...new Set(mock.flatMap(found => [...found]))].filter(field => !known.has(field)), NEWER);
      return [...missing.map(field => `${kind}: ${field} is always there at the real one`), ...invented.map(field => `${kind}: ${field} is never there at the real one`)];
    });
    assert.deepEqual(unlike, []);
    return undefined;
  });
}
