//! One seed from its beginning to its rest, and many of them side by side.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sluice_units::Span;

use crate::borders::Borders;
use crate::callers;
use crate::capacity::{self, Capacities};
use crate::economy::{ORGS, Version};
use crate::executor::{Group, Step};
use crate::faults::{Counts, Weather};
use crate::hedges::Hedges;
use crate::nature;
use crate::rng::Rng;
use crate::world::{Shards, World};

/// How many requests one seed sends.
pub const REQUESTS_PER_SEED: u64 = 2_000;
/// How long a world may take to come to rest: the longest memory on purpose is of an hour and a half.
const REST_MAX: Span = Span::from_seconds(6 * 3_600);

/// In how many of a million worlds ledgers are rows in a store that all isolates use; and where they have homes besides,
/// since everybody asks those at once, which takes its time.
const SHARED_PPM: u64 = 300_000;
const SHARED_HOMES_PPM: u64 = 100_000;
/// In how many of a million worlds without borders all wait for one limit, to begin with.
const LINE_PPM: u64 = 300_000;
/// How many steps a seed takes at most; a few hundred thousand are usual.
const STEPS_MAX: u64 = 3_000_000;

/// What became of one seed.
#[derive(Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How many requests were sent.
    pub requests: u64,
    /// How often something was held against what must be true.
    pub checks: u64,
    /// What went wrong on purpose.
    pub faults: Counts,
    /// What went wrong in earnest: the first thing.
    pub violation: Option<String>,
    /// Everything that happened, if it was asked for.
    pub log: String,
}

/// Runs one seed.
#[must_use]
pub fn seed(seed: u64, has_log: bool) -> Report {
    let rng = Rng::new(seed, 0);
    let weather = Weather::new(&rng);
    let rate = *rng.pick(&[15, 60, 250]);
    let borders = Rc::new(Borders::new(seed));
    let has_homes = borders.are_open() && rng.chance(600_000);
    let mut version = Version::new(&rng, rate, has_homes).within(&borders);
    if borders.are_open() && Rng::new(seed, 10).chance(LINE_PPM) {
        version = Version::with_a_line(rate, has_homes);
    }
    let shards = Shards::new(seed, borders.are_open());
    let version = Hedges::new(seed).say(shards.divide(version));
    let version = Capacities::new(seed).bound(version);
    let shared_ppm = if has_homes {
        SHARED_HOMES_PPM
    } else {
        SHARED_PPM
    };
    let is_shared = Rng::new(seed, 7).chance(shared_ppm);
    let world = World::new(seed, weather, (version, shards, is_shared), has_log);
    nature::begin(&world, rate);
    let crowded = Rc::clone(&world);
    world.executor.spawn(Group::WORLD, async move {
        callers::crowd(Rc::clone(&crowded), REQUESTS_PER_SEED as usize, rate).await;
        crowded.sleep(Span::from_seconds(2)).await;
        nature::end(&crowded);
        callers::farewell(crowded).await;
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| to_rest(&world)));
    if panicked.is_err() {
        world.require(Err("something panicked; see above".to_owned()));
    }
    let report = Report {
        seed,
        requests: world.facts.borrow().len() as u64,
        checks: world.checks(),
        faults: world.faults.counts(),
        violation: world.violation(),
        log: world.take_log(),
    };
    // Tasks know the world and the world knows the tasks.
    world.executor.clear();
    report
}

fn to_rest(world: &Rc<World>) {
    let mut steps = 0_u64;
    loop {
        steps += 1;
        match world.executor.step() {
            Step::Done => {}
            Step::Idle => break,
            Step::Stuck => world.require(Err("time stands still".to_owned())),
        }
        if world.age() > REST_MAX || steps > STEPS_MAX {
            world.require(Err("the world never comes to rest".to_owned()));
        }
        if world.violation().is_some() {
            return;
        }
    }
    world.require(match world.in_flight.get() {
        0 => Ok(()),
        hanging => Err(format!("{hanging} requests hang")),
    });
    for ledger in &world.ledgers {
        ledger.check_at_rest(world);
    }
    for org in 0..ORGS {
        world.is_told(org);
    }
    capacity::at_rest(world, &world.health);
    world.is_on_record();
}

/// What became of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many seeds were run.
    pub seeds: u64,
    /// How many requests were sent.
    pub requests: u64,
    /// How often something was held against what must be true.
    pub checks: u64,
    /// What went wrong on purpose.
    pub faults: Counts,
    /// The first seed that failed, and how.
    pub failed: Option<(u64, String)>,
}

/// Runs so many seeds from the first on, over several threads; each seed is a world of its own.
///
/// Stops soon after a failure. What is reported does not depend on the number of threads, unless a seed fails.
#[must_use]
pub fn seeds(first: u64, count: u64, threads: usize, progress: impl Fn(u64) + Sync) -> Summary {
    let next = AtomicU64::new(0);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let report = seed(first.wrapping_add(number), false);
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    let has_failed = report.violation.is_some();
                    summary.add(report);
                    progress(summary.requests);
                    if has_failed {
                        next.store(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Summary {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.requests += report.requests;
        self.checks += report.checks;
        for (fault, count) in report.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        if let Some(violation) = report.violation {
            let earlier = self
                .failed
                .as_ref()
                .is_some_and(|(seed, _)| *seed < report.seed);
            if !earlier {
                self.failed = Some((report.seed, violation));
            }
        }
    }
}
