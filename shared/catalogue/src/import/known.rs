//! What the tables do not say of providers: dialects, addresses, key headers and quirks.
//!
//! Written after the providers' API references, from general knowledge and recorded exchanges; not verified against
//! the live APIs.

use super::Gathered;
use crate::facts::{ProviderFacts, Quirks};

/// What is known of a provider by hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) id: &'static str,
    pub(super) aliases: &'static [&'static str],
    pub(super) dialect: &'static str,
    pub(super) base_url: Option<&'static str>,
    pub(super) key: Option<&'static str>,
    pub(super) header: Option<&'static str>,
    pub(super) service_account: bool,
    pub(super) quirks: Quirks,
    pub(super) fields_refused: &'static [&'static str],
}

const PLAIN: Quirks = Quirks {
    max_completion_tokens: None,
    stream_usage: None,
    developer_role: None,
    reasoning_content: None,
    thought_signatures: None,
    reasoning_adaptive: None,
    sampling: None,
    responses: None,
    completions: None,
    reasoning_key: None,
    thinking_chunks: None,
    short_call_ids: None,
    random_seed: None,
    output_dimension: None,
    assistant_prefix: None,
    strict_fields: None,
    json_schema: None,
};
/// OpenAI's own: reasoning models take nothing else.
const NEWEST: Quirks = Quirks {
    max_completion_tokens: Some(true),
    developer_role: Some(true),
    responses: Some(true),
    ..PLAIN
};
/// Thoughts are taken back as they were given.
const THOUGHTS_RETURN: Quirks = Quirks {
    reasoning_content: Some(true),
    ..PLAIN
};
/// Signatures are wanted back. The native dialect sends them by itself; this is for the compatible address.
const SIGNATURES_RETURN: Quirks = Quirks {
    thought_signatures: Some(true),
    ..PLAIN
};
/// Responses are served beside Chat Completions.
const RESPONSES: Quirks = Quirks {
    responses: Some(true),
    ..PLAIN
};
/// Legacy Completions are served for every model.
const COMPLETIONS: Quirks = Quirks {
    completions: Some(true),
    ..PLAIN
};
/// Usage comes in the last chunk unasked, unknown fields are refused, and thoughts are parts of the content.
const MISTRAL: Quirks = Quirks {
    stream_usage: Some(false),
    thinking_chunks: Some(true),
    short_call_ids: Some(true),
    random_seed: Some(true),
    output_dimension: Some(true),
    assistant_prefix: Some(true),
    strict_fields: Some(true),
    ..PLAIN
};
/// Thoughts are taken back under the name under which they were given.
const REASONING_RETURNS: Quirks = Quirks {
    reasoning_key: Some(true),
    ..PLAIN
};
/// JSON is promised, a schema is not.
const NO_SCHEMA: Quirks = Quirks {
    json_schema: Some(false),
    ..PLAIN
};
/// What the request types of Mistral's own SDK do not have (2026-11); the API refuses fields that it does not know.
/// They have `service_tier` with other words, and `logprobs`, `top_logprobs` and `top_k`, which <https://docs.mistral.ai/api>
/// does not describe: these are left out and named rather than risked.
const MISTRAL_REFUSES: &[&str] = &[
    "logit_bias",
    "logprobs",
    "modalities",
    "moderation",
    "audio",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "top_k",
    "top_logprobs",
    "user",
    "verbosity",
    "web_search_options",
];
/// What <https://console.groq.com/docs/openai> lists as answered with a 400; no recorded exchange shows it.
const GROQ_REFUSES: &[&str] = &["logit_bias", "logprobs", "top_logprobs"];
/// What <https://inference-docs.cerebras.ai/resources/openai> lists as answered with a 400; no recorded exchange shows it.
const CEREBRAS_REFUSES: &[&str] = &["frequency_penalty", "logit_bias", "presence_penalty"];

const fn openai(id: &'static str, base_url: &'static str) -> Known {
    Known {
        id,
        aliases: &[],
        dialect: "openai",
        base_url: Some(base_url),
        key: None,
        header: None,
        service_account: false,
        quirks: PLAIN,
        fields_refused: &[],
    }
}

/// Google's cloud: the address follows from the account's project.
const fn vertex(id: &'static str) -> Known {
    Known {
        base_url: None,
        key: Some("GOOGLE_SERVICE_ACCOUNT"),
        service_account: true,
        ..openai(id, "")
    }
}

const KNOWN: [Known; 27] = [
    Known {
        quirks: NEWEST,
        ..openai("openai", "https://api.openai.com/v1")
    },
    Known {
        dialect: "anthropic",
        ..openai("anthropic", "https://api.anthropic.com/v1")
    },
    Known {
        aliases: &["gemini"],
        dialect: "gemini",
        key: Some("GEMINI_API_KEY"),
        quirks: SIGNATURES_RETURN,
        ..openai("google", "https://generativelanguage.googleapis.com/v1beta")
    },
    Known {
        key: Some("AZURE_API_KEY"),
        header: Some("api-key"),
        quirks: NEWEST,
        ..openai(
            "azure",
            "https://${AZURE_RESOURCE_NAME}.openai.azure.com/openai/v1",
        )
    },
    Known {
        quirks: MISTRAL,
        fields_refused: MISTRAL_REFUSES,
        ..openai("mistral", "https://api.mistral.ai/v1")
    },
    Known {
        quirks: Quirks {
            json_schema: Some(false),
            ..THOUGHTS_RETURN
        },
        ..openai("deepseek", "https://api.deepseek.com")
    },
    Known {
        aliases: &["moonshot"],
        quirks: THOUGHTS_RETURN,
        ..openai("moonshotai", "https://api.moonshot.ai/v1")
    },
    Known {
        quirks: THOUGHTS_RETURN,
        ..openai("moonshotai-cn", "https://api.moonshot.cn/v1")
    },
    openai("aihubmix", "https://aihubmix.com/v1"),
    Known {
        quirks: REASONING_RETURNS,
        fields_refused: CEREBRAS_REFUSES,
        ..openai("cerebras", "https://api.cerebras.ai/v1")
    },
    Known {
        dialect: "cohere",
        ..openai("cohere", "https://api.cohere.com/v2")
    },
    Known {
        aliases: &["vertex"],
        dialect: "gemini",
        ..vertex("google-vertex")
    },
    Known {
        dialect: "anthropic",
        ..vertex("google-vertex-anthropic")
    },
    Known {
        aliases: &["bedrock"],
        dialect: "bedrock",
        key: Some("AWS_BEARER_TOKEN_BEDROCK"),
        ..openai(
            "amazon-bedrock",
            "https://bedrock-runtime.${REGION}.amazonaws.com",
        )
    },
    openai("deepinfra", "https://api.deepinfra.com/v1/openai"),
    Known {
        key: Some("DATABRICKS_TOKEN"),
        ..openai(
            "databricks",
            "https://${DATABRICKS_HOST}/ai-gateway/mlflow/v1",
        )
    },
    Known {
        aliases: &["fireworks"],
        quirks: COMPLETIONS,
        ..openai("fireworks-ai", "https://api.fireworks.ai/inference/v1")
    },
    Known {
        quirks: REASONING_RETURNS,
        fields_refused: GROQ_REFUSES,
        ..openai("groq", "https://api.groq.com/openai/v1")
    },
    Known {
        quirks: REASONING_RETURNS,
        ..openai("openrouter", "https://openrouter.ai/api/v1")
    },
    Known {
        quirks: NO_SCHEMA,
        ..openai("zai", "https://api.z.ai/api/paas/v4")
    },
    Known {
        quirks: NO_SCHEMA,
        ..openai("zhipuai", "https://open.bigmodel.cn/api/paas/v4")
    },
    openai("perplexity", "https://api.perplexity.ai"),
    Known {
        aliases: &["together"],
        quirks: COMPLETIONS,
        ..openai("togetherai", "https://api.together.xyz/v1")
    },
    openai("v0", "https://api.v0.dev/v1"),
    openai("venice", "https://api.venice.ai/api/v1"),
    openai("vercel", "https://ai-gateway.vercel.sh/v1"),
    Known {
        quirks: RESPONSES,
        ..openai("xai", "https://api.x.ai/v1")
    },
];

/// Servers that people run themselves.
const LOCAL: [(&str, &str, &str); 4] = [
    ("llama.cpp", "llama.cpp", "http://127.0.0.1:8080/v1"),
    ("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1"),
    ("ollama", "Ollama", "http://127.0.0.1:11434/v1"),
    ("vllm", "vLLM", "http://127.0.0.1:8000/v1"),
];

pub(super) fn find(id: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.id == id)
}

/// The dialect that goes with a software package in the table of models.
pub(super) fn dialect_of(package: &str) -> Option<&'static str> {
    match package {
        "@ai-sdk/openai-compatible" | "@ai-sdk/openai" | "@openrouter/ai-sdk-provider" => {
            Some("openai")
        }
        "@ai-sdk/anthropic" => Some("anthropic"),
        "@ai-sdk/google" => Some("gemini"),
        _ => None,
    }
}

pub(super) fn add_local(gathered: &mut Gathered) {
    for (id, name, base_url) in LOCAL {
        let facts = ProviderFacts {
            id: id.to_owned(),
            name: name.to_owned(),
            dialect: "openai".to_owned(),
            base_url: Some(base_url.to_owned()),
            quirks: COMPLETIONS,
            ..ProviderFacts::default()
        };
        gathered.providers.insert(id.to_owned(), facts);
    }
}
