//! When a target is not called for a while.

use std::ops::RangeInclusive;

use sluice_machines::breaker::Policy;
use sluice_units::Span;

use super::{Check, HOUR};
use crate::config::compiled::{Circuit, Failures};
use crate::config::document::{CircuitDocument, FailureName};
use crate::config::issue::Trail;

/// What holds where nobody says otherwise. A limit on the gateway's account is no failure: it says itself when to come
/// back, and other models may be below theirs.
pub(super) const CIRCUIT_DEFAULT: Circuit = Circuit {
    policy: Policy {
        failures_max: 3,
        error_percent: 50,
        window: Span::from_seconds(60),
        calls_min: 20,
        open: Span::from_seconds(30),
        open_max: Span::from_seconds(600),
    },
    failures: Failures::NONE
        .with(FailureName::Connect)
        .with(FailureName::Timeout)
        .with(FailureName::Error)
        .with(FailureName::Overloaded)
        .with(FailureName::Authentication)
        .with(FailureName::Quota),
    look: Span::from_seconds(60),
};
const FAILURES_ALLOWED: RangeInclusive<u64> = 1..=1_000;
const PERCENT_ALLOWED: RangeInclusive<u64> = 1..=100;
const CALLS_ALLOWED: RangeInclusive<u64> = 1..=1_000_000;
const WINDOW_ALLOWED: RangeInclusive<Span> = Span::from_seconds(1)..=HOUR;
const LOOK_ALLOWED: RangeInclusive<Span> = Span::ZERO..=HOUR;
const OPEN_ALLOWED: RangeInclusive<Span> = Span::from_millis(100)..=HOUR;

impl Check {
    pub(super) fn circuit(
        &mut self,
        path: &Trail<'_>,
        document: &CircuitDocument,
        defaults: &Circuit,
    ) -> Circuit {
        let usual = defaults.policy;
        let mut number = |name: &str, written: Option<u32>, usual: u32, allowed| {
            let written = written.map(u64::from);
            let value = self.number(&path.name(name), written, u64::from(usual), allowed);
            u32::try_from(value).unwrap_or(usual)
        };
        let failures_max = number(
            "failures_max",
            document.failures_max,
            usual.failures_max,
            &FAILURES_ALLOWED,
        );
        let error_percent = number(
            "error_percent",
            document.error_percent,
            usual.error_percent,
            &PERCENT_ALLOWED,
        );
        let calls_min = number(
            "calls_min",
            document.calls_min,
            usual.calls_min,
            &CALLS_ALLOWED,
        );
        let mut span = |name: &str, written: &Option<String>, usual, allowed| {
            self.span(&path.name(name), written.as_deref(), usual, allowed)
        };
        let window = span("window", &document.window, usual.window, &WINDOW_ALLOWED);
        let open = span("open", &document.open, usual.open, &OPEN_ALLOWED);
        let open_max = span(
            "open_max",
            &document.open_max,
            usual.open_max,
            &OPEN_ALLOWED,
        );
        let look = span("look", &document.look, defaults.look, &LOOK_ALLOWED);
        let written = document.failures.as_ref();
        Circuit {
            policy: Policy {
                failures_max,
                error_percent,
                window,
                calls_min,
                open,
                // Whoever wants it open for longer wants it open for as long.
                open_max: open_max.max(open),
            },
            failures: written.map_or(defaults.failures, |names| {
                names
                    .iter()
                    .fold(Failures::NONE, |all, name| all.with(*name))
            }),
            look,
        }
    }
}
