//! The compiled configuration's parts: what the request path reads.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use sluice_machines::breaker::Policy;
use sluice_machines::limit::Rule;
use sluice_units::{ModelId, ProviderId, Region, Span, Tokens};
use sluice_wire::{Dialect, Hosting, Target};

use super::document::{CapabilityName, EgressName, FailureName};
use crate::price::PriceTable;
use crate::residency::Place;

/// The gateway itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Where it runs.
    pub region: Region,
    /// The largest request body, in bytes.
    pub request_bytes_max: usize,
}

/// Reservations and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accounting {
    /// How long a reservation lives without a sign of life.
    pub reservation_ttl: Span,
    /// How long a usage record may wait to be shipped.
    pub ship_interval: Span,
    /// The output that is reserved where neither the caller nor anybody else says how much a model writes at most.
    pub output_tokens: Tokens,
    /// The least output that a request is cut to where a budget leaves no more.
    pub output_tokens_min: Tokens,
}

/// Who answers at a provider's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderDialect {
    /// A provider that is called in this language.
    Wire(Dialect),
    /// The gateway itself.
    Sandbox,
}

/// How a provider's key is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer,
    /// In this header.
    Header(HeaderName),
    /// It signs the request instead, after AWS Signature Version 4.
    SigV4(Box<AwsKeys>),
    /// It is a Google service account's, and buys access tokens at this address, or at Google's.
    ServiceAccount(Option<String>),
    /// Not at all.
    None,
}

/// The names of the secrets that sign requests to Amazon's cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsKeys {
    /// The access key's identifier.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret_access_key: String,
    /// The token of temporary credentials.
    pub session_token: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
}

impl AwsKeys {
    /// All of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let Self {
            access_key_id,
            secret_access_key,
            session_token,
            region: _,
        } = self;
        [access_key_id, secret_access_key]
            .into_iter()
            .chain(session_token)
            .map(String::as_str)
    }
}

/// How long to wait for a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the call to the answer's first byte.
    pub first_byte: Span,
    /// Between two pieces of a stream.
    pub idle: Span,
    /// From the call to the answer's end.
    pub total: Span,
}

/// How often to call one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// All calls to one target, the first included. At least one.
    pub attempts_max: u32,
    /// The wait before the second call; it doubles from call to call.
    pub backoff_base: Span,
    /// The longest wait.
    pub backoff_max: Span,
}

/// When a target is not called for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// When, and for how long.
    pub policy: Policy,
    /// What counts as a failure.
    pub failures: Failures,
    /// How often to look at a provider that nobody calls, or that fails; never where it is nothing.
    pub look: Span,
}

/// What counts as a failure of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures(u8);

impl Failures {
    /// Nothing does.
    pub const NONE: Self = Self(0);

    /// These, and `failure`.
    #[must_use]
    pub const fn with(self, failure: FailureName) -> Self {
        Self(self.0 | Self::bit(failure))
    }

    /// Whether it counts.
    #[must_use]
    pub const fn has(self, failure: FailureName) -> bool {
        self.0 & Self::bit(failure) != 0
    }

    const fn bit(failure: FailureName) -> u8 {
        1 << failure as u8
    }
}

/// The place that a target is called from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Egress {
    /// Where.
    pub place: EgressName,
    /// For every call; otherwise where the provider refuses the country that a call comes from.
    pub is_always: bool,
}

/// How many calls a provider takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// So many, of all that one region's gateway makes.
    pub concurrent: u32,
    /// How long a request waits for its turn, if it does.
    pub queue: Option<Span>,
}

/// A provider that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name in this configuration.
    pub id: ProviderId,
    /// Who answers.
    pub dialect: ProviderDialect,
    /// Where its API begins, without a slash at the end. Empty for the sandbox.
    pub base_url: String,
    /// How its key is sent.
    pub auth: Auth,
    /// The names of the secrets that hold its key, in the order in which they are tried.
    pub keys: Vec<String>,
    /// At which addresses it serves its dialect.
    pub hosting: Hosting,
    /// Headers that go with every call.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retry: Retry,
    /// When not to call it for a while.
    pub circuit: Circuit,
    /// How many calls it takes at once, where that is bounded.
    pub capacity: Option<Capacity>,
    /// The region that it serves from, as declared.
    pub region: Option<Region>,
    /// Where it processes requests, where that is known.
    pub place: Option<Place>,
    /// A business associate agreement with it is on record.
    pub has_baa: bool,
    /// Where it is called from, if not from here.
    pub egress: Option<Egress>,
}

impl Provider {
    /// The names of all secrets that belong to it.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        let aws = match &self.auth {
            Auth::SigV4(keys) => Some(keys.names()),
            _ => None,
        };
        let keys = self.keys.iter().map(String::as_str);
        keys.chain(aws.into_iter().flatten())
    }

    /// The names of the secrets that must be there; of names that stand together one suffices.
    #[must_use]
    pub fn secrets_needed(&self) -> Vec<Vec<&str>> {
        match &self.auth {
            Auth::SigV4(keys) => keys.names().map(|name| vec![name]).collect(),
            _ if self.keys.is_empty() => Vec::new(),
            _ => vec![self.keys.iter().map(String::as_str).collect()],
        }
    }
}

/// What a model can do, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// Nobody knows: everything is tried.
    pub const UNKNOWN: Self = Self(u16::MAX);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// These, and `capability`.
    #[must_use]
    pub const fn with(self, capability: CapabilityName) -> Self {
        Self(self.0 | Self::bit(capability))
    }

    /// Whether the model can do this.
    #[must_use]
    pub const fn has(self, capability: CapabilityName) -> bool {
        self.0 & Self::bit(capability) != 0
    }

    const fn bit(capability: CapabilityName) -> u16 {
        match capability {
            CapabilityName::Chat => 1,
            CapabilityName::Embeddings => 1 << 1,
            CapabilityName::Tools => 1 << 2,
            CapabilityName::Images => 1 << 3,
            CapabilityName::Audio => 1 << 4,
            CapabilityName::Documents => 1 << 5,
            CapabilityName::Reasoning => 1 << 6,
            CapabilityName::StructuredOutput => 1 << 7,
        }
    }
}

/// One model at one provider: what a request can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRef {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The model's name there.
    pub model: ModelId,
    /// Where requests to it are processed, where that is known.
    pub place: Option<Place>,
    /// Where it is called from, if not from here.
    pub egress: Option<Egress>,
    /// What an encoder must know.
    pub wire: Target,
    /// What it costs; absent when nobody said, and then no budget can be kept.
    pub price: Option<PriceTable>,
    /// The most tokens that it reads and writes together, where known.
    pub context_tokens: Option<Tokens>,
    /// The most tokens that it writes, where known.
    pub output_tokens_max: Option<Tokens>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How often to try.
    pub retry: Retry,
    /// When not to call it for a while.
    pub circuit: Circuit,
}

/// What makes the next target be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackOn {
    /// The target failed, timed out, refused the gateway's key, or does not know the model.
    pub error: bool,
    /// The target is over its limit or overloaded.
    pub rate_limit: bool,
    /// The request is larger than the model's context.
    pub context_length: bool,
    /// The provider's safety policy refuses the request.
    pub content_policy: bool,
}

impl Default for FallbackOn {
    /// On failures and rate limits.
    fn default() -> Self {
        Self {
            error: true,
            rate_limit: true,
            context_length: false,
            content_policy: false,
        }
    }
}

/// Where a model's public name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The public name.
    pub name: ModelId,
    /// Who serves it, in order. Never empty.
    pub targets: Vec<TargetRef>,
    /// What makes the next target be tried.
    pub fallback_on: FallbackOn,
    /// How requests are hedged, where they are.
    pub hedge: Option<Hedge>,
}

/// When another target is called beside one that keeps the caller waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// After this long without an answer.
    pub after: Span,
    /// For so many of a hundred requests at most, in an isolate.
    pub percent_max: u32,
}

/// What a new key gets where its maker does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDefaults {
    /// For keys that have no rules of their own.
    pub rules: Vec<Rule>,
    /// Those of them that requests wait for, and how long.
    pub queues: Vec<(Rule, Span)>,
    /// How long a new key lives.
    pub expires_after: Span,
}
