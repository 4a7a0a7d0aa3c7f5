//! Endpoints that only providers of the same kind have: images, audio, moderations, reranking.
//!
//! Requests and answers pass through; only the model's name is replaced. What is read of them is what governs them:
//! the model, how much may be used at most, and what was used. Follows OpenAI's API description 2.3.0; reranking has no
//! page there and follows <https://docs.cohere.com/v2/reference/rerank>, as compatible providers do.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Number, Value};
use sluice_units::Tokens;

use super::form::Form;
use super::passthrough::{self, Edits, split::Splitter};
use super::{error, fault, usage};
use crate::cohere::rerank;
use crate::error::{DecodeError, Malformed, UpstreamError};
use crate::json;
use crate::model::Usage;
use crate::{Dialect, TokenBound, UpstreamRequest};

/// The most images of one request, as at OpenAI.
const IMAGES_MAX: u32 = 10;
/// The most output tokens of one image: OpenAI's largest at its best quality takes 6,240.
const TOKENS_PER_IMAGE: u64 = 8_192;
/// Output tokens for each byte of text that is spoken: a second of speech takes some 21 tokens and says 15 bytes.
const SPEECH_TOKENS_PER_BYTE: u64 = 8;
/// Bytes of a recording that make one token, at the least: a second takes ten tokens, and 700 bytes when packed tightly.
const RECORDING_BYTES_PER_TOKEN: u64 = 16;
/// What moderations are asked of that name no model, as at OpenAI.
const MODERATION_DEFAULT: &str = "omni-moderation-latest";

/// The fewest bytes of a second of a recording: the tightest packing that is in use takes 600.
const BYTES_PER_SECOND_MIN: u64 = 500;

/// What is used beside tokens: some models are paid for by these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// Images that are made.
    pub images: u64,
    /// Characters that are spoken.
    pub characters: u64,
    /// Seconds that are listened to.
    pub seconds: u64,
}

/// Which endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Makes images.
    Images,
    /// Changes images.
    ImageEdits,
    /// Makes images like an image.
    ImageVariations,
    /// Says a text.
    Speech,
    /// Writes down what is said.
    Transcriptions,
    /// Writes down in English what is said.
    Translations,
    /// Judges texts and images.
    Moderations,
    /// Orders documents by what they say to a query.
    Rerank,
}

/// What governs a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The model's name as the caller wrote it.
    pub model: String,
    /// An upper bound on the input tokens.
    pub input: Tokens,
    /// An upper bound on the output tokens; `None` leaves it to the model's own limit.
    pub output: Option<Tokens>,
    /// An upper bound on what is used beside tokens.
    pub units: Units,
}

impl Endpoint {
    /// What follows a provider's base address.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Images => "/images/generations",
            Self::ImageEdits => "/images/edits",
            Self::ImageVariations => "/images/variations",
            Self::Speech => "/audio/speech",
            Self::Transcriptions => "/audio/transcriptions",
            Self::Translations => "/audio/translations",
            Self::Moderations => "/moderations",
            Self::Rerank => "/rerank",
        }
    }

    /// Whether its requests are always forms.
    #[must_use]
    pub const fn wants_form(self) -> bool {
        matches!(
            self,
            Self::ImageVariations | Self::Transcriptions | Self::Translations
        )
    }

    /// Whether providers of this dialect have it.
    #[must_use]
    pub const fn is_at(self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::OpenAi => true,
            Dialect::Cohere => matches!(self, Self::Rerank),
            Dialect::Responses | Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock => false,
        }
    }

    /// Reads what governs a request whose body is JSON.
    ///
    /// # Errors
    /// [`Malformed`] with the field at fault.
    pub fn read(self, body: &[u8]) -> Result<Facts, Malformed> {
        if self == Self::Rerank {
            let request = rerank::decode_request(body)?;
            return Ok(Facts {
                model: request.model,
                input: TokenBound::of(body).tokens(),
                output: Some(Tokens::ZERO),
                units: Units::default(),
            });
        }
        let mut fields = json::parse_object(body)?;
        let model = match fields.take_string("model")? {
            Some(model) if model.is_empty() => return Err(fault::empty_string("model".to_owned())),
            Some(model) => model,
            None if self == Self::Moderations => MODERATION_DEFAULT.to_owned(),
            None => return Err(fields.missing("model")),
        };
        let mut units = Units::default();
        let output = match self {
            Self::Images | Self::ImageEdits | Self::ImageVariations => {
                fields.need_string("prompt")?;
                let images = fault::take_u32(&mut fields, "n", 1, IMAGES_MAX)?.unwrap_or(1);
                units.images = u64::from(images);
                Some(units.images.saturating_mul(TOKENS_PER_IMAGE))
            }
            Self::Speech => {
                let text = fields.need_string("input")?;
                units.characters = count(text.chars().count());
                Some(count(text.len()).saturating_mul(SPEECH_TOKENS_PER_BYTE))
            }
            Self::Moderations => {
                fields
                    .take("input")
                    .ok_or_else(|| fields.missing("input"))?;
                Some(0)
            }
            Self::Transcriptions | Self::Translations | Self::Rerank => None,
        };
        Ok(Facts {
            model,
            input: TokenBound::of(body).tokens(),
            output: output.map(Tokens::new),
            units,
        })
    }

    /// What governs a form of which the fields before the model were read; `bytes` is how long the whole body is at most.
    #[must_use]
    pub fn read_form(self, form: &Form, model: &str, bytes: u64) -> Facts {
        let mut units = Units::default();
        let output = match self {
            Self::ImageEdits | Self::ImageVariations | Self::Images => {
                let said = form.text("n").and_then(|text| text.parse::<u64>().ok());
                let images = said.unwrap_or_else(|| u64::from(IMAGES_MAX));
                units.images = images.clamp(1, u64::from(IMAGES_MAX));
                Some(Tokens::new(units.images.saturating_mul(TOKENS_PER_IMAGE)))
            }
            _ => {
                units.seconds = bytes.div_ceil(BYTES_PER_SECOND_MIN);
                None
            }
        };
        Facts {
            model: model.to_owned(),
            input: Tokens::new(bytes.div_ceil(RECORDING_BYTES_PER_TOKEN)),
            output,
            units,
        }
    }

    /// What was used beside tokens, as far as a whole answer says it; the rest is as it was bound.
    #[must_use]
    pub fn counted(self, bound: Units, body: &[u8]) -> Units {
        #[derive(Default, Deserialize)]
        struct Answer {
            data: Option<Vec<IgnoredAny>>,
            usage: Option<Value>,
            duration: Option<Number>,
        }
        let answer: Answer = sluice_units::json::from_slice(body).unwrap_or_default();
        let images = || answer.data.as_ref().map(|images| count(images.len()));
        let seconds = || {
            let usage = answer.usage.as_ref().and_then(|usage| usage.get("seconds"));
            let number = usage
                .and_then(Value::as_number)
                .or(answer.duration.as_ref())?;
            // Begun seconds count.
            let text = number.to_string();
            let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
            let begun = u64::from(part.bytes().any(|digit| digit != b'0'));
            whole.parse::<u64>().ok()?.checked_add(begun)
        };
        match self {
            Self::Images | Self::ImageEdits | Self::ImageVariations => Units {
                images: images().unwrap_or(bound.images),
                ..bound
            },
            Self::Transcriptions | Self::Translations => Units {
                seconds: seconds().unwrap_or(bound.seconds),
                ..bound
            },
            Self::Speech | Self::Moderations | Self::Rerank => bound,
        }
    }

    /// The caller's body, with the model's name at the provider.
    #[must_use]
    pub fn request(self, body: &Bytes, model: &str) -> UpstreamRequest {
        let edits = Edits {
            model: Some(model.to_owned()),
            ..Edits::default()
        };
        self.post(Bytes::from(passthrough::rewrite_request(body, &edits)))
    }

    /// A request with a body that is ready.
    #[must_use]
    pub fn post(self, body: Bytes) -> UpstreamRequest {
        UpstreamRequest {
            method: Method::POST,
            path: Cow::Borrowed(self.path()),
            headers: HeaderMap::new(),
            body,
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What was used, as an answer or the last event of its stream says it; `None` when it does not.
#[must_use]
pub fn used(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        usage: Value,
        #[serde(default)]
        meta: Value,
    }
    let answer: Answer = sluice_units::json::from_slice(body).ok()?;
    match answer.usage {
        Value::Object(fields) => own_usage(&fields),
        _ => {
            let tokens = answer.meta.get("tokens")?;
            let input = tokens.get("input_tokens").and_then(Value::as_u64)?;
            Some(Usage {
                input: Tokens::new(input),
                ..Usage::default()
            })
        }
    }
}

/// Usage under the names of images and audio, or under those of conversations.
fn own_usage(fields: &Map<String, Value>) -> Option<Usage> {
    let number = |fields: &Map<String, Value>, key: &str| fields.get(key).and_then(Value::as_u64);
    let Some(input) = number(fields, "input_tokens") else {
        return usage::decode(&Value::Object(fields.clone()));
    };
    let details = |one: &str, other: &str| {
        let found = fields.get(one).or_else(|| fields.get(other));
        found
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let of_input = details("input_tokens_details", "input_token_details");
    let tokens = |key: &str| Tokens::new(number(&of_input, key).unwrap_or(0));
    Some(Usage {
        input: Tokens::new(input),
        input_audio: tokens("audio_tokens"),
        input_image: tokens("image_tokens"),
        output: Tokens::new(number(fields, "output_tokens").unwrap_or(0)),
        ..Usage::default()
    })
}

/// The error that an event tells of.
fn failed(data: &[u8]) -> Option<UpstreamError> {
    // Most events are none.
    memchr::memmem::find(data, b"\"error\"")?;
    match sluice_units::json::from_slice(data) {
        Ok(Value::Object(event)) => error::in_stream(&event),
        _ => None,
    }
}

/// Watches an answer that goes through as it is: events, or bytes that say nothing.
#[derive(Debug, Default)]
pub struct Tap {
    events: Option<Splitter>,
    usage: Option<Usage>,
    error: Option<UpstreamError>,
}

impl Tap {
    /// A tap at the start of an answer.
    #[must_use]
    pub fn new(is_events: bool) -> Self {
        Self {
            events: is_events.then(Splitter::default),
            usage: None,
            error: None,
        }
    }

    /// Whether the answer is a stream of events.
    #[must_use]
    pub const fn is_events(&self) -> bool {
        self.events.is_some()
    }

    /// What was used, as far as it was said.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The error that the provider sent in mid-stream, once; the gateway words it itself.
    pub fn take_error(&mut self) -> Option<UpstreamError> {
        self.error.take()
    }

    /// Takes the provider's next bytes and appends those that the caller gets.
    ///
    /// # Errors
    /// [`DecodeError`] when an event is too large.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let Self {
            events,
            usage,
            error,
        } = self;
        let Some(splitter) = events else {
            out.extend_from_slice(bytes);
            return Ok(());
        };
        splitter.push(bytes, out, |data| {
            *usage = used(data).or(*usage);
            if error.is_none() {
                *error = failed(data);
            }
            Ok(error.is_none().into())
        })
    }

    /// The provider has closed the answer. What has no end of its own is forwarded.
    ///
    /// # Errors
    /// [`DecodeError`] when an event is too large.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self.events.as_ref().and_then(Splitter::ends) {
            Some(ends) => self.push(ends, out),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(endpoint: Endpoint, body: &Value) -> Result<Facts, Malformed> {
        endpoint.read(body.to_string().as_bytes())
    }

    #[test]
    fn what_governs_a_request_is_read() {
        let images = read(
            Endpoint::Images,
            &json!({"model": "gpt-image-1", "prompt": "a cat", "n": 2}),
        );
        let images = images.unwrap();
        assert_eq!(images.model, "gpt-image-1");
        assert_eq!(images.output, Some(Tokens::new(2 * TOKENS_PER_IMAGE)));
        let moderation = read(Endpoint::Moderations, &json!({"input": ["a"]})).unwrap();
        assert_eq!(moderation.model, MODERATION_DEFAULT);
        assert_eq!(moderation.output, Some(Tokens::ZERO));
        let speech = json!({"model": "tts", "input": "hello", "voice": "alloy"});
        assert_eq!(
            read(Endpoint::Speech, &speech).unwrap().output,
            Some(Tokens::new(40))
        );
        let rerank = json!({"model": "r", "query": "q", "documents": ["a"]});
        assert_eq!(read(Endpoint::Rerank, &rerank).unwrap().model, "r");
    }

    #[test]
    fn what_is_used_beside_tokens_is_bound_and_then_counted() {
        let bound = |endpoint, body| read(endpoint, &body).unwrap().units;
        let images = bound(
            Endpoint::Images,
            json!({"model": "m", "prompt": "x", "n": 3}),
        );
        assert_eq!(images.images, 3);
        let two = br#"{"data":[{},{}]}"#;
        assert_eq!(Endpoint::Images.counted(images, two).images, 2);
        let speech = bound(Endpoint::Speech, json!({"model": "m", "input": "häßlich"}));
        assert_eq!(speech.characters, 7);
        let form = Form::new("multipart/form-data; boundary=b").unwrap();
        let recording = Endpoint::Transcriptions.read_form(&form, "m", 1_001).units;
        assert_eq!(recording.seconds, 3);
        for (answer, seconds) in [
            (r#"{"text":"a","usage":{"type":"duration","seconds":2}}"#, 2),
            (r#"{"text":"a","duration":1.2000000476837158}"#, 2),
            (r#"{"text":"a","duration":1.0}"#, 1),
            ("plain text", 3),
        ] {
            let counted = Endpoint::Transcriptions.counted(recording, answer.as_bytes());
            assert_eq!(counted.seconds, seconds, "{answer}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (endpoint, body, param) in [
            (Endpoint::Images, json!({"prompt": "x"}), "model"),
            (Endpoint::Images, json!({"model": "m"}), "prompt"),
            (
                Endpoint::Images,
                json!({"model": "m", "prompt": "x", "n": 11}),
                "n",
            ),
            (Endpoint::Speech, json!({"model": "m"}), "input"),
            (Endpoint::Moderations, json!({}), "input"),
            (
                Endpoint::Rerank,
                json!({"model": "m", "query": "q"}),
                "documents",
            ),
        ] {
            let wrong = read(endpoint, &body).unwrap_err();
            assert_eq!(wrong.param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn usage_is_read_under_all_its_names() {
        let tokens = Tokens::new;
        let image = json!({"usage": {"input_tokens": 50, "output_tokens": 4000, "total_tokens": 4050,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}});
        let used_image = used(image.to_string().as_bytes()).unwrap();
        assert_eq!(
            (used_image.input, used_image.input_image, used_image.output),
            (tokens(50), tokens(40), tokens(4000))
        );
        let audio = json!({"text": "hi", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 4,
            "input_token_details": {"audio_tokens": 14, "text_tokens": 0}}});
        assert_eq!(
            used(audio.to_string().as_bytes()).unwrap().input_audio,
            tokens(14)
        );
        assert_eq!(used(br#"{"usage":{"type":"duration","seconds":3}}"#), None);
        let rerank = br#"{"results":[],"meta":{"tokens":{"input_tokens":9}}}"#;
        assert_eq!(used(rerank).unwrap().input, tokens(9));
        assert_eq!(used(b"not json"), None);
    }

    #[test]
    fn an_error_in_mid_stream_is_not_passed_on() {
        let (mut tap, mut out) = (Tap::new(true), Vec::new());
        let stream = b"data: {\"type\":\"a\"}\n\ndata: {\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"message\":\"no\"}}\n\ndata: {\"type\":\"b\"}\n\n";
        tap.push(stream, &mut out).unwrap();
        assert_eq!(out, b"data: {\"type\":\"a\"}\n\n");
        assert_eq!(tap.take_error().unwrap().message, "no");
    }

    #[test]
    fn events_go_through_and_say_what_was_used() {
        let stream = b"data: {\"type\":\"a\"}\n\ndata: {\"type\":\"done\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}\n\n";
        for cut in 0..stream.len() {
            let (mut tap, mut out) = (Tap::new(true), Vec::new());
            let (head, tail) = stream.split_at(cut);
            tap.push(head, &mut out).unwrap();
            tap.push(tail, &mut out).unwrap();
            tap.finish(&mut out).unwrap();
            assert_eq!(out, stream);
            assert_eq!(tap.usage().unwrap().output, Tokens::new(2));
        }
    }
}
