// What a mock model says: a pure function of the question. Wire formats are not its business.
//
//   "Say exactly: X"         X
//   "use the tool NAME"      one call of the tool NAME, with arguments made from its schema (if it is offered)
//   "use both tools"         a call of each of the first two tools, in one turn
//   after tool results       "The tool said: R1 | R2"
//   a JSON schema            the smallest interesting value of that schema
//   anything else            "You said: <the last user text>"

import { createHash } from 'node:crypto';

/** The input that a picture counts as. */
const IMAGE_TOKENS = 85;

/**
 * Decides the answer.
 * `turn`: { model, text, tools: [{name, schema}], forced: name | 'any' | 'none' | undefined, parallel, results: [text] | undefined,
 *           format: {schema?} | undefined, outputMax, inputText, images }
 */
export function decide(turn) {
  const answer = { text: '', calls: [], finish: 'stop', reasoning: '', refusal: false };
  const called = callsOf(turn);
  if (called.length > 0) {
    answer.finish = 'tool';
    answer.calls = called.map((tool, index) => ({
      id: digest(turn.model, turn.inputText, tool.name, index).slice(0, 24),
      name: tool.name,
      arguments: sample(tool.schema ?? {}),
    }));
  } else if (/^refusal/.test(turn.model)) {
    answer.refusal = true;
    answer.finish = 'refusal';
    answer.text = "I'm sorry, I can't help with that.";
  } else {
    answer.text = textOf(turn);
  }
  if (/^thinking/.test(turn.model)) answer.reasoning = 'The user wrote something. I repeat it.';
  limitOutput(answer, turn.outputMax);
  answer.usage = usageOf(turn, answer);
  return answer;
}

function callsOf(turn) {
  if (turn.tools.length === 0 || turn.forced === 'none') return [];
  if (turn.forced && turn.forced !== 'any') return turn.tools.filter(tool => tool.name === turn.forced);
  if (turn.results !== undefined) return [];
  if (/use both tools/i.test(turn.text) && turn.parallel !== false) return turn.tools.slice(0, 2);
  const named = /use the tool ([A-Za-z0-9_.:-]+)/i.exec(turn.text)?.[1]?.replace(/[.:]+$/, '');
  if (named) return turn.tools.filter(tool => tool.name === named).slice(0, 1);
  return turn.forced === 'any' || /use both tools/i.test(turn.text) ? turn.tools.slice(0, 1) : [];
}

function textOf(turn) {
  if (turn.format) return JSON.stringify(turn.format.schema ? sample(turn.format.schema) : { echo: turn.text });
  if (turn.results !== undefined) return `The tool said: ${turn.results.join(' | ')}`;
  const words = /^long-(\d+)$/.exec(turn.model)?.[1];
  if (words) return Array.from({ length: Number(words) }, (_, index) => `word${index}`).join(' ');
  const exactly = /Say exactly: ([\s\S]*)$/.exec(turn.text)?.[1];
  if (exactly !== undefined) return exactly;
  return `You said: ${turn.text}${turn.images > 0 ? ` (and showed ${turn.images} picture${turn.images > 1 ? 's' : ''})` : ''}`;
}

function limitOutput(answer, outputMax) {
  if (outputMax === undefined || outputMax === null || answer.calls.length > 0) return;
  const pieces = piecesOf(answer.text);
  if (pieces.length <= outputMax) return;
  answer.text = pieces.slice(0, outputMax).join('');
  answer.finish = 'length';
}

function usageOf(turn, answer) {
  const input = 7 + Math.ceil(turn.inputText.length / 4) + IMAGE_TOKENS * turn.images;
  const reasoning = piecesOf(answer.reasoning).length;
  const visible = answer.calls.length > 0
    ? answer.calls.reduce((sum, call) => sum + 8 + Math.ceil(JSON.stringify(call.arguments).length / 4), 0)
    : piecesOf(answer.text).length;
  return { input, cached: /^cached/.test(turn.model) ? Math.floor(input / 2) : 0, reasoning, output: visible + reasoning };
}

/** Text in the pieces in which a model writes it: about a word each. One piece counts as one token. */
export const piecesOf = text => text.match(/\s*\S{1,12}|\s+$/g) ?? [];

/** The smallest interesting value of a JSON schema (or of Gemini's dialect of it). */
export function sample(schema, root = schema, depth = 0) {
  if (schema === true || schema === undefined || schema === null || depth > 16) return 'sample';
  if (schema.$ref) return sample(schema.$ref.split('/').slice(1).reduce((node, name) => node?.[name], root), root, depth + 1);
  if (schema.const !== undefined) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  const alternative = schema.anyOf?.[0] ?? schema.oneOf?.[0] ?? schema.allOf?.[0];
  if (alternative) return sample(alternative, root, depth + 1);
  const type = String(Array.isArray(schema.type) ? schema.type[0] : schema.type ?? 'object').toLowerCase();
  if (type === 'string') return 'sample';
  if (type === 'integer') return schema.minimum ?? 7;
  if (type === 'number') return schema.minimum ?? 1.5;
  if (type === 'boolean') return true;
  if (type === 'null') return null;
  if (type === 'array') return Array.from({ length: schema.minItems ?? 1 }, () => sample(schema.items, root, depth + 1));
  return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, sample(inner, root, depth + 1)]));
}

/** Hexadecimal that depends on nothing but its arguments. */
export const digest = (...parts) => createHash('sha256').update(JSON.stringify(parts)).digest('hex');

/** A unit vector that depends on nothing but the input. */
export function vector(input, dimensions) {
  const values = [];
  for (let block = 0; values.length < dimensions; block += 1) {
    const bytes = createHash('sha256').update(`${block}:${JSON.stringify(input)}`).digest();
    for (let at = 0; at < 32 && values.length < dimensions; at += 4) values.push(bytes.readInt32LE(at) / 2 ** 31);
  }
  const length = Math.hypot(...values);
  return values.map(value => Math.fround(value / length));
}
