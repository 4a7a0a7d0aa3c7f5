//! A steady rate with a burst: the generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A).
//!
//! **Invariant:** within any stretch of time no more is charged than the burst and what the rate allows in that time.
//! A charge is rounded up to whole microseconds, so the rate is never exceeded. What is held (reserved or leased) is
//! handed in and counts on top at every moment, as if it were charged now; therefore it may be charged later, in whole
//! or in part. Knows neither limits nor scopes.

use serde::{Deserialize, Serialize};
use sluice_units::{Span, Timestamp};

use crate::limit::Meter;

/// The state of one rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gauge {
    /// What is counted.
    #[serde(rename = "m")]
    pub(super) meter: Meter,
    /// Within how long.
    #[serde(rename = "w")]
    pub(super) window: Span,
    /// How many, as the rule that was looked at last says.
    #[serde(rename = "l")]
    limit: u64,
    /// The theoretical arrival time: until then the rate is used up.
    #[serde(rename = "t")]
    tat: Timestamp,
}

/// A rate's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) limit: u64,
    pub(super) window: Span,
    pub(super) burst: u64,
}

impl Rate {
    /// How long the rate takes for `quantity`, rounded up.
    fn takes(self, quantity: u64) -> Span {
        let micros = u128::from(quantity)
            .saturating_mul(u128::from(self.window.as_micros().unsigned_abs()))
            .div_ceil(u128::from(self.limit.max(1)));
        Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// How much the rate allows in this time, rounded down.
    fn allows_in(self, span: Span) -> u64 {
        let quantity = u128::from(span.as_micros().max(0).unsigned_abs())
            .saturating_mul(u128::from(self.limit))
            .checked_div(u128::from(self.window.as_micros().unsigned_abs()))
            .unwrap_or(0);
        u64::try_from(quantity).unwrap_or(u64::MAX)
    }

    /// How far the theoretical arrival time may be ahead, rounded up so that the whole burst fits.
    fn tolerance(self) -> Span {
        self.takes(self.burst)
    }
}

impl Gauge {
    /// A rate of which nothing is used.
    pub(super) const fn new(meter: Meter, window: Span, limit: u64) -> Self {
        Self {
            meter,
            window,
            limit,
            tat: Timestamp::from_micros(0),
        }
    }

    /// The gauge for this meter and window.
    pub(super) fn is(&self, meter: Meter, window: Span) -> bool {
        self.meter == meter && self.window == window
    }

    /// Nothing is used any more.
    pub(super) fn is_rested(&self, at: Timestamp) -> bool {
        self.tat <= at
    }

    /// What of the burst is used now.
    pub(super) fn used(&self, at: Timestamp, rate: Rate) -> u64 {
        let left = Span::from_micros(
            rate.tolerance()
                .as_micros()
                .saturating_sub(self.tat.since(at).as_micros()),
        );
        rate.burst
            .saturating_sub(rate.allows_in(left).min(rate.burst))
    }

    /// Follows a rule whose number has changed.
    pub(super) const fn follow(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Charges `quantity` now.
    pub(super) fn charge(&mut self, at: Timestamp, quantity: u64) {
        let rate = Rate {
            limit: self.limit,
            window: self.window,
            burst: 0,
        };
        self.tat = self.tat.max(at).plus(rate.takes(quantity));
    }

    /// When `asked` fits if nothing else comes; `None` when it never will.
    pub(super) fn fits_at(&self, at: Timestamp, asked: u64, rate: Rate) -> Option<Timestamp> {
        let room = rate.burst.checked_sub(asked)?;
        Some(self.tat.minus(rate.takes(room)).max(at))
    }

    /// When nothing is used any more if nothing else comes.
    pub(super) fn rests_at(&self, at: Timestamp) -> Timestamp {
        self.tat.max(at)
    }
}
