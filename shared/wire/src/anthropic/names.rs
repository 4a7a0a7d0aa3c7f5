//! Tool names and call identifiers within Messages' alphabet, `[a-zA-Z0-9_-]+`.
//!
//! The mapping keeps no state and loses nothing: what is legal stays as it is; anything else is written as
//! [`PREFIX`], then its bytes, where letters, digits and `-` stand for themselves, `_` is `__`, and any other
//! byte is `_` and two hexadecimal digits. A legal name that starts with the prefix is escaped too, so no two
//! names meet. [`restore`] is the way back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What an escaped name starts with.
pub const PREFIX: &str = "sluice-";

/// Separates an escaped identifier from its number; no escape sequence reads like it.
const NUMBER: &str = "_n";

/// The name as Messages accepts it.
#[must_use]
pub fn legal(name: &str) -> Cow<'_, str> {
    let plain = !name.is_empty() && !name.starts_with(PREFIX) && name.bytes().all(is_legal);
    if plain {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(escape(name))
    }
}

/// The name that [`legal`] was given; a name that it never wrote stays as it is.
#[must_use]
pub fn restore(name: &str) -> Cow<'_, str> {
    name.strip_prefix(PREFIX)
        .and_then(unescape)
        .map_or(Cow::Borrowed(name), Cow::Owned)
}

const fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

pub(crate) fn escape(name: &str) -> String {
    let mut out = String::with_capacity(PREFIX.len().saturating_add(name.len()));
    out.push_str(PREFIX);
    for byte in name.bytes() {
        match byte {
            b'_' => out.push_str("__"),
            byte if is_legal(byte) => out.push(char::from(byte)),
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(out, "_{byte:02x}");
            }
        }
    }
    out
}

fn unescape(escaped: &str) -> Option<String> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'_' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'_' => out.push(b'_'),
            b'n' => {
                let numbered = bytes.len() > 0 && bytes.all(|byte| byte.is_ascii_digit());
                return numbered.then(|| String::from_utf8(out).ok()).flatten();
            }
            high => {
                let low = bytes.next()?;
                let digits = [high, low];
                let digits = std::str::from_utf8(&digits).ok()?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
            }
        }
    }
    String::from_utf8(out).ok()
}

/// The identifiers of one conversation's calls: each call gets one of its own, each result its call's.
///
/// Callers may reuse an identifier in a later turn, or leave it empty; Messages refuses both.
#[derive(Debug, Default)]
pub(crate) struct CallIds<'a> {
    calls: BTreeMap<&'a str, Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    called: usize,
    answered: usize,
}

impl<'a> CallIds<'a> {
    /// The identifier for a call.
    pub(crate) fn call(&mut self, id: &'a str) -> Cow<'a, str> {
        let uses = self.calls.entry(id).or_default();
        let number = uses.called;
        uses.called = number.saturating_add(1);
        numbered(id, number)
    }

    /// The identifier for a result: that of the first call under this name that has none yet.
    pub(crate) fn result(&mut self, id: &'a str) -> Cow<'a, str> {
        let uses = self.calls.entry(id).or_default();
        let number = uses.answered.min(uses.called.saturating_sub(1));
        uses.answered = uses.answered.saturating_add(1);
        numbered(id, number)
    }
}

fn numbered(id: &str, number: usize) -> Cow<'_, str> {
    if number == 0 {
        return legal(id);
    }
    Cow::Owned(format!("{}{NUMBER}{number}", escape(id)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(name: &str, expected: &str) {
        assert_eq!(legal(name), expected);
        assert_eq!(restore(expected), name);
    }

    #[test]
    fn what_is_legal_stays() {
        check("toolu_01A-b", "toolu_01A-b");
        check("", "sluice-");
        check("a.b_c:é", "sluice-a_2eb__c_3a_c3_a9");
        check("sluice-x", "sluice-sluice-x");
    }

    #[test]
    fn what_was_never_escaped_is_not_restored() {
        for name in [
            "sluice-_",
            "sluice-_zz",
            "sluice-_ff",
            "sluice-a_n",
            "sluice-a_nx",
        ] {
            assert_eq!(restore(name), name);
        }
    }

    #[test]
    fn a_reused_identifier_gets_a_number() {
        let mut ids = CallIds::default();
        assert_eq!(ids.call("c_1"), "c_1");
        assert_eq!(ids.result("c_1"), "c_1");
        assert_eq!(ids.call("c_1"), "sluice-c__1_n1");
        assert_eq!(ids.result("c_1"), "sluice-c__1_n1");
        assert_eq!(restore("sluice-c__1_n1"), "c_1");
        assert_eq!(ids.call(""), "sluice-");
        assert_eq!(ids.call(""), "sluice-_n1");
        assert_eq!(ids.result(""), "sluice-");
        assert_eq!(ids.result(""), "sluice-_n1");
        assert_eq!(ids.result("orphan"), "orphan");
    }

    proptest! {
        #[test]
        fn any_name_becomes_legal_and_comes_back(name in "\\PC{0,20}|(sluice-)?[a-z_.n0-9-]{0,12}") {
            let wire = legal(&name);
            prop_assert!(!wire.is_empty() && wire.bytes().all(is_legal));
            prop_assert_eq!(restore(&wire), name.as_str());
        }
    }
}
