//! The usage record: one for every admitted request, written in the same commit as the money; and the record of a
//! request that was refused.

use serde::{Deserialize, Serialize};
use sluice_units::{
    AppId, KeyId, ModelId, NanoUsd, OrgId, ProviderId, Region, RequestId, Shard, Span, TeamId,
    Timestamp, Tokens, Usage, UserId,
};

use crate::limit::{Amount, Loan};

/// What happened to one admitted request, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The request.
    pub request: RequestId,
    /// Why this record was written.
    pub kind: RecordKind,
    /// When the request arrived, in microseconds.
    pub at_us: Timestamp,
    /// Who pays.
    pub org: OrgId,
    /// The key's team.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub team: Option<TeamId>,
    /// The key's application.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub app: Option<AppId>,
    /// The key's user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    /// The virtual key's public identifier.
    pub key: KeyId,
    /// What was asked for.
    pub operation: Operation,
    /// The model's name as the caller wrote it.
    pub model: ModelId,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// The provider that served; absent when none did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<ProviderId>,
    /// The model's name there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider_model: Option<ModelId>,
    /// The region whose ledger counted it.
    pub region: Region,
    /// Which of the ledgers there, where the organisation's keys are divided among several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<Shard>,
    /// The region that it was held to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pin: Option<Region>,
    /// The country where the provider processed it, as the configuration has it: two letters, or `EU`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// The place that it was called from, where that was not where the gateway served its caller.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub egress: Option<String>,
    /// Tokens of the answer by kind.
    pub usage: Usage,
    /// Where the numbers come from.
    pub usage_source: UsageSource,
    /// What is charged, that of calls that brought nothing included, in nano-dollars. In a correction: the difference to what was charged before, which may be negative.
    pub cost_nano_usd: NanoUsd,
    /// Nothing covered the reservation: the ledger heard of it when the lease that it was drawn from was over.
    #[serde(skip_serializing_if = "sluice_units::is_default", default)]
    pub overrun: bool,
    /// What the limits of its levels did not leave: it was taken out of the organisation's pool.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub borrowed: Vec<Loan>,
    /// From arrival to the last byte, in microseconds.
    pub latency_us: Span,
    /// From arrival to the first byte, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_byte_us: Option<Span>,
    /// Whether a cache answered.
    pub cache: CacheState,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status that the caller saw.
    pub status: u16,
    /// Why the model stopped, in OpenAI's word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finish: Option<String>,
    /// The stable code of what went wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Every call that was made upstream, in the order in which they began.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub attempts: Vec<Attempt>,
    /// Fields that the translation could not express.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub dropped: Vec<String>,
    /// What was asked and answered, sealed, where that is to be on record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bodies: Option<Bodies>,
}

/// What was asked and answered. Nobody without the key can read it, and nobody with the key can move it to another
/// record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bodies {
    /// What of it is kept.
    pub keep: Keep,
    /// The key that it is sealed under, by its name.
    pub key: String,
    /// Sealed, in base64url.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sealed: Option<String>,
    /// Why there is nothing; absent where there is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub missing: Option<Missing>,
}

impl Bodies {
    /// How much room it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sealed.as_ref().map_or(0, String::len)
    }

    /// Leaves it out.
    pub fn leave_out(&mut self, reason: Missing) {
        self.sealed = None;
        self.missing = Some(reason);
    }
}

/// What of bodies is kept on record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Nothing.
    #[default]
    None,
    /// What kind of things were said, and how long they were; none of the words.
    Redacted,
    /// The words.
    Full,
}

/// Why bodies that should be on record are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Nobody came to say how the request ended: they were in the memory of who did not come.
    Unsettled,
    /// More waits to be stored than there is room for.
    NoRoom,
    /// They could not be sealed.
    NotSealed,
}

/// A request that was not let in; or many of nobody's, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The request; of those that are counted, the last.
    pub request: RequestId,
    /// [`RecordKind::Refused`].
    pub kind: RecordKind,
    /// When it arrived, in microseconds.
    pub at_us: Timestamp,
    /// Who would have paid.
    pub org: OrgId,
    /// The key's team.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub team: Option<TeamId>,
    /// The key's application.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub app: Option<AppId>,
    /// The key's user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    /// The virtual key's public identifier; absent where there was none that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyId>,
    /// The model's name as the caller wrote it, where it was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<ModelId>,
    /// The gateway's region.
    pub region: Region,
    /// Which of the ledgers there, where the organisation's keys are divided among several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<Shard>,
    /// [`Outcome::Refused`].
    pub outcome: Outcome,
    /// The HTTP status that the caller saw.
    pub status: u16,
    /// The stable code of the reason.
    pub error: String,
    /// How many requests this speaks of.
    pub count: u64,
    /// How many were refused since the last record and only counted, because too much waited to be shipped.
    #[serde(skip_serializing_if = "sluice_units::is_default", default)]
    pub withheld: u64,
}

/// Why a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A request was settled.
    Settled,
    /// A reservation was never settled; it is charged as it stood.
    Expired,
    /// A late settlement replaces an expired reservation's charge.
    Correction,
    /// A request was refused ([`Refusal`]).
    Refused,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A turn of a conversation.
    Chat,
    /// Vectors.
    Embeddings,
    /// Pictures, made or changed.
    Images,
    /// A text that is said.
    Speech,
    /// What is said, written down.
    Transcription,
    /// A judgement of texts or pictures.
    Moderation,
    /// Documents in the order of what they say to a query.
    Rerank,
    /// How many tokens a conversation has. Costs nothing.
    CountTokens,
    /// What a provider keeps for its callers. Costs nothing.
    Files,
    /// Requests that a provider works off by and by; what they use is not counted.
    Batches,
}

impl Operation {
    /// Whether it uses nothing that is paid for, whatever the target's prices are.
    #[must_use]
    pub const fn is_free(self) -> bool {
        matches!(self, Self::CountTokens | Self::Files | Self::Batches)
    }
}

/// Where a record's token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The provider said so.
    Provider,
    /// Counted by the gateway, because the provider did not say.
    Estimated,
    /// The reservation, because nobody came to say.
    Reserved,
    /// Nothing was used.
    None,
}

/// Whether a cache answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// No cache was asked.
    Off,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller has the whole answer.
    Completed,
    /// Every attempt failed; the caller has an error.
    Failed,
    /// The answer broke off after it had begun; the caller has an error event.
    Interrupted,
    /// The caller went away.
    DownstreamLeft,
    /// Nobody came to say.
    Unknown,
    /// It was not let in.
    Refused,
}

/// One call to a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The provider.
    pub provider: ProviderId,
    /// The model's name there.
    pub model: ModelId,
    /// The place that the call left from, where that was not where the gateway served its caller.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub egress: Option<String>,
    /// The HTTP status; absent when no answer came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// What went wrong, as a stable code; absent when nothing did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// How long it took, in microseconds.
    pub latency_us: Span,
    /// What it used, where the caller got its answer from another call or none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spent: Option<Spent>,
}

/// What a call used that brought the caller nothing: its provider is paid all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Tokens by kind.
    pub usage: Usage,
    /// Where the numbers come from.
    pub usage_source: UsageSource,
    /// What is charged for it, in nano-dollars.
    pub cost_nano_usd: NanoUsd,
}

impl Record {
    /// What the calls used whose answers the caller did not get.
    #[must_use]
    pub fn spent(&self) -> Amount {
        spent(&self.attempts)
    }

    /// All tokens that it is charged: those of the answer, and those of calls that brought none.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.usage.total().plus(self.spent().tokens)
    }
}

/// What these calls used that brought the caller nothing.
#[must_use]
pub fn spent(attempts: &[Attempt]) -> Amount {
    let all = attempts.iter().filter_map(|attempt| attempt.spent);
    all.fold(Amount::default(), |sum, one| Amount {
        tokens: sum.tokens.plus(one.usage.total()),
        cost: sum.cost.plus(one.cost_nano_usd),
    })
}
