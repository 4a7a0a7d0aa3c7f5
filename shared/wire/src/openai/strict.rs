//! What OpenAI can be held to strictly: a schema whose objects require all their properties and allow no others.
//!
//! Anthropic's and others' callers may be strict about schemas in which some properties are optional. OpenAI refuses
//! those, and a property that is always there, perhaps as `null`, would be another answer: so strictness is given up,
//! and named. Follows <https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::Drops;
use crate::model::{ChatRequest, ResponseFormat, Tool};

/// Keywords that strict schemas have not.
const UNKNOWN: [&str; 9] = [
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
];
/// Keywords whose value names schemas, whatever the names are.
const NAMED_SCHEMAS: [&str; 3] = ["properties", "$defs", "definitions"];
const REASON: &str =
    "openai is strict only where every property is required and no other is allowed";

/// The request with strictness where OpenAI takes it.
pub(crate) fn lowered<'a>(request: &'a ChatRequest, drops: &mut Drops) -> Cow<'a, ChatRequest> {
    let mut lowered = Cow::Borrowed(request);
    if let Some(ResponseFormat::JsonSchema {
        schema,
        strict: Some(true),
        ..
    }) = &request.format
        && !suits(schema)
    {
        drops.push("response_format.json_schema.strict", REASON);
        if let Some(ResponseFormat::JsonSchema { strict, .. }) = &mut lowered.to_mut().format {
            *strict = Some(false);
        }
    }
    let is_strict = |tool: &Tool| {
        let parameters = tool.parameters.as_ref();
        tool.strict == Some(true) && parameters.is_some_and(|schema| !suits(schema))
    };
    for (at, tool) in request.tools.iter().enumerate() {
        if is_strict(tool)
            && let Some(tool) = lowered.to_mut().tools.get_mut(at)
        {
            drops.push(format!("tools[{at}].function.strict"), REASON);
            tool.strict = Some(false);
        }
    }
    lowered
}

fn suits(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let is_known = |key: &String| !UNKNOWN.contains(&key.as_str());
            fields.keys().all(is_known)
                && (!is_object(fields) || is_complete(fields))
                && fields.iter().all(|(key, value)| match value {
                    Value::Object(named) if NAMED_SCHEMAS.contains(&key.as_str()) => {
                        named.values().all(suits)
                    }
                    value if matches!(key.as_str(), "items" | "anyOf" | "prefixItems") => {
                        suits(value)
                    }
                    _ => true,
                })
        }
        Value::Array(schemas) => schemas.iter().all(suits),
        _ => true,
    }
}

fn is_object(fields: &Map<String, Value>) -> bool {
    let says = |kind: &Value| kind == "object";
    fields.contains_key("properties")
        || fields.get("type").is_some_and(|kind| match kind {
            Value::Array(kinds) => kinds.iter().any(says),
            kind => says(kind),
        })
}

fn is_complete(fields: &Map<String, Value>) -> bool {
    let required = fields.get("required").and_then(Value::as_array);
    let required: BTreeSet<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = fields.get("properties").and_then(Value::as_object);
    let mut names = properties.into_iter().flat_map(Map::keys);
    fields.get("additionalProperties") == Some(&Value::Bool(false))
        && names.all(|name| required.contains(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(schema: &Value) -> ChatRequest {
        ChatRequest {
            format: Some(ResponseFormat::JsonSchema {
                name: "n".to_owned(),
                description: None,
                schema: schema.clone(),
                strict: Some(true),
            }),
            tools: vec![Tool {
                name: "f".to_owned(),
                description: None,
                parameters: Some(schema.clone()),
                strict: Some(true),
                cache: None,
            }],
            ..ChatRequest::default()
        }
    }

    #[test]
    fn strictness_is_asked_for_where_it_can_be_had() {
        let a = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
        let optional = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
        let around = |inner: &Value| json!({"type": "object", "$defs": {"x": inner}, "properties": {"oneOf": {"type": ["array", "null"], "items": {"$ref": "#/$defs/x"}}}, "required": ["oneOf"], "additionalProperties": false});
        for (schema, expected) in [
            (a.clone(), true),
            (around(&a), true),
            (around(&optional), false),
            (around(&json!({"anyOf": [a, optional]})), false),
            (optional, false),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                false,
            ),
            (around(&json!({"oneOf": [{"type": "string"}]})), false),
            (
                json!({"type": "object", "properties": {}, "additionalProperties": false}),
                true,
            ),
        ] {
            let request = request(&schema);
            let mut drops = Drops::new();
            let lowered = lowered(&request, &mut drops);
            assert_eq!(lowered.tools[0].strict, Some(expected), "{schema}");
            assert_eq!(drops.as_slice().len(), if expected { 0 } else { 2 });
            assert_eq!(*lowered == request, expected);
        }
    }
}
