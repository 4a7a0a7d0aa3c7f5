//! Small readers and writers of JSON values, tolerant of what a provider may add.

use serde_json::{Map, Value};

use crate::error::{DecodeError, EncodeError};

use super::DIALECT;

/// An object with one field.
pub(super) fn single(key: &str, value: impl Into<Value>) -> Map<String, Value> {
    let mut fields = Map::new();
    put(&mut fields, key, value);
    fields
}

/// Sets a field.
pub(super) fn put(fields: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    fields.insert(key.to_owned(), value.into());
}

/// A part that is plain text.
pub(super) fn text_part(text: &str) -> Value {
    Value::Object(single("text", text))
}

/// Takes a text; anything else counts as absent.
pub(super) fn take_string(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Takes an object; anything else counts as absent.
pub(super) fn take_object(
    fields: &mut Map<String, Value>,
    key: &str,
) -> Option<Map<String, Value>> {
    match fields.shift_remove(key) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Takes an array; anything else counts as empty.
pub(super) fn take_array(fields: &mut Map<String, Value>, key: &str) -> Vec<Value> {
    match fields.shift_remove(key) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Takes a flag; anything else counts as `false`.
pub(super) fn take_flag(fields: &mut Map<String, Value>, key: &str) -> bool {
    matches!(fields.shift_remove(key), Some(Value::Bool(true)))
}

/// "The answer is not what the dialect says."
pub(super) fn shape(detail: impl Into<String>) -> DecodeError {
    DecodeError::Shape {
        dialect: DIALECT,
        detail: detail.into(),
    }
}

/// "The request cannot be said in this dialect."
pub(super) fn inexpressible(field: impl Into<String>, reason: impl Into<String>) -> EncodeError {
    EncodeError {
        dialect: DIALECT,
        field: field.into(),
        reason: reason.into(),
    }
}

/// Reads a provider's JSON. The error names the place, never the content.
pub(super) fn parse(body: &[u8]) -> Result<Value, DecodeError> {
    sluice_units::json::from_slice(body).map_err(|error| {
        shape(format!(
            "not JSON at line {} column {}",
            error.line(),
            error.column()
        ))
    })
}
