//! What isolates and child ledgers hold of a scope.

use serde::{Deserialize, Serialize};
use sluice_units::{Span, Timestamp};

use super::super::parent::POOL_GRACE;
use super::ScopeRow;
use crate::limit::{Rule, Slice};

/// When to look again for what a child ledger should have given back by now.
const LENT_SOON: Span = Span::from_seconds(1);

/// What is leased until some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leased(pub(super) Timestamp, Slice);

/// What a child ledger holds, until it is free again: what it may still draw, and what it has drawn and not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lent(pub(super) Timestamp, Slice, Slice);

impl ScopeRow {
    /// What is leased at `at`, to isolates and to child ledgers.
    pub(in crate::ledger) fn leased(&self, at: Timestamp) -> Slice {
        let leased = self.leased.iter().map(|leased| (leased.0, leased.1));
        let lent = self.lent.iter().map(|lent| (lent.0, lent.1));
        leased
            .chain(lent)
            .filter(|(until, _)| *until > at)
            .fold(Slice::NONE, |sum, (_, slice)| sum.plus(slice))
    }

    /// What child ledgers have drawn and not settled.
    pub(in crate::ledger) fn open_below(&self, at: Timestamp) -> Slice {
        self.lent
            .iter()
            .filter(|lent| lent.0 > at)
            .fold(Slice::NONE, |sum, lent| sum.plus(lent.2))
    }

    /// When the first of what is leased ends.
    pub(in crate::ledger) fn lease_ends(&self, at: Timestamp) -> Option<Timestamp> {
        self.ends(at).min()
    }

    pub(in crate::ledger) fn ends(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> {
        let leased = self.leased.iter().map(|leased| leased.0);
        // A child gives back what it does not need when it would have to renew it.
        let lent = self.lent.iter().filter(move |lent| lent.0 > at);
        let lent = lent
            .filter(|lent| !lent.1.is_none())
            .map(move |lent| lent.0.minus(POOL_GRACE).max(at.plus(LENT_SOON)));
        leased.filter(move |end| *end > at).chain(lent)
    }

    /// Leases a slice until then. The row has been rolled.
    pub(in crate::ledger) fn lease(
        &mut self,
        at: Timestamp,
        rules: &[Rule],
        until: Timestamp,
        slice: Slice,
    ) {
        self.roll(at, rules);
        if slice.is_none() {
            return;
        }
        match self.leased.iter_mut().find(|leased| leased.0 == until) {
            Some(leased) => leased.1 = leased.1.plus(slice),
            None => self.leased.push(Leased(until, slice)),
        }
    }

    /// Takes a slice back that is leased until then. What has ended meanwhile is back already.
    pub(in crate::ledger) fn unlease(&mut self, until: Timestamp, slice: Slice) {
        for leased in &mut self.leased {
            if leased.0 == until {
                leased.1 = leased.1.minus(slice);
            }
        }
        self.leased.retain(|leased| !leased.1.is_none());
    }

    /// Lends to a child ledger until then. The row has been rolled.
    pub(in crate::ledger) fn lend(&mut self, until: Timestamp, rest: Slice, open: Slice) {
        if rest.is_none() && open.is_none() {
            return;
        }
        match self.lent.iter_mut().find(|lent| lent.0 == until) {
            Some(lent) => (lent.1, lent.2) = (lent.1.plus(rest), lent.2.plus(open)),
            None => self.lent.push(Lent(until, rest, open)),
        }
    }

    /// Takes back what is lent until then. What is free meanwhile is back already.
    pub(in crate::ledger) fn unlend(&mut self, until: Timestamp, rest: Slice, open: Slice) {
        for lent in &mut self.lent {
            if lent.0 == until {
                (lent.1, lent.2) = (lent.1.minus(rest), lent.2.minus(open));
            }
        }
        self.lent
            .retain(|lent| !lent.1.is_none() || !lent.2.is_none());
    }
}
