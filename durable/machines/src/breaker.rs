//! Circuit breakers: whom not to call for a while.
//!
//! Each target (a model at a provider) has a circuit, and each provider has one for what fails all of its models alike.
//! A closed circuit lets calls through, and opens after so many failures in a row, or at a rate of failures over a
//! sliding window. An open one lets nothing through until its time is over. Then it is half-open: one call goes through
//! as a probe, and closes the circuit or opens it again, for longer each time.
//!
//! A pure machine: it knows neither clock nor network, nor what a failure is; whoever calls says how the call ended.
//! Losing it loses nothing: a circuit that is forgotten is closed.
//!
//! **Invariants**
//! - An open circuit lets no call through; a half-open one lets one through in each [`Policy::open`].
//! - Whatever is said of a circuit, it keeps calls away for no longer than [`Policy::open_max`] at a time.
//! - A call that began before the circuit last changed does not change it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sluice_units::{ModelId, ProviderId, SortedMap, Span, Timestamp};

/// How many circuits are remembered; the names of models may be the callers'.
pub const CIRCUITS_MAX: usize = 1_024;
/// A window slides in steps of this part of it.
const STEPS: usize = 6;
/// How often the time that a circuit is open is doubled, at most; other bounds are tighter.
const DOUBLINGS_MAX: u32 = 20;

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// So many failures in a row open it.
    pub failures_max: u32,
    /// So many failures among a hundred calls open it.
    pub error_percent: u32,
    /// Over so long.
    pub window: Span,
    /// If there were so many calls.
    pub calls_min: u32,
    /// How long it is open at first; doubled each time that it opens again.
    pub open: Span,
    /// How long it is open at most.
    pub open_max: Span,
}

/// What the end of a call says of whom was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer begins, and may still fail.
    Begun,
    /// It works.
    Success,
    /// It does not; it may have said how long to stay away.
    Failure(Option<Span>),
    /// Nothing: the caller's fault, or the caller left.
    Neither,
}

/// Leave to make a call. Its holder says how the call ended, with [`Circuit::note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    era: u64,
}

/// How a circuit has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It lets nothing through until then.
    Opened(Timestamp),
    /// It lets everything through.
    Closed,
    /// A probe said nothing: the next call is one.
    Waits,
}

/// One circuit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Circuit {
    state: State,
    /// Counts the changes.
    era: u64,
    in_a_row: u32,
    counts: Counts,
    /// How often it has opened again.
    repeats: u32,
    closed_at: Option<Timestamp>,
}

/// Where a circuit stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls go through.
    #[default]
    Closed,
    /// None does until then; the one after it is a probe.
    Open(Timestamp),
    /// A probe is under way; after this it is not waited for any more.
    HalfOpen(Timestamp),
}

impl Circuit {
    /// Whether a call may be made now; if not, until when not.
    ///
    /// # Errors
    /// The time at which to ask again.
    pub fn may(&self, now: Timestamp, policy: &Policy) -> Result<(), Timestamp> {
        match self.state {
            State::Closed => Ok(()),
            // What lies further away was written by a clock that was set back since.
            State::Open(until) | State::HalfOpen(until)
                if now < until && until.since(now) <= policy.open_max =>
            {
                Err(until)
            }
            State::Open(_) | State::HalfOpen(_) => Ok(()),
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// For how long it lets nothing through, as far as is known.
    #[must_use]
    pub const fn left(&self, now: Timestamp) -> Span {
        match self.state {
            State::Closed => Span::ZERO,
            State::Open(until) | State::HalfOpen(until) => until.since(now),
        }
    }

    /// Whether calls go through as always; if not, the next that does is a probe.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Leave to make a call that [`Self::may`] be made. Whoever gets it from a circuit that is not closed is its probe.
    pub fn take(&mut self, now: Timestamp, policy: &Policy) -> Pass {
        if !self.is_closed() {
            self.enter(State::HalfOpen(now.plus(policy.open.min(policy.open_max))));
        }
        Pass { era: self.era }
    }

    /// How a call ended, or how it goes: one whose answer has begun is noted again at its end.
    pub fn note(
        &mut self,
        now: Timestamp,
        policy: &Policy,
        pass: &mut Pass,
        outcome: Outcome,
    ) -> Option<Change> {
        if pass.era != self.era {
            return None;
        }
        let is_probe = !self.is_closed();
        let change = match outcome {
            Outcome::Begun | Outcome::Success if is_probe => Some(self.close(now)),
            Outcome::Failure(wait) if is_probe => {
                self.repeats = self.repeats.saturating_add(1);
                Some(self.open(now, policy, wait))
            }
            Outcome::Neither if is_probe => {
                self.enter(State::Open(now));
                Some(Change::Waits)
            }
            Outcome::Begun | Outcome::Neither => None,
            Outcome::Success => {
                self.in_a_row = 0;
                self.counts.add(now, policy.window, 1, 0);
                None
            }
            Outcome::Failure(wait) => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.counts.add(now, policy.window, 1, 1);
                let trips = self.in_a_row >= policy.failures_max || self.counts.trip(policy);
                trips.then(|| self.trip(now, policy, wait))
            }
        };
        if outcome == Outcome::Begun {
            // Its end counts, whatever its beginning has changed.
            pass.era = self.era;
        }
        change
    }

    /// Takes in what others have counted; opens if the rate of failures says so.
    pub fn count(
        &mut self,
        now: Timestamp,
        policy: &Policy,
        calls: u32,
        failures: u32,
    ) -> Option<Change> {
        if !self.is_closed() {
            return None;
        }
        self.counts
            .add(now, policy.window, calls, failures.min(calls));
        (failures > 0 && self.counts.trip(policy)).then(|| self.trip(now, policy, None))
    }

    /// Whoever has seen it says that it is open for so long. Says whether that is news.
    pub fn tell_open(&mut self, now: Timestamp, left: Span) -> bool {
        let until = now.plus(left);
        let is_news = !matches!(self.state, State::Open(own) if own >= until);
        if is_news {
            self.enter(State::Open(until));
        }
        is_news
    }

    /// Others say that it is open for so long, and no longer. A probe that is under way here knows better.
    pub fn hear_open(&mut self, now: Timestamp, left: Span) {
        if !matches!(self.state, State::HalfOpen(_)) {
            self.enter(State::Open(now.plus(left)));
        }
    }

    /// Others say that it is closed. Says whether that is news.
    pub fn hear_closed(&mut self, now: Timestamp) -> bool {
        let is_news = !self.is_closed();
        if is_news {
            self.close(now);
        }
        is_news
    }

    /// Lets the next call through as a probe, for it may succeed. Says whether that is news.
    pub fn hurry(&mut self, now: Timestamp) -> bool {
        let is_news =
            matches!(self.state, State::Open(until) | State::HalfOpen(until) if until > now);
        if is_news {
            self.enter(State::Open(now));
        }
        is_news
    }

    /// Opens, after having been closed.
    fn trip(&mut self, now: Timestamp, policy: &Policy, wait: Option<Span>) -> Change {
        let is_again = self
            .closed_at
            .is_some_and(|at| now.since(at) <= policy.open_max);
        self.repeats = if is_again {
            self.repeats.saturating_add(1)
        } else {
            0
        };
        self.open(now, policy, wait)
    }

    fn open(&mut self, now: Timestamp, policy: &Policy, wait: Option<Span>) -> Change {
        let doubled = policy.open.times(1_i64 << self.repeats.min(DOUBLINGS_MAX));
        let span = doubled.max(wait.unwrap_or_default()).min(policy.open_max);
        let until = now.plus(span);
        self.enter(State::Open(until));
        Change::Opened(until)
    }

    fn close(&mut self, now: Timestamp) -> Change {
        self.enter(State::Closed);
        self.closed_at = Some(now);
        Change::Closed
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era = self.era.saturating_add(1);
        self.in_a_row = 0;
        self.counts = Counts::default();
    }
}

/// Calls and failures within a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    /// The number of the step that the last of the steps is.
    step: i64,
    steps: [(u32, u32); STEPS],
}

impl Counts {
    fn add(&mut self, now: Timestamp, window: Span, calls: u32, failures: u32) {
        let parts = i64::try_from(STEPS).unwrap_or(1).max(1);
        let length = window.as_micros().div_euclid(parts).max(1);
        let step = now.as_micros().div_euclid(length);
        // A clock that was set back counts in the step that it was in.
        let passed = usize::try_from(step.saturating_sub(self.step)).unwrap_or(0);
        if passed > 0 {
            let kept = passed.min(STEPS);
            self.steps.rotate_left(kept);
            let fresh = self.steps.iter_mut().rev().take(kept);
            fresh.for_each(|step| *step = (0, 0));
            self.step = step;
        }
        if let Some((all, failed)) = self.steps.last_mut() {
            *all = all.saturating_add(calls);
            *failed = failed.saturating_add(failures);
        }
    }

    fn trip(&self, policy: &Policy) -> bool {
        let sum = |part: fn(&(u32, u32)) -> u32| -> u64 {
            self.steps.iter().map(|step| u64::from(part(step))).sum()
        };
        let (calls, failures) = (sum(|step| step.0), sum(|step| step.1));
        calls >= u64::from(policy.calls_min)
            && failures.saturating_mul(100) >= calls.saturating_mul(u64::from(policy.error_percent))
    }
}

/// Whose circuit it is: a provider's, or that of one model there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name {
    /// The provider.
    pub provider: ProviderId,
    /// The model; none where it is about all of them.
    pub model: Option<ModelId>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.model {
            Some(model) => write!(f, "{}/{model}", self.provider),
            None => self.provider.fmt(f),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for Name {
    type Error = sluice_units::IdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // No provider's name has a slash.
        let (provider, model) = match text.split_once('/') {
            Some((provider, model)) => (provider, Some(ModelId::new(model)?)),
            None => (text.as_str(), None),
        };
        Ok(Self {
            provider: ProviderId::new(provider)?,
            model,
        })
    }
}

/// Many circuits, by name.
#[derive(Debug, Default)]
pub struct Board(SortedMap<Name, Circuit>);

impl Board {
    /// A circuit. Where there are too many, those that are closed are forgotten; `None` when none is.
    pub fn circuit(&mut self, name: &Name) -> Option<&mut Circuit> {
        if self.0.len() >= CIRCUITS_MAX && !self.0.contains_key(name) {
            self.0.retain(|_, circuit| !circuit.is_closed());
            if self.0.len() >= CIRCUITS_MAX {
                return None;
            }
        }
        Some(self.0.get_or_default(name.clone()))
    }

    /// The circuits that are remembered.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Name, &mut Circuit)> {
        self.0.iter_mut()
    }
}
