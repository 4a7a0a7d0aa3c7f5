//! Cases for the whole dialect, through its public functions.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::model::{CacheMark, Message, Part, Role};
use crate::{Drops, Target};

mod callers;
mod errors;
mod requests;
mod responses;
mod round_trip;
mod schema;

/// The project's fixtures of this dialect.
fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/anthropic"
    ));
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Compares with the snapshot of that name, beside the fixtures.
fn golden(name: &str, value: &Value) {
    snapshots().bind(|| insta::assert_json_snapshot!(name, value));
}

fn golden_debug(name: &str, value: &impl std::fmt::Debug) {
    snapshots().bind(|| insta::assert_debug_snapshot!(name, value));
}

fn snapshots() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../../tests/fixtures/anthropic/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
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
        model: "claude-sonnet-4-5".to_owned(),
        output_tokens_max: Some(64_000),
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

fn marked(text: &str, mark: CacheMark) -> Part {
    Part::Text {
        text: text.to_owned(),
        cache: Some(mark),
        annotations: Vec::new(),
    }
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

fn result(id: &str, text: &str) -> Part {
    Part::ToolResult {
        id: id.to_owned(),
        name: None,
        parts: vec![Part::text(text.to_owned())],
        is_error: false,
        cache: None,
    }
}
