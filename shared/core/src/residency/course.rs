//! The part of a route that a caller's data may take.

use std::sync::Arc;

use http::StatusCode;
use sluice_units::{ModelId, Span};

use super::{Permitted, Refusal, Residency};
use crate::config::{FallbackOn, Hedge, Route, TargetRef};
use crate::problem::Problem;

/// A route, and which of its targets passed the check. What did not pass is not there: neither first nor last.
#[derive(Debug, Clone)]
pub struct Course {
    route: Arc<Route>,
    residency: Residency,
}

impl Residency {
    /// The targets of a route that may be called, in order.
    ///
    /// # Errors
    /// Why each is closed, when all are.
    pub fn course(&self, route: Arc<Route>) -> Result<Course, Vec<Refusal>> {
        let mut refusals = Vec::new();
        for target in &route.targets {
            match self.target(target) {
                Ok(_) => {
                    return Ok(Course {
                        route,
                        residency: self.clone(),
                    });
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(refusals)
    }

    /// What the caller is told of a model none of whose targets its data may go to.
    #[must_use]
    pub fn nowhere(&self, model: &ModelId, refusals: &[Refusal]) -> Problem {
        let (code, held) = match self.pin() {
            Some(pin) => (
                "no_target_in_region",
                format!("is held to the region {}", pin.region),
            ),
            None => ("no_target_for_phi", "holds health data".to_owned()),
        };
        let closed: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        let message = format!(
            "This request {held}, and nobody who serves the model {model} may have it: {}.",
            closed.join("; ")
        );
        Problem::invalid(StatusCode::FORBIDDEN, code, message).with_param("model")
    }

    /// What the caller is told when everybody who may have the request has failed: a pinned one goes nowhere else.
    #[must_use]
    pub fn unserved(&self, problem: Problem) -> Problem {
        let Some(pin) = self.pin().filter(|_| problem.status().is_server_error()) else {
            return problem;
        };
        let message = format!(
            "This request is held to the region {}, and nobody there can serve it now. {}",
            pin.region,
            problem.message()
        );
        let after = problem.retry_after().unwrap_or(Span::from_seconds(1));
        Problem::unavailable("region_unavailable", message, after)
    }
}

impl Course {
    /// The public name.
    #[must_use]
    pub fn name(&self) -> &ModelId {
        &self.route.name
    }

    /// What makes the next target be tried.
    #[must_use]
    pub fn fallback_on(&self) -> FallbackOn {
        self.route.fallback_on
    }

    /// How requests are hedged, where they are.
    #[must_use]
    pub fn hedge(&self) -> Option<Hedge> {
        self.route.hedge
    }

    /// What binds the request.
    #[must_use]
    pub const fn residency(&self) -> &Residency {
        &self.residency
    }

    /// The targets that may be called, in order. Never none.
    pub fn targets(&self) -> impl Iterator<Item = Permitted<&TargetRef>> {
        let all = self.route.targets.iter();
        all.filter_map(|target| self.residency.target(target).ok())
    }

    /// One of them, counted among those that may be called.
    #[must_use]
    pub fn target(&self, index: usize) -> Option<Permitted<&TargetRef>> {
        self.targets().nth(index)
    }

    /// The targets that may not be called, each with its place in the route, and why.
    pub fn closed(&self) -> impl Iterator<Item = (usize, &TargetRef, Refusal)> {
        let all = self.route.targets.iter().enumerate();
        all.filter_map(|(index, target)| {
            Some((index, target, self.residency.target(target).err()?))
        })
    }
}
