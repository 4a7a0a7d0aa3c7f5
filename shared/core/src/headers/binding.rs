//! `x-sluice-limit`: the limit that binds, in one line.
//!
//! `SCOPE; of=KIND; limit=N[; per=TIME][; burst=N]; remaining=N`, where the scope is `org`, `team/T`, `app/T/A`,
//! `user/U` or `key/K`, as in every other header, and the kind `requests`, `tokens`, `concurrency` or `money`. Money is in
//! US dollars, as in every other header; of a steady rate, what remains is of its burst.
//!
//! Knows nothing of how the limit was chosen: the ledger does that.

use http::HeaderMap;
use sluice_machines::ledger::{Denial, Headroom};
use sluice_machines::limit::{Meter, Rule, Scope, ScopeRules};
use sluice_units::NanoUsd;

use super::{period_word, put, scope_path};
use crate::config::shown_span;

/// The limit that binds, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding(String);

impl Binding {
    /// The limit with the least left in proportion, for a request that was let in under these scopes' rules.
    #[must_use]
    pub fn least(headroom: &Headroom, scopes: &[ScopeRules]) -> Option<Self> {
        let tightest = headroom.tightest?;
        let (scope, rule) = tightest.rule(scopes)?;
        Some(Self::new(scope, rule, tightest.remaining()))
    }

    /// The limit that refused a request.
    #[must_use]
    pub fn of(denial: &Denial) -> Self {
        let remaining = denial.rule.most().saturating_sub(denial.used);
        Self::new(&denial.scope, &denial.rule, remaining)
    }

    fn new(scope: &Scope, rule: &Rule, remaining: u64) -> Self {
        let (limit, per, burst) = match *rule {
            Rule::Window { limit, window, .. } => (limit, Some(shown_span(window)), None),
            Rule::Gcra {
                limit,
                window,
                burst,
                ..
            } => (limit, Some(shown_span(window)), Some(burst)),
            Rule::Concurrency { limit } => (limit, None, None),
            Rule::Budget { period, .. } => {
                (rule.most(), Some(period_word(period).to_owned()), None)
            }
        };
        let shown = |count: u64| match rule.meter() {
            Some(Meter::Money) => dollars(count),
            _ => count.to_string(),
        };
        let of = rule.meter().map_or("concurrency", Meter::name);
        let parts = [
            ("of", Some(of.to_owned())),
            ("limit", Some(shown(limit))),
            ("per", per),
            ("burst", burst.map(shown)),
            ("remaining", Some(shown(remaining))),
        ];
        let mut text = scope_path(scope);
        for (name, value) in parts {
            if let Some(value) = value {
                for piece in ["; ", name, "=", &value] {
                    text.push_str(piece);
                }
            }
        }
        Self(text)
    }

    /// The same as the header has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Writes it into an answer's headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        // Bounded by the longest identifiers: two of 128 bytes, and numbers.
        put(headers, "x-sluice-limit", &self.0);
    }
}

fn dollars(nanos: u64) -> String {
    NanoUsd::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)).to_string()
}
