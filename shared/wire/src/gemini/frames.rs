//! Where one chunk of a stream ends and the next begins.
//!
//! `alt=sse` streams `text/event-stream`; without it the stream is one JSON array of chunks. The first byte tells which.

use crate::error::DecodeError;
use crate::sse::{EVENT_BYTES_MAX, SseDecoder};

use super::value::shape;

/// Splits a stream's bytes into chunks of JSON.
#[derive(Debug, Default)]
pub(super) enum Frames {
    /// Nothing but white space has come.
    #[default]
    Unknown,
    /// Server-sent events.
    Sse(SseDecoder),
    /// A JSON array, or objects one after another.
    Json(Splitter),
}

impl Frames {
    /// Takes the next bytes and calls `each` for every chunk that they complete.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if matches!(self, Self::Unknown) {
            bytes = bytes.trim_ascii_start();
            let Some(first) = bytes.first() else {
                return Ok(());
            };
            *self = match first {
                b'[' | b'{' => Self::Json(Splitter::default()),
                _ => Self::Sse(SseDecoder::new()),
            };
        }
        match self {
            Self::Unknown => Ok(()),
            Self::Sse(decoder) => decoder.push(bytes, |event| each(&event.data)),
            Self::Json(splitter) => splitter.push(bytes, &mut each),
        }
    }

    /// Whether the stream may end here.
    pub(super) const fn is_complete(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Sse(decoder) => decoder.is_empty(),
            Self::Json(splitter) => splitter.is_complete(),
        }
    }
}

/// Splits a JSON array into its objects without parsing them.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    kept: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    in_array: bool,
    closed: bool,
}

impl Splitter {
    fn push(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if self.depth == 0 {
                start = at;
                self.between(*byte)?;
            } else if self.inside(*byte) {
                let piece = bytes.get(start..=at).unwrap_or(&[]);
                if self.kept.is_empty() {
                    each(piece)?;
                } else {
                    self.keep(piece)?;
                    each(&std::mem::take(&mut self.kept))?;
                }
            }
        }
        if self.depth > 0 {
            self.keep(bytes.get(start..).unwrap_or(&[]))?;
        }
        Ok(())
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        if self.kept.len().saturating_add(piece.len()) > EVENT_BYTES_MAX {
            return Err(DecodeError::EventTooLarge(EVENT_BYTES_MAX));
        }
        self.kept.extend_from_slice(piece);
        Ok(())
    }

    fn between(&mut self, byte: u8) -> Result<(), DecodeError> {
        match byte {
            _ if byte.is_ascii_whitespace() => {}
            _ if self.closed => return Err(shape("something follows the stream's array")),
            b'{' => self.depth = 1,
            b'[' if !self.in_array => self.in_array = true,
            b']' if self.in_array => self.closed = true,
            b',' => {}
            _ => return Err(shape("the stream is not an array of objects")),
        }
        Ok(())
    }

    /// Whether this byte ends the object.
    const fn inside(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
            return false;
        }
        match byte {
            b'\\' => self.escaped = self.in_string,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth = self.depth.saturating_add(1),
            b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }

    const fn is_complete(&self) -> bool {
        self.depth == 0 && self.in_array == self.closed
    }
}
