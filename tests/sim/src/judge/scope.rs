//! What the judge knows of one scope: a log of admissions, and sums over it.
//!
//! Naive on purpose: it keeps each admission by itself, where the ledger keeps sub-buckets and running balances.

use std::collections::{BTreeMap, VecDeque};

use sluice_machines::limit::{Amount, Meter, Period, Rule};
use sluice_units::{Span, Timestamp};

/// Admissions within one window, each with what it counts for.
#[derive(Debug)]
struct WindowLog {
    meter: Meter,
    window: Span,
    /// When, which admission, how much.
    entries: VecDeque<(Timestamp, usize, u64)>,
    sum: u64,
}

impl WindowLog {
    fn forget(&mut self, at: Timestamp) {
        // A little longer than the window: a denial may count one sub-bucket more.
        let longer = Span::from_micros(self.window.as_micros() / 30);
        let begins = at.minus(self.window.plus(longer));
        while let Some((_, _, quantity)) = self.entries.front().filter(|first| first.0 < begins) {
            self.sum -= quantity;
            self.entries.pop_front();
        }
    }

    fn used(&self, at: Timestamp, stretch: Span) -> u64 {
        let begins = at.minus(stretch);
        let before: u64 = self
            .entries
            .iter()
            .take_while(|entry| entry.0 < begins)
            .map(|entry| entry.2)
            .sum();
        self.sum - before
    }

    fn correct(&mut self, life: usize, quantity: u64) {
        // Admissions at one scope are logged in their order.
        let found = self.entries.binary_search_by_key(&life, |entry| entry.1);
        if let Ok(position) = found {
            let entry = &mut self.entries[position];
            self.sum = self.sum - entry.2 + quantity;
            entry.2 = quantity;
        }
    }
}

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

/// One scope.
#[derive(Debug, Default)]
pub(super) struct ScopeLog {
    /// The time of the last admission; never goes back.
    pub(super) at: Timestamp,
    windows: Vec<WindowLog>,
    days: BTreeMap<Timestamp, Money>,
    months: BTreeMap<Timestamp, Money>,
    pub(super) total: Money,
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

impl ScopeLog {
    pub(super) fn day(&self, at: Timestamp) -> Money {
        self.days.get(&at.day_start()).copied().unwrap_or_default()
    }

    pub(super) fn month(&self, at: Timestamp) -> Money {
        let month = self.months.get(&at.month_start());
        month.copied().unwrap_or_default()
    }

    /// What stands against a rule at this time; `longer` is added to a window's length.
    pub(super) fn used(&self, at: Timestamp, rule: &Rule, longer: Span) -> u64 {
        match *rule {
            Rule::Window { meter, window, .. } => self
                .windows
                .iter()
                .find(|log| log.meter == meter && log.window == window)
                .map_or(0, |log| log.used(at, window.plus(longer))),
            Rule::Budget { period, .. } => {
                let money = match period {
                    Period::Day => self.day(at),
                    Period::Month => self.month(at),
                };
                u64::try_from(money.used()).unwrap_or(0)
            }
        }
    }

    /// Logs an admission.
    pub(super) fn admit(&mut self, at: Timestamp, life: usize, rules: &[Rule], estimate: Amount) {
        self.at = self.at.max(at);
        self.requests += 1;
        let cost = estimate.cost.as_nanos();
        self.each_period(at, |money| money.reserved += cost);
        let mut named = Vec::new();
        for rule in rules {
            let Rule::Window { meter, window, .. } = *rule else {
                continue;
            };
            if named.contains(&(meter, window)) {
                continue;
            }
            named.push((meter, window));
            let log = self.window(meter, window);
            log.forget(at);
            let quantity = quantity(meter, estimate);
            log.entries.push_back((at, life, quantity));
            log.sum += quantity;
        }
    }

    fn window(&mut self, meter: Meter, window: Span) -> &mut WindowLog {
        let known = self
            .windows
            .iter()
            .position(|log| log.meter == meter && log.window == window);
        let position = known.unwrap_or_else(|| {
            self.windows.push(WindowLog {
                meter,
                window,
                entries: VecDeque::new(),
                sum: 0,
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

    /// A reservation ends; `charged` replaces it.
    pub(super) fn close(&mut self, at: Timestamp, life: usize, held: Amount, charged: Amount) {
        let (reserved, spent) = (held.cost.as_nanos(), charged.cost.as_nanos());
        self.each_period(at, |money| {
            money.reserved -= reserved;
            money.spent += spent;
        });
        self.tokens += charged.tokens.count();
        self.correct(Meter::Tokens, life, charged.tokens.count());
    }

    /// A request that was let in and never served no longer counts.
    pub(super) fn uncount(&mut self, life: usize) {
        self.correct(Meter::Requests, life, 0);
    }

    /// A charge is replaced by another.
    pub(super) fn replace(&mut self, at: Timestamp, life: usize, was: Amount, is: Amount) {
        let difference = is.cost.as_nanos() - was.cost.as_nanos();
        self.each_period(at, |money| money.spent += difference);
        self.tokens = self.tokens - was.tokens.count() + is.tokens.count();
        self.correct(Meter::Tokens, life, is.tokens.count());
    }

    fn correct(&mut self, meter: Meter, life: usize, quantity: u64) {
        for log in self.windows.iter_mut().filter(|log| log.meter == meter) {
            log.correct(life, quantity);
        }
    }
}

/// What an amount is on a meter.
pub(super) const fn quantity(meter: Meter, amount: Amount) -> u64 {
    match meter {
        Meter::Requests => 1,
        Meter::Tokens => amount.tokens.count(),
    }
}
