//! The ledger of one organisation in one region: limits, budgets, reservations and the outbox of records.
//!
//! The life of a reservation: `admit` → (`extend`)* → `settle` | `release` | expiry. Each step is idempotent by request.
//! **Invariant:** for every budget, spent + reserved ≤ limit at each admission; a denied request writes nothing.

use serde::{Deserialize, Serialize};
use sluice_units::{NanoUsd, RequestId, Span};

use crate::limit::{Amount, Rule, Scope, ScopeRules};
use crate::record::Record;

/// What the ledger is asked. Several commands travel in one call and are committed together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Reserve the estimate at every scope, or at none.
    Admit(Box<Admission>),
    /// The request is still alive: move its deadline to now + `ttl`.
    Extend {
        /// The request.
        request: RequestId,
        /// For how long.
        ttl: Span,
    },
    /// Replace the reservation by the truth, and queue the record.
    Settle {
        /// What was used; it may exceed the reservation, for the provider has charged.
        actual: Amount,
        /// The record, complete.
        record: Box<Record>,
    },
    /// Undo the reservation of a request that never reached a provider. No record.
    Release {
        /// The request.
        request: RequestId,
    },
    /// What stands at the scopes (for the admin API).
    Standing,
}

/// A request that asks to be let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// Every scope that applies, outermost first. The record's request is the reservation's name.
    pub scopes: Vec<ScopeRules>,
    /// An upper bound on what it will use. One request is counted besides.
    pub estimate: Amount,
    /// How long the reservation lives unless it is extended.
    pub ttl: Span,
    /// The record as it would have to be written if nobody came back: outcome unknown, usage estimated.
    pub draft: Record,
}

/// What the ledger answers, one for each command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The reservation stands. Also the answer to a repeated `Admit`.
    Admitted(Headroom),
    /// A rule forbids it; nothing was written.
    Denied(Denial),
    /// Settled, released or extended, now or before.
    Done,
    /// There is no such reservation (never was, or long ago).
    Unknown,
    /// What stands at the scopes.
    Standing {
        /// One for each scope that has ever been charged.
        scopes: Vec<ScopeStanding>,
        /// How many records wait to be shipped.
        outbox: u64,
        /// How many reservations are open.
        open: u64,
    },
}

/// What is left after an admission, for the response's headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom {
    /// The tightest window on requests, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requests: Option<WindowState>,
    /// The tightest window on tokens, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens: Option<WindowState>,
    /// Budgets of which at least 80 % is spent or reserved.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<BudgetState>,
}

/// A window's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowState {
    /// At whom it stands.
    pub scope: Scope,
    /// How many are allowed.
    pub limit: u64,
    /// How many are left now.
    pub remaining: u64,
    /// How long until all of it is free again if nothing else comes.
    pub reset: Span,
}

/// A budget's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    /// At whom it stands.
    pub scope: Scope,
    /// The rule.
    pub rule: Rule,
    /// Spent in this period.
    pub spent: NanoUsd,
    /// Reserved by open requests.
    pub reserved: NanoUsd,
}

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// At whom the binding rule stands.
    pub scope: Scope,
    /// The binding rule.
    pub rule: Rule,
    /// What stands against it now: requests, tokens, or nano-dollars spent and reserved.
    pub used: u64,
    /// What the request asked for, in the same unit.
    pub asked: u64,
    /// When a try may succeed; `None` when the request alone is larger than the limit.
    pub retry_after: Option<Span>,
    /// What is left, for the response's headers.
    pub headroom: Headroom,
}

/// What stands at one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeStanding {
    /// The scope.
    pub scope: Scope,
    /// Settled this UTC day.
    pub spent_day: NanoUsd,
    /// Settled this UTC month.
    pub spent_month: NanoUsd,
    /// Settled since the beginning.
    pub spent_total: NanoUsd,
    /// Reserved by open requests.
    pub reserved: NanoUsd,
    /// Requests admitted since the beginning.
    pub requests_total: u64,
    /// Tokens settled since the beginning.
    pub tokens_total: u64,
}
