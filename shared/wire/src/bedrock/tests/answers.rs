//! Goldens of whole and streamed answers, every way to cut a stream, and what must be refused.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{fixtures, framed, golden, named};
use crate::bedrock::{StreamDecoder, decode_response};
use crate::error::DecodeError;
use crate::model::Event;

pub(super) fn decode_stream(pieces: &[&[u8]]) -> (Vec<Event>, Result<(), DecodeError>) {
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
fn answers() {
    for (name, text) in fixtures("answer_") {
        let (response, drops) = decode_response(text.as_bytes()).unwrap();
        golden(&name, &format!("{response:#?}\n{drops:#?}"));
    }
}

#[test]
fn streams() {
    for (name, lines) in fixtures("stream_") {
        let (events, end) = decode_stream(&[&framed(&lines)]);
        let mut text = String::new();
        for event in &events {
            writeln!(text, "{event:?}").unwrap();
        }
        writeln!(text, "{end:?}").unwrap();
        golden(&name, &text);
    }
}

#[test]
fn what_a_stream_could_not_say_is_named() {
    let (_, lines) = fixtures("stream_all").remove(0);
    let mut decoder = StreamDecoder::new();
    decoder.push(&framed(&lines), &mut Vec::new()).unwrap();
    assert_eq!(super::named(decoder.drops()), ["content[5]"]);
}

#[test]
fn a_cut_stream_never_ends_well() {
    for (name, lines) in fixtures("stream_") {
        let bytes = framed(&lines);
        let (whole, _) = decode_stream(&[&bytes]);
        // Once it is said why the answer ended, only the counts may be missing.
        let stop = framed(&lines[..lines.find("{\"messageStop").unwrap_or(lines.len())]).len();
        for end in 0..stop {
            let (events, outcome) = decode_stream(&[&bytes[..end]]);
            assert_eq!(outcome, Err(DecodeError::Truncated), "{name} cut at {end}");
            assert!(whole.starts_with(&events), "{name} cut at {end}");
        }
        for end in stop..bytes.len() {
            let (events, outcome) = decode_stream(&[&bytes[..end]]);
            assert_eq!(
                outcome.is_ok(),
                events.contains(&Event::End),
                "{name} cut at {end}"
            );
        }
    }
}

#[test]
fn streams_of_another_kind_are_refused() {
    let start = "{\"messageStart\":{\"role\":\"assistant\"}}\n";
    for lines in [
        "{\"messageStart\":{}}\n{\"messageStart\":{}}",
        "{\"contentBlockDelta\":{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}}",
        "{\"contentBlockDelta\":{\"contentBlockIndex\":-1,\"delta\":{\"text\":\"a\"}}}",
        "{\"contentBlockDelta\":[]}",
        "{\"messageStop\":{\"stopReason\":\"end_turn\"}}\n{\"contentBlockDelta\":{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}}",
        "{\"contentBlockStart\":{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"b\"}}}}\n{\"contentBlockStart\":{\"contentBlockIndex\":0,\"start\":{}}}",
        "{\"contentBlockDelta\":{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"redactedContent\":\"!\"}}}}",
    ] {
        let (_, outcome) = decode_stream(&[&framed(lines)]);
        assert!(
            matches!(outcome, Err(DecodeError::Shape { .. })),
            "{lines} {outcome:?}"
        );
    }
    let (_, outcome) = decode_stream(&[b"data: {\"messageStart\":{}}\n\n"]);
    assert!(
        matches!(outcome, Err(DecodeError::Shape { .. })),
        "{outcome:?}"
    );
    let (_, outcome) = decode_stream(&[&framed(start)]);
    assert_eq!(outcome, Err(DecodeError::Truncated));
}

#[test]
fn a_delta_of_another_kind_than_its_block_is_named() {
    let call = r#"{"contentBlockStart":{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"b"}}}}"#;
    let delta = |delta: &str| {
        format!(r#"{{"contentBlockDelta":{{"contentBlockIndex":0,"delta":{delta}}}}}"#)
    };
    let text = delta(r#"{"text":"a"}"#);
    let thought = delta(r#"{"reasoningContent":{"text":"a"}}"#);
    let redacted = delta(r#"{"reasoningContent":{"redactedContent":"AA=="}}"#);
    let cited = delta(r#"{"citation":{"title":"a"}}"#);
    let stop = r#"{"messageStop":{"stopReason":"end_turn"}}"#;
    for (first, second) in [
        (call, &cited),
        (call, &text),
        (&text, &thought),
        (&thought, &text),
        (&thought, &redacted),
        (&redacted, &cited),
    ] {
        let (alone, _) = decode_stream(&[&framed(&format!("{first}\n{stop}"))]);
        let mut decoder = StreamDecoder::new();
        let mut events = Vec::new();
        let lines = format!("{first}\n{second}\n{stop}");
        decoder.push(&framed(&lines), &mut events).unwrap();
        decoder.finish(&mut events).unwrap();
        assert_eq!(named(decoder.drops()), ["content[0]"], "{lines}");
        assert_eq!(events, alone, "{lines}");
    }
}

#[test]
fn answers_of_another_kind_are_refused() {
    for body in [
        "",
        "[]",
        "{}",
        "{\"output\":{}}",
        "<html>",
        "{\"output\":{\"message\":{\"content\":[1]}}}",
    ] {
        assert!(decode_response(body.as_bytes()).is_err(), "{body}");
    }
}

proptest! {
    #[test]
    fn any_split_decodes_alike(which in 0_usize..5, cuts in vec(0_usize..8_000, 0..8)) {
        let (_, lines) = fixtures("stream_").remove(which);
        let bytes = framed(&lines);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode_stream(&pieces), decode_stream(&[&bytes]));
    }
}
