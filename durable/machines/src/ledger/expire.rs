//! Expiry: a reservation that nobody came back for is charged as it stood; what is long closed is forgotten.

use sluice_units::Timestamp;

use super::rows::{
    CLOSED, Closed, End, OPEN, Reservation, ScopeRow, closed_key, closed_oldest, closed_sweep_at,
};
use super::{EXPIRE_MAX, OPEN_SCAN_MAX, SWEEP_MAX, queue};
use crate::limit::Amount;
use crate::record::{Outcome, Record, RecordKind, UsageSource};
use crate::rows::{Read, RowError, Rows, V1, Work, WriteSet, decode};

/// What [`expire`] and [`next_deadline`] must see first; [`scope_reads`](super::scope_reads) names the rest.
#[must_use]
pub fn expire_reads() -> Vec<Read> {
    vec![
        Read::prefix(OPEN, OPEN_SCAN_MAX),
        Read::prefix(CLOSED, SWEEP_MAX),
    ]
}

/// Charges the reservations whose deadline has passed, at most [`EXPIRE_MAX`] of them, each its estimate, and forgets
/// what has been closed for long.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn expire(rows: &Rows, now: Timestamp) -> Result<WriteSet, RowError> {
    let mut work = Work::new(rows);
    let mut due = Vec::new();
    for (key, text) in rows.with_prefix(OPEN) {
        let held: Reservation = decode(key, text)?;
        if held.deadline <= now {
            due.push((held.deadline, key, held));
        }
    }
    due.sort_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)));
    for (_, key, held) in due.into_iter().take(EXPIRE_MAX) {
        charge(&mut work, now, key, held)?;
    }
    let oldest = closed_oldest(now);
    for (key, _) in rows.with_prefix(CLOSED) {
        if key >= oldest.as_str() {
            break;
        }
        work.delete(key);
    }
    Ok(work.finish())
}

fn charge(
    work: &mut Work<'_>,
    now: Timestamp,
    key: &str,
    held: Reservation,
) -> Result<(), RowError> {
    let charged = Amount {
        tokens: held.estimate.tokens,
        cost: held.estimate.cost,
    };
    for (key, ordinal) in &held.scopes {
        let mut row = ScopeRow::load(work, key)?;
        row.settle(&held, *ordinal, charged);
        work.put(key.clone(), &row)?;
    }
    let record = Record {
        kind: RecordKind::Expired,
        outcome: Outcome::Unknown,
        usage_source: UsageSource::Reserved,
        cost_nano_usd: charged.cost,
        ..held.draft.clone()
    };
    work.delete(key);
    let closed = Closed {
        v: V1,
        end: End::Expired,
        charged: Some(Box::new(held)),
    };
    work.put(closed_key(now, &record.request), &closed)?;
    queue(work, &record)
}

/// When [`expire`] has something to do next; in the past when it has something to do now.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn next_deadline(rows: &Rows) -> Result<Option<Timestamp>, RowError> {
    let mut next = rows
        .with_prefix(CLOSED)
        .next()
        .and_then(|(key, _)| closed_sweep_at(key));
    for (key, text) in rows.with_prefix(OPEN) {
        let held: Reservation = decode(key, text)?;
        next = Some(next.map_or(held.deadline, |next| next.min(held.deadline)));
    }
    Ok(next)
}
