//! Providers, as they are written.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    CapabilityName, CircuitDocument, DialectName, EgressName, EgressWhen, PlaceBy, RetryDocument,
    TimeoutsDocument,
};
use crate::config::Entries;

document! {
    /// One provider.
    ProviderDocument {
        /// Its name in the catalogue, where it is not the name of this table.
        catalogue: Option<String>,
        /// Its wire language.
        dialect: Option<DialectName>,
        /// Where its API begins.
        base_url: Option<String>,
        /// The name of the secret that holds its key, or several names: the first that is there and accepted counts.
        key: Option<KeyDocument>,
        /// How the key is sent.
        auth: Option<AuthDocument>,
        /// What only Amazon's cloud asks for.
        aws: AwsDocument,
        /// What only Microsoft's cloud asks for.
        azure: AzureDocument,
        /// What only Google's cloud asks for.
        google: GoogleDocument,
        /// Headers that go with every call. No secrets.
        headers: Entries<String>,
        /// The region that it serves from, as declared by the operator.
        region: Option<String>,
        /// The country that it serves from: two letters, or `EU`.
        country: Option<String>,
        /// How that is known.
        country_by: Option<PlaceBy>,
        /// A business associate agreement (HIPAA) with it is on record.
        baa: Option<bool>,
        /// Where it is called from, if not from wherever the gateway serves its caller.
        egress: Option<EgressName>,
        /// When it is called from there.
        egress_when: Option<EgressWhen>,
        /// How long to wait.
        timeouts: TimeoutsDocument,
        /// How often to try.
        retry: RetryDocument,
        /// When not to call it for a while.
        circuit: CircuitDocument,
        /// How many calls it takes at once.
        capacity: CapacityDocument,
        /// Only these models, `*` standing for anything; absent means those that are known.
        models_allow: Option<Vec<String>>,
        /// Not these models.
        models_deny: Vec<String>,
        /// Taken off every price of this provider, in percent.
        discount_percent: Option<u32>,
        /// Where it departs from its dialect, as far as a model does not say otherwise.
        quirks: QuirksDocument,
        /// What is known of its models.
        models: Entries<ModelDocument>,
    }
}

document! {
    /// How many calls a provider takes at once.
    CapacityDocument {
        /// So many, of all that one region's gateway makes.
        concurrent: Option<u64>,
        /// How long a request waits for its turn at most.
        queue: Option<String>,
    }
}

document! {
    /// What only Amazon's cloud asks for.
    AwsDocument {
        /// The region that requests are signed for.
        region: Option<String>,
        /// The name of the secret that holds the access key's identifier.
        access_key_id: Option<String>,
        /// The name of the secret that holds the access key's secret.
        secret_access_key: Option<String>,
        /// The name of the secret that holds the token of temporary credentials.
        session_token: Option<String>,
    }
}

document! {
    /// What only Microsoft's cloud asks for.
    AzureDocument {
        /// The resource's name, which stands in its address.
        resource: Option<String>,
        /// The version of the API; models are then called at their deployments.
        api_version: Option<String>,
    }
}

document! {
    /// What only Google's cloud asks for.
    GoogleDocument {
        /// The project's identifier; models are then called at Vertex AI.
        project: Option<String>,
        /// The location that serves.
        location: Option<String>,
        /// Where access tokens are fetched.
        token_url: Option<String>,
    }
}

macro_rules! quirks {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        document! {
            /// Where a provider or a model departs from its dialect.
            QuirksDocument { $($(#[$doc])* $name: Option<$type>,)* }
        }

        impl QuirksDocument {
            /// Takes over from `known` what it does not say itself.
            pub fn fill(&mut self, known: &Self) {
                $(if self.$name.is_none() { self.$name.clone_from(&known.$name); })*
            }

            /// Forgets what `written` says.
            pub fn cut(&mut self, written: &Self) {
                $(if written.$name.is_some() { self.$name = None; })*
            }
        }
    };
}

quirks! {
    /// It reads `max_completion_tokens`.
    max_completion_tokens: bool,
    /// It knows `stream_options.include_usage`.
    stream_usage: bool,
    /// It knows the `developer` role.
    developer_role: bool,
    /// It takes its thoughts back as `reasoning_content`.
    reasoning_content: bool,
    /// It wants the signatures of its tool calls back, at Gemini's OpenAI-compatible address.
    thought_signatures: bool,
    /// It takes an effort, and no budget of thoughts.
    reasoning_adaptive: bool,
    /// It takes temperature and its relatives.
    sampling: bool,
    /// It can be held to a JSON schema; absent means where that is a known capability.
    structured_outputs: bool,
    /// It serves Chat Completions; otherwise Responses alone.
    chat_completions: bool,
    /// It serves Responses too.
    responses: bool,
    /// It serves legacy Completions too.
    completions: bool,
    /// It takes its thoughts back as `reasoning`.
    reasoning_key: bool,
    /// It thinks in parts of the content.
    thinking_chunks: bool,
    /// Its identifiers of calls have nine letters and digits.
    short_call_ids: bool,
    /// It calls a seed `random_seed`.
    random_seed: bool,
    /// It calls the wanted length of vectors `output_dimension`.
    output_dimension: bool,
    /// It wants a last turn of the assistant's marked as a `prefix`.
    assistant_prefix: bool,
    /// It refuses fields that it does not know.
    strict_fields: bool,
    /// It can be held to a JSON schema by `response_format`.
    json_schema: bool,
    /// Top-level fields that it refuses.
    fields_refused: Vec<String>,
}

document! {
    /// What is known of a model.
    ModelDocument {
        /// The most tokens that it reads and writes together.
        context_tokens: Option<u64>,
        /// The most tokens that it writes.
        output_tokens_max: Option<u64>,
        /// What it can do; absent means that nobody knows and everything is tried.
        capabilities: Option<Vec<CapabilityName>>,
        /// What calls name it, where that is not its name: an Azure deployment, a Bedrock inference profile.
        deployment: Option<String>,
        /// The country that serves it, where that is not its provider's: two letters, or `EU`.
        country: Option<String>,
        /// How that is known.
        country_by: Option<PlaceBy>,
        /// Where it departs from its dialect, over what holds for its provider.
        quirks: QuirksDocument,
    }
}

/// How a provider's key is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthDocument {
    /// `Authorization: Bearer …`.
    Bearer,
    /// In a header of this name.
    Header(String),
    /// Not at all: it signs the request, after AWS Signature Version 4.
    #[serde(rename = "sigv4")]
    SigV4,
    /// Not at all: it is a Google service account's, and buys access tokens.
    ServiceAccount,
    /// Not at all.
    None,
    /// In the address: always refused, with a reason.
    Query(String),
}

/// The names of secrets that hold a provider's key: one, or several in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyDocument(pub Vec<String>);

impl Serialize for KeyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for KeyDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = KeyDocument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name in quotes, or an array of such names")
            }

            fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
                Ok(KeyDocument(vec![one.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, many: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(many)).map(KeyDocument)
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}
