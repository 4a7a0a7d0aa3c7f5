//! A neutral conversation as a chat request.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Map, Value};

use super::messages::Turn;
use super::{cannot, config, messages, own_fields, tools};
use crate::error::EncodeError;
use crate::model::ChatRequest;
use crate::{Drops, Target, UpstreamRequest};

/// Top-level fields that only Cohere has.
const OWN_FIELDS: [&str; 4] = ["documents", "citation_options", "safety_mode", "priority"];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
    stream: bool,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Writes a conversation for Cohere.
///
/// # Errors
/// [`EncodeError`] when something cannot be said that must not be left out: audio, a document that is no text, an
/// empty conversation.
pub fn encode_request(
    request: &ChatRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    let messages = messages::turns(&request.messages, &mut drops)?;
    let mut rest = Map::new();
    tools::write(request, &mut rest, &mut drops)?;
    config::write(request, target, &mut rest, &mut drops);
    own_fields(&request.extra, &OWN_FIELDS, &mut rest, &mut drops);
    let body = Body {
        model: &target.model,
        messages,
        stream: request.stream,
        rest,
    };
    Ok((post("/chat", &body)?, drops))
}

/// A `POST` of a JSON body.
pub(super) fn post(
    path: &'static str,
    body: &impl Serialize,
) -> Result<UpstreamRequest, EncodeError> {
    let body = serde_json::to_vec(body).map_err(|error| cannot("", error.to_string()))?;
    let json = HeaderValue::from_static("application/json");
    Ok(UpstreamRequest {
        method: Method::POST,
        path: Cow::Borrowed(path),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
        body: Bytes::from(body),
    })
}
