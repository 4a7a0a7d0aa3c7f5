// The providers that the clients are run against, and what each has not, with the reason.

const NO_EMBEDDINGS = { embeddings: 'the provider has no embeddings' };
const CONVERSE = { embeddings: 'Converse has no embeddings' };

/** Every upstream: its mock's name, its title, whether it shows its thoughts, the dimensions of its embeddings, whether it heeds a choice of tools. */
export const UPSTREAMS = [
  { name: 'openai', title: 'OpenAI', thoughts: false, dimensions: 8, lacks: {} },
  { name: 'plain', title: 'plain compatible', thoughts: false, dimensions: 8, lacks: {} },
  { name: 'anthropic', title: 'Anthropic', thoughts: true, dimensions: 8, lacks: NO_EMBEDDINGS },
  { name: 'gemini', title: 'Gemini', thoughts: true, dimensions: 8, lacks: {} },
  { name: 'responses', title: 'OpenAI Responses', thoughts: true, dimensions: 8, lacks: NO_EMBEDDINGS },
  { name: 'azure', title: 'Azure (v1)', thoughts: false, dimensions: 8, lacks: {} },
  { name: 'deployments', title: 'Azure (deployments)', thoughts: false, dimensions: 8, lacks: {} },
  { name: 'vertex', title: 'Vertex AI, Gemini', thoughts: true, dimensions: 8, lacks: {} },
  { name: 'vertex-claude', title: 'Vertex AI, Claude', thoughts: true, dimensions: 8, lacks: NO_EMBEDDINGS },
  { name: 'bedrock', title: 'Bedrock (SigV4)', thoughts: true, dimensions: 8, lacks: CONVERSE },
  { name: 'bedrock-key', title: 'Bedrock (key)', thoughts: true, dimensions: 8, lacks: CONVERSE },
  { name: 'mistral', title: 'Mistral', thoughts: true, dimensions: 8, lacks: {} },
  { name: 'cohere', title: 'Cohere', thoughts: true, dimensions: 256, lacks: {} },
  { name: 'ollama', title: 'Ollama', choice: false, thoughts: false, dimensions: 8, lacks: {} },
  { name: 'vllm', title: 'vLLM', thoughts: false, dimensions: 8, lacks: {} },
];

/** The part of an upstream that the clients need to know. */
export const described = UPSTREAMS.map(({ title: _title, ...one }) => ({ choice: true, ...one }));
