//! What a region knows of its providers: the circuits of all isolates in one, and how well each target serves.
//!
//! Isolates decide by what they see themselves and report it afterwards: circuits that have opened or closed, and
//! counts of calls. What opens for one is open for all as soon as they hear of it; a rate of failures that no isolate
//! sees alone is seen here. While a circuit is half-open, whoever wants to probe asks for leave, and one gets it.
//! Losing all of it loses nothing: isolates go on by themselves. [`look`] says which providers are looked at besides, and
//! [`capacity`] how many calls of the region are made to one at once, where that is bounded.
//!
//! Knows neither network nor secrets. A report is decided like any command: rows in, writes out.
//!
//! **Invariants**
//! - Each change of a circuit raises the version by one, in the same commit.
//! - Leave to probe a circuit is given once in each [`Policy::open`], as long as it is not closed.
//! - A target that was not called for [`KEPT`] is forgotten, unless it is a provider that is looked at; there are never
//!   more than [`TARGETS_MAX`].

mod look;

use serde::{Deserialize, Serialize};
use sluice_units::{Span, Timestamp};

use crate::breaker::{Change, Circuit, Name, Policy};
use crate::capacity::{self, Ask, Granted};
use crate::rows::{Read, RowError, RowKey, Rows, V1, Work, WriteSet, decode};

pub use look::{AGAIN, Finding, Listed, QUIET, REVIEWED, WATCHED, looked, next, review};

/// How many targets are known at once; further ones are not taken in.
pub const TARGETS_MAX: u32 = 1_000;
/// How long a target is remembered that nobody calls.
pub const KEPT: Span = Span::from_seconds(86_400);
/// How many calls weigh as much as all those before.
const WEIGHT: i64 = 16;

const TARGETS: &str = "t/";
const META: &str = "meta";

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Take this in, and tell what is open.
    Report(Report),
    /// Tell everything.
    Standing,
    /// Lease slots of a provider that takes so many calls at once.
    Capacity(Ask),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What is open.
    Snapshot(Snapshot),
    /// Everything, in the order of the names; behind it providers of which nothing is known but who holds slots.
    Standing(Vec<Target>),
    /// The slots that are leased.
    Capacity(Granted),
}

impl Command {
    /// What must be seen before it can be decided.
    #[must_use]
    pub fn reads(&self) -> Vec<Read> {
        match self {
            Self::Report(_) => reads(),
            Self::Standing => [reads(), vec![capacity::all()]].concat(),
            Self::Capacity(ask) => capacity::reads(ask),
        }
    }
}

/// What an isolate has seen since its last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The version that it knows.
    pub since: u64,
    /// Whom it has called.
    pub seen: Vec<Seen>,
    /// Which circuits it wants to probe with one call.
    pub probe: Vec<Name>,
}

/// What an isolate has seen of one target, or of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Whom.
    pub name: Name,
    /// When its circuit opens.
    pub policy: Policy,
    /// What the calls were like.
    #[serde(default)]
    pub tally: Tally,
    /// How its circuit changed, if it did.
    #[serde(default)]
    pub change: Option<Told>,
}

/// How a circuit changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It is open for so long.
    Opened(Span),
    /// A probe was answered.
    Closed,
    /// A probe said nothing: the next may be made.
    Waits,
}

/// What some calls were like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// How many ended, or began to be answered.
    pub calls: u32,
    /// How many of them failed, by what counts as a failure.
    pub failures: u32,
    /// How many first bytes came.
    pub begun: u32,
    /// After how long, together.
    pub first_byte: Span,
    /// How many were answered to the end.
    pub answered: u32,
    /// After how long, together.
    pub latency: Span,
}

/// What is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The last change.
    pub version: u64,
    /// The circuits that are not closed, and for how long they let nothing through; absent where the asker knows.
    pub open: Option<Vec<(Name, Span)>>,
    /// The asker may make its probe.
    pub may_probe: bool,
}

/// What is known of a target, or of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Whose it is.
    pub name: Name,
    /// All that is stored of it.
    #[serde(flatten)]
    pub health: Health,
    /// How many of the provider's slots are held.
    #[serde(default)]
    pub slots: u32,
}

/// How well a target serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    v: V1,
    /// Its circuit.
    pub circuit: Circuit,
    policy: Option<Policy>,
    /// How often it is looked at while nobody calls it; never where it is nothing.
    #[serde(default)]
    look: Span,
    /// All calls.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Of a thousand calls lately, about.
    pub failures_permille: i64,
    /// To the first byte of an answer lately, about.
    pub first_byte: Span,
    /// To the end of an answer lately, about.
    pub latency: Span,
    /// When it was last called, as far as is known.
    pub called_at: Timestamp,
    /// When its provider was last looked at, and whether it answered, if that could be told.
    #[serde(default)]
    pub looked: Option<(Timestamp, Option<bool>)>,
    /// Nobody answered then.
    #[serde(default)]
    is_gone: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Meta {
    v: V1,
    version: u64,
    reported_at: Timestamp,
    #[serde(default)]
    reviewed_at: Timestamp,
}

impl Health {
    fn take_in(&mut self, now: Timestamp, seen: &Seen) {
        let tally = &seen.tally;
        self.policy = Some(seen.policy);
        self.calls = self.calls.saturating_add(u64::from(tally.calls));
        self.failures = self.failures.saturating_add(u64::from(tally.failures));
        let permille = i64::from(tally.failures).saturating_mul(1_000);
        self.failures_permille = lately(self.failures_permille, permille, tally.calls);
        let (first, whole) = (tally.first_byte.as_micros(), tally.latency.as_micros());
        self.first_byte =
            Span::from_micros(lately(self.first_byte.as_micros(), first, tally.begun));
        self.latency = Span::from_micros(lately(self.latency.as_micros(), whole, tally.answered));
        if tally.calls > 0 {
            self.called_at = now;
        }
    }

    /// How its circuit has changed, if this says that it did.
    fn judge(&mut self, now: Timestamp, seen: &Seen) -> bool {
        match &seen.change {
            Some(Told::Opened(left)) => self
                .circuit
                .tell_open(now, (*left).min(seen.policy.open_max)),
            Some(Told::Closed) => self.circuit.hear_closed(now),
            Some(Told::Waits) => self.circuit.hurry(now),
            None => {
                let (calls, failures) = (seen.tally.calls, seen.tally.failures);
                let change = self.circuit.count(now, &seen.policy, calls, failures);
                matches!(change, Some(Change::Opened(_)))
            }
        }
    }

    /// For how long it lets nothing through, unless it is closed.
    fn open(&self, now: Timestamp) -> Option<Span> {
        (!self.circuit.is_closed()).then(|| self.circuit.left(now))
    }

    /// Whether nobody needs it any more.
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.called_at) > KEPT
            && self.look == Span::ZERO
            && self.circuit.left(now) == Span::ZERO
    }
}

/// An average that follows: `sum` over `count` new values moves it by their share of the weight.
fn lately(average: i64, sum: i64, count: u32) -> i64 {
    let count = i64::from(count);
    let Some(mean) = sum.checked_div(count) else {
        return average;
    };
    if average == 0 {
        return mean;
    }
    let share = mean.saturating_sub(average).saturating_mul(count);
    let weight = count.saturating_add(WEIGHT).max(1);
    average.saturating_add(share.checked_div(weight).unwrap_or(0))
}

/// What must be seen before providers can be looked at, or what is known of them.
#[must_use]
pub fn reads() -> Vec<Read> {
    vec![
        Read::Row(META.to_owned()),
        Read::prefix(TARGETS, TARGETS_MAX),
    ]
}

/// Decides a command.
///
/// # Errors
/// [`RowError`] when a stored row cannot be used; nothing may be written then.
pub fn decide(
    rows: &Rows,
    now: Timestamp,
    command: &Command,
) -> Result<(Reply, WriteSet), RowError> {
    match command {
        Command::Report(report) => {
            let (snapshot, writes) = take_in(rows, now, report)?;
            Ok((Reply::Snapshot(snapshot), writes))
        }
        Command::Standing => Ok((Reply::Standing(standing(rows, now)?), WriteSet::new())),
        Command::Capacity(ask) => {
            let (granted, writes) = capacity::decide(rows, now, ask)?;
            Ok((Reply::Capacity(granted), writes))
        }
    }
}

fn targets(rows: &Rows) -> impl Iterator<Item = Result<Target, RowError>> + '_ {
    rows.with_prefix(TARGETS).map(|(key, text)| {
        let name = key.strip_prefix(TARGETS).unwrap_or_default().to_owned();
        let name = Name::try_from(name).map_err(|error| RowError {
            key: key.to_owned(),
            detail: error.to_string(),
        })?;
        let health = decode(key, text)?;
        let slots = 0;
        Ok(Target {
            name,
            health,
            slots,
        })
    })
}

fn standing(rows: &Rows, now: Timestamp) -> Result<Vec<Target>, RowError> {
    let mut all = targets(rows).collect::<Result<Vec<_>, _>>()?;
    capacity::held(rows, now, |provider, slots| {
        let name = Name {
            provider,
            model: None,
        };
        if let Some(target) = all.iter_mut().find(|target| target.name == name) {
            target.slots = slots;
        } else if slots > 0 {
            let health = Health::default();
            all.push(Target {
                name,
                health,
                slots,
            });
        }
    })?;
    Ok(all)
}

/// Whether no further target is taken in.
fn is_full(count: usize) -> bool {
    u32::try_from(count).map_or(true, |count| count >= TARGETS_MAX)
}

fn row_key(name: &Name) -> RowKey {
    format!("{TARGETS}{name}")
}

fn take_in(rows: &Rows, now: Timestamp, report: &Report) -> Result<(Snapshot, WriteSet), RowError> {
    let mut work = Work::new(rows);
    let mut changes = 0_u64;
    let mut count = rows.with_prefix(TARGETS).count();
    for seen in &report.seen {
        let key = row_key(&seen.name);
        if !work.has(&key) {
            if is_full(count) {
                continue;
            }
            count = count.saturating_add(1);
        }
        let health: &mut Health = work.hot_mut(&key)?;
        health.take_in(now, seen);
        changes = changes.saturating_add(u64::from(health.judge(now, seen)));
    }
    let may_probe = may_probe(&mut work, now, &report.probe)?;
    let before: Meta = work.load(META)?.unwrap_or_default();
    let meta = Meta {
        version: before.version.saturating_add(changes),
        reported_at: now,
        ..before
    };
    // A mere question writes nothing, unless it is the only sign that somebody is here.
    if !report.seen.is_empty() || now.since(before.reported_at) >= REVIEWED {
        work.put(META.to_owned(), &meta)?;
    }
    let after = work.snapshot()?;
    let mut open = Vec::new();
    for target in targets(&after) {
        let Target { name, health, .. } = target?;
        if health.is_over(now) {
            work.delete(&row_key(&name));
        } else if let Some(left) = health.open(now) {
            open.push((name, left));
        }
    }
    let knows = report.since == meta.version && report.probe.is_empty();
    let snapshot = Snapshot {
        version: meta.version,
        open: (!knows).then_some(open),
        may_probe,
    };
    Ok((snapshot, work.finish()?))
}

/// Gives leave to probe all of these, or none.
fn may_probe(work: &mut Work<'_>, now: Timestamp, names: &[Name]) -> Result<bool, RowError> {
    let mut wanted = Vec::new();
    for name in names {
        let key = row_key(name);
        if !work.has(&key) {
            continue;
        }
        let health: &Health = work.hot(&key)?;
        if let (false, Some(policy)) = (health.circuit.is_closed(), health.policy) {
            if health.circuit.may(now, &policy).is_err() {
                return Ok(false);
            }
            wanted.push((key, policy));
        }
    }
    for (key, policy) in wanted {
        let health: &mut Health = work.hot_mut(&key)?;
        health.circuit.take(now, &policy);
    }
    Ok(!names.is_empty())
}
