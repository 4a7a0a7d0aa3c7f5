//! Every dialect on either side, as functions of one form.

use http::HeaderMap;
use sluice_wire::model::{ChatRequest, ChatResponse, Event};
use sluice_wire::{
    DecodeError, Drops, EncodeError, Malformed, Target, UpstreamError, UpstreamRequest, anthropic,
    bedrock, cohere, gemini, openai, responses,
};

/// A value and what it could not say, or none.
type Lossy<T, E> = Result<(T, Drops), E>;

/// A dialect that callers speak.
pub(crate) struct Caller {
    pub(crate) name: &'static str,
    pub(crate) request: fn(&[u8]) -> Lossy<ChatRequest, Malformed>,
    pub(crate) answer: fn(&ChatResponse) -> (Vec<u8>, Drops),
    pub(crate) stream: fn() -> Writer,
}

/// Writes events for a caller.
pub(crate) type Writer = Box<dyn FnMut(&Event, &mut Vec<u8>)>;

/// A dialect that providers speak.
pub(crate) struct Provider {
    pub(crate) name: &'static str,
    pub(crate) request: fn(&ChatRequest, &Target) -> Lossy<UpstreamRequest, EncodeError>,
    pub(crate) answer: fn(&[u8]) -> Lossy<ChatResponse, DecodeError>,
    pub(crate) stream: fn() -> Box<dyn Reader>,
    pub(crate) error: fn(u16, &HeaderMap, &[u8]) -> UpstreamError,
}

/// Reads a provider's stream.
pub(crate) trait Reader {
    fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError>;
    fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError>;
}

macro_rules! reader {
    ($($decoder:ty),*) => {$(
        impl Reader for $decoder {
            fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), DecodeError> {
                Self::push(self, bytes, events)
            }

            fn finish(&mut self, events: &mut Vec<Event>) -> Result<(), DecodeError> {
                Self::finish(self, events)
            }
        }
    )*};
}

reader!(
    openai::chat::StreamDecoder,
    responses::StreamDecoder,
    anthropic::StreamDecoder,
    gemini::StreamDecoder,
    bedrock::StreamDecoder,
    cohere::StreamDecoder
);

/// The dialects that callers speak.
pub(crate) const CALLERS: [Caller; 5] = [
    Caller {
        name: "openai",
        request: openai::chat::decode_request,
        answer: |response| openai::chat::encode_response(response, &answered::openai()),
        stream: || {
            let mut encoder = openai::chat::StreamEncoder::new(answered::openai(), true);
            Box::new(move |event, out| encoder.push(event, out))
        },
    },
    Caller {
        name: "responses",
        request: responses::decode_request,
        answer: |response| responses::encode_response(response, &answered::responses()),
        stream: || {
            let mut encoder = responses::StreamEncoder::new(answered::responses());
            Box::new(move |event, out| encoder.push(event, out))
        },
    },
    Caller {
        name: "anthropic",
        request: anthropic::decode_request,
        answer: |response| anthropic::encode_response(response, &answered::anthropic()),
        stream: || {
            let mut encoder = anthropic::StreamEncoder::new(answered::anthropic());
            Box::new(move |event, out| encoder.push(event, out))
        },
    },
    Caller {
        name: "gemini",
        request: |body| gemini::downstream::decode_request("gemini-2.5-flash", true, body),
        answer: |response| gemini::downstream::encode_response(response, &answered::gemini()),
        stream: || gemini_stream(gemini::downstream::Framing::Sse),
    },
    Caller {
        name: "gemini array",
        request: |body| gemini::downstream::decode_request("gemini-3-pro", false, body),
        answer: |response| gemini::downstream::encode_response(response, &answered::gemini()),
        stream: || gemini_stream(gemini::downstream::Framing::Array),
    },
];

fn gemini_stream(framing: gemini::downstream::Framing) -> Writer {
    let mut encoder = gemini::downstream::StreamEncoder::new(framing, answered::gemini());
    Box::new(move |event, out| encoder.push(event, out))
}

/// The dialects that providers speak.
pub(crate) const PROVIDERS: [Provider; 6] = [
    Provider {
        name: "openai",
        request: openai::chat::encode_request,
        answer: openai::chat::decode_response,
        stream: || Box::new(openai::chat::StreamDecoder::new()),
        error: openai::error::decode,
    },
    Provider {
        name: "responses",
        request: responses::encode_request,
        answer: responses::decode_response,
        stream: || Box::new(responses::StreamDecoder::new()),
        error: openai::error::decode,
    },
    Provider {
        name: "anthropic",
        request: anthropic::encode_request,
        answer: anthropic::decode_response,
        stream: || Box::new(anthropic::StreamDecoder::new()),
        error: anthropic::error::decode,
    },
    Provider {
        name: "gemini",
        request: gemini::encode_request,
        answer: gemini::decode_response,
        stream: || Box::new(gemini::StreamDecoder::new()),
        error: gemini::error::decode,
    },
    Provider {
        name: "bedrock",
        request: bedrock::encode_request,
        answer: bedrock::decode_response,
        stream: || Box::new(bedrock::StreamDecoder::new()),
        error: bedrock::error::decode,
    },
    Provider {
        name: "cohere",
        request: cohere::encode_request,
        answer: cohere::decode_response,
        stream: || Box::new(cohere::StreamDecoder::new()),
        error: cohere::error::decode,
    },
];

/// The dialect of that name.
pub(crate) fn caller(name: &str) -> &'static Caller {
    const ALL: &[Caller] = &CALLERS;
    ALL.iter()
        .find(|one| one.name == name)
        .expect("a caller's dialect")
}

/// The dialect of that name.
pub(crate) fn provider(name: &str) -> &'static Provider {
    const ALL: &[Provider] = &PROVIDERS;
    ALL.iter()
        .find(|one| one.name == name)
        .expect("a provider's dialect")
}

/// What the gateway knows of every answer here.
mod answered {
    use super::{anthropic, gemini, openai, responses};

    pub(super) fn openai() -> openai::chat::Answered {
        openai::chat::Answered {
            id: "chatcmpl-fuzz".to_owned(),
            created: 1,
            model: "shown".to_owned(),
        }
    }

    pub(super) fn responses() -> responses::Answered {
        responses::Answered {
            id: "resp_fuzz".to_owned(),
            created: 1,
            model: "shown".to_owned(),
            echo: responses::Echo::default(),
        }
    }

    pub(super) fn anthropic() -> anthropic::Answered {
        anthropic::Answered {
            id: "msg_fuzz".to_owned(),
            model: String::new(),
        }
    }

    pub(super) fn gemini() -> gemini::downstream::Answered {
        gemini::downstream::Answered {
            id: "fuzz".to_owned(),
            model: String::new(),
        }
    }
}
