//! The configuration as it is written: `sluice.toml`, and the same with the catalogue's facts filled in, as JSON.
//!
//! Every field may be absent and holds the text that was written; what is right and what a default is decides
//! `compile`, so that everything wrong is found at once. Unknown fields are refused here.

use serde::{Deserialize, Serialize};

use super::entries::Entries;

macro_rules! document {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields, expecting = "a table")]
        pub struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "sluice_units::is_default")] pub $field: $type,)*
        }
    };
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(expecting = "a name in quotes")]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in a document.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

mod egress;
mod org;
mod prices;
mod provider;
mod region;

pub use egress::{EgressName, EgressWhen};
pub use org::{
    BudgetDocument, KeyDefaultsDocument, LimitDocument, MemberDocument, OrgDocument,
    QuantityDocument, TeamDocument,
};

pub use prices::{PriceDocument, PricesDocument, TierDocument};
pub use provider::{
    AuthDocument, AwsDocument, AzureDocument, CapacityDocument, GoogleDocument, KeyDocument,
    ModelDocument, ProviderDocument, QuirksDocument,
};
pub use region::{DataName, JurisdictionName, PlaceBy, RegionDocument};

document! {
    /// A whole configuration.
    Document {
        /// The gateway itself.
        gateway: GatewayDocument,
        /// Reservations and records.
        accounting: AccountingDocument,
        /// Regions that callers can be pinned to, or ask for.
        regions: Entries<RegionDocument>,
        /// Who serves models, in the order in which they are asked for a bare model name.
        providers: Entries<ProviderDocument>,
        /// Names that callers may use, and where they lead.
        models: Entries<RouteDocument>,
        /// Prices by `provider/model`; `*` stands for any rest.
        prices: Entries<PricesDocument>,
        /// Who pays.
        orgs: Entries<OrgDocument>,
        /// What clocks show in the time zones that are named; the command line fills it in.
        zones: Entries<ZoneDocument>,
        /// Who is told of what happens to budgets.
        notify: Entries<NotifyDocument>,
    }
}

document! {
    /// Who is told of what happens to budgets.
    NotifyDocument {
        /// Its address.
        url: Option<String>,
        /// What it reads.
        format: Option<FormatName>,
        /// The name of the secret that signs what it is told.
        secret: Option<String>,
        /// The country that it is in: two letters, or `EU`.
        country: Option<String>,
    }
}

document! {
    /// What clocks show in a time zone.
    ZoneDocument {
        /// How far they are ahead of UTC before the first change.
        offset_minutes: Option<i16>,
        /// When that changes, in order.
        changes: Vec<ZoneChangeDocument>,
    }
}

document! {
    /// Clocks are set forward or back.
    ZoneChangeDocument {
        /// When, in seconds since 1970-01-01T00:00:00Z.
        at_seconds: Option<i64>,
        /// How far they are ahead of UTC from then on.
        offset_minutes: Option<i16>,
    }
}

document! {
    /// The gateway itself.
    GatewayDocument {
        /// Where it runs.
        region: Option<String>,
        /// The largest request body, in bytes.
        request_bytes_max: Option<u64>,
        /// For providers that do not say otherwise.
        timeouts: TimeoutsDocument,
        /// For providers that do not say otherwise.
        retry: RetryDocument,
        /// For providers that do not say otherwise.
        circuit: CircuitDocument,
    }
}

document! {
    /// Reservations and records.
    AccountingDocument {
        /// How long a reservation lives without a sign of life.
        reservation_ttl: Option<String>,
        /// How long a usage record may wait to be shipped.
        ship_interval: Option<String>,
        /// The output that is reserved where neither the caller nor anybody else says how much a model writes at most.
        output_tokens: Option<u64>,
        /// The least output that a request is cut to where a budget leaves no more.
        output_tokens_min: Option<u64>,
    }
}

document! {
    /// How long to wait for a provider.
    TimeoutsDocument {
        /// For the answer's first byte.
        first_byte: Option<String>,
        /// Between two pieces of a stream.
        idle: Option<String>,
        /// For the whole answer.
        total: Option<String>,
    }
}

document! {
    /// How often to call one target.
    RetryDocument {
        /// All calls to one target, the first included.
        attempts_max: Option<u32>,
        /// The wait before the second call; it doubles from call to call.
        backoff_base: Option<String>,
        /// The longest wait.
        backoff_max: Option<String>,
    }
}

document! {
    /// When a target is not called for a while.
    CircuitDocument {
        /// After so many failures in a row.
        failures_max: Option<u32>,
        /// After so many failures among a hundred calls.
        error_percent: Option<u32>,
        /// Within so long.
        window: Option<String>,
        /// If there were so many calls.
        calls_min: Option<u32>,
        /// For how long at first; doubled each time that it happens again.
        open: Option<String>,
        /// For how long at most.
        open_max: Option<String>,
        /// What counts as a failure; nothing turns it off.
        failures: Option<Vec<FailureName>>,
        /// How often to look at a provider that nobody calls, or that fails; `0s` is never.
        look: Option<String>,
    }
}

document! {
    /// A name that callers may use.
    RouteDocument {
        /// Who serves it, in order.
        targets: Vec<TargetDocument>,
        /// For targets that do not say otherwise.
        retry: RetryDocument,
        /// For targets that do not say otherwise.
        circuit: CircuitDocument,
        /// What makes the next target be tried.
        fallback_on: Option<Vec<FallbackReason>>,
        /// When another target is called beside one that is slow.
        hedge: HedgeDocument,
    }
}

document! {
    /// When another target is called beside one that is slow.
    HedgeDocument {
        /// How long to wait before.
        after: Option<String>,
        /// For so many of a hundred requests at most.
        percent_max: Option<u64>,
    }
}

document! {
    /// One target of a route.
    TargetDocument {
        /// The provider's name in this configuration.
        provider: Option<String>,
        /// The model's name at that provider.
        model: Option<String>,
        /// Where it is called from, if not from where its provider is.
        egress: Option<EgressName>,
        /// When it is called from there.
        egress_when: Option<EgressWhen>,
        /// How often to try.
        retry: RetryDocument,
        /// When not to call it for a while.
        circuit: CircuitDocument,
    }
}

names! {
    /// A wire language, by name.
    DialectName {
        /// OpenAI's, and all that are compatible.
        OpenAi = "openai",
        /// Anthropic's Messages.
        Anthropic = "anthropic",
        /// Google's Gemini API.
        Gemini = "gemini",
        /// OpenAI's Responses.
        Responses = "responses",
        /// Amazon Bedrock's Converse.
        Bedrock = "bedrock",
        /// Cohere's second API.
        Cohere = "cohere",
        /// None: the gateway answers itself.
        Sandbox = "sandbox",
    }
}

names! {
    /// What a model can do.
    CapabilityName {
        /// Take a turn in a conversation.
        Chat = "chat",
        /// Turn text into vectors.
        Embeddings = "embeddings",
        /// Call functions.
        Tools = "tools",
        /// Read images.
        Images = "images",
        /// Read audio.
        Audio = "audio",
        /// Read documents.
        Documents = "documents",
        /// Think before it answers.
        Reasoning = "reasoning",
        /// Answer after a JSON schema.
        StructuredOutput = "structured_output",
    }
}

names! {
    /// What makes the next target be tried.
    FallbackReason {
        /// The target failed, timed out, refused the gateway's key, or does not know the model.
        Error = "error",
        /// The target is over its limit or overloaded.
        RateLimit = "rate_limit",
        /// The request is larger than the model's context.
        ContextLength = "context_length",
        /// The provider's safety policy refuses the request.
        ContentPolicy = "content_policy",
    }
}

names! {
    /// What counts as a failure of a target.
    FailureName {
        /// No connection to the provider, or it broke.
        Connect = "connect",
        /// The answer, or the next piece of it, took too long.
        Timeout = "timeout",
        /// The provider failed, or its answer made no sense.
        Error = "error",
        /// The provider is overloaded.
        Overloaded = "overloaded",
        /// The provider does not accept the gateway's key.
        Authentication = "authentication",
        /// The gateway's account has no credit left.
        Quota = "quota",
        /// The gateway's account is over its limit.
        RateLimit = "rate_limit",
    }
}

names! {
    /// How requests are let in.
    AccountingName {
        /// Out of a slice that the isolate holds; on record before the answer's first byte reaches the caller.
        Leased = "leased",
        /// One by one; on record before the provider is called.
        Strict = "strict",
    }
}

names! {
    /// What of requests and answers is on record.
    BodiesName {
        /// Nothing of what was said.
        None = "none",
        /// What kind of things were said, and how long they were.
        Redacted = "redacted",
        /// What was said.
        Full = "full",
    }
}

names! {
    /// What a receiver reads.
    FormatName {
        /// The event as JSON.
        Json = "json",
        /// Slack's incoming webhooks: a text for people.
        Slack = "slack",
    }
}

names! {
    /// A calendar period, in the time zone of whose budget it is.
    PeriodName {
        /// From midnight to midnight.
        Day = "day",
        /// From the first of the month to the next.
        Month = "month",
    }
}
