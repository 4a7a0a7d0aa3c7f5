//! What is there from the beginning.

use std::rc::Rc;

use sluice_machines::registry::{Actor, CHANGES_MAX, Command};

use super::{Holder, World};
use crate::economy::{self, Key};

impl World {
    /// The first isolates, the first keys.
    pub(super) fn settle_in(self: &Rc<Self>) {
        self.fill(self.rng.between(3, 9) as usize);
        // An old registry, which has forgotten its first changes.
        if self.rng.chance(125_000) {
            for number in 0..CHANGES_MAX as usize + 100 {
                let number = economy::KEYS_MAX + number;
                let key = Key::new(&self.rng, number, self.now());
                let key = Box::new(key.record);
                while self
                    .registry
                    .call(
                        self,
                        &Command::CreateKey {
                            key: key.clone(),
                            by: Actor::default(),
                        },
                    )
                    .is_err()
                {}
            }
        }
        for number in 0..economy::KEYS {
            let key = Key::new(&self.rng, number, self.now());
            let command = Command::CreateKey {
                key: Box::new(key.record.clone()),
                by: Actor::default(),
            };
            self.holders.borrow_mut().push(Holder {
                key,
                revoked_at: None,
            });
            // Before the weather: the database does not refuse yet.
            while self.registry.call(self, &command).is_err() {}
        }
    }
}
