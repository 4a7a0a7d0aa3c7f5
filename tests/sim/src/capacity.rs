//! Providers that take only so many calls at once: in some worlds one or two of them do.
//!
//! Counted as the provider sees it, whatever isolates and their region hold for true. What is promised: no more calls
//! than that are under way at any moment, but for those whose isolate could not renew its slots before they ended. An
//! isolate that dies takes its calls with it, and its slots come back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use sluice_machines::capacity::{Ask, GRACE, Granted, LIFE};
use sluice_machines::health::{Command, Reply};
use sluice_units::{LeaseId, ProviderId, Timestamp};

use crate::economy::Version;
use crate::health::HealthObject;
use crate::judge::Verdict;
use crate::rng::Rng;
use crate::world::World;

/// In how many of a million worlds there are such providers.
const BOUNDED_PPM: u64 = 400_000;
const PROVIDERS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// How many calls providers take at once, and which are under way.
#[derive(Debug, Default)]
pub(crate) struct Capacities {
    limits: BTreeMap<String, Value>,
    calls: RefCell<BTreeMap<u64, Rc<Call>>>,
    count: Cell<u64>,
    /// Until when an isolate's slots are its own, by its lease.
    leases: RefCell<BTreeMap<(String, LeaseId), Timestamp>>,
}

/// A call that is under way.
#[derive(Debug)]
struct Call {
    provider: String,
    /// Of the isolate that makes it.
    place: String,
    /// Its isolate could not renew its slots in time: it goes on without one.
    is_let: Cell<bool>,
}

/// Counts a call for as long as it is there.
pub(crate) struct UnderWay {
    world: Rc<World>,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.world
            .capacities
            .calls
            .borrow_mut()
            .remove(&self.number);
    }
}

impl Capacities {
    /// What the providers of a world take, by its seed.
    pub(crate) fn new(seed: u64) -> Self {
        let rng = Rng::new(seed, 11);
        let mut limits = BTreeMap::new();
        if rng.chance(BOUNDED_PPM) {
            for _ in 0..2 {
                let mut capacity = json!({"concurrent": rng.between(1, 12)});
                if rng.chance(700_000) {
                    capacity["queue"] = json!(format!("{}ms", rng.between(200, 6_000)));
                }
                limits.insert((*rng.pick(&PROVIDERS)).to_owned(), capacity);
            }
        }
        Self {
            limits,
            ..Self::default()
        }
    }

    /// What they take by a version of the configuration.
    pub(crate) fn of(version: &Version) -> Self {
        let document: Value = serde_json::from_str(&version.document).expect("its own text");
        let said = |name: &&str| {
            let capacity = document["providers"][*name].get("capacity")?;
            Some(((*name).to_owned(), capacity.clone()))
        };
        Self {
            limits: PROVIDERS.iter().filter_map(said).collect(),
            ..Self::default()
        }
    }

    /// A version of the configuration that says so.
    pub(crate) fn bound(&self, version: Version) -> Version {
        let limits = self.limits.iter();
        limits.fold(version, |version, (provider, capacity)| {
            let bounded = capacity.clone();
            version.changed(|document| document["providers"][provider]["capacity"] = bounded)
        })
    }

    /// Whether every provider takes any number of calls.
    pub(crate) fn are_unbounded(&self) -> bool {
        self.limits.is_empty()
    }

    fn limit(&self, provider: &str) -> Option<u64> {
        self.limits.get(provider)?["concurrent"].as_u64()
    }

    /// An isolate was told what it holds: it asked at this time, and it holds that from then on.
    fn told(&self, place: &str, ask: &Ask, asked_at: Timestamp) {
        let provider = ask.provider.to_string();
        let mut leases = self.leases.borrow_mut();
        let until = leases.entry((provider.clone(), ask.lease.clone()));
        let until = until.or_default();
        if *until <= asked_at {
            self.let_go(&provider, place);
        }
        *until = asked_at.plus(LIFE).minus(GRACE);
    }

    fn let_go(&self, provider: &str, place: &str) {
        for call in self.calls.borrow().values() {
            if call.provider == provider && call.place == place {
                call.is_let.set(true);
            }
        }
    }
}

/// A call begins: there is room for it.
pub(crate) fn begins(world: &Rc<World>, place: &str, provider: &str) -> UnderWay {
    let all = &world.capacities;
    let number = all.count.get() + 1;
    all.count.set(number);
    let call = Call {
        provider: provider.to_owned(),
        place: place.to_owned(),
        is_let: Cell::new(false),
    };
    all.calls.borrow_mut().insert(number, Rc::new(call));
    if let Some(limit) = all.limit(provider) {
        world.require(has_room(all, provider, limit));
    }
    UnderWay {
        world: Rc::clone(world),
        number,
    }
}

fn has_room(all: &Capacities, provider: &str, limit: u64) -> Verdict {
    let calls = all.calls.borrow();
    let counted = calls.values();
    let counted = counted.filter(|call| call.provider == provider && !call.is_let.get());
    let count = counted.count() as u64;
    if count <= limit {
        return Ok(());
    }
    Err(format!(
        "{provider} takes {limit} calls at once and has {count}"
    ))
}

/// An isolate hears what the region grants.
pub(crate) fn hears(world: &World, place: &str, command: &Command, asked_at: Timestamp) {
    if let Command::Capacity(ask) = command {
        world.capacities.told(place, ask, asked_at);
    }
}

/// Nobody calls any more: when leases are over, each provider has all its slots to give.
pub(crate) fn at_rest(world: &World, object: &HealthObject) {
    for provider in PROVIDERS {
        let Some(limit) = world.capacities.limit(provider) else {
            continue;
        };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let ask = Ask {
            provider: ProviderId::new(provider).expect("a legal name"),
            lease: LeaseId::new("slots_last").expect("a legal name"),
            number: 1,
            limit,
            keep: 0,
            under_way: 0,
            more: limit,
            spare: 0,
        };
        let granted = object.would(world.now().plus(LIFE), &Command::Capacity(ask));
        world.require(match granted {
            Ok(Reply::Capacity(Granted { slots, .. })) if slots == limit => Ok(()),
            other => Err(format!(
                "slots of {provider} are lost: {other:?} of {limit}"
            )),
        });
    }
}
