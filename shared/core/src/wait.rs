//! The waiting of one request that was not let in at once: for slices that others hold, or in a line.
//!
//! Ends when the caller goes away. Who asks may change on the way: each step is told by whom it is taken.
//! In a line only the head asks, for the last time when its time is over. Whoever is not the head by then is refused
//! unasked: what is free belongs to others.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use sluice_machines::ledger::{Denial, Headroom, LEASE_GRACE, LEASE_LIFE};
use sluice_machines::limit::{Rule, Scope, Slice};
use sluice_units::{Span, Timestamp};

use crate::authenticate::Caller;
use crate::isolate::Isolate;
use crate::line::{Gate, Party, Said, Turn};
use crate::platform::{Platform, Wake};
use crate::problem::Problem;

/// How long a request waits for slices that others hold to come back, at most, and how often it asks. A slice that was
/// granted just before ends up to a second later than its life and grace are long, and calls take their time.
const LEASES_MAX: Span = LEASE_LIFE.plus(LEASE_GRACE).plus(Span::from_seconds(3));
const ASKS_MAX: u32 = 4;
/// How soon the head of a line asks again, at the soonest and at the latest.
const HEAD_MIN: Span = Span::from_millis(10);
const HEAD_MAX: Span = Span::from_millis(200);
/// How often the first of these is doubled, at most.
const DOUBLINGS_MAX: u32 = 5;
/// How long a seat outlives the waiting, for the last question. Whoever has said nothing by then is gone.
const LAST: Span = Span::from_seconds(1);

/// One request's waiting.
pub(crate) struct Wait<'a, P: Platform> {
    p: &'a P,
    isolate: &'a Rc<Isolate>,
    since: Timestamp,
    /// What is asked for.
    slice: Slice,
    asks: u32,
    seat: Option<Seat>,
    is_let_in: bool,
}

/// Its place in a line.
struct Seat {
    gate: Gate,
    number: u64,
    until: Timestamp,
    said: Said,
}

impl<'a, P: Platform> Wait<'a, P> {
    /// A request that has not waited yet.
    pub(crate) const fn new(
        p: &'a P,
        isolate: &'a Rc<Isolate>,
        (since, slice): (Timestamp, Slice),
    ) -> Self {
        Self {
            p,
            isolate,
            since,
            slice,
            asks: 0,
            seat: None,
            is_let_in: false,
        }
    }

    /// The request is let in, which uses the turn if it has stood in a line.
    pub(crate) fn use_turn(mut self) {
        self.is_let_in = true;
    }

    /// Whether the ledger has refused the request before.
    pub(crate) const fn has_waited(&self) -> bool {
        self.asks > 0
    }

    /// Joins the line that stands before a limit of this caller's, if one does, and waits to be its head. Whether one
    /// does.
    ///
    /// # Errors
    /// When so many wait that it may not, or when its turn does not come in time.
    pub(crate) async fn behind_others(&mut self, caller: &Caller) -> Result<bool, Problem> {
        for (scope, rule, wait) in caller.queues() {
            let gate = gate(caller, scope, rule);
            let now = self.p.now();
            if self.isolate.lines.borrow_mut().stands(&gate, now) {
                if !self.join(gate, party(caller), *wait) {
                    return Err(full());
                }
                return match self.be_head().await? {
                    true => Ok(true),
                    false => Err(self.in_vain(None)),
                };
            }
        }
        Ok(false)
    }

    /// What whoever may not ask is told: what the limit said last, to this request or to those whose turn it was.
    fn in_vain(&self, own: Option<&Denial>) -> Problem {
        if let Some(own) = own {
            return Problem::denied(own);
        }
        let said = self
            .seat
            .as_ref()
            .and_then(|seat| seat.said.borrow().clone());
        said.map_or_else(full, |said| {
            Problem::denied(&Denial {
                asked: said.rule.asked(self.slice),
                // Of whoever asked.
                headroom: Headroom::default(),
                ..said
            })
        })
    }

    /// Waits until it makes sense to ask again.
    ///
    /// # Errors
    /// What the caller is told when it does not, or when it has waited for as long as it may.
    pub(crate) async fn after(&mut self, denial: &Denial, caller: &Caller) -> Result<(), Problem> {
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
        self.leave_unless(|seat| {
            let mut queues = caller.queues().iter();
            queues.any(|(scope, rule, _)| gate(caller, scope, rule) == seat.gate)
        });
        let binding = gate(caller, &denial.scope, &denial.rule);
        if self.seat.is_none() {
            let mut queues = caller.queues().iter();
            let allowed =
                queues.find(|(scope, rule, _)| (scope, rule) == (&denial.scope, &denial.rule));
            let gate = binding.clone();
            if !allowed.is_some_and(|(.., wait)| self.join(gate, party(caller), *wait)) {
                return Err(refused());
            }
        }
        if let Some(seat) = self.seat.as_ref().filter(|seat| seat.gate == binding) {
            seat.said.replace(Some(denial.clone()));
        }
        if !self.be_head().await? {
            return Err(refused());
        }
        let until = self.seat.as_ref().map(|seat| seat.until);
        let left = until.map_or(Span::ZERO, |until| until.since(self.p.now()));
        self.sleep(retry_after.clamp(HEAD_MIN, HEAD_MAX).min(left))
            .await
    }

    /// Whether nobody else has the turn.
    fn has_turn(&self) -> bool {
        let now = self.p.now();
        let seat = self.seat.as_ref();
        seat.is_none_or(|Seat { gate, number, .. }| {
            let turn = self.isolate.lines.borrow_mut().turn(gate, *number, now);
            turn == Turn::Own
        })
    }

    /// Time has passed since this was the head: it may ask as long as nobody else has the turn.
    ///
    /// # Errors
    /// What the caller is told when somebody has: what the ledger said last.
    pub(crate) fn may_ask(&self, last: Option<&Denial>) -> Result<(), Problem> {
        if self.has_turn() {
            return Ok(());
        }
        Err(self.in_vain(last))
    }

    /// Takes a seat, for so long since the waiting began at most; whether there was one.
    pub(crate) fn join(&mut self, gate: Gate, party: Party, wait: Span) -> bool {
        let until = self.since.plus(wait);
        let mut lines = self.isolate.lines.borrow_mut();
        let Some(number) = lines.join(&gate, &party, (self.p.now(), until.plus(LAST))) else {
            return false;
        };
        let said = lines.said(&gate);
        drop(lines);
        self.seat = Some(Seat {
            gate,
            number,
            until,
            said,
        });
        true
    }

    /// Waits to be the head of the line; whether it is, before its time is over.
    pub(crate) async fn be_head(&self) -> Result<bool, Problem> {
        let Some(seat) = &self.seat else {
            return Ok(true);
        };
        let (gate, number) = (&seat.gate, seat.number);
        loop {
            let now = self.p.now();
            let turn = self.isolate.lines.borrow_mut().turn(gate, number, now);
            let head_until = match turn {
                _ if now >= seat.until => return Ok(false),
                Turn::Own => return Ok(true),
                Turn::Other(until) => until,
            };
            // A head that has died tells nobody.
            let rest = seat.until.min(head_until).since(now);
            self.be_woken(seat, rest.max(HEAD_MIN)).await?;
        }
    }

    /// The head's rest before it asks for the next time, unless it is told before that it may: the longer the more often
    /// it has asked. Whether there is a next time, of which the last is when the time is over.
    pub(crate) async fn rest(&mut self) -> Result<bool, Problem> {
        let Some(seat) = &self.seat else {
            return Ok(false);
        };
        let left = seat.until.since(self.p.now());
        let span = HEAD_MIN.times(1 << self.asks.min(DOUBLINGS_MAX));
        self.asks = self.asks.saturating_add(1);
        if left > Span::ZERO {
            self.be_woken(seat, span.min(HEAD_MAX).min(left)).await?;
        }
        Ok(left > Span::ZERO && self.has_turn())
    }

    /// Returns when somebody says that it is time, or after so long.
    async fn be_woken(&self, seat: &Seat, span: Span) -> Result<(), Problem> {
        let hand_out = |wake: Wake| {
            let mut lines = self.isolate.lines.borrow_mut();
            lines.wake_with(&seat.gate, seat.number, wake);
        };
        let woken = pin!(self.p.woken(hand_out));
        let over = pin!(self.sleep(span));
        match select(woken, over).await {
            Either::Left(_) => Ok(()),
            Either::Right((slept, _)) => slept,
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

    /// Gives the seat up unless it is still good for something; whoever is next is told.
    fn leave_unless(&mut self, is_good: impl FnOnce(&Seat) -> bool) {
        let Some(seat) = self.seat.take_if(|seat| !is_good(seat)) else {
            return;
        };
        let now = self.p.now();
        let mut lines = self.isolate.lines.borrow_mut();
        let next = lines.leave(&seat.gate, seat.number, (now, self.is_let_in));
        drop(lines);
        if let Some(wake) = next {
            wake();
        }
    }
}

/// The waiting is over, however it ended.
impl<P: Platform> Drop for Wait<'_, P> {
    fn drop(&mut self) {
        self.leave_unless(|_| false);
    }
}

/// What a caller's requests wait for where this rule of this scope denies them.
fn gate(caller: &Caller, scope: &Scope, rule: &Rule) -> Gate {
    Gate::Limit(caller.ledger().last_word().clone(), scope.clone(), *rule)
}

/// With whom it takes turns.
fn party(caller: &Caller) -> Party {
    (caller.key().org.clone(), caller.key().team.clone())
}

/// So many wait that nobody can be let in soon.
fn full() -> Problem {
    Problem::unavailable(
        "queue_full",
        "Too many requests wait for a limit of this key. Try again shortly.",
        Span::from_seconds(1),
    )
}
