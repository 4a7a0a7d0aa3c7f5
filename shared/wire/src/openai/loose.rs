//! A lenient reader for what providers send: what is of the wrong type counts as absent.

use serde_json::{Map, Value};

use crate::Drops;

/// Takes a text out.
pub(crate) fn text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Takes a text out that is not empty.
pub(crate) fn some_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    text(fields, key).filter(|text| !text.is_empty())
}

/// Takes an array out; empty when there is none.
pub(crate) fn array(fields: &mut Map<String, Value>, key: &str) -> Vec<Value> {
    match fields.shift_remove(key) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Takes an object out; `None` when there is none.
pub(crate) fn object(fields: &mut Map<String, Value>, key: &str) -> Option<Map<String, Value>> {
    match fields.shift_remove(key) {
        Some(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// Takes a small count out, such as an index.
pub(crate) fn count(fields: &mut Map<String, Value>, key: &str) -> Option<u32> {
    let count = fields.shift_remove(key)?.as_u64()?;
    u32::try_from(count).ok()
}

/// Names what is left and not empty, under a path. The same name is noted once, and costs nothing more.
pub(crate) fn note_rest(drops: &mut Drops, path: &'static str, rest: &Map<String, Value>) {
    for (key, value) in rest {
        if is_nothing(value) || noted(drops, path, key) {
            continue;
        }
        drops.push(format!("{path}{key}"), "unknown field of the provider's");
    }
}

fn noted(drops: &Drops, path: &str, key: &str) -> bool {
    drops
        .as_slice()
        .iter()
        .any(|dropped| dropped.field.strip_prefix(path) == Some(key))
}

/// Nothing is lost with `null`, `[]`, `{}` and `""`.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
