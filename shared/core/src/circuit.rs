//! Which targets are not called for a while: what a call's end says of its target, and of the target's provider.
//!
//! What a provider is to blame for counts against it, what the caller is to blame for does not. A provider that answers
//! at all can be reached and accepts the gateway's key, whatever it answers.

use sluice_machines::breaker::{Board, Circuit, Name, Outcome, Pass, Policy};
use sluice_units::{Span, Timestamp};
use sluice_wire::ErrorClass;

use crate::config::{FailureName, Failures, TargetRef};
use crate::plan::Failure;
use crate::platform::FetchError;

/// The circuits as one isolate sees them.
#[derive(Debug, Default)]
pub struct Circuits {
    board: Board,
}

/// Leave to call a target; whoever holds it says how the call ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permit {
    provider: Option<Pass>,
    target: Option<Pass>,
}

/// How a call went, so far or in the end.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// An answer begins.
    Begun,
    /// A whole answer came.
    Answered,
    /// There is none, or not all of it.
    Failed(&'a Failure),
    /// Nobody knows.
    Left,
}

impl Circuits {
    /// Leave to call this target now, or how long to stay away.
    ///
    /// # Errors
    /// How long its circuit, or its provider's, is open at least.
    pub fn ask(&mut self, now: Timestamp, target: &TargetRef) -> Result<Permit, Span> {
        if target.circuit.failures == Failures::NONE {
            return Ok(Permit::default());
        }
        let until = self.refusals(now, target).max();
        if let Some(until) = until {
            return Err(until.since(now));
        }
        let mut take =
            |(name, policy): (Name, Policy)| Some(self.board.circuit(&name)?.take(now, &policy));
        let [provider, of_target] = circuits_of(target);
        Ok(Permit {
            provider: take(provider),
            target: take(of_target),
        })
    }

    /// Whether a call would be refused at that moment, as far as can be told now.
    pub fn refuses(&mut self, at: Timestamp, target: &TargetRef) -> bool {
        target.circuit.failures != Failures::NONE && self.refusals(at, target).next().is_some()
    }

    /// Whether calls are made as always: nothing is open, and nothing waits for a probe.
    pub fn is_closed(&mut self, target: &TargetRef) -> bool {
        target.circuit.failures == Failures::NONE
            || circuits_of(target).iter().all(|(name, _)| {
                let circuit = self.board.circuit(name);
                circuit.is_none_or(|circuit| circuit.is_closed())
            })
    }

    fn refusals<'a>(
        &'a mut self,
        now: Timestamp,
        target: &TargetRef,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        let all = circuits_of(target).into_iter();
        all.filter_map(move |(name, policy)| self.board.circuit(&name)?.may(now, &policy).err())
    }

    /// How a permitted call went.
    pub fn note(&mut self, now: Timestamp, target: &TargetRef, permit: &mut Permit, end: End<'_>) {
        let (provider, of_target) = outcomes(end, target.circuit.failures);
        let [(name, policy), (target_name, target_policy)] = circuits_of(target);
        let mut note = |name, policy, pass: &mut Option<Pass>, outcome| {
            let circuit: Option<&mut Circuit> = self.board.circuit(name);
            if let (Some(circuit), Some(pass)) = (circuit, pass.as_mut()) {
                circuit.note(now, policy, pass, outcome);
            }
        };
        note(&name, &policy, &mut permit.provider, provider);
        note(&target_name, &target_policy, &mut permit.target, of_target);
    }
}

/// The circuits that a call to this target depends on: its provider's, and its own.
fn circuits_of(target: &TargetRef) -> [(Name, Policy); 2] {
    let name = |model| Name {
        provider: target.provider.id.clone(),
        model,
    };
    [
        (name(None), target.provider.circuit.policy),
        (name(Some(target.model.clone())), target.circuit.policy),
    ]
}

/// What a call's end says of the provider, and of the target.
fn outcomes(end: End<'_>, counted: Failures) -> (Outcome, Outcome) {
    let failure = match end {
        End::Begun => return (Outcome::Begun, Outcome::Begun),
        // What got lost on the way to the caller was there.
        End::Answered | End::Failed(Failure::LossyAnswer(_)) => {
            return (Outcome::Success, Outcome::Success);
        }
        End::Left => return (Outcome::Neither, Outcome::Neither),
        End::Failed(failure) => failure,
    };
    let wait = match failure {
        Failure::Answered(error) => error.retry_after,
        _ => None,
    };
    let speaks = match failure {
        Failure::Answered(_) | Failure::Garbled(_) => Outcome::Success,
        _ => Outcome::Neither,
    };
    match kind(failure).filter(|kind| counted.has(*kind)) {
        None => (speaks, Outcome::Neither),
        Some(_) if concerns_all_models(failure) => (Outcome::Failure(wait), Outcome::Neither),
        Some(_) => (speaks, Outcome::Failure(wait)),
    }
}

/// What counts, if it is counted; nothing where the provider is not to blame.
const fn kind(failure: &Failure) -> Option<FailureName> {
    Some(match failure {
        Failure::Answered(error) => match error.class {
            ErrorClass::Authentication => FailureName::Authentication,
            ErrorClass::RateLimited => FailureName::RateLimit,
            ErrorClass::QuotaExhausted => FailureName::Quota,
            ErrorClass::Overloaded => FailureName::Overloaded,
            ErrorClass::Timeout => FailureName::Timeout,
            ErrorClass::Server => FailureName::Error,
            ErrorClass::InvalidRequest
            | ErrorClass::ContextLength
            | ErrorClass::ContentPolicy
            | ErrorClass::Permission
            | ErrorClass::UnsupportedCountry
            | ErrorClass::NotFound => return None,
        },
        Failure::Unreachable(_) => FailureName::Connect,
        Failure::Timeout(_) => FailureName::Timeout,
        Failure::Garbled(_) => FailureName::Error,
        Failure::BadKey { .. } => FailureName::Authentication,
        // Nobody was called, or somebody answered.
        Failure::NoKey(_)
        | Failure::CircuitOpen(_)
        | Failure::Inexpressible(_)
        | Failure::Refused(_)
        | Failure::Lossy(_)
        | Failure::LossyAnswer(_) => return None,
    })
}

/// Whether every model of the provider would fail alike.
const fn concerns_all_models(failure: &Failure) -> bool {
    match failure {
        Failure::Answered(error) => matches!(
            error.class,
            ErrorClass::Authentication | ErrorClass::QuotaExhausted
        ),
        Failure::Unreachable(error) => matches!(error, FetchError::Connect),
        Failure::BadKey { .. } => true,
        _ => false,
    }
}
