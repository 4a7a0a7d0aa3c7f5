//! Names of functions within Cohere's alphabet: letters, digits and `_`, no digit first.
//!
//! The first API's page says so (<https://docs.cohere.com/v1/reference/chat>), the second's description says
//! nothing; not verified. What is legal stays as it is; anything else is written as [`PREFIX`] and Messages' escape
//! ([`crate::anthropic::names`]) without its hyphens. [`restore`] is the way back.

use std::borrow::Cow;

use crate::anthropic::names;

/// What an escaped name starts with.
const PREFIX: &str = "sluice_x_";

/// The name as Cohere accepts it.
pub(super) fn legal(name: &str) -> Cow<'_, str> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if starts_well && !name.starts_with(PREFIX) && name.bytes().all(is_legal) {
        return Cow::Borrowed(name);
    }
    let escaped = names::escape(name);
    let bare = escaped.strip_prefix(names::PREFIX).unwrap_or(&escaped);
    Cow::Owned(format!("{PREFIX}{}", bare.replace('-', "_2d")))
}

/// The name that [`legal`] was given; a name that it never wrote stays as it is.
pub(super) fn restore(name: String) -> String {
    let Some(bare) = name.strip_prefix(PREFIX) else {
        return name;
    };
    let escaped = format!("{}{bare}", names::PREFIX);
    match names::restore(&escaped) {
        Cow::Owned(restored) => restored,
        Cow::Borrowed(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_legal_stays() {
        for (name, expected) in [
            ("get_weather2", "get_weather2"),
            ("get-weather", "sluice_x_get_2dweather"),
            ("2nd", "sluice_x_2nd"),
            ("", "sluice_x_"),
            ("sluice_x_a", "sluice_x_sluice__x__a"),
        ] {
            assert_eq!(legal(name), expected);
            assert_eq!(restore(expected.to_owned()), name);
        }
        assert_eq!(restore("sluice_x__zz".to_owned()), "sluice_x__zz");
    }

    proptest! {
        #[test]
        fn any_name_becomes_legal_and_comes_back(name in "\\PC{0,20}|(sluice_x_)?[a-z_.n0-9-]{0,12}") {
            let wire = legal(&name).into_owned();
            prop_assert!(wire.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            prop_assert!(!wire.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert_eq!(restore(wire), name);
        }
    }
}
