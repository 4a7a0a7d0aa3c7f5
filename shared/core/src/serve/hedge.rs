//! A request that is hedged: where a target keeps its caller waiting, the next one is called beside it, once.
//!
//! Who answers first serves. The other call is broken off, charged what it has used, and stands in the record.

use std::pin::pin;

use futures_util::future::{Either, select};
use sluice_machines::limit::Amount;

use super::attempts::more_telling;
use super::{Accepted, Call, Run};
use crate::circuit::End;
use crate::config::{Hedge, TargetRef};
use crate::plan::{Failure, Plan};
use crate::platform::Platform;
use crate::residency::Permitted;

/// Whom to call: its place in the course, and the target.
pub(super) type Aim<'a> = (usize, Permitted<&'a TargetRef>);

impl<P: Platform> Run<P> {
    /// Calls a target, and another beside it where that takes too long and the request is hedged: whose answer it is,
    /// or failure. Of two failures one is told here.
    pub(super) async fn race<'a>(
        &'a self,
        plan: &mut Plan,
        first: Aim<'a>,
        told: &mut Option<(usize, Failure)>,
    ) -> (Aim<'a>, Result<Accepted<P>, Failure>) {
        let (one, other) = (self.at_hand(), self.beside());
        let mut call = pin!(self.try_target(one, first));
        let Some(hedge) = self.hedge().filter(|_| !plan.is_hedged()) else {
            return (first, call.await);
        };
        let late = pin!(self.p.sleep(hedge.after));
        if let Either::Left((outcome, _)) = select(call.as_mut(), late).await {
            return (first, outcome);
        }
        let Some(second) = self.second(plan, first.0) else {
            return (first, call.await);
        };
        let covered = pin!(self.covers_both());
        match select(call.as_mut(), covered).await {
            Either::Left((outcome, _)) => return (first, outcome),
            Either::Right((false, _)) => return (first, call.await),
            Either::Right((true, _)) => {}
        }
        // Few requests need room for a second call.
        let mut another = Box::pin(self.try_target(other, second));
        let mut tell = |aim: Aim<'_>, failure| {
            *told = Some(more_telling(told.take(), (aim.0, failure)));
        };
        match select(call.as_mut(), another.as_mut()).await {
            Either::Left((Err(failure), _)) if plan.may_fall_back(&failure) => {
                self.end_call(one, End::Failed(&failure));
                self.is_at_second.set(!self.is_at_second.get());
                plan.move_to(second.0);
                tell(first, failure);
                (second, another.await)
            }
            Either::Left((outcome, _)) => {
                drop(another);
                self.outrun(other);
                (first, outcome)
            }
            Either::Right((Ok(accepted), _)) => {
                let is_made = one.asks().is_some();
                self.outrun(one);
                if is_made {
                    self.put_in_order();
                }
                self.is_at_second.set(!self.is_at_second.get());
                (second, Ok(accepted))
            }
            Either::Right((Err(failure), _)) => {
                self.end_call(other, End::Failed(&failure));
                tell(second, failure);
                let outcome = call.await;
                self.put_in_order();
                (first, outcome)
            }
        }
    }

    /// How the request is hedged. What cannot be sent twice is not.
    pub(super) fn hedge(&self) -> Option<Hedge> {
        self.course.hedge().filter(|_| self.work.upload().is_none())
    }

    /// Whom to call beside a target: the next that can be expected to answer.
    fn second(&self, plan: &mut Plan, first: usize) -> Option<Aim<'_>> {
        let now = self.p.now();
        let mut circuits = self.isolate.circuits.borrow_mut();
        let mut later = self
            .course
            .targets()
            .enumerate()
            .skip(first.saturating_add(1));
        let second = later.find(|(_, target)| circuits.refusal(now, target).is_none())?;
        (plan.hedge(second.0) && self.isolate.may_hedge()).then_some(second)
    }

    /// Whether another call may be made beside the one under way: each may use all that one may.
    async fn covers_both(&self) -> bool {
        let one = self.admitted.estimate();
        let both = Amount {
            tokens: one.tokens.plus(one.tokens),
            cost: one.cost.plus(one.cost),
        };
        self.reserves(both).await
    }

    /// A call that is broken off, since the request needs it no more.
    pub(super) fn outrun(&self, call: &Call) {
        if let Some(index) = call.asks()
            && let Some(target) = self.course.target(index)
        {
            self.conclude(call, target.get(), &Err(Failure::Outrun));
        }
        self.end_call(call, End::Left);
    }

    /// What ended first was called last: calls stand in the record as they began.
    fn put_in_order(&self) {
        let mut attempts = self.attempts.borrow_mut();
        if let [.., second, first] = attempts.as_mut_slice() {
            std::mem::swap(second, first);
        }
    }
}
