// Recorded answers of real providers, replayed by the model's name `recorded-<n>`.
//
// Looks in SLUICE_RECORDINGS, or in `../shared/recordings` beside the project. Absent: the name is an unknown model.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const OPERATIONS = {
  openai: { chat: ['chat.completions'], embeddings: ['embeddings'] },
  anthropic: { chat: ['messages'], embeddings: [] },
  gemini: { chat: ['generateContent', 'streamGenerateContent'], embeddings: ['batchEmbedContents'] },
};

/** The folder with the recordings, or `null`. */
export function recordingsFolder() {
  const folders = process.env.SLUICE_RECORDINGS ? [process.env.SLUICE_RECORDINGS] : [path.resolve(PROJECT, '../shared/recordings'), path.resolve(PROJECT, '../../shared/recordings')];
  return folders.find(folder => fs.existsSync(path.join(folder, 'openai.jsonl'))) ?? null;
}

const lists = new Map();

/** The successful exchanges of one dialect and operation, streamed or not, in the order of the file. */
export function recordings(dialect, op, streamed) {
  const name = `${dialect} ${op} ${streamed}`;
  if (!lists.has(name)) {
    const folder = recordingsFolder();
    const lines = folder === null ? [] : fs.readFileSync(path.join(folder, `${dialect}.jsonl`), 'utf8').split('\n').filter(Boolean);
    lists.set(name, lines.map(line => JSON.parse(line)).filter(one => one.status === 200 && OPERATIONS[dialect][op].includes(one.op)
      && (one.response_kind === 'sse') === streamed && ['sse', 'json'].includes(one.response_kind)
      && (dialect !== 'anthropic' || one.response?.type === 'message' || streamed)));
  }
  return lists.get(name);
}
