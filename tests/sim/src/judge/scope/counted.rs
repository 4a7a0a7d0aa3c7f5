//! What stands against rules on requests, tokens and money: logs of windows, and buckets that leak.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_machines::limit::{Borrow, LoanOf, Meter, Rule};
use sluice_units::{Span, Timestamp};

/// Admissions within one window, each with what it counts for.
#[derive(Debug, Clone)]
pub(super) struct WindowLog {
    pub(super) meter: Meter,
    pub(super) window: Span,
    /// When, which admission, how much.
    pub(super) entries: VecDeque<(Timestamp, usize, u64)>,
    pub(super) sum: u64,
    /// Of admissions that were counted anew later: when, how much.
    pub(super) moved: BTreeMap<usize, (Timestamp, u64)>,
    /// The admissions that borrowed.
    pub(super) borrowed: BTreeSet<usize>,
    /// The first admission that was counted.
    pub(super) since: usize,
    pub(super) named_at: Timestamp,
}

impl WindowLog {
    pub(super) fn is(&self, meter: Meter, window: Span) -> bool {
        self.meter == meter && self.window == window
    }

    pub(super) fn forget(&mut self, at: Timestamp) {
        // A little longer than the window: a denial may count one sub-bucket more.
        let longer = Span::from_micros(self.window.as_micros() / 30);
        let begins = at.minus(self.window.plus(longer));
        while let Some((_, _, quantity)) = self.entries.front().filter(|first| first.0 < begins) {
            self.sum -= quantity;
            self.entries.pop_front();
        }
        self.moved.retain(|_, moved| moved.0 >= begins);
        let oldest = self.entries.front().map(|entry| entry.1);
        let (moved, oldest) = (&self.moved, oldest.unwrap_or(usize::MAX));
        let counts = |life: &usize| *life >= oldest || moved.contains_key(life);
        self.borrowed.retain(counts);
    }

    pub(super) fn loan(&self) -> LoanOf {
        match self.meter {
            Meter::Requests => LoanOf::Requests(self.window),
            Meter::Tokens => LoanOf::Tokens(self.window),
            Meter::Money => LoanOf::MoneyWithin(self.window),
        }
    }

    /// What was borrowed of it.
    pub(super) fn lent(&self, at: Timestamp, stretch: Span) -> u64 {
        let begins = at.minus(stretch);
        let each = self.borrowed.iter().filter_map(|life| {
            if let Some(moved) = self.moved.get(life) {
                return Some(*moved);
            }
            let found = self.entries.binary_search_by_key(life, |entry| entry.1);
            let entry = &self.entries[found.ok()?];
            Some((entry.0, entry.2))
        });
        each.filter(|one| one.0 >= begins).map(|one| one.1).sum()
    }

    /// The part of it that a rule looks at.
    pub(super) fn part(&self, at: Timestamp, stretch: Span, rule: &Rule) -> u64 {
        match rule.borrow() {
            Borrow::No => self.used(at, stretch),
            Borrow::Any | Borrow::UpTo(_) => self.used(at, stretch) - self.lent(at, stretch),
            Borrow::Of(_) => self.lent(at, stretch),
        }
    }

    pub(super) fn used(&self, at: Timestamp, stretch: Span) -> u64 {
        let begins = at.minus(stretch);
        let before: u64 = self
            .entries
            .iter()
            .take_while(|entry| entry.0 < begins)
            .map(|entry| entry.2)
            .sum();
        let moved = self.moved.values().filter(|moved| moved.0 >= begins);
        self.sum - before + moved.map(|moved| moved.1).sum::<u64>()
    }

    /// Counts an admission anew, now.
    pub(super) fn renew(&mut self, at: Timestamp, life: usize, quantity: u64) {
        self.forget(at);
        if life >= self.since {
            self.correct(life, 0);
            self.moved.insert(life, (at, quantity));
        }
    }

    pub(super) fn correct(&mut self, life: usize, quantity: u64) {
        if let Some(moved) = self.moved.get_mut(&life) {
            moved.1 = quantity;
            return;
        }
        // Admissions at one scope are logged in their order.
        let found = self.entries.binary_search_by_key(&life, |entry| entry.1);
        if let Ok(position) = found {
            let entry = &mut self.entries[position];
            self.sum = self.sum - entry.2 + quantity;
            entry.2 = quantity;
        }
    }
}

/// A bucket that leaks: what is charged runs out at the rule's rate.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) meter: Meter,
    pub(super) window: Span,
    pub(super) limit: u64,
    /// When it will have run out, in nanoseconds.
    pub(super) empty_at: i128,
}

impl Bucket {
    pub(super) fn is(&self, meter: Meter, window: Span) -> bool {
        self.meter == meter && self.window == window
    }

    pub(super) fn ahead(&self, at: Timestamp) -> i128 {
        (self.empty_at - i128::from(at.as_micros()) * 1_000).max(0)
    }

    pub(super) fn used(&self, at: Timestamp, limit: u64) -> u64 {
        let window = i128::from(self.window.as_micros()) * 1_000;
        u64::try_from(self.ahead(at) * i128::from(limit) / window).unwrap_or(u64::MAX)
    }

    pub(super) fn charge(&mut self, at: Timestamp, quantity: u64) {
        let takes = i128::from(quantity) * i128::from(self.window.as_micros()) * 1_000
            / i128::from(self.limit);
        self.empty_at = i128::from(at.as_micros()) * 1_000 + self.ahead(at) + takes;
    }
}
