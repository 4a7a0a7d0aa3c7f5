//! The end of a reservation that somebody came back for, in time or late.

use sluice_units::{NanoUsd, OrgId, Region, RequestId, Span, Timestamp, Usage};

use super::rows::{Expired, Found, ORG, Reservation, find, open_key, path};
use super::scope::ScopeRow;
use super::{Reply, chargeable, deadline, pool, queue};
use crate::events::{self, Crossing};
use crate::limit::Amount;
use crate::record::{Outcome, Record, RecordKind, UsageSource};
use crate::rows::{RowError, RowKey, V1, Work};

/// Moves an open reservation's deadline on; never back.
pub(super) fn extend(
    work: &mut Work<'_>,
    now: Timestamp,
    request: &RequestId,
    ttl: Span,
) -> Result<Reply, RowError> {
    let Found::Open(mut held) = find(work, request)? else {
        return Ok(Reply::Unknown);
    };
    let later = deadline(now, ttl);
    if later > held.deadline {
        held.deadline = later;
        work.put(open_key(request), &held)?;
    }
    Ok(Reply::Done)
}

/// Replaces a reservation by what was used, once.
pub(super) fn settle(
    work: &mut Work<'_>,
    now: Timestamp,
    actual: Amount,
    record: &Record,
) -> Result<Reply, RowError> {
    let actual = chargeable(actual);
    match find(work, &record.request)? {
        Found::Open(held) => {
            for charge in &held.scopes {
                let key = &charge.0;
                let row: &mut ScopeRow = work.hot_mut(key)?;
                row.settle(now, &held, charge, actual);
                let crossed = row.crossed(&held, actual.cost);
                tell(work, (now, &record.org, &record.region), (key, &crossed))?;
            }
            pool::settle(work, now, &held, actual)?;
            work.delete(&open_key(&record.request));
            let record = Record {
                kind: RecordKind::Settled,
                cost_nano_usd: actual.cost,
                overrun: held.overrun,
                borrowed: held.loans(),
                ..record.clone()
            };
            queue(work, record)?;
            Ok(Reply::Done)
        }
        Found::Expired(key, expired) => {
            if let Some(charged) = expired.charged {
                correct(work, now, key, &charged, actual, record)?;
            }
            Ok(Reply::Done)
        }
        Found::Nothing => Ok(Reply::Unknown),
    }
}

/// Undoes a reservation whose request never reached a provider.
pub(super) fn release(
    work: &mut Work<'_>,
    now: Timestamp,
    request: &RequestId,
) -> Result<Reply, RowError> {
    match find(work, request)? {
        Found::Open(held) => undo(work, now, request, &held)?,
        Found::Expired(key, expired) => {
            if let Some(charged) = expired.charged {
                let record = Record {
                    usage: Usage::default(),
                    usage_source: UsageSource::None,
                    outcome: Outcome::Failed,
                    ..charged.draft.read(&key)?
                };
                correct(work, now, key, &charged, Amount::default(), &record)?;
            }
        }
        Found::Nothing => return Ok(Reply::Unknown),
    }
    Ok(Reply::Done)
}

/// Takes an open reservation back.
pub(super) fn undo(
    work: &mut Work<'_>,
    now: Timestamp,
    request: &RequestId,
    held: &Reservation,
) -> Result<(), RowError> {
    for charge in &held.scopes {
        let row: &mut ScopeRow = work.hot_mut(&charge.0)?;
        row.release(held, charge);
    }
    pool::release(work, now, held)?;
    work.delete(&open_key(request));
    Ok(())
}

/// Replaces an expired reservation's charge by the truth. The record's cost is the difference.
fn correct(
    work: &mut Work<'_>,
    now: Timestamp,
    key: RowKey,
    charged: &Reservation,
    actual: Amount,
    record: &Record,
) -> Result<(), RowError> {
    for charge in &charged.scopes {
        let key = &charge.0;
        let row: &mut ScopeRow = work.hot_mut(key)?;
        row.replace(now, charged, charge, actual);
        let crossed = row.crossed(charged, actual.cost);
        tell(work, (now, &record.org, &record.region), (key, &crossed))?;
    }
    pool::replace(work, now, charged, actual)?;
    let corrected = Expired {
        v: V1,
        charged: None,
    };
    work.put(key, &corrected)?;
    let difference: NanoUsd = actual.cost.minus(charged.estimate.cost);
    let record = Record {
        kind: RecordKind::Correction,
        cost_nano_usd: difference,
        overrun: charged.overrun,
        borrowed: charged.loans(),
        ..record.clone()
    };
    queue(work, record)
}

/// Queues an event for each line that budgets of a scope have crossed.
pub(super) fn tell(
    work: &mut Work<'_>,
    whose: (Timestamp, &OrgId, &Region),
    (scope, crossed): (&str, &[Crossing]),
) -> Result<(), RowError> {
    for crossing in crossed {
        let org: &mut ScopeRow = work.hot_mut(ORG)?;
        org.events = org.events.saturating_add(1);
        let sequence = org.events;
        events::queue(work, sequence, whose, (path(scope), crossing))?;
    }
    Ok(())
}
