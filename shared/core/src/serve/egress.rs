//! From where a target is called: from here, or from the place that the configuration names.
//!
//! A target that is to be called from its place only where it refuses the country that calls come from is called from
//! here first. Once it has refused, this isolate knows for a while: an isolate does not move.

use sluice_units::Span;
use sluice_wire::ErrorClass;

use super::{Call, Run};
use crate::circuit::End;
use crate::config::{EgressName, TargetRef};
use crate::isolate::Isolate;
use crate::plan::{Failure, Plan};
use crate::platform::{FetchError, Platform};
use crate::residency::{Permitted, Residency};
use crate::upload::Upload;

/// How long a refusal is remembered.
const REMEMBERED: Span = Span::from_seconds(600);

/// From where to call a target now; none is from here.
///
/// # Errors
/// Where what would call it may not have the request.
pub(crate) fn way<P: Platform>(
    p: &P,
    isolate: &Isolate,
    residency: &Residency,
    target: &TargetRef,
) -> Result<Option<Permitted<EgressName>>, Failure> {
    let Some(egress) = target.egress else {
        return Ok(None);
    };
    let permitted = residency.egress(&target.provider, egress.place);
    if egress.is_always {
        let refused = |_| Failure::Unreachable(FetchError::NoEgress);
        return permitted.map(Some).map_err(refused);
    }
    Ok(permitted
        .ok()
        .filter(|_| isolate.is_refused_here(p.now(), &target.provider.id)))
}

impl<P: Platform> Run<P> {
    /// Whether a call from here that failed so may be made once more from the target's place.
    pub(super) fn may_go_elsewhere(
        &self,
        call: &Call,
        target: &TargetRef,
        failure: &Failure,
    ) -> bool {
        let is_refused = matches!(
            failure,
            Failure::Answered(error) if error.class == ErrorClass::UnsupportedCountry
        );
        if !is_refused || call.egress.get().is_some() {
            return false;
        }
        let residency = self.course.residency();
        target
            .egress
            .is_some_and(|egress| residency.egress(&target.provider, egress.place).is_ok())
    }

    /// Whether a call from here that failed so is made once more from the target's place. Both are one call to the
    /// target's circuits: a probe stays a probe.
    pub(super) fn goes_elsewhere(
        &self,
        call: &Call,
        plan: &mut Plan,
        target: &TargetRef,
        failure: &Failure,
    ) -> bool {
        if !self.may_go_elsewhere(call, target, failure) {
            return false;
        }
        let until = self.p.now().plus(REMEMBERED);
        self.isolate.refused_here(until, &target.provider.id);
        // What was sent on as it came cannot be sent again.
        let is_spent = self.work.upload().is_some_and(Upload::is_spent);
        let again = !is_spent && plan.again();
        if !again {
            self.tell_circuit(call, End::Failed(failure));
        }
        again
    }
}
