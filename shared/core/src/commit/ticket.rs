//! Who waits for a command, and what became of it.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::select;
use sluice_machines::ledger::Reply;
use sluice_units::{LedgerId, Span};

use crate::isolate::Isolate;
use crate::platform::{Platform, Wake};
use crate::residency::Permitted;

/// How long an answer is held back for what it waits for, at most.
pub(super) const HELD_BACK_MAX: Span = Span::from_seconds(10);

/// Tells what the ledger has said to a command.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Rc<RefCell<Fate>>);

#[derive(Default)]
struct Fate {
    /// The reply, or that there will be none.
    told: Option<Option<Reply>>,
    /// It is under way.
    has_left: bool,
    /// Somebody waits to be told.
    is_awaited: bool,
    wake: Option<Wake>,
}

impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fate").field(&self.told).finish()
    }
}

impl Ticket {
    /// Returns when it is known whether what it stands for is durable, and whether it is. What waits is sent the sooner.
    pub async fn committed<P: Platform>(
        &self,
        p: &P,
        isolate: &Rc<Isolate>,
        ledger: &Permitted<LedgerId>,
    ) -> bool {
        if let Some(known) = self.known() {
            return known;
        }
        self.await_it();
        if !self.has_left() {
            super::hurry(p, isolate, ledger);
        }
        self.wait(p, HELD_BACK_MAX).await;
        self.known().unwrap_or(false)
    }

    /// Whether what it stands for was done, where that is known.
    #[must_use]
    pub fn known(&self) -> Option<bool> {
        let fate = self.0.borrow();
        let told = fate.told.as_ref()?;
        Some(*told == Some(Reply::Done))
    }

    /// Returns when something is told, or after this long.
    pub(super) async fn wait<P: Platform>(&self, p: &P, most: Span) {
        if self.0.borrow().told.is_some() {
            return;
        }
        let told = std::pin::pin!(p.woken(|wake| self.0.borrow_mut().wake = Some(wake)));
        let late = std::pin::pin!(p.sleep(most));
        select(told, late).await;
    }

    /// What was told: a reply, or that there will be none.
    pub(super) fn told(&self) -> Option<Option<Reply>> {
        self.0.borrow().told.clone()
    }

    /// Somebody waits to be told.
    pub(super) fn await_it(&self) {
        self.0.borrow_mut().is_awaited = true;
    }

    /// It is under way from now on.
    pub(super) fn leave(&self) {
        self.0.borrow_mut().has_left = true;
    }

    pub(super) fn has_left(&self) -> bool {
        self.0.borrow().has_left
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.0.borrow().is_awaited
    }

    /// Tells the reply, or that there will be none; the first that is told stands.
    pub(super) fn tell(&self, reply: Option<Reply>) {
        let mut fate = self.0.borrow_mut();
        if fate.told.is_none() {
            fate.told = Some(reply);
        }
        let wake = fate.wake.take();
        drop(fate);
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Whether both stand for the same command.
    pub(super) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}
