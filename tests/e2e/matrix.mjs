// `node tests/e2e/run.mjs matrix`: every client, feature by feature, against every upstream behind a running gateway.
//
// Prints what each does, and writes docs/clients.md. Fails where a cell fails, or where less than `PASS_PERCENT_MIN` of those that exist pass.
// `matrix WORD …` runs only the scripts whose names hold one of the words, and writes nothing.

import fs from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

import { FRAMEWORKS, OFFICIAL, pythonAbsent, runScript, settings } from './clients/environment.mjs';
import { UPSTREAMS } from './clients/upstreams.mjs';
import { startWorld } from './gateway.mjs';

const PAGE = fileURLToPath(new URL('../../docs/clients.md', import.meta.url));
const PASS_PERCENT_MIN = 99;
const SCRIPTS_AT_ONCE = 6;
const FEATURES = ['chat', 'stream', 'tools', 'streamed tools', 'parallel tools', 'structured output', 'images', 'thinking', 'errors', 'broken streams', 'cancellation', 'token counting', 'models', 'embeddings', 'asynchronous'];
const SIGNS = { pass: '✓', fail: '✗', absent: '–' };

const count = (cells, result) => cells.filter(cell => cell.result === result).length;

/** One client's table. Reasons are numbered over the whole page. */
function table(client, cells, reasons) {
  const own = cells.filter(cell => cell.client === client);
  const note = reason => {
    if (!reasons.has(reason)) reasons.set(reason, reasons.size + 1);
    return reasons.get(reason);
  };
  const sign = cell => (cell === undefined ? '' : cell.result === 'pass' ? SIGNS.pass : `${SIGNS[cell.result]}${cell.result === 'absent' ? ` (${note(cell.reason)})` : ''}`);
  const rows = FEATURES.filter(feature => own.some(cell => cell.feature === feature)).map(feature => `| ${feature} | ${UPSTREAMS.map(({ name }) => sign(own.find(cell => cell.feature === feature && cell.upstream === name))).join(' | ')} |`);
  return [`| | ${UPSTREAMS.map(({ title }) => title).join(' | ')} |`, `|---|${UPSTREAMS.map(() => '---|').join('')}`, ...rows].join('\n');
}

function page(cells, versions) {
  const reasons = new Map();
  const clients = versions.map(({ client, version }) => `### ${client}\n\n${version}\n\n${table(client, cells, reasons)}`);
  const existing = cells.filter(cell => cell.result !== 'absent');
  return `# Clients

What real clients do through the gateway, feature by feature, against a strict mock of each upstream.
\`node tests/e2e/run.mjs matrix\` runs it all on workerd and writes this page; the providers' own clients are part of every test run.

${count(existing, 'pass')} of ${existing.length} cells pass (${(100 * count(existing, 'pass') / existing.length).toFixed(1)} %); ${count(cells, 'absent')} do not exist, for the reason in brackets.

What a row wants:

- **chat**, **stream**: the text, the end and the usage, the same streamed and whole.
- **tools**, **streamed tools**, **parallel tools**: both turns; the first answer goes back as the client got it; named, forbidden and several calls, results in any order; the clients' own loops of calls.
- **structured output**: the client's own parsing of an answer held to a schema.
- **images**: a picture in the request.
- **thinking**: both turns of a tool call with thoughts and their proofs, which the mocks verify; clients that keep none of it must not fail.
- **errors**: the client's own exception for a wrong key, a forbidden wish, an unknown model, a wrong field, a context that is too long, a limit with \`Retry-After\`, a failing provider, HTML.
- **broken streams**: cut, ended early, or broken off by an error: never a normal end.
- **cancellation**: a caller that leaves ends the provider's call.

${clients.join('\n\n')}

## Reasons

${[...reasons].map(([reason, number]) => `${number}. ${reason}`).join('\n')}
`;
}

/** Runs one script, and says how it went. */
async function runOne(one, env) {
  const started = Date.now();
  const found = await runScript(one, env);
  process.stdout.write(`${one.script}: ${count(found.cells, 'pass')} pass, ${count(found.cells, 'fail')} fail, ${count(found.cells, 'absent')} do not exist, ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  for (const cell of found.cells.filter(({ result }) => result === 'fail')) process.stdout.write(`  ${cell.client}, ${cell.feature}, ${cell.upstream}: ${cell.reason.replaceAll('\n', ' ')}\n`);
  return found;
}

async function main(words) {
  const absent = pythonAbsent();
  if (absent) throw new Error(absent);
  const world = await startWorld();
  const [cells, versions] = [[], []];
  try {
    const env = await settings(world);
    const scripts = [...OFFICIAL, ...FRAMEWORKS].filter(({ script }) => words.length === 0 || words.some(word => script.includes(word)));
    // Several at once; their cells stay in the order of the list.
    const work = [...scripts.entries()];
    const results = new Array(scripts.length);
    const worker = async () => {
      for (let next = work.shift(); next; next = work.shift()) results[next[0]] = await runOne(next[1], env);
    };
    await Promise.all(Array.from({ length: SCRIPTS_AT_ONCE }, worker));
    for (const found of results) {
      cells.push(...found.cells);
      versions.push(...found.versions);
    }
    const calls = await world.mocks.calls();
    for (const violation of new Set(calls.flatMap(call => call.violations.map(one => `${call.provider}: ${one}`)))) process.stdout.write(`refused by a provider: ${violation}\n`);
  } finally {
    await world.stop();
  }
  const existing = cells.filter(cell => cell.result !== 'absent');
  process.stdout.write(`${page(cells, versions)}\n`);
  if (words.length === 0) fs.writeFileSync(PAGE, page(cells, versions));
  return 100 * count(existing, 'pass') >= PASS_PERCENT_MIN * existing.length;
}

process.exit(await main(process.argv.slice(2)) ? 0 : 1);
