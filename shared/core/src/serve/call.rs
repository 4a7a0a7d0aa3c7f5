//! One call under way, and what the request has to remember of it.

use std::cell::{Cell, RefCell};

use sluice_machines::record::UsageSource;
use sluice_units::{Timestamp, Usage};

use super::Run;
use crate::capacity::Slot;
use crate::circuit::{self, End, Permit};
use crate::config::EgressName;
use crate::platform::Platform;
use crate::residency::Permitted;

/// A call that is under way, or was.
#[derive(Default)]
pub(crate) struct Call {
    /// The target that is being called, and the leave to.
    pub(super) permit: Cell<Option<(usize, Permit)>>,
    /// The slot that it is called on, where it takes only so many calls at once.
    pub(super) slot: RefCell<Option<Slot>>,
    /// What it has used, as far as it has been answered.
    pub(super) used: Cell<Option<(Usage, UsageSource)>>,
    /// The place that it left from; none is from here.
    pub(crate) egress: Cell<Option<EgressName>>,
    /// When it began.
    pub(super) since: Cell<Timestamp>,
    /// The target was asked, as far as anybody knows.
    pub(super) is_made: Cell<bool>,
}

impl Call {
    /// The target that is being asked, if one is.
    pub(super) fn asks(&self) -> Option<usize> {
        let (index, _) = self.permit.get()?;
        self.is_made.get().then_some(index)
    }

    /// The head of an answer came.
    pub(super) fn has_spoken(&self) {
        if let Some((index, permit)) = self.permit.get() {
            self.permit.set(Some((index, permit.of_one_who_speaks())));
        }
    }

    /// It is not under way any more: its slot is somebody else's.
    pub(super) fn end<P: Platform>(&self, p: &P) {
        if let Some(slot) = self.slot.take() {
            slot.end(p);
        }
    }
}

impl<P: Platform> Run<P> {
    /// The call that the request is served by, or is to be.
    pub(crate) const fn at_hand(&self) -> &Call {
        let [first, second] = &self.calls;
        if self.is_at_second.get() {
            second
        } else {
            first
        }
    }

    /// The other one.
    pub(super) const fn beside(&self) -> &Call {
        let [first, second] = &self.calls;
        if self.is_at_second.get() {
            first
        } else {
            second
        }
    }

    /// How a call goes; whoever is called is judged by it.
    pub(crate) fn tell_circuit(&self, call: &Call, end: End<'_>) {
        self.tell_circuit_at(self.p.now(), call, end);
    }

    pub(super) fn tell_circuit_at(&self, now: Timestamp, call: &Call, end: End<'_>) {
        let Some((index, mut permit)) = call.permit.take() else {
            return;
        };
        let Some(target) = self.course.target(index).map(Permitted::get) else {
            return;
        };
        let circuits = &self.isolate.circuits;
        circuits.borrow_mut().note(now, target, &mut permit, end);
        if let End::Begun = end {
            call.permit.set(Some((index, permit)));
        } else {
            circuit::exchange(&self.p, &self.isolate);
        }
    }

    /// A call is over, and this was its end.
    pub(crate) fn end_call(&self, call: &Call, end: End<'_>) {
        self.tell_circuit(call, end);
        call.end(&self.p);
    }
}
