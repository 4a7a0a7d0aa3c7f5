//! As much of JSON Schema as the provider's published request schema uses (`SLUICE_SPECS`).

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// Checks a request body; says so where the schema is not at hand.
pub(super) fn check_request(body: &Value) {
    check("messages", body);
}

/// Checks a body against one of the schemas.
pub(super) fn check(name: &str, body: &Value) {
    let Some(schemas) = &*SCHEMAS else {
        return;
    };
    let root = &schemas[name];
    if let Err(fault) = valid(root, root, body, "") {
        panic!("{fault}\n{body:#}");
    }
}

#[test]
fn the_checker_refuses_what_is_wrong() {
    let Some(schemas) = &*SCHEMAS else {
        return;
    };
    let root = &schemas["messages"];
    let good =
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}]});
    assert_eq!(valid(root, root, &good, ""), Ok(()));
    for (field, value) in [
        ("max_tokens", json!("1")),
        ("model", Value::Null),
        ("surprise", json!(1)),
        ("messages", json!([{"role": "tool", "content": "a"}])),
        (
            "messages",
            json!([{"role": "user", "content": [{"type": "text"}]}]),
        ),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(valid(root, root, &bad, "").is_err(), "{bad}");
    }
}

static SCHEMAS: LazyLock<Option<Value>> = LazyLock::new(|| {
    let folder = std::env::var_os("SLUICE_SPECS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/specs"
            ))
        },
        PathBuf::from,
    );
    let Ok(text) = fs::read(folder.join("anthropic.request.json")) else {
        println!("skipped: no request schema; SLUICE_SPECS names its folder");
        return None;
    };
    Some(serde_json::from_slice(&text).unwrap())
});

fn valid(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        // Names hold dots, never slashes, so this is a JSON pointer.
        let target = root.pointer(reference.trim_start_matches('#')).unwrap();
        return valid(root, target, value, path);
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let faults: Vec<_> = options
            .iter()
            .filter_map(|option| valid(root, option, value, path).err())
            .collect();
        return if faults.len() < options.len() {
            Ok(())
        } else {
            // The deepest fault is that of the option that was meant.
            Err(faults
                .into_iter()
                .max_by_key(String::len)
                .unwrap_or_default())
        };
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .contains(value)
            .then_some(())
            .ok_or_else(|| format!("{path}: {value} is none of {values:?}"));
    }
    let is_typed = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => true,
    };
    if !is_typed {
        return Err(format!("{path}: not of type {}", schema["type"]));
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        valid(root, &schema["items"], item, &format!("{path}[{at}]"))?;
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        if value.get(key.as_str().unwrap()).is_none() {
            return Err(format!("{path}: {key} is missing"));
        }
    }
    for (key, field) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match schema["properties"].get(key) {
            Some(schema) => valid(root, schema, field, &path)?,
            None if schema["additionalProperties"] == false => {
                return Err(format!("{path}: not known here"));
            }
            None => {}
        }
    }
    Ok(())
}
