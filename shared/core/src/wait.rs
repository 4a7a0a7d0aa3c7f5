//! The waiting of one request that was not let in at once: for slices that others hold, or in a limit's line.
//!
//! Ends when the caller goes away.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use sluice_machines::ledger::{Denial, LEASE_GRACE, LEASE_LIFE};
use sluice_units::{Span, TeamId, Timestamp};

use crate::authenticate::Caller;
use crate::isolate::Isolate;
use crate::line::Gate;
use crate::platform::{Platform, Wake};
use crate::problem::Problem;

/// How long a request waits for slices that others hold to come back, at most, and how often it asks. A slice that was
/// granted just before ends up to a second later than its life and grace are long, and calls take their time.
const LEASES_MAX: Span = LEASE_LIFE.plus(LEASE_GRACE).plus(Span::from_seconds(3));
const ASKS_MAX: u32 = 4;
/// How soon the head of a line asks again, at the soonest and at the latest.
const HEAD_MIN: Span = Span::from_millis(10);
const HEAD_MAX: Span = Span::from_millis(200);

/// One request's waiting.
pub(crate) struct Wait<'a, P: Platform> {
    p: &'a P,
    isolate: &'a Rc<Isolate>,
    caller: &'a Caller,
    since: Timestamp,
    asks: u32,
    seat: Option<(Gate, u64, Timestamp)>,
}

impl<'a, P: Platform> Wait<'a, P> {
    /// A request that has not waited yet.
    pub(crate) const fn new(
        p: &'a P,
        isolate: &'a Rc<Isolate>,
        caller: &'a Caller,
        since: Timestamp,
    ) -> Self {
        Self {
            p,
            isolate,
            caller,
            since,
            asks: 0,
            seat: None,
        }
    }

    /// Whether the ledger has refused the request before.
    pub(crate) const fn has_waited(&self) -> bool {
        self.asks > 0
    }

    /// Joins the line that stands before a limit of this caller's, if one does, and waits to be its head.
    pub(crate) async fn behind_others(&mut self) -> Result<(), Problem> {
        let caller = self.caller;
        for (scope, rule, wait) in caller.queues() {
            let gate = ((**caller.ledger()).clone(), scope.clone(), *rule);
            if self.isolate.lines.borrow().stands(&gate) {
                return match self.join(gate, *wait) {
                    true => self.be_head().await.map(drop),
                    false => Err(full()),
                };
            }
        }
        Ok(())
    }

    /// Waits until it makes sense to ask again.
    ///
    /// # Errors
    /// What the caller is told when it does not, or when it has waited for as long as it may.
    pub(crate) async fn after(&mut self, denial: &Denial) -> Result<(), Problem> {
        self.asks = self.asks.saturating_add(1);
        let now = self.p.now();
        if let Some(wait) = denial.leases_end
            && self.asks < ASKS_MAX
            && now.plus(wait) <= self.since.plus(LEASES_MAX)
        {
            // What is left is held by others, who draw it or let it go: only then is it known.
            return self.sleep(wait).await;
        }
        let refused = || Problem::denied(denial);
        let Some(retry_after) = denial.retry_after else {
            return Err(refused());
        };
        if self.seat.is_none() {
            let queues = self.caller.queues().iter();
            let allowed = queues
                .filter(|(scope, rule, _)| (scope, rule) == (&denial.scope, &denial.rule))
                .map(|(.., wait)| *wait)
                .next();
            let gate = (
                (**self.caller.ledger()).clone(),
                denial.scope.clone(),
                denial.rule,
            );
            if !allowed.is_some_and(|wait| self.join(gate, wait)) {
                return Err(refused());
            }
        }
        if !self.be_head().await? {
            return Err(refused());
        }
        let left = self
            .seat
            .as_ref()
            .map_or(Span::ZERO, |(.., until)| until.since(self.p.now()));
        if left == Span::ZERO {
            return Err(refused());
        }
        self.sleep(retry_after.clamp(HEAD_MIN, HEAD_MAX).min(left))
            .await
    }

    fn team(&self) -> Option<&TeamId> {
        self.caller.key().team.as_ref()
    }

    fn join(&mut self, gate: Gate, wait: Span) -> bool {
        let mut lines = self.isolate.lines.borrow_mut();
        let Some(number) = lines.join(&gate, self.caller.key().team.as_ref()) else {
            return false;
        };
        drop(lines);
        self.seat = Some((gate, number, self.since.plus(wait)));
        true
    }

    /// Waits to be the head of the line; whether it is, before its time is over.
    async fn be_head(&self) -> Result<bool, Problem> {
        let Some((gate, number, until)) = &self.seat else {
            return Ok(true);
        };
        if self.isolate.lines.borrow().is_head(gate, *number) {
            return Ok(true);
        }
        let hand_out = |wake: Wake| {
            let mut lines = self.isolate.lines.borrow_mut();
            lines.wake_with(gate, *number, wake);
        };
        let woken = pin!(self.p.woken(hand_out));
        let over = pin!(self.sleep(until.since(self.p.now())));
        match select(woken, over).await {
            Either::Left(_) => Ok(true),
            Either::Right((slept, _)) => slept.map(|()| false),
        }
    }

    async fn sleep(&self, span: Span) -> Result<(), Problem> {
        let over = pin!(self.p.sleep(span));
        let left = pin!(self.p.left());
        match select(over, left).await {
            Either::Left(_) => Ok(()),
            Either::Right(_) => Err(Problem::left()),
        }
    }

    /// The waiting is over, however it ended: whoever is next is told.
    pub(crate) fn end(&mut self) {
        let Some((gate, number, _)) = self.seat.take() else {
            return;
        };
        let next = self
            .isolate
            .lines
            .borrow_mut()
            .leave(&gate, self.team(), number);
        if let Some(wake) = next {
            wake();
        }
    }
}

/// So many wait that nobody can be let in soon.
fn full() -> Problem {
    Problem::unavailable(
        "queue_full",
        "Too many requests wait for a limit of this key. Try again shortly.",
        Span::from_seconds(1),
    )
}
