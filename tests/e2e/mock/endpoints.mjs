// OpenAI's smaller endpoints: legacy Completions, Images, Audio, Moderations, Files, Batches.
// Follows https://platform.openai.com/docs/api-reference.

import { any, array, boolean, choice, integer, map, nullable, number, object, string, stringOr } from './shape.mjs';
import { decide, digest, piecesOf } from './answer.mjs';

const CREATED = 1_790_000_000;
/** So many files and batches are kept. */
const KEPT_MAX = 1_000;
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** Speech comes in pieces of this size. */
const SPEECH_BYTES = 4_096;

const refuse = (message, param, code = null) => ({ status: 400, message, param, code });
/** A number that a form writes as text. */
const digits = (min, max) => (value, path, faults) => (typeof value === 'string' && value !== '' ? number({ min, max })(Number(value), path, faults) : string({ min: 1 })(value, path, faults));
const upload = object({ 'filename!': string({ min: 1 }), type: any, 'bytes!': any });
const uploads = (value, path, faults) => (Array.isArray(value) ? array(upload, { min: 1, max: 16 }) : upload)(value, path, faults);
const stop = nullable(stringOr(array(string(), { min: 1, max: 4 })));

const completion = object({
  'model!': string({ min: 1 }), 'prompt!': nullable(stringOr(array(any))), best_of: nullable(integer({ min: 0, max: 20 })), echo: nullable(boolean), frequency_penalty: nullable(number({ min: -2, max: 2 })),
  logit_bias: nullable(map(number({ min: -100, max: 100 }))), logprobs: nullable(integer({ min: 0, max: 5 })), max_tokens: nullable(integer({ min: 0 })), n: nullable(integer({ min: 1, max: 128 })), presence_penalty: nullable(number({ min: -2, max: 2 })),
  seed: nullable(integer()), stop, stream: nullable(boolean), stream_options: nullable(object({ include_usage: boolean, include_obfuscation: boolean })), suffix: nullable(string()), temperature: nullable(number({ min: 0, max: 2 })),
  top_p: nullable(number({ min: 0, max: 1 })), user: string(),
});
const promptsOf = prompt => (typeof prompt === 'string' || typeof prompt?.[0] === 'number' ? [prompt] : prompt ?? ['']);
const said = prompt => (typeof prompt === 'string' ? prompt : `${prompt.length} tokens`);

function completionChoices(body) {
  return promptsOf(body.prompt).flatMap(prompt => Array.from({ length: body.n ?? 1 }, () => {
    const answer = decide({ model: body.model, text: said(prompt), tools: [], inputText: said(prompt), images: 0, outputMax: body.max_tokens ?? 16 });
    return { ...answer, text: (body.echo ? said(prompt) : '') + answer.text };
  }));
}
const completionUsage = choices => {
  const [input, output] = [choices[0].usage.input, choices.reduce((sum, one) => sum + one.usage.output, 0)];
  return { prompt_tokens: input, completion_tokens: output, total_tokens: input + output };
};
const completionHead = body => ({ id: `cmpl-${digest('completion', body).slice(0, 29)}`, object: 'text_completion', created: CREATED, model: body.model });
const completionFinish = answer => (answer.finish === 'length' ? 'length' : 'stop');

function completionEvents(body) {
  const head = completionHead(body);
  const choices = completionChoices(body);
  const usage = body.stream_options?.include_usage ? { usage: null } : {};
  const chunk = (index, text, finish) => `data: ${JSON.stringify({ ...head, choices: [{ text, index, logprobs: null, finish_reason: finish }], ...usage })}\n\n`;
  const events = choices.flatMap((answer, index) => [...piecesOf(answer.text).map(piece => chunk(index, piece, null)), chunk(index, '', completionFinish(answer))]);
  if (body.stream_options?.include_usage) events.push(`data: ${JSON.stringify({ ...head, choices: [], usage: completionUsage(choices) })}\n\n`);
  return { events, end: 'data: [DONE]\n\n' };
}

const SIZES = choice('auto', '256x256', '512x512', '1024x1024', '1536x1024', '1024x1536', '1792x1024', '1024x1792');
const QUALITIES = choice('auto', 'standard', 'hd', 'low', 'medium', 'high');
const PICTURE = {
  background: nullable(choice('transparent', 'opaque', 'auto')), moderation: nullable(choice('low', 'auto')), output_format: nullable(choice('png', 'jpeg', 'webp')), response_format: nullable(choice('url', 'b64_json')), style: nullable(choice('vivid', 'natural')), user: string(),
};
const generation = object({ model: nullable(string({ min: 1 })), 'prompt!': string({ min: 1, max: 32_000 }), n: nullable(integer({ min: 1, max: 10 })), size: nullable(SIZES), quality: nullable(QUALITIES), output_compression: nullable(integer({ min: 0, max: 100 })), partial_images: nullable(integer({ min: 0, max: 3 })), stream: nullable(boolean), ...PICTURE });
const edit = object({ model: string({ min: 1 }), 'image!': uploads, mask: upload, 'prompt!': string({ min: 1 }), n: digits(1, 10), size: SIZES, quality: QUALITIES, input_fidelity: choice('low', 'high'), output_compression: digits(0, 100), stream: choice('true', 'false'), partial_images: digits(0, 3), ...PICTURE });
const variation = object({ model: string({ min: 1 }), 'image!': upload, n: digits(1, 10), size: SIZES, response_format: choice('url', 'b64_json'), user: string() });

function checkPictures(body) {
  if (/^gpt-image/.test(body.model ?? '') && body.response_format !== undefined) return refuse("Unknown parameter: 'response_format'.", 'response_format', 'unknown_parameter');
  if (/^dall-e-3/.test(body.model ?? '') && Number(body.n ?? 1) !== 1) return refuse('You must provide n=1 for this model.', null, 'invalid_parameter');
  return null;
}

function picturesBody(body) {
  const inline = /^gpt-image/.test(body.model ?? '') || body.response_format === 'b64_json';
  const data = Array.from({ length: Number(body.n ?? 1) }, (_, index) => (inline ? { b64_json: PIXEL } : { url: `https://pictures.invalid/${digest(body.prompt ?? '', index).slice(0, 12)}.png`, ...(/^dall-e-3/.test(body.model) ? { revised_prompt: body.prompt } : {}) }));
  const input = Math.ceil((body.prompt ?? '').length / 4);
  const usage = { input_tokens: input, input_tokens_details: { image_tokens: 0, text_tokens: input }, output_tokens: 272 * data.length, total_tokens: input + 272 * data.length };
  return { created: CREATED, data, ...(/^gpt-image/.test(body.model ?? '') ? { background: 'opaque', output_format: 'png', quality: 'low', size: '1024x1024', usage } : {}) };
}

const VOICE = (value, path, faults) => (typeof value === 'string' ? string({ min: 1 }) : object({ 'id!': string() }))(value, path, faults);
const speech = object({
  'model!': string({ min: 1 }), 'input!': string({ min: 1, max: 4096 }), 'voice!': VOICE, instructions: string({ max: 4096 }), response_format: choice('mp3', 'opus', 'aac', 'flac', 'wav', 'pcm'), speed: number({ min: 0.25, max: 4 }), stream_format: choice('sse', 'audio'),
});
const FORMATS = ['json', 'text', 'srt', 'verbose_json', 'vtt', 'diarized_json'];
const transcription = object({
  'model!': string({ min: 1 }), 'file!': upload, language: string(), prompt: string(), response_format: choice(...FORMATS), temperature: digits(0, 1), timestamp_granularities: array(choice('word', 'segment')), include: array(choice('logprobs')), stream: choice('true', 'false', 'True', 'False'), chunking_strategy: any,
  known_speaker_names: any, known_speaker_references: any, keywords: any,
});
const translation = object({ 'model!': string({ min: 1 }), 'file!': upload, prompt: string(), response_format: choice(...FORMATS.slice(0, 5)), temperature: digits(0, 1) });
const AUDIO_TYPES = { mp3: 'audio/mpeg', opus: 'audio/ogg', aac: 'audio/aac', flac: 'audio/flac', wav: 'audio/wav', pcm: 'audio/pcm' };

function checkFile(form) {
  if (form.file.bytes.length === 0) return refuse('The audio file could not be decoded or its format is not supported.', 'file');
  return /\.(flac|mp3|mp4|mpeg|mpga|m4a|ogg|wav|webm)$/i.test(form.file.filename) ? null : refuse("Unrecognized file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']", 'file');
}

/** What was said in a file: that it has so many bytes. */
function heard(form) {
  const text = `I heard ${form.file.bytes.length} bytes of ${form.file.filename}.`;
  const seconds = Math.max(1, Math.ceil(form.file.bytes.length / 16_000));
  if (['text', 'srt', 'vtt'].includes(form.response_format)) {
    const cue = `00:00:00${form.response_format === 'srt' ? ',' : '.'}000 --> 00:00:0${seconds % 10}${form.response_format === 'srt' ? ',' : '.'}000\n${text}\n`;
    return { type: 'text/plain; charset=utf-8', bytes: Buffer.from({ text: `${text}\n`, srt: `1\n${cue}\n`, vtt: `WEBVTT\n\n${cue}\n` }[form.response_format]) };
  }
  if (form.response_format === 'verbose_json') return { task: 'transcribe', language: 'english', duration: seconds, text, segments: [], usage: { type: 'duration', seconds } };
  return { text, usage: /whisper/.test(form.model) ? { type: 'duration', seconds } : { type: 'tokens', input_tokens: 10 * seconds, input_token_details: { text_tokens: 0, audio_tokens: 10 * seconds }, output_tokens: piecesOf(text).length, total_tokens: 10 * seconds + piecesOf(text).length } };
}

function heardEvents(form) {
  const { text, usage } = heard({ ...form, response_format: 'json' });
  const frame = data => `data: ${JSON.stringify(data)}\n\n`;
  return { events: [...piecesOf(text).map(piece => frame({ type: 'transcript.text.delta', delta: piece })), frame({ type: 'transcript.text.done', text, usage })], end: 'data: [DONE]\n\n' };
}

/** Sound that depends on nothing but the text, as long as it is spoken. */
function spokenBytes(body) {
  const pieces = [Buffer.from('ID3\x04\x00\x00\x00\x00\x00\x00', 'latin1')];
  for (let index = 0; index < Math.ceil(body.input.length / 4) * 4; index += 1) pieces.push(Buffer.from(digest(body.input, index), 'hex'));
  return Buffer.concat(pieces);
}

function speechEvents(body) {
  const sound = spokenBytes(body);
  const usage = { input_tokens: Math.ceil(body.input.length / 4), output_tokens: Math.ceil(sound.length / 100), total_tokens: Math.ceil(body.input.length / 4) + Math.ceil(sound.length / 100) };
  const pieces = Array.from({ length: Math.ceil(sound.length / SPEECH_BYTES) }, (_, index) => sound.subarray(index * SPEECH_BYTES, (index + 1) * SPEECH_BYTES));
  const frame = data => `data: ${JSON.stringify(data)}\n\n`;
  return { events: pieces.map(piece => frame({ type: 'speech.audio.delta', audio: piece.toString('base64') })), end: frame({ type: 'speech.audio.done', usage }) };
}

const moderation = object({ model: string(), 'input!': stringOr(array(any, { min: 1 })) });
const CATEGORIES = ['harassment', 'harassment/threatening', 'sexual', 'hate', 'hate/threatening', 'illicit', 'illicit/violent', 'self-harm/intent', 'self-harm/instructions', 'self-harm', 'sexual/minors', 'violence', 'violence/graphic'];
const each = value => Object.fromEntries(CATEGORIES.map(name => [name, value(name)]));

function moderationBody(body) {
  const inputs = typeof body.input === 'string' ? [body.input] : typeof body.input[0] === 'string' ? body.input : [JSON.stringify(body.input)];
  const results = inputs.map(input => {
    const flagged = /\bkill\b/i.test(input);
    return { flagged, categories: each(name => flagged && name === 'violence'), category_scores: each(name => (flagged && name === 'violence' ? 0.97 : 0.0001)), category_applied_input_types: each(() => ['text']) };
  });
  return { id: `modr-${digest(body).slice(0, 28)}`, model: body.model ?? 'omni-moderation-latest', results };
}

const fileForm = object({ 'file!': upload, 'purpose!': choice('assistants', 'batch', 'fine-tune', 'vision', 'user_data', 'evals'), expires_after: any, 'expires_after[anchor]': any, 'expires_after[seconds]': any });
const batchRequest = object({
  'input_file_id!': string(), 'endpoint!': choice('/v1/responses', '/v1/chat/completions', '/v1/embeddings', '/v1/completions', '/v1/moderations', '/v1/images/generations', '/v1/images/edits'), 'completion_window!': choice('24h'), metadata: nullable(map(string())), output_expires_after: any,
});
const keep = (kept, one, more = {}) => {
  kept.set(one.id, { one, ...more });
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value);
  return one;
};
/** One page of what is kept, as far as the address says. */
const listed = (kept, { limit = '20', after, order = 'desc', purpose }) => {
  const all = [...kept.values()].map(({ one }) => one).filter(one => purpose === undefined || one.purpose === purpose);
  if (order === 'desc') all.reverse();
  const from = after === undefined ? 0 : all.findIndex(one => one.id === after) + 1;
  const data = all.slice(from, from + Number(limit));
  return { object: 'list', data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: from + data.length < all.length };
};
/** What is wrong with the address of a list, or `null`. */
const checkList = (kept, names, most) => (_body, _model, { query }) => {
  const unknown = Object.keys(query).find(name => !names.includes(name));
  if (unknown) return refuse(`Unknown query parameter: '${unknown}'.`, unknown);
  if (query.limit !== undefined && !(/^\d+$/.test(query.limit) && Number(query.limit) >= 1 && Number(query.limit) <= most)) return refuse(`Invalid 'limit': expected a number from 1 to ${most}.`, 'limit');
  return query.after === undefined || kept.has(query.after) ? null : refuse(`Invalid 'after': ${query.after}.`, 'after');
};

/** Files and batches: what is uploaded is kept. */
function storage() {
  const files = new Map();
  const batches = new Map();
  let made = 0;
  /** Works a batch off, when it is first asked for: an answer for each line. */
  const work = batch => {
    if (batch.status !== 'validating') return batch;
    const lines = files.get(batch.input_file_id).bytes.toString('utf8').split('\n').filter(Boolean).map(line => JSON.parse(line));
    const answers = lines.map(({ custom_id: id, body }) => JSON.stringify({ id: `batch_req_${digest(id)}`, custom_id: id, response: { status_code: 200, request_id: 'req_1', body: { model: body.model } }, error: null }));
    const output = store('batch_output', `${batch.id}_output.jsonl`, Buffer.from(`${answers.join('\n')}\n`));
    return Object.assign(batch, { status: 'completed', output_file_id: output.id, completed_at: CREATED, request_counts: { total: lines.length, completed: lines.length, failed: 0 } });
  };
  const store = (purpose, filename, bytes) => keep(files, { object: 'file', id: `file-${digest('file', (made += 1)).slice(0, 22)}`, purpose, filename, bytes: bytes.length, created_at: CREATED, status: 'processed' }, { bytes });
  const missing = (id, kept) => (kept.has(id) ? null : { status: 404, message: `No such ${kept === files ? 'File object' : 'Batch object'}: ${id}`, param: 'id' });
  return {
    file_create: { multipart: true, shape: fileForm, body: form => store(form.purpose, form.file.filename, form.file.bytes) },
    file_list: { bodyless: true, check: checkList(files, ['limit', 'after', 'order', 'purpose'], 10_000), body: (_value, _model, { query }) => listed(files, query) },
    file_get: { bodyless: true, find: id => missing(id, files), body: (_value, _model, { id }) => files.get(id).one },
    file_content: { bodyless: true, find: id => missing(id, files), body: (_value, _model, { id }) => ({ type: 'application/octet-stream', bytes: files.get(id).bytes }) },
    file_delete: { bodyless: true, find: id => missing(id, files), body: (_value, _model, { id }) => ({ object: 'file', id, deleted: files.delete(id) }) },
    batch_create: {
      shape: batchRequest, check: body => (files.has(body.input_file_id) ? null : refuse(`Invalid value: '${body.input_file_id}'. The file does not exist.`, 'input_file_id')),
      body: body => keep(batches, {
        id: `batch_${digest('batch', (made += 1)).slice(0, 32)}`, object: 'batch', endpoint: body.endpoint, input_file_id: body.input_file_id, completion_window: '24h', status: 'validating', created_at: CREATED, expires_at: CREATED + 86_400, request_counts: { total: 0, completed: 0, failed: 0 }, metadata: body.metadata ?? null,
      }),
    },
    batch_list: { bodyless: true, check: checkList(batches, ['limit', 'after'], 100), body: (_value, _model, { query }) => listed(batches, query) },
    batch_get: { bodyless: true, find: id => missing(id, batches), body: (_value, _model, { id }) => work(batches.get(id).one) },
    batch_cancel: { bodyless: true, find: id => missing(id, batches), body: (_value, _model, { id }) => ({ ...batches.get(id).one, status: 'cancelling', cancelling_at: CREATED }) },
  };
}

/** The operations by name: { shape, check?, find?, body, events?, streamed?, multipart?, bodyless?, schema? }. */
export const endpoints = () => ({
  completions: { shape: completion, schema: 'CreateCompletionRequest', check: body => (body.stream_options != null && body.stream !== true ? refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options') : null), streamed: body => body.stream === true, events: completionEvents,
    body: body => {
      const choices = completionChoices(body);
      return { ...completionHead(body), choices: choices.map((answer, index) => ({ text: answer.text, index, logprobs: null, finish_reason: completionFinish(answer) })), usage: completionUsage(choices) };
    } },
  image_generate: { shape: generation, schema: 'CreateImageRequest', check: checkPictures, body: picturesBody },
  image_edit: { multipart: true, shape: edit, check: checkPictures, body: picturesBody },
  image_variation: { multipart: true, shape: variation, body: picturesBody },
  speech: { shape: speech, schema: 'CreateSpeechRequest', streamed: body => body.stream_format === 'sse', events: speechEvents, body: body => ({ type: AUDIO_TYPES[body.response_format ?? 'mp3'], bytes: spokenBytes(body) }) },
  transcription: { multipart: true, shape: transcription, check: checkFile, streamed: form => /^true$/i.test(form.stream ?? ''), events: heardEvents, body: heard },
  translation: { multipart: true, shape: translation, check: checkFile, body: heard },
  moderations: { shape: moderation, schema: 'CreateModerationRequest', body: moderationBody },
  ...storage(),
});

const PATHS = [
  ['POST', /^\/v1\/completions$/, 'completions'], ['POST', /^\/v1\/images\/generations$/, 'image_generate'], ['POST', /^\/v1\/images\/edits$/, 'image_edit'], ['POST', /^\/v1\/images\/variations$/, 'image_variation'],
  ['POST', /^\/v1\/audio\/speech$/, 'speech'], ['POST', /^\/v1\/audio\/transcriptions$/, 'transcription'], ['POST', /^\/v1\/audio\/translations$/, 'translation'], ['POST', /^\/v1\/moderations$/, 'moderations'],
  ['POST', /^\/v1\/files$/, 'file_create'], ['GET', /^\/v1\/files$/, 'file_list'], ['GET', /^\/v1\/files\/([^/]+)$/, 'file_get'], ['GET', /^\/v1\/files\/([^/]+)\/content$/, 'file_content'], ['DELETE', /^\/v1\/files\/([^/]+)$/, 'file_delete'],
  ['POST', /^\/v1\/batches$/, 'batch_create'], ['GET', /^\/v1\/batches$/, 'batch_list'], ['GET', /^\/v1\/batches\/([^/]+)$/, 'batch_get'], ['POST', /^\/v1\/batches\/([^/]+)\/cancel$/, 'batch_cancel'],
];

/** The operation that a path names: { op, id?, query }, or `null`. */
export function endpointOf(method, path, query) {
  for (const [verb, pattern, op] of PATHS) {
    const found = verb === method ? pattern.exec(path) : null;
    if (found) return { op, id: found[1], query: Object.fromEntries(query) };
  }
  return null;
}
