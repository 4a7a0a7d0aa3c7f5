//! Limits and budgets as data. What they decide is in [`crate::ledger`].

use serde::{Deserialize, Serialize};
use sluice_units::{AppId, KeyId, NanoUsd, Span, TeamId, Timestamp, Tokens, UserId};

/// At whom a limit stands. Within one organisation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole organisation.
    Org,
    /// A team.
    Team(TeamId),
    /// An application of a team.
    App(TeamId, AppId),
    /// A person or service account.
    User(UserId),
    /// A virtual key.
    Key(KeyId),
}

/// What a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Requests.
    Requests,
    /// Tokens, input and output together.
    Tokens,
}

/// A budget's calendar period, in the rule's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of the month to the next.
    Month,
}

/// How far a place's clock is ahead of UTC, in minutes; negative in the west.
///
/// Where there is daylight saving time, whoever sends a rule says what holds at that moment.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UtcOffset(i16);

impl UtcOffset {
    /// UTC itself.
    pub const UTC: Self = Self(0);

    /// So many minutes ahead of UTC.
    #[must_use]
    pub const fn from_minutes(minutes: i16) -> Self {
        Self(minutes)
    }

    /// So many minutes ahead of UTC.
    #[must_use]
    pub const fn as_minutes(self) -> i16 {
        self.0
    }

    /// What a clock in this place shows, as if it were UTC.
    #[must_use]
    pub const fn local(self, at: Timestamp) -> Timestamp {
        at.plus(Span::from_seconds(60).times(self.0 as i64))
    }

    /// The moment at which a clock in this place shows this.
    #[must_use]
    pub const fn global(self, local: Timestamp) -> Timestamp {
        local.minus(Span::from_seconds(60).times(self.0 as i64))
    }

    const fn is_utc(&self) -> bool {
        self.0 == 0
    }
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// At most `limit` within any stretch of `window`: no burst at an edge.
    Window {
        /// What is counted.
        meter: Meter,
        /// How many.
        limit: u64,
        /// Within how long.
        window: Span,
    },
    /// A steady rate (GCRA, ITU-T I.371): `limit` in each `window`, and up to `burst` at once after a rest.
    ///
    /// Requests count when they are let in. Tokens are held back until their request is settled and count then, so
    /// what was not used costs nothing.
    Gcra {
        /// What is counted.
        meter: Meter,
        /// How many.
        limit: u64,
        /// Within how long.
        window: Span,
        /// How many at once.
        burst: u64,
    },
    /// At most `limit` requests in flight.
    Concurrency {
        /// How many.
        limit: u64,
    },
    /// At most `limit` within a calendar period.
    Budget {
        /// How much.
        limit: NanoUsd,
        /// Within which period.
        period: Period,
        /// Where its midnight is.
        #[serde(default, skip_serializing_if = "UtcOffset::is_utc")]
        offset: UtcOffset,
    },
}

/// All rules of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRules {
    /// At whom they stand.
    pub scope: Scope,
    /// The rules. May be empty: the scope's spending is counted all the same.
    pub rules: Vec<Rule>,
}

/// What one request takes: reserved as an upper bound, settled as the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Tokens, input and output together.
    pub tokens: Tokens,
    /// Money.
    pub cost: NanoUsd,
}

/// A part of an allowance: so many requests, and what they may use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Requests.
    #[serde(rename = "r")]
    pub requests: u64,
    /// Tokens, input and output together.
    #[serde(rename = "t")]
    pub tokens: Tokens,
    /// Money.
    #[serde(rename = "c")]
    pub cost: NanoUsd,
}

impl Slice {
    /// Nothing.
    pub const NONE: Self = Self {
        requests: 0,
        tokens: Tokens::ZERO,
        cost: NanoUsd::ZERO,
    };

    /// What one request takes.
    #[must_use]
    pub const fn of(amount: Amount) -> Self {
        Self {
            requests: 1,
            tokens: amount.tokens,
            cost: amount.cost,
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.plus(other.tokens),
            cost: self.cost.plus(other.cost),
        }
    }

    /// What is left without `other`; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.minus(other.tokens),
            cost: self.cost.minus(other.cost).max(NanoUsd::ZERO),
        }
    }

    /// The smaller of both, of each kind.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            requests: self.requests.min(other.requests),
            tokens: self.tokens.min(other.tokens),
            cost: self.cost.min(other.cost),
        }
    }

    /// The larger of both, of each kind.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            tokens: self.tokens.max(other.tokens),
            cost: self.cost.max(other.cost),
        }
    }

    /// Whether `other` fits within, of each kind.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.requests >= other.requests && self.tokens >= other.tokens && self.cost >= other.cost
    }

    /// Whether there is none of any kind.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.is_none()
    }
}
