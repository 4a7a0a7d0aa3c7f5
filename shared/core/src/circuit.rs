//! Which targets are not called for a while: what a call's end says of its target, and of the target's provider.
//!
//! An isolate decides by what it sees, at once, and reports it beside its requests; what other isolates of the region
//! have seen comes back with the reports. Only a probe asks first, so that one request probes for all.
//!
//! What a provider is to blame for counts against it, what the caller is to blame for does not. A provider that answers
//! at all can be reached and accepts the gateway's key, whatever it answers.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use sluice_machines::breaker::{Board, CIRCUITS_MAX, Change, Name, Outcome, Pass, Policy};
use sluice_machines::capacity::ASK_MAX;
use sluice_machines::health::{Command, Reply, Report, Seen, Snapshot, Tally, Told};
use sluice_units::{SortedMap, Span, Timestamp};
use sluice_wire::ErrorClass;

use crate::config::{FailureName, Failures, TargetRef};
use crate::isolate::Isolate;
use crate::plan::Failure;
use crate::platform::{FetchError, Level, Platform};

/// A report is made at least this often while calls are made; at once when a circuit has changed.
const REPORT_EVERY: Span = Span::from_seconds(10);
/// A report is made at least this often although nothing counts, for it says that somebody is here.
const PRESENCE_EVERY: Span = Span::from_seconds(300);
/// How long a change waits for others, to be reported with them.
const COMPANY: Span = Span::from_millis(50);
/// How long after one report the next may be made.
const PACE: Span = Span::from_seconds(1);
/// After this long a report is taken for lost with the request that it was made beside.
const REPORT_MAX: Span = Span::from_seconds(10);
/// How many circuits one report is about, at most.
const SEEN_MAX: usize = 256;

/// The circuits as one isolate sees them, and what it has not reported yet.
#[derive(Debug, Default)]
pub struct Circuits {
    board: Board,
    unreported: SortedMap<Name, Seen>,
    is_urgent: bool,
    /// The circuits whose changes are on their way.
    on_its_way: Vec<Name>,
    /// The region's last change that this isolate knows.
    version: u64,
    /// The region's last change that it has heard of.
    heard: u64,
    reported_at: Option<Timestamp>,
    reporting_since: Option<Timestamp>,
}

/// Leave to call a target; whoever holds it says how the call ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permit {
    provider: Option<Pass>,
    target: Option<Pass>,
    since: Timestamp,
    /// An answer's head came: what fails after that is the target's affair.
    has_spoken: bool,
}

impl Permit {
    /// The same, of a call whose answer's head came.
    #[must_use]
    pub const fn of_one_who_speaks(mut self) -> Self {
        self.has_spoken = true;
        self
    }
}

/// How a call went, so far or in the end.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// An answer begins.
    Begun,
    /// A whole answer came.
    Answered,
    /// There is none, or not all of it.
    Failed(&'a Failure),
    /// Nobody knows.
    Left,
}

impl Circuits {
    /// Leave to call this target now, and the circuits that the call is a probe of.
    ///
    /// # Errors
    /// How long its circuit, or its provider's, is open at least.
    pub fn ask(&mut self, now: Timestamp, target: &TargetRef) -> Result<(Permit, Vec<Name>), Span> {
        if target.circuit.failures == Failures::NONE {
            return Ok((Permit::default(), Vec::new()));
        }
        let until = self.refusals(now, target).max();
        if let Some(until) = until {
            return Err(until.since(now));
        }
        let mut probes = Vec::new();
        let mut take = |(name, policy): (Name, Policy)| {
            let circuit = self.board.circuit(&name)?;
            let is_probe = !circuit.is_closed();
            let pass = circuit.take(now, &policy);
            probes.extend(is_probe.then_some(name));
            Some(pass)
        };
        let [provider, of_target] = circuits_of(target);
        let permit = Permit {
            provider: take(provider),
            target: take(of_target),
            since: now,
            has_spoken: false,
        };
        Ok((permit, probes))
    }

    /// How long a call would be refused at that moment, as far as can be told now.
    pub fn refusal(&mut self, at: Timestamp, target: &TargetRef) -> Option<Span> {
        if target.circuit.failures == Failures::NONE {
            return None;
        }
        let until = self.refusals(at, target).max();
        until.map(|until| until.since(at))
    }

    /// Whether calls are made as always: nothing is open, and nothing waits for a probe.
    pub fn is_closed(&mut self, target: &TargetRef) -> bool {
        target.circuit.failures == Failures::NONE
            || circuits_of(target).iter().all(|(name, _)| {
                let circuit = self.board.circuit(name);
                circuit.is_none_or(|circuit| circuit.is_closed())
            })
    }

    fn refusals<'a>(
        &'a mut self,
        now: Timestamp,
        target: &TargetRef,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let all = circuits_of(target).into_iter();
        all.filter_map(move |(name, policy)| self.board.circuit(&name)?.may(now, &policy).err())
    }

    /// How a permitted call went.
    pub fn note(&mut self, now: Timestamp, target: &TargetRef, permit: &mut Permit, end: End<'_>) {
        let (provider, of_target) = outcomes(end, target.circuit.failures, permit.has_spoken);
        let passes = [
            (&mut permit.provider, provider),
            (&mut permit.target, of_target),
        ];
        for ((name, policy), (pass, outcome)) in circuits_of(target).into_iter().zip(passes) {
            let (Some(circuit), Some(pass)) = (self.board.circuit(&name), pass.as_mut()) else {
                continue;
            };
            let change = circuit.note(now, &policy, pass, outcome);
            let Some(seen) = self.seen(name, policy) else {
                continue;
            };
            count(&mut seen.tally, outcome, now.since(permit.since));
            if let Some(change) = change {
                seen.change = Some(match change {
                    Change::Opened(until) => Told::Opened(until.since(now)),
                    Change::Closed => Told::Closed,
                    Change::Waits => Told::Waits,
                });
                self.is_urgent = true;
            }
        }
    }

    /// The region did not give leave for this call, and says until when.
    pub fn give_back(
        &mut self,
        now: Timestamp,
        target: &TargetRef,
        permit: Permit,
        snapshot: &Snapshot,
    ) -> Span {
        let passes = [permit.provider, permit.target];
        for ((name, policy), pass) in circuits_of(target).into_iter().zip(passes) {
            if let (Some(circuit), Some(mut pass)) = (self.board.circuit(&name), pass)
                && !circuit.is_closed()
            {
                circuit.note(now, &policy, &mut pass, Outcome::Neither);
            }
        }
        self.hear(now, snapshot);
        self.refusal(now, target).unwrap_or_default()
    }

    fn seen(&mut self, name: Name, policy: Policy) -> Option<&mut Seen> {
        if self.unreported.len() >= CIRCUITS_MAX && !self.unreported.contains_key(&name) {
            return None;
        }
        let seen = self.unreported.get_or_insert_with(name.clone(), || Seen {
            name,
            policy,
            tally: Tally::default(),
            change: None,
        });
        seen.policy = policy;
        Some(seen)
    }

    /// The region's last change that this isolate knows.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Somebody knows of this change.
    pub fn hear_of(&mut self, version: u64) {
        self.heard = self.heard.max(version);
    }

    /// Takes over what is open in the region, save for what this isolate has seen since and not told yet.
    pub fn hear(&mut self, now: Timestamp, snapshot: &Snapshot) {
        self.hear_of(snapshot.version);
        let Some(open) = &snapshot.open else { return };
        if snapshot.version < self.version {
            return;
        }
        self.version = snapshot.version;
        let untold = |name: &Name| {
            let seen = self.unreported.get(name);
            seen.is_some_and(|seen| seen.change.is_some()) || self.on_its_way.contains(name)
        };
        for (name, circuit) in self.board.iter_mut() {
            if !untold(name) && !open.iter().any(|(one, _)| one == name) {
                circuit.hear_closed(now);
            }
        }
        for (name, left) in open.iter().filter(|(name, _)| !untold(name)) {
            if let Some(circuit) = self.board.circuit(name) {
                circuit.hear_open(now, *left);
            }
        }
    }

    /// How long to wait before the next report, if one is to be made.
    fn begin(&mut self, now: Timestamp) -> Option<Span> {
        let left = |since: Option<Timestamp>, span: Span| {
            // A clock that was set back tells nothing.
            let since = since.filter(|since| *since <= now);
            since.map_or(Span::ZERO, |since| since.plus(span).since(now))
        };
        if left(self.reporting_since, REPORT_MAX) > Span::ZERO {
            return None;
        }
        let pace = if self.unreported.is_empty() {
            PRESENCE_EVERY
        } else {
            REPORT_EVERY
        };
        let wait = if self.is_urgent || self.heard > self.version {
            left(self.reported_at, PACE)
        } else if left(self.reported_at, pace) == Span::ZERO {
            Span::ZERO
        } else {
            return None;
        };
        self.reporting_since = Some(now);
        Some(wait.max(COMPANY))
    }

    fn report(&mut self, now: Timestamp) -> Report {
        self.is_urgent = false;
        let mut seen = Vec::new();
        while seen.len() < SEEN_MAX
            && let Some((name, mut one)) = self.unreported.pop_first()
        {
            if let Some(Told::Opened(left)) = &mut one.change {
                // Some of it may be over.
                let circuit = self.board.circuit(&name);
                *left = circuit.map_or(Span::ZERO, |circuit| circuit.left(now));
            }
            seen.push(one);
        }
        let changed = seen.iter().filter(|one| one.change.is_some());
        self.on_its_way = changed.map(|one| one.name.clone()).collect();
        Report {
            since: self.version,
            seen,
            probe: Vec::new(),
        }
    }

    /// What became of a report.
    fn end(&mut self, now: Timestamp, report: Report, heard: Option<Snapshot>) {
        self.reporting_since = None;
        self.on_its_way.clear();
        match heard {
            Some(snapshot) => {
                self.hear(now, &snapshot);
            }
            None => {
                self.is_urgent = true;
                for one in report.seen {
                    self.unreported.get_or_insert(one.name.clone(), one);
                }
            }
        }
        self.reported_at = Some(now);
    }
}

fn count(tally: &mut Tally, outcome: Outcome, after: Span) {
    match outcome {
        Outcome::Begun => {
            tally.begun = tally.begun.saturating_add(1);
            tally.first_byte = tally.first_byte.plus(after);
        }
        Outcome::Success => {
            tally.calls = tally.calls.saturating_add(1);
            tally.answered = tally.answered.saturating_add(1);
            tally.latency = tally.latency.plus(after);
        }
        Outcome::Failure(_) => {
            tally.calls = tally.calls.saturating_add(1);
            tally.failures = tally.failures.saturating_add(1);
        }
        Outcome::Neither => {}
    }
}

/// Reports beside the request what has happened, and hears what the region knows, if it is time to.
pub fn exchange<P: Platform>(p: &P, isolate: &Rc<Isolate>) {
    let Some(wait) = isolate.circuits.borrow_mut().begin(p.now()) else {
        return;
    };
    let (p, isolate) = (p.clone(), Rc::clone(isolate));
    p.clone().spawn(async move {
        p.sleep(wait).await;
        let report = isolate.circuits.borrow_mut().report(p.now());
        let command = Command::Report(report.clone());
        let heard = snapshot(ask(&p, &command).await);
        let is_heard = heard.is_some();
        let now = p.now();
        isolate.circuits.borrow_mut().end(now, report, heard);
        if is_heard {
            // Something may have happened meanwhile.
            exchange(&p, &isolate);
        }
    });
}

/// Hears what is open in the region before this isolate's first call, where isolates are too many, or live for too few
/// requests, to find out by themselves. Where the region is out of reach nothing is open.
pub async fn hear_first<P: Platform>(p: &P, isolate: &Isolate) {
    let question = Command::Report(Report::default());
    if let Some(heard) = snapshot(ask_soon(p, &question).await) {
        isolate.circuits.borrow_mut().hear(p.now(), &heard);
    }
}

/// Leave of the region to probe these circuits; `None` where nobody is there to give it.
pub async fn leave<P: Platform>(p: &P, probe: Vec<Name>) -> Option<Snapshot> {
    let command = Command::Report(Report {
        probe,
        ..Report::default()
    });
    snapshot(ask_soon(p, &command).await)
}

/// What a report is answered, if it is.
fn snapshot(reply: Option<Reply>) -> Option<Snapshot> {
    match reply {
        Some(Reply::Snapshot(snapshot)) => Some(snapshot),
        _ => None,
    }
}

/// Asks the region while somebody waits for it: `None` where it is out of reach.
pub(crate) async fn ask_soon<P: Platform>(p: &P, command: &Command) -> Option<Reply> {
    let asked = pin!(ask(p, command));
    let late = pin!(p.sleep(ASK_MAX));
    match select(asked, late).await {
        Either::Left((reply, _)) => reply,
        Either::Right(_) => None,
    }
}

async fn ask<P: Platform>(p: &P, command: &Command) -> Option<Reply> {
    match p.health(command).await {
        Ok(reply) => Some(reply),
        Err(error) => {
            p.log(Level::Warn, &format!("health not reached: {error}"));
            None
        }
    }
}

/// The circuits that a call to this target depends on: its provider's, and its own.
fn circuits_of(target: &TargetRef) -> [(Name, Policy); 2] {
    let name = |model| Name {
        provider: target.provider.id.clone(),
        model,
    };
    [
        (name(None), target.provider.circuit.policy),
        (name(Some(target.model.clone())), target.circuit.policy),
    ]
}

/// What a call's end says of the provider, and of the target.
fn outcomes(end: End<'_>, counted: Failures, has_spoken: bool) -> (Outcome, Outcome) {
    let failure = match end {
        End::Begun => return (Outcome::Begun, Outcome::Begun),
        // What got lost on the way to the caller was there.
        End::Answered | End::Failed(Failure::LossyAnswer(_)) => {
            return (Outcome::Success, Outcome::Success);
        }
        End::Left => return (Outcome::Neither, Outcome::Neither),
        End::Failed(failure) => failure,
    };
    let wait = match failure {
        Failure::Answered(error) => error.retry_after,
        _ => None,
    };
    let speaks = if has_spoken {
        Outcome::Success
    } else {
        Outcome::Neither
    };
    match kind(failure).filter(|kind| counted.has(*kind)) {
        None => (speaks, Outcome::Neither),
        Some(_) if concerns_all_models(failure, has_spoken) => {
            (Outcome::Failure(wait), Outcome::Neither)
        }
        Some(_) => (speaks, Outcome::Failure(wait)),
    }
}

/// What counts, if it is counted; nothing where the provider is not to blame.
const fn kind(failure: &Failure) -> Option<FailureName> {
    Some(match failure {
        Failure::Answered(error) => match error.class {
            ErrorClass::Authentication => FailureName::Authentication,
            ErrorClass::RateLimited => FailureName::RateLimit,
            ErrorClass::QuotaExhausted => FailureName::Quota,
            ErrorClass::Overloaded => FailureName::Overloaded,
            ErrorClass::Timeout => FailureName::Timeout,
            ErrorClass::Server => FailureName::Error,
            ErrorClass::InvalidRequest
            | ErrorClass::ContextLength
            | ErrorClass::ContentPolicy
            | ErrorClass::Permission
            | ErrorClass::UnsupportedCountry
            | ErrorClass::NotFound => return None,
        },
        Failure::Unreachable(FetchError::NoEgress) => return None,
        Failure::Unreachable(_) => FailureName::Connect,
        Failure::Timeout(_) => FailureName::Timeout,
        Failure::Garbled(_) => FailureName::Error,
        Failure::BadKey { .. } => FailureName::Authentication,
        // Nobody was called, or somebody answered.
        Failure::NoKey(_)
        | Failure::CircuitOpen(_)
        | Failure::AtCapacity { .. }
        | Failure::Outdated(_)
        | Failure::Inexpressible(_)
        | Failure::Refused(_)
        | Failure::Lossy(_)
        | Failure::LossyAnswer(_)
        | Failure::Outrun => return None,
    })
}

/// Whether every model of the provider would fail alike.
const fn concerns_all_models(failure: &Failure, has_spoken: bool) -> bool {
    match failure {
        Failure::Answered(error) => matches!(
            error.class,
            ErrorClass::Authentication | ErrorClass::QuotaExhausted
        ),
        // Not every platform tells a connection that was refused from one that broke.
        Failure::Unreachable(_) => !has_spoken,
        Failure::BadKey { .. } => true,
        _ => false,
    }
}
