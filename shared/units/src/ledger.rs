//! Where a ledger is: whose it is, in which region, and under which jurisdiction the platform keeps it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{OrgId, Region};
use crate::shard::Shard;

/// What a platform can promise about where an object runs and keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jurisdiction {
    /// The European Union.
    Eu,
    /// The United States.
    Us,
    /// Data centres with a FedRAMP Moderate authorisation.
    Fedramp,
    /// No platform's: the gateway's own machines, of which the operator says where they are.
    Own,
}

impl Jurisdiction {
    /// The platform's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eu => "eu",
            Self::Us => "us",
            Self::Fedramp => "fedramp",
            Self::Own => "own",
        }
    }
}

/// The address of a ledger: one organisation's, in one region, for all its keys or for those of a shard.
///
/// A clone of it costs a reference, its name nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(Arc<Parts>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parts {
    name: String,
    jurisdiction: Option<Jurisdiction>,
    org: OrgId,
    region: Region,
    shard: Option<Shard>,
    parent: Option<LedgerId>,
}

impl LedgerId {
    /// The ledger of an organisation in a region, wherever the platform puts it or where it must stay.
    #[must_use]
    pub fn new(org: OrgId, region: Region, jurisdiction: Option<Jurisdiction>) -> Self {
        Self(Arc::new(Parts {
            name: format!("{region}/{org}"),
            jurisdiction,
            org,
            region,
            shard: None,
            parent: None,
        }))
    }

    /// The same, leasing what it lets in from another.
    #[must_use]
    pub fn under(&self, parent: Self) -> Self {
        let (org, region) = (self.0.org.clone(), self.0.region.clone());
        Self(Arc::new(Parts {
            name: self.0.name.clone(),
            jurisdiction: self.0.jurisdiction,
            org,
            region,
            shard: self.0.shard,
            parent: Some(parent),
        }))
    }

    /// The ledger of one shard of this one's keys. It leases from this one, or where this one leases from another, from
    /// that: there is one level of leases between ledgers.
    #[must_use]
    pub fn shard(&self, shard: Shard) -> Self {
        Self(Arc::new(Parts {
            name: format!("{self}/{shard}"),
            jurisdiction: self.0.jurisdiction,
            org: self.0.org.clone(),
            region: self.0.region.clone(),
            shard: Some(shard),
            parent: Some(self.last_word().clone()),
        }))
    }

    /// The ledger that it leases from; none where what it counts is all there is.
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.0.parent.as_ref()
    }

    /// The ledger that has the last word on what is let in here: the parent's, or its own.
    #[must_use]
    pub fn last_word(&self) -> &Self {
        self.parent().unwrap_or(self)
    }

    /// Its name in a store: `region/org`, or `region/org/shard`. No part holds a slash.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whose it is.
    #[must_use]
    pub fn org(&self) -> &OrgId {
        &self.0.org
    }

    /// The region whose requests it counts.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.0.region
    }

    /// Which part of the organisation's keys it counts; none where it counts all.
    #[must_use]
    pub fn of_shard(&self) -> Option<Shard> {
        self.0.shard
    }

    /// Where the platform must keep it; none leaves that to the platform.
    #[must_use]
    pub fn jurisdiction(&self) -> Option<Jurisdiction> {
        self.0.jurisdiction
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(org: &str, region: &str, jurisdiction: Option<Jurisdiction>) -> LedgerId {
        let (org, region) = (OrgId::new(org).unwrap(), Region::new(region).unwrap());
        LedgerId::new(org, region, jurisdiction)
    }

    #[test]
    fn a_ledger_is_named_by_its_region_and_its_organisation() {
        assert_eq!(ledger("acme", "eu", None).name(), "eu/acme");
    }

    #[test]
    fn ledgers_differ_in_each_part_of_their_address() {
        let one = ledger("acme", "eu", None);
        assert_eq!(one, ledger("acme", "eu", None));
        assert_ne!(one, ledger("beta", "eu", None));
        assert_ne!(one, ledger("acme", "us", None));
        assert_ne!(one, ledger("acme", "eu", Some(Jurisdiction::Eu)));
        assert_ne!(one, one.under(ledger("acme", "us", None)));
        assert_ne!(one, one.shard(Shard::new(1).unwrap()));
    }

    #[test]
    fn a_shard_leases_from_whom_the_whole_leases_from_or_else_from_the_whole() {
        let (whole, home) = (ledger("acme", "eu", None), ledger("acme", "us", None));
        let third = Shard::new(3).unwrap();
        let shard = whole.shard(third);
        assert_eq!(shard.name(), "eu/acme/3");
        assert_eq!(shard.of_shard(), Some(third));
        assert_eq!(shard.parent(), Some(&whole));
        let shard = whole.under(home.clone()).shard(third);
        assert_eq!(shard.name(), "eu/acme/3");
        assert_eq!(shard.parent(), Some(&home));
    }
}
