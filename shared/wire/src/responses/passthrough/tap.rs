//! Watches a stream that goes through as it is.
//!
//! Whole events are forwarded byte for byte. Errors are not: the gateway words them itself, with [`StreamTap::fail`].

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};
use sluice_units::Usage;

use super::{Look, Outside};
use crate::error::{DecodeError, UpstreamError};
use crate::openai::error;
use crate::openai::passthrough::split::{Forward, Splitter};
use crate::responses::NAME;
use crate::responses::frames::write_error;
use crate::tokens::TokenBound;

/// Watches a stream that goes through as it is.
#[derive(Debug, Default)]
pub struct StreamTap {
    splitter: Splitter,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    look: Look,
    written: TokenBound,
    /// The number of the next event.
    sequence: u64,
    complete: bool,
    error: Option<UpstreamError>,
    failed: bool,
}

#[derive(Deserialize)]
struct Step<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    sequence_number: Option<u64>,
    /// A text, but for the output of a provider's own tools.
    #[serde(default)]
    delta: Value,
    #[serde(default)]
    response: Option<Outside>,
}

impl StreamTap {
    /// A tap at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the provider's next bytes and appends those that the caller gets.
    ///
    /// # Errors
    /// [`DecodeError`] when an event is too large or none of this dialect's; the stream is over then.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let seen = &mut self.seen;
        self.splitter
            .push(bytes, out, |data| seen.look(data).map(Forward::from))
    }

    /// Says that no more bytes come. A last event without its empty line is forwarded if it is whole.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the answer was not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if let Some(ends) = self.splitter.ends() {
            self.push(ends, out).map_err(|_| DecodeError::Truncated)?;
        }
        if self.seen.complete || self.seen.failed {
            Ok(())
        } else {
            Err(DecodeError::Truncated)
        }
    }

    /// What the provider says was used.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.seen.look.usage
    }

    /// Why the answer ended, in the provider's word: `completed`, or the reason that it is incomplete.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        self.seen.look.finish.as_deref()
    }

    /// What the model has written, at most: texts, refusals, shown reasoning and arguments.
    #[must_use]
    pub const fn written(&self) -> TokenBound {
        self.seen.written
    }

    /// Whether the stream has come to its end.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.seen.complete
    }

    /// The error that the provider sent in mid-stream, once.
    pub fn take_error(&mut self) -> Option<UpstreamError> {
        self.seen.error.take()
    }

    /// Appends the event that tells the caller of a failure, under the stream's next number.
    pub fn fail(&self, failed: &UpstreamError, out: &mut Vec<u8>) {
        write_error(self.seen.sequence, failed, out);
    }
}

impl Seen {
    /// Looks at one event's data; `false` when the caller does not get it.
    fn look(&mut self, data: &[u8]) -> Result<bool, DecodeError> {
        if self.failed {
            return Ok(false);
        }
        if data.is_empty() || data == b"[DONE]" {
            return Ok(true);
        }
        let step: Step<'_> =
            sluice_units::json::from_slice(data).map_err(|error| DecodeError::Shape {
                dialect: NAME,
                detail: error.to_string(),
            })?;
        match step.kind.as_ref() {
            "error" | "response.failed" | "" => {
                self.failed = true;
                self.error = full_error(data);
                return Ok(false);
            }
            "response.completed" | "response.incomplete" => {
                self.complete = true;
                self.look = step.response.unwrap_or_default().look();
            }
            _ => {
                let delta = step.delta.as_str().unwrap_or_default();
                self.written = self.written.plus(TokenBound::of(delta.as_bytes()));
            }
        }
        let next = step.sequence_number.unwrap_or(self.sequence);
        self.sequence = next.saturating_add(1);
        Ok(true)
    }
}

/// Reads the error with the same eyes as the decoder.
fn full_error(data: &[u8]) -> Option<UpstreamError> {
    let Ok(Value::Object(mut fields)) = sluice_units::json::from_slice(data) else {
        return None;
    };
    if let Some(Value::Object(response)) = fields.shift_remove("response") {
        fields = response;
    }
    if fields.get("error").is_none_or(Value::is_null) {
        let mut outer = Map::new();
        fields.shift_remove("type");
        outer.insert("error".to_owned(), Value::Object(fields));
        fields = outer;
    }
    error::in_stream(&fields)
}
