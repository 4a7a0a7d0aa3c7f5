//! Worlds in which one promise is measured: how many are let in at once, and how long a request waits for the gateway.

use std::rc::Rc;

use sluice_units::{Span, Timestamp};

use crate::callers::{self, Kind};
use crate::economy::Version;
use crate::executor::{Group, Step};
use crate::faults::Weather;
use crate::world::{Shards, World};

/// Nothing goes wrong, and nobody changes anything.
const STILL: Weather = Weather {
    caller_left: 0,
    caller_wrong: 0,
    admin_every_ms: 0,
    ..Weather::CALM
};

/// How many of so many requests are let in that come all at once, over so many isolates, at a limit; in one region, or
/// in three whose ledgers lease from one.
///
/// # Errors
/// What was violated.
pub fn let_in_at_once(
    seed: u64,
    requests: usize,
    isolates: usize,
    limit: u64,
    has_homes: bool,
) -> Result<usize, String> {
    let version = Version::with_one_limit(limit, Span::from_seconds(60), has_homes);
    let world = World::new(seed, STILL, (version, Shards::none(), false), false);
    world.fill(isolates);
    let keys = keys_of_first_org(&world);
    for _ in 0..requests {
        let place = Rc::clone(world.rng.pick(&world.places.borrow()));
        callers::start(&world, &place, *world.rng.pick(&keys), Kind::Chat);
    }
    to_rest(&world)?;
    let facts = world.facts.borrow();
    Ok(facts.iter().filter(|fact| fact.status == Some(200)).count())
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
    let version = Version::with_one_limit(1_000_000, Span::from_seconds(60), has_homes);
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
