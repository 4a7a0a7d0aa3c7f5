//! One streamed answer on its way: bytes of the provider in, bytes for the caller out, everything counted.
//!
//! Same dialect on both sides: the bytes go through as they are and are only watched. Otherwise they are decoded
//! into events and encoded again. A pure machine; the pump around it reads and writes.

use sluice_machines::record::UsageSource;
use sluice_units::{Tokens, Usage};
use sluice_wire::model::{Event, Finish};
use sluice_wire::openai::chat::{Answered, StreamEncoder};
use sluice_wire::openai::passthrough::StreamTap;
use sluice_wire::{DecodeError, Dialect, StreamDecoder, UpstreamError};

use crate::estimate;
use crate::plan::Failure;
use crate::problem::Problem;

/// A streamed answer.
#[derive(Debug)]
pub struct Session {
    mode: Mode,
    seen: Seen,
}

#[derive(Debug)]
enum Mode {
    Through(Box<StreamTap>),
    Transcode {
        decoder: Box<StreamDecoder>,
        encoder: Box<StreamEncoder>,
        events: Vec<Event>,
    },
}

/// What a stream has shown so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// What the provider says was used; the last word counts.
    pub usage: Option<Usage>,
    /// Why the model stopped, in OpenAI's word.
    pub finish: Option<String>,
    /// Bytes of text that the model has written.
    pub output_bytes: u64,
    /// The answer is complete, though its last event may still be to come.
    pub complete: bool,
    /// The last event was there: nothing more is to be read.
    pub ended: bool,
}

impl Session {
    /// A session whose provider and caller both speak OpenAI's dialect.
    #[must_use]
    pub fn through(include_usage: bool) -> Self {
        Self {
            mode: Mode::Through(Box::new(StreamTap::new(include_usage))),
            seen: Seen::default(),
        }
    }

    /// A session whose provider speaks another dialect.
    #[must_use]
    pub fn transcode(dialect: Dialect, answered: Answered, include_usage: bool) -> Self {
        Self {
            mode: Mode::Transcode {
                decoder: Box::new(StreamDecoder::new(dialect)),
                encoder: Box::new(StreamEncoder::new(answered, include_usage)),
                events: Vec::new(),
            },
            seen: Seen::default(),
        }
    }

    /// Takes the provider's next bytes and appends what the caller is to get.
    ///
    /// # Errors
    /// [`Failure`] when the provider failed or its bytes make no sense; the stream is over then.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        match &mut self.mode {
            Mode::Through(tap) => {
                let outcome = tap.push(bytes, out);
                self.look_at_tap();
                outcome.map_err(Failure::Garbled)?;
                self.tapped_error()
            }
            Mode::Transcode {
                decoder, events, ..
            } => {
                let outcome = decoder.push(bytes, events);
                self.encode(out)?;
                outcome.map_err(Failure::Garbled)
            }
        }
    }

    /// The provider has closed the stream.
    ///
    /// # Errors
    /// [`Failure::Garbled`] when the answer is not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        match &mut self.mode {
            Mode::Through(tap) => {
                let outcome = tap.finish(out);
                self.look_at_tap();
                outcome.map_err(Failure::Garbled)?;
                self.tapped_error()?;
                if self.seen.complete && !self.seen.ended {
                    // Some compatible providers leave it out; clients wait for it.
                    sluice_wire::sse::write_event(out, None, b"[DONE]");
                    self.seen.ended = true;
                }
            }
            Mode::Transcode {
                decoder, events, ..
            } => {
                let outcome = decoder.finish(events);
                self.encode(out)?;
                outcome.map_err(Failure::Garbled)?;
            }
        }
        if self.seen.complete {
            Ok(())
        } else {
            Err(Failure::Garbled(DecodeError::Truncated))
        }
    }

    /// Ends the caller's stream with an error event.
    pub fn interrupt(problem: &Problem, out: &mut Vec<u8>) {
        sluice_wire::sse::write_event(out, None, &problem.body());
    }

    /// What has been seen so far.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    fn look_at_tap(&mut self) {
        if let Mode::Through(tap) = &self.mode {
            self.seen.usage = tap.usage().or(self.seen.usage);
            self.seen.finish = tap.finish_reason().map(str::to_owned);
            self.seen.output_bytes = tap.output_bytes();
            self.seen.complete = tap.is_complete();
            self.seen.ended = tap.is_done();
        }
    }

    fn tapped_error(&mut self) -> Result<(), Failure> {
        match &mut self.mode {
            Mode::Through(tap) => tap
                .take_error()
                .map_or(Ok(()), |error| Err(Failure::Answered(error))),
            Mode::Transcode { .. } => Ok(()),
        }
    }

    fn encode(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let Mode::Transcode {
            encoder, events, ..
        } = &mut self.mode
        else {
            return Ok(());
        };
        for event in events.drain(..) {
            if let Some(error) = self.seen.note(&event) {
                return Err(Failure::Answered(error));
            }
            encoder.push(&event, out);
        }
        Ok(())
    }
}

impl Seen {
    fn note(&mut self, event: &Event) -> Option<UpstreamError> {
        match event {
            Event::Delta { text, .. } => {
                let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.output_bytes = self.output_bytes.saturating_add(bytes);
            }
            Event::Finish { finish, .. } => self.finish = Some(finish_word(finish)),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End => {
                self.complete = true;
                self.ended = true;
            }
            Event::Failed(error) => return Some(error.clone()),
            _ => {}
        }
        None
    }

    /// The best that is known of what was used: the provider's word, or an estimate.
    #[must_use]
    pub fn usage_or_estimate(&self, input_bound: Tokens) -> (Usage, UsageSource) {
        let written = estimate::likely_output(self.output_bytes);
        match self.usage {
            // A stream that broke off may have told its input and not yet its output.
            Some(usage) if self.complete || usage.output >= written => {
                (usage, UsageSource::Provider)
            }
            Some(usage) => (
                Usage {
                    output: usage.output.max(written),
                    ..usage
                },
                UsageSource::Estimated,
            ),
            None => (
                Usage {
                    input: estimate::likely_input(input_bound),
                    output: written,
                    ..Usage::default()
                },
                UsageSource::Estimated,
            ),
        }
    }
}

/// Why the model stopped, in OpenAI's word.
#[must_use]
pub fn finish_word(finish: &Finish) -> String {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length | Finish::ContextFull => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
        Finish::Refusal => "refusal",
        Finish::Pause => "pause",
        Finish::Other(word) => word,
    }
    .to_owned()
}
