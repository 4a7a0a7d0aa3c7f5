//! What is written for callers, for those who know best whether it is right: the types of the providers' own SDKs.
//!
//! `tests/e2e/types.test.mjs` reads the file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::pairs::answers::answers;
use crate::support::framing;
use crate::support::order;
use crate::support::sides::{Downstream, collect};

/// Where the answers go: one a line, with the caller's dialect, and whether it is whole or a piece of a stream.
const FILE: &str = "written.jsonl";

#[test]
fn every_answer_is_written_down() {
    let mut lines = String::new();
    for (name, upstream, whole, chunks) in answers() {
        let (response, _) = upstream.answer(whole.to_string().as_bytes()).unwrap();
        let (events, _, _) = upstream.stream(&framing::stream(upstream, &chunks), usize::MAX);
        assert!(collect(&events).is_ok(), "{name}");
        for downstream in Downstream::ALL {
            let mut write = |kind: &str, body: Value| {
                let line = json!({
                    "case": format!("{name} of {}", upstream.name()),
                    "dialect": downstream.name(),
                    "kind": kind,
                    "body": body,
                });
                writeln!(lines, "{line}").unwrap();
            };
            let (body, _) = downstream.answer(&response);
            write("whole", serde_json::from_slice(&body).unwrap());
            for chunk in order::chunks(&downstream.stream(&events).0) {
                write("chunk", chunk);
            }
        }
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(FILE);
    fs::write(&file, lines).unwrap();
    println!("written to {}", file.display());
}
