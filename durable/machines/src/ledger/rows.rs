//! The ledger's rows. Field names are one letter long because every admission writes them.
//!
//! | key | row | written by |
//! |---|---|---|
//! | `s/org`, `s/team/T`, `s/app/T/A`, `s/user/U`, `s/key/K` | [`ScopeRow`]: sums, budgets and windows of one scope | admit, settle, release, expire |
//! | `o/REQUEST` | [`Reservation`], open | admit, extend; settle, release and expire delete it |
//! | `t/BUCKET/REQUEST` | [`Expired`]: a reservation that may still be corrected, kept for [`EXPIRED_KEPT`](super::EXPIRED_KEPT) | expire; settle and release when late |
//! | `q/SEQUENCE` | a record that waits to be shipped | settle, expire |
//! | `ship` | which records are in which batch | [`crate::outbox`] |
//!
//! The last sequence number is in `s/org`, which every settlement writes anyway.

use serde::{Deserialize, Serialize};
use sluice_units::{NanoUsd, RequestId, Span, Timestamp, Tokens};

use super::window::Counter;
use super::{EXPIRED_BUCKET, EXPIRED_BUCKETS};
use crate::limit::{Amount, Meter, Rule, Scope};
use crate::record::Record;
use crate::rows::{RowError, RowKey, V1, Work};

pub(crate) const SCOPES: &str = "s/";
pub(crate) const ORG: &str = "s/org";
pub(crate) const OPEN: &str = "o/";
pub(crate) const EXPIRED: &str = "t/";

/// How many windows a scope's row remembers beside those that the present rules name.
pub(super) const IDLE_WINDOWS_MAX: usize = 8;

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

/// An open reservation's row.
pub(super) fn open_key(request: &RequestId) -> RowKey {
    format!("{OPEN}{request}")
}

const fn expired_bucket(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(EXPIRED_BUCKET.as_micros())
}

/// Where a reservation that expires now is remembered. Ordered by time, so that the oldest are swept first.
pub(super) fn expired_key(now: Timestamp, request: &RequestId) -> RowKey {
    format!("{EXPIRED}{:010}/{request}", expired_bucket(now))
}

/// Where an expired reservation may be remembered: in any bucket that is kept, or in the next one if the clock stepped.
pub(super) fn expired_keys(now: Timestamp, request: &RequestId) -> impl Iterator<Item = RowKey> {
    let newest = expired_bucket(now).saturating_add(1);
    (0..=EXPIRED_BUCKETS.saturating_add(1))
        .map(move |age| format!("{EXPIRED}{:010}/{request}", newest.saturating_sub(age)))
}

/// Every row of an expired reservation with a smaller key may be deleted.
pub(super) fn expired_oldest(now: Timestamp) -> RowKey {
    format!(
        "{EXPIRED}{:010}/",
        expired_bucket(now).saturating_sub(EXPIRED_BUCKETS)
    )
}

/// When the bucket of this row may be deleted.
pub(super) fn expired_sweep_at(key: &str) -> Option<Timestamp> {
    let (bucket, _) = key.strip_prefix(EXPIRED)?.split_once('/')?;
    let bucket: i64 = bucket.parse().ok()?;
    let end = bucket.saturating_add(EXPIRED_BUCKETS).saturating_add(1);
    Some(Timestamp::from_micros(
        end.saturating_mul(EXPIRED_BUCKET.as_micros()),
    ))
}

/// One budget period at one scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spending(pub(super) NanoUsd, pub(super) NanoUsd);

impl Spending {
    pub(super) const fn spent(self) -> NanoUsd {
        self.0
    }

    pub(super) const fn reserved(self) -> NanoUsd {
        self.1
    }

    fn reserve(&mut self, cost: NanoUsd) {
        self.1 = self.1.plus(cost);
    }

    fn unreserve(&mut self, cost: NanoUsd) {
        self.1 = self.1.minus(cost).max(NanoUsd::ZERO);
    }

    fn spend(&mut self, cost: NanoUsd) {
        self.0 = self.0.plus(cost);
    }
}

/// All that is known of one scope.
///
/// **Invariant:** `day` and `month` are those of `at`, the time of the last admission, which never goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScopeRow {
    v: V1,
    /// When the last admission was.
    #[serde(rename = "t")]
    pub(super) at: Timestamp,
    /// Admissions since the beginning; the last one's ordinal.
    #[serde(rename = "n")]
    pub(super) requests: u64,
    /// Tokens settled since the beginning.
    #[serde(rename = "k")]
    pub(super) tokens: Tokens,
    /// Spent since the beginning.
    #[serde(rename = "s")]
    pub(super) spent: NanoUsd,
    /// Reserved by open requests, whatever their period.
    #[serde(rename = "r")]
    pub(super) reserved: NanoUsd,
    /// How many reservations are open.
    #[serde(rename = "o")]
    pub(super) open: u64,
    /// Spent and reserved in the UTC day of `at`.
    #[serde(rename = "d")]
    pub(super) day: Spending,
    /// Spent and reserved in the UTC month of `at`.
    #[serde(rename = "m")]
    pub(super) month: Spending,
    /// The windows.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) windows: Vec<Counter>,
    /// At the organisation: the last record's sequence number; 0 when there was none.
    #[serde(rename = "q", default, skip_serializing_if = "is_zero")]
    pub(crate) sequence: u64,
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ScopeRow {
    /// The scope as it stands, all zeros when it was never charged.
    pub(crate) fn load(work: &Work<'_>, key: &str) -> Result<Self, RowError> {
        Ok(work.load_hot(key)?.unwrap_or_default())
    }

    /// Writes the scope; all that a batch does to it becomes one text.
    pub(crate) fn store(self, work: &mut Work<'_>, key: &str) {
        work.put_hot(key.to_owned(), self);
    }

    /// Moves on to `at`: new periods begin empty.
    pub(super) fn roll(&mut self, at: Timestamp) {
        if at.day_start() > self.at.day_start() {
            self.day = Spending::default();
        }
        if at.month_start() > self.at.month_start() {
            self.month = Spending::default();
        }
        self.at = self.at.max(at);
    }

    /// The counter for a window, if something was counted in it.
    pub(super) fn window(&self, meter: Meter, window: Span) -> Option<&Counter> {
        self.windows
            .iter()
            .find(|counter| counter.is(meter, window))
    }

    /// Reserves the estimate under these rules; returns the admission's ordinal. The row has been rolled.
    pub(super) fn reserve(&mut self, rules: &[Rule], estimate: Amount) -> u64 {
        self.requests = self.requests.saturating_add(1);
        self.open = self.open.saturating_add(1);
        self.reserved = self.reserved.plus(estimate.cost);
        self.day.reserve(estimate.cost);
        self.month.reserve(estimate.cost);
        let mut named = Vec::new();
        for rule in rules {
            let Rule::Window { meter, window, .. } = *rule else {
                continue;
            };
            // Two rules of one meter and window share a counter.
            if named.contains(&(meter, window)) {
                continue;
            }
            named.push((meter, window));
            let mut counter = self.take_window(meter, window);
            counter.add(self.at, quantity(meter, estimate));
            self.windows.push(counter);
        }
        self.forget_idle(named.len());
        self.requests
    }

    fn take_window(&mut self, meter: Meter, window: Span) -> Counter {
        match self
            .windows
            .iter()
            .position(|counter| counter.is(meter, window))
        {
            Some(position) => self.windows.remove(position),
            None => Counter::new(meter, window, self.requests),
        }
    }

    /// Forgets the windows that no rule named and that hold nothing, or are too many. The named ones stand last.
    fn forget_idle(&mut self, named: usize) {
        let mut idle = self.windows.len().saturating_sub(named);
        let mut excess = idle.saturating_sub(IDLE_WINDOWS_MAX);
        let at = self.at;
        self.windows.retain_mut(|counter| {
            if idle == 0 {
                return true;
            }
            idle = idle.saturating_sub(1);
            counter.forget(at);
            let goes = counter.is_empty() || excess > 0;
            excess = excess.saturating_sub(1);
            !goes
        });
    }

    /// Replaces a reservation by what was used. A charge lands in the period in which it was reserved.
    pub(super) fn settle(&mut self, held: &Reservation, ordinal: u64, is: Amount) {
        self.unreserve(held);
        self.spend(held, is.cost);
        self.tokens = self.tokens.plus(is.tokens);
        self.correct(Meter::Tokens, held, ordinal, is.tokens.count());
    }

    /// Undoes a reservation. The admission stays counted in the sum of requests, not in the windows.
    pub(super) fn release(&mut self, held: &Reservation, ordinal: u64) {
        self.unreserve(held);
        self.correct(Meter::Tokens, held, ordinal, 0);
        self.correct(Meter::Requests, held, ordinal, 0);
    }

    /// Replaces the charge of an expired reservation by the truth.
    pub(super) fn replace(&mut self, held: &Reservation, ordinal: u64, is: Amount) {
        self.spend(held, is.cost.minus(held.estimate.cost));
        self.tokens = self.tokens.minus(held.estimate.tokens).plus(is.tokens);
        self.correct(Meter::Tokens, held, ordinal, is.tokens.count());
    }

    fn unreserve(&mut self, held: &Reservation) {
        let cost = held.estimate.cost;
        self.open = self.open.saturating_sub(1);
        self.reserved = self.reserved.minus(cost).max(NanoUsd::ZERO);
        if self.same_day(held) {
            self.day.unreserve(cost);
        }
        if self.same_month(held) {
            self.month.unreserve(cost);
        }
    }

    fn spend(&mut self, held: &Reservation, cost: NanoUsd) {
        self.spent = self.spent.plus(cost);
        if self.same_day(held) {
            self.day.spend(cost);
        }
        if self.same_month(held) {
            self.month.spend(cost);
        }
    }

    fn same_day(&self, held: &Reservation) -> bool {
        self.at.day_start() == held.at.day_start()
    }

    fn same_month(&self, held: &Reservation) -> bool {
        self.at.month_start() == held.at.month_start()
    }

    fn correct(&mut self, meter: Meter, held: &Reservation, ordinal: u64, is: u64) {
        // Not at the present time: should the clock step back, an admission must find what still counts then.
        let at = self.at;
        for counter in &mut self.windows {
            if counter.meter == meter && counter.since <= ordinal {
                counter.correct(at, held.at, quantity(meter, held.estimate), is);
            }
        }
    }
}

/// What an amount is on a meter.
pub(super) const fn quantity(meter: Meter, amount: Amount) -> u64 {
    match meter {
        Meter::Requests => 1,
        Meter::Tokens => amount.tokens.count(),
    }
}

/// A reservation, as it stands in its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(super) v: V1,
    /// When it was made, in the ledger's time.
    #[serde(rename = "a")]
    pub(super) at: Timestamp,
    /// When it expires.
    #[serde(rename = "x")]
    pub(super) deadline: Timestamp,
    /// What is reserved.
    #[serde(rename = "e")]
    pub(super) estimate: Amount,
    /// The rows of the scopes at which it is reserved, each with the admission's ordinal there.
    #[serde(rename = "s")]
    pub(super) scopes: Vec<(RowKey, u64)>,
    /// The record, should nobody come back.
    #[serde(rename = "r")]
    pub(super) draft: Record,
}

/// The one field of a [`Reservation`] that says when it expires, for those who look through many.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Deadline {
    #[expect(dead_code, reason = "a row of another version must not decode")]
    v: V1,
    #[serde(rename = "x")]
    pub(super) at: Timestamp,
}

/// A reservation that expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
pub(super) fn find(
    work: &Work<'_>,
    now: Timestamp,
    request: &RequestId,
) -> Result<Found, RowError> {
    if let Some(open) = work.load(&open_key(request))? {
        return Ok(Found::Open(Box::new(open)));
    }
    for key in expired_keys(now, request) {
        if let Some(expired) = work.load(&key)? {
            return Ok(Found::Expired(key, expired));
        }
    }
    Ok(Found::Nothing)
}
