//! A place's own idea of the time: off, drifting, and set now and then.

use std::cell::Cell;

use sluice_units::{Span, Timestamp};

const MILLION: i64 = 1_000_000;

/// One clock.
#[derive(Debug)]
pub(crate) struct Clock {
    since: Timestamp,
    drift_ppm: i64,
    ahead_us: Cell<i64>,
    set_back_us: Cell<i64>,
}

impl Clock {
    /// A clock that is right now and drifts from here on.
    pub(crate) const fn new(now: Timestamp, drift_ppm: i64) -> Self {
        Self {
            since: now,
            drift_ppm,
            ahead_us: Cell::new(0),
            set_back_us: Cell::new(0),
        }
    }

    /// What it shows at this true time.
    pub(crate) fn read(&self, now: Timestamp) -> Timestamp {
        let drift = now.since(self.since).as_micros() * self.drift_ppm / MILLION;
        Timestamp::from_micros(now.as_micros() + drift + self.ahead_us.get())
    }

    /// Sets it forward, or back.
    pub(crate) fn step(&self, micros: i64) {
        self.ahead_us.set(self.ahead_us.get() + micros);
        if micros < 0 {
            self.set_back_us.set(self.set_back_us.get() - micros);
        }
    }

    /// How far it was ever set back, all in all.
    pub(crate) fn set_back(&self) -> Span {
        Span::from_micros(self.set_back_us.get())
    }
}
