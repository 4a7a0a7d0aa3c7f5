//! A neutral conversation as a Messages request.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::blocks::{Body, Metadata, OutputConfig};
use super::reasoning::Surroundings;
use super::tools::Toolbox;
use super::turns::Conversation;
use super::{VERSION, cannot, format, marks, reasoning, sampling, tools, turns};
use crate::error::EncodeError;
use crate::model::ChatRequest;
use crate::{Drops, Target, UpstreamRequest};

/// The limit on output where neither the caller nor the catalogue says one; Messages requires it. In tokens.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;

/// The longest `metadata.user_id` that Messages accepts, in characters.
const USER_ID_CHARS_MAX: usize = 256;

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const FILES_BETA: HeaderValue = HeaderValue::from_static("files-api-2025-04-14");

/// Writes a conversation for Anthropic.
///
/// # Errors
/// [`EncodeError`] when something cannot be said that must not be left out: audio, a picture of an unknown type,
/// an empty conversation.
pub fn encode_request(
    request: &ChatRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    let conversation = turns::conversation(&request.messages, &mut drops)?;
    let has_files = conversation.has_files;
    let mut toolbox = tools::toolbox(request, &conversation.called, target, &mut drops)?;
    let format = format::apply(request, target, &mut toolbox, &mut drops)?;
    let config = OutputConfig {
        effort: None,
        format,
    };
    let mut body = body(request, target, conversation, toolbox, config, &mut drops);
    marks::bound(&mut body, &mut drops);
    let body = serde_json::to_vec(&body).map_err(|error| cannot("", error.to_string()))?;
    let request = UpstreamRequest {
        method: Method::POST,
        path: Cow::Borrowed("/messages"),
        headers: headers(has_files),
        body: Bytes::from(body),
    };
    Ok((request, drops))
}

/// The version of the API that the gateway speaks.
pub(crate) fn version_header() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static(VERSION));
    headers
}

fn headers(has_files: bool) -> HeaderMap {
    let mut headers = version_header();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if has_files {
        headers.insert(ANTHROPIC_BETA, FILES_BETA);
    }
    headers
}

fn body<'a>(
    request: &'a ChatRequest,
    target: &'a Target,
    conversation: Conversation<'a>,
    toolbox: Toolbox<'a>,
    mut output_config: OutputConfig<'a>,
    drops: &mut Drops,
) -> Body<'a> {
    let max_tokens = output_tokens_max(request, target, drops);
    let around = Surroundings {
        output_tokens_max: max_tokens,
        forced: toolbox
            .choice
            .as_ref()
            .is_some_and(|choice| choice.is_forced()),
        history_allows: reasoning::history_allows(&conversation.turns),
    };
    let plan = reasoning::plan(request.reasoning.as_ref(), target, around, drops);
    output_config.effort = plan.effort;
    let numbers = sampling::numbers(&request.sampling, target, plan.thinks(), drops);
    let stop_sequences = sampling::stops(request, drops);
    let metadata = metadata(request, drops);
    sampling::name_the_rest(request, drops);
    Body {
        model: &target.model,
        max_tokens,
        system: conversation.system,
        messages: conversation.turns,
        tools: toolbox.tools,
        tool_choice: toolbox.choice,
        thinking: plan.thinking,
        output_config,
        temperature: numbers.temperature,
        top_p: numbers.top_p,
        top_k: numbers.top_k,
        stop_sequences,
        metadata,
        stream: request.stream,
    }
}

fn output_tokens_max(request: &ChatRequest, target: &Target, drops: &mut Drops) -> u64 {
    match (request.output_tokens_max, target.output_tokens_max) {
        (Some(wanted), Some(most)) if wanted > most => {
            drops.push(
                "max_tokens",
                format!("limited to {most}, the most that the model writes"),
            );
            most
        }
        (Some(wanted), _) => wanted,
        (None, known) => known.unwrap_or(OUTPUT_TOKENS_DEFAULT),
    }
}

fn metadata<'a>(request: &'a ChatRequest, drops: &mut Drops) -> Option<Metadata<'a>> {
    let user_id = request.user.as_deref()?;
    if user_id.chars().count() > USER_ID_CHARS_MAX {
        drops.push(
            "user",
            format!("longer than {USER_ID_CHARS_MAX} characters"),
        );
        return None;
    }
    Some(Metadata { user_id })
}
