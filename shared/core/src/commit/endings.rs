//! The word of requests that have ended, sent ahead of its company.

use std::rc::Rc;

use sluice_machines::ledger::Command;
use sluice_units::{LedgerId, RequestId, Span};

use super::ticket::HELD_BACK_MAX;
use super::{Listener, Outgoing, Ticket, send};
use crate::isolate::Isolate;
use crate::platform::Platform;
use crate::residency::Permitted;

impl Outgoing {
    /// Whether requests have ended of which the ledger may not have heard.
    #[must_use]
    pub fn has_endings(&self, ledger: &Permitted<LedgerId>) -> bool {
        let queues = self.0.borrow();
        queues.get(ledger).is_some_and(|queue| queue.has_endings())
    }
}

/// Returns when the ledger has heard of all that has ended here, or does not answer. `request` asks, and holds nothing.
pub async fn tell_endings<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    request: RequestId,
) {
    let ticket = Ticket::default();
    ticket.await_it();
    // Commands are carried out in order, so the answer to the last tells of all before it; this one changes nothing,
    // for there is no reservation to extend.
    let ttl = Span::ZERO;
    let last = Command::Extend { request, ttl };
    if send(p, isolate, ledger, last, Listener::Ticket(ticket.clone())) {
        ticket.wait(p, HELD_BACK_MAX).await;
    }
}
