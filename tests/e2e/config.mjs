// The configuration that the tests run with: the mocks as providers, routes over them, organisations to spend on.
//
// Any model of a mock can be asked for as `mock-openai/NAME` and so on; what the names do stands in mock/faults.mjs.

/** What seals the bodies that are on record. */
export const BODY_KEY = 'e2e:b29wcyBubyBzZWNyZXQgYXQgYWxsIGp1c3QgdGVzdHM';

/** The secrets by name, as the environment would hold them. */
export const SECRETS = {
  SLUICE_BODY_KEY: BODY_KEY,
  MOCK_OPENAI_KEY: 'sk-mock-openai', MOCK_BACKUP_KEY: 'sk-mock-backup', MOCK_PLAIN_KEY: 'sk-mock-plain', MOCK_ANTHROPIC_KEY: 'sk-ant-mock', MOCK_GEMINI_KEY: 'AIza-mock',
  MOCK_WRONG_KEY: 'sk-mock-wrong', MOCK_AZURE_KEY: 'azure-mock', MOCK_MISTRAL_KEY: 'mistral-mock', MOCK_COHERE_KEY: 'cohere-mock', MOCK_VLLM_KEY: 'vllm-mock',
  MOCK_BEDROCK_KEY: 'bedrock-api-key-mock', MOCK_AWS_ID: 'AKIAMOCKMOCKMOCKMOCK', MOCK_AWS_SECRET: 'mock/secret+access+key',
};

/** What the identifiers of files and batches are sealed with. */
export const ID_KEY = 'identifiers-of-the-tests-0123456789abcdef';

/** What signs receipts: every scenario and every client meets them. */
export const RECEIPT_KEY = 'e2e:mOrY2XAG0TYWqYlxq76ZLOF-FF5fl7ehvgjgzYCXLP0:iY5fM2ZwgZOiV_Zxt8AYL2O50NTqhDzneLlAQ-yV9Ok';

const PROVIDERS = {
  'mock-openai': { dialect: 'openai', path: '/openai/v1', key: 'MOCK_OPENAI_KEY', quirks: { max_completion_tokens: true, developer_role: true } },
  'mock-backup': { dialect: 'openai', path: '/backup/v1', key: 'MOCK_BACKUP_KEY', quirks: { max_completion_tokens: true, developer_role: true } },
  'mock-plain': { dialect: 'openai', path: '/plain/v1', key: 'MOCK_PLAIN_KEY', quirks: { max_completion_tokens: false, developer_role: false } },
  'mock-anthropic': { dialect: 'anthropic', path: '/anthropic/v1', key: 'MOCK_ANTHROPIC_KEY' },
  'mock-gemini': { dialect: 'gemini', path: '/gemini/v1beta', key: 'MOCK_GEMINI_KEY' },
  'mock-wrong-key': { dialect: 'openai', path: '/openai/v1', key: 'MOCK_WRONG_KEY' },
  'mock-responses': { dialect: 'responses', path: '/openai/v1', key: 'MOCK_OPENAI_KEY' },
  'mock-azure': { dialect: 'openai', path: '/azure/openai/v1', key: 'MOCK_AZURE_KEY', auth: { header: 'api-key' }, quirks: { max_completion_tokens: true, developer_role: true } },
  'mock-deployments': { dialect: 'openai', path: '/azure/openai', key: 'MOCK_AZURE_KEY', auth: { header: 'api-key' }, azure: { api_version: '2024-10-21' }, quirks: { max_completion_tokens: true, developer_role: true } },
  'mock-bedrock': { dialect: 'bedrock', path: '/bedrock', auth: 'sigv4', aws: { region: 'us-east-1', access_key_id: 'MOCK_AWS_ID', secret_access_key: 'MOCK_AWS_SECRET' } },
  'mock-bedrock-key': { dialect: 'bedrock', path: '/bedrock', key: 'MOCK_BEDROCK_KEY' },
  'mock-vertex': { dialect: 'gemini', path: '/vertex/v1', key: 'MOCK_SERVICE_ACCOUNT', auth: 'service_account', google: { project: 'mock-project', location: 'europe-west1' } },
  'mock-vertex-claude': { dialect: 'anthropic', path: '/vertex/v1', key: 'MOCK_SERVICE_ACCOUNT', auth: 'service_account', google: { project: 'mock-project', location: 'europe-west1' } },
  'mock-mistral': {
    dialect: 'openai', path: '/mistral/v1', key: 'MOCK_MISTRAL_KEY',
    quirks: { stream_usage: false, thinking_chunks: true, short_call_ids: true, random_seed: true, output_dimension: true, assistant_prefix: true, strict_fields: true, fields_refused: ['logit_bias', 'logprobs', 'modalities', 'moderation', 'audio', 'prompt_cache_options', 'prompt_cache_retention', 'safety_identifier', 'service_tier', 'store', 'top_k', 'top_logprobs', 'user', 'verbosity', 'web_search_options'] },
  },
  'mock-cohere': { dialect: 'cohere', path: '/cohere/v2', key: 'MOCK_COHERE_KEY' },
  'mock-ollama': { dialect: 'openai', path: '/ollama/v1', auth: 'none' },
  'mock-vllm': { dialect: 'openai', path: '/vllm/v1', key: 'MOCK_VLLM_KEY' },
  // The only one that is left alone when it fails; the others fail for many tests at once.
  'mock-circuit': { dialect: 'openai', path: '/openai/v1', key: 'MOCK_OPENAI_KEY', retry: { attempts_max: 1 }, circuit: { failures: ['connect', 'timeout', 'error', 'overloaded'], open: '1s', open_max: '2s' } },
  'mock-no-key': { dialect: 'openai', path: '/openai/v1', key: 'MOCK_ABSENT_KEY' },
};

/** Routes with more than one target: [provider, model at the provider]. */
const ROUTES = {
  'chain/500': [['mock-openai', 'fault-500'], ['mock-backup', 'chat']],
  'chain/429': [['mock-openai', 'fault-429'], ['mock-backup', 'chat']],
  'chain/reset': [['mock-openai', 'fault-reset'], ['mock-backup', 'chat']],
  'chain/hang': [['mock-openai', 'fault-hang'], ['mock-backup', 'chat']],
  'chain/garbage': [['mock-openai', 'fault-garbage'], ['mock-backup', 'chat']],
  'chain/wires': [['mock-openai', 'fault-503'], ['mock-anthropic', 'fault-529'], ['mock-gemini', 'chat']],
  'chain/400': [['mock-openai', 'fault-400'], ['mock-backup', 'chat']],
  'chain/context': [['mock-openai', 'fault-context-length'], ['mock-backup', 'chat']],
  'chain/dead': [['mock-openai', 'fault-500'], ['mock-backup', 'fault-503']],
  'chain/cut': [['mock-openai', 'fault-cut-after-3'], ['mock-backup', 'chat']],
  'chain/circuit': [['mock-circuit', 'fault-500-times-3-chain'], ['mock-backup', 'chat']],
  'chain/wrong-key': [['mock-wrong-key', 'chat'], ['mock-backup', 'chat']],
  'hedged/slow': [['mock-openai', 'slow-first-byte-7000'], ['mock-backup', 'chat']],
  'hedged/deaf': [['mock-openai', 'slow-first-byte-1500'], ['mock-backup', 'fault-hang']],
};
/** Each provider's echo under a name without a slash, for clients that write the model into the address. */
const ALIASES = Object.fromEntries(Object.keys(PROVIDERS).map(name => [`${name.replace(/^mock-/, '')}-alias`, [[name, 'chat']]]));
const HEDGE = { after: '300ms', percent_max: 100 };
const FALLBACK_ON = { 'chain/context': ['error', 'context_length'] };

/** One request on `mock-openai/flat…` costs this much, whatever it uses. */
export const FLAT_PRICE_USD = '0.02';

/** Where Vertex AI's mock sells tokens; the mock's account is in MOCK_SERVICE_ACCOUNT. */
const TOKEN_PATH = '/vertex/token';

const provider = (mocksUrl, { path, google, ...rest }) => ({
  base_url: mocksUrl + path, models_allow: ['*'], ...rest, ...(google ? { google: { ...google, token_url: mocksUrl + TOKEN_PATH } } : {}),
});
const route = ([name, targets]) => [name, {
  targets: targets.map(([from, model]) => ({ provider: from, model })),
  fallback_on: FALLBACK_ON[name] ?? ['error', 'rate_limit'],
  hedge: name.startsWith('hedged/') ? HEDGE : {},
}];

/** The configuration, as a document in JSON. */
export function configDocument(mocksUrl) {
  return {
    gateway: {
      region: 'local',
      // Long enough for a machine that does much else, short enough to wait for where a provider hangs.
      timeouts: { first_byte: '8s', idle: '3s', total: '30s' },
      retry: { attempts_max: 2, backoff_base: '20ms', backoff_max: '2s' },
      // Nor is anybody looked at: what the mocks hear is what the tests ask.
      circuit: { failures: [], look: '0s' },
    },
    accounting: { reservation_ttl: '10s', ship_interval: '500ms' },
    providers: Object.fromEntries(Object.entries(PROVIDERS).map(([name, one]) => [name, provider(mocksUrl, one)])),
    models: Object.fromEntries(Object.entries({ ...ROUTES, ...ALIASES }).map(route)),
    prices: {
      ...Object.fromEntries(Object.keys(PROVIDERS).map(name => [`${name}/*`, { input: '2', input_cached: '0.5', output: '8' }])),
      'mock-openai/flat*': { per_request: FLAT_PRICE_USD, input: '0', output: '0' },
    },
    orgs: {
      // A pool to borrow from, larger than anybody needs.
      e2e: { limits: [{ requests: 10_000_000, per: '1m' }], teams: { poor: { budgets: [{ usd: '0.000001', per: 'day' }] }, search: { apps: { crawler: {} } } }, users: { ann: {} } },
      storm: {}, leavers: {}, crash: {}, outage: {}, sdk: {},
      sealed: { bodies: 'full', teams: { outline: { bodies: 'redacted' } } },
    },
  };
}
