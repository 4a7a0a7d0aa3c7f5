//! What stands against a rule at one moment, and when more fits.
//!
//! Only looks: what was looked at is as it was.

use sluice_units::{Span, Timestamp};

use super::gauge::{Gauge, Rate};
use super::scope::ScopeRow;
use crate::limit::{Borrow, Meter, Rule, Slice, nanos};

/// What stands against a rule at one moment, in the rule's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measure {
    /// Charged, reserved and leased.
    pub(super) used: u64,
    /// The part of it that is leased.
    pub(super) leased: u64,
    /// How much is allowed.
    pub(super) limit: u64,
}

impl Measure {
    /// Whether so much more fits.
    pub(super) const fn fits(self, asked: u64) -> bool {
        self.used.saturating_add(asked) <= self.limit
    }

    /// How much more fits.
    pub(super) const fn room(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl ScopeRow {
    /// What stands against a rule at `at`, which no admission has passed.
    pub(super) fn measure(&self, rule: &Rule, at: Timestamp) -> Measure {
        let leased = self.leased_under(rule, at);
        let below = self.open_below(rule, at);
        let (charged, leased, limit) = match *rule {
            Rule::Window {
                meter,
                limit,
                window,
                ..
            } => {
                let used = self
                    .window(meter, window)
                    .map_or(0, |counter| counter.used(at, rule.side()));
                let used = used.saturating_add(open_below(meter, below));
                (used, leased.on(meter), limit)
            }
            Rule::Gcra {
                meter,
                limit,
                window,
                burst,
            } => {
                let rate = Rate {
                    limit,
                    window,
                    burst,
                };
                let used = self
                    .gauge(meter, window)
                    .map_or(0, |gauge| gauge.used(at, rate));
                let held = self.held_back(meter, below);
                (used.saturating_add(held), leased.on(meter), burst)
            }
            Rule::Concurrency { limit } => {
                let open = self.open.saturating_add(below.requests);
                (open, leased.requests, limit)
            }
            Rule::Budget {
                limit,
                period,
                clocks,
                ..
            } => {
                let (spent, reserved) = self.spending_by((period, clocks), at, rule.side());
                (
                    nanos(spent.plus(reserved).plus(below.cost)),
                    nanos(leased.cost),
                    nanos(limit),
                )
            }
        };
        Measure {
            used: charged.saturating_add(leased),
            leased,
            limit: most(rule, limit),
        }
    }

    /// What a rate does not know of yet: tokens and money are charged when they are settled.
    fn held_back(&self, meter: Meter, below: Slice) -> u64 {
        match meter {
            Meter::Requests => 0,
            Meter::Tokens => self.reserved_tokens.plus(below.tokens).count(),
            Meter::Money => nanos(self.reserved.plus(below.cost)),
        }
    }

    /// When `asked` more fit if nothing else comes; `None` when they never will.
    pub(super) fn fits_at(&self, rule: &Rule, at: Timestamp, asked: u64) -> Option<Timestamp> {
        let Measure { leased, limit, .. } = self.measure(rule, at);
        if asked > limit {
            return None;
        }
        let without = self.fits_beside(rule, at, asked)?;
        let Some(ends) = self.ends(at).max().filter(|_| leased > 0) else {
            return Some(without);
        };
        // Either the leases end, or so much else does that they do not matter.
        let beside = self.fits_beside(rule, at, asked.saturating_add(leased));
        let ended = without.max(ends);
        Some(beside.map_or(ended, |beside| beside.min(ended)))
    }

    /// The same, if nothing were leased.
    fn fits_beside(&self, rule: &Rule, at: Timestamp, asked: u64) -> Option<Timestamp> {
        /// When to try again where only the end of some request helps.
        const SOON: Span = Span::from_seconds(1);
        let below = self.open_below(rule, at);
        match *rule {
            Rule::Window {
                meter,
                limit,
                window,
                ..
            } => match self.window(meter, window) {
                Some(counter) => {
                    let limit = most(rule, limit);
                    let asked_in_all = asked.saturating_add(open_below(meter, below));
                    let free = counter.fits_at(at, asked_in_all, (limit, rule.side()));
                    free.or_else(|| (asked <= limit).then(|| at.plus(SOON)))
                }
                None => (asked <= most(rule, limit)).then_some(at),
            },
            Rule::Gcra {
                meter,
                limit,
                window,
                burst,
            } => {
                let rate = Rate {
                    limit,
                    window,
                    burst,
                };
                let gauge = self.gauge(meter, window);
                let fresh = Gauge::new(meter, window, limit);
                let gauge = gauge.unwrap_or(&fresh);
                let held = self.held_back(meter, below);
                gauge
                    .fits_at(at, asked.saturating_add(held), rate)
                    .or_else(|| (asked <= burst).then(|| at.plus(SOON)))
            }
            Rule::Concurrency { limit } => {
                let open = self.open.saturating_add(below.requests);
                let fits = open.saturating_add(asked) <= limit;
                (asked <= limit).then(|| if fits { at } else { at.plus(SOON) })
            }
            Rule::Budget {
                limit,
                period,
                clocks,
                ..
            } => {
                let (spent, reserved) = self.spending_by((period, clocks), at, rule.side());
                let used = nanos(spent.plus(reserved).plus(below.cost));
                let limit = most(rule, nanos(limit));
                if asked > limit {
                    return None;
                }
                let fits = used.saturating_add(asked) <= limit;
                Some(if fits { at } else { clocks.next(period, at) })
            }
        }
    }

    /// When nothing counts against a window or a rate any more if nothing else comes.
    pub(super) fn empty_at(&self, rule: &Rule, at: Timestamp) -> Timestamp {
        match *rule {
            Rule::Window { meter, window, .. } => self
                .window(meter, window)
                .map_or(at, |counter| counter.empty_at(at, rule.side())),
            Rule::Gcra { meter, window, .. } => self
                .gauge(meter, window)
                .map_or(at, |gauge| gauge.rests_at(at)),
            Rule::Concurrency { .. } | Rule::Budget { .. } => at,
        }
    }
}

/// How much a rule allows of the part that it looks at.
const fn most(rule: &Rule, limit: u64) -> u64 {
    match rule.borrow() {
        Borrow::Of(most) => most,
        Borrow::No | Borrow::Any | Borrow::UpTo(_) => limit,
    }
}

/// What child ledgers have drawn and not settled, as far as a window does not know of it: requests are told at once.
const fn open_below(meter: Meter, below: Slice) -> u64 {
    match meter {
        Meter::Requests => 0,
        Meter::Tokens | Meter::Money => below.on(meter),
    }
}
