//! What an isolate may let in without asking: slices of the ledger's allowance, one for each key.
//!
//! A slice is wanted where a key is busy, as large as what the key lately needed for somewhat longer than a slice
//! lives, and renewed when half of it is drawn or half of its life is over. How much is granted is the ledger's
//! decision; where it grants nothing, requests are admitted one by one.
//!
//! A pure machine: it knows neither clock nor network. Losing it loses nothing: whatever is held ends by itself.
//! **Invariant:** what is drawn was granted, and is drawn before the slice's end as the isolate's clock tells it from
//! the moment at which it asked.

use sluice_machines::ledger::{Grant, Headroom, LEASE_LIFE, LeaseRequest, Parent};
use sluice_machines::limit::{ScopeRules, Slice};
use sluice_units::{KeyId, LeaseId, LedgerId, NanoUsd, SortedMap, Span, Timestamp, Tokens};

/// For how many keys slices are remembered.
const KEYS_MAX: usize = 1_024;
/// Demand is counted in stretches of this length.
const STRETCH: Span = Span::from_seconds(1);
/// A slice is to last for so many stretches: somewhat longer than it lives.
const STRETCHES: u64 = 4;
/// A key with fewer requests than this in a stretch asks for each.
const BUSY_REQUESTS: u64 = 2;
/// The most that is wanted at once.
const REQUESTS_MAX: u64 = 100_000;
/// How long to wait after nothing was granted.
const SCARCE_PAUSE: Span = Span::from_millis(250);
/// After this long an answer is not waited for any more.
const ANSWER_AGE_MAX: Span = Span::from_seconds(10);

/// All slices of an isolate.
#[derive(Debug, Default)]
pub struct Leases {
    ledgers: SortedMap<LedgerId, SortedMap<KeyId, Pool>>,
}

/// What a slice is held under: the ledger that granted it, and the key.
pub type Account<'a> = (&'a LedgerId, &'a KeyId);

/// A request that was let in out of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// The slice.
    pub lease: LeaseId,
    /// The request's number within it.
    pub sequence: u64,
    /// What is left of the limits, about.
    pub headroom: Headroom,
}

/// What one key holds.
#[derive(Debug, Default)]
struct Pool {
    scopes: Vec<ScopeRules>,
    demand: Demand,
    held: Option<Held>,
    asked: Option<Asked>,
    /// Nothing was granted: not to be asked again before.
    not_before: Timestamp,
}

#[derive(Debug)]
struct Held {
    lease: LeaseId,
    /// Of the last command.
    number: u64,
    /// Of the last draw.
    sequence: u64,
    granted: Slice,
    rest: Slice,
    until: Timestamp,
    headroom: Headroom,
}

/// A command whose answer has not come.
#[derive(Debug)]
struct Asked {
    lease: LeaseId,
    number: u64,
    at: Timestamp,
    /// Drawn since.
    drawn: Slice,
}

/// What a key needed in this stretch and the one before.
#[derive(Debug, Default)]
struct Demand {
    stretch: i64,
    now: Slice,
    before: Slice,
}

impl Demand {
    fn note(&mut self, now: Timestamp, slice: Slice) {
        let stretch = now.as_micros().div_euclid(STRETCH.as_micros().max(1));
        if stretch != self.stretch {
            let follows = stretch == self.stretch.saturating_add(1);
            self.before = if follows { self.now } else { Slice::NONE };
            self.now = Slice::NONE;
            self.stretch = stretch;
        }
        self.now = self.now.plus(slice);
    }

    /// What a slice should hold.
    fn wanted(&self) -> Slice {
        let most = self.now.max(self.before);
        let times = STRETCHES
            .min(REQUESTS_MAX.checked_div(most.requests).unwrap_or(1))
            .max(1);
        let cost = most
            .cost
            .as_nanos()
            .saturating_mul(i64::try_from(times).unwrap_or(i64::MAX));
        Slice {
            requests: most.requests.saturating_mul(times),
            tokens: Tokens::new(most.tokens.count().saturating_mul(times)),
            cost: NanoUsd::from_nanos(cost),
        }
    }

    const fn is_busy(&self) -> bool {
        self.now.requests >= BUSY_REQUESTS || self.before.requests >= BUSY_REQUESTS
    }
}

impl Leases {
    /// Counts a request that asks to be let in. Once for each request, before anything else.
    pub fn note(
        &mut self,
        now: Timestamp,
        account: Account<'_>,
        scopes: &[ScopeRules],
        slice: Slice,
    ) {
        let (ledger, key) = account;
        if self.pool(account).is_none() {
            let count: usize = self.ledgers.values().map(SortedMap::len).sum();
            if count >= KEYS_MAX {
                // What they hold ends by itself.
                self.ledgers.clear();
            }
        }
        let pools = self.ledgers.get_or_default(ledger.clone());
        let pool = pools.get_or_default(key.clone());
        if pool.scopes != scopes {
            // What was granted was granted under other rules.
            *pool = Pool {
                scopes: scopes.to_vec(),
                ..Pool::default()
            };
        }
        pool.demand.note(now, slice);
    }

    fn pool(&mut self, (ledger, key): Account<'_>) -> Option<&mut Pool> {
        self.ledgers.get_mut(ledger)?.get_mut(key)
    }

    /// Lets a request in, if the slice suffices.
    pub fn draw(&mut self, now: Timestamp, account: Account<'_>, slice: Slice) -> Option<Draw> {
        let pool = self.pool(account)?;
        let held = pool.held.as_mut()?;
        if now >= held.until || !held.rest.covers(slice) {
            return None;
        }
        held.rest = held.rest.minus(slice);
        held.sequence = held.sequence.saturating_add(1);
        if let Some(asked) = pool.asked.as_mut() {
            asked.drawn = asked.drawn.plus(slice);
        }
        Some(Draw {
            lease: held.lease.clone(),
            sequence: held.sequence,
            headroom: held.headroom(&pool.scopes),
        })
    }

    /// The command to send now behind all that was drawn before, if the slice is to be renewed.
    pub fn renew(&mut self, now: Timestamp, account: Account<'_>) -> Option<LeaseRequest> {
        let parent = account.0.parent().map(Parent::from);
        let pool = self.pool(account)?;
        if pool.waits(now) {
            return None;
        }
        let held = pool.held.as_mut()?;
        if now >= held.until || !held.is_low(now) {
            return None;
        }
        let want = pool.demand.wanted();
        held.number = held.number.saturating_add(1);
        // What is not needed any more is given back with this command, and not drawn from now on.
        held.rest = held.rest.min(want);
        pool.asked = Some(Asked {
            lease: held.lease.clone(),
            number: held.number,
            at: now,
            drawn: Slice::NONE,
        });
        Some(LeaseRequest {
            lease: held.lease.clone(),
            number: held.number,
            scopes: pool.scopes.clone(),
            keep: held.rest,
            want,
            parent,
            upward: None,
        })
    }

    /// The command for a first slice, if the key is busy and holds none. `name` makes up the slice's name.
    pub fn begin(
        &mut self,
        now: Timestamp,
        account: Account<'_>,
        name: impl FnOnce() -> Option<LeaseId>,
    ) -> Option<LeaseRequest> {
        let parent = account.0.parent().map(Parent::from);
        let pool = self.pool(account)?;
        let holds = pool.held.as_ref().is_some_and(|held| now < held.until);
        if holds || pool.waits(now) || !pool.demand.is_busy() {
            return None;
        }
        let lease = name()?;
        pool.held = None;
        pool.asked = Some(Asked {
            lease: lease.clone(),
            number: 1,
            at: now,
            drawn: Slice::NONE,
        });
        Some(LeaseRequest {
            lease,
            number: 1,
            scopes: pool.scopes.clone(),
            keep: Slice::NONE,
            want: pool.demand.wanted(),
            parent,
            upward: None,
        })
    }

    /// Takes the ledger's answer to a command; an answer to another one than the last is no news.
    pub fn granted(&mut self, account: Account<'_>, lease: &LeaseId, number: u64, grant: Grant) {
        let Some(pool) = self.pool(account) else {
            return;
        };
        let Some(asked) = pool
            .asked
            .take_if(|asked| asked.lease == *lease && asked.number == number)
        else {
            return;
        };
        if grant.rest.is_none() {
            pool.not_before = asked.at.plus(SCARCE_PAUSE);
            pool.held = None;
            return;
        }
        let sequence = pool.held.as_ref().map_or(0, |held| held.sequence);
        pool.held = Some(Held {
            lease: asked.lease,
            number,
            sequence,
            granted: grant.rest,
            rest: grant.rest.minus(asked.drawn),
            until: asked.at.plus(grant.life),
            headroom: grant.headroom,
        });
    }

    /// No answer will come: whether the command was carried out is not known.
    pub fn unanswered(&mut self, account: Account<'_>, lease: &LeaseId) {
        if let Some(pool) = self.pool(account) {
            pool.asked.take_if(|asked| asked.lease == *lease);
        }
    }
}

impl Pool {
    /// Whether an answer is on its way, or it is too early to ask again.
    fn waits(&self, now: Timestamp) -> bool {
        let answers = self
            .asked
            .as_ref()
            .is_some_and(|asked| now.since(asked.at) < ANSWER_AGE_MAX);
        answers || now < self.not_before
    }
}

impl Held {
    /// Whether half of anything is gone.
    fn is_low(&self, now: Timestamp) -> bool {
        let half_drawn = self.rest.requests < self.granted.requests.div_euclid(2)
            || self.rest.tokens.count() < self.granted.tokens.count().div_euclid(2)
            || self.rest.cost.as_nanos() < self.granted.cost.as_nanos().div_euclid(2);
        let left = self.until.since(now).as_micros();
        half_drawn || left < LEASE_LIFE.as_micros().div_euclid(2)
    }

    /// What was left beside all slices when this one was granted, and what is left of this one.
    fn headroom(&self, scopes: &[ScopeRules]) -> Headroom {
        let mut headroom = self.headroom.clone();
        headroom.tightest = headroom
            .tightest
            .map(|tightest| tightest.with(scopes, self.rest));
        if let Some(requests) = &mut headroom.requests {
            requests.remaining = requests.remaining.saturating_add(self.rest.requests);
        }
        if let Some(tokens) = &mut headroom.tokens {
            tokens.remaining = tokens.remaining.saturating_add(self.rest.tokens.count());
        }
        headroom
    }
}

#[cfg(test)]
mod tests {
    use sluice_machines::limit::Scope;
    use sluice_units::{OrgId, Region};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

    fn slice(requests: u64) -> Slice {
        Slice {
            requests,
            tokens: Tokens::new(requests * 10),
            cost: NanoUsd::ZERO,
        }
    }

    /// A key's account at the ledger of a region.
    fn account_of(region: &str) -> Account<'static> {
        let region = Region::new(region).unwrap();
        let ledger = LedgerId::new(OrgId::new("acme").unwrap(), region, None);
        let key = KeyId::new("key_1").unwrap();
        (Box::leak(Box::new(ledger)), Box::leak(Box::new(key)))
    }

    fn account() -> Account<'static> {
        account_of("local")
    }

    fn name() -> Option<LeaseId> {
        LeaseId::new("lease_1").ok()
    }

    fn grant(requests: u64, seconds: i64) -> Grant {
        Grant {
            rest: slice(requests),
            life: Span::from_seconds(seconds),
            headroom: Headroom::default(),
            denial: None,
        }
    }

    fn scopes() -> Vec<ScopeRules> {
        vec![ScopeRules {
            scope: Scope::Org,
            rules: vec![],
        }]
    }

    /// A key that is busy and has been granted so much.
    fn holding(requests: u64) -> Leases {
        let mut leases = Leases::default();
        for _ in 0..2 {
            leases.note(NOON, account(), &scopes(), slice(1));
        }
        let asked = leases.begin(NOON, account(), name).unwrap();
        assert_eq!(
            (asked.number, asked.keep, asked.want),
            (1, Slice::NONE, slice(8))
        );
        leases.granted(account(), &asked.lease, 1, grant(requests, 3));
        leases
    }

    #[test]
    fn a_single_request_is_no_reason_for_a_slice() {
        let mut leases = Leases::default();
        leases.note(NOON, account(), &scopes(), slice(1));
        assert_eq!(leases.begin(NOON, account(), name), None);
        leases.note(NOON, account(), &scopes(), slice(1));
        assert!(leases.begin(NOON, account(), name).is_some());
        assert_eq!(
            leases.begin(NOON, account(), name),
            None,
            "one is asked for"
        );
    }

    #[test]
    fn no_more_is_drawn_than_was_granted_and_none_of_it_late() {
        let mut leases = holding(3);
        let late = NOON.plus(Span::from_seconds(3));
        assert_eq!(leases.draw(late, account(), slice(1)), None);
        assert_eq!(leases.draw(NOON, account(), slice(4)), None);
        for sequence in 1..=3 {
            let draw = leases.draw(NOON, account(), slice(1)).unwrap();
            assert_eq!(draw.sequence, sequence);
        }
        assert_eq!(leases.draw(NOON, account(), slice(1)), None);
    }

    #[test]
    fn a_slice_is_renewed_when_half_of_it_is_drawn_and_what_is_drawn_meanwhile_is_gone() {
        let mut leases = holding(8);
        for _ in 0..4 {
            leases.draw(NOON, account(), slice(1)).unwrap();
            assert_eq!(leases.renew(NOON, account()), None);
        }
        leases.draw(NOON, account(), slice(1)).unwrap();
        let asked = leases.renew(NOON, account()).unwrap();
        assert_eq!((asked.number, asked.keep), (2, slice(3)));
        leases.draw(NOON, account(), slice(2)).unwrap();
        leases.granted(account(), &asked.lease, 2, grant(8, 3));
        assert_eq!(leases.draw(NOON, account(), slice(7)), None);
        let draw = leases.draw(NOON, account(), slice(6)).unwrap();
        assert_eq!(draw.sequence, 7, "numbers go on");
    }

    #[test]
    fn a_slice_is_renewed_when_its_life_is_half_over() {
        let mut leases = holding(8);
        assert_eq!(leases.renew(NOON, account()), None);
        let later = NOON.plus(Span::from_millis(1_501));
        let asked = leases.renew(later, account()).unwrap();
        assert_eq!(asked.keep, slice(8));
    }

    #[test]
    fn what_is_not_needed_any_more_is_given_back_and_not_drawn() {
        let mut leases = holding(8);
        let later = NOON.plus(Span::from_millis(2_500));
        leases.note(later, account(), &scopes(), slice(1));
        let asked = leases.renew(later, account()).unwrap();
        assert_eq!((asked.keep, asked.want), (slice(4), slice(4)));
        assert_eq!(leases.draw(later, account(), slice(5)), None);
        assert!(leases.draw(later, account(), slice(4)).is_some());
    }

    #[test]
    fn an_answer_to_an_earlier_command_is_no_news() {
        let mut leases = holding(8);
        leases.granted(account(), &name().unwrap(), 1, grant(100, 3));
        assert_eq!(leases.draw(NOON, account(), slice(9)), None);
    }

    #[test]
    fn other_rules_begin_anew() {
        let mut leases = holding(8);
        let other = vec![];
        leases.note(NOON, account(), &other, slice(1));
        assert_eq!(leases.draw(NOON, account(), slice(1)), None);
    }

    #[test]
    fn where_nothing_was_granted_nobody_asks_for_a_while() {
        let mut leases = holding(0);
        assert_eq!(leases.draw(NOON, account(), slice(1)), None);
        assert_eq!(leases.begin(NOON, account(), name), None);
        let later = NOON.plus(SCARCE_PAUSE);
        assert!(leases.begin(later, account(), name).is_some());
    }

    #[test]
    fn what_one_ledger_granted_is_not_drawn_for_another() {
        let mut leases = holding(10);
        let elsewhere = account_of("eu");
        leases.note(NOON, elsewhere, &scopes(), slice(1));
        assert_eq!(leases.draw(NOON, elsewhere, slice(1)), None);
        assert!(leases.draw(NOON, account(), slice(1)).is_some());
    }
}
