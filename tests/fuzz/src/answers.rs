//! Whole answers: what can be read can be written for every caller.

use bytes::Bytes;
use sluice_wire::dialect::{decode_chat, error_in_answer};
use sluice_wire::model::ChatResponse;
use sluice_wire::{Dialect, json, openai as wire_openai, responses as wire_responses};

use crate::assertions::{has_strict_arguments, is_bounded, is_json, is_report, is_strict_json};
use crate::dialects::{CALLERS, answered};

pub(crate) fn openai(body: &[u8]) {
    check(Dialect::OpenAi, body);
    // One that goes through as it is.
    let looked = wire_openai::passthrough::look(&Bytes::copy_from_slice(body));
    // A provider may say a key twice, and what goes through keeps that.
    if looked.is_ok() && json::parse(body).is_ok() {
        let shown = wire_openai::passthrough::rewrite_model_in_response(body, "shown");
        is_strict_json(&shown, "the rewritten answer");
    }
}

pub(crate) fn responses(body: &[u8]) {
    check(Dialect::Responses, body);
    let _ = wire_responses::passthrough::look(&Bytes::copy_from_slice(body));
}

pub(crate) fn anthropic(body: &[u8]) {
    check(Dialect::Anthropic, body);
}

pub(crate) fn gemini(body: &[u8]) {
    check(Dialect::Gemini, body);
}

pub(crate) fn bedrock(body: &[u8]) {
    check(Dialect::Bedrock, body);
}

pub(crate) fn cohere(body: &[u8]) {
    check(Dialect::Cohere, body);
}

fn check(dialect: Dialect, body: &[u8]) {
    let _ = error_in_answer(dialect, body);
    let Ok((response, drops)) = decode_chat(dialect, body) else {
        return;
    };
    is_report(&drops, dialect.name());
    write(&response, body);
}

/// Every caller gets a legal answer.
pub(crate) fn write(response: &ChatResponse, input: &[u8]) {
    let mut choices = response.choices.iter();
    let is_strict = choices.all(|choice| has_strict_arguments(&choice.parts));
    for caller in CALLERS {
        let what = format!("{caller:?}");
        let (body, drops) = caller.encode_response(response, &answered());
        is_json(&body, &what);
        if is_strict {
            is_strict_json(&body, &what);
        }
        is_bounded(body.len(), input, &what);
        is_report(&drops, &what);
    }
}
