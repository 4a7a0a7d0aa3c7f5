//! A neutral conversation as a Converse request.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};

use super::blocks::{Body, OutputConfig, bound_marks};
use super::config::{self, Around};
use super::family::Family;
use super::{DIALECT, cannot, names, tools, turns};
use crate::anthropic::sampling::wants;
use crate::error::EncodeError;
use crate::model::ChatRequest;
use crate::{Drops, Target, UpstreamRequest};

const UNSUPPORTED: &str = "not supported by bedrock";

/// Top-level fields that only Bedrock has and that go out as they came.
const OWN_FIELDS: [&str; 5] = [
    "guardrailConfig",
    "additionalModelResponseFieldPaths",
    "performanceConfig",
    "serviceTier",
    "promptVariables",
];

/// Joined with what the gateway writes there itself; the caller's word counts.
const ADDITIONAL: &str = "additionalModelRequestFields";

/// As above.
const METADATA: &str = "requestMetadata";

/// The most labels of one request, and the longest key and value, in characters.
const LABELS_MAX: usize = 16;
const LABEL_CHARS_MAX: usize = 256;

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Writes a conversation for Bedrock.
///
/// # Errors
/// [`EncodeError`] when something cannot be said that must not be left out: a picture's address, a file of unknown
/// format, an empty conversation.
pub fn encode_request(
    request: &ChatRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    let path = names::path(&target.model, request.stream)?;
    let family = Family::of(target.known_as());
    let mut said = turns::conversation(&request.messages, family, &mut drops)?;
    let toolbox = tools::toolbox(request, &said, family, target, &mut drops)?;
    let around = Around {
        is_forced: toolbox.is_forced(),
        allows_thinking: said.allows_thinking(),
    };
    let config = config::config(request, family, target, around, &mut drops);
    said.system.0.extend(toolbox.instruction.map(turns::plain));
    let mut body = Body {
        system: said.system,
        messages: said.turns,
        tool_config: toolbox.config,
        inference_config: config.inference,
        output_config: OutputConfig {
            text_format: toolbox.text_format,
            effort: config.effort,
        },
        additional_model_request_fields: config.additional,
        request_metadata: labels(request, &mut drops),
        own: Map::new(),
    };
    own_fields(request, &mut body, &mut drops);
    bound_marks(&mut body, &mut drops);
    let body = serde_json::to_vec(&body).map_err(|error| cannot("", error.to_string()))?;
    let request = UpstreamRequest {
        method: Method::POST,
        path: Cow::Owned(path),
        headers: headers(request.stream),
        body: Bytes::from(body),
    };
    Ok((request, drops))
}

fn headers(stream: bool) -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, json.clone());
    let accept = if stream {
        HeaderValue::from_static(EVENT_STREAM)
    } else {
        json
    };
    headers.insert(ACCEPT, accept);
    headers
}

/// The caller's labels, which Bedrock keeps with its logs of invocations.
fn labels(request: &ChatRequest, drops: &mut Drops) -> Map<String, Value> {
    let is_legal = |text: &str| {
        text.chars().count() <= LABEL_CHARS_MAX
            && text.chars().all(|c| {
                c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c)
            })
    };
    let mut labels = Map::new();
    for (key, value) in &request.metadata {
        let legal = !key.is_empty() && is_legal(key) && value.as_str().is_some_and(is_legal);
        if legal && labels.len() < LABELS_MAX {
            labels.insert(key.clone(), value.clone());
        } else {
            drops.push(format!("metadata.{key}"), UNSUPPORTED);
        }
    }
    labels
}

fn own_fields(request: &ChatRequest, body: &mut Body<'_>, drops: &mut Drops) {
    let nested = request.extra.get(DIALECT).and_then(Value::as_object);
    let nested = nested
        .into_iter()
        .flatten()
        .map(|(key, value)| (key, value, format!("{DIALECT}.{key}")));
    let top = request
        .extra
        .iter()
        .filter(|(key, value)| *key != DIALECT || !value.is_object())
        .map(|(key, value)| (key, value, key.clone()));
    for (key, value, field) in top.chain(nested) {
        let joined = match (key.as_str(), value) {
            (ADDITIONAL, Value::Object(_)) => Some(&mut body.additional_model_request_fields),
            (METADATA, Value::Object(_)) => Some(&mut body.request_metadata),
            _ => None,
        };
        if let (Some(fields), Value::Object(own)) = (joined, value) {
            fields.extend(own.clone());
        } else if OWN_FIELDS.contains(&key.as_str()) {
            body.own.insert(key.clone(), value.clone());
        } else {
            drops.push(field, UNSUPPORTED);
        }
    }
    if request.user.is_some() {
        drops.push("user", UNSUPPORTED);
    }
    for field in wants(request) {
        drops.push(field, UNSUPPORTED);
    }
}
