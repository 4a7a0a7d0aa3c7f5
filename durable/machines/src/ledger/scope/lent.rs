//! What child ledgers hold of a scope, and what of theirs is charged here.

use sluice_units::{NanoUsd, Timestamp};

use super::{Lent, ScopeRow, is_seen, loans, sum_at};
use crate::events::Crossing;
use crate::ledger::parent::Used;
use crate::ledger::rows::Reservation;
use crate::limit::{Rule, Slice};

impl ScopeRow {
    /// What child ledgers have drawn and not settled, of the part that a rule looks at.
    pub(in crate::ledger) fn open_below(&self, rule: &Rule, at: Timestamp) -> Slice {
        let lent = self.lent.iter().filter(|lent| is_seen(rule, &lent.3));
        sum_at(at, lent.map(|lent| (lent.0, lent.2)))
    }

    /// Lends to a child ledger under these rules until then. The row has been rolled.
    pub(in crate::ledger) fn lend(
        &mut self,
        until: Timestamp,
        rules: &[Rule],
        (rest, open): (Slice, Slice),
    ) {
        if rest.is_none() && open.is_none() {
            return;
        }
        let borrowed = loans(rules);
        let mut known = self.lent.iter_mut();
        match known.find(|lent| lent.0 == until && lent.3 == borrowed) {
            Some(lent) => (lent.1, lent.2) = (lent.1.plus(rest), lent.2.plus(open)),
            None => self.lent.push(Lent(until, rest, open, borrowed)),
        }
    }

    /// Takes back what is lent under these rules until then. What is free meanwhile is back already.
    pub(in crate::ledger) fn unlend(
        &mut self,
        until: Timestamp,
        rules: &[Rule],
        (rest, open): (Slice, Slice),
    ) {
        let borrowed = loans(rules);
        for lent in &mut self.lent {
            if lent.0 == until && lent.3 == borrowed {
                (lent.1, lent.2) = (lent.1.minus(rest), lent.2.minus(open));
            }
        }
        self.lent
            .retain(|lent| !lent.1.is_none() || !lent.2.is_none());
    }

    /// Charges at `at` what came to an end in a child ledger.
    pub(in crate::ledger) fn take_over(&mut self, at: Timestamp, rules: &[Rule], used: &Used) {
        self.roll(at, rules);
        self.requests = self.requests.saturating_add(used.requests);
        self.tokens = self.tokens.plus(used.tokens);
        self.spent = self.spent.plus(used.cost).minus(used.back);
        self.day.spend(used.cost);
        self.month.spend(used.cost);
        self.count(rules, used.slice());
        self.charge(rules, used.requests);
        self.use_up(at, used.slice());
        self.watch(rules);
        self.take_over_borrowed(&loans(rules), used);
    }

    /// Forgets the budgets: whoever knows all that is spent tells of them.
    pub(in crate::ledger) fn unwatch(&mut self) {
        self.budgets.clear();
    }

    /// The lines that budgets have crossed with this charge of a reservation, the first time in their period.
    pub(in crate::ledger) fn crossed(
        &mut self,
        held: &Reservation,
        cost: NanoUsd,
    ) -> Vec<Crossing> {
        self.crossed_if(|spending| spending.holds(held), cost)
    }

    /// The same with a charge of the present.
    pub(in crate::ledger) fn crossed_now(&mut self, cost: NanoUsd) -> Vec<Crossing> {
        self.crossed_if(|_| true, cost)
    }

    /// At the organisation: a parent is to be asked at this moment.
    pub(in crate::ledger) fn climb_by(&mut self, at: Timestamp) {
        self.climbs_at = Some(self.climbs_at.map_or(at, |due| due.min(at)));
    }
}
