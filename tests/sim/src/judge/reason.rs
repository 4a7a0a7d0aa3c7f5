//! Why a request was refused, and that nothing was made fuller than it may be.

use super::*;

impl Judge {
    /// A denial must have a reason. A window's oldest sub-bucket counts in full, so it may be up to one too strict.
    pub(super) fn denial(&mut self, at: Timestamp, denial: &Denial) -> Verdict {
        let Denial {
            scope,
            rule,
            used,
            asked,
            ..
        } = denial;
        let longer = match rule {
            Rule::Window { window, .. } => Span::from_micros(window.as_micros() / SUB_BUCKETS + 1),
            _ => Span::ZERO,
        };
        // Each charge to a rate is rounded up to a whole microsecond.
        let rounding = match rule {
            Rule::Gcra { burst, .. } => 2 + burst / 50,
            _ => 0,
        };
        let index = self.scope(scope);
        let most = self.scopes[index].used(at, rule, longer);
        ensure!(
            self,
            *used <= most + rounding && used + asked > limit(rule),
            "denied without a reason: {denial:?}; used at most {most}"
        );
        Ok(())
    }

    /// What stands against each rule of these scopes.
    pub(super) fn measure(&mut self, at: Timestamp, rules: &[ScopeRules]) -> Vec<u64> {
        let mut used = Vec::new();
        for ScopeRules { scope, rules } in rules {
            let index = self.scope(scope);
            let log = &self.scopes[index];
            used.extend(rules.iter().map(|rule| log.used(at, rule, Span::ZERO)));
        }
        used
    }

    /// No rule may be fuller than it was, unless it is within its limit.
    pub(super) fn is_within(
        &mut self,
        at: Timestamp,
        rules: &[ScopeRules],
        before: &[u64],
        what: &str,
    ) -> Verdict {
        let after = self.measure(at, rules);
        let all = rules
            .iter()
            .flat_map(|of| of.rules.iter().map(|rule| (&of.scope, rule)));
        for ((scope, rule), (before, after)) in all.zip(before.iter().zip(after)) {
            ensure!(
                self,
                after <= limit(rule).max(*before),
                "{what} puts {scope:?} over {rule:?}: from {before} to {after}"
            );
        }
        Ok(())
    }
}
