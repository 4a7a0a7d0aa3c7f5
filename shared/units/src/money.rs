//! Money as whole nano-dollars (10⁻⁹ USD), so that one token of the cheapest model still counts.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Tokens;

const NANO_PER_USD: i64 = 1_000_000_000;
const NANO_DIGITS: usize = 9;
const TOKENS_PER_PRICE: i128 = 1_000_000;

/// An amount in nano-dollars. Zero, or what somebody owes; negative only as a difference.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(i64);

/// Why a text is not an amount of dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not digits with at most one point.
    #[error("is not an amount in dollars; write digits with at most one point, such as \"12.50\"")]
    Malformed,
    /// More than nine decimal places: it could not be kept exactly.
    #[error("has more than nine decimal places")]
    TooFine,
    /// More than nine thousand million dollars.
    #[error("is too large")]
    TooLarge,
}

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(i64::MAX);

    /// That many nano-dollars.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// That many whole dollars, saturating.
    #[must_use]
    pub const fn from_dollars(dollars: i64) -> Self {
        Self(dollars.saturating_mul(NANO_PER_USD))
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, saturating; may be negative.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// What `tokens` cost at this price for a million tokens, rounded up to a nano-dollar.
    #[must_use]
    pub fn for_tokens(self, tokens: Tokens) -> Self {
        let product = i128::from(self.0).saturating_mul(i128::from(tokens.count()));
        let rounded = product.saturating_add(TOKENS_PER_PRICE.saturating_sub(1));
        Self(i64::try_from(rounded.div_euclid(TOKENS_PER_PRICE)).unwrap_or(i64::MAX))
    }

    /// Reads dollars as decimal text: `"12.50"`, `"0.000000001"`.
    ///
    /// # Errors
    /// [`MoneyError`] when the text is not an amount that can be kept exactly.
    pub fn parse_usd(text: &str) -> Result<Self, MoneyError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(MoneyError::Malformed);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > NANO_DIGITS {
            return Err(MoneyError::TooFine);
        }
        // A digit that is not written is a zero.
        let nanos = fraction.bytes().fold(0_i64, |nanos, digit| {
            let digit = i64::from(digit.wrapping_sub(b'0'));
            nanos.saturating_mul(10).saturating_add(digit)
        });
        let missing = NANO_DIGITS.saturating_sub(fraction.len());
        let nanos = (0..missing).fold(nanos, |nanos, _| nanos.saturating_mul(10));
        whole
            .parse::<i64>()
            .ok()
            .and_then(|dollars| dollars.checked_mul(NANO_PER_USD))
            .and_then(|dollars| dollars.checked_add(nanos))
            .map(Self)
            .ok_or(MoneyError::TooLarge)
    }
}

/// Dollars with as many decimals as are needed: `0.00015`, `12.5`, `3`.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let nanos = self.0.unsigned_abs();
        let per_usd = NANO_PER_USD.unsigned_abs();
        write!(f, "{sign}{}", nanos.div_euclid(per_usd))?;
        let fraction = format!("{:09}", nanos.rem_euclid(per_usd));
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            digits => write!(f, ".{digits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        for (text, nanos) in [
            ("0", 0),
            ("12.50", 12_500_000_000),
            ("0.000000001", 1),
            ("0.15", 150_000_000),
        ] {
            assert_eq!(NanoUsd::parse_usd(text), Ok(NanoUsd(nanos)), "{text}");
        }
        assert_eq!(NanoUsd::parse_usd("0.0000000001"), Err(MoneyError::TooFine));
        assert_eq!(NanoUsd::parse_usd("99999999999"), Err(MoneyError::TooLarge));
        for wrong in ["", ".", "1.", ".5", "-1", "1e3", "1,5", "$1"] {
            assert_eq!(
                NanoUsd::parse_usd(wrong),
                Err(MoneyError::Malformed),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn one_token_of_the_cheapest_model_is_not_free() {
        let price = NanoUsd::parse_usd("0.02").unwrap();
        assert_eq!(price.for_tokens(Tokens::new(20)), NanoUsd(400));
        assert_eq!(NanoUsd(1).for_tokens(Tokens::new(1)), NanoUsd(1));
        assert_eq!(price.for_tokens(Tokens::new(u64::MAX)), NanoUsd::MAX);
    }

    proptest! {
        #[test]
        fn there_and_back(nanos in 0_i64..i64::MAX) {
            prop_assert_eq!(NanoUsd::parse_usd(&NanoUsd(nanos).to_string()), Ok(NanoUsd(nanos)));
        }
    }
}
