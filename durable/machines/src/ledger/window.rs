//! A sliding window as a ring of sub-buckets.
//!
//! **Invariant:** what [`Counter::used`] says is never less than what was counted within any stretch of the window's
//! length that ends now: the oldest sub-bucket, of which only a part lies within, counts in full.
//! So an admission is counted for at least the window and at most one sub-bucket longer.
//! What was borrowed is counted in all and once more by itself; the rest is a limit's own.
//! Knows neither limits nor scopes: changing a limit's number loses no counts.

use serde::{Deserialize, Serialize};
use sluice_units::{Span, Timestamp};

use crate::limit::{LoanOf, Meter};

/// Into how many sub-buckets a window is divided. A part of the stored format: the numbers of sub-buckets follow from it.
pub const SUB_BUCKETS: i64 = 60;

/// What was counted within one window at one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counter {
    /// What is counted.
    #[serde(rename = "m")]
    pub(super) meter: Meter,
    /// The window's length.
    #[serde(rename = "w")]
    pub(super) window: Span,
    /// The ordinal of the first admission that was counted: earlier ones are not in here, so nothing of theirs is
    /// ever taken out.
    #[serde(rename = "s")]
    pub(super) since: u64,
    /// When an admission last came under rules that name this window. Nobody looks at it after its own length.
    #[serde(rename = "n", default)]
    pub(super) named_at: Timestamp,
    /// The number of the first sub-bucket in `counts`, from the Unix epoch.
    #[serde(rename = "i")]
    first: i64,
    /// Counts by sub-bucket, without zeros at either end. At most [`SUB_BUCKETS`] + 2.
    #[serde(rename = "c")]
    counts: Vec<u64>,
    /// What of it was borrowed, counted in the same way.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    borrowed: Option<Box<Self>>,
}

/// Which part of what was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// All of it.
    All,
    /// What was not borrowed.
    Own,
    /// What was borrowed.
    Borrowed,
}

impl Counter {
    /// An empty counter whose first admission will be the one with this ordinal.
    pub(super) const fn new(meter: Meter, window: Span, since: u64, named_at: Timestamp) -> Self {
        Self {
            meter,
            window,
            since,
            named_at,
            first: 0,
            counts: Vec::new(),
            borrowed: None,
        }
    }

    /// The counter for this meter and window.
    pub(super) fn is(&self, meter: Meter, window: Span) -> bool {
        self.meter == meter && self.window == window
    }

    /// What is borrowed beyond limits that this counter counts for.
    pub(super) const fn loan(&self) -> LoanOf {
        LoanOf::within(self.meter, self.window)
    }

    /// What counts now.
    pub(super) fn used(&self, now: Timestamp, side: Side) -> u64 {
        let oldest = self.oldest(now);
        self.entries(side)
            .filter(|(bucket, _)| *bucket >= oldest)
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Forgets what no longer counts.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let gone = self.oldest(now).saturating_sub(self.first);
        let gone = usize::try_from(gone).unwrap_or(0).min(self.counts.len());
        self.counts.drain(..gone);
        self.first = self.first.saturating_add_unsigned(gone as u64);
        self.trim();
        self.borrowed.take_if(|borrowed| {
            borrowed.forget(now);
            borrowed.counts.is_empty()
        });
    }

    /// Counts `quantity` at `at`.
    pub(super) fn add(&mut self, at: Timestamp, quantity: u64) {
        self.forget(at);
        self.change(self.bucket(at), |count| count.saturating_add(quantity));
    }

    /// Says that `quantity` of what is counted at `at` is borrowed.
    pub(super) fn borrow(&mut self, at: Timestamp, quantity: u64) {
        self.borrowed().add(at, quantity);
    }

    /// Replaces what was counted at `at` as borrowed, unless it no longer counts.
    pub(super) fn correct_borrowed(&mut self, now: Timestamp, at: Timestamp, was: u64, is: u64) {
        self.borrowed().correct(now, at, was, is);
    }

    fn borrowed(&mut self) -> &mut Self {
        let fresh = Self::new(self.meter, self.window, self.since, self.named_at);
        self.borrowed.get_or_insert_with(|| Box::new(fresh))
    }

    /// Replaces what was counted at `at`, unless it no longer counts.
    pub(super) fn correct(&mut self, now: Timestamp, at: Timestamp, was: u64, is: u64) {
        self.forget(now);
        let bucket = self.bucket(at);
        if was != is && bucket >= self.oldest(now) {
            self.change(bucket, |count| count.saturating_sub(was).saturating_add(is));
        }
    }

    /// When `asked` more fit under `limit` if nothing else comes; `None` when they never will.
    pub(super) fn fits_at(
        &self,
        now: Timestamp,
        asked: u64,
        (limit, side): (u64, Side),
    ) -> Option<Timestamp> {
        let room = limit.checked_sub(asked)?;
        let mut used = self.used(now, side);
        let mut at = now;
        for (bucket, count) in self.entries(side) {
            if used <= room {
                break;
            }
            if bucket >= self.oldest(now) {
                used = used.saturating_sub(count);
                at = self.free_at(bucket);
            }
        }
        Some(at)
    }

    /// When nothing counts any more if nothing else comes.
    pub(super) fn empty_at(&self, now: Timestamp, side: Side) -> Timestamp {
        match self.entries(side).filter(|(_, count)| *count > 0).last() {
            Some((bucket, _)) => self.free_at(bucket).max(now),
            None => now,
        }
    }

    fn entries(&self, side: Side) -> impl Iterator<Item = (i64, u64)> {
        let buckets = (self.first..).zip(self.counts.iter().copied());
        buckets.map(move |(bucket, count)| {
            let borrowed = match (side, &self.borrowed) {
                (Side::All, _) => return (bucket, count),
                (_, Some(borrowed)) => borrowed.count(bucket),
                (_, None) => 0,
            };
            match side {
                Side::Borrowed => (bucket, borrowed),
                _ => (bucket, count.saturating_sub(borrowed)),
            }
        })
    }

    fn count(&self, bucket: i64) -> u64 {
        let position = usize::try_from(bucket.saturating_sub(self.first)).ok();
        let count = position.and_then(|position| self.counts.get(position));
        count.copied().unwrap_or(0)
    }

    fn length_us(&self) -> i64 {
        self.window.as_micros().max(1)
    }

    /// The length of a sub-bucket, rounded up.
    fn width_us(&self) -> i64 {
        self.length_us()
            .saturating_add(SUB_BUCKETS - 1)
            .div_euclid(SUB_BUCKETS)
    }

    fn bucket(&self, at: Timestamp) -> i64 {
        at.as_micros().div_euclid(self.width_us())
    }

    /// The oldest sub-bucket of which a part lies within the window that ends now.
    fn oldest(&self, now: Timestamp) -> i64 {
        self.bucket(now.minus(Span::from_micros(self.length_us())))
    }

    /// The first moment at which this sub-bucket no longer counts.
    fn free_at(&self, bucket: i64) -> Timestamp {
        let micros = bucket
            .saturating_add(1)
            .saturating_mul(self.width_us())
            .saturating_add(self.length_us());
        Timestamp::from_micros(micros)
    }

    /// Changes one sub-bucket's count; makes room for it if need be.
    fn change(&mut self, bucket: i64, with: impl FnOnce(u64) -> u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        // No sub-bucket that counts is further away; whatever the row says, this one stays small.
        let bucket = bucket.max(self.first.saturating_sub(SUB_BUCKETS + 1));
        if bucket < self.first {
            let missing = usize::try_from(self.first.saturating_sub(bucket)).unwrap_or(0);
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = bucket;
        }
        let position = usize::try_from(bucket.saturating_sub(self.first)).unwrap_or(0);
        if position >= self.counts.len() {
            self.counts.resize(position.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(position) {
            *count = with(*count);
        }
        self.trim();
    }

    /// Takes the zeros off both ends.
    fn trim(&mut self) {
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
        let zeros = self.counts.iter().take_while(|count| **count == 0).count();
        self.counts.drain(..zeros);
        self.first = self.first.saturating_add_unsigned(zeros as u64);
    }
}
