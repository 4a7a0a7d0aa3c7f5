//! Goldens: hand-written exchanges in `tests/fixtures/gemini`, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::DecodeError;
use crate::model::{EmbeddingInput, EmbeddingsRequest, Event};
use crate::{Drops, Target, UpstreamRequest};

mod downstream;
mod requests;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/gemini")
}

/// The fixtures whose names begin with `kind`, by name.
fn each(kind: &str, mut check: impl FnMut(&str, &[u8])) {
    let files: BTreeMap<String, PathBuf> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, path)
        })
        .filter(|(name, path)| name.starts_with(kind) && path.is_file())
        .collect();
    assert!(!files.is_empty(), "no fixtures of {kind}");
    for (name, path) in files {
        check(&name, &fs::read(path).unwrap());
    }
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

/// A request as it goes out.
fn shown(request: &UpstreamRequest, drops: &Drops) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let mut text = format!("{} {}\n{body:#}\n", request.method, request.path);
    for drop in drops.as_slice() {
        writeln!(text, "dropped {}: {}", drop.field, drop.reason).unwrap();
    }
    text
}

#[test]
fn answers() {
    each("answer_", |name, body| {
        let (response, drops) = decode_response(body).unwrap();
        golden(name, &format!("{response:#?}\n{drops:#?}"));
    });
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

#[test]
fn streams() {
    each("stream_", |name, stream| {
        let (events, end) = decode_stream(&[stream]);
        let mut text = String::new();
        for event in &events {
            writeln!(text, "{event:?}").unwrap();
        }
        writeln!(text, "{end:?}").unwrap();
        golden(name, &text);
    });
}

#[test]
fn both_framings_decode_alike() {
    let folder = fixtures();
    let sse = fs::read(folder.join("stream_parallel_calls.sse")).unwrap();
    let array = fs::read(folder.join("stream_array.json")).unwrap();
    assert_eq!(decode_stream(&[&sse]), decode_stream(&[&array]));
}

#[test]
fn a_cut_stream_never_ends_well() {
    each("stream_", |name, stream| {
        let (_, whole) = decode_stream(&[stream]);
        let trimmed = stream.trim_ascii_end().len();
        if name == "stream_failed" || whole.is_err() {
            return;
        }
        for end in 0..trimmed {
            let (events, outcome) = decode_stream(&[&stream[..end]]);
            assert_eq!(outcome, Err(DecodeError::Truncated), "{name} cut at {end}");
            assert!(!events.contains(&Event::End), "{name} cut at {end}");
        }
    });
}

#[test]
fn white_space_before_a_stream_is_skipped_however_it_is_cut() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/gemini/stream_text.sse"
    );
    let stream = fs::read(path).unwrap();
    let later = [b" \t\n ", stream.as_slice()].concat();
    assert_eq!(decode_stream(&[&later]), decode_stream(&[&stream]));
    let (space, rest) = later.split_at(2);
    assert_eq!(decode_stream(&[space, rest]), decode_stream(&[&stream]));
}

#[test]
fn streams_of_another_kind_are_refused() {
    for stream in [
        "[1]",
        "[{}]x",
        "data: no\n\n",
        "data: []\n\n",
        "{\"a\":}",
        "[{\"candidates\":[1]}]",
    ] {
        let (_, outcome) = decode_stream(&[stream.as_bytes()]);
        assert!(
            matches!(outcome, Err(DecodeError::Shape { .. })),
            "{stream} {outcome:?}"
        );
    }
    for stream in [
        "",
        " \r\n",
        "<html>",
        "[]",
        "[",
        "data: {\"usageMetadata\":{}}\r\n\r\n",
    ] {
        let (_, outcome) = decode_stream(&[stream.as_bytes()]);
        assert_eq!(outcome, Err(DecodeError::Truncated), "{stream}");
    }
}

#[test]
fn errors() {
    let mut text = String::new();
    each("error_", |name, body| {
        let status = name.split('_').nth(1).unwrap().parse().unwrap();
        let error = error::decode(status, &HeaderMap::new(), body);
        writeln!(text, "{name}: {error:?}").unwrap();
    });
    golden("errors", &text);
}

#[test]
fn the_wait_is_read_from_the_header_first() {
    let body = br#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"0.0000001s"}]}}"#;
    let waits = |value: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
        }
        let error = error::decode(429, &headers, body);
        error.retry_after.map(sluice_units::Span::as_micros)
    };
    assert_eq!(waits(Some("7")), Some(7_000_000));
    assert_eq!(waits(Some("Wed, 21 Oct 2026 07:28:00 GMT")), Some(1));
    assert_eq!(waits(Some("-7")), Some(1));
    assert_eq!(waits(Some("99999999999999")), Some(86_400_000_000));
    assert_eq!(waits(None), Some(1));
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let body = json!({"error": {"message": "é".repeat(3_000)}}).to_string();
    let error = error::decode(500, &HeaderMap::new(), body.as_bytes());
    assert_eq!(error.message, "é".repeat(1_024));
    let body = json!({"error": {"message": format!("a{}", "é".repeat(3_000))}}).to_string();
    let error = error::decode(500, &HeaderMap::new(), body.as_bytes());
    assert_eq!(error.message.len(), 2_047);
}

fn embeddings_request(input: Vec<EmbeddingInput>) -> EmbeddingsRequest {
    EmbeddingsRequest {
        model: "vectors".to_owned(),
        input,
        dimensions: Some(2),
        user: Some("u".to_owned()),
        extra: json!({"taskType": "RETRIEVAL_QUERY", "truncate": true})
            .as_object()
            .unwrap()
            .clone(),
        ..EmbeddingsRequest::default()
    }
}

#[test]
fn embeddings_go_out_in_one_batch() {
    let target = Target {
        model: "gemini-embedding-001".to_owned(),
        ..Target::default()
    };
    let texts = ["a", "b"].map(|text| EmbeddingInput::Text(text.to_owned()));
    let request = embeddings_request(texts.to_vec());
    let (out, drops) = embeddings::encode_request(&request, &target).unwrap();
    golden("request_embeddings", &shown(&out, &drops));

    let body = fs::read(fixtures().join("embeddings.json")).unwrap();
    let response = embeddings::decode_response(&request, &body).unwrap();
    golden("embeddings", &format!("{response:#?}"));

    let one = embeddings_request(vec![EmbeddingInput::Text("a".to_owned())]);
    assert!(embeddings::decode_response(&one, &body).is_err());
    let tokens = embeddings_request(vec![EmbeddingInput::Tokens(vec![1])]);
    let refused = embeddings::encode_request(&tokens, &target).unwrap_err();
    assert_eq!(refused.field, "input[0]");
    assert!(embeddings::encode_request(&embeddings_request(vec![]), &target).is_err());
}

#[test]
fn answers_of_another_shape_are_refused() {
    let bodies: [&[u8]; 9] = [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"{\"candidates\":[]}",
        b"{\"candidates\":[1]}",
        b"{\"candidates\":[{\"index\":500}]}",
        b"\xff",
        b"{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{}}]}}]}",
    ];
    for body in bodies {
        assert!(matches!(
            decode_response(body),
            Err(DecodeError::Shape { .. })
        ));
    }
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "stream_text.sse",
        "stream_array.json",
        "stream_pieces.sse",
        "stream_failed.sse",
        "stream_thoughts.sse",
    ];
    proptest::sample::select(names.to_vec())
        .prop_map(|name| fs::read(fixtures().join(name)).unwrap())
}

proptest! {
    #[test]
    fn any_split_decodes_alike(stream in any_stream(), cuts in proptest::collection::vec(0_usize..3_000, 0..8)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode_stream(&pieces), decode_stream(&[&stream]));
    }

    #[test]
    fn no_bytes_break_the_decoders(bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in any::<(usize, u8)>(), stream in any_stream()) {
        let _ = decode_response(&bytes);
        let _ = decode_stream(&[&bytes]);
        let _ = error::decode(400, &HeaderMap::new(), &bytes);
        let mut damaged = stream;
        let at = flip.0 % damaged.len();
        damaged[at] = flip.1;
        let (events, end) = decode_stream(&[&damaged]);
        prop_assert!(end.is_err() || matches!(events.last(), Some(Event::End | Event::Failed(_))));
    }
}
