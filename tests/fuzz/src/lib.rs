//! What holds for every input of the decoders, whoever wrote it: one property for each [`Target`].
//!
//! Decides what is asserted and on which inputs it begins. Knows no fuzzer: the tests beside it run each property on
//! seeds and mutants, `driver` hands it to libFuzzer. A property fails by panicking, like a test.
#![forbid(unsafe_code)]

mod answers;
mod assertions;
mod configuration;
mod dialects;
mod direct;
mod errors;
mod framing;
mod lists;
pub mod mutation;
mod order;
mod requests;
mod seeds;
mod splits;
mod streams;
mod through;

use seeds::Kind;

/// One thing that takes bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Panics when the property does not hold for these bytes.
    pub check: fn(&[u8]),
    /// Which seeds are of its kind.
    kinds: &'static [Kind],
}

impl Target {
    const fn new(name: &'static str, check: fn(&[u8]), kinds: &'static [Kind]) -> Self {
        Self { name, check, kinds }
    }

    /// The target of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Inputs to begin with: the project's own.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::of(self.kinds, seeds::fixtures())
    }

    /// More of them: recordings, where there are any.
    #[must_use]
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        seeds::of(self.kinds, seeds::recordings())
    }
}

/// Everything that takes bytes from outside.
pub const TARGETS: &[Target] = &[
    Target::new("sse", framing::sse, &[Kind::AnySse]),
    Target::new("event_stream", framing::event_stream, &[Kind::EventStream]),
    Target::new("json", framing::json, &[Kind::AnyJson]),
    Target::new("signature", framing::signature, &[Kind::Headed]),
    Target::new(
        "configuration",
        configuration::check,
        &[Kind::Configuration],
    ),
    Target::new(
        "request_openai",
        requests::openai,
        &[Kind::Request("openai")],
    ),
    Target::new(
        "request_completions",
        requests::completions,
        &[Kind::Completions],
    ),
    Target::new(
        "request_responses",
        requests::responses,
        &[Kind::Request("responses")],
    ),
    Target::new(
        "request_anthropic",
        requests::anthropic,
        &[Kind::Request("anthropic")],
    ),
    Target::new(
        "request_gemini",
        requests::gemini,
        &[Kind::Request("gemini")],
    ),
    Target::new("request_lists", lists::requests, &[Kind::ListRequest]),
    Target::new("answer_openai", answers::openai, &[Kind::Answer("openai")]),
    Target::new(
        "answer_responses",
        answers::responses,
        &[Kind::Answer("responses")],
    ),
    Target::new(
        "answer_anthropic",
        answers::anthropic,
        &[Kind::Answer("anthropic")],
    ),
    Target::new("answer_gemini", answers::gemini, &[Kind::Answer("gemini")]),
    Target::new(
        "answer_bedrock",
        answers::bedrock,
        &[Kind::Answer("bedrock")],
    ),
    Target::new("answer_cohere", answers::cohere, &[Kind::Answer("cohere")]),
    Target::new("answer_lists", lists::answers, &[Kind::ListAnswer]),
    Target::new("stream_openai", streams::openai, &[Kind::Stream("openai")]),
    Target::new(
        "stream_responses",
        streams::responses,
        &[Kind::Stream("responses")],
    ),
    Target::new(
        "stream_anthropic",
        streams::anthropic,
        &[Kind::Stream("anthropic")],
    ),
    Target::new("stream_gemini", streams::gemini, &[Kind::Stream("gemini")]),
    Target::new(
        "stream_bedrock",
        streams::bedrock,
        &[Kind::Stream("bedrock")],
    ),
    Target::new("stream_cohere", streams::cohere, &[Kind::Stream("cohere")]),
    Target::new("through_openai", through::openai, &[Kind::Stream("openai")]),
    Target::new(
        "through_responses",
        through::responses,
        &[Kind::Stream("responses")],
    ),
    Target::new(
        "through_anthropic",
        through::anthropic,
        &[Kind::Stream("anthropic")],
    ),
    Target::new("through_gemini", through::gemini, &[Kind::Stream("gemini")]),
    Target::new("form", direct::form, &[Kind::Form]),
    Target::new("request_direct", direct::request, &[Kind::ListRequest]),
    Target::new(
        "answer_direct",
        direct::answer,
        &[Kind::ListAnswer, Kind::Stream("openai")],
    ),
    Target::new("errors", errors::check, &[Kind::Headed]),
];
