//! The ledger's rows. Field names are one letter long because every admission writes them.
//!
//! | key | row | written by |
//! |---|---|---|
//! | `s/org`, `s/team/T`, `s/app/T/A`, `s/user/U`, `s/key/K` | [`ScopeRow`](super::scope::ScopeRow): sums, budgets, windows and leases of one scope | every command that charges |
//! | `l/LEASE` | [`LeaseRow`]: what one isolate or one child ledger holds, kept for [`LEASE_KEPT`](super::LEASE_KEPT) after its end | lease, intent; expire deletes it |
//! | `p/PARENT/SCOPE` | [`PoolRow`](super::pool::PoolRow): what this ledger holds of its parent's allowance for one key | what draws or ends; climb, hear |
//! | `o/REQUEST` | [`Reservation`], open | admit, intent, extend, raise; settle, release and expire delete it |
//! | `t/REQUEST` | [`Expired`]: a reservation that may still be corrected, kept for [`EXPIRED_KEPT`](super::EXPIRED_KEPT) | expire; settle and release when late |
//! | `x/BUCKET/REQUEST` | when the row before may be forgotten | expire |
//! | `q/SEQUENCE` | a record that waits to be shipped | settle, expire |
//! | `e/SEQUENCE` | an event that waits to be delivered | settle, expire |
//! | `event` | which receiver has which events | [`crate::events`] |
//! | `ship` | which records are in which batch | [`crate::outbox`] |
//!
//! The last sequence number, and a moment before which nothing is due, are in `s/org`, which every settlement writes
//! anyway.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluice_units::{LeaseId, RequestId, Timestamp, Tokens, is_default};

use super::scope::loans;
use super::{EXPIRED_BUCKET, EXPIRED_BUCKETS, Parent};
use crate::limit::{Amount, Loan, LoanOf, Meter, Period, Rule, Scope, ScopeRules, Slice};
use crate::record::Record;
use crate::rows::{RowError, RowKey, V1, Work, decode};

pub(crate) const SCOPES: &str = "s/";
pub(crate) const ORG: &str = "s/org";
pub(crate) const OPEN: &str = "o/";
pub(crate) const LEASES: &str = "l/";
pub(crate) const POOLS: &str = "p/";
const EXPIRED: &str = "t/";
pub(crate) const SWEEPS: &str = "x/";

/// A scope's row.
pub(crate) fn scope_key(scope: &Scope) -> RowKey {
    match scope {
        Scope::Org => ORG.to_owned(),
        Scope::Team(team) => format!("{SCOPES}team/{team}"),
        Scope::App(team, app) => format!("{SCOPES}app/{team}/{app}"),
        Scope::User(user) => format!("{SCOPES}user/{user}"),
        Scope::Key(key) => format!("{SCOPES}key/{key}"),
    }
}

/// A scope's name, as it stands in its row's key.
pub(super) fn path(key: &str) -> &str {
    key.strip_prefix(SCOPES).unwrap_or(key)
}

/// An open reservation's row.
pub(super) fn open_key(request: &RequestId) -> RowKey {
    format!("{OPEN}{request}")
}

/// A lease's row.
pub(super) fn lease_key(lease: &LeaseId) -> RowKey {
    format!("{LEASES}{lease}")
}

/// The row of what is held of a parent's allowance, for the innermost of these scopes; what is borrowed has one of its
/// own below that, for each choice of limits that it is borrowed beyond.
pub(super) fn pool_key(parent: &Parent, scopes: &[ScopeRules]) -> RowKey {
    let innermost = scopes.last().map_or(&Scope::Org, |of| &of.scope);
    let mut key = format!("{POOLS}{}/{}", parent.name, path(&scope_key(innermost)));
    let mut separator = '/';
    for of in scopes {
        for loan in loans(&of.rules) {
            let (kind, per) = match loan {
                LoanOf::Requests(window) | LoanOf::Tokens(window) | LoanOf::MoneyWithin(window) => {
                    (loan.name(), window.as_micros())
                }
                LoanOf::Money(Period::Day) => ("day", 1),
                LoanOf::Money(Period::Month) => ("month", 1),
            };
            let scope = scope_key(&of.scope);
            key.push_str(&format!("{separator}{}:{kind}:{per}", path(&scope)));
            separator = '+';
        }
    }
    key
}

/// Where an expired reservation is remembered.
pub(super) fn expired_key(request: &RequestId) -> RowKey {
    format!("{EXPIRED}{request}")
}

const fn expired_bucket(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(EXPIRED_BUCKET.as_micros())
}

/// The row that says that what expires now is to be forgotten. Ordered by time.
pub(super) fn sweep_key(now: Timestamp, request: &RequestId) -> RowKey {
    format!("{SWEEPS}{:010}/{request}", expired_bucket(now))
}

/// What the row before says: when, and the row that is then forgotten.
pub(super) fn sweep_of(key: &str) -> Option<(Timestamp, RowKey)> {
    let (bucket, request) = key.strip_prefix(SWEEPS)?.split_once('/')?;
    let bucket: i64 = bucket.parse().ok()?;
    let end = bucket.saturating_add(EXPIRED_BUCKETS).saturating_add(1);
    let at = Timestamp::from_micros(end.saturating_mul(EXPIRED_BUCKET.as_micros()));
    Some((at, format!("{EXPIRED}{request}")))
}

/// A row whose key says everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sweep {
    v: V1,
}

/// What one isolate holds of the allowance of some scopes.
///
/// **Invariant:** until `until`, each of the scopes holds `rest` back; from then on nobody does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRow {
    pub(super) v: V1,
    /// When the rest is free again, in the ledger's time.
    #[serde(rename = "h")]
    pub(super) until: Timestamp,
    /// The sequence number of the last intent: it and all before have been charged.
    #[serde(rename = "m")]
    pub(super) mark: u64,
    /// The number of the last `Lease` command.
    #[serde(rename = "n")]
    pub(super) number: u64,
    /// What was granted and not drawn, as far as the ledger has heard.
    #[serde(rename = "r")]
    pub(super) rest: Slice,
    /// The rows of the scopes, with their rules.
    #[serde(rename = "s")]
    pub(super) scopes: Vec<(RowKey, Vec<Rule>)>,
    /// An isolate's: what it is drawn from in turn.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) pool: Option<RowKey>,
    /// A child ledger's: drawn and not settled.
    #[serde(rename = "o", default, skip_serializing_if = "Slice::is_nothing")]
    pub(super) open: Slice,
    /// A child ledger's, and not closed: it is not forgotten.
    #[serde(rename = "k", default, skip_serializing_if = "is_default")]
    pub(super) stays: bool,
}

/// A reservation, as it stands in its row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(super) v: V1,
    /// When it was made, in the ledger's time.
    #[serde(rename = "a")]
    pub(super) at: Timestamp,
    /// When it expires.
    #[serde(rename = "x")]
    pub(super) deadline: Timestamp,
    /// When its tokens and its money were counted anew, if they were.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(super) raised_at: Option<Timestamp>,
    /// What is reserved.
    #[serde(rename = "e")]
    pub(super) estimate: Amount,
    /// Where only a part was reserved: the output tokens beyond the least.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(super) cut: Option<Tokens>,
    /// What it was drawn from, where the ledger has a parent; and the number of the last command of that before.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(super) pool: Option<(RowKey, u64)>,
    /// It was drawn from a lease, and the ledger heard of it when the lease was over: nothing covered it.
    #[serde(rename = "u", default, skip_serializing_if = "is_default")]
    pub(super) overrun: bool,
    /// The rows of the scopes at which it is reserved, each with the admission's ordinal there.
    #[serde(rename = "s")]
    pub(super) scopes: Vec<Charge>,
    /// The record, should nobody come back.
    #[serde(rename = "r")]
    pub(super) draft: Draft,
}

/// Where a request is charged: the scope's row, the admission's ordinal there, and what it borrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Charge(
    pub(super) RowKey,
    pub(super) u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")] pub(super) Vec<LoanOf>,
);

/// All that was borrowed.
pub(super) fn loans_of(charges: &[Charge]) -> Vec<Loan> {
    let each = charges.iter().flat_map(|Charge(key, _, borrowed)| {
        borrowed.iter().map(|of| Loan {
            scope: path(key).to_owned(),
            of: *of,
        })
    });
    each.collect()
}

impl Reservation {
    /// All that it borrowed.
    pub(super) fn loans(&self) -> Vec<Loan> {
        loans_of(&self.scopes)
    }

    /// When it was counted in the windows of this meter.
    pub(super) fn counted_at(&self, meter: Meter) -> Timestamp {
        match meter {
            Meter::Requests => self.at,
            Meter::Tokens | Meter::Money => self.raised_at.unwrap_or(self.at),
        }
    }
}

/// A record as text: most are never read again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Draft(Box<RawValue>);

impl Draft {
    /// Writes a record down.
    ///
    /// # Errors
    /// [`RowError`] when it has no text.
    pub(super) fn new(record: &Record) -> Result<Self, RowError> {
        match serde_json::value::to_raw_value(record) {
            Ok(text) => Ok(Self(text)),
            Err(error) => Err(RowError {
                key: open_key(&record.request),
                detail: error.to_string(),
            }),
        }
    }

    /// Reads it again.
    ///
    /// # Errors
    /// [`RowError`] when it is not a record; `key` is where it stands.
    pub(super) fn read(&self, key: &str) -> Result<Record, RowError> {
        decode(key, self.0.get())
    }
}

/// The one field of a [`Reservation`] that says when it expires, for those who look through many.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Deadline {
    #[expect(dead_code, reason = "a row of another version must not decode")]
    v: V1,
    #[serde(rename = "x")]
    pub(super) at: Timestamp,
}

/// The fields of a [`LeaseRow`] that say when it is over and forgotten, for those who look through many.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct LeaseEnd {
    #[expect(dead_code, reason = "a row of another version must not decode")]
    v: V1,
    #[serde(rename = "h")]
    pub(super) until: Timestamp,
    #[serde(rename = "k", default)]
    pub(super) stays: bool,
}

/// A reservation that expired.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Expired {
    pub(super) v: V1,
    /// The reservation, all of which was charged; nothing once that was corrected.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(super) charged: Option<Box<Reservation>>,
}

/// Where a request stands.
#[derive(Debug)]
pub(super) enum Found {
    /// Its reservation is open.
    Open(Box<Reservation>),
    /// Its reservation expired; the row that says so.
    Expired(RowKey, Expired),
    /// Nothing is known of it: it never was, has ended in time, or long ago.
    Nothing,
}

/// Finds out where a request stands.
pub(super) fn find(work: &Work<'_>, request: &RequestId) -> Result<Found, RowError> {
    if let Some(open) = work.load(&open_key(request))? {
        return Ok(Found::Open(Box::new(open)));
    }
    let key = expired_key(request);
    Ok(match work.load(&key)? {
        Some(expired) => Found::Expired(key, expired),
        None => Found::Nothing,
    })
}
