//! JSON answers: structured outputs where the model has them, otherwise a tool call that stands in.
//!
//! The stand-in tool has one reserved name, so a decoder knows its calls without remembering the request:
//! their arguments are the answer's text, and a turn that holds no other call ends as `stop`.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::blocks::{OutputFormat, WireTool, WireToolChoice};
use super::cannot;
use super::tools::Toolbox;
use crate::error::EncodeError;
use crate::model::{ChatRequest, ResponseFormat, ToolChoice};
use crate::{Drops, Target};

/// The tool whose arguments are the answer. No caller's tool may have this name.
pub const STRUCTURED_ANSWER_TOOL: &str = "sluice_structured_answer";

/// What an answer called: the tool that stands in for a format, and real ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    has_answer: bool,
    has_call: bool,
}

impl Calls {
    /// Takes note of a call.
    pub(crate) const fn count(&mut self, is_structured_answer: bool) {
        if is_structured_answer {
            self.has_answer = true;
        } else {
            self.has_call = true;
        }
    }

    /// The stand-in was called, and nothing else: the turn is over.
    pub(crate) const fn only_answer(self) -> bool {
        self.has_answer && !self.has_call
    }
}

const DESCRIPTION: &str = "Gives the answer. Call it with the whole answer once it is complete.";

/// Writes the wanted format: into the returned field, or as one more tool.
///
/// # Errors
/// When the schema can be said in neither way.
pub(super) fn apply<'a>(
    request: &'a ChatRequest,
    target: &Target,
    toolbox: &mut Toolbox<'a>,
    drops: &mut Drops,
) -> Result<Option<OutputFormat<'a>>, EncodeError> {
    let (schema, description) = match &request.format {
        None | Some(ResponseFormat::Text) => return Ok(None),
        Some(ResponseFormat::JsonObject) => (Cow::Owned(json!({"type": "object"})), None),
        Some(ResponseFormat::JsonSchema {
            schema,
            description,
            ..
        }) => {
            if target.structured_outputs && is_closed(schema) {
                return Ok(Some(OutputFormat {
                    kind: "json_schema",
                    schema,
                }));
            }
            (rooted(schema)?, description.as_deref())
        }
    };
    let must_call = matches!(
        request.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Named(_))
    );
    if must_call && !request.tools.is_empty() {
        drops.push("response_format", "the answer is a tool call already");
        return Ok(None);
    }
    let may_call = !request.tools.is_empty() && request.tool_choice != Some(ToolChoice::None);
    let disable_parallel_tool_use = !may_call || request.parallel_tool_calls == Some(false);
    toolbox.tools.push(WireTool {
        name: Cow::Borrowed(STRUCTURED_ANSWER_TOOL),
        description: Some(description.unwrap_or(DESCRIPTION)),
        input_schema: schema,
        strict: false,
        cache_control: None,
    });
    toolbox.choice = Some(if may_call {
        WireToolChoice::Any {
            disable_parallel_tool_use,
        }
    } else {
        WireToolChoice::Tool {
            name: Cow::Borrowed(STRUCTURED_ANSWER_TOOL),
            disable_parallel_tool_use,
        }
    });
    Ok(None)
}

/// Keywords that structured outputs do not take, as far as is known; not verified against the live API.
/// References are among them because they may be recursive.
const NOT_NATIVE: [&str; 12] = [
    "$ref",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];
/// Keywords whose value names schemas, whatever the names are.
const NAMED_SCHEMAS: [&str; 3] = ["properties", "$defs", "definitions"];

/// Structured outputs want every object closed (`"additionalProperties": false`) and take a part of JSON Schema only.
pub(crate) fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let object = fields.get("type").is_some_and(|kind| match kind {
                Value::Array(kinds) => kinds.iter().any(|kind| kind == "object"),
                kind => kind == "object",
            });
            let closed = fields.get("additionalProperties") == Some(&Value::Bool(false));
            (!object || closed)
                && fields.iter().all(|(key, value)| match value {
                    Value::Object(named) if NAMED_SCHEMAS.contains(&key.as_str()) => {
                        named.values().all(is_closed)
                    }
                    value => !NOT_NATIVE.contains(&key.as_str()) && is_closed(value),
                })
        }
        Value::Array(items) => items.iter().all(is_closed),
        _ => true,
    }
}

/// The schema with an object at its root, following one reference where it is nothing else.
pub(crate) fn rooted(schema: &Value) -> Result<Cow<'_, Value>, EncodeError> {
    const FIELD: &str = "response_format.json_schema.schema";
    let fields = schema
        .as_object()
        .ok_or_else(|| cannot(FIELD, "not a JSON schema"))?;
    if fields.get("type").is_some_and(|kind| kind == "object") {
        return Ok(Cow::Borrowed(schema));
    }
    let mut made = fields.clone();
    let referred = made
        .shift_remove("$ref")
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix('#'))
        .and_then(|pointer| schema.pointer(pointer))
        .and_then(Value::as_object);
    for (key, value) in referred.into_iter().flatten() {
        made.insert(key.clone(), value.clone());
    }
    let is_object = made.get("type").is_some_and(|kind| kind == "object");
    if !is_object && (made.contains_key("type") || !made.contains_key("properties")) {
        return Err(cannot(FIELD, "the root must be an object"));
    }
    made.insert("type".to_owned(), Value::from("object"));
    Ok(Cow::Owned(Value::Object(made)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_native_form_takes_is_sent_so() {
        let property = |schema: Value| json!({"type": "object", "additionalProperties": false, "properties": {"minimum": schema}});
        assert!(is_closed(&property(json!({"type": "integer"}))));
        assert!(!is_closed(&property(
            json!({"type": "integer", "minimum": 1})
        )));
        assert!(!is_closed(&property(json!({"$ref": "#"}))));
        assert!(!is_closed(&property(json!({"type": "object"}))));
    }
}
