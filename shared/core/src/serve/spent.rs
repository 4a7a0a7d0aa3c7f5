//! What calls use that bring the caller nothing. A provider that has begun to work is paid, whatever becomes of its
//! answer: so it is charged, and before another call is made that one is reserved for, too.

use sluice_machines::limit::Amount;
use sluice_machines::record::{Spent, spent};

use super::{Call, Run};
use crate::commit::Ticket;
use crate::config::TargetRef;
use crate::plan::Failure;
use crate::platform::Platform;
use crate::settle;

impl<P: Platform> Run<P> {
    /// What the call that failed so has used.
    pub(super) fn spent(
        &self,
        call: &Call,
        target: &TargetRef,
        failure: &Failure,
    ) -> Option<Spent> {
        let draft = self.admitted.draft();
        if draft.operation.is_free() {
            return None;
        }
        // Of an upload nobody knows whether all of it was sent.
        let was_asked = failure.was_worked_on() && self.work.upload().is_none();
        let used = call.used.take();
        let (usage, usage_source) = used.or_else(|| was_asked.then(|| self.input_alone()))?;
        let units = self.admitted.bound().units;
        Some(Spent {
            usage,
            usage_source,
            cost_nano_usd: settle::cost(Some(target), &usage, &units, draft.at_us),
        })
    }

    /// Whether another call may be made: what earlier ones have used is charged beside it. `covered` is as much of
    /// that as is reserved already.
    pub(super) async fn covers_more(&self, covered: &mut Amount) -> bool {
        let spent = spent(&self.attempts.borrow());
        if spent == *covered {
            return true;
        }
        let is_covered = self.reserves(self.admitted.estimate()).await;
        if is_covered {
            *covered = spent;
        }
        is_covered
    }

    /// Reserves this much for calls, beside what earlier ones have used; whether it is reserved.
    pub(super) async fn reserves(&self, calls: Amount) -> bool {
        let Some(ticket) = self.raise(calls) else {
            return false;
        };
        let (p, isolate, ledger) = (&self.p, &self.isolate, self.admitted.ledger());
        ticket.committed(p, isolate, ledger).await
    }

    /// Reserves this much for a call, beside what earlier ones have used; `None` where too much waits to be sent.
    pub(crate) fn raise(&self, one: Amount) -> Option<Ticket> {
        let spent = spent(&self.attempts.borrow());
        let estimate = Amount {
            tokens: one.tokens.plus(spent.tokens),
            cost: one.cost.plus(spent.cost),
        };
        settle::raise(&self.p, &self.isolate, &self.admitted, estimate)
    }
}
