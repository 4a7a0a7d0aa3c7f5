//! How many calls of a region a provider takes at once: slots, leased to isolates.
//!
//! An isolate holds some slots of a provider until a deadline, calls the provider on them and renews them while it does;
//! what it does not renew is free again, so a crash leaks none. One command renews, asks for more and gives back: it
//! says how many slots the isolate keeps and how many more it wants. Where there are too few, isolates take turns: each
//! that has waited for longer is sure of one slot before others get any, and those that hold more than their share are
//! told so, and give slots back as their calls end.
//!
//! Knows neither calls nor who makes them, and draws no line between callers: an isolate does.
//!
//! **Invariants**
//! - What is granted is at most the limit, together with all that is granted and not past its deadline; calls under way
//!   whose lease had ended, or that were begun below a higher limit, are counted all the same.
//! - A command that is not newer than the last of its lease changes nothing.
//! - Nothing is counted for longer than [`LIFE`] after it was last asked for.

mod share;

use serde::{Deserialize, Serialize};
use sluice_units::{LeaseId, ProviderId, SortedMap, Span, Timestamp};

use crate::rows::{Read, RowError, RowKey, Rows, V1, Work, WriteSet, decode};

pub use share::{ASK_MAX, Share, Step, TICK};

/// How long slots are held without being renewed, counted from when they were granted.
pub const LIFE: Span = Span::from_seconds(20);
/// So much earlier, counted from when it asked, their holder ends to use them: for clocks that drift.
pub const GRACE: Span = Span::from_seconds(2);
/// How long an isolate that got less than it wanted is taken to wait for the rest.
pub const WAITS: Span = Span::from_seconds(1);
/// How long a lease without slots is remembered, for commands that come late.
const REMEMBERED: Span = Span::from_seconds(2);
/// How many leases of one provider there are at once; further ones get nothing.
pub const LEASES_MAX: usize = 1_000;
/// Slots that nobody needs yet are granted out of what is free, up to this part of it.
const SPARE_PART: u32 = 8;

const POOLS: &str = "c/";
/// Of how many providers it is told at once.
const POOLS_MAX: u32 = 1_000;

/// What an isolate says of the slots of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The provider.
    pub provider: ProviderId,
    /// The isolate's lease.
    pub lease: LeaseId,
    /// Rises with each command of the lease.
    pub number: u64,
    /// How many calls the provider takes at once.
    pub limit: u32,
    /// So many of its slots the isolate keeps; the others it has given up.
    pub keep: u32,
    /// So many calls are under way.
    pub under_way: u32,
    /// So many more are needed now.
    pub more: u32,
    /// So many besides would be of use soon.
    pub spare: u32,
}

/// What an isolate holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The last command that counts.
    pub number: u64,
    /// So many slots, for [`LIFE`].
    pub slots: u32,
    /// Others wait: beyond so many, slots are to be given back when their calls end.
    pub share: Option<u32>,
}

/// The slots of one provider.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Pool {
    v: V1,
    leases: SortedMap<LeaseId, Held>,
}

/// What one isolate holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Held {
    number: u64,
    slots: u32,
    until: Timestamp,
    asked_at: Timestamp,
    /// It got less than it wanted, and nothing since then.
    waits_since: Option<Timestamp>,
}

impl Held {
    fn waits_since(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.waits_since?;
        (self.asked_at.plus(WAITS) > now).then_some(since)
    }
}

/// What the command must see.
#[must_use]
pub fn reads(ask: &Ask) -> Vec<Read> {
    vec![Read::Row(row_key(&ask.provider))]
}

/// What must be seen before it can be told how many slots of each provider are held.
#[must_use]
pub fn all() -> Read {
    Read::prefix(POOLS, POOLS_MAX)
}

/// Tells how many slots of each provider are held.
///
/// # Errors
/// [`RowError`] when a stored row cannot be used.
pub fn held(
    rows: &Rows,
    now: Timestamp,
    mut tell: impl FnMut(ProviderId, u32),
) -> Result<(), RowError> {
    for (key, text) in rows.with_prefix(POOLS) {
        let mut pool: Pool = decode(key, text)?;
        pool.forget(now);
        let name = key.strip_prefix(POOLS).unwrap_or_default();
        if let Ok(provider) = ProviderId::new(name) {
            let slots = pool.leases.values().map(|held| held.slots);
            tell(provider, slots.fold(0, u32::saturating_add));
        }
    }
    Ok(())
}

fn row_key(provider: &ProviderId) -> RowKey {
    format!("{POOLS}{provider}")
}

/// Decides the command.
///
/// # Errors
/// [`RowError`] when the stored row cannot be used; nothing may be written then.
pub fn decide(rows: &Rows, now: Timestamp, ask: &Ask) -> Result<(Granted, WriteSet), RowError> {
    let key = row_key(&ask.provider);
    let mut work = Work::new(rows);
    let mut pool: Pool = work.load(&key)?.unwrap_or_default();
    pool.forget(now);
    let known = pool.leases.get(&ask.lease);
    if let Some(held) = known.filter(|held| held.number >= ask.number) {
        let granted = Granted {
            number: held.number,
            slots: held.slots,
            share: None,
        };
        return Ok((granted, WriteSet::new()));
    }
    if !pool.has_room_for(&ask.lease) {
        let nothing = Granted {
            number: ask.number,
            slots: 0,
            share: None,
        };
        return Ok((nothing, WriteSet::new()));
    }
    let granted = pool.grant(now, ask);
    work.put(key, &pool)?;
    Ok((granted, work.finish()?))
}

impl Pool {
    /// Forgets what is past its deadline.
    fn forget(&mut self, now: Timestamp) {
        self.leases.retain(|_, held| {
            // What lies further away was written by a clock that was set back since.
            held.until = held.until.min(now.plus(LIFE));
            held.until > now
        });
    }

    /// Carries out a command that is new.
    fn grant(&mut self, now: Timestamp, ask: &Ask) -> Granted {
        let mine = self.leases.get(&ask.lease).cloned().unwrap_or_default();
        let since = mine.waits_since(now).unwrap_or(now);
        let (mut taken, mut waiting, mut older, mut holding) = (0_u32, 0_u32, 0_u32, 1_u32);
        for (lease, held) in self.leases.iter().filter(|(lease, _)| **lease != ask.lease) {
            taken = taken.saturating_add(held.slots);
            let waits = held.waits_since(now);
            let is_older = waits.is_some_and(|waits| (waits, lease) < (since, &ask.lease));
            waiting = waiting.saturating_add(u32::from(waits.is_some()));
            older = older.saturating_add(u32::from(is_older));
            let counts = waits.is_some() || held.slots > 0;
            holding = holding.saturating_add(u32::from(counts));
        }
        let kept = ask.keep.min(mine.slots).max(ask.under_way);
        let wanted = ask.keep.saturating_sub(kept).saturating_add(ask.more);
        let free = ask.limit.saturating_sub(taken).saturating_sub(kept);
        let got = wanted.min(free.saturating_sub(older));
        let lacks = got < wanted;
        let spare = if lacks || waiting > 0 {
            0
        } else {
            let part = free.saturating_sub(got).checked_div(SPARE_PART);
            ask.spare.min(part.unwrap_or(0))
        };
        let slots = kept.saturating_add(got).saturating_add(spare);
        let life = if slots > 0 { LIFE } else { REMEMBERED };
        let held = Held {
            number: ask.number,
            slots,
            until: now.plus(life),
            asked_at: now,
            // Whoever got something is behind those who got nothing.
            waits_since: lacks.then_some(if got > 0 { now } else { since }),
        };
        self.leases.insert(ask.lease.clone(), held);
        let share = ask.limit.checked_div(holding);
        Granted {
            number: ask.number,
            slots,
            share: share.filter(|_| waiting > 0),
        }
    }

    /// Whether there is room for this lease, if need be instead of one without slots.
    fn has_room_for(&mut self, lease: &LeaseId) -> bool {
        if self.leases.len() >= LEASES_MAX && !self.leases.contains_key(lease) {
            self.leases.retain(|_, held| held.slots > 0);
        }
        self.leases.len() < LEASES_MAX || self.leases.contains_key(lease)
    }
}
