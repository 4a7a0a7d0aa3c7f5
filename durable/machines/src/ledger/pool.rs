//! The child's side of a lease from a parent: a pool for each key, out of which this ledger lets requests in.
//!
//! A pool holds `rest`, which may be drawn until `until`, and remembers what is drawn and not settled (`open`) and what
//! the parent does not know of yet (`used`). Isolates' leases are parts of `rest` that are not drawn yet.
//! How a pool is renewed is in [`super::climb`].
//!
//! **Invariants**
//! - What is reserved under rules was covered by `rest` at that moment, unless an isolate's intent came late.
//! - Whatever is reserved is in `open` until it ends, and then in `used` until a command to the parent has told it.

use serde::{Deserialize, Serialize};
use sluice_units::{LeaseId, NanoUsd, OrgId, Region, Shard, Span, Timestamp, Tokens, is_default};

use super::parent::{Need, Parent, Used};
use super::rows::{ORG, Reservation, pool_key, scope_key};
use super::scope::{ScopeRow, loans};
use super::{
    Admission, Denial, EXPIRED_BUCKET, EXPIRED_KEPT, Headroom, LeaseRequest, Reply, WindowState,
    chargeable,
};
use crate::limit::{Amount, Scope, ScopeRules, Slice};
use crate::rows::{RowError, RowKey, V1, Work};

/// For so long a parent's refusal answers those who ask for as much or more.
const DENIAL_FRESH: Span = Span::from_millis(100);
/// How long what has come to an end waits to be told.
const TELL: Span = Span::from_millis(500);
/// How long after a command a further one is sent, at the soonest, where nobody waits.
pub(super) const PACE: Span = Span::from_millis(250);
/// How long a pool that is closed is remembered: for intents that were held up, and for reservations that expired and
/// are corrected.
pub(super) const POOL_KEPT: Span = Span::from_seconds(7_200);
const _: () = assert!(
    POOL_KEPT.as_micros() > EXPIRED_KEPT.as_micros() + EXPIRED_BUCKET.as_micros(),
    "nothing that may be corrected outlives its pool"
);
/// Isolates lease this part of what is free of a pool, at most.
const ISOLATE_SHARE: u64 = 2;
const ISOLATE_SHARE_COST: i64 = 2;

/// What a ledger holds of its parent's allowance for one key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PoolRow {
    pub(super) v: V1,
    /// From whom, for whom, under which rules; nothing before it is opened.
    #[serde(rename = "p")]
    pub(super) of: Option<Box<Holder>>,
    /// The number of the last command that was written down.
    #[serde(rename = "n")]
    pub(super) number: u64,
    /// When that was.
    #[serde(rename = "l")]
    pub(super) last: Timestamp,
    /// Until when `rest` may be drawn.
    #[serde(rename = "h")]
    pub(super) until: Timestamp,
    /// What may be drawn, isolates' leases included.
    #[serde(rename = "r")]
    pub(super) rest: Slice,
    /// What there was of it when it was granted.
    #[serde(rename = "g")]
    pub(super) granted: Slice,
    /// What is drawn and not settled.
    #[serde(rename = "o")]
    pub(super) open: Slice,
    /// What is in no command yet.
    #[serde(rename = "u")]
    pub(super) used: Used,
    /// What was drawn since the last command.
    #[serde(rename = "d")]
    pub(super) drawn: Slice,
    /// What isolates would lease.
    #[serde(rename = "w")]
    pub(super) wish: Slice,
    /// The command whose answer has not come.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<Asked>,
    /// When the next one is due, if nobody waits.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(super) asks_at: Option<Timestamp>,
    /// The parent has forgotten the lease: what comes now begins another.
    #[serde(rename = "z", default, skip_serializing_if = "is_default")]
    pub(super) is_closed: bool,
    /// What the parent had left when it answered last, beside all that it holds for anybody.
    #[serde(rename = "b", default, skip_serializing_if = "is_default")]
    pub(super) beside: Headroom,
    /// The last refusal: when, of what.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Box<Refused>>,
}

/// Whose pool it is, and what it is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) whose: Whose,
    /// The lease's name at the parent.
    pub(super) lease: LeaseId,
}

/// A command on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// When it was written down.
    pub(super) at: Timestamp,
    /// The command.
    pub(super) request: Box<LeaseRequest>,
    /// Drawn since.
    pub(super) drawn: Slice,
}

/// What a parent refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) at: Timestamp,
    pub(super) slice: Slice,
    pub(super) denial: Denial,
}

/// A request that waits for its ledger's parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lacking {
    /// Whose pool lacks it.
    pub(super) of: Whose,
    /// What it takes.
    pub(super) need: Need,
}

/// Whom a pool is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Whose {
    pub(super) parent: Parent,
    pub(super) org: OrgId,
    pub(super) region: Region,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shard: Option<Shard>,
    pub(super) scopes: Vec<ScopeRules>,
}

impl PoolRow {
    /// Whether it is held under these rules.
    pub(super) fn is_of(&self, scopes: &[ScopeRules]) -> bool {
        let of = self.of.as_deref();
        of.is_some_and(|of| of.whose.scopes == scopes)
    }

    /// What is free at `at` beside what isolates hold.
    fn free(&self, at: Timestamp, leased: Slice) -> Slice {
        if at < self.until {
            self.rest.minus(leased)
        } else {
            Slice::NONE
        }
    }

    /// Something is to be told by then.
    pub(super) fn ask_by(&mut self, at: Timestamp) -> Timestamp {
        let at = self.asks_at.map_or(at, |due| due.min(at));
        self.asks_at = Some(at);
        at
    }

    /// When the parent is to hear of what has been drawn.
    fn due(&self, now: Timestamp) -> Timestamp {
        if self.is_low() {
            self.last.plus(PACE).max(now)
        } else {
            now.plus(TELL)
        }
    }

    /// Whether half of anything is gone.
    const fn is_low(&self) -> bool {
        let (rest, granted) = (&self.rest, &self.granted);
        rest.requests < granted.requests.div_euclid(2)
            || rest.tokens.count() < granted.tokens.count().div_euclid(2)
            || rest.cost.as_nanos() < granted.cost.as_nanos().div_euclid(2)
    }

    /// Whether nothing is held and nothing is left to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.open.is_none() && self.used.is_none()
    }
}

/// Whether any rule applies. Where none does nothing has to be covered.
pub(super) fn has_rules(scopes: &[ScopeRules]) -> bool {
    scopes.iter().any(|of| !of.rules.is_empty())
}

/// What isolates hold of the pool of these scopes: what is leased at the innermost; nothing of what is borrowed.
pub(super) fn held_by_isolates(
    work: &mut Work<'_>,
    scopes: &[ScopeRules],
    at: Timestamp,
) -> Result<Slice, RowError> {
    if is_borrowed(scopes) {
        return Ok(Slice::NONE);
    }
    let innermost = scopes.last().map_or(&Scope::Org, |of| &of.scope);
    Ok(work.hot::<ScopeRow>(&scope_key(innermost))?.leased(at))
}

/// Whether what is held under these rules is borrowed.
pub(super) fn is_borrowed(scopes: &[ScopeRules]) -> bool {
    scopes.iter().any(|of| !loans(&of.rules).is_empty())
}

/// What of the pool of these scopes is free at `at`.
pub(super) fn free(
    work: &mut Work<'_>,
    (pool, scopes): (&RowKey, &[ScopeRules]),
    at: Timestamp,
) -> Result<Slice, RowError> {
    let leased = held_by_isolates(work, scopes, at)?;
    Ok(work.hot::<PoolRow>(pool)?.free(at, leased))
}

/// What is left for a caller of this ledger: no more than what its parent had left when it answered last, and what is
/// free here of what that has granted.
pub(super) fn left(
    work: &mut Work<'_>,
    (parent, scopes): (&Parent, &[ScopeRules]),
    at: Timestamp,
    here: Headroom,
) -> Result<Headroom, RowError> {
    let pool = pool_key(parent, scopes);
    let free = free(work, (&pool, scopes), at)?;
    let row: &PoolRow = work.hot(&pool)?;
    let beside = &row.beside;
    // Rules go by their numbers: those of other rules say nothing.
    let there = beside.tightest.filter(|_| row.is_of(scopes));
    let tighter = |here: Option<WindowState>, there: &Option<WindowState>, free: u64| {
        let there = there.clone().map(|there| WindowState {
            remaining: there.remaining.saturating_add(free).min(there.limit),
            ..there
        });
        let both = there.into_iter().chain(here);
        both.min_by_key(|state| state.remaining)
    };
    let tightest = there.map(|there| {
        let there = there.with(scopes, free);
        here.tightest.map_or(there, |here| there.or(here, scopes))
    });
    Ok(Headroom {
        tightest: tightest.or(here.tightest),
        requests: tighter(here.requests, &beside.requests, free.requests),
        tokens: tighter(here.tokens, &beside.tokens, free.tokens.count()),
        ..here
    })
}

/// An admission that its pool does not cover, and nobody has refused yet: the parent must be asked.
pub(super) fn lacking(admission: &Admission, of: Whose) -> Reply {
    let need = Need {
        slice: Slice::of(chargeable(admission.estimate)),
        part: admission.part,
    };
    Reply::Lacking(Box::new(Lacking { of, need }))
}

/// The same of a reservation that grows.
pub(super) fn lacking_more(
    work: &mut Work<'_>,
    pool: &RowKey,
    slice: Slice,
) -> Result<Option<Reply>, RowError> {
    let of = work.hot::<PoolRow>(pool)?.of.as_deref();
    Ok(of.map(|of| {
        let of = of.whose.clone();
        let need = Need { slice, part: None };
        Reply::Lacking(Box::new(Lacking { of, need }))
    }))
}

/// The parent's fresh refusal of no more than this.
pub(super) fn refusal(
    work: &mut Work<'_>,
    now: Timestamp,
    pool: &RowKey,
    slice: Slice,
) -> Result<Option<Denial>, RowError> {
    let refused = work.hot::<PoolRow>(pool)?.refused.as_deref();
    let applies = |refused: &&Refused| {
        slice.covers(refused.slice) && now >= refused.at && now.since(refused.at) < DENIAL_FRESH
    };
    Ok(refused
        .filter(applies)
        .map(|refused| refused.denial.clone()))
}

/// The parent's last refusal, however old.
pub(super) fn last_refusal(work: &mut Work<'_>, pool: &RowKey) -> Result<Option<Denial>, RowError> {
    let refused = work.hot::<PoolRow>(pool)?.refused.as_deref();
    Ok(refused.map(|refused| refused.denial.clone()))
}

/// The pool of these scopes, opened if it is not there.
pub(super) fn open(work: &mut Work<'_>, of: &Whose) -> Result<RowKey, RowError> {
    let key = pool_key(&of.parent, &of.scopes);
    match &work.hot::<PoolRow>(&key)?.of {
        Some(holder) if holder.whose.scopes == of.scopes => return Ok(key),
        Some(_) => {}
        None => {
            let lease = name(work, &key, of)?;
            let whose = of.clone();
            work.hot_mut::<PoolRow>(&key)?.of = Some(Box::new(Holder { whose, lease }));
            return Ok(key);
        }
    }
    // What was granted under other rules may be drawn on; the next command names the rules of now.
    let row: &mut PoolRow = work.hot_mut(&key)?;
    row.beside.tightest = None;
    if let Some(holder) = &mut row.of {
        holder.whose.scopes.clone_from(&of.scopes);
    }
    Ok(key)
}

/// A lease's name that no other pool has or had, here or in another of the organisation's ledgers.
pub(super) fn name(work: &mut Work<'_>, key: &RowKey, of: &Whose) -> Result<LeaseId, RowError> {
    const REGION_BYTES_MAX: usize = 64;
    let org: &mut ScopeRow = work.hot_mut(ORG)?;
    org.pools = org.pools.saturating_add(1);
    let region: String = of.region.as_str().chars().take(REGION_BYTES_MAX).collect();
    let shard = of.shard.map(|shard| shard.to_string()).unwrap_or_default();
    LeaseId::new(&format!("up{shard}_{region}_{}", org.pools)).map_err(|error| RowError {
        key: key.clone(),
        detail: error.to_string(),
    })
}

/// Takes a reservation out of a pool, as far as it is there; says what the reservation is to remember.
pub(super) fn draw(
    work: &mut Work<'_>,
    now: Timestamp,
    pool: RowKey,
    estimate: Amount,
) -> Result<(RowKey, u64), RowError> {
    let mut number = 0;
    change(work, &pool, |row| {
        row.used.requests = row.used.requests.saturating_add(1);
        take(row, Slice::of(estimate));
        number = row.number;
        row.due(now)
    })?;
    Ok((pool, number))
}

fn take(row: &mut PoolRow, drawn: Slice) {
    row.rest = row.rest.minus(drawn);
    row.open = row.open.plus(drawn);
    row.drawn = row.drawn.plus(drawn);
    if let Some(asked) = &mut row.asked {
        asked.drawn = asked.drawn.plus(drawn);
    }
}

/// A reservation grows by this much.
pub(super) fn raise(
    work: &mut Work<'_>,
    now: Timestamp,
    held: &Reservation,
    more: Amount,
) -> Result<(), RowError> {
    let Some((pool, _)) = &held.pool else {
        return Ok(());
    };
    let more = Slice {
        requests: 0,
        tokens: more.tokens,
        cost: more.cost,
    };
    change(work, pool, |row| {
        take(row, more);
        row.due(now)
    })
}

/// A reservation ends with this use.
pub(super) fn settle(
    work: &mut Work<'_>,
    now: Timestamp,
    held: &Reservation,
    actual: Amount,
) -> Result<(), RowError> {
    end(work, now, held, |row, _| {
        row.open = row.open.minus(Slice::of(held.estimate));
        row.used.tokens = row.used.tokens.plus(actual.tokens);
        row.used.cost = row.used.cost.plus(actual.cost);
    })
}

/// A reservation is taken back. Where the parent has heard of the request it stays counted.
pub(super) fn release(
    work: &mut Work<'_>,
    now: Timestamp,
    held: &Reservation,
) -> Result<(), RowError> {
    end(work, now, held, |row, number| {
        row.open = row.open.minus(Slice::of(held.estimate));
        if row.number == number {
            row.used.requests = row.used.requests.saturating_sub(1);
        }
    })
}

/// A charge is replaced by the truth.
pub(super) fn replace(
    work: &mut Work<'_>,
    now: Timestamp,
    held: &Reservation,
    actual: Amount,
) -> Result<(), RowError> {
    end(work, now, held, |row, _| {
        let more = actual.tokens.minus(held.estimate.tokens);
        row.used.tokens = row.used.tokens.plus(more);
        let difference = actual.cost.minus(held.estimate.cost);
        let (more, back) = (
            difference.max(NanoUsd::ZERO),
            NanoUsd::ZERO.minus(difference).max(NanoUsd::ZERO),
        );
        row.used.cost = row.used.cost.plus(more);
        row.used.back = row.used.back.plus(back);
    })
}

/// Changes the pool of a reservation that has come to an end; `with` is given the command after which it was drawn.
fn end(
    work: &mut Work<'_>,
    now: Timestamp,
    held: &Reservation,
    with: impl FnOnce(&mut PoolRow, u64),
) -> Result<(), RowError> {
    let Some((pool, number)) = &held.pool else {
        return Ok(());
    };
    change(work, pool, |row| {
        with(row, *number);
        now.plus(TELL)
    })
}

/// Changes a pool; `with` says by when the parent is to hear of it.
fn change(
    work: &mut Work<'_>,
    pool: &RowKey,
    with: impl FnOnce(&mut PoolRow) -> Timestamp,
) -> Result<(), RowError> {
    let row: &mut PoolRow = work.hot_mut(pool)?;
    let by = with(row);
    let due = row.ask_by(by);
    work.hot_mut::<ScopeRow>(ORG)?.climb_by(due);
    Ok(())
}

/// What isolates may lease of a pool.
pub(super) fn room(
    work: &mut Work<'_>,
    (pool, scopes): (&RowKey, &[ScopeRules]),
    at: Timestamp,
) -> Result<Slice, RowError> {
    let free = free(work, (pool, scopes), at)?;
    Ok(Slice {
        requests: free.requests.div_euclid(ISOLATE_SHARE),
        tokens: Tokens::new(free.tokens.count().div_euclid(ISOLATE_SHARE)),
        cost: NanoUsd::from_nanos(free.cost.as_nanos().div_euclid(ISOLATE_SHARE_COST)),
    })
}

/// An isolate would lease more than there is.
pub(super) fn wish(
    work: &mut Work<'_>,
    now: Timestamp,
    pool: &RowKey,
    want: Slice,
) -> Result<(), RowError> {
    change(work, pool, |row| {
        row.wish = row.wish.max(want);
        row.last.plus(PACE).max(now)
    })
}
