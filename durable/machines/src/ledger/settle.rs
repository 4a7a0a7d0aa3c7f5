//! The end of a reservation that somebody came back for, in time or late.

use sluice_units::{NanoUsd, RequestId, Span, Timestamp, Usage};

use super::rows::{Expired, Found, Reservation, ScopeRow, find, open_key};
use super::{Reply, chargeable, deadline, queue};
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
    let Found::Open(mut held) = find(work, now, request)? else {
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
    match find(work, now, &record.request)? {
        Found::Open(held) => {
            for (key, ordinal) in &held.scopes {
                let mut row = ScopeRow::load(work, key)?;
                row.settle(&held, *ordinal, actual);
                row.store(work, key);
            }
            work.delete(&open_key(&record.request));
            let record = Record {
                kind: RecordKind::Settled,
                cost_nano_usd: actual.cost,
                ..record.clone()
            };
            queue(work, &record)?;
            Ok(Reply::Done)
        }
        Found::Expired(key, expired) => {
            if let Some(charged) = expired.charged {
                correct(work, key, &charged, actual, record)?;
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
    match find(work, now, request)? {
        Found::Open(held) => {
            for (key, ordinal) in &held.scopes {
                let mut row = ScopeRow::load(work, key)?;
                row.release(&held, *ordinal);
                row.store(work, key);
            }
            work.delete(&open_key(request));
        }
        Found::Expired(key, expired) => {
            if let Some(charged) = expired.charged {
                let record = Record {
                    usage: Usage::default(),
                    usage_source: UsageSource::None,
                    outcome: Outcome::Failed,
                    ..charged.draft.clone()
                };
                correct(work, key, &charged, Amount::default(), &record)?;
            }
        }
        Found::Nothing => return Ok(Reply::Unknown),
    }
    Ok(Reply::Done)
}

/// Replaces an expired reservation's charge by the truth. The record's cost is the difference.
fn correct(
    work: &mut Work<'_>,
    key: RowKey,
    charged: &Reservation,
    actual: Amount,
    record: &Record,
) -> Result<(), RowError> {
    for (key, ordinal) in &charged.scopes {
        let mut row = ScopeRow::load(work, key)?;
        row.replace(charged, *ordinal, actual);
        row.store(work, key);
    }
    let corrected = Expired {
        v: V1,
        charged: None,
    };
    work.put(key, &corrected)?;
    let difference: NanoUsd = actual.cost.minus(charged.estimate.cost);
    let record = Record {
        kind: RecordKind::Correction,
        cost_nano_usd: difference,
        ..record.clone()
    };
    queue(work, &record)
}
