// Checks answers against OpenAI's published response formats, where they are at hand (see mock/specs.mjs).

import { openaiSchema, specsFolder } from './mock/specs.mjs';

/** Why answers are not checked, or `null`. */
export const skipped = specsFolder() === null ? 'the published formats are not at hand (SLUICE_SPECS): answers are not checked against them' : null;

const RESPONSES = [
  [/\/chat\/completions$/, 'CreateChatCompletionResponse'],
  [/\/embeddings$/, 'CreateEmbeddingResponse'],
  [/\/files$/, 'ListFilesResponse', 'OpenAIFile'],
  [/\/files\/[^/]+$/, 'OpenAIFile', 'DeleteFileResponse'],
  [/\/batches$/, 'ListBatchesResponse', 'Batch'],
  [/\/batches\/.+$/, 'Batch'],
  [/\/models$/, 'ListModelsResponse'],
  [/\/models\/.+$/, 'Model'],
];

const problem = (name, value) => (skipped ? null : openaiSchema(name)(value));

/** What is wrong with a whole answer, or `null`. */
export function answerProblem(path, status, value) {
  if (!path.startsWith('/v1/')) return null;
  if (status >= 400) return problem('ErrorResponse', value);
  // The published format knows numbers only; base64 is said in words there.
  if (typeof value?.data?.[0]?.embedding === 'string') return null;
  const [, ...names] = RESPONSES.find(([pattern]) => pattern.test(path.replace(/\?.*$/, ''))) ?? [];
  const problems = names.map(name => problem(name, value));
  return problems.includes(null) ? null : problems[0] ?? null;
}

/** What is wrong with one chunk of a stream, or `null`. */
export const chunkProblem = chunk => problem('CreateChatCompletionStreamResponse', chunk);
