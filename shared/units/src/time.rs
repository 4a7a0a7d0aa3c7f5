//! Time as whole microseconds. The clock is always handed in.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const MICROS_PER_MILLI: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A length of time: microseconds, never negative in practice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Span(i64);

/// A day in the proleptic Gregorian calendar, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDate {
    /// The year, such as 2026.
    pub year: i64,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
}

impl fmt::Display for CivilDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Timestamp {
    /// The moment that many microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The moment that many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(MICROS_PER_MILLI))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(MICROS_PER_MILLI)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// The moment `span` later, saturating.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The moment `span` earlier, saturating.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        let micros = self.0.saturating_sub(earlier.0);
        Span(if micros < 0 { 0 } else { micros })
    }

    /// The UTC day that holds this moment.
    ///
    /// Follows Howard Hinnant's `civil_from_days`.
    #[must_use]
    pub const fn date(self) -> CivilDate {
        let days = self.0.div_euclid(MICROS_PER_DAY).saturating_add(719_468);
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = day_of_era
            .saturating_sub(day_of_era.div_euclid(1_460))
            .saturating_add(day_of_era.div_euclid(36_524))
            .saturating_sub(day_of_era.div_euclid(146_096))
            .div_euclid(365);
        let day_of_year = day_of_era.saturating_sub(
            year_of_era
                .saturating_mul(365)
                .saturating_add(year_of_era.div_euclid(4))
                .saturating_sub(year_of_era.div_euclid(100)),
        );
        let shifted = day_of_year
            .saturating_mul(5)
            .saturating_add(2)
            .div_euclid(153);
        let day = day_of_year
            .saturating_sub(shifted.saturating_mul(153).saturating_add(2).div_euclid(5))
            .saturating_add(1);
        let month = if shifted < 10 {
            shifted.saturating_add(3)
        } else {
            shifted.saturating_sub(9)
        };
        let year = year_of_era.saturating_add(era.saturating_mul(400));
        CivilDate {
            year: if month <= 2 {
                year.saturating_add(1)
            } else {
                year
            },
            month: month.to_le_bytes()[0],
            day: day.to_le_bytes()[0],
        }
    }

    /// The first moment of the UTC day that holds this one.
    #[must_use]
    pub const fn day_start(self) -> Self {
        Self(
            self.0
                .div_euclid(MICROS_PER_DAY)
                .saturating_mul(MICROS_PER_DAY),
        )
    }

    /// The first moment of the UTC month that holds this one.
    #[must_use]
    pub const fn month_start(self) -> Self {
        let date = self.date();
        let before = (date.day as i64).saturating_sub(1);
        Self(
            self.day_start()
                .0
                .saturating_sub(before.saturating_mul(MICROS_PER_DAY)),
        )
    }

    /// The first moment of the next UTC day.
    #[must_use]
    pub const fn next_day_start(self) -> Self {
        Self(self.day_start().0.saturating_add(MICROS_PER_DAY))
    }

    /// The first moment of the next UTC month.
    #[must_use]
    pub const fn next_month_start(self) -> Self {
        // 32 days after the first is always within the next month.
        Self(
            self.month_start()
                .0
                .saturating_add(MICROS_PER_DAY.saturating_mul(32)),
        )
        .month_start()
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-21T02:37:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second_of_day = self.as_seconds().rem_euclid(SECONDS_PER_DAY);
        write!(
            f,
            "{}T{:02}:{:02}:{:02}.{:03}Z",
            self.date(),
            second_of_day.div_euclid(3_600),
            second_of_day.rem_euclid(3_600).div_euclid(60),
            second_of_day.rem_euclid(60),
            self.as_millis().rem_euclid(1_000),
        )
    }
}

/// Why a text is not a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a duration; write a whole number and a unit: 250ms, 30s, 5m, 24h or 90d")]
pub struct SpanError;

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// That many microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// That many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(MICROS_PER_MILLI))
    }

    /// That many seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// The length in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The length in milliseconds, rounded up, so that a wait is never too short.
    #[must_use]
    pub const fn as_millis_ceil(self) -> i64 {
        self.0
            .saturating_add(MICROS_PER_MILLI - 1)
            .div_euclid(MICROS_PER_MILLI)
    }

    /// The length in seconds, rounded up.
    #[must_use]
    pub const fn as_seconds_ceil(self) -> i64 {
        self.0
            .saturating_add(MICROS_PER_SECOND - 1)
            .div_euclid(MICROS_PER_SECOND)
    }

    /// This length, `factor` times; saturating.
    #[must_use]
    pub const fn times(self, factor: i64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// Both lengths together, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Reads `250ms`, `30s`, `5m`, `24h` or `90d`.
    ///
    /// # Errors
    /// [`SpanError`] when the text is anything else, or too large.
    pub fn parse(text: &str) -> Result<Self, SpanError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(SpanError)?;
        let number: i64 = number.parse().map_err(|_| SpanError)?;
        let unit = match unit {
            "us" => 1,
            "ms" => MICROS_PER_MILLI,
            "s" => MICROS_PER_SECOND,
            "m" => 60 * MICROS_PER_SECOND,
            "h" => 3_600 * MICROS_PER_SECOND,
            "d" => MICROS_PER_DAY,
            _ => return Err(SpanError),
        };
        number.checked_mul(unit).map(Self).ok_or(SpanError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * MICROS_PER_SECOND)
    }

    #[test]
    fn dates_follow_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_795_228_620, "2026-11-21T02:37:00.000Z"),
            (-1, "1969-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(at(seconds).to_string(), text);
        }
    }

    #[test]
    fn periods_start_at_midnight() {
        let now = at(1_795_228_620);
        assert_eq!(now.day_start().to_string(), "2026-11-21T00:00:00.000Z");
        assert_eq!(now.month_start().to_string(), "2026-11-01T00:00:00.000Z");
        assert_eq!(
            now.next_month_start().to_string(),
            "2026-12-01T00:00:00.000Z"
        );
        assert_eq!(
            now.next_month_start().next_month_start().to_string(),
            "2027-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn spans_are_read_with_their_unit() {
        assert_eq!(Span::parse("250ms"), Ok(Span::from_millis(250)));
        assert_eq!(Span::parse("24h"), Ok(Span::from_seconds(86_400)));
        for wrong in ["", "5", "s", "-5s", "1.5s", "5 s", "99999999999999d"] {
            assert_eq!(Span::parse(wrong), Err(SpanError), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_month_holds_each_of_its_moments(seconds in 0_i64..8_000_000_000) {
            let now = at(seconds);
            prop_assert!(now.month_start() <= now && now < now.next_month_start());
            prop_assert_eq!(now.month_start().date().day, 1);
            prop_assert_eq!(now.next_month_start().date().day, 1);
        }
    }
}
