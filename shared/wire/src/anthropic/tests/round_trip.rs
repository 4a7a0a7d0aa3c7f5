//! There and back again equals the original, on what both sides can say.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::callers::{decode_stream, encode_stream};
use super::{call, message, named, result, schema, target};
use crate::Target;
use crate::anthropic::{
    Answered, decode_request, decode_response, encode_request, encode_response,
};
use crate::model::{
    CacheMark, ChatRequest, ChatResponse, Choice, Event, Finish, Message, Part, PartKind,
    Reasoning, ResponseFormat, Role, Sampling, Source, Tool, ToolChoice, Usage,
};

fn mark() -> impl Strategy<Value = Option<CacheMark>> {
    option::of(prop_oneof![
        Just(CacheMark::FiveMinutes),
        Just(CacheMark::OneHour)
    ])
}

fn text() -> impl Strategy<Value = Part> {
    ("[a-zé☃\"\\\\ ]{0,8}x", mark()).prop_map(|(text, cache)| Part::Text {
        text,
        cache,
        annotations: Vec::new(),
    })
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Url("https://example.com/a".to_owned())),
        Just(Source::FileId("file_1".to_owned())),
    ]
}

fn said() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => text(),
        1 => (source(), mark()).prop_map(|(source, cache)| Part::Image { source, detail: None, cache }),
        1 => (source(), option::of("[a-z]{1,4}"), mark())
            .prop_map(|(source, name, cache)| Part::Document { source, name, cache }),
    ]
}

/// A user's turn, the assistant's answer with calls, and their results.
fn exchange() -> impl Strategy<Value = Vec<Message>> {
    (
        vec(said(), 1..3),
        option::of("[a-z]{1,9}"),
        vec(text(), 0..2),
        0_usize..3,
        any::<bool>(),
    )
        .prop_map(|(asked, thought, answered, calls, failed)| {
            let mut parts = Vec::new();
            if let Some(thought) = thought {
                parts.push(Part::Thinking {
                    text: thought.clone(),
                    signature: Some(thought),
                });
            }
            parts.extend(answered);
            let ids: Vec<String> = (0..calls).map(|number| format!("call.{number}")).collect();
            parts.extend(
                ids.iter()
                    .map(|id| call(id, "weather", "{\"a\":[1,\"é\"]}")),
            );
            if calls == 0 {
                parts.push(Part::text("done".to_owned()));
            }
            let mut messages = vec![message(Role::User, asked), message(Role::Assistant, parts)];
            messages.extend(ids.iter().map(|id| {
                let mut result = result(id, "cold");
                if let Part::ToolResult { is_error, .. } = &mut result {
                    *is_error = failed;
                }
                message(Role::Tool, vec![result])
            }));
            messages
        })
}

/// At most four prompt-cache marks, or the rest would be dropped.
fn bounded(mut request: ChatRequest) -> ChatRequest {
    let mut left = 4_usize;
    let mut bound = |cache: &mut Option<CacheMark>| {
        if cache.is_some() && left == 0 {
            *cache = None;
        }
        left -= usize::from(cache.is_some());
    };
    request
        .tools
        .iter_mut()
        .for_each(|tool| bound(&mut tool.cache));
    let parts = request
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.parts);
    for part in parts {
        if let Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } =
            part
        {
            bound(cache);
        }
    }
    request
}

/// Identifiers may not come twice in one conversation, or they would be numbered.
fn renumbered(mut messages: Vec<Message>) -> Vec<Message> {
    let mut turn = 0;
    for message in &mut messages {
        turn += i32::from(message.role == Role::Assistant);
        for part in &mut message.parts {
            if let Part::ToolCall { id, .. } | Part::ToolResult { id, .. } = part {
                *id = format!("{id}/{turn}");
            }
        }
    }
    messages
}

fn tools() -> impl Strategy<Value = Vec<Tool>> {
    let tool = (option::of("[a-z ]{1,9}"), any::<bool>(), mark()).prop_map(
        |(description, strict, cache)| Tool {
            name: "weather".to_owned(),
            description,
            parameters: Some(json!({"type": "object", "additionalProperties": false})),
            strict: strict.then_some(true),
            cache,
        },
    );
    vec(tool, 1..2)
}

fn choice() -> impl Strategy<Value = Option<ToolChoice>> {
    prop_oneof![
        Just(None),
        Just(Some(ToolChoice::None)),
        Just(Some(ToolChoice::Required)),
        Just(Some(ToolChoice::Named("weather".to_owned()))),
    ]
}

fn format() -> impl Strategy<Value = Option<ResponseFormat>> {
    option::of(Just(ResponseFormat::JsonSchema {
        name: "answer".to_owned(),
        description: None,
        schema: json!({"type": "object", "additionalProperties": false}),
        strict: Some(true),
    }))
}

prop_compose! {
    fn request()(
        system in option::of(vec(text(), 1..3)),
        turns in vec(exchange(), 0..3),
        last in vec(said(), 1..3),
        tools in tools(),
        tool_choice in choice(),
        format in format(),
        limit in 2_049_u64..60_000,
        budget in option::of(1_024_u64..2_048),
        heat in option::of(0_u8..4),
        top_k in option::of(1_u32..50),
        stop in vec("[a-z]{1,4}", 0..3),
        user in option::of("[a-z]{1,8}"),
        stream in any::<bool>(),
    ) -> ChatRequest {
        let mut messages = Vec::new();
        messages.extend(system.map(|parts| message(Role::System, parts)));
        messages.extend(turns.into_iter().flatten());
        messages.push(message(Role::User, last));
        let forced = matches!(tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
        let budget = budget.filter(|_| !forced);
        let thinks = budget.is_some();
        // After results, a turn that is to think on must begin with its thoughts; keep to plain ends here.
        messages.push(message(Role::Assistant, vec![Part::text("so".to_owned())]));
        messages.push(message(Role::User, vec![Part::text("go".to_owned())]));
        bounded(ChatRequest {
            model: "claude-sonnet-4-5".to_owned(),
            messages: renumbered(messages),
            tools,
            tool_choice,
            output_tokens_max: Some(limit),
            sampling: Sampling {
                temperature: heat
                    .filter(|_| !thinks)
                    .and_then(|heat| serde_json::Number::from_f64(f64::from(heat) / 4.0)),
                top_k: top_k.filter(|_| !thinks).map(Into::into),
                ..Sampling::default()
            },
            stop,
            format,
            reasoning: budget.map(|budget| Reasoning {
                budget_tokens: Some(budget),
                ..Reasoning::default()
            }),
            user,
            stream,
            stream_usage: true,
            ..ChatRequest::default()
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_comes_back_as_it_was(request in request()) {
        let target = Target { structured_outputs: true, ..target() };
        let (upstream, drops) = encode_request(&request, &target).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let (again, drops) = decode_request(&upstream.body).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        prop_assert_eq!(again, request);
    }

    #[test]
    fn what_does_not_come_back_is_named(
        request in request(),
        seed in option::of(any::<i64>()),
        penalty in option::of(1_u8..2),
        extra in option::of(Just("store")),
    ) {
        let target = Target { structured_outputs: true, ..target() };
        let mut lossy = request.clone();
        lossy.sampling.seed = seed;
        lossy.sampling.presence_penalty = penalty.map(Into::into);
        lossy.extra.extend(extra.map(|key| (key.to_owned(), Value::Bool(true))));
        let (upstream, drops) = encode_request(&lossy, &target).unwrap();
        let expected: Vec<&str> = [
            penalty.map(|_| "presence_penalty"),
            seed.map(|_| "seed"),
            extra,
        ]
        .into_iter()
        .flatten()
        .collect();
        prop_assert_eq!(named(&drops), expected);
        prop_assert_eq!(decode_request(&upstream.body).unwrap().0, request);
    }

    #[test]
    fn an_answer_comes_back_as_it_was(
        parts in vec(answer_part(), 0..5),
        finish in finish(),
        counts in any::<[u16; 5]>(),
    ) {
        let tokens = |at: usize| sluice_units::Tokens::new(u64::from(counts[at]));
        let response = ChatResponse {
            id: "msg_1".to_owned(),
            model: "m".to_owned(),
            choices: vec![Choice { index: 0, parts, finish, logprobs: None }],
            usage: Some(Usage {
                input: tokens(0),
                input_cached: tokens(1),
                cache_write_5m: tokens(2),
                cache_write_1h: tokens(3),
                output: tokens(4),
                ..Usage::default()
            }),
            ..ChatResponse::default()
        };
        let (body, drops) = encode_response(&response, &Answered::default());
        prop_assert!(drops.is_empty(), "{:?}", drops);
        let (again, drops) = decode_response(&body).unwrap();
        prop_assert!(drops.is_empty(), "{:?}", drops);
        prop_assert_eq!(again, response);
    }

    #[test]
    fn any_overlap_of_parts_keeps_each_part(picks in vec((0_u32..4, 0_usize..3), 0..40)) {
        let events = interleaved(&picks);
        let again = decode_stream(&encode_stream(&events));
        for part in 0..4 {
            prop_assert_eq!(text_of(&again, part), text_of(&events, part), "{}", part);
        }
    }

    #[test]
    fn no_request_panics(body in "\\PC{0,60}|\\{\"model\":\"m\",\"max_tokens\":1,\"messages\":\\[[\\{\\}\":,a-z\\[\\]]{0,30}\\]\\}") {
        let _ = decode_request(body.as_bytes());
    }
}

fn answer_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        "[a-zé☃]{0,8}".prop_map(Part::text),
        "[a-z./]{0,8}x".prop_map(|id| call(&id, "weather", "{\"a\":[1,\"é\"]}")),
        ("[a-z]{0,8}", option::of("[a-z+/=]{1,8}"))
            .prop_map(|(text, signature)| Part::Thinking { text, signature }),
        "[a-z]{0,8}".prop_map(|data| Part::RedactedThinking { data }),
    ]
}

fn finish() -> impl Strategy<Value = Finish> {
    prop_oneof![
        Just(Finish::Stop),
        Just(Finish::Length),
        Just(Finish::ContextFull),
        Just(Finish::ToolCalls),
        Just(Finish::Refusal),
        Just(Finish::Pause),
        option::of("[a-z]{1,3}").prop_map(Finish::StopSequence),
    ]
}

/// Four parts that begin in order, get text and end in any order.
fn interleaved(picks: &[(u32, usize)]) -> Vec<Event> {
    let mut events = vec![Event::Start {
        id: "a".to_owned(),
        model: "b".to_owned(),
        created: None,
    }];
    let mut ended = [false; 4];
    let kinds = [
        PartKind::Text,
        PartKind::ToolCall {
            id: "one".to_owned(),
            name: "weather".to_owned(),
        },
        PartKind::Thinking,
        PartKind::ToolCall {
            id: "two".to_owned(),
            name: "weather".to_owned(),
        },
    ];
    for (part, kind) in (0..).zip(kinds) {
        events.push(Event::PartStart {
            choice: 0,
            part,
            kind,
        });
    }
    for (number, (part, what)) in picks.iter().enumerate() {
        let has_ended = &mut ended[*part as usize];
        match what {
            _ if *has_ended => {}
            2 => {
                *has_ended = true;
                events.push(Event::PartEnd {
                    choice: 0,
                    part: *part,
                });
            }
            _ => events.push(Event::Delta {
                choice: 0,
                part: *part,
                text: format!("{number},"),
            }),
        }
    }
    for (part, has_ended) in (0..).zip(ended) {
        if !has_ended {
            events.push(Event::PartEnd { choice: 0, part });
        }
    }
    events.extend([
        Event::Finish {
            choice: 0,
            finish: Finish::ToolCalls,
        },
        Event::End,
    ]);
    events
}

fn text_of(events: &[Event], wanted: u32) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Delta { part, text, .. } if *part == wanted => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_callers_request_goes_up_legally() {
    let (request, _) = decode_request(&super::fixture("caller_full.json")).unwrap();
    let (upstream, _) = encode_request(&request, &target()).unwrap();
    schema::check_request(&serde_json::from_slice(&upstream.body).unwrap());
}
