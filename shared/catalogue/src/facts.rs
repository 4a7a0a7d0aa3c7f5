//! What one line of the catalogue says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! line {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "sluice_units::is_default")] pub $field: $type,)*
        }
    };
}

line! {
    /// A provider.
    ProviderFacts {
        /// Its name here.
        id: String,
        /// Other names that people use.
        aliases: Vec<String>,
        /// Its own name.
        name: String,
        /// Its wire language: `openai`, `anthropic`, `gemini`, `bedrock` or `cohere`.
        dialect: String,
        /// Where its API begins; `${REGION}` stands for its region, `${NAME}` for what only the account's owner knows.
        base_url: Option<String>,
        /// The usual name of the variable that holds its key; absent where it asks for none.
        key: Option<String>,
        /// The header that carries the key, where it is not the dialect's own.
        header: Option<String>,
        /// The key is a Google service account's.
        service_account: bool,
        /// Where it departs from its dialect.
        quirks: Quirks,
        /// Top-level fields that it refuses.
        fields_refused: Vec<String>,
        /// Its addresses by region.
        endpoints: BTreeMap<String, String>,
        /// The country of each of its regions: two letters, or `EU`.
        countries: BTreeMap<String, String>,
        /// Whether it can serve from within the EU. A default to be confirmed, never a proof.
        eu: Option<String>,
        /// Whether it signs a business associate agreement (HIPAA). A default to be confirmed, never a proof.
        baa: Option<String>,
        /// How sure the two are: `doc` its own page, `repo` public data, `third` an article, `memory` unconfirmed.
        confidence: Option<String>,
        /// Its documentation.
        docs: Option<String>,
    }
}

/// Where a provider, or one of its models, departs from its dialect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// It reads `max_completion_tokens`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub max_completion_tokens: Option<bool>,
    /// It knows `stream_options.include_usage`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub stream_usage: Option<bool>,
    /// It knows the `developer` role.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub developer_role: Option<bool>,
    /// It takes its thoughts back as `reasoning_content`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub reasoning_content: Option<bool>,
    /// It wants the signatures of its tool calls back; only at Gemini's OpenAI-compatible address.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub thought_signatures: Option<bool>,
    /// It takes an effort, and no budget of thoughts.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub reasoning_adaptive: Option<bool>,
    /// It takes temperature and its relatives.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub sampling: Option<bool>,
    /// It serves Responses too.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub responses: Option<bool>,
    /// It serves legacy Completions too.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub completions: Option<bool>,
    /// It takes its thoughts back as `reasoning`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub reasoning_key: Option<bool>,
    /// It thinks in parts of the content.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub thinking_chunks: Option<bool>,
    /// Its identifiers of calls have nine letters and digits.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub short_call_ids: Option<bool>,
    /// It calls a seed `random_seed`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub random_seed: Option<bool>,
    /// It calls the wanted length of vectors `output_dimension`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub output_dimension: Option<bool>,
    /// It wants a last turn of the assistant's marked as a `prefix`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub assistant_prefix: Option<bool>,
    /// It refuses fields that it does not know.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub strict_fields: Option<bool>,
    /// It can be held to a JSON schema by `response_format`.
    #[serde(skip_serializing_if = "sluice_units::is_default")]
    pub json_schema: Option<bool>,
}

line! {
    /// A model at a provider.
    ModelFacts {
        /// `provider/model`.
        id: String,
        /// The most tokens that it reads and writes together.
        context: Option<u64>,
        /// The most tokens that it writes.
        output: Option<u64>,
        /// What it can do.
        can: Vec<Ability>,
        /// Where it departs from its dialect, beyond what its provider does.
        quirks: Quirks,
        /// The day of its release.
        released: Option<String>,
        /// The day after which it is gone.
        retires: Option<String>,
        /// The provider calls it deprecated.
        deprecated: bool,
        /// Its prices.
        price: Option<Prices>,
    }
}

impl ModelFacts {
    /// The provider's and the model's name.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        self.id.split_once('/').unwrap_or((&self.id, ""))
    }
}

line! {
    /// Dollars for a million tokens, as decimal text.
    Prices {
        /// Input that no cache knows.
        input: Option<String>,
        /// Output.
        output: Option<String>,
        /// Input read from a prompt cache.
        input_cached: Option<String>,
        /// Input written to a prompt cache for five minutes or the provider's usual time.
        cache_write_5m: Option<String>,
        /// Input written to a prompt cache for an hour.
        cache_write_1h: Option<String>,
        /// Output that is reasoning.
        reasoning: Option<String>,
        /// Input that is audio.
        input_audio: Option<String>,
        /// Output that is audio.
        output_audio: Option<String>,
        /// Input that is an image.
        input_image: Option<String>,
        /// Dollars for a request, whatever it uses.
        per_request: Option<String>,
        /// Other prices for long inputs.
        above: Vec<Tier>,
    }
}

line! {
    /// Other prices for the whole of a request whose input is longer than a bound.
    Tier {
        /// The bound.
        input_tokens: u64,
        /// Input that no cache knows.
        input: Option<String>,
        /// Output.
        output: Option<String>,
        /// Input read from a prompt cache.
        input_cached: Option<String>,
        /// Input written to a prompt cache for five minutes or the provider's usual time.
        cache_write_5m: Option<String>,
        /// Input written to a prompt cache for an hour.
        cache_write_1h: Option<String>,
        /// Input that is audio.
        input_audio: Option<String>,
    }
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Take a turn in a conversation.
    Chat,
    /// Turn text into vectors.
    Embeddings,
    /// Be reached over OpenAI's Responses only.
    Responses,
    /// Call functions.
    Tools,
    /// Read images.
    Images,
    /// Read audio.
    Audio,
    /// Read documents.
    Documents,
    /// Read video.
    Video,
    /// Think before it answers.
    Reasoning,
    /// Answer after a JSON schema.
    StructuredOutput,
    /// Draw.
    DrawImages,
    /// Speak.
    Speak,
}
