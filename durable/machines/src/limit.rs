//! Limits and budgets as data. What they decide is in [`crate::ledger`].

use serde::{Deserialize, Serialize};
use sluice_units::{AppId, KeyId, NanoUsd, Span, TeamId, Tokens, UserId};

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

/// A budget's calendar period, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of the month to the next.
    Month,
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
    /// At most `limit` within a calendar period.
    Budget {
        /// How much.
        limit: NanoUsd,
        /// Within which period.
        period: Period,
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
