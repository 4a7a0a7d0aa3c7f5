//! Watches a stream that goes through as it is.
//!
//! Whole events are forwarded byte for byte and unfinished ones kept back, so that whatever the gateway writes next
//! stands at an event's border. Two kinds of event are not forwarded: the usage chunk that the caller did not ask for,
//! and an error, which the gateway words itself.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use sluice_units::Usage;

use super::mend;
use super::split::{Forward, Splitter};
use crate::error::{DecodeError, UpstreamError};
use crate::openai::{NAME, error, usage};
use crate::sse;
use crate::tokens::TokenBound;

/// Watches a stream that goes through as it is.
#[derive(Debug, Default)]
pub struct StreamTap {
    include_usage: bool,
    mends: bool,
    splitter: Splitter,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    usage: Option<Usage>,
    finish: Option<String>,
    unfinished: Choices,
    head: Option<Head>,
    written: TokenBound,
    done: bool,
    error: Option<UpstreamError>,
    failed: bool,
    /// The chunk at hand is not quite what OpenAI's description says.
    departs: bool,
    /// The chunk at hand has neither a name nor choices.
    is_blank: bool,
    /// One that had not, until the next one comes.
    blank: Option<Vec<u8>>,
}

/// What all chunks of a stream have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    id: String,
    object: String,
    created: i64,
    model: String,
}

/// The chunks of legacy Completions.
const LEGACY: &str = "text_completion";

/// How many choices have begun and ended, by index.
#[derive(Debug, Default)]
struct Choices {
    begun: u128,
    ended: u128,
}

impl Choices {
    fn open(&self) -> impl Iterator<Item = u32> {
        let open = self.begun & !self.ended;
        (0..u128::BITS).filter(move |index| open.checked_shr(*index).unwrap_or(0) & 1 == 1)
    }
}

impl StreamTap {
    /// A tap at the start of a stream. `include_usage`: the caller asked for the usage chunk.
    #[must_use]
    pub fn new(include_usage: bool) -> Self {
        Self {
            include_usage,
            ..Self::default()
        }
    }

    /// Puts right in what chunks of a chat depart from OpenAI's description.
    #[must_use]
    pub fn mending(self) -> Self {
        Self {
            mends: true,
            ..self
        }
    }

    /// Takes the provider's next bytes and appends those that the caller gets.
    ///
    /// # Errors
    /// [`DecodeError`] when an event is too large or no chunk; the stream is over then.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let (seen, include_usage, mends) = (&mut self.seen, self.include_usage, self.mends);
        self.splitter.push(bytes, out, |data| {
            if seen.failed {
                return Ok(Forward::Not);
            }
            let forward = seen.look(data, include_usage)?;
            if !(forward && mends) {
                return Ok(forward.into());
            }
            Ok(seen.mend(data))
        })
    }

    /// Says that no more bytes come. A last event without its empty line is forwarded if it is whole.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the answer was not complete.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if let Some(ends) = self.splitter.ends() {
            self.push(ends, out).map_err(|_| DecodeError::Truncated)?;
        }
        if self.is_complete() || self.seen.failed {
            Ok(())
        } else {
            Err(DecodeError::Truncated)
        }
    }

    /// Ends the caller's stream before the provider does: every choice that is open stops for `length`.
    pub fn cut_short(&mut self, used: &Usage, out: &mut Vec<u8>) {
        let head = self.seen.head.take().unwrap_or_default();
        let mut chunk = |choices: Vec<Value>, usage: Option<Value>| {
            let mut chunk = json!({
                "id": head.id,
                "object": head.object,
                "created": head.created,
                "model": head.model,
                "choices": choices,
            });
            if let (Some(usage), Some(fields)) = (usage, chunk.as_object_mut()) {
                fields.insert("usage".to_owned(), usage);
            }
            sse::write_event(out, None, chunk.to_string().as_bytes());
        };
        let is_legacy = head.object == LEGACY;
        let choices = self.seen.unfinished.open().map(|index| {
            let (key, empty) = if is_legacy {
                ("text", json!(""))
            } else {
                ("delta", json!({}))
            };
            json!({"index": index, key: empty, "finish_reason": "length"})
        });
        chunk(choices.collect(), None);
        if self.include_usage {
            chunk(Vec::new(), Some(usage::encode(used)));
        }
        sse::write_event(out, None, b"[DONE]");
        self.seen.finish = Some("length".to_owned());
    }

    /// What the provider says was used; the last word.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.seen.usage
    }

    /// Why the answer ended, in the provider's word.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        self.seen.finish.as_deref()
    }

    /// What the model has written, at most: content, reasoning and arguments.
    #[must_use]
    pub const fn written(&self) -> TokenBound {
        self.seen.written
    }

    /// Whether the stream has come to its end: `[DONE]`, or every choice has said why it ended.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        let choices = &self.seen.unfinished;
        !self.seen.failed
            && (self.seen.done || (choices.begun != 0 && choices.begun == choices.ended))
    }

    /// Whether the stream's last event, `[DONE]`, was there.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.seen.done
    }

    /// The error that the provider sent in mid-stream, once.
    pub fn take_error(&mut self) -> Option<UpstreamError> {
        self.seen.error.take()
    }
}

impl Seen {
    /// Looks at one event's data; `false` when the caller does not get it.
    fn look(&mut self, data: &[u8], include_usage: bool) -> Result<bool, DecodeError> {
        if data.is_empty() || self.done {
            return Ok(true);
        }
        if data == b"[DONE]" {
            self.done = true;
            return Ok(true);
        }
        let chunk: Chunk<'_> =
            sluice_units::json::from_slice(data).map_err(|error| DecodeError::Shape {
                dialect: NAME,
                detail: error.to_string(),
            })?;
        self.departs = chunk.system_fingerprint || chunk.object.as_deref() != Some(mend::CHUNK);
        let choices = chunk.choices.unwrap_or_default();
        self.departs |= choices.iter().any(|choice| choice.finish_reason.is_none());
        let suspicious = chunk.error.is_some()
            || chunk.object.as_deref() == Some(error::FLAT)
            || choices.iter().any(Choice::failed)
            || chunk
                .x_groq
                .as_ref()
                .is_some_and(|groq| groq.error.is_some());
        self.is_blank = choices.is_empty() && chunk.object.as_deref() == Some("");
        if suspicious && let Some(failed) = full_error(data) {
            self.failed = true;
            self.error = Some(failed);
            return Ok(false);
        }
        for choice in &choices {
            self.choice(choice);
        }
        if self.head.is_none() && !choices.is_empty() {
            self.head = sluice_units::json::from_slice(data).ok();
        }
        let groq = chunk.x_groq.and_then(|groq| groq.usage);
        let used = [chunk.usage, groq].iter().flatten().find_map(usage::decode);
        self.usage = used.or(self.usage);
        // The chunk that `include_usage` adds; one with a choice, or Azure's with none and no usage, is the caller's.
        Ok(include_usage || used.is_none() || !choices.is_empty())
    }

    /// What becomes of the chunk at hand.
    fn mend(&mut self, data: &[u8]) -> Forward {
        if std::mem::take(&mut self.is_blank) {
            self.blank = Some(data.to_vec());
            return Forward::Not;
        }
        let blank = self.blank.take();
        let joined = blank.and_then(|blank| mend::with_blank(&blank, data));
        let departs = std::mem::take(&mut self.departs);
        let mended = departs.then(|| mend::chunk(joined.as_deref().unwrap_or(data)));
        mended
            .flatten()
            .or(joined)
            .map_or(Forward::As, Forward::With)
    }

    fn choice(&mut self, choice: &Choice<'_>) {
        let bit = 1_u128.checked_shl(choice.index).unwrap_or(0);
        self.unfinished.begun |= bit;
        if let Some(word) = choice.word() {
            self.unfinished.ended |= bit;
            if self.finish.as_deref() != Some(word) {
                self.finish = Some(word.to_owned());
            }
        }
        if let Some(Written(more)) = choice.delta {
            self.written = self.written.plus(more);
        }
    }
}

/// Reads the error with the same eyes as the decoder.
fn full_error(data: &[u8]) -> Option<UpstreamError> {
    match sluice_units::json::from_slice(data) {
        Ok(Value::Object(chunk)) => error::in_stream(&chunk),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    object: Option<Cow<'a, str>>,
    /// Whether it is there, and `null`.
    #[serde(default, deserialize_with = "is_null")]
    system_fingerprint: bool,
    #[serde(default)]
    x_groq: Option<Groq>,
}

fn there<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Cow<'a, str>>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn is_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|some| some.is_none())
}

#[derive(Deserialize)]
struct Groq {
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    /// Absent, `null`, or a word.
    #[serde(borrow, default, deserialize_with = "there")]
    finish_reason: Option<Option<Cow<'a, str>>>,
    #[serde(default)]
    delta: Option<Written>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

impl Choice<'_> {
    /// Why it ended.
    fn word(&self) -> Option<&str> {
        self.finish_reason.as_ref()?.as_deref()
    }

    fn failed(&self) -> bool {
        self.error.is_some() || self.word() == Some("error")
    }
}

/// How many tokens the text of a delta has at most; nothing is kept of it.
struct Written(TokenBound);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a delta")
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written(TokenBound::of(text.as_bytes())))
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written(TokenBound::default()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Written, E> {
        Ok(Written(TokenBound::default()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Written, E> {
        Ok(Written(TokenBound::default()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Written, E> {
        Ok(Written(TokenBound::default()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Written, E> {
        Ok(Written(TokenBound::default()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let mut sum = TokenBound::default();
        while let Some(Written(more)) = access.next_element()? {
            sum = sum.plus(more);
        }
        Ok(Written(sum))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Written, A::Error> {
        let mut sum = TokenBound::default();
        while let Some(WrittenByModel(counts)) = access.next_key()? {
            if counts {
                let Written(more) = access.next_value()?;
                sum = sum.plus(more);
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Written(sum))
    }
}

/// Whether a field of a delta, at any depth, holds text that the model wrote.
/// What repeats it (`reasoning_details`, `thinking_blocks`) is not counted twice.
struct WrittenByModel(bool);

impl<'de> Deserialize<'de> for WrittenByModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(KeyReader)
    }
}

struct KeyReader;

impl Visitor<'_> for KeyReader {
    type Value = WrittenByModel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, key: &str) -> Result<WrittenByModel, E> {
        Ok(WrittenByModel(matches!(
            key,
            "content"
                | "reasoning_content"
                | "reasoning"
                | "refusal"
                | "tool_calls"
                | "function_call"
                | "function"
                | "name"
                | "arguments"
                | "text"
                | "thinking"
        )))
    }
}
