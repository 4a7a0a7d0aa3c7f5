//! The two sides of the gateway: every dialect that a caller may speak, and every one that a provider may.

use serde_json::Value;
use sluice_wire::model::{ChatRequest, ChatResponse, Collector, Event};
use sluice_wire::{
    DecodeError, Drops, EncodeError, Malformed, Target, UpstreamRequest, anthropic, bedrock,
    cohere, gemini, openai, responses,
};

/// A dialect of callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Downstream {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

/// A dialect of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Upstream {
    Chat,
    Responses,
    Anthropic,
    Gemini,
    Bedrock,
    Cohere,
}

const ANSWER: &str = "1";

impl Downstream {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::Responses, Self::Anthropic, Self::Gemini];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// Reads a caller's request. A Gemini caller's model and wish for a stream stand in the path.
    pub(crate) fn decode(self, body: &[u8]) -> Result<(ChatRequest, Drops), Malformed> {
        match self {
            Self::Chat => openai::chat::decode_request(body),
            Self::Responses => responses::decode_request(body),
            Self::Anthropic => anthropic::decode_request(body),
            Self::Gemini => gemini::downstream::decode_request("fast", false, body),
        }
    }

    /// Writes a whole answer for the caller.
    pub(crate) fn answer(self, response: &ChatResponse) -> (Vec<u8>, Drops) {
        match self {
            Self::Chat => openai::chat::encode_response(response, &chat_answered()),
            Self::Responses => responses::encode_response(response, &responses_answered()),
            Self::Anthropic => anthropic::encode_response(response, &anthropic_answered()),
            Self::Gemini => gemini::downstream::encode_response(response, &gemini_answered()),
        }
    }

    /// Writes a stream for the caller.
    pub(crate) fn stream(self, events: &[Event]) -> (Vec<u8>, Drops) {
        let mut out = Vec::new();
        let drops = match self {
            Self::Chat => {
                let mut encoder = openai::chat::StreamEncoder::new(chat_answered(), true);
                events
                    .iter()
                    .for_each(|event| encoder.push(event, &mut out));
                encoder.drops().clone()
            }
            Self::Responses => {
                let mut encoder = responses::StreamEncoder::new(responses_answered());
                events
                    .iter()
                    .for_each(|event| encoder.push(event, &mut out));
                encoder.drops().clone()
            }
            Self::Anthropic => {
                let mut encoder = anthropic::StreamEncoder::new(anthropic_answered());
                events
                    .iter()
                    .for_each(|event| encoder.push(event, &mut out));
                encoder.drops().clone()
            }
            Self::Gemini => {
                let framing = gemini::downstream::Framing::Sse;
                let mut encoder =
                    gemini::downstream::StreamEncoder::new(framing, gemini_answered());
                events
                    .iter()
                    .for_each(|event| encoder.push(event, &mut out));
                encoder.drops().clone()
            }
        };
        (out, drops)
    }

    /// The dialect in which a provider would have said the same.
    pub(crate) const fn as_upstream(self) -> Upstream {
        match self {
            Self::Chat => Upstream::Chat,
            Self::Responses => Upstream::Responses,
            Self::Anthropic => Upstream::Anthropic,
            Self::Gemini => Upstream::Gemini,
        }
    }
}

fn chat_answered() -> openai::chat::Answered {
    openai::chat::Answered {
        id: format!("chatcmpl-{ANSWER}"),
        created: 1,
        model: String::new(),
    }
}

fn responses_answered() -> responses::Answered {
    responses::Answered {
        id: format!("resp_{ANSWER}"),
        created: 1,
        ..responses::Answered::default()
    }
}

fn anthropic_answered() -> anthropic::Answered {
    anthropic::Answered {
        id: format!("msg_{ANSWER}"),
        model: String::new(),
    }
}

fn gemini_answered() -> gemini::downstream::Answered {
    gemini::downstream::Answered {
        id: ANSWER.to_owned(),
        model: String::new(),
    }
}

impl Upstream {
    pub(crate) const ALL: [Self; 6] = [
        Self::Chat,
        Self::Responses,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::Cohere,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Chat => "openai",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Cohere => "cohere",
        }
    }

    /// A model of this dialect that can do all, and one that can do little.
    pub(crate) fn targets(self) -> [Target; 2] {
        let model = match self {
            Self::Chat | Self::Responses => "gpt-x",
            Self::Anthropic => "claude-sonnet-4-5",
            Self::Gemini => "gemini-3-pro",
            Self::Bedrock => "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            Self::Cohere => "command-a-reasoning-08-2025",
        };
        let able = Target {
            model: model.to_owned(),
            output_tokens_max: Some(64_000),
            max_completion_tokens: true,
            developer_role: true,
            structured_outputs: true,
            ..Target::default()
        };
        let plain = Target {
            model: model.to_owned(),
            reasoning: false,
            sampling: false,
            ..Target::default()
        };
        [able, plain]
    }

    /// Writes a request for the provider.
    pub(crate) fn encode(
        self,
        request: &ChatRequest,
        target: &Target,
    ) -> Result<(UpstreamRequest, Drops), EncodeError> {
        match self {
            Self::Chat => openai::chat::encode_request(request, target),
            Self::Responses => responses::encode_request(request, target),
            Self::Anthropic => anthropic::encode_request(request, target),
            Self::Gemini => gemini::encode_request(request, target),
            Self::Bedrock => bedrock::encode_request(request, target),
            Self::Cohere => cohere::encode_request(request, target),
        }
    }

    /// Reads a provider's whole answer.
    pub(crate) fn answer(self, body: &[u8]) -> Result<(ChatResponse, Drops), DecodeError> {
        match self {
            Self::Chat => openai::chat::decode_response(body),
            Self::Responses => responses::decode_response(body),
            Self::Anthropic => anthropic::decode_response(body),
            Self::Gemini => gemini::decode_response(body),
            Self::Bedrock => bedrock::decode_response(body),
            Self::Cohere => cohere::decode_response(body),
        }
    }

    /// Reads a provider's stream that comes in pieces of this size, to its end or its failure.
    pub(crate) fn stream(
        self,
        bytes: &[u8],
        size: usize,
    ) -> (Vec<Event>, Drops, Result<(), DecodeError>) {
        macro_rules! read {
            ($decoder:expr, $drops:expr) => {{
                let mut decoder = $decoder;
                let mut events = Vec::new();
                let mut pieces = bytes.chunks(size);
                let pushed = pieces.try_for_each(|piece| decoder.push(piece, &mut events));
                let end = pushed.and_then(|()| decoder.finish(&mut events));
                (events, $drops(&decoder), end)
            }};
        }
        match self {
            Self::Chat => read!(
                openai::chat::StreamDecoder::new(),
                |decoder: &openai::chat::StreamDecoder| decoder.drops().clone()
            ),
            Self::Responses => read!(
                responses::StreamDecoder::new(),
                |decoder: &responses::StreamDecoder| decoder.drops().clone()
            ),
            Self::Anthropic => read!(
                anthropic::StreamDecoder::new(),
                |decoder: &anthropic::StreamDecoder| decoder.drops().clone()
            ),
            Self::Gemini => read!(gemini::StreamDecoder::new(), |_: &gemini::StreamDecoder| {
                Drops::new()
            }),
            Self::Bedrock => read!(
                bedrock::StreamDecoder::new(),
                |decoder: &bedrock::StreamDecoder| decoder.drops().clone()
            ),
            Self::Cohere => read!(
                cohere::StreamDecoder::new(),
                |decoder: &cohere::StreamDecoder| decoder.drops().clone()
            ),
        }
    }

    /// Reads what a request says that was written for a provider of this dialect.
    pub(crate) fn read_back(self, body: &Value) -> Result<ChatRequest, String> {
        let bytes = body.to_string();
        let bytes = bytes.as_bytes();
        let read = match self {
            Self::Chat => openai::chat::decode_request(bytes),
            Self::Responses => responses::decode_request(bytes),
            Self::Anthropic => anthropic::decode_request(bytes),
            Self::Gemini => gemini::downstream::decode_request("fast", false, bytes),
            Self::Bedrock => return Ok(super::converse::read(body)),
            Self::Cohere => return Ok(super::command::read(body)),
        };
        let (mut request, _) = read.map_err(|fault| fault.message)?;
        // In these modes Gemini holds its calls to their schemas.
        let mode = &body["toolConfig"]["functionCallingConfig"]["mode"];
        if self == Self::Gemini && (mode == "ANY" || mode == "VALIDATED") {
            for tool in &mut request.tools {
                tool.strict = Some(true);
            }
        }
        Ok(request)
    }
}

/// Puts a stream together.
pub(crate) fn collect(events: &[Event]) -> Result<ChatResponse, String> {
    let mut collector = Collector::new();
    events
        .iter()
        .for_each(|event| collector.push(event.clone()));
    collector.finish().map_err(|error| format!("{error:?}"))
}
