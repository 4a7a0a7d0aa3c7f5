//! What goes to the ledgers without being asked for: intents, settlements, renewals, in groups.
//!
//! One call at a time for each ledger. What arrives while it is under way goes with the next, in the order in
//! which it came; a call with twenty commands costs little more than a call with one. Commands are idempotent, so a
//! group whose fate is unknown is sent again. What is lost with the isolate is made good by deadlines.
//!
//! Whoever puts something in sees to it that it is sent, unless somebody does already. A request's context ends with
//! the request, so whoever has driven for a while hands over to a request that came later; and one that has died is
//! replaced.
//!
//! **Invariant:** the commands of one isolate for one ledger are carried out in the order in which they were put
//! in, each at least once, as long as the isolate lives and the ledger answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use futures_util::future::{Either, select};
use sluice_machines::ledger::{Call, Command, Reply};
use sluice_units::{KeyId, LeaseId, LedgerId, Span, Timestamp};

use crate::isolate::Isolate;
use crate::platform::{Level, Platform, Wake};
use crate::residency::Permitted;

/// How many commands may wait for one ledger; a further one is not taken.
pub const WAITING_MAX: usize = 4_096;
/// How many commands travel in one call.
pub const BATCH_MAX: usize = 256;
/// How many bytes of sealed bodies travel in one call, at most, unless a single command has more.
const BATCH_BODY_BYTES_MAX: usize = 1 << 20;
/// How long what nobody waits for waits for company. Far below what a model takes, so that a reservation is not held
/// noticeably longer.
const COMPANY: Span = Span::from_millis(20);
/// How long after one call the next may begin, where somebody waits.
const PACE: Span = Span::from_millis(2);
/// The same where so many requests are open that company is certain; still far below a model's first byte.
const PACE_BUSY: Span = COMPANY;
const BUSY_REQUESTS: u32 = 4;
/// How often a group is tried before it is left for the next request to carry.
const TRIES_MAX: u32 = 4;
/// After this long a driver hands over to a request that came later.
const DRIVE_MAX: Span = Span::from_seconds(2);
/// After this long without a sign of life a driver is taken for dead: its request's context is gone.
const SILENCE_MAX: Span = Span::from_seconds(20);
/// How long an answer is held back for its intent, at most.
const HELD_BACK_MAX: Span = Span::from_seconds(10);

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

/// Tells when an intent is durable, or what else was asked is done.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Rc<RefCell<Fate>>);

#[derive(Default)]
struct Fate {
    known: Option<bool>,
    wake: Option<Wake>,
}

impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fate").field(&self.known).finish()
    }
}

impl Ticket {
    /// Returns when it is known whether the intent is durable, and whether it is.
    pub async fn committed<P: Platform>(&self, p: &P) -> bool {
        if let Some(known) = self.0.borrow().known {
            return known;
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

    fn tell(&self, committed: bool) {
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

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Command, Listener)>,
    /// How many of them somebody waits for.
    urgent: usize,
    /// How many bytes of sealed bodies are among them.
    body_bytes: usize,
    in_flight: Option<Rc<Group>>,
    driver: Option<Driver>,
    drivers: u64,
    called_at: Timestamp,
    /// How many requests were drawn and have not ended, about.
    open: u32,
}

/// Commands that travel together.
#[derive(Debug)]
struct Group {
    call: Call,
    listeners: Vec<Listener>,
}

/// Who sends.
struct Driver {
    number: u64,
    since: Timestamp,
    alive_at: Timestamp,
    /// Nothing is under way: it waits for company.
    rests: bool,
    /// Who takes over when the call that is under way is back.
    successor: Option<(u64, Option<Wake>)>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Driver").field(&self.number).finish()
    }
}

/// What whoever put something in has to do.
enum Duty {
    Nothing,
    /// Drive, after this wait.
    Drive(u64, Span),
    /// Take over from another.
    Succeed(u64),
}

impl Queue {
    fn drives(&self, number: u64) -> bool {
        self.driver
            .as_ref()
            .is_some_and(|driver| driver.number == number)
    }

    /// A new driver. One that rested finds itself replaced.
    fn appoint(&mut self, now: Timestamp) -> u64 {
        self.drivers = self.drivers.saturating_add(1);
        self.driver = Some(Driver {
            number: self.drivers,
            since: now,
            alive_at: now,
            rests: true,
            successor: None,
        });
        self.drivers
    }

    /// How long to wait before the next call.
    fn pause(&self, now: Timestamp) -> Span {
        if self.urgent == 0 {
            return COMPANY;
        }
        let pace = if self.open >= BUSY_REQUESTS {
            PACE_BUSY
        } else {
            PACE
        };
        self.called_at.plus(pace).since(now)
    }

    fn duty(&mut self, now: Timestamp, is_urgent: bool) -> Duty {
        let number = self.drivers.saturating_add(1);
        match &mut self.driver {
            Some(driver) if now.since(driver.alive_at) < SILENCE_MAX => {
                let is_old = now.since(driver.since) >= DRIVE_MAX;
                if driver.rests && (is_old || (is_urgent && self.urgent == 1)) {
                    let number = self.appoint(now);
                    return Duty::Drive(number, self.pause(now));
                }
                if is_old && !driver.rests && driver.successor.is_none() {
                    driver.successor = Some((number, None));
                    self.drivers = number;
                    return Duty::Succeed(number);
                }
                Duty::Nothing
            }
            _ => {
                let number = self.appoint(now);
                Duty::Drive(number, self.pause(now))
            }
        }
    }

    /// How many commands travel together next.
    fn batch(&self) -> usize {
        let mut bytes = 0_usize;
        let fits = |(command, _): &&(Command, Listener)| {
            bytes = bytes.saturating_add(command.body_bytes());
            bytes <= BATCH_BODY_BYTES_MAX
        };
        let size = self.waiting.iter().take(BATCH_MAX).take_while(fits).count();
        size.max(1)
    }

    /// The next group; the one whose fate is unknown first.
    fn next(&mut self, call: impl FnOnce(Vec<Command>) -> Call) -> Option<Rc<Group>> {
        if self.in_flight.is_none() && !self.waiting.is_empty() {
            let size = self.batch();
            let (commands, listeners): (Vec<_>, Vec<_>) = self.waiting.drain(..size).unzip();
            let bytes = commands.iter().map(Command::body_bytes);
            self.body_bytes = bytes.fold(self.body_bytes, usize::saturating_sub);
            let urgent = listeners.iter().filter(|one| is_urgent(one)).count();
            self.urgent = self.urgent.saturating_sub(urgent);
            self.in_flight = Some(Rc::new(Group {
                call: call(commands),
                listeners,
            }));
        }
        self.in_flight.clone()
    }
}

const fn is_urgent(listener: &Listener) -> bool {
    !matches!(listener, Listener::Nobody)
}

/// Puts a command in; `false` when there is no room for it.
pub fn send<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    ledger: &Permitted<LedgerId>,
    command: Command,
    listener: Listener,
) -> bool {
    let now = p.now();
    let duty = {
        let mut queues = isolate.outgoing.0.borrow_mut();
        let queue = queues.entry(ledger.clone()).or_default();
        if queue.waiting.len() >= WAITING_MAX {
            return false;
        }
        queue.open = match &command {
            Command::Intent(_) => queue.open.saturating_add(1),
            Command::Settle { .. } | Command::Release { .. } => queue.open.saturating_sub(1),
            _ => queue.open,
        };
        let is_urgent = is_urgent(&listener);
        queue.urgent = queue.urgent.saturating_add(usize::from(is_urgent));
        queue.body_bytes = queue.body_bytes.saturating_add(command.body_bytes());
        queue.waiting.push_back((command, listener));
        queue.duty(now, is_urgent)
    };
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
    true
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

impl Driver {
    /// Makes the successor the driver, if there is one; how it is told.
    fn hand_over(&mut self, now: Timestamp) -> Option<Option<Wake>> {
        let (number, wake) = self.successor.take()?;
        self.number = number;
        self.since = now;
        self.alive_at = now;
        self.rests = false;
        Some(wake)
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
                tell(isolate, ledger, &group, answer.replies);
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
    let now = p.now();
    let mut queues = isolate.outgoing.0.borrow_mut();
    let queue = queues.get_mut(ledger)?;
    if !queue.drives(number) {
        return None;
    }
    let Some(group) = queue.next(|commands| isolate.call(ledger, commands)) else {
        queue.driver = None;
        return None;
    };
    queue.called_at = now;
    if let Some(driver) = &mut queue.driver {
        driver.rests = false;
        driver.alive_at = now;
    }
    Some(group)
}

/// A call is back: how long to wait before the next, or nothing when somebody else goes on.
fn end<P: Platform>(
    p: &P,
    isolate: &Isolate,
    ledger: &Permitted<LedgerId>,
    number: u64,
) -> Option<Span> {
    let now = p.now();
    let mut queues = isolate.outgoing.0.borrow_mut();
    let queue = queues.get_mut(ledger)?;
    if !queue.drives(number) {
        return None;
    }
    queue.in_flight = None;
    let pause = queue.pause(now);
    let driver = queue.driver.as_mut()?;
    driver.alive_at = now;
    if let Some(wake) = driver.hand_over(now) {
        drop(queues);
        if let Some(wake) = wake {
            wake();
        }
        return None;
    }
    driver.rests = true;
    Some(pause)
}

fn tell(isolate: &Isolate, ledger: &Permitted<LedgerId>, group: &Group, replies: Vec<Reply>) {
    for (listener, reply) in group.listeners.iter().zip(replies) {
        match (listener, reply) {
            (Listener::Nobody, _) => {}
            (Listener::Ticket(ticket), reply) => ticket.tell(reply == Reply::Done),
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
            ticket.tell(false);
        }
    }
}
