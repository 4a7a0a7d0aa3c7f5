//! What happens when nobody comes: a reservation is charged as it stood; what expired or ended long ago is forgotten.
//!
//! The organisation's row says before when nothing is due, so that nobody looks through all that is open without need.

use std::collections::BTreeSet;

use sluice_units::{Span, Timestamp};

use super::rows::{
    Charge, Deadline, Expired, LEASES, LeaseEnd, OPEN, ORG, Reservation, SWEEPS, Sweep,
    expired_key, sweep_key, sweep_of,
};
use super::scope::ScopeRow;
use super::settle::tell;
use super::{EXPIRE_MAX, LEASE_KEPT, OPEN_SCAN_MAX, SWEEP_MAX, load::not_among, pool, queue};
use crate::record::{Outcome, Record, RecordKind, UsageSource};
use crate::rows::{Read, RowError, RowKey, Rows, V1, Work, WriteSet, decode};

/// When to look again where there was more than could be looked through.
const LOOK_AGAIN: Span = Span::from_seconds(1);

/// What [`next_deadline`] must see, and what says whether [`expire`] has anything to do.
#[must_use]
pub fn deadline_reads() -> Vec<Read> {
    vec![Read::Row(ORG.to_owned())]
}

/// Reads all that [`expire`] must see; `read` answers several reads at once.
///
/// # Errors
/// What `read` says, or a [`RowError`].
pub fn load_due<E: From<RowError>>(
    now: Timestamp,
    mut read: impl FnMut(&[Read]) -> Result<Vec<(RowKey, String)>, E>,
) -> Result<Rows, E> {
    let mut rows = Rows::new();
    rows.extend(read(&deadline_reads())?);
    if next_deadline(&rows)?.is_none_or(|due| due > now) {
        return Ok(rows);
    }
    rows.extend(read(&[
        Read::prefix(OPEN, OPEN_SCAN_MAX),
        Read::prefix(LEASES, OPEN_SCAN_MAX),
        Read::prefix(SWEEPS, SWEEP_MAX),
    ])?);
    let mut keys = BTreeSet::new();
    for (_, held) in due(&rows, now)? {
        keys.extend(held.scopes.into_iter().map(|Charge(key, ..)| key));
        keys.extend(held.pool.map(|(key, _)| key));
    }
    let scopes = not_among(&rows, keys);
    rows.extend(read(&scopes)?);
    Ok(rows)
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
/// what expired or ended long ago. `rows` holds what [`load_due`] has read.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn expire(rows: &Rows, now: Timestamp) -> Result<WriteSet, RowError> {
    let mut work = Work::new(rows);
    if next_deadline(rows)?.is_none_or(|due| due > now) {
        return work.finish();
    }
    let mut charged = 0_usize;
    for (key, held) in due(rows, now)? {
        charge(&mut work, now, key, held)?;
        charged = charged.saturating_add(1);
    }
    forget(&mut work, rows, now)?;
    let next = next_of_all(&work, now, charged)?;
    work.hot_mut::<ScopeRow>(ORG)?.due = next;
    work.finish()
}

fn charge(
    work: &mut Work<'_>,
    now: Timestamp,
    key: &str,
    held: Reservation,
) -> Result<(), RowError> {
    let mut crossed = Vec::new();
    for charge in &held.scopes {
        let key = &charge.0;
        let row: &mut ScopeRow = work.hot_mut(key)?;
        row.settle(now, &held, charge, held.estimate);
        crossed.push((key, row.crossed(&held, held.estimate.cost)));
    }
    let record = Record {
        kind: RecordKind::Expired,
        outcome: Outcome::Unknown,
        usage_source: UsageSource::Reserved,
        cost_nano_usd: held.estimate.cost,
        ..held.draft.read(key)?
    };
    let whose = (now, &record.org, &record.region);
    for (scope, crossed) in crossed {
        tell(work, whose, (scope, &crossed))?;
    }
    pool::settle(work, now, &held, held.estimate)?;
    work.delete(key);
    let expired = Expired {
        v: V1,
        charged: Some(Box::new(held)),
    };
    work.put(expired_key(&record.request), &expired)?;
    work.put(sweep_key(now, &record.request), &Sweep::default())?;
    queue(work, record)
}

/// Forgets leases that are long over, and reservations that expired long ago.
fn forget(work: &mut Work<'_>, rows: &Rows, now: Timestamp) -> Result<(), RowError> {
    for (key, text) in rows.with_prefix(LEASES) {
        let end: LeaseEnd = decode(key, text)?;
        if !end.stays && end.until.plus(LEASE_KEPT) <= now {
            work.delete(key);
        }
    }
    for (key, _) in rows.with_prefix(SWEEPS) {
        match sweep_of(key) {
            Some((at, forgotten)) if at <= now => {
                work.delete(key);
                work.delete_unread(forgotten);
            }
            Some(_) => break,
            None => work.delete(key),
        }
    }
    Ok(())
}

/// A moment before which nothing is due, of all that is left.
fn next_of_all(
    work: &Work<'_>,
    now: Timestamp,
    charged: usize,
) -> Result<Option<Timestamp>, RowError> {
    let rows = work.snapshot()?;
    let mut next: Option<Timestamp> = None;
    let mut by = |at: Timestamp| next = Some(next.map_or(at, |next| next.min(at)));
    let scan_max = usize::try_from(OPEN_SCAN_MAX).unwrap_or(usize::MAX);
    let mut looked_at = charged;
    for (key, text) in rows.with_prefix(OPEN) {
        by(decode::<Deadline>(key, text)?.at);
        looked_at = looked_at.saturating_add(1);
    }
    let mut leases = 0_usize;
    for (key, text) in rows.with_prefix(LEASES) {
        let end: LeaseEnd = decode(key, text)?;
        if !end.stays {
            by(end.until.plus(LEASE_KEPT));
        }
        leases = leases.saturating_add(1);
    }
    if looked_at >= scan_max || leases >= scan_max {
        by(now.plus(LOOK_AGAIN));
    }
    if let Some((key, _)) = rows.with_prefix(SWEEPS).next() {
        by(sweep_of(key).map_or(now, |(at, _)| at));
    }
    // They are in the order of their times: behind one that stays there is nothing to do.
    let sweep_max = usize::try_from(SWEEP_MAX).unwrap_or(usize::MAX);
    let mut seen = work.base().with_prefix(SWEEPS);
    let is_all_gone = seen.all(|(key, _)| rows.get(key).is_none());
    if is_all_gone && work.base().with_prefix(SWEEPS).count() >= sweep_max {
        by(now.plus(LOOK_AGAIN));
    }
    Ok(next)
}

/// A moment before which [`expire`] has nothing to do; in the past when it may have something to do now.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn next_deadline(rows: &Rows) -> Result<Option<Timestamp>, RowError> {
    let mut work = Work::new(rows);
    Ok(work.hot::<ScopeRow>(ORG)?.due)
}
