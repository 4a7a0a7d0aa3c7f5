//! Which of the rules at several scopes has the least left, in proportion to what it allows: the one that callers meet
//! first.
//!
//! It travels with every answer, so it is told by its number among the rules of the command; both sides have these.

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use crate::limit::{Rule, Scope, ScopeRules, Slice};

/// The rule with the least left in proportion, of equals the outermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tightest {
    /// The how manieth it is among the rules of all scopes, from 0.
    #[serde(rename = "n")]
    number: u16,
    /// What is left of it, in its unit.
    #[serde(rename = "l")]
    remaining: u64,
}

impl Tightest {
    /// At whom it stands and what it says, where these are the scopes of the command that was answered.
    #[must_use]
    pub fn rule<'a>(self, scopes: &'a [ScopeRules]) -> Option<(&'a Scope, &'a Rule)> {
        let each = |of: &'a ScopeRules| of.rules.iter().map(move |rule| (&of.scope, rule));
        scopes.iter().flat_map(each).nth(usize::from(self.number))
    }

    /// What is left of it, in its unit: requests, tokens or nano-dollars.
    #[must_use]
    pub const fn remaining(self) -> u64 {
        self.remaining
    }

    /// The same where so much is free besides.
    #[must_use]
    pub fn with(mut self, scopes: &[ScopeRules], free: Slice) -> Self {
        if let Some((_, rule)) = self.rule(scopes) {
            let remaining = self.remaining.saturating_add(rule.asked(free));
            self.remaining = remaining.min(rule.most());
        }
        self
    }

    /// The tighter of both, which are of the same scopes.
    pub(super) fn or(self, other: Self, scopes: &[ScopeRules]) -> Self {
        let parts = [self, other].map(|one| {
            let (_, rule) = one.rule(scopes)?;
            Some((one.remaining, rule.most()))
        });
        match parts {
            [Some(this), Some(that)] if is_less(that, this) => other,
            [None, Some(_)] => other,
            _ => self,
        }
    }
}

/// Looks at one rule after another.
#[derive(Debug, Default)]
pub(super) struct Search {
    looked: u16,
    least: Option<(Tightest, u64)>,
}

impl Search {
    /// The next rule stands like this.
    pub(super) fn look(&mut self, measure: Measure) {
        let (remaining, most) = (measure.room(), measure.limit);
        let least = self.least.map(|(least, most)| (least.remaining, most));
        if least.is_none_or(|least| is_less((remaining, most), least)) {
            let number = self.looked;
            self.least = Some((Tightest { number, remaining }, most));
        }
        self.looked = self.looked.saturating_add(1);
    }

    /// The tightest of all, if there are any.
    pub(super) fn end(self) -> Option<Tightest> {
        self.least.map(|(least, _)| least)
    }
}

/// Whether the first is a smaller part of what it is a part of.
const fn is_less(this: (u64, u64), that: (u64, u64)) -> bool {
    // Widening: no product of two u64 is larger than a u128.
    let (this, of_this) = (this.0 as u128, this.1 as u128);
    let (that, of_that) = (that.0 as u128, that.1 as u128);
    this.saturating_mul(of_that) < that.saturating_mul(of_this)
}
