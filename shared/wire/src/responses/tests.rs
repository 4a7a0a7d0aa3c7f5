//! Goldens: hand-written exchanges in `tests/fixtures/responses`, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    Answered, Echo, StreamDecoder, StreamEncoder, decode_request, decode_response, encode_request,
    encode_response, for_other_dialects,
};
use crate::error::DecodeError;
use crate::model::{ChatResponse, CollectError, Collector, Event};
use crate::{Drops, Target};

mod carried;
mod passthrough;
mod properties;
mod refused;
mod streamed;
mod written;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/responses")
}

/// The fixtures whose names begin with `kind`, by name.
fn each(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let files: BTreeMap<String, Vec<u8>> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .filter(|(name, _)| name.starts_with(kind))
        .collect();
    assert!(!files.is_empty(), "no fixtures of {kind}");
    files
}

fn golden(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => fixtures().join("snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

fn dropped(drops: &Drops) -> String {
    drops
        .as_slice()
        .iter()
        .fold(String::new(), |mut text, drop| {
            writeln!(text, "dropped {}: {}", drop.field, drop.reason).unwrap();
            text
        })
}

fn pretty(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    format!("{body:#}")
}

fn openai() -> Target {
    Target {
        model: "gpt-x".to_owned(),
        max_completion_tokens: true,
        developer_role: true,
        ..Target::default()
    }
}

fn answered() -> Answered {
    Answered {
        id: "resp_req1".to_owned(),
        created: 1_800_000_000,
        model: "fast".to_owned(),
        echo: Echo::default(),
    }
}

fn decode_stream(pieces: &[&[u8]]) -> (Vec<Event>, Result<(), DecodeError>) {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        if let Err(error) = decoder.push(piece, &mut events) {
            return (events, Err(error));
        }
    }
    let end = decoder.finish(&mut events);
    (events, end)
}

fn collect(events: &[Event]) -> Result<ChatResponse, CollectError> {
    let mut collector = Collector::new();
    for event in events {
        collector.push(event.clone());
    }
    collector.finish()
}

fn encode_stream(events: &[Event]) -> Vec<u8> {
    let mut encoder = StreamEncoder::new(answered());
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    out
}

/// The data of a stream's events.
fn data(stream: &[u8]) -> Vec<Value> {
    std::str::from_utf8(stream)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[test]
fn requests_are_understood_and_written() {
    for (name, body) in each("request_") {
        let (request, drops) = decode_request(&body).unwrap();
        golden(&name, &format!("{request:#?}\n{}", dropped(&drops)));
        let other = Target {
            model: "other".to_owned(),
            reasoning_content: true,
            sampling: false,
            ..Target::default()
        };
        for (target, kind) in [(openai(), "openai"), (other, "compatible")] {
            let (written, drops) = encode_request(&request, &target).unwrap();
            let text = format!("{}\n{}", pretty(&written.body), dropped(&drops));
            golden(&format!("{name}.{kind}"), &text);
        }
        let mut portable = request.clone();
        let drops = for_other_dialects(&mut portable).unwrap();
        let kept: Vec<&String> = portable.extra.keys().collect();
        let text = format!("kept {kept:?}\n{}", dropped(&drops));
        golden(&format!("{name}.portable"), &text);
    }
}

#[test]
fn answers_are_understood_and_written() {
    for (name, body) in each("answer_") {
        let (response, drops) = decode_response(&body).unwrap();
        golden(&name, &format!("{response:#?}\n{}", dropped(&drops)));
        let (written, drops) = encode_response(&response, &answered());
        let text = format!("{}\n{}", pretty(&written), dropped(&drops));
        golden(&format!("{name}.written"), &text);
    }
}

#[test]
fn streams_are_understood_and_written() {
    for (name, body) in each("stream_") {
        let (events, end) = decode_stream(&[&body]);
        let mut text = String::new();
        for event in &events {
            writeln!(text, "{event:?}").unwrap();
        }
        golden(&name, &format!("{text}{end:?}"));
        let written = encode_stream(&events);
        golden(
            &format!("{name}.written"),
            &String::from_utf8(written).unwrap(),
        );
    }
}

#[test]
fn an_answer_says_what_it_was_asked() {
    let (request, _) = decode_request(&each("request_everything")["request_everything"]).unwrap();
    let answered = Answered {
        echo: Echo::of(&request),
        ..answered()
    };
    let (written, _) = encode_response(&ChatResponse::default(), &answered);
    golden("echo", &pretty(&written));
}
