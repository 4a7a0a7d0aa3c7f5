//! Cases for the whole dialect, through its public functions.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::event_stream::{HeaderValue, Message as Frame, write_message};
use crate::model::{Message, Part, Role};
use crate::{Drops, Target, UpstreamRequest};

mod answers;
mod errors;
mod requests;
mod round_trip;
mod spec;

fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/bedrock"
    ))
}

/// The project's fixtures of this dialect whose names begin with `kind`: name and content.
fn fixtures(kind: &str) -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .filter(|(name, _)| name.starts_with(kind))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no fixtures of {kind}");
    found
}

/// Compares with the snapshot of that name, beside the fixtures.
fn golden(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => folder().join("snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

fn body(request: &UpstreamRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn named(drops: &Drops) -> Vec<&str> {
    drops
        .as_slice()
        .iter()
        .map(|dropped| dropped.field.as_ref())
        .collect()
}

/// Lines of `{"eventType": payload}` as the stream's bytes.
fn framed(lines: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let value: Value = serde_json::from_str(line).unwrap();
        let (kind, payload) = value.as_object().unwrap().iter().next().unwrap();
        let payload = payload.to_string();
        let (message_type, type_header) = if kind.ends_with("Exception") {
            ("exception", ":exception-type")
        } else {
            ("event", ":event-type")
        };
        let frame = Frame {
            headers: vec![
                (type_header, HeaderValue::Text(kind)),
                (":content-type", HeaderValue::Text("application/json")),
                (":message-type", HeaderValue::Text(message_type)),
            ],
            payload: payload.as_bytes(),
        };
        write_message(&mut out, &frame).unwrap();
    }
    out
}

fn target() -> Target {
    Target {
        model: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0".to_owned(),
        output_tokens_max: Some(64_000),
        ..Target::default()
    }
}

fn of_model(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        ..Target::default()
    }
}

const fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn says(role: Role, text: &str) -> Message {
    message(role, vec![Part::text(text.to_owned())])
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: None,
        cache: None,
    }
}

fn result(id: &str, parts: Vec<Part>) -> Message {
    let part = Part::ToolResult {
        id: id.to_owned(),
        name: None,
        parts,
        is_error: false,
        cache: None,
    };
    message(Role::Tool, vec![part])
}
