//! How long a request waits until it is let in or refused: no longer than its limits' queues and the slices of others
//! last, besides what its calls take.
//!
//! From outside a request waits whenever no call of its own is under way. How long it does when its time is over is
//! added up, and so is how often it asks by then.

use sluice_machines::ledger::{Denial, LEASE_LIFE};

use super::*;

/// How long a request waits at most for slices that others hold.
const LEASES_MAX: Span = LEASE_LIFE.plus(LEASE_GRACE).plus(Span::from_seconds(3));
/// How long it may wait besides: twice for company on its way, and a little for clocks that drift.
const BESIDES_MAX: Span = Span::from_millis(300);
/// How often it may ask when its time is over: for the last time, and again when all that has ended was told.
const LATE_ASKS_MAX: u32 = 2;
/// How long it waits at most until a ledger that is not reached was told of what has ended.
const TELLING_MAX: Span = Span::from_seconds(10);
/// How long one question takes at most, with all that a home is asked for its sake.
const ASK_MAX: Span = Span::from_seconds(20);
/// After this long a call hangs.
const HANGS: Span = Span::from_millis(500);

/// What a request has done to be let in.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// How many of its calls are under way.
    calls: u32,
    /// Since when none is.
    idle_since: Timestamp,
    /// How long it has waited when its time was over, and how often it has asked by then.
    late: Span,
    late_asks: u32,
    /// How long it has waited all in all before it asked, and how often it has asked.
    idle: Span,
    pub(super) asks: u32,
    refusals: u32,
    /// Since when it surely stands in a line, and since when it has its turn.
    seated_since: Option<Timestamp>,
    pub(super) turn_since: Option<Timestamp>,
    /// It only asks what would be.
    pub(super) is_explained: bool,
    /// It was refused for what others hold.
    pub(super) has_met_leases: bool,
    /// For its sake the ledger was told of what has ended.
    has_told: bool,
    /// It was let in, or refused for good.
    pub(super) is_over: bool,
    pub(super) end: turns::End,
}

impl Waiting {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            idle_since: now,
            ..Self::default()
        }
    }

    /// Since when it surely stands in a line: it has waited for longer than for company, and has not asked; or it still
    /// waits when it was refused for the second time.
    pub(super) fn stands_since(&self, now: Timestamp, company: Span) -> Option<Timestamp> {
        let idle = now.since(self.idle_since);
        let is_seated = self.asks == 0 && self.calls == 0 && self.idle.plus(idle) >= company;
        let since = self.idle_since.plus(less(company, self.idle));
        self.seated_since.or_else(|| is_seated.then_some(since))
    }
}

/// So much less, and no less than nothing.
fn less(span: Span, by: Span) -> Span {
    Span::from_micros(span.as_micros() - by.min(span).as_micros())
}

/// An isolate's calls to ledgers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    under_way: RefCell<Vec<Timestamp>>,
    failed_at: Cell<Timestamp>,
}

impl Calls {
    /// Whether a ledger is not reached, or was not since then.
    fn fail(&self, (since, now): (Timestamp, Timestamp)) -> bool {
        let under_way = self.under_way.borrow();
        self.failed_at.get() >= since || under_way.iter().any(|begun| now.since(*begun) > HANGS)
    }
}

impl World {
    /// An isolate calls a ledger.
    pub(crate) fn ledger_called(&self, place: &Place) -> Timestamp {
        let now = self.now();
        place.calls.under_way.borrow_mut().push(now);
        now
    }

    /// What was called then has answered, or will not.
    pub(crate) fn ledger_answered(&self, place: &Place, called_at: Timestamp, has_failed: bool) {
        let mut under_way = place.calls.under_way.borrow_mut();
        let at = under_way.iter().position(|begun| *begun == called_at);
        at.map(|at| under_way.swap_remove(at));
        if has_failed {
            place.calls.failed_at.set(self.now());
        }
    }

    /// A call of a request's begins: until then it has waited.
    pub(crate) fn goes_on(&self, number: usize) {
        let verdict = self.waited_until_now(number);
        self.require(verdict);
        if let Some(fact) = self.facts.borrow_mut().get_mut(number) {
            fact.waiting.calls += 1;
        }
    }

    /// A call of a request's is back.
    pub(crate) fn rests(&self, number: usize) {
        if let Some(fact) = self.facts.borrow_mut().get_mut(number) {
            let waiting = &mut fact.waiting;
            waiting.calls = waiting.calls.saturating_sub(1);
            waiting.idle_since = self.now();
        }
    }

    /// A request asks anew to be let in.
    pub(super) fn asks_anew(&self, number: usize) {
        let over_at = self.may_wait_until(number).plus(BESIDES_MAX);
        let mut facts = self.facts.borrow_mut();
        let waiting = &mut facts[number].waiting;
        waiting.late_asks += u32::from(self.now() > over_at);
        let asks = waiting.late_asks;
        drop(facts);
        self.takes_turn(number);
        self.require(if asks > LATE_ASKS_MAX && self.keeps_time() {
            Err(format!(
                "request {number} asks for the {asks}th time after {over_at}, when it had waited for as long as it may"
            ))
        } else {
            Ok(())
        });
        self.goes_on(number);
        self.facts.borrow_mut()[number].waiting.asks += 1;
    }

    /// A request has heard that it is not let in: when it asks again, it is to know better.
    pub(crate) fn is_refused(&self, number: usize, denial: &Denial) {
        if let Some(fact) = self.facts.borrow_mut().get_mut(number) {
            fact.asking_since = None;
            let waiting = &mut fact.waiting;
            waiting.refusals += 1;
            waiting.has_met_leases |= denial.leases_end.is_some();
            if waiting.refusals > 1 && waiting.seated_since.is_none() {
                waiting.seated_since = Some(self.now());
            }
        }
        self.rests(number);
    }

    /// For a request's sake its ledger is told of what has ended.
    pub(crate) fn tells_for(&self, number: usize) {
        if let Some(fact) = self.facts.borrow_mut().get_mut(number) {
            fact.waiting.has_told = true;
        }
    }

    /// A request was let in, or is answered without.
    pub(crate) fn has_waited(&self, number: usize) {
        let facts = self.facts.borrow();
        let Some(fact) = facts.get(number).filter(|fact| !fact.waiting.is_over) else {
            return;
        };
        let asked = fact.asking_since.map(|since| self.now().since(since));
        drop(facts);
        let verdict = self.waited_until_now(number);
        self.require(verdict);
        self.facts.borrow_mut()[number].waiting.is_over = true;
        self.leaves_line(number);
        self.require(if asked.is_some_and(|asked| asked > ASK_MAX) {
            Err(format!("request {number} asked for {asked:?}"))
        } else {
            Ok(())
        });
    }

    /// Isolates wait by their own clocks; and who has drawn may wait for its provider, which looks the same.
    pub(super) fn keeps_time(&self) -> bool {
        self.weather.clock_step_every_ms == 0 && self.capacities.are_unbounded()
    }

    /// Until when a request may wait for what it has met, or for its longest queue where it has met nothing.
    fn may_wait_until(&self, number: usize) -> Timestamp {
        let (facts, holders) = (self.facts.borrow(), self.holders.borrow());
        let fact = &facts[number];
        let oldest = fact.arrived.minus(current::STALE_IN_OUTAGE_MAX);
        let reigns = self.reigns.borrow();
        let held = reigns
            .iter()
            .filter(|reign| reign.until.is_none_or(|until| until >= oldest));
        let queues = held.filter_map(|reign| {
            let scopes = reign.version.scopes_of(fact.key, &holders[fact.key].key);
            let rules = scopes.iter().flat_map(|scope| &scope.rules);
            rules.filter_map(economy::queue).max()
        });
        let leases = fact.waiting.has_met_leases.then_some(LEASES_MAX);
        fact.arrived
            .plus(queues.chain(leases).max().unwrap_or_default())
    }

    /// A request has waited until now, or has not: for no longer than it may.
    fn waited_until_now(&self, number: usize) -> Verdict {
        if !self.keeps_time() || number >= self.facts.borrow().len() {
            return Ok(());
        }
        let (now, over_at) = (self.now(), self.may_wait_until(number));
        let mut facts = self.facts.borrow_mut();
        let Fact { waiting, place, .. } = &mut facts[number];
        if waiting.calls > 0 || waiting.is_over {
            return Ok(());
        }
        let since = waiting.idle_since;
        let mut late = now.since(since.max(over_at));
        let is_first = waiting.refusals == 1;
        if is_first && (waiting.has_told || place.calls.fail((since, now))) {
            late = less(late, TELLING_MAX);
        }
        waiting.seated_since = waiting.stands_since(now, turns::COMPANY_MAX);
        waiting.idle = waiting.idle.plus(now.since(since));
        waiting.idle_since = now;
        waiting.late = waiting.late.plus(late);
        if waiting.late <= BESIDES_MAX {
            return Ok(());
        }
        Err(format!(
            "request {number} has waited for {:?} after {over_at}, when it had waited for as long as it may",
            waiting.late
        ))
    }
}
