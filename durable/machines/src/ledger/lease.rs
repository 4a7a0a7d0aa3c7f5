//! Leases: a slice of the allowance that one isolate draws from without asking, and the intents that tell of it.
//!
//! A slice is leased at every scope or at none, and counts there as if it were charged, until it is drawn, given back,
//! or over. One command grants, renews and gives back: it says what the isolate keeps of what it holds and how much it
//! wants in all. It is answered with what the isolate then holds; so an answer that is lost, or comes twice, does no
//! harm. Of what remains under the tightest rule a lease takes one [`SHARE`]th at most; where that is not worth it, it
//! takes nothing, and requests are admitted one by one.
//!
//! The isolate draws until [`LEASE_GRACE`] before the end. An intent that arrives after the end, or for more than was
//! leased, is charged all the same, because the provider has been called; its reservation says that nothing covered it.
//!
//! Intents of one lease are numbered and arrive in order: one whose number has been seen was charged before. A lease that
//! is forgotten stays forgotten.
//!
//! A request that is drawn may have been admitted besides, by an `Admit` that was denied once and came again. It has one
//! reservation all the same: what was drawn for it is free again.

use sluice_units::{NanoUsd, RequestId, Span, Timestamp, Tokens};

use super::admit::{Candidate, candidates, common_time, headroom, open};
use super::pool::PoolRow;
use super::rows::{Charge, Draft, Found, LeaseRow, ORG, Reservation, find, lease_key, pool_key};
use super::scope::ScopeRow;
use super::{
    Grant, Intent, LEASE_GRACE, LEASE_KEPT, LEASE_LIFE, LeaseRequest, Reply, SHARE, chargeable,
    deadline, lend, pool, settle,
};
use crate::limit::{Amount, Meter, Rule, Slice, nanos};
use crate::record::Record;
use crate::rows::{RowError, RowKey, V1, Work};

/// Leases end together, at multiples of this, so that a scope remembers few ends.
const END_STEP: Span = Span::from_seconds(1);
/// A slice for fewer requests than this is not worth a lease.
const REQUESTS_MIN: u64 = 2;
/// A slice that is drawn from for less than this is not worth a lease.
const LIFE_MIN: Span = Span::from_seconds(1);

/// Grants, renews, shrinks or takes back a lease.
pub(super) fn lease(
    work: &mut Work<'_>,
    now: Timestamp,
    request: &LeaseRequest,
) -> Result<Reply, RowError> {
    if let Some(upward) = &request.upward {
        return lend::lend(work, now, request, upward);
    }
    let (key, row) = stored(work, request)?;
    let candidates = candidates(&request.scopes);
    let at = time(work, now, &row, &candidates)?;
    if request.number <= row.number {
        return grant(work, (at, request), &row, &candidates);
    }
    if row.number == 0 && request.number > 1 {
        // Forgotten: intents of it may still be on their way, and must not find it again.
        return grant(work, (at, request), &row, &candidates);
    }
    let held = if at < row.until {
        row.rest
    } else {
        Slice::NONE
    };
    give_back(work, &row)?;
    let pool = Pool::of(work, at, request)?;
    let keep = held.min(request.keep).min(pool.free);
    let more = share(work, at, &candidates, request.want, pool.room)?;
    let until = if more.is_none() {
        row.until
    } else {
        end(at).min(pool.until)
    };
    if let Some(key) = pool.key.as_ref().filter(|_| pool.has_rules)
        && !more.covers(request.want)
    {
        pool::wish(work, now, key, request.want)?;
    }
    let rest = keep.max(more);
    if rest.is_none() && row.number == 0 {
        // Nothing is granted, and there is nothing to remember.
        return Ok(Reply::Leased(Grant {
            headroom: headroom(work, &candidates, at)?,
            ..Grant::default()
        }));
    }
    for candidate in &candidates {
        let scope: &mut ScopeRow = work.hot_mut(&candidate.key)?;
        scope.lease(at, &candidate.rules, until, rest);
    }
    work.hot_mut::<ScopeRow>(ORG)?
        .due_by(until.plus(LEASE_KEPT));
    let row = LeaseRow {
        until,
        number: request.number,
        rest,
        scopes: remembered(&candidates),
        pool: pool.key,
        ..row
    };
    let reply = grant(work, (at, request), &row, &candidates)?;
    *work.hot_mut(&key)? = row;
    Ok(reply)
}

/// What is known of a lease, and where.
pub(super) fn stored(
    work: &mut Work<'_>,
    request: &LeaseRequest,
) -> Result<(RowKey, LeaseRow), RowError> {
    let key = lease_key(&request.lease);
    let row = work.hot::<LeaseRow>(&key)?.clone();
    Ok((key, row))
}

/// The time at all scopes that a lease had and is to have.
pub(super) fn time(
    work: &mut Work<'_>,
    now: Timestamp,
    row: &LeaseRow,
    candidates: &[Candidate<'_>],
) -> Result<Timestamp, RowError> {
    let stored = row.scopes.iter().map(|(key, _)| key);
    let named = candidates.iter().map(|candidate| &candidate.key);
    common_time(work, now, stored.chain(named))
}

/// What a lease keeps of its scopes.
pub(super) fn remembered(candidates: &[Candidate<'_>]) -> Vec<(RowKey, Vec<Rule>)> {
    candidates
        .iter()
        .map(|candidate| (candidate.key.clone(), candidate.rules.clone()))
        .collect()
}

fn grant(
    work: &mut Work<'_>,
    (at, request): (Timestamp, &LeaseRequest),
    row: &LeaseRow,
    candidates: &[Candidate<'_>],
) -> Result<Reply, RowError> {
    let mut headroom = headroom(work, candidates, at)?;
    if let Some(parent) = &request.parent {
        headroom = pool::left(work, (parent, &request.scopes), at, headroom)?;
    }
    Ok(Reply::Leased(Grant {
        rest: row.rest,
        life: row.until.minus(LEASE_GRACE).since(at),
        headroom,
        denial: None,
    }))
}

/// What a lease is a part of, where the ledger has a parent.
struct Pool {
    key: Option<RowKey>,
    /// What leases may hold together, and until when.
    free: Slice,
    until: Timestamp,
    /// What a new one may have, where anything limits it.
    room: Option<Slice>,
    /// The parent could grant more.
    has_rules: bool,
}

impl Pool {
    fn of(work: &mut Work<'_>, at: Timestamp, request: &LeaseRequest) -> Result<Self, RowError> {
        let unlimited = Slice {
            requests: u64::MAX,
            tokens: Tokens::new(u64::MAX),
            cost: NanoUsd::from_nanos(i64::MAX),
        };
        let mut pool = Self {
            key: request
                .parent
                .as_ref()
                .map(|parent| pool_key(parent, &request.scopes)),
            free: unlimited,
            until: Timestamp::from_micros(i64::MAX),
            room: None,
            has_rules: false,
        };
        let Some(key) = &pool.key else {
            return Ok(pool);
        };
        let row: &PoolRow = work.hot(key)?;
        let (is_open, until) = (row.of.is_some(), row.until);
        if !is_open {
            pool.free = Slice::NONE;
            pool.room = Some(Slice::NONE);
        } else if pool::has_rules(&request.scopes) {
            pool.free = pool::free(work, (key, &request.scopes), at)?;
            pool.until = until;
            pool.has_rules = true;
            let is_long = at.plus(LEASE_GRACE).plus(LIFE_MIN) < until;
            let room = pool::room(work, (key, &request.scopes), at)?;
            pool.room = Some(if is_long { room } else { Slice::NONE });
        }
        Ok(pool)
    }
}

/// Frees what a lease holds at its scopes.
fn give_back(work: &mut Work<'_>, row: &LeaseRow) -> Result<(), RowError> {
    if row.rest.is_none() {
        return Ok(());
    }
    for (key, _) in &row.scopes {
        let scope: &mut ScopeRow = work.hot_mut(key)?;
        scope.unlease(row.until, row.rest);
    }
    Ok(())
}

/// When a lease that is granted now ends.
fn end(at: Timestamp) -> Timestamp {
    let step = END_STEP.as_micros().max(1);
    let end = at.plus(LEASE_LIFE).plus(LEASE_GRACE).as_micros();
    let steps = end.saturating_add(step.saturating_sub(1)).div_euclid(step);
    Timestamp::from_micros(steps.saturating_mul(step))
}

/// As much of what is wanted as the tightest rule lets a single lease have: so many requests, each with an equal part.
pub(super) fn share(
    work: &mut Work<'_>,
    at: Timestamp,
    candidates: &[Candidate<'_>],
    want: Slice,
    room: Option<Slice>,
) -> Result<Slice, RowError> {
    if want.requests == 0 {
        return Ok(Slice::NONE);
    }
    let each = Slice {
        requests: 1,
        tokens: Tokens::new(want.tokens.count().div_ceil(want.requests)),
        cost: money(nanos(want.cost).div_ceil(want.requests)),
    };
    let mut requests = want.requests;
    if let Some(room) = room {
        for meter in [Meter::Requests, Meter::Tokens, Meter::Money] {
            let of_meter = room.on(meter).checked_div(each.on(meter));
            requests = requests.min(of_meter.unwrap_or(u64::MAX));
        }
    }
    for candidate in candidates {
        let row: &ScopeRow = work.hot(&candidate.key)?;
        for rule in &candidate.rules {
            let room = row.measure(rule, at).room().div_euclid(SHARE);
            let of_rule = room.checked_div(rule.asked(each));
            requests = requests.min(of_rule.unwrap_or(u64::MAX));
        }
    }
    if requests < REQUESTS_MIN {
        return Ok(Slice::NONE);
    }
    Ok(Slice {
        requests,
        tokens: Tokens::new(each.tokens.count().saturating_mul(requests)),
        cost: money(nanos(each.cost).saturating_mul(requests)),
    }
    .min(Slice {
        requests: want.requests,
        ..want
    }))
}

fn money(nanos: u64) -> NanoUsd {
    NanoUsd::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Turns a part of a lease into a reservation.
pub(super) fn intent(
    work: &mut Work<'_>,
    now: Timestamp,
    intent: &Intent,
) -> Result<Reply, RowError> {
    let key = lease_key(&intent.lease);
    if !work.has(&key) {
        return Ok(Reply::Unknown);
    }
    if intent.sequence <= work.hot::<LeaseRow>(&key)?.mark {
        return Ok(Reply::Done);
    }
    let estimate = chargeable(intent.estimate);
    let has_reserved = has_reserved(work, now, &intent.draft.request, estimate)?;
    let mut row = std::mem::take(work.hot_mut::<LeaseRow>(&key)?);
    let at = common_time(work, now, row.scopes.iter().map(|(key, _)| key))?;
    let drawn = Slice::of(estimate);
    let overrun = at >= row.until || !row.rest.covers(drawn);
    let covered = row.rest.min(drawn);
    let mut scopes = Vec::with_capacity(row.scopes.len());
    for (key, rules) in &row.scopes {
        let scope: &mut ScopeRow = work.hot_mut(key)?;
        scope.unlease(row.until, covered);
        if !has_reserved {
            scopes.push(scope.reserve(at, (key, rules), estimate));
        }
    }
    row.mark = intent.sequence;
    row.rest = row.rest.minus(covered);
    let pool = row.pool.clone();
    *work.hot_mut(&key)? = row;
    if has_reserved {
        return Ok(Reply::Done);
    }
    let pool = match pool {
        Some(pool) => {
            for Charge(key, ..) in &scopes {
                work.hot_mut::<ScopeRow>(key)?.unwatch();
            }
            Some(pool::draw(work, now, pool, estimate)?)
        }
        None => None,
    };
    let reservation = Reservation {
        v: V1,
        at,
        deadline: deadline(now, intent.ttl),
        raised_at: None,
        estimate,
        cut: None,
        pool,
        overrun,
        scopes,
        draft: Draft::new(&Record {
            cost_nano_usd: estimate.cost,
            overrun,
            ..intent.draft.clone()
        })?,
    };
    open(work, &intent.draft.request, &reservation)?;
    Ok(Reply::Done)
}

/// Whether the request has a reservation already that is large enough, or that has been charged. A smaller one goes.
fn has_reserved(
    work: &mut Work<'_>,
    now: Timestamp,
    request: &RequestId,
    estimate: Amount,
) -> Result<bool, RowError> {
    match find(work, request)? {
        Found::Open(held) if Slice::of(held.estimate).covers(Slice::of(estimate)) => Ok(true),
        Found::Open(held) => settle::undo(work, now, request, &held).map(|()| false),
        Found::Expired(..) => Ok(true),
        Found::Nothing => Ok(false),
    }
}
