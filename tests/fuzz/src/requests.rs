//! Callers' requests: what is accepted can be written for every provider, or is refused with a reason.

use sluice_wire::model::{ChatRequest, Role};
use sluice_wire::openai::passthrough::{Edits, rewrite_request};
use sluice_wire::{
    Malformed, Target, anthropic as wire_anthropic, gemini as wire_gemini,
    responses as wire_responses,
};

use crate::assertions::{has_strict_arguments, is_bounded, is_report, is_sendable, is_strict_json};
use crate::dialects::{PROVIDERS, Provider, caller, provider};

/// The longest sentence that a caller reads, what he wrote himself included, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

pub(crate) fn openai(body: &[u8]) {
    let Some(request) = accepted("openai", body) else {
        return;
    };
    for target in targets(&request) {
        goes_through(&request, &target, body);
    }
    write_all(&request, body);
}

pub(crate) fn responses(body: &[u8]) {
    let Some(mut request) = accepted("responses", body) else {
        return;
    };
    let rewritten = wire_responses::passthrough::rewrite_request(body, "renamed");
    is_strict_json(&rewritten, "responses rewritten");
    is_bounded(rewritten.len(), body, "responses rewritten");
    let again = wire_responses::decode_request(&rewritten).map(|(request, _)| request.model);
    assert_eq!(again.as_deref(), Ok("renamed"));
    for target in targets(&request) {
        write(provider("responses"), &request, &target, body);
    }
    match wire_responses::for_other_dialects(&mut request) {
        Ok(drops) => {
            is_report(&drops, "responses");
            write_all(&request, body);
        }
        Err(error) => is_sentence(&error),
    }
}

pub(crate) fn anthropic(body: &[u8]) {
    match wire_anthropic::decode_count_tokens(body) {
        Ok((_, drops)) => is_report(&drops, "anthropic count_tokens"),
        Err(error) => is_sentence(&error),
    }
    if let Some(request) = accepted("anthropic", body) {
        write_all(&request, body);
    }
}

pub(crate) fn gemini(body: &[u8]) {
    match wire_gemini::downstream::decode_count_tokens("gemini-2.5-flash", body) {
        Ok((_, drops)) => is_report(&drops, "gemini countTokens"),
        Err(error) => is_sentence(&error),
    }
    if let Some(request) = accepted("gemini", body) {
        write_all(&request, body);
    }
}

fn accepted(name: &str, body: &[u8]) -> Option<ChatRequest> {
    match (caller(name).request)(body) {
        Ok((request, drops)) => {
            is_report(&drops, name);
            Some(request)
        }
        Err(error) => {
            is_sentence(&error);
            None
        }
    }
}

/// What a caller reads is a short sentence with a stable code.
pub(crate) fn is_sentence(error: &Malformed) {
    let is_code = |code: &str| {
        code.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    assert!(!error.code.is_empty() && is_code(error.code), "{error:?}");
    assert!(!error.message.is_empty(), "{error:?}");
    assert!(
        error.message.len() <= MESSAGE_BYTES_MAX,
        "{} bytes of {}",
        error.message.len(),
        error.code
    );
}

/// A provider that knows nothing but the dialect, and one that knows everything.
fn targets(request: &ChatRequest) -> [Target; 2] {
    let plain = Target {
        model: request.model.clone(),
        ..Target::default()
    };
    let full = Target {
        model: "claude-sonnet-4-5".to_owned(),
        output_tokens_max: Some(64_000),
        max_completion_tokens: true,
        developer_role: true,
        reasoning_content: true,
        thought_signatures: true,
        reasoning_adaptive: true,
        structured_outputs: true,
        ..Target::default()
    };
    [plain, full]
}

fn write_all(request: &ChatRequest, input: &[u8]) {
    for target in targets(request) {
        for provider in &PROVIDERS {
            write(provider, request, &target, input);
        }
    }
}

fn write(provider: &Provider, request: &ChatRequest, target: &Target, input: &[u8]) {
    match (provider.request)(request, target) {
        Ok((written, drops)) => {
            is_sendable(&written, input, provider.name);
            let mut messages = request.messages.iter();
            if messages.all(|message| has_strict_arguments(&message.parts)) {
                is_strict_json(&written.body, provider.name);
            }
            is_report(&drops, provider.name);
        }
        Err(error) => assert!(
            !error.field.is_empty() && !error.reason.is_empty(),
            "{error:?}"
        ),
    }
}

/// A body that goes through is still the same request, but for what was to be changed.
fn goes_through(request: &ChatRequest, target: &Target, body: &[u8]) {
    let edits = Edits::chat(request, target);
    let rewritten = rewrite_request(body, &edits);
    is_strict_json(&rewritten, "openai rewritten");
    let (again, _) = (caller("openai").request)(&rewritten).expect("a rewritten request is one");
    let mut expected = request.clone();
    expected.model.clone_from(&target.model);
    expected.stream_usage |= edits.include_usage;
    for message in &mut expected.messages {
        if message.role == Role::Developer && !target.developer_role {
            message.role = Role::System;
        }
    }
    assert_eq!(again, expected);
}
