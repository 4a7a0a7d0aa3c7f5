//! What a ledger tells its parent and hears from it: the part of a lease that isolates do not need.
//!
//! Only data; what a child does with it is in [`super::pool`], what a parent does in [`super::lend`].

use serde::{Deserialize, Serialize};
use sluice_units::{Jurisdiction, LedgerId, NanoUsd, OrgId, Region, Span, Tokens, is_default};

use super::Part;
use crate::limit::Slice;

/// How long a child draws from what it holds without renewing it.
pub const POOL_LIFE: Span = Span::from_seconds(10);
/// How long the parent holds it besides: for words that are held up, and for clocks that are wrong.
pub const POOL_GRACE: Span = Span::from_seconds(180);
/// How many requests that wait are told of in one command, at most.
pub const NEEDS_MAX: usize = 64;

/// The ledger that a ledger leases from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Parent {
    /// Its name in a store.
    #[serde(rename = "n")]
    pub name: String,
    /// Where the platform must keep it.
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Jurisdiction>,
}

impl From<&LedgerId> for Parent {
    fn from(ledger: &LedgerId) -> Self {
        Self {
            name: ledger.name().to_owned(),
            jurisdiction: ledger.jurisdiction(),
        }
    }
}

/// What came to an end in a child and its parent does not know of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Requests that were let in.
    #[serde(rename = "r")]
    pub requests: u64,
    /// Tokens that were used.
    #[serde(rename = "t")]
    pub tokens: Tokens,
    /// Money that was spent.
    #[serde(rename = "c")]
    pub cost: NanoUsd,
    /// Money that was told before and was not spent after all.
    #[serde(rename = "b", default)]
    pub back: NanoUsd,
}

impl Used {
    /// What windows and rates are charged: what is given back they keep.
    pub(super) const fn slice(&self) -> Slice {
        Slice {
            requests: self.requests,
            tokens: self.tokens,
            cost: self.cost,
        }
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A request that waits in a child for more than the child holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// What it takes.
    #[serde(rename = "s")]
    pub slice: Slice,
    /// How it can do with less, if it can.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// What a child's command for a lease says besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upward {
    /// Who pays.
    pub org: OrgId,
    /// The child's region.
    pub region: Region,
    /// Reserved out of the lease, and not settled.
    pub open: Slice,
    /// What came to an end since the command before.
    pub used: Used,
    /// What isolates hold of the child; on top of it must come what those who wait need.
    pub held: Slice,
    /// Those who wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// Nothing is held and nothing is left to tell: the parent may forget the lease.
    #[serde(default, skip_serializing_if = "is_default")]
    pub closes: bool,
}
