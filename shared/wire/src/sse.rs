//! Incremental decoder and encoder for `text/event-stream`.
//!
//! Splits bytes into events, whatever way the bytes are cut. Knows nothing about providers or time, and nothing of JSON
//! but that halves of characters in it must be read.
//! Follows WHATWG HTML §9.2: lines end at LF, CR or CRLF and nowhere else; a leading byte order mark is skipped.
//! Unlike a browser, text is not decoded here: `data` is bytes, so a character cut by a chunk border stays whole.
//! The only addition is a bound on the size of one event.

use crate::error::DecodeError;
use crate::halves;

/// The largest event, in bytes.
pub const EVENT_BYTES_MAX: usize = 8 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The event's name; empty where none was given.
    pub event: Vec<u8>,
    /// The data lines, joined with LF.
    pub data: Vec<u8>,
}

/// Turns bytes into events.
#[derive(Debug, Default)]
pub struct SseDecoder {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    started: bool,
    after_cr: bool,
}

impl SseDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and calls `each` for every event that they complete.
    ///
    /// # Errors
    /// Those of `each`, and [`DecodeError::EventTooLarge`].
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&SseEvent) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        while !bytes.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
                continue;
            }
            let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.keep(bytes)?;
                break;
            };
            let (head, tail) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
            self.after_cr = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or(&[]);
            if self.line.is_empty() && self.started {
                self.line_ends(head, &mut each)?;
            } else {
                self.keep(head)?;
                let line = std::mem::take(&mut self.line);
                self.line_ends(&line, &mut each)?;
                self.line = line;
                self.line.clear();
            }
        }
        Ok(())
    }

    /// Whether the stream stands at a line's start with no event begun: nothing would be lost if it ended here.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.line.is_empty() && !self.has_data
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.line.extend_from_slice(bytes);
        self.check_size(0)
    }

    const fn check_size(&self, more: usize) -> Result<(), DecodeError> {
        let size = self
            .line
            .len()
            .saturating_add(self.event.data.len())
            .saturating_add(more);
        if size > EVENT_BYTES_MAX {
            return Err(DecodeError::EventTooLarge(EVENT_BYTES_MAX));
        }
        Ok(())
    }

    fn line_ends(
        &mut self,
        line: &[u8],
        each: &mut impl FnMut(&SseEvent) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let line = if self.started {
            line
        } else {
            self.started = true;
            line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
        };
        if line.is_empty() {
            let complete = std::mem::take(&mut self.has_data);
            let mut event = std::mem::take(&mut self.event);
            if let Some(mended) = halves::mended(&event.data) {
                event.data = mended;
            }
            let outcome = if complete { each(&event) } else { Ok(()) };
            event.event.clear();
            event.data.clear();
            self.event = event;
            return outcome;
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(at) => (
                line.get(..at).unwrap_or(line),
                line.get(at.saturating_add(1)..).unwrap_or(&[]),
            ),
            None => (line, [].as_slice()),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.check_size(value.len())?;
                if self.has_data {
                    self.event.data.push(b'\n');
                }
                self.has_data = true;
                self.event.data.extend_from_slice(value);
            }
            b"event" => {
                self.event.event.clear();
                self.event.event.extend_from_slice(value);
            }
            // Comments, `id` and `retry` mean nothing to a one-shot stream.
            _ => {}
        }
        Ok(())
    }
}

/// Appends one event. `data` must hold no line break, as compact JSON never does.
pub fn write_event(out: &mut Vec<u8>, event: Option<&str>, data: &[u8]) {
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut decoder = SseDecoder::new();
        let mut events = Vec::new();
        for piece in pieces {
            decoder
                .push(piece, |event| {
                    events.push((
                        String::from_utf8_lossy(&event.event).into_owned(),
                        String::from_utf8_lossy(&event.data).into_owned(),
                    ));
                    Ok(())
                })
                .unwrap();
        }
        events
    }

    fn check(stream: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(event, data)| ((*event).to_owned(), (*data).to_owned()))
            .collect();
        assert_eq!(decode(&[stream.as_bytes()]), expected, "{stream:?}");
    }

    #[test]
    fn events_are_split_at_empty_lines() {
        check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("event: ping\ndata: {}\n\n", &[("ping", "{}")]);
        check("data: a\ndata: b\n\n", &[("", "a\nb")]);
        check("data:a\r\n\r\ndata:b\r\r", &[("", "a"), ("", "b")]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check(": comment\n\nid: 1\nretry: 5\n\ndata\n\n", &[("", "")]);
        check("data: a\u{2028}b\u{85}c\n\n", &[("", "a\u{2028}b\u{85}c")]);
        check("data: cut off", &[]);
    }

    #[test]
    fn an_event_is_bounded() {
        let mut decoder = SseDecoder::new();
        let line = vec![b'a'; EVENT_BYTES_MAX];
        decoder.push(b"data: ", |_| Ok(())).unwrap();
        assert_eq!(
            decoder.push(&line, |_| Ok(())),
            Err(DecodeError::EventTooLarge(EVENT_BYTES_MAX))
        );
    }

    proptest! {
        #[test]
        fn any_split_decodes_alike(
            stream in "(data: |event: |:|\r|\n|\r\n|\n\n|é|a|\u{feff}){0,40}",
            cuts in proptest::collection::vec(0_usize..200, 0..6),
        ) {
            let bytes = stream.as_bytes();
            let whole = decode(&[bytes]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&pieces), whole);
        }
    }
}
