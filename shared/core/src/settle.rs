//! The end of an admitted request: what it really used goes to the ledger, and the record with it.
//!
//! Nobody waits for it: the command is queued in the isolate and sent together with others. If the isolate dies
//! first, the reservation expires and is charged as it stands.

use std::rc::Rc;

use sluice_machines::ledger::{Command, Raise};
use sluice_machines::limit::Amount;
use sluice_machines::record::{Attempt, Outcome, Record, RecordKind, UsageSource, spent};
use sluice_units::{LedgerId, NanoUsd, Span, Timestamp, Usage};
use sluice_wire::Drops;
use sluice_wire::openai::direct::Units;

use crate::admit::Admitted;
use crate::commit::{self, Listener, Ticket};
use crate::config::{EgressName, TargetRef};
use crate::isolate::Isolate;
use crate::platform::Platform;
use crate::price;
use crate::residency::Permitted;

/// How often a request that only waits says that it is alive, as a part of the reservation's life.
const HEARTBEATS_PER_TTL: i64 = 2;

/// How a request ended.
#[derive(Debug)]
pub struct Ending<'a> {
    /// In which way.
    pub outcome: Outcome,
    /// The status that the caller saw; 499 when the caller had left.
    pub status: u16,
    /// Who served, if anybody did.
    pub target: Option<&'a TargetRef>,
    /// The place that the call to it left from; none is from here.
    pub egress: Option<EgressName>,
    /// What was used.
    pub usage: Usage,
    /// What was used beside tokens.
    pub units: Units,
    /// Who says so.
    pub usage_source: UsageSource,
    /// When the first byte was there.
    pub first_byte_at: Option<Timestamp>,
    /// Why the model stopped.
    pub finish: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Every call that was made.
    pub attempts: Vec<Attempt>,
    /// What the translation could not express.
    pub dropped: Vec<String>,
}

/// What this costs at this target; nothing where no price is known.
#[must_use]
pub fn cost(target: Option<&TargetRef>, usage: &Usage, units: &Units, at: Timestamp) -> NanoUsd {
    target
        .and_then(|target| target.price.as_ref())
        .and_then(|table| table.at(at))
        .map_or(NanoUsd::ZERO, |price| {
            price::cost(price, usage).plus(price::cost_of_units(price, units))
        })
}

/// The record of a request that ends so.
#[must_use]
pub fn record(admitted: &Admitted, now: Timestamp, ending: Ending<'_>) -> Record {
    let draft = admitted.draft();
    let (cost, usage_source) = if draft.operation.is_free() {
        (NanoUsd::ZERO, UsageSource::None)
    } else {
        let cost = cost(ending.target, &ending.usage, &ending.units, draft.at_us);
        let spent = spent(&ending.attempts).cost;
        (cost.plus(spent), ending.usage_source)
    };
    Record {
        kind: RecordKind::Settled,
        provider: ending.target.map(|target| target.provider.id.clone()),
        provider_model: ending.target.map(|target| target.model.clone()),
        place: ending
            .target
            .and_then(|target| Some(target.place?.country.to_string())),
        egress: ending.egress.map(|place| place.name().to_owned()),
        usage: ending.usage,
        usage_source,
        cost_nano_usd: cost,
        latency_us: now.since(draft.at_us),
        first_byte_us: ending.first_byte_at.map(|at| at.since(draft.at_us)),
        outcome: ending.outcome,
        status: ending.status,
        finish: ending.finish,
        error: ending.error,
        attempts: ending.attempts,
        dropped: ending.dropped,
        ..draft.clone()
    }
}

/// Replaces the reservation by the truth.
pub fn settle<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    record: Record,
) {
    let command = Command::Settle {
        actual: Amount {
            tokens: record.tokens(),
            cost: record.cost_nano_usd,
        },
        record: Box::new(record),
    };
    isolate.defer(p, ledger, command);
}

/// How often a request that only waits says that it is alive.
pub(crate) fn heartbeat(admitted: &Admitted) -> Span {
    Span::from_micros(admitted.ttl().as_micros().div_euclid(HEARTBEATS_PER_TTL))
}

/// The request is still alive: its reservation must not expire.
pub fn extend<P: Platform>(p: &P, isolate: &Rc<Isolate>, admitted: &Admitted) {
    let command = Command::Extend {
        request: admitted.draft().request.clone(),
        ttl: admitted.ttl(),
    };
    isolate.defer(p, admitted.ledger(), command);
}

/// Reserves this much for the request in place of what it has, if that is less; `None` where too much waits to be sent.
pub fn raise<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    admitted: &Admitted,
    estimate: Amount,
) -> Option<Ticket> {
    let command = Command::Raise(Box::new(Raise {
        request: admitted.draft().request.clone(),
        scopes: admitted.scopes().to_vec(),
        estimate,
    }));
    let ticket = Ticket::default();
    let listener = Listener::Ticket(ticket.clone());
    commit::send(p, isolate, admitted.ledger(), command, listener).then_some(ticket)
}

/// The names of what was dropped, for the record.
pub fn names(drops: &Drops) -> Vec<String> {
    drops
        .as_slice()
        .iter()
        .map(|dropped| dropped.field.to_string())
        .collect()
}
