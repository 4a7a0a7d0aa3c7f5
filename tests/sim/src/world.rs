//! One world: its places, its people, its weather, and what has happened so far.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sluice_core::isolate::Isolate;
use sluice_machines::ledger::LEASE_GRACE;
use sluice_machines::record::{Attempt, Outcome, Record, RecordKind, UsageSource};
use sluice_machines::registry::{Actor, CHANGES_MAX, Command, Reply};
use sluice_units::{LedgerId, RequestId, Shard, Span, Timestamp};

use crate::borders::Borders;
use crate::bucket::Bucket;
use crate::capacity::Capacities;
use crate::clock::Clock;
use crate::economy::{self, HOME, Key, LEDGER_REGIONS, ORGS, SHARDS_MAX, Version};
use crate::executor::{Executor, Group, Sleep};
use crate::faults::{Faults, Weather};
use crate::health::{HealthObject, Outages, RECOVERY_MAX, Watch};
use crate::hedges::{Hedges, Share};
use crate::judge::{Judge, News, Verdict};
use crate::ledger::{LedgerObject, Memory};
use crate::network::Region;
use crate::provider::CallFact;
use crate::registry::Registry;
use crate::rng::Rng;

mod current;
mod homes;
mod regions;
mod registered;
mod settled;
mod turns;
mod waiting;

use self::turns::Lines;
use self::waiting::{Calls, Waiting};

pub(crate) use homes::Shards;

/// One isolate.
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) region: Rc<Region>,
    pub(crate) isolate: Rc<Isolate>,
    /// What it remembers of ledgers that are rows in a store.
    pub(crate) memory: Memory,
    pub(crate) clock: Clock,
    pub(crate) group: Group,
    pub(crate) begun_at: Timestamp,
    /// When it last asked the registry in vain.
    pub(crate) registry_failed_at: Cell<Timestamp>,
    /// What it does to targets that are down.
    pub(crate) watches: RefCell<BTreeMap<(&'static str, &'static str), Watch>>,
    calls: Calls,
    lines: Lines,
    pub(crate) share: Share,
}

/// What the world knows of one request.
pub(crate) struct Fact {
    pub(crate) key: usize,
    pub(crate) place: Rc<Place>,
    pub(crate) arrived: Timestamp,
    pub(crate) name: Option<RequestId>,
    pub(crate) calls: Vec<CallFact>,
    /// Since when it asks its ledger to be let in; nothing while it waits for its limits.
    pub(crate) asking_since: Option<Timestamp>,
    waiting: Waiting,
    /// When a provider was first called.
    pub(crate) called_at: Option<Timestamp>,
    /// When a provider's last word came before the caller got anything.
    pub(crate) answered_at: Timestamp,
    /// When the caller got the first of it.
    pub(crate) delivered_at: Option<Timestamp>,
    /// What the caller was answered.
    pub(crate) status: Option<u16>,
}

impl Fact {
    pub(crate) fn new(key: usize, place: &Rc<Place>, arrived: Timestamp) -> Self {
        Self {
            key,
            place: Rc::clone(place),
            arrived,
            name: None,
            calls: Vec::new(),
            asking_since: None,
            waiting: Waiting::new(arrived),
            called_at: None,
            answered_at: Timestamp::default(),
            delivered_at: None,
            status: None,
        }
    }
}

/// A version of the configuration and until when it was the current one.
pub(crate) struct Reign {
    pub(crate) version: Rc<Version>,
    pub(crate) until: Option<Timestamp>,
}

/// A key and when it was revoked.
pub(crate) struct Holder {
    pub(crate) key: Key,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A world.
pub(crate) struct World {
    pub(crate) executor: Rc<Executor>,
    pub(crate) weather: Weather,
    pub(crate) faults: Faults,
    /// Decides what has no stream of its own.
    pub(crate) rng: Rng,
    /// What the core is given as randomness.
    pub(crate) dice: Rng,
    pub(crate) providers: Rng,
    pub(crate) regions: Vec<Rc<Region>>,
    pub(crate) places: RefCell<Vec<Rc<Place>>>,
    pub(crate) ledgers: Vec<Rc<LedgerObject>>,
    /// Each organisation's ledgers lease from one of them.
    pub(crate) has_homes: bool,
    /// Among how many ledgers keys are divided.
    pub(crate) shards: Shards,
    /// No object stands before a ledger: its rows are in a store that all isolates use.
    pub(crate) is_shared: bool,
    pub(crate) registry: Rc<Registry>,
    pub(crate) health: Rc<HealthObject>,
    pub(crate) outages: Outages,
    pub(crate) capacities: Capacities,
    pub(crate) hedges: Hedges,
    pub(crate) bucket: Bucket,
    pub(crate) borders: Rc<Borders>,
    pub(crate) reigns: RefCell<Vec<Reign>>,
    /// Versions that were written but not committed yet, or not again.
    pub(crate) drafts: RefCell<Vec<Rc<Version>>>,
    pub(crate) holders: RefCell<Vec<Holder>>,
    pub(crate) facts: RefCell<Vec<Fact>>,
    names: RefCell<BTreeMap<RequestId, usize>>,
    pub(crate) in_flight: Cell<usize>,
    /// How long providers think.
    pub(crate) thinking_ms: Cell<(i64, i64)>,
    /// How far an isolate's clock was behind, at most, by which a ledger's rows were written.
    pub(crate) behind: Cell<Span>,
    /// When the weather was over.
    pub(crate) calm_since: Cell<Option<Timestamp>>,
    began: Timestamp,
    log: Option<RefCell<String>>,
    violation: RefCell<Option<String>>,
    checks: Cell<u64>,
}

impl World {
    /// A world of this seed, whose first configuration is `version`.
    pub(crate) fn new(
        seed: u64,
        weather: Weather,
        (version, shards, is_shared): (Version, Shards, bool),
        has_log: bool,
    ) -> Rc<Self> {
        let rng = Rng::new(seed, 1);
        // The last seconds of a month, more often than not.
        let began = Timestamp::from_millis(1_796_083_140_000 + rng.between(-20_000, 70_000));
        let executor = Rc::new(Executor::new(began, Rng::new(seed, 2)));
        let drift = |rng: &Rng| rng.between(-weather.drift_ppm_max, weather.drift_ppm_max);
        let regions = regions::all(&rng, version.has_homes, is_shared);
        let has_homes = version.has_homes;
        let places = (0..ORGS).flat_map(|org| (0..LEDGER_REGIONS.len()).map(move |at| (org, at)));
        let ledger = |(org, number): (usize, usize), shard, drift| {
            let (way, clock) = (Rc::clone(&regions[number]), Clock::new(began, drift));
            let id = homes::id(org, number, shard);
            let at = (org, number);
            Rc::new(LedgerObject::new(at, id, way, clock, executor.group()))
        };
        let whole = places.clone().map(|at| ledger(at, None, drift(&rng)));
        let mut ledgers: Vec<_> = whole.collect();
        let drifts = Rng::new(seed, 9);
        for shard in Shard::all(SHARDS_MAX).filter(|_| shards.may_be()) {
            ledgers.extend(
                places
                    .clone()
                    .map(|at| ledger(at, Some(shard), drift(&drifts))),
            );
        }
        let registry = Rc::new(Registry::new(Clock::new(began, drift(&rng))));
        let health = Rc::new(HealthObject::new(Clock::new(began, drift(&rng))));
        let world = Rc::new(Self {
            weather,
            faults: Faults::new(Rng::new(seed, 3)),
            dice: Rng::new(seed, 4),
            providers: Rng::new(seed, 5),
            regions,
            places: RefCell::default(),
            ledgers,
            has_homes,
            shards,
            is_shared,
            registry,
            health,
            outages: Outages::default(),
            capacities: Capacities::of(&version),
            hedges: Hedges::of(&version),
            bucket: Bucket::default(),
            borders: Rc::clone(&version.borders),
            reigns: RefCell::default(),
            drafts: RefCell::new(vec![Rc::new(version)]),
            holders: RefCell::default(),
            facts: RefCell::default(),
            names: RefCell::default(),
            in_flight: Cell::new(0),
            thinking_ms: Cell::new((20, 300)),
            behind: Cell::default(),
            calm_since: Cell::default(),
            began,
            log: has_log.then(RefCell::default),
            violation: RefCell::default(),
            checks: Cell::new(0),
            executor,
            rng,
        });
        world.settle_in();
        world
    }

    /// The first isolates, the first keys.
    fn settle_in(self: &Rc<Self>) {
        self.fill(self.rng.between(3, 9) as usize);
        // An old registry, which has forgotten its first changes.
        if self.rng.chance(125_000) {
            for number in 0..CHANGES_MAX as usize + 100 {
                let number = economy::KEYS_MAX + number;
                let key = Key::new(&self.rng, number, self.now());
                let key = Box::new(key.record);
                while self
                    .registry
                    .call(
                        self,
                        &Command::CreateKey {
                            key: key.clone(),
                            by: Actor::default(),
                        },
                    )
                    .is_err()
                {}
            }
        }
        for number in 0..economy::KEYS {
            let key = Key::new(&self.rng, number, self.now());
            let command = Command::CreateKey {
                key: Box::new(key.record.clone()),
                by: Actor::default(),
            };
            self.holders.borrow_mut().push(Holder {
                key,
                revoked_at: None,
            });
            // Before the weather: the database does not refuse yet.
            while self.registry.call(self, &command).is_err() {}
        }
    }

    /// Starts isolates until there are so many.
    pub(crate) fn fill(&self, count: usize) {
        let there = self.places.borrow().len();
        for number in there..count {
            let region = Rc::clone(&self.regions[number % self.regions.len()]);
            let place = self.place(number, region);
            self.places.borrow_mut().push(place);
        }
    }

    /// A new isolate without memory.
    pub(crate) fn place(&self, number: usize, region: Rc<Region>) -> Rc<Place> {
        let drift = self.weather.drift_ppm_max;
        let document = self.drafts.borrow()[0].document.clone();
        Rc::new(Place {
            name: format!("{}-{number}", region.name),
            region,
            isolate: Rc::new(Isolate::new(document)),
            memory: Memory::default(),
            clock: Clock::new(self.now(), self.rng.between(-drift, drift)),
            group: self.executor.group(),
            begun_at: self.now(),
            registry_failed_at: Cell::default(),
            watches: RefCell::default(),
            calls: Calls::default(),
            lines: Lines::default(),
            share: Share::default(),
        })
    }

    /// The true time.
    pub(crate) fn now(&self) -> Timestamp {
        self.executor.now()
    }

    pub(crate) fn sleep(&self, span: Span) -> Sleep {
        self.executor.sleep(span)
    }

    /// Takes between so many milliseconds and so many.
    pub(crate) fn pause(&self, low_ms: i64, high_ms: i64) -> Sleep {
        self.sleep(Span::from_micros(
            self.rng.between(low_ms * 1_000, high_ms * 1_000),
        ))
    }

    /// A time about as long as this one.
    pub(crate) fn about(&self, span: Span) -> Span {
        let micros = span.as_micros();
        Span::from_micros(self.rng.between(micros * 4 / 5, micros * 3 / 2))
    }

    /// A time that is as long as this one on average.
    pub(crate) fn around(&self, every_ms: i64) -> Span {
        Span::from_micros(self.rng.between(0, every_ms * 2_000))
    }

    pub(crate) fn ledger(&self, ledger: &LedgerId) -> Option<Rc<LedgerObject>> {
        self.named(ledger.name()).map(Rc::clone)
    }

    /// Writes a line into the log, if there is one.
    pub(crate) fn log(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            let micros = self.now().since(self.began).as_micros();
            let line = line();
            let mut log = log.borrow_mut();
            log.push_str(&format!(
                "{:>6}.{:06} {line}\n",
                micros / 1_000_000,
                micros % 1_000_000
            ));
        }
    }

    /// Something was looked at; the first thing that is wrong ends the run.
    pub(crate) fn require(&self, verdict: Verdict) {
        self.checks.set(self.checks.get() + 1);
        if let Err(what) = verdict {
            self.log(|| format!("WRONG: {what}"));
            self.violation.borrow_mut().get_or_insert(what);
        }
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.violation.borrow().clone()
    }

    pub(crate) fn take_log(&self) -> String {
        self.log.as_ref().map(RefCell::take).unwrap_or_default()
    }

    pub(crate) fn checks(&self) -> u64 {
        let judged = self
            .ledgers
            .iter()
            .map(|ledger| ledger.judge.borrow().checks);
        self.checks.get() + judged.sum::<u64>()
    }

    /// True time since the beginning.
    pub(crate) fn age(&self) -> Span {
        self.now().since(self.began)
    }

    /// The core has drawn a request's name.
    pub(crate) fn name_request(&self, number: usize, name: RequestId) {
        self.log(|| format!("request {number} is {name}"));
        self.names.borrow_mut().insert(name.clone(), number);
        if let Some(fact) = self.facts.borrow_mut().get_mut(number) {
            fact.name = Some(name);
        }
    }

    /// Which request has this name.
    pub(crate) fn number(&self, name: &RequestId) -> Option<usize> {
        self.names.borrow().get(name).copied()
    }

    /// A provider was called for a request.
    pub(crate) fn called(&self, number: usize, call: CallFact) {
        if let Some(fact) = self.facts.borrow_mut().get_mut(number) {
            fact.calls.push(call);
            fact.called_at.get_or_insert_with(|| self.executor.now());
        }
    }

    /// By which clock a deadline is surely over, where the ledger's own says `now`: it goes by that of whoever wrote it.
    pub(crate) fn last_clock(&self, now: Timestamp) -> Timestamp {
        if self.is_shared {
            self.now().minus(self.behind.get())
        } else {
            now
        }
    }

    /// Whether a request has not been answered yet.
    pub(crate) fn waits(&self, number: usize) -> bool {
        let facts = self.facts.borrow();
        facts.get(number).is_some_and(|fact| fact.status.is_none())
    }

    /// A provider that is down is called.
    pub(crate) fn down(&self, place: &Place, target: (&'static str, &'static str)) {
        let now = self.now();
        let Some(outage) = self.outages.since(target.0, now) else {
            return;
        };
        let mut watches = place.watches.borrow_mut();
        let watch = watches.entry(target).or_default();
        // Circuits go by the isolate's clock, and one that has just begun has heard of nothing.
        if self.weather.clock_step_every_ms == 0 {
            self.require(watch.calls(now, outage.max(place.begun_at)));
        }
    }

    /// Whether every circuit must be closed again.
    pub(crate) fn has_recovered(&self) -> bool {
        let calm = self.calm_since.get();
        calm.is_some_and(|since| self.now().since(since) > RECOVERY_MAX)
    }

    /// A provider has said something.
    pub(crate) fn answers(&self, number: usize) {
        let now = self.now();
        if let Some(fact) = self.facts.borrow_mut().get_mut(number)
            && fact.delivered_at.is_none()
        {
            fact.answered_at = now;
        }
    }

    /// Something of an answer reaches the caller: the ledger must know of the request by now.
    pub(crate) fn delivers(&self, number: usize) {
        let mut facts = self.facts.borrow_mut();
        let Some(fact) = facts.get_mut(number) else {
            return;
        };
        if fact.delivered_at.is_some() {
            return;
        }
        fact.delivered_at = Some(self.now());
        let org = self.holders.borrow()[fact.key].key.org;
        let is_durable = fact.name.as_ref().is_some_and(|name| {
            let mut ledgers = self.of_org(org);
            ledgers.any(|ledger| ledger.has_admitted(name) || ledger.was_told_of(name.as_str()))
        });
        self.require(if is_durable {
            Ok(())
        } else {
            Err(format!(
                "request {number} is answered and nothing is durable"
            ))
        });
    }
}
