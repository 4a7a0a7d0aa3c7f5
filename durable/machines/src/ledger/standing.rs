//! What stands at the scopes, for whoever looks on.

use serde::{Deserialize, Serialize};
use sluice_units::{AppId, KeyId, NanoUsd, TeamId, Timestamp, UserId};

use super::rows::{ORG, SCOPES};
use super::scope::ScopeRow;
use super::{Reply, STANDING_SCOPES_MAX};
use crate::limit::{Period, Scope, Slice};
use crate::outbox;
use crate::rows::{Read, RowError, Work, decode};

/// What stands at one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeStanding {
    /// The scope.
    pub scope: Scope,
    /// Settled this day, in the scope's time zone.
    pub spent_day: NanoUsd,
    /// Settled this month, in the scope's time zone.
    pub spent_month: NanoUsd,
    /// Settled since the beginning.
    pub spent_total: NanoUsd,
    /// Reserved by open requests.
    pub reserved: NanoUsd,
    /// Held by isolates, to be drawn or given back.
    #[serde(default)]
    pub leased: Slice,
    /// Borrowed since the beginning beyond the scope's own limits, and settled: requests, tokens and money.
    #[serde(default, skip_serializing_if = "Slice::is_nothing")]
    pub borrowed_total: Slice,
    /// Requests admitted since the beginning, those besides whose reservation was taken back unused.
    pub requests_total: u64,
    /// Tokens settled since the beginning.
    pub tokens_total: u64,
}

impl ScopeStanding {
    /// Adds what stands at the same scope in another ledger.
    pub fn add(&mut self, other: &Self) {
        self.spent_day = self.spent_day.plus(other.spent_day);
        self.spent_month = self.spent_month.plus(other.spent_month);
        self.spent_total = self.spent_total.plus(other.spent_total);
        self.reserved = self.reserved.plus(other.reserved);
        self.leased = self.leased.plus(other.leased);
        self.borrowed_total = self.borrowed_total.plus(other.borrowed_total);
        self.requests_total = self.requests_total.saturating_add(other.requests_total);
        self.tokens_total = self.tokens_total.saturating_add(other.tokens_total);
    }
}

pub(super) fn reads() -> Vec<Read> {
    vec![
        Read::prefix(SCOPES, STANDING_SCOPES_MAX),
        Read::Row(ORG.to_owned()),
        outbox::shipping_read(),
    ]
}

/// The first [`STANDING_SCOPES_MAX`] scopes, in the order of their rows.
pub(super) fn standing(work: &mut Work<'_>, now: Timestamp) -> Result<Reply, RowError> {
    let mut scopes = Vec::new();
    let rows = work.snapshot()?;
    for (key, text) in rows.with_prefix(SCOPES) {
        let row: ScopeRow = decode(key, text)?;
        let scope = scope(key).ok_or_else(|| RowError {
            key: key.to_owned(),
            detail: "its key names no scope".to_owned(),
        })?;
        scopes.push(at_scope(scope, &row, now));
    }
    let org: &ScopeRow = work.hot(ORG)?;
    let (sequence, open) = (org.sequence, org.open);
    Ok(Reply::Standing {
        scopes,
        outbox: outbox::waiting(work, sequence)?,
        open,
    })
}

fn at_scope(scope: Scope, row: &ScopeRow, now: Timestamp) -> ScopeStanding {
    let now = now.max(row.at);
    ScopeStanding {
        scope,
        spent_day: row.spending(Period::Day, now).0,
        spent_month: row.spending(Period::Month, now).0,
        spent_total: row.spent,
        reserved: row.reserved,
        leased: row.leased(now),
        borrowed_total: row.borrowed_total(),
        requests_total: row.requests,
        tokens_total: row.tokens.count(),
    }
}

/// The scope that a row's key names.
fn scope(key: &str) -> Option<Scope> {
    let mut parts = key.strip_prefix(SCOPES)?.split('/');
    let kind = parts.next()?;
    let mut id = || parts.next();
    let scope = match kind {
        "org" => Scope::Org,
        "team" => Scope::Team(TeamId::new(id()?).ok()?),
        "app" => Scope::App(TeamId::new(id()?).ok()?, AppId::new(id()?).ok()?),
        "user" => Scope::User(UserId::new(id()?).ok()?),
        "key" => Scope::Key(KeyId::new(id()?).ok()?),
        _ => return None,
    };
    parts.next().is_none().then_some(scope)
}
