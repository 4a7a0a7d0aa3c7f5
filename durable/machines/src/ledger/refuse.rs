//! A request that was refused: on record, and charged to nobody.
//!
//! A refusal touches no scope's numbers. It is remembered like an expired reservation that was corrected, so that one
//! that arrives twice is recorded once.

use sluice_units::Timestamp;

use super::rows::{Expired, Found, ORG, Sweep, expired_key, find, sweep_key, sweep_of};
use super::scope::ScopeRow;
use super::{REFUSALS_WAITING_MAX, Reply};
use crate::outbox;
use crate::record::Refusal;
use crate::rows::{RowError, V1, Work};

/// Queues the record of a refusal, once. Where too much waits to be shipped, it is only counted; the next one that is
/// recorded says how many those were.
pub(super) fn refuse(
    work: &mut Work<'_>,
    now: Timestamp,
    refusal: &Refusal,
) -> Result<Reply, RowError> {
    let request = &refusal.request;
    let Found::Nothing = find(work, request)? else {
        return Ok(Reply::Done);
    };
    let last = work.hot::<ScopeRow>(ORG)?.sequence;
    let waiting = outbox::waiting(work, last)?;
    let org: &mut ScopeRow = work.hot_mut(ORG)?;
    if waiting >= REFUSALS_WAITING_MAX {
        org.withheld = org.withheld.saturating_add(refusal.count);
        return Ok(Reply::Done);
    }
    let withheld = std::mem::take(&mut org.withheld);
    org.sequence = org.sequence.saturating_add(1);
    let sequence = org.sequence;
    let sweep = sweep_key(now, request);
    if let Some((at, _)) = sweep_of(&sweep) {
        org.due_by(at);
    }
    let remembered = Expired {
        v: V1,
        charged: None,
    };
    work.put(expired_key(request), &remembered)?;
    work.put(sweep, &Sweep::default())?;
    let refusal = Refusal {
        withheld,
        ..refusal.clone()
    };
    outbox::queue(work, sequence, &refusal)?;
    Ok(Reply::Done)
}
