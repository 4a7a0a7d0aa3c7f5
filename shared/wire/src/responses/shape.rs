//! Small shapes that requests, answers and echoes share.

use serde_json::{Map, Value, json};

use crate::citations;
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

/// The citations of a text in this dialect's shape; none when they cite neither an address nor one of OpenAI's files.
pub(super) fn citations_out(annotation: &Value, text: &str) -> Vec<Value> {
    let kind = annotation.get("type").and_then(Value::as_str);
    if let Some("file_citation" | "container_file_citation" | "file_path") = kind {
        return vec![annotation.clone()];
    }
    let found = citations::of(annotation, text);
    found
        .iter()
        .map(|citation| {
            let mut fields = Map::new();
            put(&mut fields, "type", Some("url_citation"));
            fields.extend(citation.fields(text));
            Value::Object(fields)
        })
        .collect()
}
