//! Splits a stream that goes through as it is into whole events, byte for byte.
//!
//! Unfinished events are kept back, so that whatever the gateway writes next stands at an event's border.
//! Knows nothing of what the events say.

use crate::error::DecodeError;
use crate::halves;
use crate::sse::{self, EVENT_BYTES_MAX};

/// Splits bytes into whole events and forwards those that it is told to.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    pending: Vec<u8>,
    line: Line,
    data: Vec<u8>,
    /// The event before was held back.
    held_back: bool,
}

/// What becomes of an event.
#[derive(Debug)]
pub(crate) enum Forward {
    /// It goes on as it is.
    As,
    /// It does not.
    Not,
    /// It goes on with other data.
    With(Vec<u8>),
}

impl From<bool> for Forward {
    fn from(is_forwarded: bool) -> Self {
        if is_forwarded { Self::As } else { Self::Not }
    }
}

/// Where the reader stands in a line.
#[derive(Debug, Default, Clone, Copy)]
struct Line {
    has_bytes: bool,
    after_cr: bool,
}

impl Splitter {
    /// Takes the next bytes; `look` gets each whole event's data and says what the caller gets.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        mut look: impl FnMut(&[u8]) -> Result<Forward, DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.line.after_cr && !bytes.is_empty() {
            // The rest of a line's end that was cut in two belongs to the event before.
            self.line.after_cr = false;
            if let Some(rest) = bytes.strip_prefix(b"\n") {
                bytes = rest;
                if !self.pending.is_empty() {
                    self.pending.push(b'\n');
                } else if !self.held_back {
                    out.push(b'\n');
                }
            }
        }
        while let Some(end) = self.event_end(bytes) {
            let (event, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            bytes = rest;
            if self.pending.is_empty() {
                self.event(event, out, &mut look)?;
            } else {
                let mut whole = std::mem::take(&mut self.pending);
                whole.extend_from_slice(event);
                self.event(&whole, out, &mut look)?;
                whole.clear();
                self.pending = whole;
            }
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() > EVENT_BYTES_MAX {
            return Err(DecodeError::EventTooLarge(EVENT_BYTES_MAX));
        }
        Ok(())
    }

    /// What would end the unfinished event; `None` when there is none.
    pub(crate) const fn ends(&self) -> Option<&'static [u8]> {
        if self.pending.is_empty() {
            return None;
        }
        // A line feed behind a carriage return would only end the same line.
        let in_line = self.line.has_bytes || self.line.after_cr;
        Some(if in_line { b"\n\n" } else { b"\n" })
    }

    /// The place behind the empty line that ends an event.
    fn event_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..)?;
            let Some(found) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.line.has_bytes |= !rest.is_empty();
                return None;
            };
            let empty = !self.line.has_bytes && found == 0;
            at = at.saturating_add(found).saturating_add(1);
            self.line.has_bytes = false;
            if rest.get(found) == Some(&b'\r') {
                match bytes.get(at) {
                    Some(b'\n') => at = at.saturating_add(1),
                    Some(_) => {}
                    None => self.line.after_cr = true,
                }
            }
            if empty {
                return Some(at);
            }
        }
    }

    fn event(
        &mut self,
        event: &[u8],
        out: &mut Vec<u8>,
        look: &mut impl FnMut(&[u8]) -> Result<Forward, DecodeError>,
    ) -> Result<(), DecodeError> {
        self.data.clear();
        for line in event.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let Some(value) = line.strip_prefix(b"data:") else {
                continue;
            };
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        let mended = halves::mended(&self.data);
        let data = mended.as_deref().unwrap_or(&self.data);
        let forward = look(data.trim_ascii())?;
        self.held_back = matches!(forward, Forward::Not);
        match forward {
            Forward::As => out.extend_from_slice(event),
            Forward::Not => {}
            Forward::With(data) if mended.is_some() => {
                sse::write_event(out, None, &halves::restored(&data));
            }
            Forward::With(data) => sse::write_event(out, None, &data),
        }
        Ok(())
    }
}
