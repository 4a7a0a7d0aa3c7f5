//! The ledgers of one organisation, beside each other.

use super::*;

impl World {
    /// The ledgers of an organisation, one for each region.
    pub(crate) fn of_org(&self, org: usize) -> impl Iterator<Item = &Rc<LedgerObject>> {
        self.ledgers.iter().filter(move |ledger| ledger.org == org)
    }

    /// The ledger that those of an organisation's other regions lease from.
    pub(crate) fn home(&self, org: usize) -> Option<&Rc<LedgerObject>> {
        self.of_org(org).nth(HOME)
    }

    /// All that an organisation's ledgers have charged and reserved is known at its home, or held there.
    pub(crate) fn is_within(&self, org: usize) {
        let Some(home) = self.home(org).filter(|_| self.has_homes) else {
            return;
        };
        let judges: Vec<_> = self
            .of_org(org)
            .filter(|ledger| ledger.region != HOME)
            .map(|ledger| ledger.judge.borrow())
            .collect();
        let below: Vec<&Judge> = judges.iter().map(|judge| &**judge).collect();
        let verdict = home.judge.borrow().covers(&below);
        drop(judges);
        self.require(verdict);
    }

    /// All is told: what the home has charged is what its own records and the other ledgers' say.
    pub(crate) fn is_told(&self, org: usize) {
        let Some(home) = self.home(org).filter(|_| self.has_homes) else {
            return;
        };
        let spent: i64 = self
            .of_org(org)
            .map(|ledger| ledger.judge.borrow().charged())
            .sum();
        let total = home.judge.borrow().spent_total();
        self.require(if spent == total {
            Ok(())
        } else {
            Err(format!(
                "the records of organisation {org} say {spent}, its home {total}"
            ))
        });
    }
}
