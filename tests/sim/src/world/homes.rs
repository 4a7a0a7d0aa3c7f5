//! The ledgers of one organisation, beside each other, and among how many its keys are divided.

use sluice_units::Region as Name;

use super::*;

/// In so many worlds an organisation's keys may be divided, in parts of a million.
const SHARDED_PPM: u64 = 350_000;

/// Among how many ledgers keys are divided: another number in each version of the configuration.
#[derive(Debug)]
pub(crate) struct Shards(Option<Rng>);

impl Shards {
    /// What this seed draws, where that may be.
    pub(crate) fn new(seed: u64, may_be: bool) -> Self {
        let rng = Rng::new(seed, 8);
        Self((rng.chance(SHARDED_PPM) && may_be).then_some(rng))
    }

    /// One ledger for all keys, always.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Whether there are ever several.
    pub(crate) const fn may_be(&self) -> bool {
        self.0.is_some()
    }

    /// Divides the keys of a version.
    pub(crate) fn divide(&self, version: Version) -> Version {
        match &self.0 {
            Some(rng) => version.sharded(*rng.pick(&[1, 2, SHARDS_MAX])),
            None => version,
        }
    }
}

/// The address of an organisation's ledger, but for what it leases from.
pub(super) fn id(org: usize, region: usize, shard: Option<Shard>) -> LedgerId {
    let region = Name::new(LEDGER_REGIONS[region]).expect("a legal name");
    let whole = LedgerId::new(economy::org_id(org), region, None);
    match shard {
        Some(shard) => whole.shard(shard),
        None => whole,
    }
}

impl World {
    /// The ledgers of an organisation, in all regions.
    pub(crate) fn of_org(&self, org: usize) -> impl Iterator<Item = &Rc<LedgerObject>> {
        self.ledgers.iter().filter(move |ledger| ledger.org == org)
    }

    /// The ledger that the organisation's others lease from, if there are others.
    pub(crate) fn home(&self, org: usize) -> Option<&Rc<LedgerObject>> {
        let region = if self.has_homes { HOME } else { 0 };
        let mut all = self.of_org(org);
        let home = all.find(|ledger| ledger.region == region && ledger.id.of_shard().is_none());
        home.filter(|_| self.has_homes || self.shards.may_be())
    }

    /// The ledger with this name in a store.
    pub(crate) fn named(&self, name: &str) -> Option<&Rc<LedgerObject>> {
        let mut all = self.ledgers.iter();
        all.find(|ledger| ledger.id.name() == name)
    }

    /// All that an organisation's ledgers have charged and reserved is known at its home, or held there.
    pub(crate) fn is_within(&self, org: usize) {
        let Some(home) = self.home(org) else {
            return;
        };
        let judges: Vec<_> = self
            .of_org(org)
            .filter(|ledger| !Rc::ptr_eq(ledger, home))
            .map(|ledger| ledger.judge.borrow())
            .collect();
        let below: Vec<&Judge> = judges.iter().map(|judge| &**judge).collect();
        let verdict = home.judge.borrow().covers(&below);
        drop(judges);
        self.require(verdict);
    }

    /// All is told: what the home has charged is what its own records and the other ledgers' say.
    pub(crate) fn is_told(&self, org: usize) {
        let Some(home) = self.home(org) else {
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
