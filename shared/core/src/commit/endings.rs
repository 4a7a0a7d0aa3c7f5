//! What has ended here, told before a refusal counts.
//!
//! A settlement waits for company as long as nobody waits for it, and whoever asks by itself overtakes it. So a caller
//! that has its answer and asks again at once could be refused for what it does not hold any more.

use std::rc::Rc;

use sluice_machines::ledger::{Command, Denial};
use sluice_machines::limit::{Meter, Rule};
use sluice_units::{LedgerId, RequestId, Span};

use super::ticket::HELD_BACK_MAX;
use super::{Listener, Ticket, send};
use crate::isolate::Isolate;
use crate::platform::Platform;
use crate::residency::Permitted;

/// Returns when the ledger has heard of all that has ended here, if that may change a refusal; whether it may.
pub async fn tell_endings<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    (request, denial): (&RequestId, &Denial),
) -> bool {
    let has_any = || {
        let queues = isolate.outgoing.0.borrow();
        queues.get(ledger).is_some_and(|queue| queue.has_endings())
    };
    if denial.retry_after.is_none() || !frees(&denial.rule) || !has_any() {
        return false;
    }
    // Commands are carried out in order, so one that changes nothing tells of those before it: no request that was
    // refused has a reservation to extend.
    let ticket = Ticket::default();
    ticket.await_it();
    let last = Command::Extend {
        request: request.clone(),
        ttl: Span::ZERO,
    };
    let is_sent = send(p, isolate, ledger, last, Listener::Ticket(ticket.clone()));
    if is_sent {
        ticket.wait(p, HELD_BACK_MAX).await;
    }
    is_sent
}

/// Whether the end of a request frees something of a rule at once. A request that was let in stays counted.
const fn frees(rule: &Rule) -> bool {
    match rule {
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => !matches!(meter, Meter::Requests),
        Rule::Concurrency { .. } | Rule::Budget { .. } => true,
    }
}
