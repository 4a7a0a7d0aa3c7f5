//! Decimal literals as they stand in a file, exactly: no float ever touches a price.

use sluice_units::NanoUsd;

/// Reads a JSON number such as `0.15` or `1.5e-07` and gives it in units of 10⁻⁹, times 10 to the `shift`.
///
/// Rounds half up: the noise that a writer's floats left behind the ninth decimal disappears.
/// None when the text is no number, negative, or too large.
pub(crate) fn parse(text: &str, shift: i32) -> Option<NanoUsd> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u128 = digits.parse().ok()?;
    let scale = exponent
        .checked_add(shift)?
        .checked_add(9)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_u128.checked_pow(scale.unsigned_abs());
    let nanos = if scale >= 0 {
        value.checked_mul(power?)?
    } else {
        // A power that does not fit leaves nothing.
        power.map_or(0, |power| {
            let half = power.div_euclid(2);
            value.saturating_add(half).div_euclid(power)
        })
    };
    i64::try_from(nanos).ok().map(NanoUsd::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_exactly() {
        for (text, shift, nanos) in [
            ("0", 0, 0),
            ("3", 0, 3_000_000_000),
            ("0.15", 0, 150_000_000),
            ("3.75e-06", 6, 3_750_000_000),
            ("1E2", 0, 100_000_000_000),
            ("0.9540000000000001", 0, 954_000_000),
            ("0.14999999999999999", 0, 150_000_000),
            ("5e-10", 0, 1),
            ("4e-10", 0, 0),
            ("1e-99", 0, 0),
        ] {
            assert_eq!(
                parse(text, shift),
                Some(NanoUsd::from_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in ["", "-1", "\"1\"", "null", "1e", "e5", "1e30", "1.2.3"] {
            assert_eq!(parse(text, 0), None, "{text}");
        }
    }
}
