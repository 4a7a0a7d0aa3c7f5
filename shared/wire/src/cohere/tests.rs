//! Cases for the whole dialect, through its public functions.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::model::{Message, Part, Role};
use crate::{Drops, Target, UpstreamRequest};

mod answers;
mod errors;
mod lists;
mod requests;
mod round_trip;

fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/cohere"
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

/// A request as it goes out, and what was lost.
fn shown(request: &UpstreamRequest, drops: &Drops) -> String {
    let body = body(request);
    let mut text = format!("{} {}\n{body:#}\n", request.method, request.path);
    for drop in drops.as_slice() {
        writeln!(text, "dropped {}: {}", drop.field, drop.reason).unwrap();
    }
    text
}

fn named(drops: &Drops) -> Vec<&str> {
    drops
        .as_slice()
        .iter()
        .map(|dropped| dropped.field.as_ref())
        .collect()
}

fn target() -> Target {
    Target {
        model: "command-a-03-2025".to_owned(),
        output_tokens_max: Some(8_000),
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

fn result(id: &str, parts: Vec<Part>) -> Part {
    Part::ToolResult {
        id: id.to_owned(),
        name: None,
        parts,
        is_error: false,
        cache: None,
    }
}
