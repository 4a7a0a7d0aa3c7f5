//! Answers and streams of Anthropic.

use proptest::prelude::*;

use super::{fixture, golden_debug, named};
use crate::Drops;
use crate::anthropic::{StreamDecoder, decode_response};
use crate::error::DecodeError;
use crate::model::{Event, Finish, Part};

fn whole(name: &str, dropped: &[&str]) {
    let (response, drops) = decode_response(&fixture(&format!("{name}.json"))).unwrap();
    assert_eq!(named(&drops), dropped);
    golden_debug(name, &response);
}

#[test]
fn a_whole_answer_decodes() {
    whole("response_all", &["content[4]"]);
    whole("response_structured", &[]);
    whole("response_refusal", &[]);
}

#[test]
fn each_stop_reason_keeps_its_meaning() {
    for (reason, expected) in [
        ("\"end_turn\"", Finish::Stop),
        ("\"max_tokens\"", Finish::Length),
        (
            "\"stop_sequence\"",
            Finish::StopSequence(Some("END".to_owned())),
        ),
        ("\"tool_use\"", Finish::ToolCalls),
        ("\"pause_turn\"", Finish::Pause),
        ("\"refusal\"", Finish::Refusal),
        ("\"model_context_window_exceeded\"", Finish::ContextFull),
        ("\"compaction\"", Finish::Other("compaction".to_owned())),
        ("null", Finish::Other(String::new())),
    ] {
        let body = format!(
            r#"{{"type":"message","content":[],"stop_reason":{reason},"stop_sequence":"END"}}"#
        );
        let (response, _) = decode_response(body.as_bytes()).unwrap();
        assert_eq!(response.choices[0].finish, expected);
        assert_eq!(response.usage, None);
    }
}

#[test]
fn what_is_no_answer_is_refused_without_its_content() {
    for body in [
        "",
        "secret",
        "<html>secret",
        "[]",
        r#"{"type":"secret","content":[]}"#,
        r#"{"type":"message","content":"secret"}"#,
    ] {
        let error = decode_response(body.as_bytes()).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

fn decode(pieces: &[&[u8]]) -> (Vec<Event>, Drops, Result<(), DecodeError>) {
    let mut decoder = StreamDecoder::new();
    let mut events = Vec::new();
    let mut outcome = Ok(());
    for piece in pieces {
        outcome = outcome.and_then(|()| decoder.push(piece, &mut events));
    }
    let outcome = outcome.and_then(|()| decoder.finish(&mut events));
    (events, decoder.drops().clone(), outcome)
}

fn streamed(name: &str, dropped: &[&str]) {
    let (events, drops, outcome) = decode(&[&fixture(&format!("{name}.sse"))]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(named(&drops), dropped);
    golden_debug(name, &events);
}

#[test]
fn a_stream_decodes() {
    streamed("stream_all", &["content[3]", "content[4]"]);
    streamed("stream_structured", &[]);
    streamed("stream_refusal", &[]);
    streamed("stream_error", &[]);
}

#[test]
fn a_cut_stream_is_never_complete() {
    let stream = fixture("stream_all.sse");
    for length in 0..stream.len() - 1 {
        let (events, _, outcome) = decode(&[&stream[..length]]);
        assert_eq!(outcome, Err(DecodeError::Truncated), "{length}");
        assert!(!events.contains(&Event::End));
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, Event::Finish { .. }))
        );
    }
}

#[test]
fn an_impossible_stream_is_refused() {
    let start = r#"{"type":"message_start","message":{"id":"a"}}"#;
    let text =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    for frames in [
        &["not json"][..],
        &[text],
        &[
            start,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
        ],
        &[start, r#"{"type":"content_block_stop","index":0}"#],
        &[start, text, text],
        &[start, text, r#"{"type":"message_stop"}"#],
        &[start, text, start],
        &[start, r#"{"type":"message_start","message":{"id":"b"}}"#],
        &[
            start,
            r#"{"type":"content_block_start","index":99999,"content_block":{"type":"text"}}"#,
        ],
        &[r#"{"type":"message_start"}"#],
    ] {
        let stream: String = frames
            .iter()
            .map(|frame| format!("data: {frame}\n\n"))
            .collect();
        let (_, _, outcome) = decode(&[stream.as_bytes()]);
        assert!(
            matches!(outcome, Err(DecodeError::Shape { .. })),
            "{frames:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_delta_of_another_kind_than_its_block_is_named() {
    let stream = |block: &str, delta: &str| {
        [
            r#"{"type":"message_start","message":{"id":"a"}}"#.to_owned(),
            format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#),
            format!(r#"{{"type":"content_block_delta","index":0,"delta":{delta}}}"#),
            r#"{"type":"content_block_stop","index":0}"#.to_owned(),
            r#"{"type":"message_stop"}"#.to_owned(),
        ]
        .map(|frame| format!("data: {frame}\n\n"))
        .concat()
    };
    let signature = r#"{"type":"signature_delta","signature":"s"}"#;
    let text = r#"{"type":"text_delta","text":"t"}"#;
    let citation = r#"{"type":"citations_delta","citation":{"type":"char_location"}}"#;
    for (block, delta) in [
        (r#"{"type":"text","text":""}"#, signature),
        (r#"{"type":"redacted_thinking","data":"d"}"#, text),
        (r#"{"type":"thinking","thinking":""}"#, citation),
        (r#"{"type":"tool_use","id":"a","name":"f"}"#, text),
    ] {
        let (events, drops, outcome) = decode(&[stream(block, delta).as_bytes()]);
        assert_eq!(outcome, Ok(()));
        assert_eq!(named(&drops), ["content[0]"], "{block} {delta}");
        let strange = events.iter().find(|event| {
            matches!(
                event,
                Event::Delta { .. } | Event::Signature { .. } | Event::Annotation { .. }
            )
        });
        assert_eq!(strange, None, "{block} {delta}");
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut stream = fixture("stream_structured.sse");
    stream.extend_from_slice(b"data: [DONE]\n\ndata: {\"type\":\"message_stop\"}\n\n");
    let (events, _, outcome) = decode(&[&stream]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(
        events.iter().filter(|event| **event == Event::End).count(),
        1
    );
}

#[test]
fn streamed_and_whole_usage_agree() {
    let (whole, _) = decode_response(&fixture("response_all.json")).unwrap();
    let (events, _, _) = decode(&[&fixture("stream_all.sse")]);
    let usages: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Usage(usage) => Some(usage),
            _ => None,
        })
        .collect();
    let whole = whole.usage.unwrap();
    assert_eq!(usages.len(), 2);
    assert_eq!(usages[1].input_total(), whole.input_total());
    assert_eq!(usages[1].cache_write_1h, whole.cache_write_1h);
    assert_eq!(usages[1].output.count(), 42);
}

#[test]
fn compaction_is_counted() {
    let body = br#"{"type":"message","content":[],"stop_reason":"end_turn","usage":{"input_tokens":2,"output_tokens":3,"iterations":[{"type":"compaction","input_tokens":10,"output_tokens":20},{"type":"message","input_tokens":2,"output_tokens":3}]}}"#;
    let usage = decode_response(body).unwrap().0.usage.unwrap();
    assert_eq!((usage.input.count(), usage.output.count()), (12, 23));
}

#[test]
fn arguments_keep_their_bytes() {
    let (response, _) = decode_response(&fixture("response_all.json")).unwrap();
    let arguments: Vec<_> = response.choices[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall { arguments, .. } => Some(arguments.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        arguments,
        [r#"{ "big": 12345678901234567890123, "n": 1.50 }"#, "{}"]
    );
}

proptest! {
    #[test]
    fn any_split_decodes_alike(cuts in proptest::collection::vec(0_usize..6_000, 0..12), pick in 0_usize..4) {
        let names = ["stream_all.sse", "stream_structured.sse", "stream_refusal.sse", "stream_error.sse"];
        let stream = fixture(names[pick]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&pieces), decode(&[&stream]));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&[&bytes]);
        let _ = decode_response(&bytes);
    }
}
