//! Target after target, until one serves or nobody is left: whom to call, when, and what each call says of whom it
//! was made to.

use std::cell::Cell;

use sluice_machines::capacity::ASK_MAX;
use sluice_machines::limit::Amount;
use sluice_machines::record::Attempt;
use sluice_units::Span;

use super::hedge::Aim;
use super::{Accepted, Call, Run};
use crate::admit;
use crate::authenticate::Caller;
use crate::capacity::{self, NoRoom, Slot};
use crate::circuit::{self, End};
use crate::config::TargetRef;
use crate::credentials;
use crate::gateway::Context;
use crate::plan::{Failure, Next, Plan};
use crate::platform::Platform;
use crate::residency::Permitted;
use crate::upload::Upload;
use crate::upstream;

impl<P: Platform> Run<P> {
    pub(super) async fn attempts(
        &self,
        context: &Context<'_, P>,
        caller: &Caller,
    ) -> Result<(usize, Accepted<P>), (usize, Failure)> {
        let retries = self.course.targets().map(|target| target.retry).collect();
        let [a, b, c, d, e, f, g, h, ..] = self.p.random();
        let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let mut plan = Plan::new(retries, self.course.fallback_on(), seed);
        let mut index = 0;
        let mut told = None;
        let (mut full, mut has_waited) = (None, false);
        let mut covered = Amount::default();
        if let Some(hedge) = self.hedge() {
            self.isolate.count_hedged(hedge.percent_max);
        }
        loop {
            let Some(target) = self.course.target(index) else {
                return Err((index, Failure::NoKey("no target".to_owned())));
            };
            let raced = self.race(&mut plan, (index, target), &mut told).await;
            let (target, failure) = match raced {
                ((index, _), Ok(accepted)) => return Ok((index, accepted)),
                (aim, Err(failure)) => {
                    index = aim.0;
                    (aim.1, failure)
                }
            };
            let call = self.at_hand();
            if self.goes_elsewhere(call, &mut plan, &target, &failure) {
                continue;
            }
            if may_wait(&target, &failure) {
                full.get_or_insert(index);
            }
            let next = match plan.failed(&failure) {
                Next::Try { target, wait } => Some((target, Some(wait))),
                // Nobody else can serve. A request waits once.
                Next::GiveUp => full.filter(|_| !has_waited).and_then(|back| {
                    has_waited = true;
                    plan.back_to(back, &failure).then_some((back, None))
                }),
            };
            let is_spent = self.work.upload().is_some_and(Upload::is_spent);
            let failed = more_telling(told.take(), (index, failure));
            match next {
                // What was sent on as it came cannot be sent again.
                Some((target, wait)) if !is_spent && self.covers_more(&mut covered).await => {
                    index = target;
                    if let Some(wait) = wait {
                        self.back_off(index, wait).await;
                    } else if let Err(failure) = self.wait_for_room(index, context, caller).await {
                        return Err(more_telling(Some(failed), (index, failure)));
                    }
                }
                _ => return Err(failed),
            }
            told = Some(failed);
        }
    }

    /// Waits until a target's provider has room, and keeps that. Whoever has waited may have to be refused by now.
    async fn wait_for_room(
        &self,
        index: usize,
        context: &Context<'_, P>,
        caller: &Caller,
    ) -> Result<(), Failure> {
        self.at_hand().end(&self.p);
        let draft = self.admitted.draft();
        let Some(target) = self.course.target(index).map(Permitted::get) else {
            return Ok(());
        };
        let party = (draft.org.clone(), draft.team.clone());
        let waiting = async {
            let got = capacity::wait_for(&self.p, &self.isolate, &target.provider, party).await;
            match got {
                Ok(got) => got,
                // Whoever sees that the caller has left ends this.
                Err(_) => std::future::pending().await,
            }
        };
        // The line is left before that.
        let queue = target.provider.capacity.and_then(|capacity| capacity.queue);
        let most = queue.unwrap_or_default().plus(ASK_MAX.times(2));
        let end = Cell::new(self.p.now().plus(most));
        let got = upstream::within(&self.p, &end, self.every(), || self.tick(), waiting).await;
        let (slot, wait) = got.unwrap_or(Err(NoRoom::Full)).map_err(at_capacity)?;
        self.at_hand().slot.replace(Some(slot));
        let asked = (draft.operation, &draft.model, &self.course);
        if let Err(problem) = admit::may_go_on(context, caller, asked).await {
            // Before the next one is told that it may ask.
            self.at_hand().end(&self.p);
            return Err(Failure::Outdated(Box::new(problem)));
        }
        wait.use_turn();
        Ok(())
    }

    /// Calls a target, if its circuit lets the call through.
    pub(super) async fn try_target(
        &self,
        call: &Call,
        (index, permitted): Aim<'_>,
    ) -> Result<Accepted<P>, Failure> {
        let target = permitted.get();
        call.since.set(self.p.now());
        call.egress.take();
        call.used.take();
        call.is_made.set(false);
        let mut outcome = match self.may_call(call, index, target).await {
            Ok(()) => self.attempt(call, permitted, self.p.now()).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &mut outcome {
            credentials::scrub(&self.p, &self.isolate, &target.provider, failure);
            self.work.reword(failure);
        }
        self.conclude(call, target, &outcome);
        outcome
    }

    /// What a call has come to, so far: its circuits hear of it, and it stands in the record.
    pub(super) fn conclude(
        &self,
        call: &Call,
        target: &TargetRef,
        outcome: &Result<Accepted<P>, Failure>,
    ) {
        let status = match outcome {
            Ok(_) => Some(200),
            Err(Failure::Answered(error)) => Some(error.status),
            Err(_) => None,
        };
        if let Ok(Accepted::Whole(whole)) = outcome {
            self.tell_circuit_at(whole.first_byte_at, call, End::Begun);
        }
        match outcome {
            Ok(Accepted::Whole(_)) => self.end_call(call, End::Answered),
            Ok(Accepted::Stream(_)) => self.tell_circuit(call, End::Begun),
            // Of an upload the caller may have been the slow one, or the one who broke off.
            Err(Failure::Timeout(_) | Failure::Unreachable(_)) if self.work.upload().is_some() => {
                self.tell_circuit(call, End::Left);
            }
            Err(Failure::Outrun) => self.tell_circuit(call, End::Left),
            // The call is not over: `goes_elsewhere` goes on with it, or says that it is.
            Err(failure) if self.may_go_elsewhere(call, target, failure) => {}
            Err(failure) => self.tell_circuit(call, End::Failed(failure)),
        }
        let code = outcome.as_ref().err().map(Failure::code);
        let latency = match outcome {
            // Nobody was called.
            Err(Failure::CircuitOpen(_) | Failure::AtCapacity { .. }) => Span::ZERO,
            _ => self.p.now().since(call.since.get()),
        };
        let failure = outcome.as_ref().err();
        let spent = failure.and_then(|failure| self.spent(call, target, failure));
        self.attempts.borrow_mut().push(Attempt {
            provider: target.provider.id.clone(),
            model: target.model.clone(),
            egress: call.egress.get().map(|place| place.name().to_owned()),
            status,
            error: code,
            latency_us: latency,
            spent,
        });
    }

    /// Whether the target may be called: its circuit lets the call through, and its provider has room for it.
    async fn may_call(&self, call: &Call, index: usize, target: &TargetRef) -> Result<(), Failure> {
        if call.permit.get().is_some_and(|(held, _)| held == index) {
            // Given for the call that goes on from elsewhere.
            return Ok(());
        }
        let refused = |left| {
            circuit::exchange(&self.p, &self.isolate);
            Err(Failure::CircuitOpen(left))
        };
        let provider = &target.provider;
        let is_bounded = provider.capacity.is_some();
        if is_bounded {
            // Nobody takes a slot in vain.
            let refusal = self
                .isolate
                .circuits
                .borrow_mut()
                .refusal(self.p.now(), target);
            if let Some(left) = refusal {
                return refused(left);
            }
        }
        let is_good = |slot: &Slot| slot.is_good_for(self.p.now(), provider);
        if !call.slot.borrow().as_ref().is_some_and(is_good) {
            call.end(&self.p);
            let slot = capacity::take(&self.p, &self.isolate, provider).await;
            call.slot.replace(slot.map_err(at_capacity)?);
        }
        match self.may_probe(call, index, target).await {
            Ok(()) => Ok(()),
            Err(left) => refused(left),
        }
    }

    /// Whether the target's circuit lets the call through; if not, how long not. Only a probe asks the region, and waits
    /// for its word.
    async fn may_probe(&self, call: &Call, index: usize, target: &TargetRef) -> Result<(), Span> {
        let circuits = &self.isolate.circuits;
        let (permit, probes) = circuits.borrow_mut().ask(self.p.now(), target)?;
        call.permit.set(Some((index, permit)));
        if probes.is_empty() {
            return Ok(());
        }
        let Some(snapshot) = circuit::leave(&self.p, probes).await else {
            return Ok(());
        };
        let now = self.p.now();
        let mut circuits = circuits.borrow_mut();
        if snapshot.may_probe {
            circuits.hear(now, &snapshot);
            return Ok(());
        }
        call.permit.take();
        Err(circuits.give_back(now, target, permit, &snapshot))
    }

    /// Waits before the next call, unless it is clear by now that there will be none.
    async fn back_off(&self, index: usize, wait: Span) {
        let Some(target) = self.course.target(index).map(Permitted::get) else {
            return;
        };
        let at = self.p.now().plus(wait);
        let refusal = || self.isolate.circuits.borrow_mut().refusal(at, target);
        if wait > Span::ZERO && refusal().is_none() {
            self.p.sleep(wait).await;
        }
    }
}

/// Whether it is worth waiting for this target's provider, where nobody else can serve.
fn may_wait(target: &TargetRef, failure: &Failure) -> bool {
    let queue = target.provider.capacity.and_then(|capacity| capacity.queue);
    queue.is_some() && matches!(failure, Failure::AtCapacity { .. })
}

const fn at_capacity(none: NoRoom) -> Failure {
    Failure::AtCapacity {
        line_is_full: matches!(none, NoRoom::LineFull),
    }
}

/// Of two failures the one to tell the caller: the later one of a call that was made, or else that which is over first.
pub(super) fn more_telling(
    told: Option<(usize, Failure)>,
    new: (usize, Failure),
) -> (usize, Failure) {
    let Some(told) = told else { return new };
    match (not_called(&told.1), not_called(&new.1)) {
        (None, Some(_)) => told,
        (Some(before), Some(after)) if before < after => told,
        (Some(_) | None, _) => new,
    }
}

/// For how long nobody is called, where nobody was.
const fn not_called(failure: &Failure) -> Option<Span> {
    match failure {
        Failure::CircuitOpen(left) => Some(*left),
        Failure::AtCapacity { .. } => Some(Span::ZERO),
        _ => None,
    }
}
