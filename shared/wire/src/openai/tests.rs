//! Goldens: hand-written exchanges in `tests/fixtures/openai`, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::chat::{Answered, StreamDecoder, StreamEncoder};
use super::{chat, error};
use crate::error::{DecodeError, ErrorClass};
use crate::model::{ChatResponse, CollectError, Collector, Event};
use crate::{Drops, Target};

mod passthrough;
mod properties;
mod quirks;
mod refused;
mod written;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/openai")
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
        id: "chatcmpl-req1".to_owned(),
        created: 1_800_000_000,
        model: "fast".to_owned(),
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

fn encode_stream(events: &[Event], include_usage: bool) -> Vec<u8> {
    let mut encoder = StreamEncoder::new(answered(), include_usage);
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    out
}

#[test]
fn requests_are_understood_and_written() {
    for (name, body) in each("request_") {
        let (request, drops) = chat::decode_request(&body).unwrap();
        golden(&name, &format!("{request:#?}\n{}", dropped(&drops)));
        let (written, drops) = chat::encode_request(&request, &openai()).unwrap();
        let text = format!("{}\n{}", pretty(&written.body), dropped(&drops));
        golden(&format!("{name}.openai"), &text);
        let other = Target {
            model: "other".to_owned(),
            reasoning_content: true,
            thought_signatures: true,
            ..Target::default()
        };
        let (written, drops) = chat::encode_request(&request, &other).unwrap();
        let text = format!("{}\n{}", pretty(&written.body), dropped(&drops));
        golden(&format!("{name}.compatible"), &text);
    }
}

#[test]
fn answers_are_understood_and_written() {
    for (name, body) in each("answer_") {
        let (response, drops) = chat::decode_response(&body).unwrap();
        golden(&name, &format!("{response:#?}\n{}", dropped(&drops)));
        let (written, drops) = chat::encode_response(&response, &answered());
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
        let written = encode_stream(&events, true);
        golden(
            &format!("{name}.written"),
            &String::from_utf8(written).unwrap(),
        );
    }
}

#[test]
fn errors_are_classified() {
    let mut text = String::new();
    for (name, body) in each("error_") {
        let status = name.split('_').nth(1).unwrap().parse().unwrap();
        let error = error::decode(status, &HeaderMap::new(), &body);
        writeln!(text, "{name}: {error:#?}").unwrap();
    }
    golden("errors", &text);
}

#[test]
fn the_wait_is_read_from_the_headers() {
    for (headers, micros) in [
        (&[("retry-after-ms", "1500")][..], Some(1_500_000)),
        (&[("retry-after", "3")], Some(3_000_000)),
        (&[("retry-after", "0.5")], Some(500_000)),
        (
            &[("retry-after", "3"), ("retry-after-ms", "250")],
            Some(250_000),
        ),
        (&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None),
        (&[("retry-after", "999999999")], Some(86_400_000_000)),
        (&[("x-ratelimit-reset-tokens", "1m2.5s")], Some(62_500_000)),
        (
            &[
                ("x-ratelimit-reset-tokens", "20ms"),
                ("x-ratelimit-reset-requests", "6m0s"),
            ],
            Some(20_000),
        ),
        (
            &[
                ("x-ratelimit-reset-tokens", "20ms"),
                ("x-ratelimit-reset-requests", "6m0s"),
                ("x-ratelimit-remaining-requests", "0"),
            ],
            Some(360_000_000),
        ),
        (&[], None),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let error = error::decode(429, &map, b"{}");
        assert_eq!(error.class, ErrorClass::RateLimited);
        let read = error.retry_after.map(sluice_units::Span::as_micros);
        assert_eq!(read, micros, "{headers:?}");
    }
}

#[test]
fn a_key_in_a_message_is_not_repeated() {
    for message in [
        "Incorrect API key provided: sk-abcd1234.",
        "Bad header 'Bearer abcd1234'",
        "Invalid key gsk_abcd1234 given",
    ] {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        let error = error::decode(401, &HeaderMap::new(), body.as_bytes());
        assert!(!error.message.contains("abcd1234"), "{}", error.message);
        assert!(error.message.contains("[redacted]"), "{}", error.message);
    }
}
