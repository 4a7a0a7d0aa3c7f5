//! The end of a reservation that somebody came back for, in time or late.

use sluice_units::{NanoUsd, RequestId, Span, Timestamp, Usage};

use super::rows::{Closed, End, Found, Reservation, ScopeRow, closed_key, find, open_key};
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
            close(work, now, &record.request, End::Settled)?;
            let record = Record {
                kind: RecordKind::Settled,
                cost_nano_usd: actual.cost,
                ..record.clone()
            };
            queue(work, &record)?;
            Ok(Reply::Done)
        }
        Found::Closed(key, closed) => match (closed.end, closed.charged) {
            (End::Expired, Some(charged)) => {
                correct(work, key, End::Settled, &charged, actual, record)?;
                Ok(Reply::Done)
            }
            (End::Settled, _) => Ok(Reply::Done),
            (End::Released | End::Expired, _) => Ok(Reply::Unknown),
        },
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
            close(work, now, request, End::Released)?;
        }
        Found::Closed(key, closed) => {
            if let (End::Expired, Some(charged)) = (closed.end, closed.charged) {
                let record = Record {
                    usage: Usage::default(),
                    usage_source: UsageSource::None,
                    outcome: Outcome::Failed,
                    ..charged.draft.clone()
                };
                let nothing = Amount::default();
                correct(work, key, End::Released, &charged, nothing, &record)?;
            }
        }
        Found::Nothing => return Ok(Reply::Unknown),
    }
    Ok(Reply::Done)
}

fn close(
    work: &mut Work<'_>,
    now: Timestamp,
    request: &RequestId,
    end: End,
) -> Result<(), RowError> {
    work.delete(&open_key(request));
    let closed = Closed {
        v: V1,
        end,
        charged: None,
    };
    work.put(closed_key(now, request), &closed)
}

/// Replaces an expired reservation's charge by the truth. The record's cost is the difference.
fn correct(
    work: &mut Work<'_>,
    key: RowKey,
    end: End,
    charged: &Reservation,
    actual: Amount,
    record: &Record,
) -> Result<(), RowError> {
    for (key, ordinal) in &charged.scopes {
        let mut row = ScopeRow::load(work, key)?;
        row.replace(charged, *ordinal, actual);
        row.store(work, key);
    }
    let closed = Closed {
        v: V1,
        end,
        charged: None,
    };
    work.put(key, &closed)?;
    let difference: NanoUsd = actual.cost.minus(charged.estimate.cost);
    let record = Record {
        kind: RecordKind::Correction,
        cost_nano_usd: difference,
        ..record.clone()
    };
    queue(work, &record)
}
