//! Requests that are not let in, on their way to the audit chain.
//!
//! Each refusal of a known key is a record of its own in its organisation's ledger. Whoever shows no key that is known
//! could fill a bucket: those are counted by their reason, and each isolate tells the gateway's own ledger
//! ([`GATEWAY_ORG`]) at most once in [`WINDOW`] for each reason. What is refused after it was admitted is in its
//! settlement. Nobody waits for any of it.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use sluice_machines::ledger::Command;
use sluice_machines::record::{Outcome, RecordKind, Refusal};
use sluice_machines::registry::KeyRecord;
use sluice_units::{LedgerId, ModelId, OrgId, RequestId, SortedMap, Span, Timestamp};

use crate::commit::{self, Listener};
use crate::config::Config;
use crate::isolate::Isolate;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::residency::{self, Permitted};

/// Whose ledger counts the refusals of nobody's. No key belongs to it.
pub const GATEWAY_ORG: &str = "_gateway";
/// How long refusals of nobody's are counted together.
pub const WINDOW: Span = Span::from_seconds(10);
/// A window that was not told of after this long was lost with its request.
const WINDOW_LOST: Span = Span::from_seconds(60);

/// What is known of a request that is not let in yet.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The key that it showed, good or not.
    pub(crate) key: RefCell<Option<Rc<KeyRecord>>>,
    /// The model that it named.
    pub(crate) model: RefCell<Option<ModelId>>,
    /// Its body, where it was read whole.
    pub(crate) body: RefCell<Option<Bytes>>,
    /// It was let in: its settlement says the rest.
    pub(crate) is_admitted: std::cell::Cell<bool>,
}

/// Refusals of nobody's, counted by their reason.
#[derive(Debug, Default)]
pub struct Counted {
    since: Option<Timestamp>,
    by_reason: SortedMap<(u16, String), u64>,
}

/// Puts a refusal on record.
pub(crate) fn note<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    config: &Config,
    (request, at_us): (&RequestId, Timestamp),
    asked: &Asked,
    problem: &Problem,
) {
    if asked.is_admitted.get() {
        return;
    }
    let (status, error) = (problem.status().as_u16(), problem.code());
    let Some(key) = asked.key.borrow().clone() else {
        // What is wrong with an address or an admin's command is no request of a caller.
        if status == http::StatusCode::UNAUTHORIZED.as_u16() {
            count(p, isolate, config, request, (status, error));
        }
        return;
    };
    // Whose place is not known is not named anywhere: it might be pinned.
    let Some(ledger) = residency::of_key(config, &key, at_us) else {
        count(p, isolate, config, request, (status, error));
        return;
    };
    let refusal = Refusal {
        team: key.team.clone(),
        app: key.app.clone(),
        user: key.user.clone(),
        key: Some(key.id.clone()),
        model: asked.model.borrow().clone(),
        ..refusal(&ledger, request, at_us, (status, error))
    };
    if !send(p, isolate, &ledger, refusal) {
        count(
            p,
            isolate,
            config,
            request,
            (status, "refusal_not_recorded"),
        );
    }
}

fn refusal(
    ledger: &LedgerId,
    request: &RequestId,
    at_us: Timestamp,
    (status, error): (u16, &str),
) -> Refusal {
    Refusal {
        request: request.clone(),
        kind: RecordKind::Refused,
        at_us,
        org: ledger.org().clone(),
        team: None,
        app: None,
        user: None,
        key: None,
        model: None,
        region: ledger.region().clone(),
        shard: ledger.of_shard(),
        outcome: Outcome::Refused,
        status,
        error: error.to_owned(),
        count: 1,
        withheld: 0,
    }
}

/// Refusals never take the room that settlements need.
fn send<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    refusal: Refusal,
) -> bool {
    let command = Command::Refuse(Box::new(refusal));
    isolate.outgoing.is_half_empty(ledger)
        && commit::send(p, isolate, ledger, command, Listener::Nobody)
}

/// Counts a refusal of nobody's; the first of a window sees to it that the window is told of.
fn count<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    config: &Config,
    request: &RequestId,
    (status, error): (u16, &str),
) {
    let now = p.now();
    {
        let mut counted = isolate.refused.borrow_mut();
        let reason = (status, error.to_owned());
        let number = counted.by_reason.get_or_default(reason);
        *number = number.saturating_add(1);
        if counted
            .since
            .is_some_and(|since| now.since(since) < WINDOW_LOST)
        {
            return;
        }
        counted.since = Some(now);
    }
    let Ok(org) = OrgId::new(GATEWAY_ORG) else {
        return;
    };
    let ledger = residency::of_operator(config.ledger(&org, None));
    let (platform, isolate, request) = (p.clone(), Rc::clone(isolate), request.clone());
    p.spawn(async move {
        platform.sleep(WINDOW).await;
        let counted = isolate.refused.take();
        let since = counted.since.unwrap_or(now);
        for (number, ((status, error), count)) in counted.by_reason.into_iter().enumerate() {
            // One name for each reason: the ledger records each name once.
            let Ok(name) = RequestId::new(&format!("{request}-{number}")) else {
                continue;
            };
            let refusal = Refusal {
                count,
                ..refusal(&ledger, &name, since, (status, &error))
            };
            send(&platform, &isolate, &ledger, refusal);
        }
    });
}
