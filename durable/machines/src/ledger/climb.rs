//! The way up: commands to a parent, written down before they are sent, and what its answers change.
//!
//! [`climb`] → the shell sends → [`hear`], each committed. One call is under way at a time. A command whose answer did
//! not come goes again as it was, with the next call; so what was used is told exactly once.

use sluice_units::{NanoUsd, SortedMap, Span, Timestamp, Tokens};

use super::parent::{NEEDS_MAX, Need, POOL_LIFE, Parent, Upward};
use super::pool::{self, Asked, Holder, Lacking, POOL_KEPT, PoolRow, Refused};
use super::rows::{ORG, POOLS, pool_key, scope_key};
use super::scope::ScopeRow;
use super::{Answer, BATCH_UP_MAX, Call, Command, Grant, Headroom, LeaseRequest, Notices, Reply};
use crate::limit::{Scope, ScopeRules, Slice};
use crate::rows::{Read, RowError, RowKey, Rows, Work, WriteSet};

/// How long to wait before a command is sent again.
const AGAIN: Span = Span::from_seconds(1);
/// A pool is to hold what is drawn in so many times the stretch since the last command, at most.
const STRETCHES_MAX: i64 = 16;
/// So many times what somebody waits for is wanted besides.
const NEED_TIMES: u64 = 4;

/// A call to a parent.
#[derive(Debug, Clone, PartialEq)]
pub struct Climb {
    /// Whom to call.
    pub parent: Parent,
    /// What to say.
    pub call: Call,
}

/// A moment at which a parent is to be asked, though nobody waits. `rows` holds what
/// [`deadline_reads`](super::deadline_reads) names.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn climbs_at(rows: &Rows) -> Result<Option<Timestamp>, RowError> {
    let mut work = Work::new(rows);
    Ok(work.hot::<ScopeRow>(ORG)?.climbs_at)
}

/// Whether a commit may have changed when the parent is to be asked.
#[must_use]
pub fn touches_pools(writes: &WriteSet) -> bool {
    writes.iter().any(|(key, _)| key.starts_with(POOLS))
}

/// Reads all that [`climb`] must see; `read` answers several reads at once.
///
/// # Errors
/// What `read` says, or a [`RowError`].
pub fn load_climb<E: From<RowError>>(
    lacking: &[Lacking],
    mut read: impl FnMut(&[Read]) -> Result<Vec<(RowKey, String)>, E>,
) -> Result<Rows, E> {
    let mut rows = Rows::new();
    let mut reads = vec![
        Read::Row(ORG.to_owned()),
        Read::prefix(POOLS, super::POOLS_MAX),
    ];
    let pools = lacking
        .iter()
        .map(|one| pool_key(&one.of.parent, &one.of.scopes));
    reads.extend(pools.map(Read::Row));
    rows.extend(read(&reads)?);
    let mut innermost = Vec::new();
    {
        let mut work = Work::new(&rows);
        for (key, _) in rows.with_prefix(POOLS) {
            if let Some(of) = &work.hot::<PoolRow>(key)?.of {
                innermost.push(Read::Row(innermost_of(&of.whose.scopes)));
            }
        }
    }
    innermost.extend(
        lacking
            .iter()
            .map(|one| Read::Row(innermost_of(&one.of.scopes))),
    );
    innermost.retain(|read| !matches!(read, Read::Row(key) if rows.get(key).is_some()));
    if !innermost.is_empty() {
        rows.extend(read(&innermost)?);
    }
    Ok(rows)
}

fn innermost_of(scopes: &[ScopeRules]) -> RowKey {
    scope_key(scopes.last().map_or(&Scope::Org, |of| &of.scope))
}

/// Writes down what the parent is to be told and asked now, for those who wait and for pools that are due; nothing when
/// there is nothing. `rows` holds what [`load_climb`] has read.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn climb(
    rows: &Rows,
    now: Timestamp,
    lacking: &[Lacking],
) -> Result<(Option<Climb>, WriteSet), RowError> {
    let mut work = Work::new(rows);
    let mut needs: SortedMap<RowKey, Vec<Need>> = SortedMap::new();
    for one in lacking {
        let key = pool::open(&mut work, &one.of)?;
        let waiting = needs.get_or_default(key);
        if waiting.len() < NEEDS_MAX {
            waiting.push(one.need);
        }
    }
    let mut due: Vec<RowKey> = needs.keys().cloned().collect();
    for (key, _) in rows.with_prefix(POOLS) {
        let row: &PoolRow = work.hot(key)?;
        let is_due = row.asked.is_some() || row.asks_at.is_some_and(|at| at <= now);
        if is_due && !needs.contains_key(key) {
            due.push(key.to_owned());
        }
    }
    let mut parent: Option<Parent> = None;
    let mut commands = Vec::new();
    for key in due {
        let of = work.hot::<PoolRow>(&key)?.of.as_ref();
        let Some(of) = of.map(|of| of.whose.parent.clone()) else {
            continue;
        };
        if *parent.get_or_insert_with(|| of.clone()) != of || commands.len() >= BATCH_UP_MAX {
            continue;
        }
        let waiting = needs.remove(&key).unwrap_or_default();
        commands.extend(ask(&mut work, now, &key, waiting)?);
    }
    next(&mut work, now)?;
    let climb = parent.map(|parent| Climb {
        parent,
        call: Call {
            commands,
            notices: Notices::default(),
            batch: 0,
        },
    });
    let climb = climb.filter(|climb| !climb.call.commands.is_empty());
    Ok((climb, work.finish()?))
}

/// The pool's next command, or the one that is on its way.
fn ask(
    work: &mut Work<'_>,
    now: Timestamp,
    key: &RowKey,
    needs: Vec<Need>,
) -> Result<Option<Command>, RowError> {
    let row: &PoolRow = work.hot(key)?;
    if let Some(asked) = &row.asked {
        return Ok(Some(Command::Lease(asked.request.clone())));
    }
    if row.is_closed && row.is_empty() && row.wish.is_none() && needs.is_empty() {
        // What was let in and taken back has made it due before its time.
        let until = row.last.plus(POOL_KEPT);
        if now < until {
            work.hot_mut::<PoolRow>(key)?.asks_at = Some(until);
        } else {
            work.delete(key);
        }
        return Ok(None);
    }
    if row.is_closed {
        open_again(work, key)?;
    }
    let Some(of) = work.hot::<PoolRow>(key)?.of.clone() else {
        return Ok(None);
    };
    let Holder { whose, lease } = *of;
    let innermost = innermost_of(&whose.scopes);
    let at = now.max(work.hot::<ScopeRow>(&innermost)?.at);
    let held = pool::held_by_isolates(work, &whose.scopes, at)?;
    let row: &mut PoolRow = work.hot_mut(key)?;
    let before = row.rest;
    if at >= row.until {
        row.rest = Slice::NONE;
    }
    let held = held.min(row.rest);
    // What is borrowed is not held in advance.
    let want = if pool::has_rules(&whose.scopes) && !pool::is_borrowed(&whose.scopes) {
        wanted(row, now, &needs)
    } else {
        Slice::NONE
    };
    // What is not needed any more is given back, and not drawn from now on.
    row.rest = row.rest.min(want.max(held));
    let gives_back = row.rest != before;
    let closes = row.is_empty() && want.is_none() && needs.is_empty();
    row.number = row.number.saturating_add(1);
    row.last = now;
    row.drawn = Slice::NONE;
    row.wish = Slice::NONE;
    row.asks_at = None;
    let request = Box::new(LeaseRequest {
        lease,
        number: row.number,
        scopes: whose.scopes,
        keep: row.rest,
        want,
        parent: None,
        upward: Some(Box::new(Upward {
            org: whose.org,
            region: whose.region,
            open: row.open,
            used: std::mem::take(&mut row.used),
            held,
            needs,
            closes,
        })),
    });
    row.asked = Some(Asked {
        at,
        request: request.clone(),
        drawn: Slice::NONE,
    });
    if gives_back {
        // What was leased until now is over from now on, also by a clock that is behind this one.
        let rules = request.scopes.last().map_or(&[][..], |of| &of.rules);
        work.hot_mut::<ScopeRow>(&innermost)?.roll(at, rules);
    }
    Ok(Some(Command::Lease(request)))
}

/// What a pool should hold: what is drawn in its life as things are, and more than those who wait need.
fn wanted(row: &PoolRow, now: Timestamp, needs: &[Need]) -> Slice {
    let since = now.since(row.last).as_micros().max(1);
    let times = POOL_LIFE.as_micros().div_euclid(since);
    let drawn = times_of(row.drawn, times.clamp(1, STRETCHES_MAX).unsigned_abs());
    let needed = needs
        .iter()
        .fold(Slice::NONE, |sum, need| sum.plus(need.slice));
    drawn.max(times_of(needed, NEED_TIMES)).max(row.wish)
}

fn times_of(slice: Slice, times: u64) -> Slice {
    let cost = i64::try_from(times).unwrap_or(i64::MAX);
    Slice {
        requests: slice.requests.saturating_mul(times),
        tokens: Tokens::new(slice.tokens.count().saturating_mul(times)),
        cost: NanoUsd::from_nanos(slice.cost.as_nanos().saturating_mul(cost)),
    }
}

/// Says when a parent is to be asked next: of those that are on their way, in a while.
fn next(work: &mut Work<'_>, now: Timestamp) -> Result<(), RowError> {
    let mut next: Option<Timestamp> = None;
    let after = work.snapshot()?;
    for (key, _) in after.with_prefix(POOLS) {
        let row: &PoolRow = work.hot(key)?;
        let at = match &row.asked {
            Some(asked) => Some(asked.at.max(now).plus(AGAIN)),
            None => row.asks_at,
        };
        next = next.into_iter().chain(at).min();
    }
    let org: &ScopeRow = work.hot(ORG)?;
    if org.climbs_at != next {
        work.hot_mut::<ScopeRow>(ORG)?.climbs_at = next;
    }
    Ok(())
}

/// Takes over what the parent has answered. `rows` holds what [`load_climb`] has read.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn hear(
    rows: &Rows,
    now: Timestamp,
    climb: &Climb,
    answer: &Answer,
) -> Result<WriteSet, RowError> {
    let mut work = Work::new(rows);
    for (command, reply) in climb.call.commands.iter().zip(&answer.replies) {
        if let (Command::Lease(request), Reply::Leased(grant)) = (command, reply) {
            let key = pool_key(&climb.parent, &request.scopes);
            granted(&mut work, now, &key, (request, grant))?;
        }
    }
    next(&mut work, now)?;
    work.finish()
}

fn granted(
    work: &mut Work<'_>,
    now: Timestamp,
    key: &RowKey,
    (request, grant): (&LeaseRequest, &Grant),
) -> Result<(), RowError> {
    if !work.has(key) {
        return Ok(());
    }
    let row: &mut PoolRow = work.hot_mut(key)?;
    let is_it = |asked: &mut Asked| {
        asked.request.lease == request.lease && asked.request.number == request.number
    };
    let Some(asked) = row.asked.take_if(is_it) else {
        return Ok(());
    };
    let upward = request.upward.as_deref();
    row.granted = grant.rest;
    row.rest = grant.rest.minus(asked.drawn);
    row.until = asked.at.plus(grant.life);
    let is_same = row.is_of(&request.scopes);
    row.beside = Headroom {
        tightest: grant.headroom.tightest.filter(|_| is_same),
        warnings: Vec::new(),
        ..grant.headroom.clone()
    };
    row.refused = grant.denial.as_ref().map(|denial| {
        let needs = upward.map_or(&[][..], |upward| &upward.needs);
        let smallest = needs.iter().map(|need| need.slice);
        let smallest = smallest.min_by_key(|one| (one.cost, one.tokens, one.requests));
        Box::new(Refused {
            at: now,
            slice: smallest.unwrap_or_default(),
            denial: (**denial).clone(),
        })
    });
    row.is_closed = upward.is_some_and(|upward| upward.closes);
    row.ask_by(if !row.is_empty() || !row.wish.is_none() {
        let half = POOL_LIFE.as_micros().div_euclid(2);
        asked.at.plus(Span::from_micros(half))
    } else if row.is_closed {
        now.plus(POOL_KEPT)
    } else {
        // Nothing is left but to say so.
        now.plus(AGAIN)
    });
    Ok(())
}

/// A pool that was closed and is drawn from goes on under another name.
fn open_again(work: &mut Work<'_>, key: &RowKey) -> Result<(), RowError> {
    let of = work.hot::<PoolRow>(key)?.of.as_deref();
    let Some(whose) = of.map(|of| of.whose.clone()) else {
        return Ok(());
    };
    let lease = pool::name(work, key, &whose)?;
    let row: &mut PoolRow = work.hot_mut(key)?;
    (row.number, row.is_closed) = (0, false);
    if let Some(of) = &mut row.of {
        of.lease = lease;
    }
    Ok(())
}
