//! What goes to the ledgers, in groups: intents, settlements and renewals, and admissions that come together.
//!
//! One call at a time for each ledger, besides what goes by itself ([`ask`]). What arrives while it is under way goes
//! with the next, in the order in which it came; a call with twenty commands costs little more than a call with one.
//! Commands are idempotent, so a group whose fate is unknown is sent again. What is lost with the isolate is made good
//! by deadlines.
//!
//! Whoever puts something in sees to it that it is sent, unless somebody does already. A request's context ends with
//! the request, so whoever has driven for a while hands over to a request that came later; and one that has died is
//! replaced.
//!
//! When a call begins is [`queue`]'s to say: while nobody waits for what would travel, it waits for company.
//!
//! **Invariant:** the commands of one isolate for one ledger are carried out in the order in which they were put
//! in, each at least once, as long as the isolate lives and the ledger answers.

mod endings;
mod queue;
mod ticket;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::{Either, select};
use sluice_machines::ledger::{Command, Reply};
use sluice_units::{KeyId, LeaseId, LedgerId, Span};

use crate::isolate::Isolate;
use crate::platform::{Level, Platform, StoreError, Wake};
use crate::residency::Permitted;
pub use endings::tell_endings;
use queue::{Duty, Group, Next, PATIENCE, Queue, SILENCE_MAX};
use ticket::HELD_BACK_MAX;
pub use ticket::Ticket;

/// How many commands may wait for one ledger; a further one is not taken.
pub const WAITING_MAX: usize = 4_096;
/// How often a group is tried before it is left for the next request to carry.
const TRIES_MAX: u32 = 4;

/// Who is told what became of a command.
#[derive(Debug)]
pub enum Listener {
    /// Nobody.
    Nobody,
    /// Whoever holds the ticket.
    Ticket(Ticket),
    /// The key's slice.
    Lease(KeyId, LeaseId, u64),
}

/// All that waits to be sent, by ledger; there are no more of those than the configuration names.
#[derive(Debug, Default)]
pub struct Outgoing(RefCell<BTreeMap<Permitted<LedgerId>, Queue>>);

impl Outgoing {
    /// Whether one more command is taken.
    #[must_use]
    pub fn has_room(&self, ledger: &Permitted<LedgerId>) -> bool {
        self.0
            .borrow()
            .get(ledger)
            .is_none_or(|queue| queue.waiting.len() < WAITING_MAX)
    }

    /// Whether there is room for what others must not lose theirs to.
    #[must_use]
    pub fn is_half_empty(&self, ledger: &Permitted<LedgerId>) -> bool {
        let queues = self.0.borrow();
        queues
            .get(ledger)
            .is_none_or(|queue| queue.waiting.len() < WAITING_MAX / 2)
    }

    /// How many bytes of sealed bodies wait.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        let queues = self.0.borrow();
        queues.values().map(|queue| queue.body_bytes).sum()
    }
}

/// Puts a command in; `false` when there is no room for it.
pub fn send<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    command: Command,
    listener: Listener,
) -> bool {
    let duty = {
        let mut queues = isolate.outgoing.0.borrow_mut();
        let queue = queues.entry(ledger.clone()).or_default();
        if queue.waiting.len() >= WAITING_MAX {
            return false;
        }
        queue.put(p.now(), command, listener)
    };
    perform(p, isolate, ledger, duty);
    true
}

/// Puts a command in whose reply somebody waits for, with one to go behind it, and returns the reply.
///
/// It goes with others where others are likely to ask too. Where it is alone, where the ledger is far away, or has a
/// parent that may have to be asked first, it goes by itself.
///
/// # Errors
/// [`StoreError`] when the ledger does not answer: whether the command was carried out is not known.
pub async fn ask<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    command: Command,
    behind: Option<(Command, Listener)>,
) -> Result<Reply, StoreError> {
    let ticket = Ticket::default();
    ticket.await_it();
    let mut asked = vec![(command, Listener::Ticket(ticket.clone()))];
    asked.extend(behind);
    if put_along(p, isolate, ledger, &mut asked) {
        ticket.wait(p, PATIENCE).await;
        if ticket.told().is_none() && !ticket.has_left() {
            // What is under way does not come back, or whoever sends has died.
            let mut queues = isolate.outgoing.0.borrow_mut();
            let queue = queues.get_mut(ledger);
            asked.extend(queue.and_then(|queue| queue.withdraw(&ticket)));
        }
    }
    if asked.is_empty() {
        ticket.wait(p, HELD_BACK_MAX).await;
    } else {
        send_alone(p, isolate, ledger, asked).await?;
    }
    let reply = ticket.told().flatten();
    if matches!(reply, Some(Reply::Denied(_))) {
        let mut queues = isolate.outgoing.0.borrow_mut();
        if let Some(queue) = queues.get_mut(ledger) {
            queue.is_refused();
        }
    }
    reply.ok_or_else(|| StoreError::Unavailable {
        store: "ledger",
        detail: "no answer".to_owned(),
    })
}

/// Puts these in if they had better go with others; whether it has.
fn put_along<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    asked: &mut Vec<(Command, Listener)>,
) -> bool {
    let duties: Vec<_> = {
        let mut queues = isolate.outgoing.0.borrow_mut();
        let queue = queues.entry(ledger.clone()).or_default();
        let has_room = queue.waiting.len().saturating_add(asked.len()) <= WAITING_MAX;
        if !queue.asks(p.now()) || !has_room || ledger.parent().is_some() {
            return false;
        }
        let asked = asked.drain(..);
        let put = asked.map(|(command, listener)| queue.put(p.now(), command, listener));
        put.collect()
    };
    for duty in duties {
        perform(p, isolate, ledger, duty);
    }
    true
}

/// Sends these now, whatever else is under way.
async fn send_alone<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    asked: Vec<(Command, Listener)>,
) -> Result<(), StoreError> {
    let (commands, listeners): (_, Vec<_>) = asked.into_iter().unzip();
    let asked = isolate.ask_ledger(p, ledger, commands).await;
    match asked {
        Ok(replies) => {
            tell(isolate, ledger, &listeners, replies);
            Ok(())
        }
        Err(error) => {
            for listener in &listeners {
                if let Listener::Lease(key, lease, _) = listener {
                    isolate.leases.borrow_mut().unanswered((ledger, key), lease);
                }
            }
            Err(error)
        }
    }
}

/// An answer is held back for something that waits to be sent.
fn hurry<P: Platform>(p: &P, isolate: &Rc<Isolate>, ledger: &Permitted<LedgerId>) {
    let duty = {
        let mut queues = isolate.outgoing.0.borrow_mut();
        queues
            .get_mut(ledger)
            .map_or(Duty::Nothing, |queue| queue.hurry(p.now()))
    };
    perform(p, isolate, ledger, duty);
}

/// Does in this request's context what there is to do.
fn perform<P: Platform>(p: &P, isolate: &Rc<Isolate>, ledger: &Permitted<LedgerId>, duty: Duty) {
    let (isolate, platform, ledger) = (Rc::clone(isolate), p.clone(), ledger.clone());
    match duty {
        Duty::Nothing => {}
        Duty::Drive(number, pause) => p.spawn(async move {
            if pause > Span::ZERO {
                platform.sleep(pause).await;
            }
            drive(&platform, &isolate, &ledger, number).await;
        }),
        Duty::Succeed(number) => p.spawn(async move {
            succeed(&platform, &isolate, &ledger, number).await;
            drive(&platform, &isolate, &ledger, number).await;
        }),
    }
}

/// Returns when this successor is to drive; when it is not needed, it finds that it does not.
async fn succeed<P: Platform>(p: &P, isolate: &Isolate, ledger: &Permitted<LedgerId>, number: u64) {
    let registered = |wake: Wake| {
        let mut queues = isolate.outgoing.0.borrow_mut();
        let driver = queues
            .get_mut(ledger)
            .and_then(|queue| queue.driver.as_mut());
        match driver.and_then(|driver| driver.successor.as_mut()) {
            Some((named, slot)) if *named == number => *slot = Some(wake),
            // Gone already.
            _ => {
                drop(queues);
                wake();
            }
        }
    };
    let woken = std::pin::pin!(p.woken(registered));
    let patience = std::pin::pin!(p.sleep(SILENCE_MAX));
    if let Either::Right(_) = select(woken, patience).await {
        let mut queues = isolate.outgoing.0.borrow_mut();
        let Some(queue) = queues.get_mut(ledger) else {
            return;
        };
        let is_named = queue.driver.as_ref().is_some_and(|driver| {
            driver
                .successor
                .as_ref()
                .is_some_and(|(named, _)| *named == number)
        });
        if is_named && let Some(driver) = &mut queue.driver {
            // It has died with its request.
            driver.hand_over(p.now());
        }
    }
}

/// Sends group after group until nothing is left or somebody else drives.
async fn drive<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    number: u64,
) {
    let mut tries = 0_u32;
    loop {
        let Some(group) = begin(p, isolate, ledger, number) else {
            return;
        };
        let outcome = p.ledger(ledger, &group.call).await;
        let pause = match outcome {
            Ok(answer) => {
                tries = 0;
                isolate.hear(p.now(), ledger, answer.notices, answer.head);
                let pause = end(p, isolate, ledger, number);
                tell(isolate, ledger, &group.listeners, answer.replies);
                let Some(pause) = pause else { return };
                pause
            }
            Err(error) => {
                tries = tries.saturating_add(1);
                p.log(
                    Level::Warn,
                    &format!(
                        "the ledger {} was not reached, try {tries}: {error}",
                        ledger.name()
                    ),
                );
                if tries >= TRIES_MAX {
                    give_up(isolate, ledger, number, &group);
                    return;
                }
                Span::from_millis(100).times(1_i64 << tries)
            }
        };
        if pause > Span::ZERO {
            p.sleep(pause).await;
        }
    }
}

/// The next group to send, if this one drives and there is any.
fn begin<P: Platform>(
    p: &P,
    isolate: &Isolate,
    ledger: &Permitted<LedgerId>,
    number: u64,
) -> Option<Rc<Group>> {
    let mut queues = isolate.outgoing.0.borrow_mut();
    let queue = queues.get_mut(ledger)?;
    queue.begin(p.now(), number, |commands| isolate.call(ledger, commands))
}

/// A call is back: how long to wait before the next, or nothing when somebody else goes on.
fn end<P: Platform>(
    p: &P,
    isolate: &Isolate,
    ledger: &Permitted<LedgerId>,
    number: u64,
) -> Option<Span> {
    let next = {
        let mut queues = isolate.outgoing.0.borrow_mut();
        queues.get_mut(ledger)?.end(p.now(), number)?
    };
    match next {
        Next::Pause(pause) => Some(pause),
        Next::HandOver(wake) => {
            if let Some(wake) = wake {
                wake();
            }
            None
        }
    }
}

fn tell(
    isolate: &Isolate,
    ledger: &Permitted<LedgerId>,
    listeners: &[Listener],
    replies: Vec<Reply>,
) {
    for (listener, reply) in listeners.iter().zip(replies) {
        match (listener, reply) {
            (Listener::Nobody, _) => {}
            (Listener::Ticket(ticket), reply) => ticket.tell(Some(reply)),
            (Listener::Lease(key, lease, number), Reply::Leased(grant)) => {
                isolate
                    .leases
                    .borrow_mut()
                    .granted((ledger, key), lease, *number, grant);
            }
            (Listener::Lease(key, lease, _), _) => {
                isolate.leases.borrow_mut().unanswered((ledger, key), lease);
            }
        }
    }
}

/// Nobody is kept waiting any longer; the group stays to be sent by whoever comes next.
fn give_up(isolate: &Isolate, ledger: &Permitted<LedgerId>, number: u64, group: &Group) {
    {
        let mut queues = isolate.outgoing.0.borrow_mut();
        if let Some(queue) = queues.get_mut(ledger)
            && queue.drives(number)
        {
            queue.driver = None;
        }
    }
    for listener in &group.listeners {
        if let Listener::Ticket(ticket) = listener {
            ticket.tell(None);
        }
    }
}
