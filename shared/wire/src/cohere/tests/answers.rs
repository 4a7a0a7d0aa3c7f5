//! Goldens of whole and streamed answers, every way to cut a stream, and what must be refused.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{fixtures, golden, named};
use crate::cohere::{StreamDecoder, decode_response};
use crate::error::DecodeError;
use crate::model::{Event, Part};

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
    for (name, stream) in fixtures("stream_") {
        let (events, end) = decode_stream(&[stream.as_bytes()]);
        let mut text = String::new();
        for event in &events {
            writeln!(text, "{event:?}").unwrap();
        }
        writeln!(text, "{end:?}").unwrap();
        golden(&name, &text);
    }
}

#[test]
fn a_cut_stream_never_ends_well() {
    for (name, stream) in fixtures("stream_") {
        let (whole, _) = decode_stream(&[stream.as_bytes()]);
        let complete = stream.trim_end_matches("data: [DONE]\n\n").len();
        for end in 0..complete - 1 {
            let (events, outcome) = decode_stream(&[&stream.as_bytes()[..end]]);
            assert_eq!(outcome, Err(DecodeError::Truncated), "{name} cut at {end}");
            assert!(whole.starts_with(&events), "{name} cut at {end}");
        }
    }
}

const START: &str = "data: {\"type\":\"message-start\",\"id\":\"m\"}\n\n";

#[test]
fn streams_of_another_kind_are_refused() {
    for after in [
        "data: no\n\n",
        "data: []\n\n",
        "data: {\"type\":\"message-start\"}\n\n",
        "data: {\"type\":\"content-start\",\"delta\":{\"message\":{\"content\":{\"type\":\"text\"}}}}\n\n",
        "data: {\"type\":\"content-start\",\"index\":0}\n\n",
        "data: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{}}\n\n",
        "data: {\"type\":\"tool-call-end\",\"index\":0}\n\n",
        "data: {\"type\":\"tool-call-start\",\"index\":0,\"delta\":{}}\n\n",
    ] {
        let stream = format!("{START}{after}");
        let (_, outcome) = decode_stream(&[stream.as_bytes()]);
        assert!(
            matches!(outcome, Err(DecodeError::Shape { .. })),
            "{after} {outcome:?}"
        );
    }
    let early = "data: {\"type\":\"content-end\",\"index\":0}\n\n";
    let (_, outcome) = decode_stream(&[early.as_bytes()]);
    assert!(
        matches!(outcome, Err(DecodeError::Shape { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_block_without_a_counterpart_is_named() {
    let stream = format!(
        "{START}data: {{\"type\":\"content-start\",\"index\":3,\"delta\":{{\"message\":{{\"content\":{{\"type\":\"hologram\"}}}}}}}}\n\n"
    );
    let mut decoder = StreamDecoder::new();
    decoder.push(stream.as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(named(decoder.drops()), ["content[3]"]);
}

#[test]
fn citations_of_plans_are_named() {
    let cited = |kind: &str| {
        format!("{{\"start\":0,\"end\":1,\"text\":\"a\",\"sources\":[],\"type\":\"{kind}\"}}")
    };
    let body = format!(
        "{{\"message\":{{\"content\":[{{\"type\":\"text\",\"text\":\"a\"}}],\"citations\":[{},{}]}},\"finish_reason\":\"COMPLETE\"}}",
        cited("TEXT_CONTENT"),
        cited("PLAN")
    );
    let (response, drops) = decode_response(body.as_bytes()).unwrap();
    assert_eq!(named(&drops), ["citations"]);
    let part = &response.choices[0].parts[0];
    assert!(matches!(part, Part::Text { annotations, .. } if annotations.len() == 1));
    let stream = format!(
        "{START}data: {{\"type\":\"citation-start\",\"index\":0,\"delta\":{{\"message\":{{\"citations\":{}}}}}}}\n\n",
        cited("PLAN")
    );
    let mut decoder = StreamDecoder::new();
    decoder.push(stream.as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(named(decoder.drops()), ["citations"]);
}

#[test]
fn answers_of_another_kind_are_refused() {
    for body in [
        "",
        "[]",
        "{}",
        "<html>",
        "{\"message\":\"model removed\"}",
        "{\"message\":{\"content\":1}}",
        "{\"message\":{\"content\":[]},\"finish_reason\":\"ERROR\"}",
        "{\"message\":{\"content\":[]},\"finish_reason\":\"TIMEOUT\"}",
    ] {
        assert!(decode_response(body.as_bytes()).is_err(), "{body}");
    }
}

proptest! {
    #[test]
    fn any_split_decodes_alike(which in 0_usize..6, cuts in vec(0_usize..4_000, 0..8)) {
        let (_, stream) = fixtures("stream_").remove(which);
        let bytes = stream.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode_stream(&pieces), decode_stream(&[bytes]));
    }
}
