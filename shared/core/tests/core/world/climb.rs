//! The way from a ledger to the one that it leases from, in no time.

use sluice_machines::ledger::{self, Answer, Call, Lacking};
use sluice_machines::rows::RowError;
use sluice_units::{LedgerId, Span};

use super::{Port, Shared, World};

/// How often a parent is asked for one call.
const ASKS_MAX: usize = 8;

impl Shared {
    /// Decides and commits, once the parent has been asked where that must be.
    pub(super) fn decide(
        &self,
        ledger: &LedgerId,
        commands: &[ledger::Command],
    ) -> Vec<ledger::Reply> {
        for _ in 0..ASKS_MAX {
            let now = self.now.get();
            let mut ledgers = self.ledgers.borrow_mut();
            let store = ledgers.entry(ledger.clone()).or_default();
            let rows = ledger::load(commands, |reads| Port::load::<RowError>(store, reads))
                .expect("readable rows");
            let (replies, writes) =
                ledger::decide_batch(&rows, now, commands).expect("readable rows");
            let lacking = ledger::lacking(&replies);
            if lacking.is_empty() {
                store.apply(&writes);
                return replies;
            }
            drop(ledgers);
            self.climb(ledger, &lacking);
        }
        panic!("the parent of {ledger} has nothing to say");
    }

    /// Asks a ledger's parent for those who wait and for what is due.
    fn climb(&self, ledger: &LedgerId, lacking: &[Lacking]) {
        let now = self.now.get();
        let load = |lacking: &[Lacking]| {
            let ledgers = self.ledgers.borrow();
            let store = &ledgers[ledger];
            ledger::load_climb(lacking, |reads| Port::load::<RowError>(store, reads))
                .expect("readable rows")
        };
        let commit = |writes| {
            let mut ledgers = self.ledgers.borrow_mut();
            let store = ledgers.get_mut(ledger).expect("it was asked");
            store.apply(&writes);
        };
        let (climb, writes) = ledger::climb(&load(lacking), now, lacking).expect("readable rows");
        commit(writes);
        let Some(climb) = climb else {
            return;
        };
        let parent = ledger.parent().expect("somebody to lease from").clone();
        let asked = (climb.parent.name.as_str(), climb.parent.jurisdiction);
        assert_eq!(asked, (parent.name(), parent.jurisdiction()));
        let Call { commands, .. } = &climb.call;
        let answer = Answer {
            replies: self.decide(&parent, commands),
            ..Answer::default()
        };
        commit(ledger::hear(&load(&[]), now, &climb, &answer).expect("readable rows"));
    }
}

impl World {
    /// So many seconds pass, and all ledgers tell those that they lease from what is due.
    pub(crate) fn climb(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.wait(Span::from_seconds(1));
            for ledger in self.ledgers() {
                self.shared.climb(&ledger, &[]);
            }
        }
    }
}
