//! What a request is let in by: its key and its rules, as they are when it asks.

use sluice_machines::limit::ScopeRules;

use super::*;

/// What is promised: within this a revoked key is refused and a changed rule holds, everywhere.
const STALE_MAX: Span = Span::from_seconds(5);
/// The same while the registry cannot be reached: copies serve for a minute, and the sync before may have been slow.
pub(super) const STALE_IN_OUTAGE_MAX: Span = Span::from_seconds(66);

impl World {
    /// How old what an isolate goes by may be.
    pub(super) fn stale_max(&self, place: &Place) -> Span {
        let failed = self.now().since(place.registry_failed_at.get());
        let base = if failed < STALE_IN_OUTAGE_MAX {
            STALE_IN_OUTAGE_MAX
        } else {
            STALE_MAX
        };
        // A clock that was set back by less than a copy's age makes it look that much younger.
        base.plus(place.clock.set_back().min(STALE_MAX))
    }

    /// A request asks to be let in under these rules. What is sent again is no new question.
    pub(crate) fn asks(&self, place: &Place, number: usize, rules: &[ScopeRules]) {
        let mut facts = self.facts.borrow_mut();
        let Some(fact) = facts.get_mut(number) else {
            return;
        };
        let is_anew = fact.asking_since.is_none();
        let since = *fact.asking_since.get_or_insert_with(|| self.now());
        let key = fact.key;
        drop(facts);
        if is_anew {
            self.asks_anew(number);
        }
        self.goes_by(place, (number, key), (since, rules));
    }

    /// A request was let in out of a slice under these rules, and its provider called at once.
    pub(super) fn draws(&self, place: &Place, number: usize, rules: &[ScopeRules]) {
        if let Some(fact) = self.facts.borrow().get(number) {
            let since = fact.called_at.unwrap_or(fact.arrived);
            self.goes_by(place, (number, fact.key), (since, rules));
        }
    }

    /// The rules of a request must be its key's, and not out of date.
    fn goes_by(
        &self,
        place: &Place,
        (number, key): (usize, usize),
        (since, rules): (Timestamp, &[ScopeRules]),
    ) {
        let holders = self.holders.borrow();
        let holder = &holders[key];
        let oldest = since.minus(self.stale_max(place));
        let fits = self
            .reigns
            .borrow()
            .iter()
            .rev()
            .take_while(|reign| reign.until.is_none_or(|until| until >= oldest))
            .any(|reign| *reign.version.scopes_of(key, &holder.key) == rules);
        self.require(if fits {
            Ok(())
        } else {
            Err(format!(
                "request {number} is admitted under rules that do not hold: {rules:?}"
            ))
        });
    }

    /// A provider is called for a request: its key must be good, or have been when the request asked to be let in.
    pub(crate) fn asked_upstream(&self, place: &Place, number: usize) {
        let facts = self.facts.borrow();
        let Some(fact) = facts.get(number) else {
            return;
        };
        let revoked_at = self.holders.borrow()[fact.key].revoked_at;
        // What is drawn from a slice is drawn just before the first call.
        let since = fact.asking_since.or(fact.called_at);
        let since = since.unwrap_or_else(|| self.now());
        let is_late = revoked_at.is_some_and(|at| at.plus(self.stale_max(place)) < since);
        self.require(if is_late {
            Err(format!(
                "request {number} is let in long after its key was revoked"
            ))
        } else {
            Ok(())
        });
    }
}
