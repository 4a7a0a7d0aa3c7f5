//! The parent's side of a lease to a child ledger: what it holds, what came to an end there, and those who wait there.
//!
//! What a child holds counts as leased, what it has drawn and not settled as reserved, both until [`POOL_GRACE`] after
//! the child stops to draw. What came to an end is charged when it is heard of, once for each number.
//!
//! Those who wait in the child are looked at one after another as if they were admitted here: each gets all that it
//! needs, on top of what isolates hold of the child, or a denial. A denial says what is to be borrowed, where that would
//! do: the child asks for it under rules that say so.

use sluice_units::Timestamp;

use super::admit::{Candidate, binding, candidates, headroom};
use super::parent::{Need, POOL_GRACE, POOL_LIFE, Upward};
use super::rows::{LeaseRow, ORG};
use super::scope::ScopeRow;
use super::settle::tell;
use super::{Denial, Grant, LEASE_KEPT, LeaseRequest, Reply, lease, part};
use crate::limit::{Amount, Rule, Slice};
use crate::rows::{RowError, Work};

/// Carries out a child's command.
pub(super) fn lend(
    work: &mut Work<'_>,
    now: Timestamp,
    request: &LeaseRequest,
    upward: &Upward,
) -> Result<Reply, RowError> {
    let (key, row) = lease::stored(work, request)?;
    let candidates = candidates(&request.scopes);
    let at = lease::time(work, now, &row, &candidates)?;
    if request.number <= row.number {
        return Ok(Reply::Leased(Grant {
            rest: row.rest,
            life: row.until.since(at),
            headroom: headroom(work, &candidates, at)?,
            denial: None,
        }));
    }
    let is_known = row.number > 0;
    if !is_known && upward.closes {
        return Ok(Reply::Leased(Grant::default()));
    }
    let held = if at < row.until.plus(POOL_GRACE) {
        row.rest
    } else {
        Slice::NONE
    };
    for (key, rules) in &row.scopes {
        let scope: &mut ScopeRow = work.hot_mut(key)?;
        scope.unlend(row.until.plus(POOL_GRACE), rules, (row.rest, row.open));
    }
    take_over(work, at, &candidates, upward)?;
    let until = at.plus(POOL_LIFE);
    let ends = until.plus(POOL_GRACE);
    each(work, &candidates, |scope, rules| {
        scope.roll(at, rules);
        scope.lend(ends, rules, (Slice::NONE, upward.open));
    })?;
    let keep = held.min(request.keep);
    let more = lease::share(work, at, &candidates, request.want, None)?;
    let mut rest = keep.max(more);
    let denial = needed(work, now, at, &candidates, upward, &mut rest)?;
    each(work, &candidates, |scope, rules| {
        scope.lend(ends, rules, (rest, Slice::NONE));
    })?;
    let stays = !upward.closes && (is_known || !upward.used.is_none());
    if !stays {
        work.hot_mut::<ScopeRow>(ORG)?
            .due_by(until.plus(LEASE_KEPT));
    }
    *work.hot_mut(&key)? = LeaseRow {
        until,
        number: request.number,
        rest,
        open: upward.open,
        stays,
        scopes: lease::remembered(&candidates),
        ..row
    };
    Ok(Reply::Leased(Grant {
        rest,
        life: POOL_LIFE,
        headroom: headroom(work, &candidates, at)?,
        denial: denial.map(Box::new),
    }))
}

fn each(
    work: &mut Work<'_>,
    candidates: &[Candidate<'_>],
    change: impl Fn(&mut ScopeRow, &[Rule]),
) -> Result<(), RowError> {
    for candidate in candidates {
        change(work.hot_mut(&candidate.key)?, &candidate.rules);
    }
    Ok(())
}

/// Charges what came to an end in the child, and tells of the lines that budgets have crossed.
fn take_over(
    work: &mut Work<'_>,
    at: Timestamp,
    candidates: &[Candidate<'_>],
    upward: &Upward,
) -> Result<(), RowError> {
    if upward.used.is_none() {
        return Ok(());
    }
    for candidate in candidates {
        let scope: &mut ScopeRow = work.hot_mut(&candidate.key)?;
        scope.take_over(at, &candidate.rules, &upward.used);
        let crossed = scope.crossed_now(upward.used.cost);
        let whose = (at, &upward.org, &upward.region);
        tell(work, whose, (&candidate.key, &crossed))?;
    }
    Ok(())
}

/// Adds to `rest` what those who wait need, one after another; why the first that gets nothing gets nothing.
fn needed(
    work: &mut Work<'_>,
    now: Timestamp,
    at: Timestamp,
    candidates: &[Candidate<'_>],
    upward: &Upward,
    rest: &mut Slice,
) -> Result<Option<Denial>, RowError> {
    let mut denied: Option<Denial> = None;
    let mut total = upward.held.min(*rest);
    for need in &upward.needs {
        let with = total.plus(need.slice);
        if rest.covers(with) {
            total = with;
            continue;
        }
        match binding(work, candidates, now, at, with)? {
            None => total = with,
            Some(denial) => {
                let fits = fitting(work, at, candidates, (total, *need), &denial)?;
                total = fits.map_or(total, |amount| total.plus(Slice::of(amount)));
                if denied.is_none() {
                    denied = Some(Denial {
                        headroom: headroom(work, candidates, at)?,
                        ..denial
                    });
                }
            }
        }
        *rest = rest.max(total);
    }
    Ok(denied)
}

/// The part of a request that fits where the whole of it does not.
fn fitting(
    work: &mut Work<'_>,
    at: Timestamp,
    candidates: &[Candidate<'_>],
    (total, need): (Slice, Need),
    denial: &Denial,
) -> Result<Option<Amount>, RowError> {
    let is_final = denial.leases_end.is_none() && denial.borrows.is_empty();
    let Some(part) = need.part.filter(|_| is_final) else {
        return Ok(None);
    };
    let whole = Amount {
        tokens: need.slice.tokens,
        cost: need.slice.cost,
    };
    let found = part::fitting(work, candidates, at, (part, whole), (total, None))?;
    Ok(found.map(|(_, amount)| amount))
}
