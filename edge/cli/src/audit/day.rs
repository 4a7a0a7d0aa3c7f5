//! Stretches of time as auditors name them: days and months, in UTC.

use jiff::civil::Date;

use crate::Failure;

/// From the beginning of a day to the end of another, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Days {
    from_us: i64,
    to_us: i64,
}

impl Days {
    /// From the first moment of `from` to the last of `to`; without them from ever, for ever.
    pub(crate) fn between(from: Option<&str>, to: Option<&str>) -> Result<Self, Failure> {
        let from_us = from.map(|day| start_of(date(day)?)).transpose()?;
        let to_us = to.map(|day| start_of(next(date(day)?, day)?)).transpose()?;
        Ok(Self {
            from_us: from_us.unwrap_or(i64::MIN),
            to_us: to_us.unwrap_or(i64::MAX),
        })
    }

    /// A month (`2026-11`) or a day (`2026-11-21`).
    pub(crate) fn period(text: &str) -> Result<Self, Failure> {
        if text.matches('-').count() == 2 {
            return Self::between(Some(text), Some(text));
        }
        let first =
            date(&format!("{text}-01")).map_err(|_| wrong(text, "2026-11 or 2026-11-21"))?;
        let to = next(first.last_of_month(), text)?;
        Ok(Self {
            from_us: start_of(first)?,
            to_us: start_of(to)?,
        })
    }

    /// Whether a moment is within.
    pub(crate) const fn hold(&self, at_us: i64) -> bool {
        self.from_us <= at_us && at_us < self.to_us
    }
}

fn date(text: &str) -> Result<Date, Failure> {
    text.parse().map_err(|_| wrong(text, "2026-11-21"))
}

fn next(date: Date, text: &str) -> Result<Date, Failure> {
    date.tomorrow().map_err(|_| wrong(text, "2026-11-21"))
}

fn start_of(date: Date) -> Result<i64, Failure> {
    let start = date.to_zoned(jiff::tz::TimeZone::UTC);
    start
        .map(|start| start.timestamp().as_microsecond())
        .map_err(|_| wrong(&date.to_string(), "2026-11-21"))
}

fn wrong(text: &str, example: &str) -> Failure {
    Failure::Time {
        text: text.to_owned(),
        example: example.to_owned(),
    }
}
