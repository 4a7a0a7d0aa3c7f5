// Starts the mock providers in a process of their own, and asks them what they saw.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

import { json } from './http.mjs';

const SERVER = fileURLToPath(new URL('./mock/server.mjs', import.meta.url));

/** Starts the mocks; `lenient` for SDKs that talk to them directly. */
export async function startMocks({ lenient = false, port = 0 } = {}) {
  const child = spawn(process.execPath, [SERVER, '--port', String(port), ...(lenient ? ['--lenient'] : [])], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: child.stdout });
  const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => { throw new Error('the mock providers did not start'); })]);
  const { url } = JSON.parse(line);
  const control = async (path, options) => (await json(`${url}/control/${path}`, options)).json;
  return {
    url,
    /** A mark from which on calls are counted. */
    mark: async () => (await control(`calls?since=${Number.MAX_SAFE_INTEGER}`)).next,
    /** The calls since a mark, once none is under way (or after `waitMs`). */
    calls: async (since = 0, waitMs = 5_000) => (await control(`calls?since=${since}&settled=1&wait_ms=${waitMs}`)).calls,
    /** The calls since a mark, whether they are over or not. */
    callsNow: async (since = 0) => (await control(`calls?since=${since}`)).calls,
    forbid: values => control('forbid', { method: 'POST', body: { values } }),
    reset: () => control('reset', { method: 'POST' }),
    state: () => control('state'),
    stop: async () => {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
