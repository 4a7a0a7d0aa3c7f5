//! Requests that are hedged: in some worlds another target is called beside one that is slow.
//!
//! Counted as the providers see it: never more than two calls for one request at once, and in an isolate for no more of
//! its requests than the configuration says.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::economy::Version;
use crate::judge::Verdict;
use crate::rng::Rng;
use crate::world::{Place, World};

/// In how many of a million worlds requests are hedged.
const HEDGED_PPM: u64 = 500_000;
/// As many hedges an isolate may make before it has seen requests enough.
const FREE: u64 = 10;

/// How requests are hedged, and which calls are under way.
#[derive(Debug, Default)]
pub(crate) struct Hedges {
    hedge: Option<Value>,
    /// For each request.
    under_way: RefCell<BTreeMap<usize, u32>>,
}

/// An isolate's requests, and how many it has hedged.
#[derive(Debug, Default)]
pub(crate) struct Share {
    pub(crate) requests: Cell<u64>,
    hedged: Cell<u64>,
}

/// Counts a call for as long as it is there.
pub(crate) struct Beside {
    world: Rc<World>,
    request: usize,
}

impl Drop for Beside {
    fn drop(&mut self) {
        let mut under_way = self.world.hedges.under_way.borrow_mut();
        if let Some(count) = under_way.get_mut(&self.request) {
            *count -= 1;
        }
    }
}

impl Hedges {
    /// How a world's requests are hedged, by its seed.
    pub(crate) fn new(seed: u64) -> Self {
        let rng = Rng::new(seed, 13);
        let hedge = rng.chance(HEDGED_PPM).then(|| {
            let after = format!("{}ms", rng.between(10, 1_500));
            json!({"after": after, "percent_max": *rng.pick(&[1, 10, 100])})
        });
        Self {
            hedge,
            ..Self::default()
        }
    }

    /// How they are by a version of the configuration.
    pub(crate) fn of(version: &Version) -> Self {
        let document: Value = serde_json::from_str(&version.document).expect("its own text");
        Self {
            hedge: document["models"]["smart"].get("hedge").cloned(),
            ..Self::default()
        }
    }

    /// A version of the configuration that says so.
    pub(crate) fn say(&self, version: Version) -> Version {
        let Some(hedge) = self.hedge.clone() else {
            return version;
        };
        version.changed(|document| document["models"]["smart"]["hedge"] = hedge)
    }

    fn percent(&self) -> Option<u64> {
        self.hedge.as_ref()?["percent_max"].as_u64()
    }
}

/// A call begins for a request, perhaps beside another.
pub(crate) fn begins(world: &Rc<World>, place: &Place, request: usize) -> Beside {
    let count = {
        let mut under_way = world.hedges.under_way.borrow_mut();
        let count = under_way.entry(request).or_default();
        *count += 1;
        *count
    };
    if count > 1 {
        world.require(is_fair(world, place, request, count));
    }
    Beside {
        world: Rc::clone(world),
        request,
    }
}

/// Whether a call may begin beside others: both are reserved for, and the isolate has not hedged too many.
fn is_fair(world: &World, place: &Place, request: usize, count: u32) -> Verdict {
    let share = &place.share;
    share.hedged.set(share.hedged.get() + 1);
    let (hedged, requests) = (share.hedged.get(), share.requests.get());
    let percent = world.hedges.percent().unwrap_or_default();
    if count > 2 || hedged > FREE + requests * percent / 100 {
        let name = &place.name;
        return Err(format!(
            "request {request} has {count} calls at once; {name} has hedged {hedged} of {requests}"
        ));
    }
    let facts = world.facts.borrow();
    let fact = &facts[request];
    let org = world.holders.borrow()[fact.key].key.org;
    let covers = |name| world.of_org(org).any(|ledger| ledger.covers_two(name));
    if fact.name.as_ref().is_some_and(covers) {
        return Ok(());
    }
    Err(format!(
        "request {request} has two calls and reserves for one"
    ))
}
