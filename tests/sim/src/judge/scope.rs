//! What the judge knows of one scope: a log of admissions, and sums over it.
//!
//! Naive on purpose: it keeps each admission and each lease by itself, where the ledger keeps sub-buckets and running
//! balances.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_machines::ledger::Used;
use sluice_machines::limit::{Amount, Borrow, LoanOf, Meter, Period, Rule, Slice};
use sluice_units::{LeaseId, Span, Timestamp};

use self::counted::{Bucket, WindowLog};
use super::lend;

mod counted;

/// Money within one period, in nano-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Money {
    pub(super) spent: i64,
    pub(super) reserved: i64,
}

impl Money {
    fn used(self) -> i64 {
        self.spent + self.reserved
    }
}

/// What a child holds: until when, what it may draw, what it has drawn, and what of it is borrowed.
#[derive(Debug, Clone)]
struct Held {
    until: Timestamp,
    rest: Slice,
    open: Slice,
    borrowed: Vec<LoanOf>,
}

/// What of the rules is borrowed beyond.
pub(super) fn loans(rules: &[Rule]) -> Vec<LoanOf> {
    let borrowed = rules
        .iter()
        .filter(|rule| matches!(rule.borrow(), Borrow::Of(_)));
    borrowed.filter_map(Rule::loan).collect()
}

/// Whether what borrowed this is a part of what a rule looks at.
fn is_seen(rule: &Rule, borrowed: &[LoanOf]) -> bool {
    let is_borrowed = rule.loan().is_some_and(|of| borrowed.contains(&of));
    match rule.borrow() {
        Borrow::No => true,
        Borrow::Any | Borrow::UpTo(_) => !is_borrowed,
        Borrow::Of(_) => is_borrowed,
    }
}

/// One scope.
#[derive(Debug, Clone, Default)]
pub(super) struct ScopeLog {
    /// The time of the last admission or lease; never goes back.
    pub(super) at: Timestamp,
    windows: Vec<WindowLog>,
    buckets: Vec<Bucket>,
    days: BTreeMap<Timestamp, Money>,
    months: BTreeMap<Timestamp, Money>,
    /// The same of what was borrowed.
    lent_days: BTreeMap<Timestamp, Money>,
    lent_months: BTreeMap<Timestamp, Money>,
    /// All that was borrowed and came to an end.
    pub(super) lent_total: lend::Sum,
    /// The budgets that were named last, each with the period in which something was said of it, and how much.
    pub(super) budgets: Vec<(Period, i64, Timestamp, u8)>,
    /// What leases hold, and until when.
    leases: BTreeMap<usize, (Timestamp, Slice)>,
    /// What children hold.
    lent: BTreeMap<LeaseId, Held>,
    pub(super) total: Money,
    pub(super) requests: u64,
    pub(super) tokens: u64,
    open: u64,
    pub(super) reserved_tokens: u64,
}

impl ScopeLog {
    pub(super) fn day(&self, at: Timestamp) -> Money {
        self.days.get(&at.day_start()).copied().unwrap_or_default()
    }

    pub(super) fn month(&self, at: Timestamp) -> Money {
        let month = self.months.get(&at.month_start());
        month.copied().unwrap_or_default()
    }

    /// What all leases hold.
    pub(super) fn leased(&self, at: Timestamp) -> Slice {
        self.leased_to_isolates(at).plus(self.below(at, |_| true).0)
    }

    fn leased_to_isolates(&self, at: Timestamp) -> Slice {
        self.leases
            .values()
            .filter(|(until, _)| *until > at)
            .fold(Slice::NONE, |sum, (_, slice)| sum.plus(*slice))
    }

    /// What children hold: to be drawn, and drawn.
    fn below(&self, at: Timestamp, is_meant: impl Fn(&[LoanOf]) -> bool) -> (Slice, Slice) {
        let held = self.lent.values().filter(|held| held.until > at);
        let held = held.filter(|held| is_meant(&held.borrowed));
        held.fold((Slice::NONE, Slice::NONE), |sum, held| {
            (sum.0.plus(held.rest), sum.1.plus(held.open))
        })
    }

    /// Notes what a child holds from now on.
    pub(super) fn lend(
        &mut self,
        lease: &LeaseId,
        until: Timestamp,
        (rest, open): (Slice, Slice),
        rules: &[Rule],
    ) {
        let at = self.at;
        self.lent.retain(|_, held| held.until > at);
        let held = Held {
            until,
            rest,
            open,
            borrowed: loans(rules),
        };
        self.lent.insert(lease.clone(), held);
    }

    /// Logs what came to an end in a child.
    pub(super) fn take_over(&mut self, at: Timestamp, life: usize, rules: &[Rule], used: &Used) {
        self.at = self.at.max(at);
        self.requests += used.requests;
        self.tokens += used.tokens.count();
        let cost = used.cost.as_nanos();
        self.each_period(at, |money| money.spent += cost);
        self.total.spent -= used.back.as_nanos();
        self.name_budgets(rules);
        let of = |meter| match meter {
            Meter::Requests => used.requests,
            Meter::Tokens => used.tokens.count(),
            Meter::Money => cost.unsigned_abs(),
        };
        self.count(at, life, rules, of);
        self.pour(at, of);
        let borrowed = loans(rules);
        self.borrow(life, &borrowed);
        self.each_lent(at, &borrowed, |money| money.spent += cost);
        self.add_lent(
            &borrowed,
            lend::Sum {
                requests: used.requests as i64,
                tokens: used.tokens.count() as i64,
                cost: cost - used.back.as_nanos(),
            },
        );
    }

    /// An admission that was counted has borrowed.
    fn borrow(&mut self, life: usize, borrowed: &[LoanOf]) {
        for log in &mut self.windows {
            if borrowed.contains(&log.loan()) {
                log.borrowed.insert(life);
            }
        }
    }

    fn each_lent(&mut self, at: Timestamp, borrowed: &[LoanOf], change: impl Fn(&mut Money)) {
        if borrowed.contains(&LoanOf::Money(Period::Day)) {
            change(self.lent_days.entry(at.day_start()).or_default());
        }
        if borrowed.contains(&LoanOf::Money(Period::Month)) {
            change(self.lent_months.entry(at.month_start()).or_default());
        }
    }

    /// So much of what was borrowed has come to an end, of each kind.
    fn add_lent(&mut self, borrowed: &[LoanOf], sum: lend::Sum) {
        let has = |is: fn(&LoanOf) -> bool| i64::from(borrowed.iter().any(is));
        self.lent_total.add(lend::Sum {
            requests: sum.requests * has(|of| matches!(of, LoanOf::Requests(_))),
            tokens: sum.tokens * has(|of| matches!(of, LoanOf::Tokens(_))),
            cost: sum.cost * has(|of| matches!(of, LoanOf::Money(_) | LoanOf::MoneyWithin(_))),
        });
    }

    /// What stands against a rule at this time, leases included; `longer` is added to a window's length.
    pub(super) fn used(&self, at: Timestamp, rule: &Rule, longer: Span) -> u64 {
        let (rest, below) = self.below(at, |borrowed| is_seen(rule, borrowed));
        let leased = if is_seen(rule, &[]) {
            rest.plus(self.leased_to_isolates(at))
        } else {
            rest
        };
        let of = |meter| quantity_of(meter, leased);
        match *rule {
            Rule::Window { meter, window, .. } => {
                let log = self.windows.iter().find(|log| log.is(meter, window));
                // Requests are told at once.
                let open = match meter {
                    Meter::Requests => 0,
                    Meter::Tokens | Meter::Money => quantity_of(meter, below),
                };
                log.map_or(0, |log| log.part(at, window.plus(longer), rule)) + of(meter) + open
            }
            Rule::Gcra {
                meter,
                window,
                limit,
                ..
            } => {
                let bucket = self.buckets.iter().find(|one| one.is(meter, window));
                let held = match meter {
                    Meter::Requests => 0,
                    Meter::Tokens => self.reserved_tokens + quantity_of(meter, below),
                    Meter::Money => {
                        let reserved = u64::try_from(self.total.reserved).unwrap_or(0);
                        reserved + quantity_of(meter, below)
                    }
                };
                bucket.map_or(0, |bucket| bucket.used(at, limit)) + held + of(meter)
            }
            Rule::Concurrency { .. } => self.open + leased.requests + below.requests,
            Rule::Budget { period, .. } => {
                let (all, lent) = match period {
                    Period::Day => (self.day(at), self.lent_days.get(&at.day_start())),
                    Period::Month => (self.month(at), self.lent_months.get(&at.month_start())),
                };
                let lent = lent.copied().unwrap_or_default().used();
                let used = match rule.borrow() {
                    Borrow::No => all.used(),
                    Borrow::Any | Borrow::UpTo(_) => all.used() - lent,
                    Borrow::Of(_) => lent,
                };
                let held = leased.cost.plus(below.cost).as_nanos();
                u64::try_from(used + held).unwrap_or(0)
            }
        }
    }

    /// Notes what a lease holds from now on.
    pub(super) fn hold(&mut self, lease: usize, until: Timestamp, slice: Slice) {
        let at = self.at;
        self.leases.retain(|_, held| held.0 > at);
        self.leases.insert(lease, (until, slice));
    }

    /// Logs an admission.
    pub(super) fn admit(&mut self, at: Timestamp, life: usize, rules: &[Rule], estimate: Amount) {
        self.at = self.at.max(at);
        self.requests += 1;
        self.open += 1;
        self.reserved_tokens += estimate.tokens.count();
        let cost = estimate.cost.as_nanos();
        self.each_period(at, |money| money.reserved += cost);
        self.name_budgets(rules);
        self.count(at, life, rules, |meter| quantity(meter, estimate));
        let borrowed = loans(rules);
        self.borrow(life, &borrowed);
        self.each_lent(at, &borrowed, |money| money.reserved += cost);
    }

    fn name_budgets(&mut self, rules: &[Rule]) {
        let known = std::mem::take(&mut self.budgets);
        for rule in rules {
            if let Rule::Budget { limit, period, .. } = *rule {
                let limit = limit.as_nanos();
                let of = known.iter().find(|one| (one.0, one.1) == (period, limit));
                let new = (period, limit, Timestamp::default(), 0);
                self.budgets.push(of.copied().unwrap_or(new));
            }
        }
    }

    fn count(&mut self, at: Timestamp, life: usize, rules: &[Rule], of: impl Fn(Meter) -> u64) {
        for rule in rules {
            match *rule {
                Rule::Window { meter, window, .. } => {
                    self.window(meter, window, life);
                }
                Rule::Gcra {
                    meter,
                    window,
                    limit,
                    ..
                } => {
                    let bucket = self.bucket(meter, window, limit);
                    if meter == Meter::Requests {
                        bucket.charge(at, of(meter));
                    }
                }
                Rule::Concurrency { .. } | Rule::Budget { .. } => {}
            }
        }
        // A rate that these rules do not name, and that rests, is forgotten.
        self.buckets.retain(|one| {
            one.ahead(at) > 0
                || rules.iter().any(
                    |rule| matches!(*rule, Rule::Gcra { meter, window, .. } if one.is(meter, window)),
                )
        });
        for log in &mut self.windows {
            log.forget(at);
            let quantity = of(log.meter);
            let is_named = rules.iter().any(
                |rule| matches!(*rule, Rule::Window { meter, window, .. } if log.is(meter, window)),
            );
            log.entries.push_back((at, life, quantity));
            log.sum += quantity;
            log.named_at = if is_named { at } else { log.named_at };
        }
        // What no rule has named for its whole length nobody asks about.
        self.windows
            .retain(|log| at.since(log.named_at) <= log.window);
    }

    fn bucket(&mut self, meter: Meter, window: Span, limit: u64) -> &mut Bucket {
        let known = self.buckets.iter().position(|one| one.is(meter, window));
        let position = known.unwrap_or_else(|| {
            self.buckets.push(Bucket {
                meter,
                window,
                limit,
                empty_at: 0,
            });
            self.buckets.len() - 1
        });
        let bucket = &mut self.buckets[position];
        bucket.limit = limit;
        bucket
    }

    fn window(&mut self, meter: Meter, window: Span, life: usize) -> &mut WindowLog {
        let known = self.windows.iter().position(|log| log.is(meter, window));
        let position = known.unwrap_or_else(|| {
            self.windows.push(WindowLog {
                meter,
                window,
                entries: VecDeque::new(),
                sum: 0,
                moved: BTreeMap::new(),
                borrowed: BTreeSet::new(),
                since: life,
                named_at: Timestamp::default(),
            });
            self.windows.len() - 1
        });
        &mut self.windows[position]
    }

    fn each_period(&mut self, at: Timestamp, change: impl Fn(&mut Money)) {
        change(self.days.entry(at.day_start()).or_default());
        change(self.months.entry(at.month_start()).or_default());
        change(&mut self.total);
    }

    /// A reservation made at `made_at` grows at `at`: windows count all of it from now on, budgets its money where it was.
    pub(super) fn raise(
        &mut self,
        (at, made_at): (Timestamp, Timestamp),
        life: usize,
        (was, is): (Amount, Amount),
        borrowed: &[LoanOf],
    ) {
        self.at = self.at.max(at);
        let more = is.cost.as_nanos() - was.cost.as_nanos();
        self.each_period(made_at, |money| money.reserved += more);
        self.each_lent(made_at, borrowed, |money| money.reserved += more);
        self.reserved_tokens += is.tokens.count() - was.tokens.count();
        for log in &mut self.windows {
            if log.meter != Meter::Requests {
                log.renew(at, life, quantity(log.meter, is));
            }
        }
        // Where it was longer ago than a window, that was forgotten.
        self.borrow(life, borrowed);
    }

    /// A reservation ends at `now`; `charged` replaces it.
    pub(super) fn close(
        &mut self,
        now: Timestamp,
        at: Timestamp,
        life: usize,
        (held, charged): (Amount, Amount),
        borrowed: &[LoanOf],
    ) {
        let (reserved, spent) = (held.cost.as_nanos(), charged.cost.as_nanos());
        self.each_period(at, |money| {
            money.reserved -= reserved;
            money.spent += spent;
        });
        self.each_lent(at, borrowed, |money| {
            money.reserved -= reserved;
            money.spent += spent;
        });
        self.open -= 1;
        self.reserved_tokens -= held.tokens.count();
        self.tokens += charged.tokens.count();
        self.correct_use(life, charged);
        self.pour(now, |meter| quantity(meter, charged));
    }

    /// Tokens and money count against a rate when they are known.
    fn pour(&mut self, now: Timestamp, of: impl Fn(Meter) -> u64) {
        let at = self.at.max(now);
        for bucket in &mut self.buckets {
            let quantity = of(bucket.meter);
            if bucket.meter != Meter::Requests && quantity > 0 {
                bucket.charge(at, quantity);
            }
        }
    }

    /// What a request borrowed that was settled, or has expired.
    pub(super) fn end_lent(&mut self, charged: Amount, borrowed: &[LoanOf]) {
        let sum = lend::Sum::of(Slice::of(charged));
        self.add_lent(borrowed, sum);
    }

    /// A request that was let in and never served no longer counts.
    pub(super) fn uncount(&mut self, life: usize) {
        self.correct(Meter::Requests, life, 0);
    }

    /// A charge is replaced by another.
    pub(super) fn replace(
        &mut self,
        now: Timestamp,
        at: Timestamp,
        life: usize,
        (was, is): (Amount, Amount),
        borrowed: &[LoanOf],
    ) {
        let difference = is.cost.as_nanos() - was.cost.as_nanos();
        self.each_period(at, |money| money.spent += difference);
        self.each_lent(at, borrowed, |money| money.spent += difference);
        self.add_lent(
            borrowed,
            lend::Sum {
                requests: 0,
                tokens: is.tokens.count() as i64 - was.tokens.count() as i64,
                cost: difference,
            },
        );
        self.tokens = self.tokens - was.tokens.count() + is.tokens.count();
        self.correct_use(life, is);
        // What a rate was charged too much it keeps.
        self.pour(now, |meter| {
            quantity(meter, is).saturating_sub(quantity(meter, was))
        });
    }

    fn correct_use(&mut self, life: usize, is: Amount) {
        for meter in [Meter::Tokens, Meter::Money] {
            self.correct(meter, life, quantity(meter, is));
        }
    }

    fn correct(&mut self, meter: Meter, life: usize, quantity: u64) {
        for log in self.windows.iter_mut().filter(|log| log.meter == meter) {
            log.correct(life, quantity);
        }
    }
}

/// What an amount is on a meter.
pub(super) const fn quantity(meter: Meter, amount: Amount) -> u64 {
    quantity_of(meter, Slice::of(amount))
}

/// What a slice is on a meter.
const fn quantity_of(meter: Meter, slice: Slice) -> u64 {
    match meter {
        Meter::Requests => slice.requests,
        Meter::Tokens => slice.tokens.count(),
        Meter::Money => slice.cost.as_nanos().unsigned_abs(),
    }
}

/// What an amount is to a rule.
pub(super) fn asked(rule: &Rule, estimate: Amount) -> u64 {
    asked_of(rule, Slice::of(estimate))
}

/// What a slice is to a rule.
pub(super) fn asked_of(rule: &Rule, slice: Slice) -> u64 {
    match *rule {
        Rule::Window { meter, .. } | Rule::Gcra { meter, .. } => quantity_of(meter, slice),
        Rule::Concurrency { .. } => slice.requests,
        Rule::Budget { .. } => u64::try_from(slice.cost.as_nanos()).unwrap_or(0),
    }
}
