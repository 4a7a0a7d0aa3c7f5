// Starts the mock providers in a process of their own, and asks them what they saw.

import { spawn } from 'node:child_process';
import { createSign } from 'node:crypto';
import { once } from 'node:events';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

import { json, send } from './http.mjs';

const SERVER = fileURLToPath(new URL('./mock/server.mjs', import.meta.url));

/** Exchanges a signed grant for a token. */
export async function fetchToken(account, more = {}) {
  const now = Math.floor(Date.now() / 1000);
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'RS256', typ: 'JWT', kid: account.private_key_id })}.${part({ iss: account.client_email, scope: 'https://www.googleapis.com/auth/cloud-platform', aud: account.token_uri, iat: now, exp: now + 3_600, ...more })}`;
  const assertion = `${text}.${createSign('RSA-SHA256').update(text).sign(account.private_key, 'base64url')}`;
  const answer = await send(account.token_uri, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: String(new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion })) });
  const { access_token: token, error_description: problem } = JSON.parse(await answer.text());
  if (answer.status !== 200) throw new Error(problem);
  return token;
}

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
    /** The key file of Vertex AI's service account. */
    serviceAccount: () => control('service-account'),
    /** A token for that account, as the account's owner fetches it. */
    token: async () => fetchToken(await control('service-account')),
    stop: async () => {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}
