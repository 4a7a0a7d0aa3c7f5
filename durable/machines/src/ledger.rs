//! The ledger of one organisation in one region: limits, budgets, reservations and the outbox of records.
//!
//! The life of a reservation: `admit` → (`extend`)* → `settle` | `release` | expiry. No step charges a reservation twice:
//!
//! | command | open | expired | expired and corrected | not known |
//! |---|---|---|---|---|
//! | `Admit` | `Admitted`, no charge | `Done` | `Done` | `Admitted` or `Denied` |
//! | `Extend` | `Done` | `Unknown` | `Unknown` | `Unknown` |
//! | `Settle` | `Done` | `Done`, a correction | `Done`, no charge | `Unknown`, no charge |
//! | `Release` | `Done` | `Done`, a correction to nothing | `Done`, the charge stands | `Unknown` |
//!
//! `Done` to an `Admit` says that the request's life is over: it must not go on. Not known is what was never admitted,
//! was settled or released in time, or expired long ago: only an expired reservation is remembered, for at least
//! [`EXPIRED_KEPT`], because only it may still be settled late. So a batch that is sent again charges nothing twice,
//! unless it holds an `Admit`: the caller delivers each `Admit` at most once, and where it does not know whether one
//! arrived, it sends a `Release`, never the `Admit` again.
//!
//! **Invariants**
//! - For every budget, spent + reserved ≤ limit at each admission; a window's limit is never exceeded within any stretch
//!   of its length. A settlement may exceed its reservation, because the provider has charged; then nothing is admitted
//!   until it fits again.
//! - A denied request writes nothing.
//! - What was ever spent at the organisation = the sum of `cost_nano_usd` over all records ever queued.
//! - Every admitted request ends in exactly one settled or expired record, or in a release; only an expired one may be
//!   followed by one correction.
//! - A `Settle` or a `Release` that is repeated changes nothing.
//! - Records are numbered from 1 without gaps, in the order of the commits.
//! - The ledger's time never goes back at a scope: should the clock step back, it stands still until the clock has
//!   caught up. An expired reservation is found again if the clock steps back by no more than half an hour.
//!
//! What a command must see is read in two rounds, because the scopes of a settlement are in its reservation:
//! [`reads`], then [`scope_reads`]. [`load`] does both.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sluice_units::{NanoUsd, RequestId, Span, Timestamp};

use crate::limit::{Amount, Rule, Scope, ScopeRules};
use crate::outbox;
use crate::record::Record;
use crate::rows::{Read, RowError, RowKey, Rows, Work, WriteSet};

mod admit;
mod expire;
pub(crate) mod rows;
mod settle;
mod standing;
mod window;

pub use expire::{deadline_reads, expire, expire_reads, expire_scope_reads, next_deadline};
pub use window::SUB_BUCKETS;

/// How long an expired reservation is remembered, at least.
pub const EXPIRED_KEPT: Span = Span::from_seconds(3_600);
/// Expired reservations are forgotten together, a stretch of this length at a time.
const EXPIRED_BUCKET: Span = Span::from_seconds(1_800);
/// How many such stretches make [`EXPIRED_KEPT`].
const EXPIRED_BUCKETS: i64 = 2;
/// The longest that a reservation lives without being extended.
pub const TTL_MAX: Span = Span::from_seconds(86_400);
/// How many reservations expire in one call, at most.
pub const EXPIRE_MAX: usize = 64;
/// How many open reservations one call looks through for deadlines, at most; the others wait for a later call.
pub const OPEN_SCAN_MAX: u32 = 10_000;
/// How many expired reservations are forgotten in one call, at most: more than one call adds, so that it keeps up.
pub const SWEEP_MAX: u32 = 256;
const _: () = assert!(EXPIRE_MAX < SWEEP_MAX as usize, "forgetting keeps up");
/// How many scopes `Standing` lists, at most.
pub const STANDING_SCOPES_MAX: u32 = 1_000;

/// What the ledger is asked. Several commands travel in one call and are committed together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Replace the reservation by the truth, and queue the record. The ledger writes the record's `kind` and
    /// `cost_nano_usd` itself, the latter from `actual`.
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
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The reservation stands. Also the answer to a repeated `Admit`.
    Admitted(Headroom),
    /// A rule forbids it; nothing was written.
    Denied(Denial),
    /// Settled, released or extended, or corrected before. To an `Admit`: this request's life is over.
    Done,
    /// There is no such reservation, neither open nor expired; nothing was changed. Also the answer to a repeated
    /// `Settle` or `Release`.
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

/// The rows that a batch of commands must see first.
#[must_use]
pub fn reads(now: Timestamp, commands: &[Command]) -> Vec<Read> {
    let mut reads = Vec::new();
    for command in commands {
        let request = match command {
            Command::Admit(admission) => {
                reads.extend(admit::scope_keys(admission).map(Read::Row));
                &admission.draft.request
            }
            Command::Settle { record, .. } => &record.request,
            Command::Extend { request, .. } | Command::Release { request } => request,
            Command::Standing => {
                reads.extend(standing::reads());
                continue;
            }
        };
        reads.push(Read::Row(rows::open_key(request)));
        reads.extend(rows::expired_keys(now, request).map(Read::Row));
    }
    reads
}

/// The rows that must be seen besides: the scopes of the reservations that end.
///
/// # Errors
/// [`RowError`] when a reservation's row is not what this code writes.
pub fn scope_reads(
    rows: &Rows,
    now: Timestamp,
    commands: &[Command],
) -> Result<Vec<Read>, RowError> {
    let work = Work::new(rows);
    let mut keys = BTreeSet::new();
    for command in commands {
        let request = match command {
            Command::Settle { record, .. } => &record.request,
            Command::Release { request } => request,
            Command::Admit(_) | Command::Extend { .. } | Command::Standing => continue,
        };
        let ends = match rows::find(&work, now, request)? {
            rows::Found::Open(held) => Some(held),
            rows::Found::Expired(_, expired) => expired.charged,
            rows::Found::Nothing => None,
        };
        let scopes = ends.into_iter().flat_map(|held| held.scopes);
        keys.extend(scopes.map(|(key, _)| key));
    }
    Ok(not_among(rows, keys))
}

/// Reads those of `keys` that were not read yet.
fn not_among(rows: &Rows, keys: BTreeSet<RowKey>) -> Vec<Read> {
    keys.into_iter()
        .filter(|key| rows.get(key).is_none())
        .map(Read::Row)
        .collect()
}

/// Reads all that a batch of commands must see; `read` answers several reads at once.
///
/// # Errors
/// What `read` says, or a [`RowError`].
pub fn load<E: From<RowError>>(
    now: Timestamp,
    commands: &[Command],
    mut read: impl FnMut(&[Read]) -> Result<Vec<(RowKey, String)>, E>,
) -> Result<Rows, E> {
    let mut rows = Rows::new();
    rows.extend(read(&reads(now, commands))?);
    let more = scope_reads(&rows, now, commands)?;
    if !more.is_empty() {
        rows.extend(read(&more)?);
    }
    Ok(rows)
}

/// Decides one command.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn decide(
    rows: &Rows,
    now: Timestamp,
    command: &Command,
) -> Result<(Reply, WriteSet), RowError> {
    let mut work = Work::new(rows);
    let reply = step(&mut work, now, command)?;
    Ok((reply, work.finish()?))
}

/// Decides commands one after another, each seeing the writes of those before, to be committed together.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn decide_batch(
    rows: &Rows,
    now: Timestamp,
    commands: &[Command],
) -> Result<(Vec<Reply>, WriteSet), RowError> {
    let mut work = Work::new(rows);
    let replies = commands
        .iter()
        .map(|command| step(&mut work, now, command))
        .collect::<Result<_, _>>()?;
    Ok((replies, work.finish()?))
}

fn step(work: &mut Work<'_>, now: Timestamp, command: &Command) -> Result<Reply, RowError> {
    match command {
        Command::Admit(admission) => admit::admit(work, now, admission),
        Command::Extend { request, ttl } => settle::extend(work, now, request, *ttl),
        Command::Settle { actual, record } => settle::settle(work, now, *actual, record),
        Command::Release { request } => settle::release(work, now, request),
        Command::Standing => standing::standing(work, now),
    }
}

/// Queues a record under the next sequence number.
fn queue(work: &mut Work<'_>, record: &Record) -> Result<(), RowError> {
    let mut org = rows::ScopeRow::load(work, rows::ORG)?;
    org.sequence = org.sequence.saturating_add(1);
    outbox::queue(work, org.sequence, record)?;
    org.store(work, rows::ORG);
    Ok(())
}

/// An amount that can be charged: never less than nothing.
fn chargeable(amount: Amount) -> Amount {
    Amount {
        tokens: amount.tokens,
        cost: amount.cost.max(NanoUsd::ZERO),
    }
}

/// When a reservation made or extended now expires.
fn deadline(now: Timestamp, ttl: Span) -> Timestamp {
    now.plus(ttl.clamp(Span::ZERO, TTL_MAX))
}
