//! Halves of characters, in streams whose writers count in UTF-16 and cut between the two halves of a pair.
//!
//! JSON can say such a half (`\ud83c`), and no string of Rust's can hold one. So each half that stands alone is read as
//! two characters: the last noncharacter, which no text has, and one of 2,048 private ones. What two pieces of a text
//! say together is put together again; what stays alone becomes U+FFFD. Follows RFC 8259 §8.2.

use std::fmt::Write;

use crate::model::Event;

/// The first surrogate, the first one of the second halves, and what follows the last.
const FIRST: u32 = 0xD800;
const SECOND: u32 = 0xDC00;
const END: u32 = 0xE000;
/// What says that the next character stands for a half.
const MARK: char = '\u{10FFFF}';
/// What the mark begins with, in UTF-8.
const LEAD: u8 = 0xF4;
/// The character that stands for the first surrogate.
const STANDS: u32 = 0x10_F000;
/// The bytes of `\uXXXX`.
const ESCAPE_BYTES: usize = 6;

/// JSON that can be read, from one with halves in it; `None` where there are none.
pub(crate) fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let (mut at, mut copied) = (0_usize, 0_usize);
    while let Some(found) = memchr::memchr(b'\\', json.get(at..).unwrap_or_default()) {
        let start = at.saturating_add(found);
        let Some(half) = escaped(json, start) else {
            // One escaped byte, perhaps a backslash.
            at = start.saturating_add(2);
            continue;
        };
        at = start.saturating_add(ESCAPE_BYTES);
        let is_second = |code: &u32| (SECOND..END).contains(code);
        if half < SECOND && escaped(json, at).as_ref().is_some_and(is_second) {
            at = at.saturating_add(ESCAPE_BYTES);
            continue;
        }
        let text = out.get_or_insert_default();
        text.extend_from_slice(json.get(copied..start).unwrap_or_default());
        let stands = half.saturating_sub(FIRST).saturating_add(STANDS);
        let mut utf8 = [0; 4];
        for character in [MARK, char::from_u32(stands).unwrap_or(MARK)] {
            text.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        }
        copied = at;
    }
    let mut out = out?;
    out.extend_from_slice(json.get(copied..).unwrap_or_default());
    Some(out)
}

/// The surrogate that is escaped at a place, if one is.
fn escaped(json: &[u8], at: usize) -> Option<u32> {
    let escape = json.get(at..at.saturating_add(ESCAPE_BYTES))?;
    let mut digits = escape.strip_prefix(b"\\u")?.iter();
    let code = digits.try_fold(0_u32, |code, digit| {
        Some((code << 4) | char::from(*digit).to_digit(16)?)
    })?;
    (FIRST..END).contains(&code).then_some(code)
}

/// A text's characters, and the halves between them.
fn read(text: &str) -> impl Iterator<Item = Result<char, u32>> {
    let mut characters = text.chars();
    std::iter::from_fn(move || {
        let character = characters.next()?;
        let mut rest = characters.clone();
        let stands = rest.next().filter(|_| character == MARK);
        let code = stands.and_then(|stands| u32::from(stands).checked_sub(STANDS));
        let half = code.map(|code| code.saturating_add(FIRST));
        Some(match half.filter(|half| (FIRST..END).contains(half)) {
            None => Ok(character),
            Some(half) => {
                characters = rest;
                Err(half)
            }
        })
    })
}

/// JSON with its halves as they were written.
pub(crate) fn restored(json: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(json);
    let mut out = String::with_capacity(text.len());
    for one in read(&text) {
        match one {
            Ok(character) => out.push(character),
            Err(half) => {
                // Nothing can fail that only writes to memory.
                let _ = write!(out, "\\u{half:04x}");
            }
        }
    }
    out.into_bytes()
}

/// A whole answer that can be read; what stands alone in it is replaced.
pub(crate) fn replaced(json: &[u8]) -> Option<Vec<u8>> {
    let mended = mended(json)?;
    let (text, _) = joined(&String::from_utf8_lossy(&mended), None);
    Some(text.into_bytes())
}

/// A text with what stands alone in it replaced, and a first half that ends it; `open` comes before it.
fn joined(text: &str, mut open: Option<u32>) -> (String, Option<u32>) {
    let mut out = String::with_capacity(text.len().saturating_add(4));
    for one in read(text) {
        let first = open.take();
        if let (Some(first), Err(second)) = (first, one)
            && let Some(character) = pair(first, second)
        {
            out.push(character);
            continue;
        }
        if first.is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        match one {
            Ok(character) => out.push(character),
            Err(first) if first < SECOND => open = Some(first),
            Err(_) => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    (out, open)
}

fn pair(first: u32, second: u32) -> Option<char> {
    let high = first.checked_sub(FIRST)?;
    let low = second.checked_sub(SECOND)?;
    char::from_u32((high << 10).saturating_add(low).saturating_add(0x1_0000))
}

/// Puts halves together over the pieces of a stream.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    /// The choice and the part that a first half ended, and the half.
    open: Option<(u32, u32, u32)>,
}

impl Joiner {
    /// Looks at the events from a number on.
    pub(crate) fn join(&mut self, events: &mut Vec<Event>, from: usize) {
        let may_hold = |event: &Event| match event {
            Event::Delta { text, .. } => memchr::memchr(LEAD, text.as_bytes()).is_some(),
            _ => false,
        };
        if self.open.is_none() && !events.iter().skip(from).any(may_hold) {
            return;
        }
        let new = events.split_off(from.min(events.len()));
        for mut event in new {
            match &mut event {
                Event::Delta { choice, part, text } => {
                    let (choice, part) = (*choice, *part);
                    let is_own = |open: &mut (u32, u32, u32)| (open.0, open.1) == (choice, part);
                    let own = self.open.take_if(is_own);
                    self.alone(events);
                    let (whole, open) = joined(text, own.map(|open| open.2));
                    *text = whole;
                    self.open = open.map(|first| (choice, part, first));
                }
                Event::Logprobs { .. } | Event::Usage(_) => {}
                _ => self.alone(events),
            }
            events.push(event);
        }
    }

    /// Nothing comes that could complete it.
    fn alone(&mut self, events: &mut Vec<Event>) {
        if let Some((choice, part, _)) = self.open.take() {
            let text = char::REPLACEMENT_CHARACTER.to_string();
            events.push(Event::Delta { choice, part, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Option<&str>) {
        let read = replaced(json.as_bytes()).map(|read| String::from_utf8(read).unwrap());
        assert_eq!(read.as_deref(), expected, "{json}");
        if let Some(mended) = mended(json.as_bytes()) {
            assert!(serde_json::from_slice::<serde_json::Value>(&mended).is_ok());
            assert_eq!(restored(&mended), json.as_bytes(), "{json}");
        }
    }

    #[test]
    fn what_stands_alone_can_be_read() {
        check(r#"{"a":"\\ud83c \ud83c\udf0d \u00e9"}"#, None);
        check(r#""\ud83c""#, Some("\"\u{fffd}\""));
        check(r#""\\\ud83c\\""#, Some("\"\\\\\u{fffd}\\\\\""));
        check(
            r#""\udf0d\ud83c\n\ud83c""#,
            Some("\"\u{fffd}\u{fffd}\\n\u{fffd}\""),
        );
        check(
            r#""\ud83c\ud83c\udf0d""#,
            Some("\"\u{fffd}\\ud83c\\udf0d\""),
        );
        check("\"\u{10FFFF}\u{10F000}\"", None);
        check(r#""\ud8"#, None);
    }

    fn delta(part: u32, text: &str) -> Event {
        let json = format!("\"{text}\"");
        let json = mended(json.as_bytes()).unwrap_or_else(|| json.into_bytes());
        let text = serde_json::from_slice(&json).unwrap();
        Event::Delta {
            choice: 0,
            part,
            text,
        }
    }

    #[test]
    fn two_pieces_say_one_character() {
        let mut joiner = Joiner::default();
        let mut events = Vec::new();
        for piece in [r"a\ud83c", r"\udf0db\ud83c", r"c\udf0d", r"\ud83c"] {
            let from = events.len();
            events.push(delta(0, piece));
            joiner.join(&mut events, from);
        }
        let from = events.len();
        events.push(delta(1, r"\udf0d"));
        events.push(Event::PartEnd { choice: 0, part: 0 });
        joiner.join(&mut events, from);
        let texts = events.iter().filter_map(|event| match event {
            Event::Delta { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let texts: String = texts.collect();
        assert_eq!(texts, "a\u{1f30d}b\u{fffd}c\u{fffd}\u{fffd}\u{fffd}");
    }
}
