//! Expiry: a reservation that nobody came back for is charged as it stood; what expired long ago is forgotten.

use sluice_units::Timestamp;

use super::rows::{
    Deadline, EXPIRED, Expired, OPEN, Reservation, ScopeRow, expired_key, expired_oldest,
    expired_sweep_at,
};
use super::{EXPIRE_MAX, OPEN_SCAN_MAX, SWEEP_MAX, not_among, queue};
use crate::limit::Amount;
use crate::record::{Outcome, Record, RecordKind, UsageSource};
use crate::rows::{Read, RowError, Rows, V1, Work, WriteSet, decode};

/// What [`expire`] must see first; [`expire_scope_reads`] names the rest.
#[must_use]
pub fn expire_reads() -> Vec<Read> {
    vec![
        Read::prefix(OPEN, OPEN_SCAN_MAX),
        Read::prefix(EXPIRED, SWEEP_MAX),
    ]
}

/// What [`next_deadline`] must see: less than [`expire`] must.
#[must_use]
pub fn deadline_reads() -> Vec<Read> {
    vec![Read::prefix(OPEN, OPEN_SCAN_MAX), Read::prefix(EXPIRED, 1)]
}

/// The scopes of the reservations that [`expire`] will charge.
///
/// # Errors
/// [`RowError`] when a reservation's row is not what this code writes.
pub fn expire_scope_reads(rows: &Rows, now: Timestamp) -> Result<Vec<Read>, RowError> {
    let scopes = due(rows, now)?
        .into_iter()
        .flat_map(|(_, held)| held.scopes);
    Ok(not_among(rows, scopes.map(|(key, _)| key).collect()))
}

/// The reservations whose deadline has passed, the oldest deadline first, at most [`EXPIRE_MAX`].
fn due(rows: &Rows, now: Timestamp) -> Result<Vec<(&str, Reservation)>, RowError> {
    let mut due = Vec::new();
    for (key, text) in rows.with_prefix(OPEN) {
        let deadline = decode::<Deadline>(key, text)?.at;
        if deadline <= now {
            due.push((deadline, key, text));
        }
    }
    // Stable: of equal deadlines the smaller key comes first.
    due.sort_by_key(|(deadline, ..)| *deadline);
    due.truncate(EXPIRE_MAX);
    due.into_iter()
        .map(|(_, key, text)| Ok((key, decode(key, text)?)))
        .collect()
}

/// Charges the reservations whose deadline has passed, at most [`EXPIRE_MAX`] of them, each its estimate, and forgets
/// what expired long ago.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn expire(rows: &Rows, now: Timestamp) -> Result<WriteSet, RowError> {
    let mut work = Work::new(rows);
    for (key, held) in due(rows, now)? {
        charge(&mut work, now, key, held)?;
    }
    let oldest = expired_oldest(now);
    for (key, _) in rows.with_prefix(EXPIRED) {
        if key >= oldest.as_str() {
            break;
        }
        work.delete(key);
    }
    work.finish()
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
        row.store(work, key);
    }
    let record = Record {
        kind: RecordKind::Expired,
        outcome: Outcome::Unknown,
        usage_source: UsageSource::Reserved,
        cost_nano_usd: charged.cost,
        ..held.draft.clone()
    };
    work.delete(key);
    let expired = Expired {
        v: V1,
        charged: Some(Box::new(held)),
    };
    work.put(expired_key(now, &record.request), &expired)?;
    queue(work, &record)
}

/// When [`expire`] has something to do next; in the past when it has something to do now.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn next_deadline(rows: &Rows) -> Result<Option<Timestamp>, RowError> {
    let mut next = rows
        .with_prefix(EXPIRED)
        .next()
        .and_then(|(key, _)| expired_sweep_at(key));
    for (key, text) in rows.with_prefix(OPEN) {
        let deadline = decode::<Deadline>(key, text)?.at;
        next = Some(next.map_or(deadline, |next| next.min(deadline)));
    }
    Ok(next)
}
