//! Watches a stream of server-sent events that goes through as it is, by reading it beside.

use crate::dialect::{Dialect, StreamDecoder};
use crate::error::DecodeError;
use crate::model::Event;
use crate::openai::passthrough::split::{Forward, Splitter};
use crate::sse;

/// The empty line that ends an event, in bytes.
const EVENT_END: usize = 2;

/// Watches a stream that goes through as it is. Whole events are forwarded byte for byte, but for an error, which the
/// gateway words itself.
#[derive(Debug)]
pub struct EventTap {
    splitter: Splitter,
    decoder: StreamDecoder,
    frame: Vec<u8>,
}

impl EventTap {
    /// A tap at the start of a stream of this dialect, which must be one of server-sent events.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            splitter: Splitter::default(),
            decoder: StreamDecoder::new(dialect),
            frame: Vec::new(),
        }
    }

    /// Takes the provider's next bytes, appends those that the caller gets and the events that they complete.
    ///
    /// # Errors
    /// [`DecodeError`] when an event is too large or none of the dialect's; the stream is over then.
    pub fn push(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let Self {
            splitter,
            decoder,
            frame,
        } = self;
        splitter.push(bytes, out, |data| {
            if data.is_empty() {
                return Ok(Forward::As);
            }
            let before = events.len();
            frame.clear();
            sse::write_event(frame, None, data);
            // Between lines of data only white space of JSON can stand.
            let body = frame.len().saturating_sub(EVENT_END);
            for byte in frame.iter_mut().take(body).filter(|byte| **byte == b'\n') {
                *byte = b' ';
            }
            decoder.push(frame, events)?;
            let mut new = events.iter().skip(before);
            let failed = new.any(|event| matches!(event, Event::Failed(_)));
            Ok((!failed).into())
        })
    }

    /// Says that no more bytes come. A last event without its empty line is forwarded if it is whole.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the answer was not complete.
    pub fn finish(
        &mut self,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        if let Some(ends) = self.splitter.ends() {
            self.push(ends, out, events)
                .map_err(|_| DecodeError::Truncated)?;
        }
        self.decoder.finish(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "event: message_start\n",
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",",
        "\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1},\"new\":true}}\n\n",
        ": a comment\n\n",
        "event: content_block_start\r\n",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\r\n\r\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\ndata: \"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n",
    );
    const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}\n\n";

    #[test]
    fn every_byte_but_an_error_goes_through_however_it_is_cut() {
        let whole = format!("{STREAM}{ERROR}");
        for cut in 0..whole.len() {
            let (head, tail) = whole.as_bytes().split_at(cut);
            let (mut out, mut events) = (Vec::new(), Vec::new());
            let mut tap = EventTap::new(Dialect::Anthropic);
            tap.push(head, &mut out, &mut events).unwrap();
            tap.push(tail, &mut out, &mut events).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), STREAM, "cut at {cut}");
            assert!(matches!(events.last(), Some(Event::Failed(error)) if error.message == "no"));
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_not_complete() {
        let (mut out, mut events) = (Vec::new(), Vec::new());
        let mut tap = EventTap::new(Dialect::Anthropic);
        tap.push(STREAM.as_bytes(), &mut out, &mut events).unwrap();
        assert_eq!(
            tap.finish(&mut out, &mut events),
            Err(DecodeError::Truncated)
        );
    }
}
