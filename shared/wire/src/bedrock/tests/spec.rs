//! As much of AWS's service model as Converse uses (`SLUICE_SPECS`): required members, unions, enums, lengths, ranges.
//!
//! Beside it, rules that only the documentation says: names' alphabets, alternating roles, results right after calls.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::{Value, json};

/// Checks a request's body; says so where the service model is not at hand.
pub(super) fn check_request(body: &Value) {
    check_conversation(body);
    check_shape("ConverseRequest", body);
}

/// Checks a value against one of the shapes.
pub(super) fn check_shape(name: &str, body: &Value) {
    if let Some(shapes) = &*SHAPES
        && let Err(fault) = valid(shapes, name, body, "")
    {
        panic!("{fault}\n{body:#}");
    }
}

#[test]
fn the_checker_refuses_what_is_wrong() {
    let Some(shapes) = &*SHAPES else {
        return;
    };
    let good = json!({"messages": [{"role": "user", "content": [{"text": "a"}]}]});
    let check = |body: &Value| valid(shapes, "ConverseRequest", body, "");
    assert_eq!(check(&good), Ok(()));
    for (field, value) in [
        ("surprise", json!(1)),
        ("messages", json!([{"role": "tool", "content": []}])),
        ("messages", json!([{"role": "user"}])),
        ("messages", json!([{"role": "user", "content": [{}]}])),
        (
            "messages",
            json!([{"role": "user", "content": [{"text": "a", "cachePoint": {"type": "default"}}]}]),
        ),
        (
            "messages",
            json!([{"role": "user", "content": [{"image": {"format": "bmp", "source": {"bytes": "AA=="}}}]}]),
        ),
        (
            "messages",
            json!([{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "!"}}}]}]),
        ),
        ("system", json!([{"text": ""}])),
        ("toolConfig", json!({"tools": []})),
        (
            "toolConfig",
            json!({"tools": [{"toolSpec": {"name": "a b", "inputSchema": {"json": {}}}}]}),
        ),
        ("inferenceConfig", json!({"maxTokens": 0})),
        ("inferenceConfig", json!({"temperature": 1.5})),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(check(&bad).is_err(), "{bad}");
    }
}

static SHAPES: LazyLock<Option<Value>> = LazyLock::new(|| {
    let folder = std::env::var_os("SLUICE_SPECS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/specs"
            ))
        },
        PathBuf::from,
    );
    let Ok(text) = fs::read(folder.join("bedrock-runtime.service-2.json")) else {
        println!("skipped: no service model; SLUICE_SPECS names its folder");
        return None;
    };
    let mut model: Value = serde_json::from_slice(&text).unwrap();
    Some(model["shapes"].take())
});

fn valid(shapes: &Value, name: &str, value: &Value, path: &str) -> Result<(), String> {
    let shape = &shapes[name];
    let fault = |what: &str| Err(format!("{path} ({name}): {what}: {value}"));
    let bound = |size: u64| {
        size >= shape["min"].as_u64().unwrap_or(0)
            && size <= shape["max"].as_u64().unwrap_or(u64::MAX)
    };
    match shape["type"].as_str().unwrap() {
        "structure" if shape["document"] == true => Ok(()),
        "structure" => structure(shapes, name, value, path),
        "list" => {
            let Some(items) = value.as_array() else {
                return fault("not a list");
            };
            if !bound(items.len() as u64) {
                return fault("too short or too long");
            }
            let member = shape["member"]["shape"].as_str().unwrap();
            items
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| valid(shapes, member, item, &format!("{path}[{at}]")))
        }
        "map" => {
            let Some(fields) = value.as_object() else {
                return fault("not a map");
            };
            if !bound(fields.len() as u64) {
                return fault("too small or too large");
            }
            let member = shape["value"]["shape"].as_str().unwrap();
            fields
                .iter()
                .try_for_each(|(key, item)| valid(shapes, member, item, &format!("{path}.{key}")))
        }
        "string" => {
            let Some(text) = value.as_str() else {
                return fault("not a string");
            };
            let values = shape["enum"].as_array();
            if values.is_some_and(|values| !values.contains(value)) {
                return fault("not of the enum");
            }
            if !bound(text.chars().count() as u64) || !in_alphabet(name, text) {
                return fault("of the wrong length or alphabet");
            }
            Ok(())
        }
        "blob" => match value.as_str() {
            Some(text) if is_base64(text) && bound(text.len() as u64) => Ok(()),
            _ => fault("not base64"),
        },
        "integer" | "long" if value.is_u64() && bound(value.as_u64().unwrap()) => Ok(()),
        "float" | "double" => match value.as_f64() {
            Some(number) if (0.0..=1.0).contains(&number) => Ok(()),
            _ => fault("not a number from 0 to 1"),
        },
        "boolean" if value.is_boolean() => Ok(()),
        _ => fault("of another type"),
    }
}

fn structure(shapes: &Value, name: &str, value: &Value, path: &str) -> Result<(), String> {
    let shape = &shapes[name];
    let Some(fields) = value.as_object() else {
        return Err(format!("{path} ({name}): not an object: {value}"));
    };
    if shape["union"] == true && fields.len() != 1 {
        return Err(format!("{path} ({name}): not one of a union: {value}"));
    }
    for required in shape["required"].as_array().into_iter().flatten() {
        let required = required.as_str().unwrap();
        let in_path = shape["members"][required]["location"] == "uri";
        if !in_path && !fields.contains_key(required) {
            return Err(format!("{path} ({name}): {required} is missing: {value}"));
        }
    }
    for (key, field) in fields {
        let member = &shape["members"][key];
        let Some(shape) = member["shape"].as_str() else {
            return Err(format!("{path} ({name}): {key} is not known"));
        };
        valid(shapes, shape, field, &format!("{path}.{key}"))?;
    }
    Ok(())
}

fn in_alphabet(name: &str, text: &str) -> bool {
    let more = match name {
        "ToolName" => "_-",
        "ToolUseId" => "_.:-",
        "DocumentBlockNameString" => return document_name(text),
        _ => return true,
    };
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

fn document_name(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || " -()[]".contains(c);
    text.chars().all(legal) && !text.contains("  ")
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

/// What no schema says.
fn check_conversation(body: &Value) {
    let turns = body["messages"].as_array().unwrap();
    assert!(!turns.is_empty(), "{body:#}");
    let mut documents = Vec::new();
    let mut has_calls = false;
    for (at, turn) in turns.iter().enumerate() {
        assert_eq!(turn["role"], ["user", "assistant"][at % 2], "{body:#}");
        let content = turn["content"].as_array().unwrap();
        assert!(!content.is_empty(), "{body:#}");
        has_calls |= content
            .iter()
            .any(|block| block["toolUse"].is_object() || block["toolResult"].is_object());
        let mut has_document = false;
        for block in content {
            let inner = block["toolResult"]["content"].as_array();
            for block in inner.into_iter().flatten().chain([block]) {
                let text = block["text"].as_str();
                assert!(text.is_none_or(|text| !text.trim().is_empty()), "{body:#}");
                if let Some(name) = block["document"]["name"].as_str() {
                    assert!(!documents.contains(&name), "{name} twice: {body:#}");
                    documents.push(name);
                }
            }
            has_document |= block["document"].is_object();
        }
        let has_text = content.iter().any(|block| block["text"].is_string());
        assert!(!has_document || has_text, "{body:#}");
    }
    assert!(!has_calls || body["toolConfig"].is_object(), "{body:#}");
}
