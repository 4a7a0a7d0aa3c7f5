//! The region's health object, and providers that are down for a while: what an isolate does to a provider that is
//! down, as the provider sees it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use sluice_machines::health::{self, Command, Reply};
use sluice_machines::rows::{RowError, Rows, WriteSet};
use sluice_units::{Span, Timestamp};

use crate::clock::Clock;
use crate::faults::Fault;
use crate::judge::Verdict;
use crate::world::World;

/// Every circuit is open for at least so long, save for clocks that drift; see the providers' document.
const OPEN: Span = Span::from_millis(1_900);
/// So long after the beginning of an outage hardly anything is under way that began before it.
const KNOWN_AFTER: Span = Span::from_seconds(5);
/// What may go through besides probes: what was under way before may still say that all is well, and what others say
/// may come late; each lets through as many calls as open a circuit.
const NEWS_MAX: i64 = 9;
/// The longest time for which a circuit is open, and the longest call.
pub(crate) const RECOVERY_MAX: Span = Span::from_seconds(20 + 30);

/// What a region knows of its providers: rows around the real machine.
pub(crate) struct HealthObject {
    clock: Clock,
    rows: RefCell<Rows>,
    lives: Cell<u64>,
}

impl HealthObject {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            rows: RefCell::default(),
            lives: Cell::new(0),
        }
    }

    /// Which of its lives this is.
    pub(crate) fn life(&self) -> u64 {
        self.lives.get()
    }

    /// Dies; all that it knows is in its rows.
    pub(crate) fn crash(&self) {
        self.lives.set(self.lives.get() + 1);
    }

    /// What it would answer at a true time.
    pub(crate) fn would(&self, now: Timestamp, command: &Command) -> Result<Reply, String> {
        let (reply, _) = self.decide(now, command)?;
        Ok(reply)
    }

    fn decide(&self, now: Timestamp, command: &Command) -> Result<(Reply, WriteSet), String> {
        let mut rows = Rows::new();
        for read in command.reads() {
            rows.extend(self.rows.borrow().answer(&read));
        }
        let decided = health::decide(&rows, self.clock.read(now), command);
        decided.map_err(|error: RowError| error.to_string())
    }

    /// Decides and commits a command.
    pub(crate) fn call(&self, world: &World, command: &Command) -> Result<Reply, String> {
        let (reply, writes) = self.decide(world.now(), command)?;
        let refused = world.weather.commit_refused;
        if !writes.is_empty() {
            if world.faults.strikes(Fault::CommitRefused, refused) {
                return Err("the database refused".to_owned());
            }
            self.rows.borrow_mut().apply(&writes);
        }
        Ok(reply)
    }
}

/// Which providers are down, and until when.
#[derive(Debug, Default)]
pub(crate) struct Outages(RefCell<BTreeMap<&'static str, (Timestamp, Timestamp)>>);

impl Outages {
    /// A provider goes down.
    pub(crate) fn begin(&self, provider: &'static str, now: Timestamp, span: Span) {
        let mut all = self.0.borrow_mut();
        let is_down = all.get(provider).is_some_and(|(_, until)| now < *until);
        if !is_down {
            all.insert(provider, (now, now.plus(span)));
        }
    }

    /// Since when it is down, if it is.
    pub(crate) fn since(&self, provider: &str, now: Timestamp) -> Option<Timestamp> {
        let all = self.0.borrow();
        let (since, until) = all.get(provider)?;
        (now < *until).then_some(*since)
    }
}

/// What one isolate does to one target that is down.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    outage: Timestamp,
    calls: i64,
}

impl Watch {
    /// A call begins: when the outage is known, only probes do.
    pub(crate) fn calls(&mut self, now: Timestamp, outage: Timestamp) -> Verdict {
        if self.outage != outage {
            *self = Self { outage, calls: 0 };
        }
        let known = now.since(outage.plus(KNOWN_AFTER));
        if known == Span::ZERO {
            return Ok(());
        }
        self.calls += 1;
        let probes = known.as_micros() / OPEN.as_micros() + 1;
        if self.calls <= probes + NEWS_MAX {
            return Ok(());
        }
        Err(format!(
            "{} calls to a target in {known:?} in which it was known to be down",
            self.calls
        ))
    }
}
