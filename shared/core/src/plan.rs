//! Which target to try next, and when: retry with backoff and jitter, then fall back.
//!
//! A pure machine: it is told what failed and answers what to do. It knows neither clock nor network;
//! randomness is a number that it is given.

use sluice_units::{ProviderId, Span};
use sluice_wire::{DecodeError, Drops, ErrorClass, Malformed, UpstreamError};

use crate::config::{FallbackOn, Retry};
use crate::platform::FetchError;
use crate::problem::Problem;

/// The most calls that one request may cause, over all targets.
pub const ATTEMPTS_MAX: u32 = 16;

/// Why an attempt brought no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The provider answered with an error.
    Answered(UpstreamError),
    /// There was no connection, or it broke.
    Unreachable(FetchError),
    /// The provider took too long to send this.
    Timeout(&'static str),
    /// The provider's answer cannot be read.
    Garbled(DecodeError),
    /// It has failed lately and is not called for so long; no call was made.
    CircuitOpen(Span),
    /// Another call was made beside it, and has answered first; or nobody waits for either any more.
    Outrun,
    /// It takes no more calls at once; no call was made.
    AtCapacity {
        /// So many wait for it that this request could not.
        line_is_full: bool,
    },
    /// The request has waited, and may not go on as it was prepared any more; no call was made.
    Outdated(Box<Problem>),
    /// The gateway has no key for the provider.
    NoKey(String),
    /// The gateway's key for the provider, a secret of this name, is of no use.
    BadKey {
        /// The secret's name.
        name: String,
        /// What is wrong with it; nothing of it.
        why: String,
    },
    /// The request cannot be written in the target's dialect.
    Inexpressible(sluice_wire::EncodeError),
    /// The request needs what only a provider of the caller's own dialect has, or its body turned out wrong.
    Refused(Malformed),
    /// The request would lose this on its way to the target, and the caller is strict.
    Lossy(Drops),
    /// The answer has lost this on its way to the caller, who is strict.
    LossyAnswer(Drops),
}

impl Failure {
    /// The stable code, for records and metrics.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Answered(error) => match error.class {
                ErrorClass::InvalidRequest => "upstream_invalid_request",
                ErrorClass::ContextLength => "context_length_exceeded",
                ErrorClass::ContentPolicy => "content_policy_violation",
                ErrorClass::Authentication => "upstream_authentication_failed",
                ErrorClass::Permission => "upstream_permission_denied",
                ErrorClass::UnsupportedCountry => "upstream_unsupported_country",
                ErrorClass::NotFound => "upstream_not_found",
                ErrorClass::RateLimited => "upstream_rate_limited",
                ErrorClass::QuotaExhausted => "upstream_quota_exhausted",
                ErrorClass::Overloaded => "upstream_overloaded",
                ErrorClass::Timeout => "upstream_timeout",
                ErrorClass::Server => "upstream_error",
            },
            Self::Unreachable(FetchError::Connect) => "upstream_unreachable",
            Self::Unreachable(FetchError::Broken) => "upstream_broken",
            Self::Unreachable(FetchError::NoEgress) => "egress_unavailable",
            Self::Timeout(_) => "upstream_timeout",
            Self::Garbled(DecodeError::Truncated) => "upstream_truncated",
            Self::Garbled(_) => "upstream_invalid_response",
            Self::Outrun => "hedge_lost",
            Self::CircuitOpen(_) => "circuit_open",
            Self::AtCapacity {
                line_is_full: false,
            } => "provider_at_capacity",
            Self::AtCapacity { line_is_full: true } => "queue_full",
            Self::Outdated(problem) => problem.code(),
            Self::NoKey(_) => "provider_key_missing",
            Self::BadKey { .. } => "provider_key_invalid",
            Self::Inexpressible(_) => "unsupported_by_target",
            Self::Refused(malformed) => malformed.code,
            Self::Lossy(_) => "lossy_translation",
            Self::LossyAnswer(_) => "lossy_answer",
        }
        .to_owned()
    }

    /// What the caller is told when nobody is left to ask.
    #[must_use]
    pub fn problem(&self, provider: &ProviderId) -> Problem {
        match self {
            Self::Answered(error) => Problem::upstream(provider, error),
            Self::Unreachable(error) => Problem::unreachable(provider, *error),
            Self::Timeout(what) => Problem::timeout(provider, what),
            Self::Garbled(error) => Problem::garbled(provider, error),
            Self::CircuitOpen(left) => {
                let after = (*left).max(Span::from_seconds(1));
                Problem::unavailable(
                    "circuit_open",
                    format!(
                        "Every target of this model has failed lately and is left alone for a while. The next call is made in {} s.",
                        after.as_seconds_ceil()
                    ),
                    after,
                )
            }
            Self::AtCapacity { line_is_full } => at_capacity(provider, *line_is_full),
            Self::Outrun => Problem::bug("a call that nobody waits for"),
            Self::Outdated(problem) => (**problem).clone(),
            Self::NoKey(name) => Problem::unavailable(
                "provider_key_missing",
                format!(
                    "The gateway has no key for the provider {provider}: the secret {name} is not set."
                ),
                Span::from_seconds(60),
            ),
            Self::BadKey { name, why } => Problem::unavailable(
                "provider_key_invalid",
                format!(
                    "The gateway's key for the provider {provider}, the secret {name}, cannot be used: {why}."
                ),
                Span::from_seconds(60),
            ),
            Self::Inexpressible(error) => error.clone().into(),
            Self::Refused(malformed) => malformed.clone().into(),
            Self::Lossy(drops) => Problem::lossy(drops),
            Self::LossyAnswer(drops) => Problem::lossy_answer(provider, drops),
        }
    }

    /// Whether somebody has been asked who may have worked on it, though nothing came of that.
    pub(crate) const fn was_worked_on(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Outrun)
    }

    const fn same_target_may_help(&self) -> bool {
        match self {
            Self::Answered(error) => error.class.retry_same_target(),
            Self::Unreachable(FetchError::NoEgress) => false,
            Self::Unreachable(_) | Self::Garbled(DecodeError::Truncated) => true,
            // What took this long has probably been worked on, and paid for.
            Self::Timeout(_)
            | Self::Outrun
            | Self::Garbled(_)
            | Self::CircuitOpen(_)
            | Self::AtCapacity { .. }
            | Self::Outdated(_)
            | Self::NoKey(_)
            | Self::BadKey { .. }
            | Self::Inexpressible(_)
            | Self::Refused(_)
            | Self::Lossy(_)
            | Self::LossyAnswer(_) => false,
        }
    }

    const fn next_target_may_help(&self, on: FallbackOn) -> bool {
        match self {
            Self::Answered(error) => match error.class {
                ErrorClass::InvalidRequest => false,
                ErrorClass::ContextLength => on.context_length,
                ErrorClass::ContentPolicy => on.content_policy,
                ErrorClass::RateLimited | ErrorClass::Overloaded | ErrorClass::QuotaExhausted => {
                    on.rate_limit
                }
                _ => on.error,
            },
            // The answer was paid for.
            Self::LossyAnswer(_) => false,
            Self::CircuitOpen(_) | Self::AtCapacity { .. } => on.error || on.rate_limit,
            Self::Outdated(_) => false,
            _ => on.error,
        }
    }

    const fn retry_after(&self) -> Option<Span> {
        match self {
            Self::Answered(error) => error.retry_after,
            _ => None,
        }
    }
}

fn at_capacity(provider: &ProviderId, line_is_full: bool) -> Problem {
    let (code, message) = if line_is_full {
        ("queue_full", "and too many requests wait for it")
    } else {
        ("provider_at_capacity", "and all of those are under way")
    };
    let message = format!(
        "The provider {provider} takes only so many calls at once from this gateway, {message}. Try again shortly."
    );
    Problem::unavailable(code, message, Span::from_seconds(1))
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try this target after waiting this long.
    Try {
        /// Its place in the route.
        target: usize,
        /// How long to wait before.
        wait: Span,
    },
    /// Tell the caller.
    GiveUp,
}

/// The attempts of one request.
#[derive(Debug)]
pub struct Plan {
    policies: Vec<Retry>,
    on: FallbackOn,
    random: u64,
    target: usize,
    tries_here: u32,
    tries: u32,
    is_hedged: bool,
}

impl Plan {
    /// A plan over a route's targets, in their order.
    #[must_use]
    pub const fn new(policies: Vec<Retry>, on: FallbackOn, random: u64) -> Self {
        Self {
            policies,
            on,
            random,
            target: 0,
            tries_here: 1,
            tries: 1,
            is_hedged: false,
        }
    }

    /// The target at hand failed: what now?
    pub fn failed(&mut self, failure: &Failure) -> Next {
        if self.tries >= ATTEMPTS_MAX {
            return Next::GiveUp;
        }
        let policy = self.policies.get(self.target).copied();
        if let Some(policy) = policy
            && failure.same_target_may_help()
            && self.tries_here < policy.attempts_max
        {
            let wait = failure
                .retry_after()
                .unwrap_or_else(|| self.backoff(policy));
            if wait <= policy.backoff_max {
                self.tries_here = self.tries_here.saturating_add(1);
                self.tries = self.tries.saturating_add(1);
                return Next::Try {
                    target: self.target,
                    wait,
                };
            }
        }
        let next = self.target.saturating_add(1);
        if failure.next_target_may_help(self.on) && next < self.policies.len() {
            self.move_to(next);
            self.tries = self.tries.saturating_add(1);
            return Next::Try {
                target: next,
                wait: Span::ZERO,
            };
        }
        Next::GiveUp
    }

    /// Nobody else can serve: back to a target that was passed by, and to none after it. `false` where somebody else has
    /// failed in a way that ends the request, or when it has been enough.
    pub fn back_to(&mut self, target: usize, failure: &Failure) -> bool {
        let may =
            matches!(failure, Failure::AtCapacity { .. }) || failure.next_target_may_help(self.on);
        if !may || !self.again() {
            return false;
        }
        self.policies.truncate(target.saturating_add(1));
        self.move_to(target);
        true
    }

    /// Whether a target was called beside another.
    #[must_use]
    pub const fn is_hedged(&self) -> bool {
        self.is_hedged
    }

    /// This target is to be called beside the one at hand, which happens once; `false` when it has been enough, or where
    /// the target is not to be called any more.
    pub const fn hedge(&mut self, target: usize) -> bool {
        let may = !self.is_hedged && target < self.policies.len() && self.again();
        self.is_hedged |= may;
        may
    }

    /// Whether a failure lets another target serve.
    #[must_use]
    pub const fn may_fall_back(&self, failure: &Failure) -> bool {
        failure.next_target_may_help(self.on)
    }

    /// This target is the one at hand now.
    pub const fn move_to(&mut self, target: usize) {
        self.target = target;
        self.tries_here = 1;
    }

    /// The target at hand is to be called once more at once; `false` when it has been enough.
    pub const fn again(&mut self) -> bool {
        let may = self.tries < ATTEMPTS_MAX;
        if may {
            self.tries = self.tries.saturating_add(1);
        }
        may
    }

    /// Exponential backoff with full jitter over its upper half: between half of it and all of it.
    fn backoff(&mut self, policy: Retry) -> Span {
        let doublings = self.tries_here.saturating_sub(1).min(20);
        let full = policy
            .backoff_base
            .times(1_i64 << doublings)
            .min(policy.backoff_max);
        // One step of splitmix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let half = full.as_micros().div_euclid(2);
        let jitter = i64::try_from(mixed >> 1)
            .unwrap_or(0)
            .checked_rem(half.saturating_add(1))
            .unwrap_or(0);
        Span::from_micros(half.saturating_add(jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Retry = Retry {
        attempts_max: 3,
        backoff_base: Span::from_millis(200),
        backoff_max: Span::from_seconds(5),
    };

    fn answered(class: ErrorClass, retry_after: Option<Span>) -> Failure {
        Failure::Answered(UpstreamError {
            class,
            status: 500,
            message: String::new(),
            code: None,
            param: None,
            retry_after,
        })
    }

    fn run(targets: usize, on: FallbackOn, failure: &Failure) -> Vec<(usize, Span)> {
        let mut plan = Plan::new(vec![POLICY; targets], on, 42);
        let mut steps = Vec::new();
        while let Next::Try { target, wait } = plan.failed(failure) {
            steps.push((target, wait));
        }
        steps
    }

    #[test]
    fn a_failing_target_is_tried_again_and_then_the_next() {
        let steps = run(
            2,
            FallbackOn::default(),
            &answered(ErrorClass::Server, None),
        );
        let targets: Vec<usize> = steps.iter().map(|step| step.0).collect();
        assert_eq!(targets, [0, 0, 1, 1, 1]);
        let (first, second) = (steps[0].1, steps[1].1);
        assert!(
            first >= Span::from_millis(100) && first <= Span::from_millis(200),
            "{first:?}"
        );
        assert!(
            second >= Span::from_millis(200) && second <= Span::from_millis(400),
            "{second:?}"
        );
    }

    #[test]
    fn the_wait_that_the_provider_asks_for_is_kept_when_it_is_bearable() {
        let patient = answered(ErrorClass::RateLimited, Some(Span::from_seconds(2)));
        assert_eq!(
            run(1, FallbackOn::default(), &patient),
            [(0, Span::from_seconds(2)); 2]
        );
        let endless = answered(ErrorClass::RateLimited, Some(Span::from_seconds(60)));
        assert_eq!(run(1, FallbackOn::default(), &endless), []);
        assert_eq!(run(2, FallbackOn::default(), &endless), [(1, Span::ZERO)]);
    }

    #[test]
    fn the_callers_fault_is_not_tried_elsewhere_unless_configured() {
        let wrong = answered(ErrorClass::InvalidRequest, None);
        assert_eq!(run(2, FallbackOn::default(), &wrong), []);
        let large = answered(ErrorClass::ContextLength, None);
        assert_eq!(run(2, FallbackOn::default(), &large), []);
        let on = FallbackOn {
            context_length: true,
            ..FallbackOn::default()
        };
        assert_eq!(run(2, on, &large), [(1, Span::ZERO)]);
    }

    #[test]
    fn attempts_are_bounded() {
        let steps = run(
            50,
            FallbackOn::default(),
            &answered(ErrorClass::Overloaded, None),
        );
        assert_eq!(steps.len(), ATTEMPTS_MAX as usize - 1);
    }
}
