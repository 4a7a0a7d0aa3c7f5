//! Target after target, until one serves or nobody is left: whom to call, when, and what each call says of whom it
//! was made to.

use sluice_machines::limit::Amount;
use sluice_machines::record::Attempt;
use sluice_units::{Span, Timestamp};

use super::{Accepted, Run};
use crate::circuit::{self, End};
use crate::config::TargetRef;
use crate::credentials;
use crate::plan::{Failure, Next, Plan};
use crate::platform::Platform;
use crate::residency::Permitted;
use crate::upload::Upload;

impl<P: Platform> Run<P> {
    pub(super) async fn attempts(&self) -> Result<(usize, Accepted<P>), (usize, Failure)> {
        let retries = self.course.targets().map(|target| target.retry).collect();
        let [a, b, c, d, e, f, g, h, ..] = self.p.random();
        let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let mut plan = Plan::new(retries, self.course.fallback_on(), seed);
        let mut index = 0;
        let mut told = None;
        let mut covered = Amount::default();
        loop {
            let Some(target) = self.course.target(index) else {
                return Err((index, Failure::NoKey("no target".to_owned())));
            };
            let failure = match self.try_target(index, target).await {
                Ok(accepted) => return Ok((index, accepted)),
                Err(failure) => failure,
            };
            if self.goes_elsewhere(&mut plan, &target, &failure) {
                continue;
            }
            let next = plan.failed(&failure);
            let is_spent = self.work.upload().is_some_and(Upload::is_spent);
            told = Some(more_telling(told, (index, failure)));
            match next {
                // What was sent on as it came cannot be sent again.
                Next::Try { target, wait } if !is_spent && self.covers_more(&mut covered).await => {
                    index = target;
                    self.back_off(index, wait).await;
                }
                _ => {
                    let nobody = || (index, Failure::NoKey("no target".to_owned()));
                    return Err(told.unwrap_or_else(nobody));
                }
            }
        }
    }

    /// Calls a target, if its circuit lets the call through.
    async fn try_target(
        &self,
        index: usize,
        permitted: Permitted<&TargetRef>,
    ) -> Result<Accepted<P>, Failure> {
        let target = permitted.get();
        let started_at = self.p.now();
        self.egress.take();
        self.used.take();
        let mut outcome = match self.may_call(index, target).await {
            Ok(()) => self.attempt(permitted, started_at).await,
            Err(left) => {
                circuit::exchange(&self.p, &self.isolate);
                Err(Failure::CircuitOpen(left))
            }
        };
        if let Err(failure) = &mut outcome {
            credentials::scrub(&self.p, &self.isolate, &target.provider, failure);
            self.work.reword(failure);
        }
        let status = match &outcome {
            Ok(_) => Some(200),
            Err(Failure::Answered(error)) => Some(error.status),
            Err(_) => None,
        };
        if let Ok(Accepted::Whole(whole)) = &outcome {
            self.tell_circuit_at(whole.first_byte_at, End::Begun);
        }
        match &outcome {
            Ok(Accepted::Whole(_)) => self.tell_circuit(End::Answered),
            Ok(Accepted::Stream(_)) => self.tell_circuit(End::Begun),
            // Of an upload the caller may have been the slow one, or the one who broke off.
            Err(Failure::Timeout(_) | Failure::Unreachable(_)) if self.work.upload().is_some() => {
                self.tell_circuit(End::Left);
            }
            // The call is not over: `goes_elsewhere` goes on with it, or says that it is.
            Err(failure) if self.may_go_elsewhere(target, failure) => {}
            Err(failure) => self.tell_circuit(End::Failed(failure)),
        }
        let code = outcome.as_ref().err().map(Failure::code);
        let latency = match &outcome {
            // Nobody was called.
            Err(Failure::CircuitOpen(_)) => Span::ZERO,
            _ => self.p.now().since(started_at),
        };
        let failure = outcome.as_ref().err();
        let spent = failure.and_then(|failure| self.spent(target, failure));
        self.attempts.borrow_mut().push(Attempt {
            provider: target.provider.id.clone(),
            model: target.model.clone(),
            egress: self.egress.get().map(|place| place.name().to_owned()),
            status,
            error: code,
            latency_us: latency,
            spent,
        });
        outcome
    }

    /// Whether the target may be called; if not, how long not. Only a probe asks the region, and waits for its word.
    async fn may_call(&self, index: usize, target: &TargetRef) -> Result<(), Span> {
        if self.permit.get().is_some_and(|(held, _)| held == index) {
            // Given for the call that goes on from elsewhere.
            return Ok(());
        }
        let circuits = &self.isolate.circuits;
        let (permit, probes) = circuits.borrow_mut().ask(self.p.now(), target)?;
        self.permit.set(Some((index, permit)));
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
        self.permit.take();
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

    /// The head of an answer came.
    pub(super) fn has_spoken(&self) {
        if let Some((index, permit)) = self.permit.get() {
            self.permit.set(Some((index, permit.of_one_who_speaks())));
        }
    }

    /// How the call at hand goes; whoever is called is judged by it.
    pub(crate) fn tell_circuit(&self, end: End<'_>) {
        self.tell_circuit_at(self.p.now(), end);
    }

    fn tell_circuit_at(&self, now: Timestamp, end: End<'_>) {
        let Some((index, mut permit)) = self.permit.take() else {
            return;
        };
        let Some(target) = self.course.target(index).map(Permitted::get) else {
            return;
        };
        let circuits = &self.isolate.circuits;
        circuits.borrow_mut().note(now, target, &mut permit, end);
        if let End::Begun = end {
            self.permit.set(Some((index, permit)));
        } else {
            circuit::exchange(&self.p, &self.isolate);
        }
    }
}

/// Of two failures the one to tell the caller: the later one of a call that was made, or else that which is over first.
fn more_telling(told: Option<(usize, Failure)>, new: (usize, Failure)) -> (usize, Failure) {
    match (told, new) {
        (Some((index, Failure::CircuitOpen(before))), (_, Failure::CircuitOpen(after)))
            if before <= after =>
        {
            (index, Failure::CircuitOpen(before))
        }
        (Some((index, told)), (_, Failure::CircuitOpen(_)))
            if !matches!(told, Failure::CircuitOpen(_)) =>
        {
            (index, told)
        }
        (_, new) => new,
    }
}
