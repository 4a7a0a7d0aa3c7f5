//! A request for the next turn, in Gemini's words.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, Value};

use crate::error::EncodeError;
use crate::model::{ChatRequest, ResponseFormat, ToolChoice};
use crate::{Drops, Target, UpstreamRequest};

use super::value::{inexpressible, put, single};
use super::{OWN, config, contents, names, own};

/// Top-level fields that only Gemini has.
const OWN_FIELDS: [&str; 2] = ["safetySettings", "cachedContent"];

/// Writes a conversation for Gemini.
///
/// # Errors
/// [`EncodeError`] when a part, a name or the model cannot be said and must not be left out.
pub fn encode_request(
    request: &ChatRequest,
    target: &Target,
) -> Result<(UpstreamRequest, Drops), EncodeError> {
    let mut drops = Drops::new();
    let resource = names::model_resource(&target.model)?;
    let said = contents::encode(request, names::generation(target.known_as()), &mut drops)?;
    let mut tools = config::tools(request, target.known_as(), &mut drops)?;
    let mut system = said.system;
    let format = request.format.as_ref();
    let format = if !tools.tools.is_empty() && wants_json(format) {
        beside_tools(request, target, &mut tools, &mut system, &mut drops)
    } else {
        format
    };
    let generation = config::generation(request, target, format, &mut drops);

    let mut body = Map::new();
    if !system.is_empty() {
        put(&mut body, "systemInstruction", single("parts", system));
    }
    put(&mut body, "contents", said.contents);
    if !tools.tools.is_empty() {
        put(&mut body, "tools", tools.tools);
    }
    if let Some(config) = tools.config {
        put(&mut body, "toolConfig", config);
    }
    if !generation.is_empty() {
        put(&mut body, "generationConfig", generation);
    }
    own_fields(request, &mut body, &mut drops);
    Ok((post(path(&resource, request.stream), body)?, drops))
}

/// Where a model answers.
pub(crate) fn address(model: &str, stream: bool) -> Result<String, EncodeError> {
    Ok(path(&names::model_resource(model)?, stream))
}

/// Where a model counts tokens.
pub(crate) fn count_address(model: &str) -> Result<String, EncodeError> {
    Ok(format!("/{}:countTokens", names::model_resource(model)?))
}

fn path(resource: &str, stream: bool) -> String {
    if stream {
        format!("/{resource}:streamGenerateContent?alt=sse")
    } else {
        format!("/{resource}:generateContent")
    }
}

const fn wants_json(format: Option<&ResponseFormat>) -> bool {
    matches!(
        format,
        Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. })
    )
}

/// JSON is wanted and there are functions. Older models refuse both at once: functions that must not be called go;
/// otherwise the form is asked for in the instructions.
fn beside_tools<'a>(
    request: &'a ChatRequest,
    target: &Target,
    tools: &mut config::Tools,
    system: &mut Vec<Value>,
    drops: &mut Drops,
) -> Option<&'a ResponseFormat> {
    if config::mixes_functions_and_json(target.known_as()) {
        return request.format.as_ref();
    }
    if request.tool_choice == Some(ToolChoice::None) {
        tools.tools.clear();
        tools.config = None;
        return request.format.as_ref();
    }
    drops.push(
        "response_format",
        "the model takes no form beside tools; it is asked for in the instructions",
    );
    let asked = match &request.format {
        Some(ResponseFormat::JsonSchema { schema, .. }) => format!(
            "When you answer without calling a function, answer with JSON only, no fences, that follows this schema: {schema}"
        ),
        _ => {
            "When you answer without calling a function, answer with a JSON object only, no fences."
                .to_owned()
        }
    };
    system.push(Value::Object(single("text", asked)));
    None
}

fn own_fields(request: &ChatRequest, body: &mut Map<String, Value>, drops: &mut Drops) {
    if request.user.is_some() {
        drops.push("user", "gemini has no end users");
    }
    if !request.metadata.is_empty() {
        drops.push("metadata", "gemini has no labels");
    }
    for key in OWN_FIELDS {
        if let Some(value) = own(request, key) {
            put(body, key, value.clone());
        }
    }
    for key in request.extra.keys() {
        if key != OWN {
            drops.push(key.clone(), "not supported by gemini");
        }
    }
}

/// A `POST` of a JSON body.
pub(super) fn post(path: String, body: Map<String, Value>) -> Result<UpstreamRequest, EncodeError> {
    let body = serde_json::to_vec(&Value::Object(body))
        .map_err(|_| inexpressible("messages", "not representable as JSON"))?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(UpstreamRequest {
        method: Method::POST,
        path: Cow::Owned(path),
        headers,
        body: Bytes::from(body),
    })
}
