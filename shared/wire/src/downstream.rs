//! The languages that callers speak, and the calls that pick the right one.
//!
//! A caller's language is known from the address alone. Requests are read, answers, streams, errors and lists are
//! written; where caller and provider speak the same dialect the body passes through ([`Downstream::pass_through`],
//! [`EventTap`]).

mod failure;
mod tap;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use crate::error::Malformed;
use crate::gemini::downstream::Framing;
use crate::model::{ChatRequest, ChatResponse, Event, Part};
use crate::openai::passthrough::{self, Edits};
use crate::responses::Echo;
use crate::{Dialect, Drops, EncodeError, Target, UpstreamRequest, anthropic, gemini};
use crate::{openai, responses};

pub use failure::Fault;
pub use tap::EventTap;

/// The language of a caller who wants the next turn of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downstream {
    /// OpenAI's Chat Completions.
    ChatCompletions,
    /// OpenAI's legacy Completions.
    Completions,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Gemini's `generateContent`; the framing matters for streams only.
    GenerateContent(Framing),
}

/// What the gateway itself knows of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answered {
    /// What the answer's identifier is built from where the provider gave none; each dialect puts its own prefix before.
    pub id: String,
    /// When it began, in seconds since the Unix epoch; used where the provider does not say.
    pub created: i64,
    /// What an answer in Responses repeats of its request; nothing in other dialects.
    pub echo: Option<Echo>,
}

impl Downstream {
    /// The dialect of the providers that speak the caller's language.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::ChatCompletions | Self::Completions => Dialect::OpenAi,
            Self::Responses => Dialect::Responses,
            Self::Messages => Dialect::Anthropic,
            Self::GenerateContent(_) => Dialect::Gemini,
        }
    }

    /// Reads a request whose body says everything.
    ///
    /// # Errors
    /// [`Malformed`] in the words of the dialect. Gemini's requests have their model in the address:
    /// [`gemini::downstream::decode_request`] reads them.
    pub fn decode_request(self, body: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
        match self {
            Self::ChatCompletions => openai::chat::decode_request(body),
            Self::Completions => openai::completions::decode_request(body),
            Self::Responses => responses::decode_request(body),
            Self::Messages => anthropic::decode_request(body),
            Self::GenerateContent(_) => gemini::downstream::decode_request("", false, body),
        }
    }

    /// Makes a request fit for a provider of another dialect: takes out what only this one has a meaning for.
    ///
    /// # Errors
    /// [`Malformed`] when the request needs what only a provider of the caller's own dialect has.
    pub fn leave(self, request: &mut ChatRequest) -> Result<Drops, Malformed> {
        match self {
            Self::Responses => responses::for_other_dialects(request),
            Self::Completions => openai::completions::for_other_dialects(request),
            Self::ChatCompletions => Ok(Drops::new()),
            Self::Messages => {
                show_thoughts(request);
                Ok(leave_extra(request))
            }
            Self::GenerateContent(_) => Ok(leave_extra(request)),
        }
    }

    /// Whether the caller's body may go to such a provider as it is, but for what policy changes.
    ///
    /// Proofs that another provider made over its thoughts must not reach this one, and a stream in one JSON array
    /// must be written anew.
    #[must_use]
    pub fn passes(self, dialect: Dialect, request: &ChatRequest, target: &Target) -> bool {
        if self.dialect() != dialect {
            return false;
        }
        match self {
            Self::ChatCompletions => openai::chat::suits(request, target),
            Self::Completions => target.completions,
            // Its own rewriting takes foreign proofs out.
            Self::Responses => true,
            Self::Messages => !parts(request).any(|part| match part {
                Part::Thinking { signature, .. } => {
                    signature.as_deref().is_some_and(anthropic::is_foreign)
                }
                Part::RedactedThinking { data } => anthropic::is_foreign(data),
                _ => false,
            }),
            Self::GenerateContent(framing) => {
                let streams_array = request.stream && framing == Framing::Array;
                !streams_array && !parts(request).any(gemini::holds_foreign_proof)
            }
        }
    }

    /// The caller's own body for a provider of the caller's dialect, with the model's name there.
    ///
    /// # Errors
    /// [`EncodeError`] when the model's name cannot stand in the address.
    pub fn pass_through(
        self,
        request: &ChatRequest,
        target: &Target,
        body: &Bytes,
    ) -> Result<UpstreamRequest, EncodeError> {
        let with_model = |path, headers| UpstreamRequest {
            method: Method::POST,
            path: Cow::Borrowed(path),
            headers,
            body: Bytes::from(passthrough::rewrite_request(
                body,
                &Edits {
                    model: Some(target.model.clone()),
                    ..Edits::default()
                },
            )),
        };
        Ok(match self {
            Self::ChatCompletions => {
                let edits = Edits::chat(request, target);
                let body = passthrough::rewrite_request(body, &edits);
                passthrough::request("/chat/completions", body)
            }
            Self::Completions => {
                let edits = Edits {
                    model: Some(target.model.clone()),
                    include_usage: request.stream && target.stream_usage,
                    ..Edits::default()
                };
                let body = passthrough::rewrite_request(body, &edits);
                passthrough::request("/completions", body)
            }
            Self::Responses => {
                let body = responses::passthrough::rewrite_request(body, &target.model);
                passthrough::request("/responses", body)
            }
            Self::Messages => with_model("/messages", anthropic::version_header()),
            Self::GenerateContent(_) => UpstreamRequest {
                method: Method::POST,
                path: Cow::Owned(gemini::address(&target.model, request.stream)?),
                headers: HeaderMap::new(),
                body: body.clone(),
            },
        })
    }

    /// The same body, held to so many output tokens; `None` where it must be written anew for that.
    #[must_use]
    pub fn limit_output(self, body: &[u8], target: &Target, tokens: u64) -> Option<Vec<u8>> {
        let key = match self {
            Self::ChatCompletions => passthrough::limit_key(target),
            Self::Completions | Self::Messages => "max_tokens",
            Self::Responses => "max_output_tokens",
            Self::GenerateContent(_) => return None,
        };
        Some(passthrough::set_number(body, key, tokens))
    }

    /// Whether a stream that passes through can be ended in good order before its provider ends it.
    #[must_use]
    pub const fn can_cut_short(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions)
    }

    /// The caller's request for a count of tokens, for a provider of the same dialect; `None` where the dialect has no
    /// such request.
    ///
    /// # Errors
    /// [`EncodeError`] when the model's name cannot stand in an address.
    pub fn count_request(
        self,
        request: &ChatRequest,
        target: &Target,
        body: &Bytes,
    ) -> Result<Option<UpstreamRequest>, EncodeError> {
        let path = match self {
            Self::Messages => Cow::Borrowed("/messages/count_tokens"),
            Self::GenerateContent(_) => Cow::Owned(gemini::count_address(&target.model)?),
            Self::ChatCompletions | Self::Completions | Self::Responses => return Ok(None),
        };
        let mut passed = self.pass_through(request, target, body)?;
        passed.path = path;
        if matches!(self, Self::GenerateContent(_)) {
            passed.body = gemini::downstream::count_body(&passed.body, &target.model)?;
        }
        Ok(Some(passed))
    }

    /// The count in an answer to [`Self::count_request`].
    #[must_use]
    pub fn counted(self, body: &[u8]) -> Option<u64> {
        let answer: Value = sluice_units::json::from_slice(body).ok()?;
        let name = match self {
            Self::Messages => "input_tokens",
            Self::GenerateContent(_) => "totalTokens",
            Self::ChatCompletions | Self::Completions | Self::Responses => return None,
        };
        answer.get(name)?.as_u64()
    }

    /// Writes a whole answer, and names what cannot be said.
    #[must_use]
    pub fn encode_response(self, response: &ChatResponse, answered: &Answered) -> (Vec<u8>, Drops) {
        match self {
            Self::ChatCompletions => openai::chat::encode_response(response, &answered.chat()),
            Self::Completions => {
                openai::completions::encode_response(response, &answered.completions())
            }
            Self::Responses => responses::encode_response(response, &answered.responses()),
            Self::Messages => anthropic::encode_response(response, &answered.messages()),
            Self::GenerateContent(_) => {
                gemini::downstream::encode_response(response, &answered.gemini())
            }
        }
    }

    /// Whether a streamed answer is one of server-sent events.
    #[must_use]
    pub const fn streams_events(self) -> bool {
        !matches!(self, Self::GenerateContent(Framing::Array))
    }

    /// Whether comments may stand between the events of a streamed answer. Google's Python client reads every line as
    /// data (google-genai 3.4.0, 2026-11-21).
    #[must_use]
    pub const fn takes_comments(self) -> bool {
        !matches!(self, Self::GenerateContent(_))
    }

    /// The `content-type` of an answer.
    #[must_use]
    pub const fn content_type(self, stream: bool) -> HeaderValue {
        HeaderValue::from_static(if stream && self.streams_events() {
            "text/event-stream; charset=utf-8"
        } else {
            "application/json"
        })
    }
}

/// Models that take a budget show a summary of their thoughts unless they are told otherwise; others must be told to.
fn show_thoughts(request: &mut ChatRequest) {
    if let Some(reasoning) = &mut request.reasoning
        && reasoning.budget_tokens.is_some_and(|budget| budget > 0)
    {
        reasoning.include.get_or_insert(true);
    }
}

/// Takes out, and names, the fields that only the caller's own dialect has.
fn leave_extra(request: &mut ChatRequest) -> Drops {
    let mut drops = Drops::new();
    for (key, value) in std::mem::take(&mut request.extra) {
        match value {
            Value::Object(own) if key == gemini::OWN => {
                for key in own.keys() {
                    drops.push(key.clone(), "only gemini has it");
                }
            }
            _ => drops.push(key, "only the caller's own dialect has it"),
        }
    }
    drops
}

fn parts(request: &ChatRequest) -> impl Iterator<Item = &Part> {
    request.messages.iter().flat_map(|message| &message.parts)
}

impl Answered {
    fn chat(&self) -> openai::chat::Answered {
        openai::chat::Answered {
            id: format!("chatcmpl-{}", self.id),
            created: self.created,
            model: String::new(),
        }
    }

    fn completions(&self) -> openai::completions::Answered {
        openai::completions::Answered {
            id: format!("cmpl-{}", self.id),
            created: self.created,
        }
    }

    fn responses(&self) -> responses::Answered {
        responses::Answered {
            id: format!("resp_{}", self.id),
            created: self.created,
            model: String::new(),
            echo: self.echo.clone().unwrap_or_default(),
        }
    }

    fn messages(&self) -> anthropic::Answered {
        anthropic::Answered {
            id: format!("msg_{}", self.id),
            model: String::new(),
        }
    }

    fn gemini(&self) -> gemini::downstream::Answered {
        gemini::downstream::Answered {
            id: self.id.clone(),
            model: String::new(),
        }
    }
}

/// Writes a streamed answer for a caller.
#[derive(Debug)]
pub enum StreamEncoder {
    /// OpenAI's chunks.
    ChatCompletions(openai::chat::StreamEncoder),
    /// OpenAI's legacy chunks.
    Completions(openai::completions::StreamEncoder),
    /// The events of Responses.
    Responses(responses::StreamEncoder),
    /// Anthropic's events.
    Messages(anthropic::StreamEncoder),
    /// Gemini's chunks.
    GenerateContent(gemini::downstream::StreamEncoder),
}

impl StreamEncoder {
    /// An encoder at the start of a stream. `include_usage`: a caller of (Chat) Completions asked for the usage chunk.
    #[must_use]
    pub fn new(downstream: Downstream, answered: &Answered, include_usage: bool) -> Self {
        match downstream {
            Downstream::ChatCompletions => Self::ChatCompletions(openai::chat::StreamEncoder::new(
                answered.chat(),
                include_usage,
            )),
            Downstream::Completions => Self::Completions(openai::completions::StreamEncoder::new(
                answered.completions(),
                include_usage,
            )),
            Downstream::Responses => {
                Self::Responses(responses::StreamEncoder::new(answered.responses()))
            }
            Downstream::Messages => {
                Self::Messages(anthropic::StreamEncoder::new(answered.messages()))
            }
            Downstream::GenerateContent(framing) => Self::GenerateContent(
                gemini::downstream::StreamEncoder::new(framing, answered.gemini()),
            ),
        }
    }

    /// Appends what the caller gets for this event.
    pub fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match self {
            Self::ChatCompletions(encoder) => encoder.push(event, out),
            Self::Completions(encoder) => encoder.push(event, out),
            Self::Responses(encoder) => encoder.push(event, out),
            Self::Messages(encoder) => encoder.push(event, out),
            Self::GenerateContent(encoder) => encoder.push(event, out),
        }
    }

    /// What the caller's dialect could not say so far.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        match self {
            Self::ChatCompletions(encoder) => encoder.drops(),
            Self::Completions(encoder) => encoder.drops(),
            Self::Responses(encoder) => encoder.drops(),
            Self::Messages(encoder) => encoder.drops(),
            Self::GenerateContent(encoder) => encoder.drops(),
        }
    }

    /// Ends the stream with an error.
    pub fn fail(&mut self, fault: &Fault<'_>, out: &mut Vec<u8>) {
        match self {
            Self::ChatCompletions(_) | Self::Completions(_) => {
                Downstream::ChatCompletions.interrupt(fault, out);
            }
            Self::Messages(_) => Downstream::Messages.interrupt(fault, out),
            // These number their events, or close what they have opened.
            Self::Responses(encoder) => encoder.push(&Event::Failed(fault.upstream()), out),
            Self::GenerateContent(encoder) => encoder.push(&Event::Failed(fault.upstream()), out),
        }
    }
}
