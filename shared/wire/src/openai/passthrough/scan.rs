//! Finds the places of values in a JSON text that is known to be valid. Reads nothing but structure.

use std::borrow::Cow;
use std::ops::Range;

/// One member of an object, by its places in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// The name, escapes undone.
    pub(crate) key: Cow<'a, str>,
    /// Where the name stands, quotes included.
    pub(crate) name: Range<usize>,
    /// Where the value stands.
    pub(crate) value: Range<usize>,
}

/// The members of the object that begins at `at` (white space may come first); `None` when there is none.
pub(crate) fn members(json: &[u8], at: usize) -> Option<Vec<Member<'_>>> {
    let mut at = inside(json, at)?;
    let mut members = Vec::new();
    loop {
        at = blank(json, at);
        match json.get(at)? {
            b'}' => return Some(members),
            b',' => at = at.checked_add(1)?,
            b'"' => {
                let name = at..value_end(json, at)?;
                at = blank(json, name.end);
                if *json.get(at)? != b':' {
                    return None;
                }
                let start = blank(json, at.checked_add(1)?);
                let value = start..value_end(json, start)?;
                at = value.end;
                members.push(Member {
                    key: text(json.get(name.clone())?)?,
                    name,
                    value,
                });
            }
            _ => return None,
        }
    }
}

/// The elements of the array that begins at `at`; `None` when there is none.
pub(crate) fn elements(json: &[u8], at: usize) -> Option<Vec<Range<usize>>> {
    let at = blank(json, at);
    if *json.get(at)? != b'[' {
        return None;
    }
    let mut at = at.checked_add(1)?;
    let mut elements = Vec::new();
    loop {
        at = blank(json, at);
        match json.get(at)? {
            b']' => return Some(elements),
            b',' => at = at.checked_add(1)?,
            _ => {
                let end = value_end(json, at)?;
                elements.push(at..end);
                at = end;
            }
        }
    }
}

/// The place behind the brace that opens the object at `at`.
pub(crate) fn inside(json: &[u8], at: usize) -> Option<usize> {
    let at = blank(json, at);
    (*json.get(at)? == b'{').then(|| at.saturating_add(1))
}

/// A JSON string's text.
pub(crate) fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    sluice_units::json::from_slice(json).ok().map(Cow::Owned)
}

fn blank(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    let blanks = rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    at.saturating_add(blanks)
}

/// The place behind the value that begins at `at`.
fn value_end(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => string_end(json, at),
        b'{' | b'[' => nested_end(json, at),
        _ => {
            let rest = json.get(at..)?;
            let length = rest
                .iter()
                .take_while(|byte| !b",]}".contains(byte) && !byte.is_ascii_whitespace())
                .count();
            (length > 0).then(|| at.saturating_add(length))
        }
    }
}

fn string_end(json: &[u8], at: usize) -> Option<usize> {
    let mut at = at.checked_add(1)?;
    loop {
        at = at.checked_add(memchr::memchr2(b'"', b'\\', json.get(at..)?)?)?;
        match json.get(at)? {
            b'"' => return at.checked_add(1),
            // An escape is at least two bytes; the digits of `\u` are ordinary ones.
            _ => at = at.checked_add(2)?,
        }
    }
}

fn nested_end(json: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    let mut depth = 0_usize;
    loop {
        match json.get(at)? {
            b'"' => {
                at = string_end(json, at)?;
                continue;
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at = at.checked_add(1)?;
        if depth == 0 {
            return Some(at);
        }
    }
}
