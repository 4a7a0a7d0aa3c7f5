// Vertex AI: Gemini's and Claude's operations behind a service account's tokens.
// Follows https://cloud.google.com/vertex-ai/docs/reference/rest and https://developers.google.com/identity/protocols/oauth2/service-account.

import { createPublicKey, generateKeyPairSync, randomUUID, verify } from 'node:crypto';

import { METHODS, gemini, operations as google } from './gemini.mjs';
import { anthropic, operations as claude } from './anthropic.mjs';
import { any, array, choice, integer, map, object, string } from './shape.mjs';
import { vector } from './answer.mjs';

const EMAIL = 'gateway@mock-project.iam.gserviceaccount.com';
const KEY_ID = 'mock-key-1';
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
/** A grant is good for an hour at most, and clocks may differ by so much. */
const GRANT_S_MAX = 3_600;
const SKEW_S_MAX = 300;
const TOKENS_MAX = 1_000;
const PATH = /^\/v1(?:beta1)?\/projects\/([^/]+)\/locations\/([^/]+)\/publishers\/(google|anthropic)\/models\/([^/:]+):(\w+)$/;

let pair;
const keys = () => (pair ??= generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } }));
const issued = new Set();
let tokenAddress;

/** The key file of the one service account, as Google writes them. */
export function serviceAccount(tokenUri) {
  tokenAddress = tokenUri;
  return { type: 'service_account', project_id: 'mock-project', private_key_id: KEY_ID, private_key: keys().privateKey, client_email: EMAIL, client_id: '100000000000000000001', auth_uri: 'https://accounts.google.com/o/oauth2/auth', token_uri: tokenUri, universe_domain: 'googleapis.com' };
}

const grantProblem = message => ({ status: 400, oauth: 'invalid_grant', message });
const readJson = text => JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));

/** What is wrong with a grant, or `null`. */
function checkGrant({ grant_type: type, assertion }) {
  if (type !== GRANT) return { status: 400, oauth: 'unsupported_grant_type', message: `Invalid grant_type: ${type}` };
  const [head, claims, signature, more] = (assertion ?? '').split('.');
  if (!signature || more !== undefined) return { status: 400, oauth: 'invalid_request', message: 'The assertion is not a JWT.' };
  const { alg, kid } = readJson(head);
  const { iss, aud, iat, exp, scope } = readJson(claims);
  const now = Date.now() / 1000;
  if (alg !== 'RS256' || (kid !== undefined && kid !== KEY_ID)) return grantProblem('Invalid JWT header.');
  if (!verify('RSA-SHA256', Buffer.from(`${head}.${claims}`), createPublicKey(keys().publicKey), Buffer.from(signature, 'base64url'))) return grantProblem('Invalid JWT Signature.');
  if (iss !== EMAIL) return grantProblem('Invalid grant: account not found');
  if (aud !== tokenAddress) return grantProblem('Invalid JWT: Failed audience check.');
  if (!(exp - iat <= GRANT_S_MAX && Math.abs(now - iat) <= SKEW_S_MAX && exp > now)) return grantProblem('Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.');
  return (scope ?? '').split(' ').includes(SCOPE) ? null : { status: 400, oauth: 'invalid_scope', message: 'Invalid OAuth scope or ID token audience provided.' };
}

function grant() {
  const token = `ya29.mock-${randomUUID()}`;
  issued.add(token);
  if (issued.size > TOKENS_MAX) issued.delete(issued.values().next().value);
  return { access_token: token, expires_in: GRANT_S_MAX - 1, token_type: 'Bearer' };
}

const VERTEX_VERSION = { 'anthropic_version!': choice('vertex-2023-10-16'), anthropic_beta: array(string()) };
/** Claude on Vertex AI: the model stands in the path, the version in the body. */
const withoutVersion = ({ anthropic_version: _version, anthropic_beta: _beta, ...body }) => body;
const versioned = (value, path, faults) => {
  const { anthropic_version: version, anthropic_beta: beta } = value;
  object(VERTEX_VERSION)({ ...(version === undefined ? {} : { anthropic_version: version }), ...(beta === undefined ? {} : { anthropic_beta: beta }) }, path, faults);
  if (value.model !== undefined) faults.push({ path: 'model', kind: 'unknown', want: '', got: 'model' });
  claude.chat.shape({ model: 'claude', ...withoutVersion(value) }, path, faults);
};
const claudeChat = {
  ...claude.chat, of: 'anthropic', shape: versioned, schema: undefined, streamed: body => body.stream === true,
  check: (body, model, route) => ((body.stream === true) === route.stream ? claude.chat.check({ ...withoutVersion(body), model }) : { status: 400, message: 'stream: must be true for streamRawPredict and absent for rawPredict' }),
  body: (body, model) => claude.chat.body({ ...withoutVersion(body), model }, model), events: (body, model) => claude.chat.events({ ...withoutVersion(body), model }, model),
};
/** Counting names its model in the body, as at Anthropic: `models/count-tokens:rawPredict`. */
const claudeCount = { ...claude.count, of: 'anthropic', schema: undefined, shape: (value, path, faults) => claude.count.shape(withoutVersion(value), path, faults), body: body => claude.count.body(withoutVersion(body)) };

/** Vertex AI says more than the Gemini API, and no index. */
const told = answer => ({
  ...answer, candidates: answer.candidates.map(({ index: _index, ...candidate }) => ({ ...candidate, ...(candidate.finishReason ? { avgLogprobs: -0.25 } : {}) })), createTime: '2026-10-01T12:00:00.000000Z',
  ...(answer.usageMetadata ? { usageMetadata: { ...answer.usageMetadata, candidatesTokensDetails: [{ modality: 'TEXT', tokenCount: answer.usageMetadata.candidatesTokenCount }], trafficType: 'ON_DEMAND' } } : {}),
});

const roled = (body, model, inner) => (body.contents ?? []).some(content => content.role === undefined) ? { status: 400, message: 'Please use a valid role: user, model.' } : inner?.(body, model) ?? null;
const predict = object({ 'instances!': array(object({ 'content!': string({ min: 1 }), task_type: string(), title: string() }), { min: 1, max: 250 }), parameters: object({ outputDimensionality: integer({ min: 1, max: 3072 }), autoTruncate: any }) });
const countShape = object({ model: string(), contents: array(any, { min: 1 }), instances: array(any), systemInstruction: map(any), tools: array(any), generationConfig: map(any) });

const operations = {
  token: { form: true, check: checkGrant, body: grant },
  chat: {
    ...google.chat, check: (body, model) => roled(body, model, google.chat.check), body: (body, model) => told(google.chat.body(body, model)),
    events: (body, model) => {
      const { events, end } = google.chat.events(body, model);
      const change = event => `data: ${JSON.stringify(told(JSON.parse(event.slice('data: '.length))))}\r\n\r\n`;
      return { events: events.map(change), end: change(end) };
    },
  },
  count: { ...google.count, shape: countShape, check: body => roled(body) },
  embedding: google.embedding,
  claude: claudeChat,
  claude_count: claudeCount,
  embeddings: {
    shape: predict, schema: 'PredictRequest', check: (body, model) => (/^gemini-embedding/.test(model) && body.instances.length > 1 ? { status: 400, message: 'The model accepts one instance a request.' } : null),
    body: body => ({ predictions: body.instances.map(one => ({ embeddings: { values: vector(one.content, body.parameters?.outputDimensionality ?? 768), statistics: { truncated: false, token_count: Math.ceil(one.content.length / 4) } } })), metadata: { billableCharacterCount: body.instances.reduce((sum, one) => sum + one.content.length, 0) } }),
  },
};

/** The wire. */
export function vertex() {
  const [gem, ant] = [gemini(), anthropic()];
  return {
    ...gem,
    operations: { ...operations, claude: { ...operations.claude, worded: ant.worded, errorEvent: ant.errorEvent } },
    spec: 'vertex',
    errorBody(problem) {
      if (problem.oauth) return { error: problem.oauth, error_description: problem.message };
      // Whom Google itself turns away hears it in Google's words.
      return problem.of === 'anthropic' && ![401, 403, 404, 429].includes(problem.status) ? ant.errorBody(problem) : gem.errorBody(problem);
    },
    retryAfterInBody: false,
    authenticate: (headers, project, { path }) => (path === '/token' || issued.has((headers.authorization ?? '').replace(/^Bearer /, '')) ? null
      : { status: 401, message: 'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.' }),
    route(method, path, query) {
      if (method === 'POST' && path === '/token') return { op: 'token', model: '' };
      const called = method === 'POST' ? PATH.exec(path) : null;
      if (!called) return null;
      const [, project, , publisher, name, action] = called;
      if (project !== 'mock-project') return { problem: { status: 403, message: `Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/${project}' (or it may not exist).` } };
      const model = decodeURIComponent(name);
      if (publisher === 'anthropic' && model === 'count-tokens' && action === 'rawPredict') return { op: 'claude_count' };
      if (publisher === 'anthropic') return action === 'rawPredict' || action === 'streamRawPredict' ? { op: 'claude', model, stream: action === 'streamRawPredict' } : null;
      if (action === 'predict') return { op: 'embeddings', model };
      const stream = action === 'streamGenerateContent';
      return Object.hasOwn(METHODS, action) && action !== 'batchEmbedContents' ? { op: METHODS[action], model, stream, json: stream && query.get('alt') !== 'sse' } : null;
    },
    forget: () => issued.clear(),
  };
}
