//! The time, as the platform tells it.

use sluice_units::Timestamp;

/// Now, in whole milliseconds: the platform's clock stands still between two events.
pub(crate) fn now() -> Timestamp {
    millis(js_sys::Date::now())
}

/// A moment as JavaScript tells it.
pub(crate) fn millis(moment: f64) -> Timestamp {
    Timestamp::from_millis(moment as i64)
}

/// A moment as JavaScript wants it.
pub(crate) fn to_millis(moment: Timestamp) -> f64 {
    moment.as_millis() as f64
}
