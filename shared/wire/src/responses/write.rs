//! A request for a provider. Quirks come from the [`Target`], never from a provider's name.
//!
//! The gateway keeps no state at providers: unless the caller says otherwise, `store` is false, and reasoning comes
//! back encrypted so that it can be sent again.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::downstream::INCLUDE_LOGPROBS;
use super::{NAME, NATIVE_KEYS, shape, write_input};
use crate::anthropic::names::legal;
use crate::error::EncodeError;
use crate::model::{ChatRequest, Effort, Reasoning, ToolChoice};
use crate::openai::chat::tools::effort_word;
use crate::openai::chat::write::{put, reasoning as nearest_effort};
use crate::{Drops, Target, UpstreamRequest};

/// The least that Responses takes as a limit on output, in tokens.
const OUTPUT_TOKENS_MIN: u64 = 16;

/// Fields of this dialect that the model has no name for, and that go out as they came.
const KEPT: [&str; 13] = [
    "store",
    "service_tier",
    "truncation",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
    "max_tool_calls",
    "context_management",
    "moderation",
];

/// Writes a request for a provider, and names what it cannot say.
///
/// # Errors
/// [`EncodeError`] when a message holds what the dialect cannot say and the model must not miss, or when the request
/// holds items or tools that can only go through as they are (see [`super::passthrough`]).
pub fn encode_request(
    request: &ChatRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    for key in NATIVE_KEYS {
        if request.extra.contains_key(key) {
            return Err(EncodeError {
                dialect: NAME,
                field: key.to_owned(),
                reason: "the provider's own items and tools go through unchanged or not at all"
                    .to_owned(),
            });
        }
    }
    let mut drops = Drops::new();
    let mut body = Map::new();
    put(&mut body, "model", Some(target.model.as_str()));
    let (instructions, items) = write_input::encode_all(&request.messages, target, &mut drops)?;
    put(&mut body, "instructions", instructions);
    put(&mut body, "input", Some(Value::Array(items)));
    tools(request, &mut body, &mut drops);
    let limit = request.output_tokens_max.map(|limit| {
        if limit < OUTPUT_TOKENS_MIN {
            drops.push("max_output_tokens", "responses takes no less than 16");
        }
        limit.max(OUTPUT_TOKENS_MIN)
    });
    put(&mut body, "max_output_tokens", limit);
    let effort = reasoning(request.reasoning.as_ref(), target, &mut body, &mut drops);
    sampling(request, target, effort, &mut body, &mut drops);
    text(request, &mut body);
    include(request, target, effort, &mut body);
    put(&mut body, "user", request.user.as_deref());
    if !request.metadata.is_empty() {
        put(&mut body, "metadata", Some(request.metadata.clone()));
    }
    put(&mut body, "store", Some(false));
    if request.stream {
        put(&mut body, "stream", Some(true));
    }
    for (key, value) in &request.extra {
        if KEPT.contains(&key.as_str()) {
            put(&mut body, key, Some(value.clone()));
        } else if !["verbosity", "include"].contains(&key.as_str()) {
            drops.push(key.clone(), "not a field of responses");
        }
    }
    let request = UpstreamRequest {
        method: Method::POST,
        path: Cow::Borrowed("/responses"),
        headers: HeaderMap::new(),
        body: Bytes::from(Value::Object(body).to_string()),
    };
    Ok((request, drops))
}

fn tools(request: &ChatRequest, body: &mut Map<String, Value>, drops: &mut Drops) {
    if request.tools.is_empty() {
        // A choice among no tools is refused, and what cannot be called need not be forbidden.
        if !matches!(
            request.tool_choice,
            None | Some(ToolChoice::Auto | ToolChoice::None)
        ) {
            drops.push("tool_choice", "there are no tools");
        }
        return;
    }
    let tools: Vec<Value> = request.tools.iter().map(shape::tool).map(named).collect();
    if request.tools.iter().any(|tool| tool.cache.is_some()) {
        drops.push("tools[].cache_control", "openai caches by itself");
    }
    put(body, "tools", Some(Value::Array(tools)));
    let choice = request.tool_choice.as_ref().map(shape::choice).map(named);
    put(body, "tool_choice", choice);
    put(body, "parallel_tool_calls", request.parallel_tool_calls);
}

/// A function under a name that the provider takes.
fn named(mut function: Value) -> Value {
    if let Some(Value::String(name)) = function.get_mut("name") {
        *name = legal(name).into_owned();
    }
    function
}

fn reasoning(
    wanted: Option<&Reasoning>,
    target: &Target,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) -> Option<Effort> {
    let shown = wanted.and_then(|wanted| wanted.include) == Some(true);
    // Responses shows what Chat Completions does not.
    let rest = wanted.map(|wanted| Reasoning {
        include: None,
        ..wanted.clone()
    });
    let effort = nearest_effort(rest.as_ref(), target, drops);
    let mut fields = Map::new();
    put(&mut fields, "effort", effort.map(effort_word));
    if shown && target.reasoning {
        put(&mut fields, "summary", Some("auto"));
    }
    if !fields.is_empty() {
        put(body, "reasoning", Some(fields));
    }
    effort
}

fn sampling(
    request: &ChatRequest,
    target: &Target,
    effort: Option<Effort>,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    let sampling = &request.sampling;
    // OpenAI's thinking models refuse these unless thinking is off (2025-11).
    let refused = !target.sampling && effort != Some(Effort::None);
    let logprobs = request.logprobs.filter(|logprobs| logprobs.enabled);
    if refused && logprobs.is_some() {
        drops.push("logprobs", "the model takes none");
    }
    let top = logprobs.and_then(|logprobs| logprobs.top);
    for (key, value) in [
        ("temperature", sampling.temperature.clone().map(Value::from)),
        ("top_p", sampling.top_p.clone().map(Value::from)),
        ("top_logprobs", top.map(Value::from)),
    ] {
        if refused && value.is_some() {
            drops.push(key, "the model takes none");
        } else {
            put(body, key, value);
        }
    }
    for (key, unsaid) in [
        ("top_k", sampling.top_k.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", !sampling.logit_bias.is_empty()),
        ("stop", !request.stop.is_empty()),
        ("n", request.choices.is_some_and(|choices| choices > 1)),
    ] {
        if unsaid {
            drops.push(key, "not supported by responses");
        }
    }
}

fn text(request: &ChatRequest, body: &mut Map<String, Value>) {
    let mut text = Map::new();
    put(
        &mut text,
        "format",
        request.format.as_ref().map(shape::format),
    );
    put(
        &mut text,
        "verbosity",
        request.extra.get("verbosity").cloned(),
    );
    if !text.is_empty() {
        put(body, "text", Some(text));
    }
}

fn include(
    request: &ChatRequest,
    target: &Target,
    effort: Option<Effort>,
    body: &mut Map<String, Value>,
) {
    let mut words = match request.extra.get("include") {
        Some(Value::Array(words)) => words.clone(),
        _ => Vec::new(),
    };
    let logprobs = request.logprobs.is_some_and(|logprobs| logprobs.enabled)
        && (target.sampling || effort == Some(Effort::None));
    // Models that do not think refuse to encrypt what they do not think.
    let encrypted = target.reasoning && effort != Some(Effort::None);
    for (wanted, word) in [
        (encrypted, "reasoning.encrypted_content"),
        (logprobs, INCLUDE_LOGPROBS),
    ] {
        let word = json!(word);
        if wanted && !words.contains(&word) {
            words.push(word);
        }
    }
    if !words.is_empty() {
        put(body, "include", Some(Value::Array(words)));
    }
}
