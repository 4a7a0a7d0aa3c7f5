//! Which providers are looked at, when, and what comes of it.
//!
//! Whoever looks says first which providers are configured: so one that nobody has called yet, a fallback, is known to
//! be gone before a request needs it. A provider is looked at while nobody calls it or a circuit of it is open. One that
//! failed is asked again soon until its circuit is open. One that is gone is asked again when that time is over, so that
//! no request has to find out; where there is any answer a request may, for it may fare better than a look.

use sluice_units::{ProviderId, Span, Timestamp};

use super::{Health, META, Meta, TARGETS, Target, is_full, row_key, targets};
use crate::breaker::{Name, Outcome, Policy, State};
use crate::rows::{RowError, Rows, Work, WriteSet};

/// How often it is asked which providers are configured.
pub const REVIEWED: Span = Span::from_seconds(60);
/// How soon a look that failed is followed by the next.
pub const AGAIN: Span = Span::from_seconds(5);
/// After so long without a report, looks that are a matter of routine are so far apart.
pub const QUIET: Span = Span::from_seconds(900);
/// After so long without a report nobody is there for whom to look.
pub const WATCHED: Span = Span::from_seconds(7 * 86_400);

/// A provider that is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub provider: ProviderId,
    /// How often, while nobody calls it.
    pub look: Span,
    /// When its circuit opens; none where no call depends on it.
    pub policy: Option<Policy>,
}

/// What a look at a provider has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It answers.
    Answers,
    /// It answers that it fails, or that the gateway's key is wrong.
    Fails,
    /// Nobody answers.
    Gone,
}

/// Takes in which providers are configured, if that is known, and tells whose turn it is to be looked at.
///
/// # Errors
/// [`RowError`] when a stored row cannot be used; nothing may be written then.
pub fn review(
    rows: &Rows,
    now: Timestamp,
    listed: Option<&[Listed]>,
) -> Result<(Vec<ProviderId>, WriteSet), RowError> {
    let mut work = Work::new(rows);
    let mut meta: Meta = work.load(META)?.unwrap_or_default();
    meta.reviewed_at = now;
    if let Some(listed) = listed {
        let changes = list(&mut work, now, listed)?;
        meta.version = meta.version.saturating_add(changes);
    }
    work.put(META.to_owned(), &meta)?;
    let turns = turns(&work.snapshot()?, now, is_quiet(&meta, now))?;
    let due = turns.into_iter().filter(|(_, at)| *at <= now);
    Ok((due.map(|(provider, _)| provider).collect(), work.finish()?))
}

/// When to review next, unless nobody is there for whom to look.
///
/// # Errors
/// [`RowError`] when a stored row cannot be used.
pub fn next(rows: &Rows, now: Timestamp) -> Result<Option<Timestamp>, RowError> {
    let meta: Meta = Work::new(rows).load(META)?.unwrap_or_default();
    if now.since(meta.reported_at) > WATCHED {
        return Ok(None);
    }
    let is_quiet = is_quiet(&meta, now);
    let pace = if is_quiet { QUIET } else { REVIEWED };
    let turns = turns(rows, now, is_quiet)?.into_iter().map(|(_, at)| at);
    let first = turns.fold(meta.reviewed_at.plus(pace), Timestamp::min);
    Ok(Some(first.max(now)))
}

/// What came of looking at a provider, if anything: one that answers is worth a probe at once, one that does not has
/// failed once more; one that is gone failed the probe that was due.
///
/// # Errors
/// [`RowError`] when a stored row cannot be used.
pub fn looked(
    rows: &Rows,
    now: Timestamp,
    provider: &ProviderId,
    found: Option<Finding>,
) -> Result<WriteSet, RowError> {
    let mut work = Work::new(rows);
    let key = row_key(&of_provider(provider));
    if !work.has(&key) {
        return Ok(WriteSet::new());
    }
    let health: &mut Health = work.hot_mut(&key)?;
    health.looked = Some((now, found.map(|found| found == Finding::Answers)));
    health.is_gone = found == Some(Finding::Gone);
    let circuit = &mut health.circuit;
    let is_news = match (found, health.policy) {
        (Some(Finding::Answers), Some(_)) if !circuit.is_closed() => {
            matches!(circuit.state(), State::Open(_)) && circuit.hurry(now)
        }
        (Some(found), Some(policy))
            if circuit.is_closed()
                || found == Finding::Gone && circuit.may(now, &policy).is_ok() =>
        {
            let mut pass = circuit.take(now, &policy);
            let outcome = match found {
                Finding::Answers => Outcome::Success,
                Finding::Fails | Finding::Gone => Outcome::Failure(None),
            };
            circuit.note(now, &policy, &mut pass, outcome).is_some()
        }
        _ => false,
    };
    if is_news {
        let mut meta: Meta = work.load(META)?.unwrap_or_default();
        meta.version = meta.version.saturating_add(1);
        work.put(META.to_owned(), &meta)?;
    }
    work.finish()
}

const fn is_quiet(meta: &Meta, now: Timestamp) -> bool {
    now.since(meta.reported_at).as_micros() > QUIET.as_micros()
}

fn of_provider(provider: &ProviderId) -> Name {
    Name {
        provider: provider.clone(),
        model: None,
    }
}

/// Only these are looked at from now on; says how many circuits have changed.
fn list(work: &mut Work<'_>, now: Timestamp, listed: &[Listed]) -> Result<u64, RowError> {
    let base = work.base();
    for target in targets(base) {
        let Target { name, health, .. } = target?;
        let is_listed = || listed.iter().any(|one| one.provider == name.provider);
        if health.look > Span::ZERO && !is_listed() {
            let health: &mut Health = work.hot_mut(&row_key(&name))?;
            health.look = Span::ZERO;
        }
    }
    let (mut count, mut changes) = (base.with_prefix(TARGETS).count(), 0_u64);
    for one in listed {
        let key = row_key(&of_provider(&one.provider));
        if !work.has(&key) {
            if is_full(count) {
                continue;
            }
            count = count.saturating_add(1);
        }
        let health: &Health = work.hot(&key)?;
        if (health.look, health.policy) == (one.look, one.policy) {
            continue;
        }
        let health: &mut Health = work.hot_mut(&key)?;
        (health.look, health.policy) = (one.look, one.policy);
        if one.policy.is_none() {
            changes = changes.saturating_add(u64::from(health.circuit.hear_closed(now)));
        }
    }
    Ok(changes)
}

/// When each provider that is looked at is to be looked at next.
fn turns(
    rows: &Rows,
    now: Timestamp,
    is_quiet: bool,
) -> Result<Vec<(ProviderId, Timestamp)>, RowError> {
    let all: Vec<Target> = targets(rows).collect::<Result<_, _>>()?;
    let listed = all
        .iter()
        .filter(|one| one.name.model.is_none() && one.health.look > Span::ZERO);
    let turn = |one: &Target| {
        let provider = &one.name.provider;
        let is_open = all
            .iter()
            .any(|other| other.name.provider == *provider && !other.health.circuit.is_closed());
        (provider.clone(), turn(&one.health, now, is_open, is_quiet))
    };
    Ok(listed.map(turn).collect())
}

fn turn(health: &Health, now: Timestamp, is_open: bool, is_quiet: bool) -> Timestamp {
    let look = health.look;
    let pace = if is_quiet { look.max(QUIET) } else { look };
    let Some((looked_at, answers)) = health.looked else {
        // Of whom nothing is known it is time to know something.
        return if health.calls > 0 && !is_open {
            health.called_at.plus(pace)
        } else {
            now
        };
    };
    let last = if is_open {
        looked_at
    } else {
        looked_at.max(health.called_at)
    };
    let usual = last.plus(pace);
    match (answers, health.policy, health.circuit.state()) {
        (Some(false), Some(_), State::Closed) if health.called_at <= looked_at => {
            usual.min(looked_at.plus(AGAIN))
        }
        (Some(false), Some(_), State::Open(until)) if health.is_gone => {
            let soonest = if is_quiet { look } else { AGAIN };
            usual.min(until.max(looked_at.plus(soonest)))
        }
        _ => usual,
    }
}
