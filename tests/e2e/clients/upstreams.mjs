// The providers that the clients are run against, and what each has not, with the reason.

const NO_EMBEDDINGS = { embeddings: 'the provider has no embeddings' };

/** Every upstream: its mock's name, its title, whether it shows its thoughts, the dimensions of its embeddings. */
export const UPSTREAMS = [
  { name: 'openai', title: 'OpenAI', thoughts: false, dimensions: 8, lacks: {} },
  { name: 'plain', title: 'plain compatible', thoughts: false, dimensions: 8, lacks: {} },
  { name: 'anthropic', title: 'Anthropic', thoughts: true, dimensions: 8, lacks: NO_EMBEDDINGS },
  { name: 'gemini', title: 'Gemini', thoughts: true, dimensions: 8, lacks: {} },
];

/** The part of an upstream that the clients need to know. */
export const described = UPSTREAMS.map(({ name, thoughts, dimensions, lacks }) => ({ name, thoughts, dimensions, lacks }));
