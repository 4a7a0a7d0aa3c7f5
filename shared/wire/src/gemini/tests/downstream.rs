//! Callers who speak Gemini: goldens, what is refused, and there and back.

use super::*;
use crate::error::{ErrorClass, UpstreamError};
use crate::gemini::downstream::{
    Answered, ErrorAnswer, Framing, ListedModel, StreamEncoder, decode_count_tokens,
    decode_request, encode_count_tokens, encode_error, encode_models, encode_response,
};
use crate::model::{
    ChatRequest, ChatResponse, Choice, Effort, Finish, Logprobs, Message, Part, PartKind,
    Reasoning, ResponseFormat, Role, Source, Tool, ToolChoice, Usage,
};
use sluice_units::{Span, Tokens};

fn answered() -> Answered {
    Answered {
        id: "r-9".to_owned(),
        model: "fast".to_owned(),
    }
}

#[test]
fn requests_are_read() {
    each("downstream_", |name, body| {
        let (request, drops) = decode_request("models/fast", true, body).unwrap();
        golden(name, &format!("{request:#?}\n{drops:#?}"));
    });
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("", "invalid_json", None),
        ("[]", "invalid_type", None),
        ("{}", "missing_required_parameter", Some("contents")),
        (
            r#"{"contents":[]}"#,
            "missing_required_parameter",
            Some("contents"),
        ),
        (r#"{"contents":5}"#, "invalid_type", Some("contents")),
        (
            r#"{"contents":[{"role":"robot"}]}"#,
            "invalid_value",
            Some("contents[0].role"),
        ),
        (
            r#"{"contents":[{"parts":[{}]}]}"#,
            "missing_required_parameter",
            Some("contents[0].parts[0].text"),
        ),
        (
            r#"{"contents":[{"parts":[{"text":5}]}]}"#,
            "invalid_type",
            Some("contents[0].parts[0].text"),
        ),
        (
            r#"{"contents":[{"parts":[{"inline_data":{"data":""}}]}]}"#,
            "missing_required_parameter",
            Some("contents[0].parts[0].inlineData.mimeType"),
        ),
        (
            r#"{"contents":[{"parts":[{"functionCall":{"name":"a","args":[]}}]}]}"#,
            "invalid_type",
            Some("contents[0].parts[0].functionCall.args"),
        ),
        (
            r#"{"contents":[{}],"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}"#,
            "invalid_value",
            Some("toolConfig.functionCallingConfig.mode"),
        ),
        (
            r#"{"contents":[{}],"generationConfig":{"maxOutputTokens":-1}}"#,
            "integer_below_min_value",
            Some("generationConfig.maxOutputTokens"),
        ),
        (
            r#"{"contents":[{}],"generationConfig":{"responseSchema":{}}}"#,
            "invalid_value",
            Some("generationConfig.responseMimeType"),
        ),
        (
            r#"{"contents":[{}],"tool_config":{},"toolConfig":{}}"#,
            "duplicate_key",
            Some("toolConfig"),
        ),
        (
            r#"{"contents":[{}],"contents":[{}]}"#,
            "duplicate_key",
            None,
        ),
    ];
    for (body, code, param) in cases {
        let refused = decode_request("m", false, body.as_bytes()).unwrap_err();
        assert_eq!(
            (refused.code, refused.param.as_deref()),
            (code, param),
            "{body}"
        );
    }
}

#[test]
fn a_thought_in_pieces_is_one_thought() {
    let body = br#"{"contents":[{"role":"model","parts":[{"text":"I ","thought":true},{"text":"see.","thought":true},{"text":"","thought":true,"thoughtSignature":"AAAA"},{"text":"New.","thought":true},{"text":"Yes"}]},{"role":"user","parts":[{"text":"So?"}]}]}"#;
    let (request, _) = decode_request("m", false, body).unwrap();
    let thoughts: Vec<_> = request.messages[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Thinking { text, signature } => (text.as_str(), signature.is_some()),
            _ => ("", false),
        })
        .collect();
    assert_eq!(thoughts, [("I see.", true), ("New.", false), ("", false)]);
}

fn usage() -> Usage {
    Usage {
        input: Tokens::new(10),
        input_cached: Tokens::new(4),
        input_audio: Tokens::new(3),
        output: Tokens::new(9),
        reasoning: Tokens::new(5),
        ..Usage::default()
    }
}

#[test]
fn answers_of_others_are_written() {
    let parts = vec![
        Part::Thinking {
            text: "Hm.".to_owned(),
            signature: Some("RXJDb2==".to_owned()),
        },
        Part::text("Hi".to_owned()),
        Part::Refusal {
            text: "No.".to_owned(),
        },
        Part::ToolCall {
            id: "call_1".to_owned(),
            name: "now".to_owned(),
            arguments: "no json".to_owned(),
            signature: None,
            cache: None,
        },
        Part::RedactedThinking {
            data: "x".to_owned(),
        },
    ];
    let choice = Choice {
        index: 0,
        parts,
        finish: Finish::ToolCalls,
        logprobs: Some(
            json!({"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]}),
        ),
    };
    let response = ChatResponse {
        model: "claude".to_owned(),
        choices: vec![choice],
        usage: Some(usage()),
        ..ChatResponse::default()
    };
    let (body, drops) = encode_response(&response, &answered());
    let body: Value = serde_json::from_slice(&body).unwrap();
    golden("downstream_answer", &format!("{body:#}\n{drops:#?}"));
}

fn encode_events(framing: Framing, events: &[Event]) -> Vec<u8> {
    let mut encoder = StreamEncoder::new(framing, answered());
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    out
}

/// Parallel calls whose arguments are interleaved, as OpenAI streams them.
fn interleaved() -> Vec<Event> {
    let start = |part, id: &str| Event::PartStart {
        choice: 0,
        part,
        kind: PartKind::ToolCall {
            id: id.to_owned(),
            name: "add".to_owned(),
        },
    };
    let delta = |part, text: &str| Event::Delta {
        choice: 0,
        part,
        text: text.to_owned(),
    };
    vec![
        Event::Start {
            id: "x".to_owned(),
            model: "gpt".to_owned(),
            created: None,
        },
        Event::PartStart {
            choice: 0,
            part: 0,
            kind: PartKind::Text,
        },
        delta(0, "Adding."),
        start(1, "a"),
        start(2, "b"),
        delta(1, "{\"x\""),
        delta(2, "{\"x\":"),
        delta(1, ":1}"),
        delta(2, "2}"),
        Event::PartEnd { choice: 0, part: 0 },
        Event::PartEnd { choice: 0, part: 1 },
        start(3, "c"),
        Event::PartEnd { choice: 0, part: 2 },
        Event::PartEnd { choice: 0, part: 3 },
        Event::Finish {
            choice: 0,
            finish: Finish::ToolCalls,
        },
        Event::Usage(usage()),
        Event::End,
    ]
}

#[test]
fn streams_of_others_are_written() {
    for (name, framing) in [
        ("downstream_stream_sse", Framing::Sse),
        ("downstream_stream_array", Framing::Array),
    ] {
        let out = String::from_utf8(encode_events(framing, &interleaved())).unwrap();
        golden(name, &out);
    }
}

#[test]
fn a_failure_in_mid_stream_is_an_error_and_the_end() {
    let failure = UpstreamError {
        class: ErrorClass::Overloaded,
        status: 200,
        message: "busy".to_owned(),
        code: Some("overloaded_error".to_owned()),
        param: None,
        retry_after: Some(Span::from_millis(1_500)),
    };
    let mut events = interleaved();
    events.truncate(3);
    events.extend([Event::Failed(failure), Event::End]);
    let array = encode_events(Framing::Array, &events);
    assert!(serde_json::from_slice::<Value>(&array).unwrap().is_array());
    for out in [array, encode_events(Framing::Sse, &events)] {
        let (decoded, end) = decode_stream(&[&out]);
        assert_eq!(end, Ok(()));
        let Some(Event::Failed(error)) = decoded.last() else {
            panic!("{decoded:?}");
        };
        assert_eq!(
            (error.class, error.retry_after),
            (ErrorClass::Overloaded, Some(Span::from_seconds(2)))
        );
    }
}

#[test]
fn small_answers() {
    let error = ErrorAnswer {
        status: 429,
        code: "budget_exceeded",
        message: "The team's budget is spent.",
        param: Some("contents"),
        retry_after: Some(Span::from_seconds(60)),
    };
    let models = [
        ListedModel {
            name: "fast".to_owned(),
            input_tokens_max: Some(1_000),
            ..ListedModel::default()
        },
        ListedModel {
            name: "vectors".to_owned(),
            embeds: true,
            ..ListedModel::default()
        },
    ];
    let mut text = String::new();
    for body in [
        encode_error(&error),
        encode_models(&models),
        encode_count_tokens(7),
    ] {
        let body: Value = serde_json::from_slice(&body).unwrap();
        writeln!(text, "{body:#}").unwrap();
    }
    golden("downstream_small", &text);
}

#[test]
fn tokens_are_counted_of_contents_or_of_a_whole_request() {
    let bare = br#"{"contents":[{"parts":[{"text":"a"}]}]}"#;
    let whole =
        br#"{"generateContentRequest":{"model":"models/x","contents":[{"parts":[{"text":"a"}]}]}}"#;
    let (one, _) = decode_count_tokens("x", bare).unwrap();
    let (other, _) = decode_count_tokens("x", whole).unwrap();
    assert_eq!(one, other);
    assert!(decode_count_tokens("x", b"{}").is_err());
}

#[test]
fn another_providers_signature_comes_back_to_it() {
    let response = ChatResponse {
        choices: vec![Choice {
            index: 0,
            parts: vec![Part::Thinking {
                text: "Hm.".to_owned(),
                signature: Some("Er+/==".to_owned()),
            }],
            finish: Finish::Stop,
            logprobs: None,
        }],
        ..ChatResponse::default()
    };
    let (body, _) = encode_response(&response, &answered());
    let body: Value = serde_json::from_slice(&body).unwrap();
    let content = &body["candidates"][0]["content"];
    // As Google's client library for Python sends bytes.
    let carried = content.to_string().replace('+', "-").replace('/', "_");
    let request = format!(r#"{{"contents":[{carried}]}}"#);
    let (request, _) = decode_request("m", false, request.as_bytes()).unwrap();
    assert_eq!(request.messages[0].parts, response.choices[0].parts);
}

fn words() -> impl Strategy<Value = String> {
    "[a-zA-Zé .]{0,8}[a-z]"
}

fn any_user_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        words().prop_map(Part::text),
        "[A-Za-z0-9+/]{4}".prop_map(|data| Part::Image {
            source: Source::Base64 {
                media_type: "image/png".to_owned(),
                data
            },
            detail: None,
            cache: None,
        }),
        Just(Part::Image {
            source: Source::Url("https://x.test/a.webp".to_owned()),
            detail: None,
            cache: None,
        }),
        "[A-Za-z0-9+/]{4}".prop_map(|data| Part::Audio {
            source: Source::Base64 {
                media_type: "audio/wav".to_owned(),
                data
            },
            cache: None,
        }),
    ]
}

fn any_result_text() -> impl Strategy<Value = String> {
    prop_oneof![
        words(),
        Just(r#"{"a":1}"#.to_owned()),
        Just(r#"{"output":"x"}"#.to_owned()),
        Just(r#"{"result":"x"}"#.to_owned()),
        Just(r#"{"result":1}"#.to_owned()),
        Just(r#"{"big":12345678901234567890}"#.to_owned()),
        Just(r#"{"error":"x","a":[0.5,null]}"#.to_owned()),
        Just("[1]".to_owned()),
    ]
}

/// One exchange: the user, the model with or without calls, and the calls' results.
fn any_exchange(number: usize) -> impl Strategy<Value = Vec<Message>> {
    let calls = proptest::collection::vec(
        (
            "[a-z_][a-z0-9_.:-]{0,6}|[0-9]x|ü b",
            proptest::option::of("[A-Za-z0-9+/]{4}"),
            any_result_text(),
            any::<bool>(),
        ),
        0..3,
    );
    let says = |role, parts| Message {
        role,
        parts,
        name: None,
    };
    (
        proptest::collection::vec(any_user_part(), 1..4),
        words(),
        proptest::option::of("[A-Za-z0-9+/]{4}"),
        calls,
    )
        .prop_map(move |(user, text, proof, calls)| {
            let mut parts = Vec::new();
            if let Some(proof) = proof {
                parts.push(Part::Thinking {
                    text: text.clone(),
                    signature: Some(format!("gemini:{proof}")),
                });
            }
            parts.push(Part::text(text));
            let mut results = Vec::new();
            for (index, (name, signature, result, is_error)) in calls.into_iter().enumerate() {
                let id = format!("c{number}_{index}");
                parts.push(Part::ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: r#"{"a":[1,"b"]}"#.to_owned(),
                    signature,
                    cache: None,
                });
                let result = Part::ToolResult {
                    id,
                    name: Some(name),
                    parts: vec![Part::text(result)],
                    is_error,
                    cache: None,
                };
                results.push(says(Role::Tool, vec![result]));
            }
            let mut messages = vec![says(Role::User, user), says(Role::Assistant, parts)];
            messages.extend(results);
            messages
        })
}

fn place_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", null]},
            "b": {"type": "array", "items": {"type": "integer", "minimum": 1}}
        },
        "required": ["a"]
    })
}

fn any_format() -> impl Strategy<Value = Option<ResponseFormat>> {
    let schema = ResponseFormat::JsonSchema {
        name: "place".to_owned(),
        description: None,
        schema: place_schema(),
        strict: None,
    };
    prop_oneof![
        Just(None),
        Just(Some(ResponseFormat::Text)),
        Just(Some(ResponseFormat::JsonObject)),
        Just(Some(schema)),
    ]
}

fn any_config() -> impl Strategy<Value = ChatRequest> {
    let format = any_format();
    let tool = Tool {
        name: "find".to_owned(),
        description: Some("d".to_owned()),
        parameters: Some(place_schema()),
        strict: None,
        cache: None,
    };
    let choice = prop_oneof![
        Just(None),
        Just(Some(ToolChoice::Auto)),
        Just(Some(ToolChoice::None)),
        Just(Some(ToolChoice::Required)),
        Just(Some(ToolChoice::Named("find".to_owned()))),
    ];
    let reasoning = prop_oneof![
        Just(None),
        Just(Some(Reasoning {
            effort: Some(Effort::Medium),
            budget_tokens: None,
            include: Some(true)
        })),
        Just(Some(Reasoning {
            effort: None,
            budget_tokens: Some(512),
            include: None
        })),
    ];
    (
        format,
        choice,
        reasoning,
        any::<bool>(),
        proptest::option::of(1_u64..5_000),
        any::<i32>(),
    )
        .prop_map(move |(format, choice, reasoning, flag, max, seed)| {
            let mut request = ChatRequest {
                model: "gemini-3-flash-preview".to_owned(),
                format,
                reasoning,
                stream: flag,
                stream_usage: flag,
                output_tokens_max: max,
                ..ChatRequest::default()
            };
            if choice.is_some() || flag {
                request.tools = vec![tool.clone()];
                // What is strict is said by `VALIDATED`, which is a choice of its own.
                request.tools[0].strict =
                    (choice == Some(ToolChoice::Auto) && flag).then_some(true);
                request.tool_choice = choice;
            }
            request.sampling.seed = Some(seed.into());
            request.sampling.temperature = serde_json::Number::from_f64(0.5);
            request.sampling.top_k = Some(3.into());
            if flag {
                request.stop = vec!["END".to_owned()];
                request.choices = Some(2);
                request.logprobs = Some(Logprobs {
                    enabled: true,
                    top: Some(2),
                });
            }
            request
        })
}

fn any_request() -> impl Strategy<Value = ChatRequest> {
    (
        any_config(),
        proptest::option::of(words()),
        any_exchange(0),
        any_exchange(1),
        words(),
    )
        .prop_map(|(mut request, system, first, second, last)| {
            let says = |role, text: String| Message {
                role,
                parts: vec![Part::text(text)],
                name: None,
            };
            request
                .messages
                .extend(system.map(|text| says(Role::System, text)));
            request.messages.extend(first);
            request.messages.extend(second);
            request.messages.push(says(Role::User, last));
            request
        })
}

/// Function names stay escaped: the caller's own names are what goes out, and only answers are restored.
fn restored(mut request: ChatRequest) -> ChatRequest {
    for part in request
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.parts)
    {
        match part {
            Part::ToolCall { name, .. } => *name = names::decode_function(std::mem::take(name)),
            Part::ToolResult {
                name: Some(name), ..
            } => *name = names::decode_function(std::mem::take(name)),
            _ => {}
        }
    }
    request
}

proptest! {
    #[test]
    fn there_and_back_is_the_same_request(request in any_request()) {
        let target = Target { model: request.model.clone(), ..Target::default() };
        let (out, lost) = encode_request(&request, &target).unwrap();
        prop_assert_eq!(lost.as_slice(), &[]);
        let (back, lost) = decode_request(&request.model, request.stream, &out.body).unwrap();
        prop_assert_eq!(lost.as_slice(), &[]);
        prop_assert_eq!(restored(back), request);
    }

    #[test]
    fn no_request_breaks_the_decoder(text in "[\\[\\]{}:,\"a-z0-9_]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode_request("m", false, text.as_bytes());
        let _ = decode_request("m", false, &bytes);
        let _ = decode_request("m", false, format!(r#"{{"contents":[{text}]}}"#).as_bytes());
    }
}

/// Without the counts on the way: only the last is written.
fn without_usage(events: Vec<Event>) -> (Vec<Event>, Option<Event>) {
    let last = events
        .iter()
        .rfind(|event| matches!(event, Event::Usage(_)))
        .cloned();
    let mut events = events;
    events.retain(|event| !matches!(event, Event::Usage(_)));
    (events, last)
}

#[test]
fn answers_come_there_and_back() {
    let nobody = Answered::default();
    each("answer_", |name, body| {
        let (response, _) = decode_response(body).unwrap();
        let (written, _) = encode_response(&response, &nobody);
        let (back, _) = decode_response(&written).unwrap();
        // Modalities of output images are not part of the neutral model; logprobs' bytes come from the token.
        assert_eq!(back.choices.len(), response.choices.len(), "{name}");
        for (back, choice) in back.choices.iter().zip(&response.choices) {
            assert_eq!(back.finish, choice.finish, "{name}");
            assert_eq!(back.logprobs, choice.logprobs, "{name}");
            if name != "answer_code" && name != "answer_grounded" {
                assert_eq!(back.parts, choice.parts, "{name}");
            }
        }
        assert_eq!(
            back.usage.map(|usage| usage.total()),
            response.usage.map(|usage| usage.total()),
            "{name}"
        );
    });
    each("stream_", |name, stream| {
        let (events, end) = decode_stream(&[stream]);
        if end.is_err() || name == "stream_failed" || name == "stream_blocked" {
            return;
        }
        for framing in [Framing::Sse, Framing::Array] {
            let mut encoder = StreamEncoder::new(framing, nobody.clone());
            let mut out = Vec::new();
            events
                .iter()
                .for_each(|event| encoder.push(event, &mut out));
            let (back, end) = decode_stream(&[&out]);
            assert_eq!(end, Ok(()), "{name}");
            assert_eq!(without_usage(back), without_usage(events.clone()), "{name}");
        }
    });
}

#[test]
fn one_word_of_several_is_for_gemini_alone() {
    let config =
        r#"{"responseMimeType":"text/x.enum","responseSchema":{"type":"STRING","enum":["A","B"]}}"#;
    let body =
        format!(r#"{{"contents":[{{"parts":[{{"text":"?"}}]}}],"generationConfig":{config}}}"#);
    let (mut request, drops) = decode_request("m", false, body.as_bytes()).unwrap();
    assert!(drops.is_empty() && request.format.is_none());
    let target = Target {
        model: "gemini-2.5-flash".to_owned(),
        ..Target::default()
    };
    let (written, _) = encode_request(&request, &target).unwrap();
    let written: Value = serde_json::from_slice(&written.body).unwrap();
    let config: Value = serde_json::from_str(config).unwrap();
    assert_eq!(written["generationConfig"], config);
    let left = crate::Downstream::GenerateContent(Framing::Sse).leave(&mut request);
    assert_eq!(left.unwrap().as_slice()[0].field, "generationConfig");
}

#[test]
fn a_result_without_an_identifier_is_that_of_the_first_call_of_its_name() {
    let call = |id: &str, name: &str| json!({"functionCall": {"id": id, "name": name, "args": {}}});
    let result = |id: &str, name: &str, said: &str| {
        let mut result = json!({"name": name, "response": {"result": said}});
        if !id.is_empty() {
            result["id"] = id.into();
        }
        json!({"functionResponse": result})
    };
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "?"}]},
        {"role": "model", "parts": [call("a1", "a"), call("b1", "b"), call("a2", "a"), call("a3", "a")]},
        {"role": "user", "parts": [{"text": "Look:"}, result("", "b", "1"), result("a2", "a", "2"), result("", "a", "3"), result("", "a", "4"), result("", "c", "5")]},
    ]});
    let (request, _) = decode_request("m", false, body.to_string().as_bytes()).unwrap();
    let ids: Vec<_> = request
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::ToolResult { id, .. } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["b1", "a2", "a1", "a3", ""]);
    let last = request.messages.last().unwrap();
    assert_eq!(
        (last.role, last.parts.len()),
        (Role::User, 1),
        "results come first"
    );
}
