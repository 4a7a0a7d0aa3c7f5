//! What is known of one scope, and how charges move through it: leased → reserved → spent.
//!
//! What is leased counts against every rule at every moment, as if it were charged now; so whenever it is drawn, no
//! rule is broken by it. It is kept by the moment at which it ends, and from then on it is nowhere: nothing has to
//! come back for it.
//!
//! **Invariant:** `day` and `month` are those of `at`, the time of the last admission, which never goes back.

use serde::{Deserialize, Serialize};
use sluice_units::{NanoUsd, SortedMap, Span, Timestamp, Tokens, is_default};

use super::gauge::Gauge;
use super::parent::POOL_GRACE;
use super::rows::{Charge, Reservation};
use super::window::{Counter, Side};
use crate::events::{Crossing, EventKind};
use crate::limit::{Amount, Clocks, LoanOf, Meter, Period, Rule, Slice, UtcOffset};
use crate::rows::{RowKey, V1};

mod borrowed;
mod charge;
mod lent;

pub(super) use self::borrowed::loans;
use self::borrowed::{Borrowed, is_seen};

/// How many windows and rates a scope's row remembers beside those that the present rules name.
const IDLE_MAX: usize = 8;
/// When to look again for what a child ledger should have given back by now.
const LENT_SOON: Span = Span::from_seconds(1);

/// A budget period at one scope: its ordinal, when its first admission was, spent, reserved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Spending(i64, Timestamp, NanoUsd, NanoUsd);

impl Spending {
    fn holds(self, held: &Reservation) -> bool {
        held.at >= self.1
    }

    fn reserve(&mut self, cost: NanoUsd) {
        self.3 = self.3.plus(cost);
    }

    fn unreserve(&mut self, cost: NanoUsd) {
        self.3 = self.3.minus(cost).max(NanoUsd::ZERO);
    }

    fn spend(&mut self, cost: NanoUsd) {
        self.2 = self.2.plus(cost);
    }
}

/// The period that holds this moment, counted.
fn ordinal(period: Period, at: Timestamp, offset: UtcOffset) -> i64 {
    let local = offset.local(at);
    match period {
        Period::Day => local.day_start().as_seconds().div_euclid(86_400),
        Period::Month => {
            let date = local.date();
            date.year
                .saturating_mul(12)
                .saturating_add(date.month.into())
        }
    }
}

/// A budget that was named last, and the line that it has crossed in its period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Watched(Period, NanoUsd, Option<EventKind>);

/// What is leased until some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Leased(Timestamp, Slice);

/// What a child ledger holds, until it is free again: what it may still draw, and what it has drawn and not settled; and
/// what of it is borrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lent(
    Timestamp,
    Slice,
    Slice,
    #[serde(default, skip_serializing_if = "Vec::is_empty")] Vec<LoanOf>,
);

/// All that is known of one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScopeRow {
    v: V1,
    /// When the last admission was.
    #[serde(rename = "t")]
    pub(super) at: Timestamp,
    /// Admissions since the beginning; the last one's ordinal.
    #[serde(rename = "n")]
    pub(super) requests: u64,
    /// Tokens settled since the beginning.
    #[serde(rename = "k")]
    pub(super) tokens: Tokens,
    /// Spent since the beginning.
    #[serde(rename = "s")]
    pub(super) spent: NanoUsd,
    /// Reserved by open requests, whatever their period.
    #[serde(rename = "r")]
    pub(super) reserved: NanoUsd,
    /// Tokens reserved by open requests.
    #[serde(rename = "u", default)]
    pub(super) reserved_tokens: Tokens,
    /// How many reservations are open.
    #[serde(rename = "o")]
    pub(super) open: u64,
    /// Where the periods begin.
    #[serde(rename = "z", default)]
    offset: UtcOffset,
    /// Spent and reserved in the day of `at`.
    #[serde(rename = "d")]
    day: Spending,
    /// Spent and reserved in the month of `at`.
    #[serde(rename = "m")]
    month: Spending,
    /// The windows.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    windows: Vec<Counter>,
    /// The rates.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    gauges: Vec<Gauge>,
    /// The budgets.
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<Watched>,
    /// What is leased, by the moment at which it ends.
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    leased: Vec<Leased>,
    /// What child ledgers hold, by the moment at which it is free again.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    lent: Vec<Lent>,
    /// What was borrowed.
    #[serde(rename = "f", default, skip_serializing_if = "is_default")]
    borrowed: Borrowed,
    /// At the organisation: how many pools were opened at a parent.
    #[serde(rename = "p", default, skip_serializing_if = "is_default")]
    pub(super) pools: u64,
    /// At the organisation: no parent is to be asked before.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub(super) climbs_at: Option<Timestamp>,
    /// At the organisation: the last record's sequence number; 0 when there was none.
    #[serde(rename = "q", default, skip_serializing_if = "is_default")]
    pub(crate) sequence: u64,
    /// At the organisation: the last event's number; 0 when there was none.
    #[serde(rename = "e", default, skip_serializing_if = "is_default")]
    pub(super) events: u64,
    /// At the organisation: nothing is due before.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<Timestamp>,
    /// At the organisation: refusals that were only counted since the last that was recorded.
    #[serde(rename = "h", default, skip_serializing_if = "is_default")]
    pub(super) withheld: u64,
}

/// Where the periods of these rules begin, if one of them has a period.
fn clocks_of(rules: &[Rule]) -> Option<Clocks> {
    rules.iter().find_map(|rule| match rule {
        Rule::Budget { clocks, .. } => Some(*clocks),
        _ => None,
    })
}

/// What has not ended at `at`.
fn sum_at(at: Timestamp, held: impl Iterator<Item = (Timestamp, Slice)>) -> Slice {
    held.filter(|(until, _)| *until > at)
        .fold(Slice::NONE, |sum, (_, slice)| sum.plus(slice))
}

impl ScopeRow {
    /// At the organisation: something is due at this moment.
    pub(super) fn due_by(&mut self, at: Timestamp) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Moves on to `at`: new periods begin empty, leases end.
    pub(super) fn roll(&mut self, at: Timestamp, rules: &[Rule]) {
        self.at = self.at.max(at);
        if let Some(clocks) = clocks_of(rules) {
            self.offset = clocks.offset_at(self.at);
        }
        for (period, spending) in [
            (Period::Day, &mut self.day),
            (Period::Month, &mut self.month),
        ] {
            let now = ordinal(period, self.at, self.offset);
            if now > spending.0 {
                *spending = Spending(now, self.at, NanoUsd::ZERO, NanoUsd::ZERO);
                self.borrowed.begin(period);
                let of_this = self.budgets.iter_mut().filter(|one| one.0 == period);
                of_this.for_each(|watched| watched.2 = None);
            }
        }
        let at = self.at;
        self.leased.retain(|leased| leased.0 > at);
        self.lent.retain(|lent| lent.0 > at);
    }

    /// What is leased at `at`, to isolates and to child ledgers.
    pub(super) fn leased(&self, at: Timestamp) -> Slice {
        let leased = self.leased.iter().map(|leased| (leased.0, leased.1));
        let lent = self.lent.iter().map(|lent| (lent.0, lent.1));
        sum_at(at, leased.chain(lent))
    }

    /// The part of it that a rule looks at: isolates borrow nothing.
    pub(super) fn leased_under(&self, rule: &Rule, at: Timestamp) -> Slice {
        let leased = self.leased.iter().map(|leased| (leased.0, leased.1));
        let leased = leased.filter(|_| is_seen(rule, &[]));
        let lent = self.lent.iter().filter(|lent| is_seen(rule, &lent.3));
        sum_at(at, leased.chain(lent.map(|lent| (lent.0, lent.1))))
    }

    /// When the first of what is leased ends.
    pub(super) fn lease_ends(&self, at: Timestamp) -> Option<Timestamp> {
        self.ends(at).min()
    }

    pub(super) fn ends(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> {
        let leased = self.leased.iter().map(|leased| leased.0);
        // A child gives back what it does not need when it would have to renew it.
        let lent = self.lent.iter().filter(move |lent| lent.0 > at);
        let lent = lent
            .filter(|lent| !lent.1.is_none())
            .map(move |lent| lent.0.minus(POOL_GRACE).max(at.plus(LENT_SOON)));
        leased.filter(move |end| *end > at).chain(lent)
    }

    /// Leases a slice until then. The row has been rolled.
    pub(super) fn lease(&mut self, at: Timestamp, rules: &[Rule], until: Timestamp, slice: Slice) {
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
    pub(super) fn unlease(&mut self, until: Timestamp, slice: Slice) {
        for leased in &mut self.leased {
            if leased.0 == until {
                leased.1 = leased.1.minus(slice);
            }
        }
        self.leased.retain(|leased| !leased.1.is_none());
    }

    pub(super) fn window(&self, meter: Meter, window: Span) -> Option<&Counter> {
        self.windows
            .iter()
            .find(|counter| counter.is(meter, window))
    }

    pub(super) fn gauge(&self, meter: Meter, window: Span) -> Option<&Gauge> {
        self.gauges.iter().find(|gauge| gauge.is(meter, window))
    }

    /// Spent and reserved in the period that holds `at`, where midnight is as it was at the last admission.
    pub(super) fn spending(&self, period: Period, at: Timestamp) -> (NanoUsd, NanoUsd) {
        let clocks = Clocks {
            offset: self.offset,
            change: None,
        };
        self.spending_by((period, clocks), at, Side::All)
    }

    /// The same, where midnight is as a rule says, and of the part that it looks at.
    pub(super) fn spending_by(
        &self,
        (period, clocks): (Period, Clocks),
        at: Timestamp,
        side: Side,
    ) -> (NanoUsd, NanoUsd) {
        let spending = match period {
            Period::Day => self.day,
            Period::Month => self.month,
        };
        if ordinal(period, at, clocks.offset_at(at)) > spending.0 {
            (NanoUsd::ZERO, NanoUsd::ZERO)
        } else {
            self.side_of(spending, period, side)
        }
    }

    /// Reserves the estimate at `at` under these rules; returns what is to be remembered of it.
    pub(super) fn reserve(
        &mut self,
        at: Timestamp,
        (key, rules): (&RowKey, &[Rule]),
        estimate: Amount,
    ) -> Charge {
        self.roll(at, rules);
        self.requests = self.requests.saturating_add(1);
        self.open = self.open.saturating_add(1);
        self.reserved = self.reserved.plus(estimate.cost);
        self.reserved_tokens = self.reserved_tokens.plus(estimate.tokens);
        self.day.reserve(estimate.cost);
        self.month.reserve(estimate.cost);
        self.count(rules, Slice::of(estimate));
        self.charge(rules, 1);
        self.watch(rules);
        let borrowed = loans(rules);
        self.borrow(&borrowed, estimate);
        Charge(key.clone(), self.requests, borrowed)
    }

    /// Remembers the budgets that are named: whoever settles does not name them.
    fn watch(&mut self, rules: &[Rule]) {
        let known = std::mem::take(&mut self.budgets);
        for rule in rules {
            if let Rule::Budget { limit, period, .. } = *rule {
                let of = |one: &&Watched| one.0 == period && one.1 == limit;
                let crossed = known.iter().find(of).and_then(|watched| watched.2);
                self.budgets.push(Watched(period, limit, crossed));
            }
        }
    }

    fn crossed_if(&mut self, holds: impl Fn(Spending) -> bool, cost: NanoUsd) -> Vec<Crossing> {
        let mut crossed = Vec::new();
        for watched in &mut self.budgets {
            let Watched(period, limit, before) = *watched;
            let spending = match period {
                Period::Day => self.day,
                Period::Month => self.month,
            };
            let spent = spending.2;
            let fifths = i128::from(spent.as_nanos()).saturating_mul(5);
            let is_near = fifths >= i128::from(limit.as_nanos()).saturating_mul(4);
            let is_over = spent >= limit || (is_near && spent.plus(cost) > limit);
            let lines = [
                (EventKind::Warning, is_near),
                (EventKind::Exhausted, is_over),
            ];
            for (kind, is_crossed) in lines {
                if is_crossed && holds(spending) && before < Some(kind) {
                    watched.2 = Some(kind);
                    crossed.push(Crossing {
                        kind,
                        period,
                        limit,
                        spent,
                    });
                }
            }
        }
        crossed
    }

    /// Counts an admission in the windows that the rules name, and in those that others named lately: configurations
    /// change isolate by isolate, and what is taken out of a window at the end must have been counted in it.
    fn count(&mut self, rules: &[Rule], slice: Slice) {
        let at = self.at;
        // Of what a child tells, the requests were often told before: then none of those here is counted yet.
        let since = self.requests.saturating_add(1);
        let since = since.saturating_sub(slice.requests);
        for rule in rules {
            let Rule::Window { meter, window, .. } = *rule else {
                continue;
            };
            match self.windows.iter_mut().find(|one| one.is(meter, window)) {
                Some(counter) => counter.named_at = at,
                None => {
                    let counter = Counter::new(meter, window, since, at);
                    self.windows.push(counter);
                }
            }
        }
        let mut idle = self.windows.iter().filter(|one| one.named_at < at).count();
        self.windows.retain_mut(|counter| {
            counter.add(at, slice.on(counter.meter));
            if counter.named_at >= at {
                return true;
            }
            let goes = idle > IDLE_MAX || at.since(counter.named_at) > counter.window;
            idle = idle.saturating_sub(usize::from(goes));
            !goes
        });
    }

    /// Charges admissions to the rates that the rules name, and forgets those that rest or are too many.
    fn charge(&mut self, rules: &[Rule], requests: u64) {
        let at = self.at;
        // Two rules of one meter and window share a gauge, which goes by the slower.
        let mut named: SortedMap<(Meter, Span), u64> = SortedMap::new();
        for rule in rules {
            if let Rule::Gcra {
                meter,
                limit,
                window,
                ..
            } = *rule
            {
                let slowest = named.get_or_insert((meter, window), limit);
                *slowest = limit.min(*slowest);
            }
        }
        let mut idle = 0_usize;
        self.gauges.retain_mut(|gauge| {
            if let Some(limit) = named.remove(&(gauge.meter, gauge.window)) {
                gauge.follow(limit);
                if gauge.meter == Meter::Requests {
                    gauge.charge(at, requests);
                }
                return true;
            }
            idle = idle.saturating_add(1);
            !gauge.is_rested(at) && idle <= IDLE_MAX
        });
        for ((meter, window), limit) in named {
            let mut gauge = Gauge::new(meter, window, limit);
            if meter == Meter::Requests {
                gauge.charge(at, requests);
            }
            self.gauges.push(gauge);
        }
    }
}
