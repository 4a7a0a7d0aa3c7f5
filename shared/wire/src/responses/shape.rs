//! Small shapes that requests, answers and echoes share.

use serde_json::{Map, Value, json};

use crate::model::{ResponseFormat, Tool, ToolChoice};
use crate::openai::chat::write::put;

/// A function.
pub(super) fn tool(tool: &Tool) -> Value {
    let mut fields = Map::new();
    put(&mut fields, "type", Some("function"));
    put(&mut fields, "name", Some(tool.name.as_str()));
    put(&mut fields, "description", tool.description.as_deref());
    put(&mut fields, "parameters", Some(tool.parameters.clone()));
    // Left out, Responses would hold the model to the schema; Chat Completions would not.
    put(&mut fields, "strict", Some(tool.strict.unwrap_or(false)));
    Value::Object(fields)
}

/// The choice among functions.
pub(super) fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "name": name}),
    }
}

/// The form of the answer.
pub(super) fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Text => json!({"type": "text"}),
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => {
            let mut fields = Map::new();
            put(&mut fields, "type", Some("json_schema"));
            put(&mut fields, "name", Some(name.as_str()));
            put(&mut fields, "description", description.as_deref());
            put(&mut fields, "schema", Some(schema.clone()));
            put(&mut fields, "strict", *strict);
            Value::Object(fields)
        }
    }
}

/// A citation in Chat Completions' shape, which the neutral model carries. What is no web citation stays as it is.
pub(super) fn citation_in(annotation: Value) -> Value {
    let web = annotation.get("type").and_then(Value::as_str) == Some("url_citation");
    match annotation {
        Value::Object(mut fields) if web && !fields.contains_key("url_citation") => {
            fields.shift_remove("type");
            json!({"type": "url_citation", "url_citation": fields})
        }
        other => other,
    }
}

/// A citation in this dialect's shape; `None` when it is none of OpenAI's.
pub(super) fn citation_out(annotation: &Value) -> Option<Value> {
    match annotation.get("type").and_then(Value::as_str)? {
        "url_citation" => {
            let fields = annotation.get("url_citation").unwrap_or(annotation);
            let count = |key| fields.get(key).and_then(Value::as_u64).unwrap_or(0);
            Some(json!({
                "type": "url_citation",
                "url": fields.get("url").and_then(Value::as_str)?,
                "title": fields.get("title").and_then(Value::as_str).unwrap_or_default(),
                "start_index": count("start_index"),
                "end_index": count("end_index"),
            }))
        }
        "file_citation" | "container_file_citation" | "file_path" => Some(annotation.clone()),
        _ => None,
    }
}
