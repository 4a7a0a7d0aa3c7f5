//! What waits for one ledger, who sends it, and when the next call begins.
//!
//! A call costs far more than a command in it, so commands wait for company as long as nobody waits for them: an intent
//! travels while the model thinks, a settlement behind the answer. As soon as an answer is held back for one of them, the
//! next call begins; only where the last call has let many answers go, whose callers are likely to come again at once,
//! it waits for as long as it takes to serve so many.
//!
//! It knows neither requests nor ledgers, and waits for nothing itself: it says for how long to.

use std::collections::VecDeque;
use std::rc::Rc;

use sluice_machines::ledger::{Call, Command};
use sluice_units::{Span, Timestamp};

use super::{Listener, Ticket};
use crate::platform::Wake;

/// How many commands travel in one call.
const BATCH_MAX: usize = 256;
/// How many bytes of sealed bodies travel in one call, at most, unless a single command has more.
const BATCH_BODY_BYTES_MAX: usize = 1 << 20;
/// How long what nobody waits for waits for company. Far below what a model takes, so that a reservation is not held
/// noticeably longer.
const COMPANY: Span = Span::from_millis(20);
/// How long the next call waits for each answer that the last one let go, where answers are held back: about what
/// serving a request takes.
const PACE: Span = Span::from_micros(200);
/// With fewer requests about than these there is no company to wait for.
const COMPANY_REQUESTS: u32 = 4;
/// With fewer requests about than these each asks by itself: being woken by another costs as much as is saved.
const CROWD_REQUESTS: u32 = 6;
/// After this long a driver hands over to a request that came later.
const DRIVE_MAX: Span = Span::from_seconds(2);
/// After this long without a sign of life a driver is taken for dead: its request's context is gone.
pub(super) const SILENCE_MAX: Span = Span::from_seconds(20);

/// How long whoever asks to be let in waits for the others to leave: a call that takes longer hangs.
pub(super) const PATIENCE: Span = Span::from_millis(100);

/// What waits for one ledger.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<(Command, Listener)>,
    /// How many of them somebody is told of.
    urgent: usize,
    /// For how many of them an answer is held back, about.
    awaited: usize,
    /// How many of them tell of the end of a request.
    endings: usize,
    /// How many bytes of sealed bodies are among them.
    pub(super) body_bytes: usize,
    in_flight: Option<Rc<Group>>,
    pub(super) driver: Option<Driver>,
    drivers: u64,
    /// The last call: when it began, when it came back, and how many answers it let go.
    called_at: Timestamp,
    back_at: Timestamp,
    let_go: u32,
    /// How long the quickest call took: how far the ledger is.
    distance: Option<Span>,
    /// How many requests ask, or were let in and have not ended, about.
    open: u32,
}

/// Commands that travel together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) call: Call,
    pub(super) listeners: Vec<Listener>,
    /// Some of them tell of the end of a request.
    has_endings: bool,
}

/// Who sends.
pub(super) struct Driver {
    number: u64,
    since: Timestamp,
    alive_at: Timestamp,
    /// Nothing is under way: it waits for company.
    rests: bool,
    /// Who takes over when the call that is under way is back.
    pub(super) successor: Option<(u64, Option<Wake>)>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Driver").field(&self.number).finish()
    }
}

/// What whoever put something in has to do.
pub(super) enum Duty {
    Nothing,
    /// Drive, after this wait.
    Drive(u64, Span),
    /// Take over from another.
    Succeed(u64),
}

impl Queue {
    /// Takes a command; what whoever brings it has to do.
    pub(super) fn put(&mut self, now: Timestamp, command: Command, listener: Listener) -> Duty {
        let is_ending = is_ending(&command);
        self.open = match &command {
            Command::Intent(_) => self.open.saturating_add(1),
            _ => self.open.saturating_sub(u32::from(is_ending)),
        };
        let (is_urgent, is_awaited) = (is_urgent(&listener), is_awaited(&listener));
        self.urgent = self.urgent.saturating_add(usize::from(is_urgent));
        self.awaited = self.awaited.saturating_add(usize::from(is_awaited));
        self.endings = self.endings.saturating_add(usize::from(is_ending));
        self.body_bytes = self.body_bytes.saturating_add(command.body_bytes());
        self.waiting.push_back((command, listener));
        let is_first_alone = is_urgent && self.urgent == 1 && !self.has_company();
        self.duty(now, is_first_alone || (is_awaited && self.awaited == 1))
    }

    /// A request asks to be let in: whether it had better go with others, which are likely to ask as well, to a ledger
    /// that is near and answers.
    pub(super) fn asks(&mut self, now: Timestamp) -> bool {
        self.open = self.open.saturating_add(1);
        let is_near = self.distance.is_some_and(|distance| distance < COMPANY);
        let hangs = self.in_flight.is_some() && now.since(self.called_at) >= PATIENCE;
        is_near && !hangs && self.open >= CROWD_REQUESTS
    }

    /// One that asked was not let in.
    pub(super) fn is_refused(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Whether requests have ended of which the ledger may not have heard.
    pub(super) fn has_endings(&self) -> bool {
        self.endings > 0 || self.in_flight.as_ref().is_some_and(|it| it.has_endings)
    }

    /// Takes back what has not left.
    pub(super) fn withdraw(&mut self, ticket: &Ticket) -> Option<(Command, Listener)> {
        let is_its = |(_, listener): &(Command, Listener)| matches!(listener, Listener::Ticket(other) if other.is(ticket));
        let at = self.waiting.iter().position(is_its)?;
        let withdrawn = self.waiting.remove(at)?;
        self.forget(&withdrawn);
        Some(withdrawn)
    }

    /// One that has waited does not wait any longer.
    fn forget(&mut self, (command, listener): &(Command, Listener)) {
        let less = |count: usize, is_one: bool| count.saturating_sub(usize::from(is_one));
        self.urgent = less(self.urgent, is_urgent(listener));
        self.awaited = less(self.awaited, is_awaited(listener));
        self.endings = less(self.endings, is_ending(command));
        self.body_bytes = self.body_bytes.saturating_sub(command.body_bytes());
    }

    /// An answer is held back for one of those that wait; what whoever holds it back has to do.
    pub(super) fn hurry(&mut self, now: Timestamp) -> Duty {
        self.awaited = self.awaited.saturating_add(1);
        self.duty(now, self.awaited == 1)
    }

    pub(super) fn drives(&self, number: u64) -> bool {
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

    /// Whether others are likely to bring something while one waits.
    const fn has_company(&self) -> bool {
        self.open >= COMPANY_REQUESTS || self.let_go >= COMPANY_REQUESTS
    }

    /// How long to wait before the next call.
    fn pause(&self, now: Timestamp) -> Span {
        if self.waiting.len() >= BATCH_MAX {
            return Span::ZERO;
        }
        if self.awaited > 0 {
            let pace = PACE.times(i64::from(self.let_go)).min(COMPANY);
            return self.back_at.plus(pace).since(now);
        }
        // What was under way for longer has had its company.
        let is_far = self.back_at.since(self.called_at) >= COMPANY;
        if self.urgent > 0 && (is_far || !self.has_company()) {
            return Span::ZERO;
        }
        COMPANY
    }

    /// What there is to do; `is_first` where the pause has become shorter than whoever rests knows.
    fn duty(&mut self, now: Timestamp, is_first: bool) -> Duty {
        let number = self.drivers.saturating_add(1);
        match &mut self.driver {
            Some(driver) if now.since(driver.alive_at) < SILENCE_MAX => {
                let is_old = now.since(driver.since) >= DRIVE_MAX;
                if driver.rests && (is_old || is_first) {
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

    /// The next group, if this one drives and there is any; the one whose fate is unknown first.
    pub(super) fn begin(
        &mut self,
        now: Timestamp,
        number: u64,
        call: impl FnOnce(Vec<Command>) -> Call,
    ) -> Option<Rc<Group>> {
        if !self.drives(number) {
            return None;
        }
        let Some(group) = self.next(call) else {
            self.driver = None;
            return None;
        };
        self.called_at = now;
        if let Some(driver) = &mut self.driver {
            driver.rests = false;
            driver.alive_at = now;
        }
        Some(group)
    }

    fn next(&mut self, call: impl FnOnce(Vec<Command>) -> Call) -> Option<Rc<Group>> {
        if self.in_flight.is_none() && !self.waiting.is_empty() {
            let size = self.batch();
            let leaving: Vec<_> = self.waiting.drain(..size).collect();
            leaving.iter().for_each(|one| self.forget(one));
            let has_endings = leaving.iter().any(|(command, _)| is_ending(command));
            let (commands, listeners): (Vec<_>, Vec<_>) = leaving.into_iter().unzip();
            for listener in &listeners {
                if let Listener::Ticket(ticket) = listener {
                    ticket.leave();
                }
            }
            self.in_flight = Some(Rc::new(Group {
                call: call(commands),
                listeners,
                has_endings,
            }));
        }
        self.in_flight.clone()
    }

    /// A call is back: what comes next, if this one drives.
    pub(super) fn end(&mut self, now: Timestamp, number: u64) -> Option<Next> {
        if !self.drives(number) {
            return None;
        }
        if let Some(group) = self.in_flight.take() {
            let held_back = group.listeners.iter().filter(|it| is_awaited(it)).count();
            self.let_go = u32::try_from(held_back).unwrap_or(u32::MAX);
        }
        self.back_at = now;
        let took = now.since(self.called_at);
        self.distance = Some(self.distance.map_or(took, |known| known.min(took)));
        let pause = self.pause(now);
        let driver = self.driver.as_mut()?;
        driver.alive_at = now;
        Some(match driver.hand_over(now) {
            Some(wake) => Next::HandOver(wake),
            None => {
                driver.rests = true;
                Next::Pause(pause)
            }
        })
    }
}

/// What comes after a call.
pub(super) enum Next {
    /// Another one drives, who is told so, if that can be told.
    HandOver(Option<Wake>),
    /// The next call, after this wait.
    Pause(Span),
}

/// Whether it tells of the end of a request.
const fn is_ending(command: &Command) -> bool {
    matches!(command, Command::Settle { .. } | Command::Release { .. })
}

/// Whether somebody is told what becomes of it.
const fn is_urgent(listener: &Listener) -> bool {
    !matches!(listener, Listener::Nobody)
}

fn is_awaited(listener: &Listener) -> bool {
    matches!(listener, Listener::Ticket(ticket) if ticket.is_awaited())
}

impl Driver {
    /// Makes the successor the driver, if there is one; how it is told.
    pub(super) fn hand_over(&mut self, now: Timestamp) -> Option<Option<Wake>> {
        let (number, wake) = self.successor.take()?;
        self.number = number;
        self.since = now;
        self.alive_at = now;
        self.rests = false;
        Some(wake)
    }
}

#[cfg(test)]
mod tests {
    use sluice_machines::ledger::Notices;
    use sluice_units::RequestId;

    use super::super::Ticket;
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn at(millis: i64) -> Timestamp {
        START.plus(Span::from_millis(millis))
    }

    fn command() -> Command {
        Command::Extend {
            request: RequestId::new("req_1").unwrap(),
            ttl: Span::from_seconds(30),
        }
    }

    fn bring(queue: &mut Queue, now: Timestamp) -> (Ticket, Duty) {
        let ticket = Ticket::default();
        let duty = queue.put(now, command(), Listener::Ticket(ticket.clone()));
        (ticket, duty)
    }

    fn hold_back(queue: &mut Queue, now: Timestamp, ticket: &Ticket) -> Duty {
        ticket.await_it();
        queue.hurry(now)
    }

    fn call(commands: Vec<Command>) -> Call {
        Call {
            commands,
            notices: Notices::default(),
            batch: 0,
        }
    }

    fn begin(queue: &mut Queue, now: Timestamp) -> usize {
        let number = queue.drivers;
        let group = queue.begin(now, number, call);
        group.map_or(0, |group| group.listeners.len())
    }

    fn end(queue: &mut Queue, now: Timestamp) -> Span {
        match queue.end(now, queue.drivers) {
            Some(Next::Pause(pause)) => pause,
            _ => panic!("it drives, and nobody succeeds it"),
        }
    }

    fn pause(duty: &Duty) -> Option<Span> {
        match duty {
            Duty::Drive(_, pause) => Some(*pause),
            _ => None,
        }
    }

    /// A queue whose last call let so many answers go and was back at 1 ms.
    fn after(answers: usize) -> Queue {
        let mut queue = Queue::default();
        let tickets: Vec<_> = (0..answers).map(|_| bring(&mut queue, at(0)).0).collect();
        for ticket in &tickets {
            hold_back(&mut queue, at(0), ticket);
        }
        assert_eq!(begin(&mut queue, at(0)), answers);
        assert_eq!(end(&mut queue, at(1)), COMPANY);
        queue
    }

    #[test]
    fn what_comes_alone_is_sent_at_once() {
        let mut queue = Queue::default();
        let (_, duty) = bring(&mut queue, at(0));
        assert_eq!(pause(&duty), Some(Span::ZERO));
        let mut queue = after(1);
        let (_, duty) = bring(&mut queue, at(2));
        assert_eq!(pause(&duty), Some(Span::ZERO));
    }

    #[test]
    fn what_nobody_waits_for_waits_for_company() {
        let mut queue = Queue::default();
        let duty = queue.put(at(0), command(), Listener::Nobody);
        assert_eq!(pause(&duty), Some(COMPANY));
        let duty = queue.put(at(1), command(), Listener::Nobody);
        assert_eq!(pause(&duty), None, "one waits already");
        let mut queue = after(4);
        let (_, duty) = bring(&mut queue, at(2));
        assert_eq!(pause(&duty), None, "whoever called last rests as long");
        assert_eq!(begin(&mut queue, at(21)), 1);
    }

    #[test]
    fn an_answer_that_is_held_back_sends_what_waits() {
        let mut queue = after(4);
        let (ticket, _) = bring(&mut queue, at(2));
        let duty = hold_back(&mut queue, at(8), &ticket);
        assert_eq!(pause(&duty), Some(Span::ZERO));
        let (ticket, _) = bring(&mut queue, at(8));
        let duty = hold_back(&mut queue, at(8), &ticket);
        assert_eq!(pause(&duty), None, "it is sent already");
    }

    #[test]
    fn after_many_answers_it_waits_for_as_many() {
        for (answers, micros) in [(4, 800), (20, 4_000), (200, 20_000)] {
            let mut queue = after(answers);
            let (ticket, _) = bring(&mut queue, at(1));
            let duty = hold_back(&mut queue, at(1), &ticket);
            assert_eq!(pause(&duty), Some(Span::from_micros(micros)), "{answers}");
        }
    }

    #[test]
    fn a_ledger_that_is_far_away_is_not_kept_waiting() {
        let mut queue = after(4);
        bring(&mut queue, at(2));
        assert_eq!(begin(&mut queue, at(2)), 1);
        bring(&mut queue, at(3));
        assert_eq!(end(&mut queue, at(122)), Span::ZERO);
    }

    #[test]
    fn who_asks_goes_along_where_many_ask_and_the_ledger_is_near() {
        let mut queue = Queue::default();
        let mut ask_in_a_crowd = || {
            let asked = (0..CROWD_REQUESTS).map(|_| queue.asks(at(130)));
            asked.last().unwrap()
        };
        assert!(!ask_in_a_crowd(), "it may be far");
        let called = |queue: &mut Queue, from, to| {
            bring(queue, at(from));
            begin(queue, at(from));
            end(queue, at(to));
        };
        called(&mut queue, 0, 120);
        assert!(!queue.asks(at(130)), "it is far");
        called(&mut queue, 121, 123);
        assert!(queue.asks(at(130)), "it was slow once");
        bring(&mut queue, at(130));
        begin(&mut queue, at(130));
        assert!(queue.asks(at(229)));
        assert!(!queue.asks(at(230)), "the last call hangs");
        end(&mut queue, at(231));
        for _ in 0..7 {
            queue.is_refused();
        }
        assert!(!queue.asks(at(130)), "hardly anybody else does");
    }

    #[test]
    fn what_is_withdrawn_is_not_sent_and_hurries_nobody() {
        let mut queue = after(4);
        let (ticket, _) = bring(&mut queue, at(2));
        hold_back(&mut queue, at(2), &ticket);
        let (other, _) = bring(&mut queue, at(2));
        assert!(queue.withdraw(&ticket).is_some());
        assert!(queue.withdraw(&ticket).is_none(), "it is gone");
        let duty = hold_back(&mut queue, at(3), &other);
        assert!(pause(&duty).is_some(), "it is the first again");
        assert_eq!(begin(&mut queue, at(4)), 1);
    }

    #[test]
    fn it_is_known_to_have_endings_until_the_call_that_tells_of_the_last_is_back() {
        let mut queue = Queue::default();
        let end_one = |queue: &mut Queue| {
            let request = RequestId::new("req_1").unwrap();
            let ticket = Ticket::default();
            let listener = Listener::Ticket(ticket.clone());
            queue.put(at(0), Command::Release { request }, listener);
            ticket
        };
        bring(&mut queue, at(0));
        assert!(!queue.has_endings(), "nothing has ended");
        let ticket = end_one(&mut queue);
        assert!(queue.has_endings());
        assert!(queue.withdraw(&ticket).is_some());
        assert!(!queue.has_endings(), "it is taken back");
        end_one(&mut queue);
        assert_eq!(begin(&mut queue, at(1)), 2);
        assert!(queue.has_endings(), "it is under way");
        end_one(&mut queue);
        end(&mut queue, at(2));
        assert!(queue.has_endings(), "one came later");
        assert_eq!(begin(&mut queue, at(3)), 1);
        end(&mut queue, at(4));
        assert!(!queue.has_endings());
    }

    #[test]
    fn a_full_call_waits_for_nobody() {
        let mut queue = after(4);
        for _ in 0..=BATCH_MAX {
            bring(&mut queue, at(1));
        }
        assert_eq!(begin(&mut queue, at(1)), BATCH_MAX);
        for _ in 0..BATCH_MAX {
            bring(&mut queue, at(1));
        }
        assert_eq!(end(&mut queue, at(2)), Span::ZERO);
    }
}
