//! Bytes that go through as they are.

use super::super::passthrough::{self, Edits, StreamTap};
use super::{decode_stream, each};
use crate::error::{DecodeError, ErrorClass};
use crate::model::Event;
use crate::sse::SseDecoder;
use crate::{Target, TokenBound, openai::chat};

fn rewritten(body: &str, edits: &Edits) -> String {
    String::from_utf8(passthrough::rewrite_request(body.as_bytes(), edits)).unwrap()
}

fn model() -> Edits {
    Edits {
        model: Some("gpt \"x\"".to_owned()),
        ..Edits::default()
    }
}

fn check(edits: &Edits, cases: &[(&str, &str)]) {
    for (body, expected) in cases {
        assert_eq!(rewritten(body, edits), *expected, "{edits:?}");
    }
}

#[test]
fn only_the_model_changes() {
    check(
        &model(),
        &[
            (
                "{ \"a\" : [1.50, {\"model\":\"no\"}],\n\"model\" : \"m\" , \"z\":\"\\u00e9\\\"}\"}",
                "{ \"a\" : [1.50, {\"model\":\"no\"}],\n\"model\" : \"gpt \\\"x\\\"\" , \"z\":\"\\u00e9\\\"}\"}",
            ),
            (r#"{"m\u006fdel":"m"}"#, r#"{"m\u006fdel":"gpt \"x\""}"#),
            ("{}", r#"{"model":"gpt \"x\""}"#),
            ("[1]", "[1]"),
        ],
    );
}

#[test]
fn usage_is_asked_for_whatever_the_options_are() {
    let edits = Edits {
        include_usage: true,
        ..Edits::default()
    };
    check(
        &edits,
        &[
            (
                r#"{"x":1 }"#,
                r#"{"x":1,"stream_options":{"include_usage":true} }"#,
            ),
            (
                r#"{"stream_options":null}"#,
                r#"{"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options":{}}"#,
                r#"{"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage": false, "x": 1}}"#,
                r#"{"stream_options":{"include_usage": true, "x": 1}}"#,
            ),
            (
                r#"{"stream_options":{"x":{}} ,"y":1}"#,
                r#"{"stream_options":{"x":{},"include_usage":true} ,"y":1}"#,
            ),
        ],
    );
}

#[test]
fn stream_options_go_to_nobody_who_refuses_them() {
    let edits = Edits {
        no_stream_options: true,
        ..model()
    };
    let options = r#""stream_options":{"include_usage":true}"#;
    check(
        &edits,
        &[
            (
                &format!(r#"{{"a":1, {options} ,"b":2}}"#),
                r#"{"a":1 ,"b":2,"model":"gpt \"x\""}"#,
            ),
            (
                &format!(r#"{{{options}, "a":1}}"#),
                r#"{"a":1,"model":"gpt \"x\""}"#,
            ),
            (
                &format!(r#"{{"model":"m",{options} }}"#),
                r#"{"model":"gpt \"x\"" }"#,
            ),
            (r#"{"model":"m"}"#, r#"{"model":"gpt \"x\""}"#),
        ],
    );
}

#[test]
fn the_limit_has_the_name_that_the_provider_reads() {
    let old = r#"{"max_tokens":5}"#;
    let new = r#"{"max_completion_tokens":5}"#;
    let both = r#"{"max_tokens":5,"max_completion_tokens":5}"#;
    let old_and_null = r#"{"max_tokens":5,"max_completion_tokens":null}"#;
    let null_and_new = r#"{"max_tokens":null,"max_completion_tokens":5}"#;
    for (key, cases) in [
        (
            "max_completion_tokens",
            [
                (old, new),
                (new, new),
                (both, null_and_new),
                (old_and_null, null_and_new),
                (null_and_new, null_and_new),
            ],
        ),
        (
            "max_tokens",
            [
                (old, old),
                (new, old),
                (both, old_and_null),
                (old_and_null, old_and_null),
                (null_and_new, old_and_null),
            ],
        ),
    ] {
        let edits = Edits {
            limit_key: Some(key),
            ..Edits::default()
        };
        check(&edits, &cases);
    }
}

#[test]
fn developers_speak_as_the_system_where_nobody_knows_them() {
    let edits = Edits {
        developer_as_system: true,
        ..Edits::default()
    };
    check(
        &edits,
        &[(
            r#"{"messages":[{"role":"developer","content":"developer"}, {"content":[],"role": "user"}]}"#,
            r#"{"messages":[{"role":"system","content":"developer"}, {"content":[],"role": "user"}]}"#,
        )],
    );
}

#[test]
fn calls_get_the_identifiers_that_the_provider_takes() {
    let edits = Edits {
        short_call_ids: true,
        ..Edits::default()
    };
    // A call and its result are given the same; what is legal stays.
    check(
        &edits,
        &[(
            r#"{"messages":[{"tool_calls":[{"id":"call_1", "type":"function"},{"id":"D681PevKs"}],"id":"call_1"},{"role":"tool","tool_call_id":"call_1","content":"call_1"}, {"tool_call_id":"D681PevKs"},{"tool_calls":null}]}"#,
            r#"{"messages":[{"tool_calls":[{"id":"uzphom4t4", "type":"function"},{"id":"D681PevKs"}],"id":"call_1"},{"role":"tool","tool_call_id":"uzphom4t4","content":"call_1"}, {"tool_call_id":"D681PevKs"},{"tool_calls":null}]}"#,
        )],
    );
}

#[test]
fn edits_follow_the_target() {
    let body = br#"{"model":"m","messages":[{"role":"developer","content":"x"}],"max_tokens":3,"stream":true,"n":1}"#;
    let (request, _) = chat::decode_request(body).unwrap();
    let target = Target {
        model: "gpt-x".to_owned(),
        max_completion_tokens: true,
        ..Target::default()
    };
    let edits = Edits::chat(&request, &target);
    assert_eq!(
        rewritten(std::str::from_utf8(body).unwrap(), &edits),
        r#"{"model":"gpt-x","messages":[{"role":"system","content":"x"}],"max_completion_tokens":3,"stream":true,"n":1,"stream_options":{"include_usage":true}}"#
    );
}

#[test]
fn the_model_of_an_answer_can_be_shown_under_another_name() {
    let body = br#"{"id":"1","model":"gpt-x-2025","choices":[]}"#;
    assert_eq!(
        passthrough::rewrite_model_in_response(body, "fast"),
        br#"{"id":"1","model":"fast","choices":[]}"#
    );
}

fn tapped(pieces: &[&[u8]], include_usage: bool) -> (StreamTap, Vec<u8>, Result<(), DecodeError>) {
    let mut tap = StreamTap::new(include_usage);
    let mut out = Vec::new();
    for piece in pieces {
        if let Err(error) = tap.push(piece, &mut out) {
            return (tap, out, Err(error));
        }
    }
    let end = tap.finish(&mut out);
    (tap, out, end)
}

#[test]
fn the_tap_and_the_decoder_agree() {
    for (name, body) in each("stream_") {
        let (events, decoded) = decode_stream(&[&body]);
        let (mut tap, out, end) = tapped(&[&body], true);
        // A stream of nothing but its end is for the tap a stream.
        if name != "stream_only_done" {
            assert_eq!(end.is_ok(), decoded.is_ok(), "{name}");
        }
        let usage = events.iter().rev().find_map(|event| match event {
            Event::Usage(usage) => Some(*usage),
            _ => None,
        });
        let failed = events.iter().find_map(|event| match event {
            Event::Failed(error) => Some(error.clone()),
            _ => None,
        });
        if decoded.is_ok() && failed.is_none() {
            assert_eq!(tap.usage(), usage, "{name}");
            assert!(out.starts_with(&body), "{name}");
        }
        assert_eq!(tap.take_error(), failed, "{name}");
        assert_eq!(
            tap.is_complete(),
            events.contains(&Event::End) || name == "stream_only_done"
        );
    }
}

#[test]
fn usage_that_nobody_asked_for_is_held_back() {
    let body = &each("stream_text")["stream_text"];
    let (tap, out, end) = tapped(&[body], false);
    assert_eq!(end, Ok(()));
    assert!(tap.usage().is_some());
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("prompt_tokens"));
    assert!(text.ends_with("data: [DONE]\n\n"));
    // Usage beside a finish reason is no chunk of its own.
    let body = &each("stream_reasoning")["stream_reasoning"];
    let (_, out, _) = tapped(&[body], false);
    assert_eq!(&out, body);
}

#[test]
fn an_error_and_half_an_event_are_held_back() {
    let body = &each("stream_error")["stream_error"];
    let (_, out, _) = tapped(&[body], true);
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("\n\n") && !text.contains("error"), "{text}");
    // Mistral's envelope is flat.
    let flat: &[u8] =
        b"data: {\"object\":\"error\",\"message\":\"Sorry.\",\"type\":\"rate_limited\"}\n\n";
    let (mut tap, out, _) = tapped(&[flat], true);
    assert_eq!(out, b"");
    let error = tap.take_error().unwrap();
    assert_eq!(
        (error.message.as_str(), error.class),
        ("Sorry.", ErrorClass::RateLimited)
    );
    let (tap, out, end) = tapped(&[b"data: {\"choices\":[]}\n\ndata: {\"cho"], true);
    assert_eq!(out, b"data: {\"choices\":[]}\n\n");
    assert_eq!(end, Err(DecodeError::Truncated));
    assert!(!tap.is_complete());
}

#[test]
fn of_an_event_that_is_held_back_nothing_goes_out() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\r\n\r\n";
    let (whole, cut) = usage.split_at(usage.len() - 1);
    let (_, out, _) = tapped(&[whole.as_bytes(), cut.as_bytes()], false);
    assert_eq!(out, b"");
}

#[test]
fn a_last_event_is_ended_wherever_it_was_cut() {
    let chunk = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    for cut in ["", "\r", "\r\n", "\n"] {
        let (_, out, end) = tapped(&[chunk.as_bytes(), cut.as_bytes()], true);
        assert_eq!(end, Ok(()), "{cut:?}");
        let mut events = 0;
        let mut decoder = SseDecoder::new();
        let read = decoder.push(&out, |_| {
            events += 1;
            Ok(())
        });
        assert_eq!((read, events), (Ok(()), 1), "{cut:?}");
    }
}

#[test]
fn nothing_counts_after_the_end() {
    let chunk = r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":1}}"#;
    let stream = format!("{chunk}\n\ndata: [DONE]\n\n{usage}\n\ndata: nonsense\n\n");
    let (tap, _, end) = tapped(&[stream.as_bytes()], true);
    let (events, decoded) = decode_stream(&[stream.as_bytes()]);
    assert_eq!((end, decoded), (Ok(()), Ok(())));
    assert_eq!(tap.usage(), None);
    assert!(!events.iter().any(|event| matches!(event, Event::Usage(_))));
}

#[test]
fn output_is_counted_in_passing() {
    for (name, text) in [
        ("stream_text", "Grüß dich 🌍"),
        ("stream_reasoning", "Let me4"),
        ("stream_parallel_calls", "fgh{\"x\":1}{\"y\":2}"),
        ("stream_mistral_thinking", "hm4"),
        ("stream_refusal", "I cannot."),
    ] {
        let (tap, _, _) = tapped(&[&each(name)[name]], true);
        let whole = TokenBound::of(text.as_bytes());
        let written = tap.written();
        assert!(whole <= written, "{name}: {written:?}");
        assert!(
            written.tokens().count() <= whole.tokens().count() + 6,
            "{name}: {written:?}"
        );
    }
}

#[test]
fn a_whole_answer_is_looked_at() {
    for (name, body) in each("answer_") {
        let look = passthrough::look(&body.clone().into()).unwrap();
        let (response, _) = chat::decode_response(&body).unwrap();
        assert_eq!(look.usage, response.usage, "{name}");
        assert!(look.finish.is_some(), "{name}");
    }
    assert!(passthrough::look(&b"<html>".as_slice().into()).is_err());
}

#[test]
fn a_blank_chunk_is_said_with_the_next_one_however_it_is_cut() {
    let blank = "data: {\"choices\":[],\"object\":\"\",\"prompt_filter_results\":[1.50]}\r\n\r\n";
    let named = "\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let done = "data: [DONE]\n\n";
    let stream = format!("{blank}data: {{{named}{done}");
    for cut in 0..=stream.len() {
        let (head, tail) = stream.as_bytes().split_at(cut);
        let (mut tap, mut out) = (StreamTap::new(true).mending(), Vec::new());
        tap.push(head, &mut out).unwrap();
        tap.push(tail, &mut out).unwrap();
        tap.finish(&mut out).unwrap();
        let expected = format!("data: {{\"prompt_filter_results\":[1.50],{named}{done}");
        assert_eq!(String::from_utf8(out).unwrap(), expected, "cut at {cut}");
    }
}
