//! Worlds in which one promise is measured: how many are let in at once, and how long a request waits for the gateway.

use std::rc::Rc;

use sluice_machines::limit::{Borrow, Meter, Rule};
use sluice_units::{Span, Timestamp};

use crate::callers::{self, Kind};
use crate::economy::Version;
use crate::executor::{Group, Step};
use crate::faults::Weather;
use crate::nature;
use crate::world::{Shards, World};

/// Nothing goes wrong, and nobody changes anything.
const STILL: Weather = Weather {
    caller_left: 0,
    caller_wrong: 0,
    admin_every_ms: 0,
    ..Weather::CALM
};

/// Calls are lost, late and doubled, and isolates and objects die.
const STORM: Weather = Weather {
    call_lost: 20_000,
    reply_lost: 20_000,
    call_late: 10_000,
    call_doubled: 20_000,
    commit_refused: 5_000,
    eviction_every_ms: 500,
    object_crash_every_ms: 1_000,
    ..STILL
};
/// How long the storm lasts.
const STORM_SPAN: Span = Span::from_seconds(20);

/// Requests that come all at once, at one limit.
#[derive(Debug, Clone, Copy)]
pub struct Rush {
    /// What decides all that is left to chance.
    pub seed: u64,
    /// How many come.
    pub requests: usize,
    /// Over how many isolates.
    pub isolates: usize,
    /// The only rule.
    pub rule: Rule,
    /// They are counted in three regions whose ledgers lease from one.
    pub has_homes: bool,
    /// The ledgers are rows in a store that all isolates use.
    pub is_shared: bool,
    /// Calls are lost, late and doubled, and isolates and objects die.
    pub is_stormy: bool,
}

impl Rush {
    /// How many are served.
    ///
    /// # Errors
    /// What was violated.
    pub fn served(self) -> Result<usize, String> {
        let weather = if self.is_stormy { STORM } else { STILL };
        let version = Version::with_one_rule(self.rule, self.has_homes);
        let world = World::new(
            self.seed,
            weather,
            (version, Shards::none(), self.is_shared),
            false,
        );
        world.fill(self.isolates);
        nature::begin(&world, 0);
        let keys = keys_of_first_org(&world);
        for _ in 0..self.requests {
            let place = Rc::clone(world.rng.pick(&world.places.borrow()));
            callers::start(&world, &place, *world.rng.pick(&keys), Kind::Chat);
        }
        let calmed = Rc::clone(&world);
        world.executor.spawn(Group::WORLD, async move {
            calmed.sleep(STORM_SPAN).await;
            nature::end(&calmed);
        });
        to_rest(&world)?;
        let facts = world.facts.borrow();
        let served = facts.iter().filter(|fact| fact.delivered_at.is_some());
        Ok(served.count())
    }
}

/// What the gateway adds to a request: from its arrival to the call to the provider, and from the provider's answer
/// to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Half of all requests wait no longer.
    pub p50: Span,
    /// Nineteen of twenty wait no longer.
    pub p95: Span,
    /// Nobody waits longer.
    pub most: Span,
    /// How many were measured.
    pub requests: usize,
}

/// What is added in the steady state, when the ledger is this far away, there and back.
///
/// # Errors
/// What was violated.
pub fn added_latency(seed: u64, round_trip: Span, has_homes: bool) -> Result<Added, String> {
    const WARM_UP: Span = Span::from_seconds(5);
    const REQUESTS: usize = 4_000;
    let plenty = Rule::Window {
        meter: Meter::Requests,
        limit: 1_000_000,
        window: Span::from_seconds(60),
        borrow: Borrow::No,
    };
    let version = Version::with_one_rule(plenty, has_homes);
    let world = World::new(seed, STILL, (version, Shards::none(), false), false);
    world.fill(4);
    for region in &world.regions {
        region
            .distance
            .set(Span::from_micros(round_trip.as_micros() / 2));
        region.is_steady.set(true);
    }
    // As long as a model takes for its first token.
    world.thinking_ms.set((200, 900));
    let keys = keys_of_first_org(&world);
    let crowd = Rc::clone(&world);
    world.executor.spawn(Group::WORLD, async move {
        for _ in 0..REQUESTS {
            let place = Rc::clone(crowd.rng.pick(&crowd.places.borrow()));
            let kind = *crowd.rng.pick(&[Kind::Chat, Kind::Stream]);
            callers::start(&crowd, &place, keys[0], kind);
            crowd
                .sleep(Span::from_micros(crowd.rng.between(0, 10_000)))
                .await;
        }
    });
    let begun = world.now();
    to_rest(&world)?;
    let facts = world.facts.borrow();
    let mut added: Vec<Span> = facts
        .iter()
        .filter(|fact| fact.arrived > begun.plus(WARM_UP))
        .filter_map(|fact| {
            let before = fact.called_at?.since(fact.arrived);
            Some(before.plus(fact.delivered_at?.since(fact.answered_at)))
        })
        .collect();
    added.sort_unstable();
    let at = |percent: usize| added.get(added.len() * percent / 100).copied();
    Ok(Added {
        p50: at(50).unwrap_or_default(),
        p95: at(95).unwrap_or_default(),
        most: added.last().copied().unwrap_or_default(),
        requests: added.len(),
    })
}

fn keys_of_first_org(world: &World) -> Vec<usize> {
    let holders = world.holders.borrow();
    (0..holders.len())
        .filter(|key| holders[*key].key.org == 0)
        .collect()
}

fn to_rest(world: &Rc<World>) -> Result<(), String> {
    let busy_until: Timestamp = world.now().plus(Span::from_seconds(300));
    while world.executor.step() == Step::Done && world.violation().is_none() {
        if world.now() > busy_until && world.in_flight.get() == 0 {
            break;
        }
    }
    let outcome = world.violation().map_or(Ok(()), Err);
    world.executor.clear();
    outcome
}
