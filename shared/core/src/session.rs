//! One streamed answer on its way: bytes of the provider in, bytes for the caller out, everything counted.
//!
//! Same dialect on both sides: the bytes go through as they are and are only watched. Otherwise they are decoded
//! into events and encoded again. A pure machine; the pump around it reads and writes.

use sluice_machines::record::UsageSource;
use sluice_units::{RequestId, SortedMap, SortedSet, Tokens, Usage};
use sluice_wire::downstream::{Answered, EventTap, StreamEncoder};
use sluice_wire::model::{Event, Finish};
use sluice_wire::openai::direct;
use sluice_wire::openai::passthrough::StreamTap;
use sluice_wire::{
    DecodeError, Dialect, Downstream, Drops, StreamDecoder, TokenBound, UpstreamError, responses,
};

use crate::estimate;
use crate::plan::Failure;
use crate::problem::Problem;
use crate::translate::responses_finish_word;

/// A streamed answer.
#[derive(Debug)]
pub struct Session {
    mode: Mode,
    downstream: Downstream,
    seen: Seen,
}

#[derive(Debug)]
enum Mode {
    Chat(Box<StreamTap>),
    Responses(Box<responses::passthrough::StreamTap>),
    Watch(Box<EventTap>, Vec<Event>),
    Raw(Box<direct::Tap>),
    Transcode(Box<Transcoder>),
}

#[derive(Debug)]
struct Transcoder {
    decoder: StreamDecoder,
    encoder: StreamEncoder,
    events: Vec<Event>,
    /// The choices that have begun and not ended, and their parts.
    open: SortedMap<u32, SortedSet<u32>>,
    strict: bool,
}

/// What a stream has shown so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// What the provider says was used; the last word counts.
    pub usage: Option<Usage>,
    /// Why the model stopped, in OpenAI's word.
    pub finish: Option<String>,
    /// What the model has written, at most.
    pub written: TokenBound,
    /// The answer is complete, though its last event may still be to come.
    pub complete: bool,
    /// The last event was there: nothing more is to be read.
    pub ended: bool,
    /// What is charged where the provider never says, if not what was written.
    pub otherwise: Option<Usage>,
}

impl Session {
    /// A session whose provider speaks the caller's language. `include_usage`: a caller of Chat Completions asked for
    /// the usage chunk.
    #[must_use]
    pub fn through(downstream: Downstream, include_usage: bool) -> Self {
        let mode = match downstream {
            Downstream::ChatCompletions => {
                Mode::Chat(Box::new(StreamTap::new(include_usage).mending()))
            }
            Downstream::Completions => Mode::Chat(Box::new(StreamTap::new(include_usage))),
            Downstream::Responses => Mode::Responses(Box::default()),
            Downstream::Messages | Downstream::GenerateContent(_) => {
                let tap = EventTap::new(downstream.dialect());
                Mode::Watch(Box::new(tap), Vec::new())
            }
        };
        Self {
            mode,
            downstream,
            seen: Seen::default(),
        }
    }

    /// A session of an answer that passes through, whatever it is. `otherwise` is charged where it never says.
    #[must_use]
    pub fn raw(is_events: bool, otherwise: Usage) -> Self {
        Self {
            mode: Mode::Raw(Box::new(direct::Tap::new(is_events))),
            downstream: Downstream::ChatCompletions,
            seen: Seen {
                otherwise: Some(otherwise),
                ..Seen::default()
            },
        }
    }

    /// A session whose provider speaks another dialect. `strict`: a loss ends the stream.
    #[must_use]
    pub fn transcode(
        from: Dialect,
        to: Downstream,
        answered: &Answered,
        include_usage: bool,
        strict: bool,
    ) -> Self {
        Self {
            mode: Mode::Transcode(Box::new(Transcoder {
                decoder: StreamDecoder::new(from),
                encoder: StreamEncoder::new(to, answered, include_usage),
                events: Vec::new(),
                open: SortedMap::new(),
                strict,
            })),
            downstream: to,
            seen: Seen::default(),
        }
    }

    /// Takes the provider's next bytes and appends what the caller is to get.
    ///
    /// # Errors
    /// [`Failure`] when the provider failed or its bytes make no sense; the stream is over then.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        match &mut self.mode {
            Mode::Chat(tap) => {
                let outcome = tap.push(bytes, out);
                self.seen.look_at_chat(tap);
                outcome.map_err(Failure::Garbled)?;
                failed(tap.take_error())
            }
            Mode::Responses(tap) => {
                let outcome = tap.push(bytes, out);
                self.seen.look_at_responses(tap);
                outcome.map_err(Failure::Garbled)?;
                failed(tap.take_error())
            }
            Mode::Watch(tap, events) => {
                let outcome = tap.push(bytes, out, events);
                self.seen.note_all(events)?;
                outcome.map_err(Failure::Garbled)
            }
            Mode::Raw(tap) => {
                let outcome = tap.push(bytes, out);
                self.seen.usage = tap.usage();
                outcome.map_err(Failure::Garbled)?;
                failed(tap.take_error())
            }
            Mode::Transcode(transcoder) => {
                let outcome = transcoder.decoder.push(bytes, &mut transcoder.events);
                transcoder.encode(&mut self.seen, out)?;
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
            Mode::Chat(tap) => {
                let outcome = tap.finish(out);
                self.seen.look_at_chat(tap);
                outcome.map_err(Failure::Garbled)?;
                failed(tap.take_error())?;
                if self.seen.complete && !self.seen.ended {
                    // Some compatible providers leave it out; clients wait for it.
                    sluice_wire::sse::write_event(out, None, b"[DONE]");
                    self.seen.ended = true;
                }
            }
            Mode::Responses(tap) => {
                let outcome = tap.finish(out);
                self.seen.look_at_responses(tap);
                outcome.map_err(Failure::Garbled)?;
                failed(tap.take_error())?;
            }
            Mode::Watch(tap, events) => {
                let outcome = tap.finish(out, events);
                self.seen.note_all(events)?;
                outcome.map_err(Failure::Garbled)?;
            }
            Mode::Raw(tap) => {
                tap.finish(out).map_err(Failure::Garbled)?;
                self.seen.usage = tap.usage();
                // The end of the connection is the only end that it has.
                self.seen.complete = true;
                self.seen.ended = true;
            }
            Mode::Transcode(transcoder) => {
                let outcome = transcoder.decoder.finish(&mut transcoder.events);
                transcoder.encode(&mut self.seen, out)?;
                outcome.map_err(Failure::Garbled)?;
            }
        }
        if self.seen.complete {
            Ok(())
        } else {
            Err(Failure::Garbled(DecodeError::Truncated))
        }
    }

    /// Ends the caller's stream before the provider does: the model has written all that it may. `false`: there is no
    /// word for it, and the answer must be broken off.
    pub fn cut_short(&mut self, used: &Usage, out: &mut Vec<u8>) -> bool {
        match &mut self.mode {
            Mode::Chat(tap) => tap.cut_short(used, out),
            Mode::Transcode(transcoder) => transcoder.cut_short(used, out),
            Mode::Responses(_) | Mode::Watch(..) | Mode::Raw(_) => return false,
        }
        self.seen.finish = Some(finish_word(&Finish::Length));
        true
    }

    /// Whether the answer is one of events between which comments may stand.
    #[must_use]
    pub fn takes_comments(&self) -> bool {
        match &self.mode {
            Mode::Raw(tap) => tap.is_events(),
            _ => self.downstream.takes_comments(),
        }
    }

    /// What may be sent at any time without meaning anything; empty where there is no such thing.
    #[must_use]
    pub fn pulse(&self) -> &'static str {
        match &self.mode {
            Mode::Raw(tap) if !tap.is_events() => "",
            _ if self.takes_comments() => ":\n\n",
            _ => "\n",
        }
    }

    /// Ends the caller's stream with an error. `false`: there is no word for one, and the answer must be broken off.
    pub fn interrupt(&mut self, problem: &Problem, request: &RequestId, out: &mut Vec<u8>) -> bool {
        let fault = problem.fault(Some(request));
        match &mut self.mode {
            Mode::Raw(tap) if !tap.is_events() => return false,
            Mode::Responses(tap) => tap.fail(&fault.upstream(), out),
            Mode::Transcode(transcoder) => transcoder.encoder.fail(&fault, out),
            Mode::Chat(_) | Mode::Watch(..) | Mode::Raw(_) => {
                self.downstream.interrupt(&fault, out);
            }
        }
        true
    }

    /// The caller's language.
    #[must_use]
    pub const fn downstream(&self) -> Downstream {
        self.downstream
    }

    /// What has been seen so far.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What of the answer could not be expressed so far.
    #[must_use]
    pub fn drops(&self) -> Drops {
        match &self.mode {
            Mode::Transcode(transcoder) => transcoder.drops(),
            Mode::Chat(_) | Mode::Responses(_) | Mode::Watch(..) | Mode::Raw(_) => Drops::new(),
        }
    }
}

fn failed(error: Option<UpstreamError>) -> Result<(), Failure> {
    error.map_or(Ok(()), |error| Err(Failure::Answered(error)))
}

impl Transcoder {
    fn cut_short(&mut self, used: &Usage, out: &mut Vec<u8>) {
        let mut events = Vec::new();
        for (choice, parts) in std::mem::take(&mut self.open) {
            events.extend(
                parts
                    .into_iter()
                    .map(|part| Event::PartEnd { choice, part }),
            );
            let finish = Finish::Length;
            events.push(Event::Finish { choice, finish });
        }
        events.extend([Event::Usage(*used), Event::End]);
        for event in events {
            self.encoder.push(&event, out);
        }
    }

    fn drops(&self) -> Drops {
        let mut drops = self.decoder.drops().clone();
        drops.append(self.encoder.drops().clone());
        drops
    }

    fn encode(&mut self, seen: &mut Seen, out: &mut Vec<u8>) -> Result<(), Failure> {
        for event in self.events.drain(..) {
            seen.note(&event)?;
            match event {
                Event::PartStart { choice, part, .. } => {
                    self.open.get_or_default(choice).insert(part);
                }
                Event::PartEnd { choice, part } => {
                    self.open.get_or_default(choice).remove(&part);
                }
                Event::Finish { choice, .. } => drop(self.open.remove(&choice)),
                _ => {}
            }
            self.encoder.push(&event, out);
        }
        let lost = || self.decoder.drops().lose_content() || self.encoder.drops().lose_content();
        if self.strict && lost() {
            return Err(Failure::LossyAnswer(self.drops()));
        }
        Ok(())
    }
}

impl Seen {
    fn look_at_chat(&mut self, tap: &StreamTap) {
        self.usage = tap.usage().or(self.usage);
        self.finish = tap.finish_reason().map(str::to_owned);
        self.written = tap.written();
        self.complete = tap.is_complete();
        self.ended = tap.is_done();
    }

    fn look_at_responses(&mut self, tap: &responses::passthrough::StreamTap) {
        self.usage = tap.usage().or(self.usage);
        self.finish = tap.finish_reason().map(responses_finish_word);
        self.written = tap.written();
        self.complete = tap.is_complete();
        self.ended = tap.is_complete();
    }

    fn note_all(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        events.drain(..).try_for_each(|event| self.note(&event))
    }

    fn note(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Delta { text, .. } => {
                self.written = self.written.plus(TokenBound::of(text.as_bytes()));
            }
            Event::Finish { finish, .. } => self.finish = Some(finish_word(finish)),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End => {
                self.complete = true;
                self.ended = true;
            }
            Event::Failed(error) => return Err(Failure::Answered(error.clone())),
            _ => {}
        }
        Ok(())
    }

    /// The best that is known of what was used: the provider's word, or an estimate.
    #[must_use]
    pub fn usage_or_estimate(&self, input_likely: Tokens) -> (Usage, UsageSource) {
        let written = estimate::likely(self.written.tokens());
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
                self.otherwise.unwrap_or_else(|| Usage {
                    input: input_likely,
                    output: written,
                    ..Usage::default()
                }),
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
