//! The ledger of one organisation in one region, or of a shard of its keys there: limits, budgets, reservations and the
//! outbox of records.
//!
//! The life of a reservation: `admit` or `intent` → (`extend`)* → `settle` | `release` | expiry. No step charges a
//! reservation twice:
//!
//! | command | open | expired | expired and corrected | not known |
//! |---|---|---|---|---|
//! | `Admit` | `Admitted`, no charge | `Done` | `Done` | `Admitted` or `Denied` |
//! | `Intent`, seen before | `Done`, no charge | `Done` | `Done` | `Done`, no charge |
//! | `Intent`, new | `Done`, no second charge | `Done`, no charge | `Done`, no charge | `Done` |
//! | `Extend` | `Done` | `Unknown` | `Unknown` | `Unknown` |
//! | `Raise` | `Done` or `Denied` | `Unknown` | `Unknown` | `Unknown` |
//! | `Settle` | `Done` | `Done`, a correction | `Done`, no charge | `Unknown`, no charge |
//! | `Refuse` | `Done`, no record | `Done`, no record | `Done`, no record | `Done`, one record |
//! | `Release` | `Done` | `Done`, a correction to nothing | `Done`, the charge stands | `Unknown` |
//!
//! `Done` to an `Admit` says that the request's life is over: it must not go on. Not known is what was never admitted,
//! was settled or released in time, or expired long ago: only an expired reservation is remembered, for at least
//! [`EXPIRED_KEPT`], because only it may still be settled late. So a batch that is sent again charges nothing twice,
//! unless it holds an `Admit`: no `Admit` arrives when its request is over, and where its sender does not know whether
//! one arrived, it sends a `Release`, never the `Admit` again. One that comes twice while its request still waits is
//! harmless: whether the request is then let in by another `Admit` or out of a lease, it has one reservation.
//!
//! An isolate that holds a lease lets requests in without asking, and tells of them by intents, each numbered within
//! its lease; a number that was seen is charged no more. An `Intent` of a lease that is not known is `Unknown`, and
//! nothing is charged.
//!
//! **Invariants**
//! - At every moment, for every budget and for every limit on requests at once: what is charged, reserved and leased
//!   together stays within the limit, unless a settlement exceeded its reservation, a limit was lowered, or an intent
//!   came when its lease was over, and then its record says so; nothing is admitted or leased until it fits again.
//! - A window's limit is never exceeded within any stretch of its length, nor a rate's within any stretch of time, with
//!   the same exceptions.
//! - What is borrowed beyond a limit counts at all other limits as ever: the organisation's, out of which it is borrowed,
//!   are never exceeded by it, nor is the most that may be borrowed.
//! - A denied request writes nothing. That it was denied is told by a command of its own, which touches no scope's
//!   numbers.
//! - What was ever spent at the organisation = the sum of `cost_nano_usd` over all records ever queued.
//! - Every admitted request ends in exactly one settled or expired record, or in a release; only an expired one may be
//!   followed by one correction.
//! - A `Settle`, a `Release`, a `Lease` or an `Intent` that is repeated changes nothing.
//! - Whatever is held has a deadline: a lease ends, a reservation expires, whether or not anybody comes back.
//! - A budget of which four fifths, or all, are spent for the first time in its period is told of by an event in the
//!   same commit.
//! - Records are numbered from 1 without gaps, in the order of the commits.
//! - The ledger's time never goes back at a scope: should the clock step back, it stands still until the clock has
//!   caught up.
//!
//! What a command must see is read in two rounds, because the scopes of a settlement are in its reservation, and those
//! of an intent in its lease:
//! [`reads`], then [`scope_reads`]. [`load`] does both.

use serde::{Deserialize, Serialize};
use sluice_units::{LeaseId, NanoUsd, RequestId, Span, Timestamp, Tokens};

use crate::limit::{Amount, Loan, Rule, Scope, ScopeRules, Slice};
use crate::outbox;
use crate::record::{Bodies, Missing, Record, Refusal};
use crate::rows::{RowError, Rows, Work, WriteSet};

mod admit;
mod borrow;
mod call;
mod climb;
mod expire;
mod gauge;
mod lease;
mod lend;
mod load;
mod measure;
mod parent;
mod part;
mod pool;
mod raise;
mod refuse;
pub(crate) mod rows;
mod scope;
mod settle;
mod standing;
mod tightest;
mod window;

pub use call::{Answer, Call, Notices};
pub use climb::{Climb, climb, climbs_at, hear, load_climb, touches_pools};
pub use expire::{deadline_reads, expire, load_due, next_deadline};
pub use load::{load, reads, scope_reads};
pub use parent::{NEEDS_MAX, Need, POOL_GRACE, POOL_LIFE, Parent, Upward, Used};
pub use part::Part;
pub use pool::Lacking;
pub use raise::Raise;
pub use standing::ScopeStanding;
pub use tightest::Tightest;
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
/// How long an isolate draws from a lease without renewing it, at least.
pub const LEASE_LIFE: Span = Span::from_seconds(3);
/// How long the ledger waits besides: for intents on their way, and for clocks that drift.
pub const LEASE_GRACE: Span = Span::from_seconds(2);
/// How long a lease is remembered after its end: for intents that were held up.
pub const LEASE_KEPT: Span = Span::from_seconds(600);
/// One lease takes this part of what remains under the tightest rule, at most.
pub const SHARE: u64 = 8;
/// How many pools are looked through for what is due, at most.
pub const POOLS_MAX: u32 = 10_000;
/// How many commands go to a parent in one call, at most.
pub const BATCH_UP_MAX: usize = 256;
/// From so many records on that wait to be shipped, refusals are only counted.
pub const REFUSALS_WAITING_MAX: u64 = 50_000;
/// From so many records on that wait to be shipped, bodies are left out: some hundred megabytes of the longest.
pub const BODIES_WAITING_MAX: u64 = 10_000;
/// How many scopes `Standing` lists, at most.
pub const STANDING_SCOPES_MAX: u32 = 1_000;

/// What the ledger is asked. Several commands travel in one call and are committed together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Reserve the estimate at every scope, or at none.
    Admit(Box<Admission>),
    /// Grant, renew, shrink or give back a lease.
    Lease(Box<LeaseRequest>),
    /// A request was drawn from a lease: reserve its estimate out of it.
    Intent(Box<Intent>),
    /// The request is still alive: move its deadline to now + `ttl`.
    Extend {
        /// The request.
        request: RequestId,
        /// For how long.
        ttl: Span,
    },
    /// The request needs more than it has reserved: reserve all of it at every scope, or leave what stands.
    Raise(Box<Raise>),
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
    /// A request was refused: it is queued for the audit chain and charged to nobody.
    Refuse(Box<Refusal>),
    /// What stands at the scopes (for the admin API).
    Standing,
}

impl Command {
    /// How many bytes of sealed bodies it brings.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        match self {
            Self::Settle { record, .. } => record.bodies.as_ref().map_or(0, Bodies::bytes),
            _ => 0,
        }
    }
}

/// A request that asks to be let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Admission {
    /// Every scope that applies, outermost first. The record's request is the reservation's name.
    pub scopes: Vec<ScopeRules>,
    /// An upper bound on what it will use. One request is counted besides.
    pub estimate: Amount,
    /// How it can do with less, if it can.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<Part>,
    /// How long the reservation lives unless it is extended.
    pub ttl: Span,
    /// The record as it would have to be written if nobody came back: outcome unknown, usage estimated.
    pub draft: Record,
    /// Out of whose allowance, where this ledger has a parent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<Parent>,
}

/// What an isolate or a child ledger holds and wants of the allowance of some scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// The lease. Whoever asks makes up a name that nobody else makes up.
    pub lease: LeaseId,
    /// Counts the commands of this kind for this lease, from 1.
    pub number: u64,
    /// Every scope that applies, outermost first.
    pub scopes: Vec<ScopeRules>,
    /// What is held on to, whatever the answer.
    pub keep: Slice,
    /// How much is wanted in all; nothing when the lease is given back.
    pub want: Slice,
    /// An isolate's: out of whose allowance, where this ledger has a parent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<Parent>,
    /// A child ledger's: what it says besides.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upward: Option<Box<Upward>>,
}

/// A request that was let in by an isolate, out of a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The lease.
    pub lease: LeaseId,
    /// Counts the intents of this lease, from 1. They arrive in this order.
    pub sequence: u64,
    /// An upper bound on what it will use. One request is counted besides.
    pub estimate: Amount,
    /// How long the reservation lives unless it is extended.
    pub ttl: Span,
    /// The record as it would have to be written if nobody came back: outcome unknown, usage estimated.
    pub draft: Record,
}

/// What an isolate holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// All that it holds now; nothing where it is not worth a lease.
    pub rest: Slice,
    /// For how long from when it asked.
    pub life: Span,
    /// What is left beside all leases, for the response's headers.
    pub headroom: Headroom,
    /// A child ledger's: why the first of those who wait there gets nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub denial: Option<Box<Denial>>,
}

/// What the ledger answers, one for each command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The reservation stands. Also the answer to a repeated `Admit`.
    Admitted(Headroom),
    /// A reservation of a part stands: the least that will do, and so many output tokens more. Also the answer to a
    /// repeated `Admit`.
    Cut(Tokens, Headroom),
    /// A rule forbids it; nothing was written.
    Denied(Denial),
    /// The parent must be asked first: see [`climb`]. Nothing of the whole batch may be committed. Never leaves the
    /// ledger.
    Lacking(Box<Lacking>),
    /// What the isolate holds from now on.
    Leased(Grant),
    /// Settled, released, extended, raised or drawn, or corrected before. To an `Admit`: this request's life is over.
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
    /// The rule of any kind with the least left in proportion, if any.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none", default)]
    pub tightest: Option<Tightest>,
    /// Budgets of which at least 80 % is spent or reserved.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<BudgetState>,
    /// What the request borrowed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub borrowed: Vec<Loan>,
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
    /// What stands against it now: requests, tokens, or nano-dollars spent, reserved and leased.
    pub used: u64,
    /// What the request asked for, in the same unit.
    pub asked: u64,
    /// When a try may succeed; `None` when the request alone is larger than the limit.
    pub retry_after: Option<Span>,
    /// Where what others hold in leases is all that stands in the way: when the first of these leases ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leases_end: Option<Span>,
    /// What the request would have to borrow to be let in. Said by a parent to its child only.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub borrows: Vec<Loan>,
    /// What is left, for the response's headers.
    pub headroom: Headroom,
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
    decide_in(Work::new(rows), now, commands)
}

fn decide_in(
    mut work: Work<'_>,
    now: Timestamp,
    commands: &[Command],
) -> Result<(Vec<Reply>, WriteSet), RowError> {
    let replies = commands
        .iter()
        .map(|command| step(&mut work, now, command))
        .collect::<Result<_, _>>()?;
    Ok((replies, work.finish()?))
}

/// The same where the parent cannot be asked (any more): an open request that needs more than there is here is denied
/// it, and only a new one is still lacking.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn decide_alone(
    rows: &Rows,
    now: Timestamp,
    commands: &[Command],
) -> Result<(Vec<Reply>, WriteSet), RowError> {
    let mut work = Work::new(rows);
    work.is_alone = true;
    decide_in(work, now, commands)
}

/// Those among the answers that say that the parent must be asked first.
#[must_use]
pub fn lacking(replies: &[Reply]) -> Vec<Lacking> {
    let lacking = replies.iter().filter_map(|reply| match reply {
        Reply::Lacking(lacking) => Some((**lacking).clone()),
        _ => None,
    });
    lacking.collect()
}

fn step(work: &mut Work<'_>, now: Timestamp, command: &Command) -> Result<Reply, RowError> {
    match command {
        Command::Admit(admission) => admit::admit(work, now, admission),
        Command::Lease(request) => lease::lease(work, now, request),
        Command::Intent(intent) => lease::intent(work, now, intent),
        Command::Extend { request, ttl } => settle::extend(work, now, request, *ttl),
        Command::Raise(wanted) => raise::raise(work, now, wanted),
        Command::Settle { actual, record } => settle::settle(work, now, *actual, record),
        Command::Release { request } => settle::release(work, now, request),
        Command::Refuse(refusal) => refuse::refuse(work, now, refusal),
        Command::Standing => standing::standing(work, now),
    }
}

/// Queues a record under the next sequence number.
///
/// Where too much waits to be shipped, what it says stays and its bodies are left out.
fn queue(work: &mut Work<'_>, mut record: Record) -> Result<(), RowError> {
    let bodies = record.bodies.as_mut().filter(|bodies| bodies.bytes() > 0);
    if let Some(bodies) = bodies {
        let last = work.hot::<scope::ScopeRow>(rows::ORG)?.sequence;
        if outbox::waiting(work, last)? >= BODIES_WAITING_MAX {
            bodies.leave_out(Missing::NoRoom);
        }
    }
    let org: &mut scope::ScopeRow = work.hot_mut(rows::ORG)?;
    org.sequence = org.sequence.saturating_add(1);
    let sequence = org.sequence;
    outbox::queue(work, sequence, record)
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
