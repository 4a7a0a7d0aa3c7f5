//! Callers' requests: what is accepted can be written for every provider, or is refused with a reason.

use bytes::Bytes;
use sluice_wire::dialect::encode_chat;
use sluice_wire::downstream::Downstream;
use sluice_wire::gemini::downstream::Framing;
use sluice_wire::model::{ChatRequest, Role};
use sluice_wire::openai::passthrough::Edits;
use sluice_wire::{Dialect, Malformed, Target, anthropic as wire_anthropic, gemini as wire_gemini};

use crate::assertions::{has_strict_arguments, is_bounded, is_report, is_sendable, is_strict_json};

/// The longest sentence that a caller reads, what he wrote himself included, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

pub(crate) fn openai(body: &[u8]) {
    check(Downstream::ChatCompletions, body);
}

pub(crate) fn completions(body: &[u8]) {
    check(Downstream::Completions, body);
}

pub(crate) fn responses(body: &[u8]) {
    check(Downstream::Responses, body);
}

pub(crate) fn anthropic(body: &[u8]) {
    if let Err(error) = wire_anthropic::decode_count_tokens(body) {
        is_sentence(&error);
    }
    check(Downstream::Messages, body);
}

pub(crate) fn gemini(body: &[u8]) {
    if let Err(error) = wire_gemini::downstream::decode_count_tokens("gemini-2.5-flash", body) {
        is_sentence(&error);
    }
    check(Downstream::GenerateContent(Framing::Sse), body);
}

fn check(caller: Downstream, body: &[u8]) {
    let (request, drops) = match caller.decode_request(body) {
        Ok(accepted) => accepted,
        Err(error) => return is_sentence(&error),
    };
    is_report(&drops, "a request");
    // Completions are of OpenAI's dialect, but most of its providers serve conversations only.
    let stays = caller != Downstream::Completions;
    for target in targets(&request) {
        goes_through(caller, &request, &target, body);
        if stays {
            write(caller.dialect(), &request, &target, body);
        }
    }
    let mut left = request;
    match caller.leave(&mut left) {
        Ok(drops) => {
            is_report(&drops, "a request that leaves its dialect");
            for target in targets(&left) {
                let mut others = Dialect::ALL.to_vec();
                others.retain(|other| !stays || *other != caller.dialect());
                for dialect in others {
                    write(dialect, &left, &target, body);
                }
            }
        }
        Err(error) => is_sentence(&error),
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
    let size = error.message.len();
    assert!(size <= MESSAGE_BYTES_MAX, "{size} bytes of {}", error.code);
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
        completions: true,
        ..Target::default()
    };
    [plain, full]
}

fn write(dialect: Dialect, request: &ChatRequest, target: &Target, input: &[u8]) {
    let what = dialect.name();
    match encode_chat(dialect, request, target) {
        Ok((written, drops)) => {
            is_sendable(&written, input, what);
            is_report(&drops, what);
            let mut messages = request.messages.iter();
            if messages.all(|message| has_strict_arguments(&message.parts)) {
                is_strict_json(&written.body, what);
            }
        }
        Err(error) => assert!(
            !error.field.is_empty() && !error.reason.is_empty(),
            "{error:?}"
        ),
    }
}

/// A body that goes through is still the same request, but for what was to be changed.
fn goes_through(caller: Downstream, request: &ChatRequest, target: &Target, body: &[u8]) {
    if !caller.passes(caller.dialect(), request, target) {
        return;
    }
    let through = caller.pass_through(request, target, &Bytes::copy_from_slice(body));
    let Ok(through) = through else {
        return;
    };
    is_sendable(&through, body, "a body that goes through");
    is_strict_json(&through.body, "a body that goes through");
    is_bounded(through.body.len(), body, "a body that goes through");
    let again = caller.decode_request(&through.body);
    let (again, _) = again.expect("a body that goes through is a request");
    match caller {
        Downstream::ChatCompletions => assert_eq!(again, edited(request, target)),
        // The model stands in the address.
        Downstream::GenerateContent(_) => assert_eq!(&again, request),
        Downstream::Messages => {
            let model = target.model.clone();
            assert_eq!(
                again,
                ChatRequest {
                    model,
                    ..request.clone()
                }
            );
        }
        // What other providers signed is taken out.
        Downstream::Responses | Downstream::Completions => {
            assert_eq!(again.model, target.model);
        }
    }
}

fn edited(request: &ChatRequest, target: &Target) -> ChatRequest {
    let mut expected = request.clone();
    expected.model.clone_from(&target.model);
    expected.stream_usage |= Edits::chat(request, target).include_usage;
    for message in &mut expected.messages {
        if message.role == Role::Developer && !target.developer_role {
            message.role = Role::System;
        }
    }
    expected
}
