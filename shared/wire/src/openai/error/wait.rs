//! How long to wait before another try, wherever a provider says it.
//!
//! `retry-after-ms` and `Retry-After` in seconds; then the message's own words; then the time until a limit resets.
//! A `Retry-After` with a date is ignored: it cannot be read without a clock, and no known provider sends one.

use http::HeaderMap;
use sluice_units::Span;

use crate::error::WAIT_SECONDS_MAX;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// The longest wait that is believed, in microseconds.
const WAIT_MICROS_MAX: i64 = WAIT_SECONDS_MAX * MICROS_PER_SECOND;

/// From `retry-after-ms` and `Retry-After`.
pub(super) fn of_headers(headers: &HeaderMap) -> Option<Span> {
    let millis = header(headers, "retry-after-ms").and_then(|text| decimal(text, 1_000));
    millis
        .or_else(|| {
            let text = header(headers, "retry-after")?;
            decimal(text, MICROS_PER_SECOND).or_else(|| duration(text))
        })
        .map(span)
}

/// From `x-ratelimit-reset-requests` and `-tokens`: the limit that is used up, or the one that resets sooner.
pub(super) fn of_limits(status: u16, headers: &HeaderMap) -> Option<Span> {
    if status != 429 {
        return None;
    }
    let reset = |kind: &str| {
        let text = header(headers, &format!("x-ratelimit-reset-{kind}"))?;
        duration(text).or_else(|| decimal(text, MICROS_PER_SECOND))
    };
    let used_up = |kind: &str| {
        let left = header(headers, &format!("x-ratelimit-remaining-{kind}"));
        left == Some("0")
    };
    let kinds = ["requests", "tokens"];
    let empty = kinds.into_iter().filter(|kind| used_up(kind));
    empty
        .filter_map(reset)
        .max()
        .or_else(|| kinds.into_iter().filter_map(reset).min())
        .map(span)
}

/// From "Please try again in 1m2.5s." (OpenAI, Groq) and "Please retry after 6 seconds." (Azure).
pub(super) fn of_message(message: &str) -> Option<Span> {
    let tail = |words: &str| message.split_once(words).map(|(_, tail)| tail);
    if let Some(text) = tail("try again in ") {
        let text = text.split_whitespace().next()?;
        let text = text.trim_end_matches(['.', ',']);
        return duration(text).map(span);
    }
    let text = tail("retry after ")?;
    let (number, unit) = text.split_once(' ')?;
    if !unit.starts_with("second") {
        return None;
    }
    decimal(number, MICROS_PER_SECOND).map(span)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn span(micros: i64) -> Span {
    Span::from_micros(micros.min(WAIT_MICROS_MAX))
}

/// `1h2m3.5s`, `20ms`, `6m0s`.
fn duration(mut text: &str) -> Option<i64> {
    let mut micros = 0_i64;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let digits = text
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
            .count();
        let (number, rest) = text.split_at_checked(digits)?;
        let letters = rest
            .bytes()
            .take_while(|byte| !byte.is_ascii_digit())
            .count();
        let (unit, rest) = rest.split_at_checked(letters)?;
        let unit = match unit {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => MICROS_PER_SECOND,
            "m" => 60 * MICROS_PER_SECOND,
            "h" => 3_600 * MICROS_PER_SECOND,
            "d" => 86_400 * MICROS_PER_SECOND,
            _ => return None,
        };
        micros = micros.checked_add(decimal(number, unit)?)?;
        text = rest;
    }
    Some(micros)
}

/// A decimal number of units, in microseconds, rounded up.
fn decimal(text: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !(fraction.is_empty() || digits(fraction)) {
        return None;
    }
    // Six digits are below a microsecond of any unit up to a second; of longer ones they are enough.
    let fraction: String = fraction.chars().take(6).collect();
    let scale = 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let parts: i64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let rest = parts
        .checked_mul(unit)?
        .checked_add(scale.saturating_sub(1))?
        .checked_div(scale)?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(unit)?
        .checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_wherever_they_stand() {
        for (text, micros) in [
            ("1m2.5s", Some(62_500_000)),
            ("20ms", Some(20_000)),
            ("6m0s", Some(360_000_000)),
            ("10.332999999s", Some(10_332_999)),
            ("1h", Some(3_600_000_000)),
            ("7.66s", Some(7_660_000)),
            ("", None),
            ("s", None),
            ("5", None),
            ("-5s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(duration(text), micros, "{text}");
        }
        for (message, micros) in [
            ("Please try again in 1.5s. Visit…", Some(1_500_000)),
            ("Please try again in 20ms.", Some(20_000)),
            ("Please retry after 6 seconds.", Some(6_000_000)),
            ("Please retry after lunch", None),
            ("nothing", None),
        ] {
            assert_eq!(
                of_message(message),
                micros.map(Span::from_micros),
                "{message}"
            );
        }
    }
}
