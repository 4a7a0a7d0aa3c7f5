//! What is borrowed: only what does not fit, where there is a pool, and no more than may be.

use super::*;

impl Judge {
    /// The rules of an admission as it was charged, where it borrowed; and that there was a reason for it.
    pub(super) fn borrows(
        &mut self,
        at: Timestamp,
        admission: &Admission,
        estimate: Amount,
        borrowed: &[Loan],
    ) -> Result<Vec<ScopeRules>, String> {
        let request = &admission.draft.request;
        let mut charged = admission.scopes.clone();
        let mut named = 0;
        for ScopeRules { scope, rules } in &mut charged {
            let index = self.scope(scope);
            let path = self.paths[index].clone();
            for rule in rules {
                let Some(of) = rule.loan() else { continue };
                let scope = path.clone();
                if !borrowed.contains(&Loan { scope, of }) {
                    continue;
                }
                let Some(lent) = rule.borrowed() else {
                    // Another rule of this window, which all counts against.
                    continue;
                };
                named += 1;
                let longer = self.longer(rule);
                let own = self.scopes[index].used(at, rule, longer);
                // A child's home knows of more.
                let is_full = own + asked(rule, estimate) > limit(rule);
                ensure!(
                    self,
                    is_full || admission.parent.is_some(),
                    "{request} borrowed beyond {rule:?}, of which {own} is used"
                );
                let has_pool = admission.scopes.iter().any(|one| {
                    one.scope == Scope::Org && one.rules.iter().any(|rule| rule.lends(of))
                });
                ensure!(self, has_pool, "{request} borrowed of nobody: {rule:?}");
                *rule = lent;
            }
        }
        ensure!(
            self,
            named >= borrowed.len(),
            "{request} borrowed {borrowed:?} under {:?}",
            admission.scopes
        );
        Ok(charged)
    }

    /// So much more fits under each rule.
    pub(super) fn fits(
        &mut self,
        at: Timestamp,
        rules: &[ScopeRules],
        estimate: Amount,
    ) -> Verdict {
        for ScopeRules { scope, rules } in rules {
            let index = self.scope(scope);
            for rule in rules {
                let used = self.scopes[index].used(at, rule, Span::ZERO);
                let asked = asked(rule, estimate);
                ensure!(
                    self,
                    used.saturating_add(asked) <= limit(rule),
                    "{scope:?} is over {rule:?}: {used} and {asked}"
                );
            }
        }
        Ok(())
    }

    /// A record says what its request borrowed.
    pub(super) fn says_what_it_borrowed(&mut self, record: &Record) -> Verdict {
        let life = self.by_request.get(&record.request);
        let borrowed = life.map(|life| self.lives[*life].borrowed.clone());
        let mut borrowed = borrowed.unwrap_or_default();
        let mut said = record.borrowed.clone();
        borrowed.sort_unstable();
        said.sort_unstable();
        ensure!(
            self,
            borrowed == said,
            "{} borrowed {borrowed:?}, and its record says {said:?}",
            record.request
        );
        Ok(())
    }

    /// Nothing could have been borrowed instead of a refusal: one rule at least is full, and so is what may be borrowed
    /// beyond it.
    pub(super) fn could_not_borrow(&mut self, at: Timestamp, admission: &Admission) -> Verdict {
        let mut is_full = false;
        for ScopeRules { scope, rules } in &admission.scopes {
            let index = self.scope(scope);
            for rule in rules {
                let longer = self.longer(rule);
                let log = &self.scopes[index];
                let forbids = |rule: &Rule| {
                    // Each charge to a rate is rounded up to a whole microsecond.
                    let rounding = match rule {
                        Rule::Gcra { burst, .. } => 2 + burst / 50,
                        _ => 0,
                    };
                    let used = log.used(at, rule, longer) + rounding;
                    used.saturating_add(asked(rule, admission.estimate)) > limit(rule)
                };
                let lent = rule.borrowed();
                is_full |= forbids(rule) && lent.is_none_or(|lent| forbids(&lent));
            }
        }
        ensure!(
            self,
            is_full,
            "{} could have borrowed",
            admission.draft.request
        );
        Ok(())
    }

    /// How much longer than its window a charge may count: the oldest sub-bucket counts in full.
    fn longer(&self, rule: &Rule) -> Span {
        match rule {
            Rule::Window { window, .. } => Span::from_micros(window.as_micros() / SUB_BUCKETS + 1),
            _ => Span::ZERO,
        }
    }
}
