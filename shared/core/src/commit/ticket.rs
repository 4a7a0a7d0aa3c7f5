//! Who waits for a command, and what became of it.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::select;
use sluice_units::{LedgerId, Span};

use crate::isolate::Isolate;
use crate::platform::{Platform, Wake};
use crate::residency::Permitted;

/// How long an answer is held back for its intent, at most.
const HELD_BACK_MAX: Span = Span::from_seconds(10);

/// Tells when an intent is durable, or what else was asked is done.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Rc<RefCell<Fate>>);

#[derive(Default)]
struct Fate {
    known: Option<bool>,
    /// It is under way.
    has_left: bool,
    /// Somebody waits to be told.
    is_awaited: bool,
    wake: Option<Wake>,
}

impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fate").field(&self.known).finish()
    }
}

impl Ticket {
    /// Returns when it is known whether the intent is durable, and whether it is. What waits is sent the sooner.
    pub async fn committed<P: Platform>(
        &self,
        p: &P,
        isolate: &Rc<Isolate>,
        ledger: &Permitted<LedgerId>,
    ) -> bool {
        if let Some(known) = self.0.borrow().known {
            return known;
        }
        self.await_it();
        if !self.0.borrow().has_left {
            super::hurry(p, isolate, ledger);
        }
        {
            let told = std::pin::pin!(p.woken(|wake| self.0.borrow_mut().wake = Some(wake)));
            let late = std::pin::pin!(p.sleep(HELD_BACK_MAX));
            select(told, late).await;
        }
        self.0.borrow().known.unwrap_or(false)
    }

    /// Whether what it stands for was done, where that is known.
    #[must_use]
    pub fn known(&self) -> Option<bool> {
        self.0.borrow().known
    }

    /// Somebody waits to be told.
    pub(super) fn await_it(&self) {
        self.0.borrow_mut().is_awaited = true;
    }

    /// It is under way from now on.
    pub(super) fn leave(&self) {
        self.0.borrow_mut().has_left = true;
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.0.borrow().is_awaited
    }

    pub(super) fn tell(&self, committed: bool) {
        let mut fate = self.0.borrow_mut();
        if fate.known.is_none() {
            fate.known = Some(committed);
        }
        let wake = fate.wake.take();
        drop(fate);
        if let Some(wake) = wake {
            wake();
        }
    }
}
