//! What happens to the world by itself: isolates and objects die, regions are cut off, clocks are set,
//! administrators change things. Each of these is a task of its own, until the weather is over.

use std::future::Future;
use std::rc::Rc;

use sluice_machines::registry::{Actor, Command, Reply};
use sluice_units::{Span, Timestamp};

use crate::economy::{Key, ORGS, Version};
use crate::executor::Group;
use crate::faults::Fault;
use crate::network;
use crate::world::{Holder, World};

/// How often everything is looked at.
const CHECK_EVERY_MS: i64 = 1_000;
/// How many keys stay good.
const GOOD_KEYS_MIN: usize = 4;
/// How often an administrator tries again.
const TRIES_MAX: usize = 8;

/// Starts all of it. `rate` is what new limits are made to fit.
pub(crate) fn begin(world: &Rc<World>, rate: u64) {
    let weather = world.weather;
    every(world, weather.eviction_every_ms, |world| async move {
        evict(&world)
    });
    every(world, weather.object_crash_every_ms, |world| async move {
        crash(&world)
    });
    every(world, weather.region_cut_every_ms, |world| async move {
        cut(&world)
    });
    every(world, weather.clock_step_every_ms, |world| async move {
        step_clock(&world)
    });
    every(world, weather.admin_every_ms, move |world| async move {
        administer(&world, rate).await;
    });
    every(world, weather.outage_every_ms, |world| async move {
        take_down(&world)
    });
    every(world, CHECK_EVERY_MS, |world| async move {
        for ledger in &world.ledgers {
            ledger.check(&world);
        }
        for org in 0..ORGS {
            world.is_within(org);
        }
    });
}

/// The weather is over: what was cut off is reachable again, and nothing more happens by chance.
pub(crate) fn end(world: &World) {
    world.log(|| "the weather is over".to_owned());
    world.faults.end();
    world.calm_since.set(Some(world.now()));
    for region in &world.regions {
        region.cut_until.set(Timestamp::default());
    }
}

fn every<F: Future<Output = ()> + 'static>(
    world: &Rc<World>,
    every_ms: i64,
    happens: impl Fn(Rc<World>) -> F + 'static,
) {
    if every_ms == 0 {
        return;
    }
    let then = Rc::clone(world);
    world.executor.spawn(Group::WORLD, async move {
        loop {
            then.sleep(then.around(every_ms)).await;
            if then.faults.is_over() {
                return;
            }
            happens(Rc::clone(&then)).await;
        }
    });
}

fn evict(world: &Rc<World>) {
    world.faults.note(Fault::IsolateEvicted);
    let index = world.rng.index(world.places.borrow().len());
    let old = Rc::clone(&world.places.borrow()[index]);
    world.log(|| format!("{} is evicted", old.name));
    let next = world.place(index, Rc::clone(&old.region));
    world.places.borrow_mut()[index] = next;
    world.executor.kill(old.group);
}

fn crash(world: &Rc<World>) {
    world.faults.note(Fault::ObjectCrashed);
    match world.rng.index(world.ledgers.len() + 2) {
        0 => world.registry.crash(),
        1 => world.health.crash(),
        number => world.ledgers[number - 2].crash(world),
    }
}

fn cut(world: &Rc<World>) {
    world.faults.note(Fault::RegionCut);
    let region = world.rng.pick(&world.regions);
    let span = match world.rng.below(4) {
        0 => world.rng.between(5_000, 30_000),
        _ => world.rng.between(100, 5_000),
    };
    world.log(|| format!("{} is cut off for {span} ms", region.name));
    let until = world.now().plus(Span::from_millis(span));
    region.cut_until.set(until.max(region.cut_until.get()));
}

fn take_down(world: &Rc<World>) {
    world.faults.note(Fault::UpstreamDown);
    let provider = *world.rng.pick(&["openai", "anthropic", "gemini"]);
    let span = Span::from_millis(world.rng.between(500, 30_000));
    world.log(|| format!("{provider} is down for {span:?}"));
    world.outages.begin(provider, world.now(), span);
}

fn step_clock(world: &Rc<World>) {
    let rng = &world.rng;
    let most_us = match rng.below(4) {
        0 => 60_000_000,
        _ => 4_000_000,
    };
    let micros = rng.between(-most_us, most_us);
    if rng.chance(700_000) {
        world.faults.note(Fault::IsolateClockStepped);
        let place = Rc::clone(rng.pick(&world.places.borrow()));
        world.log(|| format!("the clock of {} is set by {micros} us", place.name));
        place.clock.step(micros);
    } else {
        world.faults.note(Fault::ObjectClockStepped);
        let ledger = rng.pick(&world.ledgers);
        world.log(|| {
            format!(
                "the clock of ledger {} is set by {micros} us",
                ledger.name()
            )
        });
        ledger.clock.step(micros);
    }
}

async fn administer(world: &Rc<World>, rate: u64) {
    match world.rng.below(5) {
        0 | 1 => {
            world.faults.note(Fault::ConfigChanged);
            let version = Version::new(&world.rng, rate, world.has_homes).within(&world.borders);
            let version = world.shards.divide(version);
            let version = Rc::new(world.capacities.bound(world.hedges.say(version)));
            let command = Command::PutConfig {
                document: version.document.clone(),
                author: "somebody".to_owned(),
                reason: "because".to_owned(),
            };
            world.drafts.borrow_mut().push(version);
            ask(world, command).await;
        }
        2 => {
            world.faults.note(Fault::KeyCreated);
            let number = world.holders.borrow().len();
            let key = Key::new(&world.rng, number, world.now());
            let command = Command::CreateKey {
                key: Box::new(key.record.clone()),
                by: Actor::default(),
            };
            // Nobody uses a key before it is there.
            if let Some(Reply::Key { .. }) = ask(world, command).await {
                world.holders.borrow_mut().push(Holder {
                    key,
                    revoked_at: None,
                });
            }
        }
        _ => revoke(world).await,
    }
}

async fn revoke(world: &Rc<World>) {
    let good: Vec<_> = world
        .holders
        .borrow()
        .iter()
        .filter(|holder| holder.revoked_at.is_none())
        .map(|holder| holder.key.record.id.clone())
        .collect();
    if good.len() > GOOD_KEYS_MIN {
        world.faults.note(Fault::KeyRevoked);
        let id = world.rng.pick(&good).clone();
        ask(
            world,
            Command::RevokeKey {
                id,
                by: Actor::default(),
            },
        )
        .await;
    }
}

/// Asks the registry until it answers, or for a while.
async fn ask(world: &Rc<World>, command: Command) -> Option<Reply> {
    for _ in 0..TRIES_MAX {
        let place = Rc::clone(world.rng.pick(&world.places.borrow()));
        match network::registry(world, &place, &command).await {
            Ok(reply) => return Some(reply),
            Err(why) => world.log(|| format!("the administrator tries again: {why}")),
        }
    }
    None
}
