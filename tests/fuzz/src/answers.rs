//! Whole answers: what can be read can be written for every caller.

use bytes::Bytes;
use sluice_wire::model::ChatResponse;
use sluice_wire::{openai as wire_openai, responses as wire_responses};

use crate::assertions::{has_strict_arguments, is_bounded, is_json, is_report, is_strict_json};
use crate::dialects::{CALLERS, Provider, provider};

pub(crate) fn openai(body: &[u8]) {
    check(provider("openai"), body);
    // One that goes through as it is.
    let looked = wire_openai::passthrough::look(&Bytes::copy_from_slice(body));
    if looked.is_ok() {
        let shown = wire_openai::passthrough::rewrite_model_in_response(body, "shown");
        is_json_again(body, &shown);
    }
}

pub(crate) fn responses(body: &[u8]) {
    check(provider("responses"), body);
    let _ = wire_responses::passthrough::look(&Bytes::copy_from_slice(body));
}

pub(crate) fn anthropic(body: &[u8]) {
    check(provider("anthropic"), body);
}

pub(crate) fn gemini(body: &[u8]) {
    check(provider("gemini"), body);
}

pub(crate) fn bedrock(body: &[u8]) {
    check(provider("bedrock"), body);
}

pub(crate) fn cohere(body: &[u8]) {
    check(provider("cohere"), body);
}

fn check(provider: &Provider, body: &[u8]) {
    let Ok((response, drops)) = (provider.answer)(body) else {
        return;
    };
    is_report(&drops, provider.name);
    write(&response, body);
}

/// Every caller gets a legal answer.
pub(crate) fn write(response: &ChatResponse, input: &[u8]) {
    let mut choices = response.choices.iter();
    let is_strict = choices.all(|choice| has_strict_arguments(&choice.parts));
    for caller in &CALLERS {
        let (body, drops) = (caller.answer)(response);
        is_json(&body, caller.name);
        if is_strict {
            is_strict_json(&body, caller.name);
        }
        is_bounded(body.len(), input, caller.name);
        is_report(&drops, caller.name);
    }
}

/// Strict where the original is: a provider may say a key twice, and what goes through keeps that.
fn is_json_again(body: &[u8], rewritten: &[u8]) {
    if sluice_wire::json::parse(body).is_ok() {
        is_strict_json(rewritten, "the rewritten answer");
    }
}
