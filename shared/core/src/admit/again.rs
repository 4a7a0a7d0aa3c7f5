//! Who asks, looked at again when time has passed.
//!
//! A request may wait for its limits for a minute, or for a provider to have room; meanwhile its key can be revoked and
//! its rules can change. Whoever has waited is asked for by what holds then, as a new request would be. What may change
//! is who may ask, and how much; whoever was let in is not weighed again.
//! Where anything else is not as it was when the request was prepared - what models lead to, where data may go, what is
//! kept of it - the request is to be sent again: it is never half old and half new.

use std::rc::Rc;

use sluice_machines::record::Operation;
use sluice_units::{ModelId, Span};

use super::Ask;
use super::amount::estimate;
use crate::authenticate::{self, Caller};
use crate::config::{Config, TargetRef};
use crate::gateway::Context;
use crate::platform::Platform;
use crate::prepare;
use crate::problem::Problem;
use crate::residency::Course;

/// Who asks, as far as is known by now.
pub(super) struct Asking<'a> {
    first: &'a Caller,
    config: Rc<Config>,
    later: Option<Caller>,
}

impl<'a> Asking<'a> {
    /// As it was when the request was prepared.
    pub(super) const fn new(config: Rc<Config>, caller: &'a Caller) -> Self {
        Self {
            first: caller,
            config,
            later: None,
        }
    }

    /// Whoever asks, under the rules that hold.
    pub(super) fn caller(&self) -> &Caller {
        self.later.as_ref().unwrap_or(self.first)
    }

    /// Time has passed: finds key, place and rules again.
    ///
    /// # Errors
    /// What a new request would be told; a 503 when what was prepared is out of date.
    pub(super) async fn look_again<P: Platform>(
        &mut self,
        context: &Context<'_, P>,
        ask: &Ask<'_>,
    ) -> Result<(), Problem> {
        let asked = (ask.operation, &ask.model, ask.course);
        let (config, caller) = found(context, self.first, &self.config, asked).await?;
        if !Rc::ptr_eq(&config, &self.config) {
            // A budget may stand now where no price is known.
            estimate(&context.config, caller.scopes(), ask)?;
        }
        self.config = config;
        self.later = Some(caller);
        Ok(())
    }
}

/// What is asked for, and where it was found to lead.
type Asked<'a> = (Operation, &'a ModelId, &'a Course);

/// Whether an admitted request that has waited may still go to where it was prepared for.
///
/// # Errors
/// What a new request would be told; a 503 when what was prepared is out of date.
pub(crate) async fn may_go_on<P: Platform>(
    context: &Context<'_, P>,
    caller: &Caller,
    asked: Asked<'_>,
) -> Result<(), Problem> {
    let found = found(context, caller, &context.config, asked).await;
    found.map(drop)
}

/// The configuration and the caller as they are now.
async fn found<P: Platform>(
    context: &Context<'_, P>,
    first: &Caller,
    before: &Rc<Config>,
    asked: Asked<'_>,
) -> Result<(Rc<Config>, Caller), Problem> {
    let (p, isolate) = (context.p, context.isolate);
    let config = isolate.config(p).await?;
    let key = authenticate::known(p, isolate, &first.key().hash).await?;
    let caller = authenticate::caller(&config, key, p.now(), &context.head.headers)?;
    if !first.goes_like(&caller) {
        return Err(outdated());
    }
    if !Rc::ptr_eq(&config, before) {
        leads_as_before(&config, &caller, asked)?;
    }
    Ok((config, caller))
}

/// The model that is asked for leads to the targets that the request was prepared for.
fn leads_as_before(
    config: &Config,
    caller: &Caller,
    (operation, model, before): Asked<'_>,
) -> Result<(), Problem> {
    if matches!(operation, Operation::Files | Operation::Batches) {
        // They name a provider; what they were prepared by is not looked up by a model's name.
        return Err(outdated());
    }
    let course = prepare::course(config, caller, model)?;
    let name = |target: &TargetRef| (target.provider.id.clone(), target.model.clone());
    let now = course.targets().map(|target| name(target.get()));
    if now.eq(before.targets().map(|target| name(target.get()))) {
        return Ok(());
    }
    Err(outdated())
}

fn outdated() -> Problem {
    Problem::unavailable(
        "configuration_changed",
        "The configuration has changed while this request waited. Send it again.",
        Span::from_seconds(1),
    )
}
