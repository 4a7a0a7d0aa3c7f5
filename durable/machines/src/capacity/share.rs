//! The slots of one provider as an isolate holds them: which calls are under way, and what to ask for.
//!
//! A call begins on a slot that is held for long enough to be renewed, and goes on whatever becomes of it. A slot that
//! is free is used by the next request at once, so that a steady load asks only to renew. What is not needed any more is
//! given back; where others wait, at once, and beyond the isolate's share every time that a call ends.
//!
//! A pure machine: whoever asks does the asking, one command at a time. What it gives up it gives up when it asks, what
//! it gets it has when it hears of it: so it never holds more than is granted, whatever is lost, late or doubled.
//!
//! Its calls have deadlines too, and say now and then that they are alive: a runtime may end a request without a word.

use sluice_units::{LeaseId, ProviderId, Span, Timestamp};

use super::{Ask, GRACE, Granted, LIFE};

/// How often a call under way says that it is, and slots are renewed.
pub const TICK: Span = Span::from_seconds(4);
/// How long an answer is waited for. Whoever gives it is near, or out of reach.
pub const ASK_MAX: Span = Span::from_seconds(1);
/// A call begins when its slot is held for at least so long.
const START_MIN: Span = TICK.plus(ASK_MAX).plus(Span::from_seconds(1));
/// Who was refused just now is not asked again, but by those who wait in a line.
const PACE: Span = Span::from_millis(50);
/// Slots that may be needed again are kept for so long, at least once and at most twice.
const WINDOW: Span = Span::from_seconds(2);
/// How soon slots that are not needed are given back, and where others wait.
const GIVE_BACK: Span = Span::from_seconds(1);
const GIVE_BACK_SOON: Span = Span::from_millis(10);
/// Calls that live are not silent for so long: time has made a leap.
const LEAP: Span = Span::from_seconds(10);
/// How far behind a request's time may be without a clock having been set back: requests read it one by one.
const BEHIND_MAX: Span = Span::from_seconds(1);

/// What an isolate holds of one provider.
#[derive(Debug)]
pub struct Share {
    provider: ProviderId,
    lease: LeaseId,
    held: u32,
    /// Until when, by the isolate's clock.
    until: Timestamp,
    requests: Vec<Request>,
    requests_count: u64,
    /// The last command, and when it was sent; its answer is waited for.
    number: u64,
    asked_at: Timestamp,
    is_asking: bool,
    refused_at: Option<Timestamp>,
    /// Others wait: beyond so many calls, slots are not used again.
    share: Option<u32>,
    /// But for those that were granted since.
    granted: u32,
    /// The most calls at once in this window and in the one before.
    peaks: (u32, u32),
    window_at: Timestamp,
    seen_at: Timestamp,
    tended_at: Option<Timestamp>,
}

/// A request that wants a slot, or has one.
#[derive(Debug)]
struct Request {
    number: u64,
    /// Taken for dead then, unless it is heard of.
    until: Timestamp,
    is_call: bool,
}

/// What a request that wants a slot does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Call the provider.
    Call,
    /// Ask this, tell [`Share::hear`], and step again.
    Ask(Ask),
    /// Step again when an answer has come, or after [`ASK_MAX`].
    Wait,
    /// There is no slot.
    Full,
}

impl Share {
    /// An isolate that holds nothing yet.
    #[must_use]
    pub const fn new(provider: ProviderId, lease: LeaseId) -> Self {
        Self {
            provider,
            lease,
            held: 0,
            until: Timestamp::from_micros(0),
            requests: Vec::new(),
            requests_count: 0,
            number: 0,
            asked_at: Timestamp::from_micros(0),
            is_asking: false,
            refused_at: None,
            share: None,
            granted: 0,
            peaks: (0, 0),
            window_at: Timestamp::from_micros(0),
            seen_at: Timestamp::from_micros(0),
            tended_at: None,
        }
    }

    /// A request wants a slot; by this number it is known until it leaves.
    pub const fn enter(&mut self) -> u64 {
        self.requests_count = self.requests_count.saturating_add(1);
        self.requests_count
    }

    /// What the request does next. It may head a line with so many behind it; then it asks although it was refused just
    /// now.
    pub fn step(&mut self, now: Timestamp, number: u64, limit: u32, behind: Option<u32>) -> Step {
        self.alive(now, number);
        let calls = self.calls();
        if self.may_begin(now, calls, limit) {
            self.granted = self.granted.saturating_sub(1);
            for request in &mut self.requests {
                request.is_call |= request.number == number;
            }
            self.look(now);
            return Step::Call;
        }
        if self.is_waiting(now) {
            return Step::Wait;
        }
        let refused = self.refused_at.filter(|_| behind.is_none());
        if refused.is_some_and(|at| now.since(at) < PACE) {
            return Step::Full;
        }
        Step::Ask(self.ask(now, limit, behind.unwrap_or(0)))
    }

    /// The request is alive, and its call if it makes one.
    pub fn alive(&mut self, now: Timestamp, number: u64) {
        self.look(now);
        let until = now.plus(LIFE);
        match self.requests.iter_mut().find(|one| one.number == number) {
            Some(request) => request.until = until,
            None => self.requests.push(Request {
                number,
                until,
                is_call: false,
            }),
        }
    }

    /// The call goes on; or it does so after all, where it was taken for dead.
    pub fn goes_on(&mut self, now: Timestamp, number: u64) {
        self.alive(now, number);
        for request in &mut self.requests {
            request.is_call |= request.number == number;
        }
    }

    /// Whether another call may begin on the slot of one that has ended.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.held >= self.calls() && self.until.since(now) >= START_MIN
    }

    /// The request has left, its call has ended.
    pub fn leave(&mut self, number: u64) {
        self.requests.retain(|one| one.number != number);
    }

    /// What came of a command: nothing, where no answer came in time.
    pub fn hear(&mut self, now: Timestamp, ask: &Ask, granted: Option<&Granted>) {
        self.look(now);
        if ask.number != self.number {
            return;
        }
        self.is_asking = false;
        let granted = granted.filter(|granted| granted.number == ask.number);
        let Some(granted) = granted else {
            self.refused_at = Some(now);
            return;
        };
        self.held = granted.slots;
        self.until = self.asked_at.plus(LIFE).minus(GRACE);
        self.share = granted.share;
        self.granted = granted.slots.saturating_sub(self.calls());
        let wanted = ask.keep.saturating_add(ask.more);
        self.refused_at = (granted.slots < wanted).then_some(now);
    }

    /// How soon there is something to tell, if there is, and if nobody sees to it.
    pub fn begin_tending(&mut self, now: Timestamp) -> Option<Span> {
        self.look(now);
        let lost = GIVE_BACK.plus(ASK_MAX).plus(ASK_MAX);
        let is_tended = self.tended_at.is_some_and(|at| now.since(at) < lost);
        if is_tended { None } else { self.next(now) }
    }

    /// What to tell now, if anything.
    pub fn tend(&mut self, now: Timestamp, limit: u32) -> Option<Ask> {
        self.look(now);
        let is_due = self.is_due(now) || self.held > self.goal();
        (is_due && !self.is_waiting(now)).then(|| self.ask(now, limit, 0))
    }

    /// How soon there is more to tell; if there is not, nobody sees to it any more.
    pub fn next(&mut self, now: Timestamp) -> Option<Span> {
        let next = if self.is_due(now) {
            Some(Span::ZERO)
        } else if self.held > self.goal() && self.share.is_some() {
            Some(GIVE_BACK_SOON)
        } else {
            let is_idle = self.calls() == 0 && self.held > 0;
            (is_idle || self.held > self.goal()).then_some(GIVE_BACK)
        };
        self.tended_at = next.map(|_| now);
        next
    }

    fn calls(&self) -> u32 {
        let calls = self.requests.iter().filter(|one| one.is_call);
        u32::try_from(calls.count()).unwrap_or(u32::MAX)
    }

    fn may_begin(&self, now: Timestamp, calls: u32, limit: u32) -> bool {
        let is_own = self.share.is_none_or(|share| calls < share) || self.granted > 0;
        let is_held = calls < self.held && self.until.since(now) >= START_MIN;
        is_held && is_own && calls < limit
    }

    /// Whether slots are to be renewed.
    fn is_due(&self, now: Timestamp) -> bool {
        self.calls() > 0 && now.since(self.asked_at) >= TICK
    }

    fn is_waiting(&self, now: Timestamp) -> bool {
        self.is_asking && now.since(self.asked_at) < ASK_MAX
    }

    /// How many slots are worth having.
    fn goal(&self) -> u32 {
        let calls = self.calls();
        let peak = self.peaks.0.max(self.peaks.1);
        match self.share {
            Some(_) => calls,
            None if peak == 0 => calls,
            None => calls.max(peak.saturating_add(1)),
        }
    }

    fn ask(&mut self, now: Timestamp, limit: u32, behind: u32) -> Ask {
        let calls = self.calls();
        let all = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        let wanting = all.saturating_sub(calls).saturating_add(behind);
        let held = if self.until > now { self.held } else { 0 };
        let goal = self.goal();
        let keep = calls.max(held.min(goal).min(limit));
        let more = wanting.saturating_sub(keep.saturating_sub(calls));
        let spare = goal.saturating_sub(keep.saturating_add(more));
        // Given up from now on.
        self.held = held.min(keep);
        self.number = self.number.saturating_add(1);
        self.asked_at = now;
        self.is_asking = true;
        Ask {
            provider: self.provider.clone(),
            lease: self.lease.clone(),
            number: self.number,
            limit,
            keep,
            under_way: calls,
            more,
            spare,
        }
    }

    /// Forgets what is past its deadline. Where time has made a leap, nothing is sure but that calls are under way.
    fn look(&mut self, now: Timestamp) {
        let is_set_back = now.plus(BEHIND_MAX) < self.seen_at;
        if is_set_back {
            self.held = 0;
            // What was asked before has no date any more.
            self.number = self.number.saturating_add(1);
            self.asked_at = now;
            self.is_asking = false;
            self.refused_at = None;
            self.tended_at = None;
            self.window_at = now;
        }
        let leaps = is_set_back || now.since(self.seen_at) > LEAP;
        if leaps {
            for request in self.requests.iter_mut().filter(|one| one.is_call) {
                request.until = now.plus(LIFE);
            }
        }
        self.seen_at = if is_set_back {
            now
        } else {
            now.max(self.seen_at)
        };
        self.requests.retain(|one| one.until > now);
        let calls = self.calls();
        if now.since(self.window_at) >= WINDOW {
            let is_long_ago = now.since(self.window_at) >= WINDOW.plus(WINDOW);
            self.peaks = (calls, if is_long_ago { calls } else { self.peaks.0 });
            self.window_at = now;
        }
        self.peaks.0 = self.peaks.0.max(calls);
    }
}
