//! Goldens of requests, each valid by AWS's own model, and what each kind of model is told.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value, json};

use super::spec::check_request;
use super::{body, call, golden, message, named, of_model, result, says, target};
use crate::Target;
use crate::bedrock::encode_request;
use crate::model::{
    CacheMark, ChatRequest, Effort, Message, Part, Reasoning, ResponseFormat, Role, Sampling,
    Source, Tool, ToolChoice,
};

fn check(name: &str, request: &ChatRequest, target: &Target) {
    let (upstream, drops) = encode_request(request, target).unwrap();
    let body = body(&upstream);
    check_request(&body);
    let mut text = format!("{} {}\n{body:#}\n", upstream.method, upstream.path);
    for drop in drops.as_slice() {
        writeln!(text, "dropped {}: {}", drop.field, drop.reason).unwrap();
    }
    golden(name, &text);
}

fn png() -> Source {
    Source::Base64 {
        media_type: "image/png".to_owned(),
        data: "iVBORw0KGgo=".to_owned(),
    }
}

fn pdf(name: Option<&str>) -> Part {
    Part::Document {
        source: Source::Base64 {
            media_type: "application/pdf".to_owned(),
            data: "JVBERi0=".to_owned(),
        },
        name: name.map(str::to_owned),
        cache: None,
    }
}

fn marked(text: &str, mark: CacheMark) -> Part {
    Part::Text {
        text: text.to_owned(),
        cache: Some(mark),
        annotations: Vec::new(),
    }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: Some("Says the weather.".to_owned()),
        parameters: Some(json!({"type": "object", "properties": {"city": {"type": "string"}}})),
        strict: None,
        cache: None,
    }
}

fn of(messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        model: "claude".to_owned(),
        messages,
        ..ChatRequest::default()
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other}"),
    }
}

/// Two turns with two calls, their results beside other words, pictures and documents.
fn conversation() -> Vec<Message> {
    let thought = Part::Thinking {
        text: "Two places.".to_owned(),
        signature: Some("EqQBCkgI==".to_owned()),
    };
    let redacted = Part::RedactedThinking {
        data: "EmwKAhgB".to_owned(),
    };
    let failed = Part::ToolResult {
        id: "call_2".to_owned(),
        name: None,
        parts: vec![Part::text("no such place".to_owned())],
        is_error: true,
        cache: Some(CacheMark::OneHour),
    };
    let picture = Part::Image {
        source: png(),
        detail: None,
        cache: None,
    };
    let note = Part::Document {
        source: Source::Text("plain".to_owned()),
        name: Some("Q3_notes.md".to_owned()),
        cache: None,
    };
    vec![
        message(
            Role::System,
            vec![
                marked("Be brief.", CacheMark::FiveMinutes),
                Part::text("  ".to_owned()),
            ],
        ),
        message(
            Role::User,
            vec![pdf(Some("Q3 report.pdf")), pdf(Some("Q3 report.pdf")), note],
        ),
        says(Role::User, "Where was it colder?"),
        message(
            Role::Assistant,
            vec![
                thought,
                redacted,
                Part::text(" ".to_owned()),
                call("call_1", "weather", "{\"city\": \"Oslo\", \"z\":1.50}"),
                call("call_2", "a.b", ""),
            ],
        ),
        says(Role::Developer, "Be quick."),
        message(
            Role::User,
            vec![Part::text("And look:".to_owned()), picture.clone()],
        ),
        result(
            "call_1",
            vec![Part::text("-3".to_owned()), picture, pdf(None)],
        ),
        message(Role::Tool, vec![failed]),
    ]
}

fn everything() -> ChatRequest {
    ChatRequest {
        tools: vec![
            Tool {
                cache: Some(CacheMark::FiveMinutes),
                ..tool("weather")
            },
            tool("a.b"),
        ],
        tool_choice: Some(ToolChoice::Auto),
        output_tokens_max: Some(20_000),
        reasoning: Some(Reasoning {
            budget_tokens: Some(5_000),
            ..Reasoning::default()
        }),
        stop: vec!["END".to_owned(), " ".to_owned()],
        metadata: object(json!({"team": "blue", "bad": "ü", "number": 1})),
        extra: object(json!({
            "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"},
            "bedrock": {
                "additionalModelRequestFields": {"anthropic_beta": ["x"]},
                "serviceTier": {"type": "flex"},
                "novel": 1,
            },
            "store": false,
        })),
        user: Some("u".to_owned()),
        stream: true,
        ..of(conversation())
    }
}

#[test]
fn everything_that_can_be_said() {
    check("request_everything", &everything(), &target());
    let (upstream, _) = encode_request(&everything(), &target()).unwrap();
    let body = std::str::from_utf8(&upstream.body).unwrap();
    assert!(
        body.contains(r#"{"city": "Oslo", "z":1.50}"#),
        "arguments keep their bytes"
    );
}

#[test]
fn histories_are_made_legal() {
    let request = of(vec![
        says(Role::Assistant, "Hello."),
        message(Role::User, vec![pdf(None)]),
        says(Role::Assistant, "Yes?"),
        says(Role::Assistant, "\n"),
        says(Role::User, ""),
        message(
            Role::Assistant,
            vec![call("", "weather", "[1]"), call("", "weather", "{}")],
        ),
        result("", vec![]),
        result("", vec![Part::text(" ".to_owned())]),
        says(Role::Assistant, "It is cold. \n"),
    ]);
    check("request_histories", &request, &target());
}

#[test]
fn instructions_alone_become_the_users_turn() {
    check(
        "request_only_system",
        &of(vec![says(Role::System, "Say hi.")]),
        &target(),
    );
}

#[test]
fn a_call_may_not_be_forbidden_where_the_history_holds_one() {
    let history = vec![
        says(Role::User, "weather?"),
        message(Role::Assistant, vec![call("c", "weather", "{}")]),
        result("c", vec![Part::text("cold".to_owned())]),
    ];
    let asked = ChatRequest {
        tools: vec![tool("weather")],
        tool_choice: Some(ToolChoice::None),
        ..of(history.clone())
    };
    check("request_none_with_history", &asked, &target());
    check("request_no_tools_with_history", &of(history), &target());
    let plain = ChatRequest {
        tools: vec![tool("weather")],
        tool_choice: Some(ToolChoice::None),
        ..of(vec![says(Role::User, "hi")])
    };
    let (upstream, drops) = encode_request(&plain, &target()).unwrap();
    assert_eq!(body(&upstream)["toolConfig"], Value::Null);
    assert!(drops.is_empty(), "{drops:?}");
}

#[test]
fn choices_have_converse_names() {
    for (choice, expected) in [
        (None, Value::Null),
        (Some(ToolChoice::Auto), json!({"auto": {}})),
        (Some(ToolChoice::Required), json!({"any": {}})),
        (
            Some(ToolChoice::Named("weather".to_owned())),
            json!({"tool": {"name": "weather"}}),
        ),
    ] {
        let request = ChatRequest {
            tools: vec![tool("weather")],
            tool_choice: choice,
            ..of(vec![says(Role::User, "hi")])
        };
        let (upstream, drops) = encode_request(&request, &target()).unwrap();
        let body = body(&upstream);
        check_request(&body);
        assert_eq!(body["toolConfig"]["toolChoice"], expected);
        assert!(drops.is_empty(), "{drops:?}");
    }
}

fn person(additional: bool) -> ResponseFormat {
    ResponseFormat::JsonSchema {
        name: "person".to_owned(),
        description: None,
        schema: json!({"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": additional}),
        strict: Some(true),
    }
}

#[test]
fn a_json_answer_is_converse_own_or_a_tool() {
    let request = |format, tools| ChatRequest {
        format: Some(format),
        tools,
        ..of(vec![says(Role::User, "hi")])
    };
    let structured = Target {
        structured_outputs: true,
        ..target()
    };
    check(
        "request_schema",
        &request(person(false), vec![]),
        &structured,
    );
    check(
        "request_schema_by_tool",
        &request(person(false), vec![]),
        &target(),
    );
    check(
        "request_schema_open_with_tools",
        &request(person(true), vec![tool("weather")]),
        &structured,
    );
    check(
        "request_json_object",
        &request(ResponseFormat::JsonObject, vec![]),
        &target(),
    );
}

/// Encodes, and compares what of the body says it, and what is named.
fn check_config(
    target: &Target,
    request: ChatRequest,
    (additional, config): (&Value, &Value),
    dropped: &[&str],
) {
    let request = ChatRequest {
        messages: vec![says(Role::User, "hi")],
        ..request
    };
    let (upstream, drops) = encode_request(&request, target).unwrap();
    let body = body(&upstream);
    check_request(&body);
    let found = (
        &body["additionalModelRequestFields"],
        &body["inferenceConfig"],
    );
    assert_eq!(found, (additional, config), "{}", target.model);
    assert_eq!(named(&drops), dropped, "{}", target.model);
}

#[test]
fn each_kind_of_model_thinks_in_its_own_words() {
    let adaptive = Target {
        reasoning_adaptive: true,
        ..target()
    };
    let claude = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let profile = "arn:aws:bedrock:eu-central-1:012345678901:application-inference-profile/abc123";
    let enabled = json!({"thinking": {"type": "enabled", "budget_tokens": 2048}});
    let limit = json!({"maxTokens": 4096});
    let nova = json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}});
    let unknown = ["reasoning_effort"];
    for (target, effort, additional, config, dropped) in [
        (
            of_model(claude),
            Effort::High,
            enabled.clone(),
            limit.clone(),
            &[][..],
        ),
        (of_model(profile), Effort::Low, enabled, limit, &[]),
        (
            adaptive,
            Effort::Low,
            json!({"thinking": {"type": "adaptive"}}),
            Value::Null,
            &[],
        ),
        (
            of_model("us.amazon.nova-2-lite-v1:0"),
            Effort::High,
            nova,
            Value::Null,
            &[],
        ),
        (
            of_model("openai.gpt-oss-120b-1:0"),
            Effort::Minimal,
            json!({"reasoning_effort": "low"}),
            Value::Null,
            &[],
        ),
        (
            of_model("us.deepseek.r1-v1:0"),
            Effort::High,
            Value::Null,
            Value::Null,
            &unknown,
        ),
        (
            of_model("us.deepseek.r1-v1:0"),
            Effort::None,
            Value::Null,
            Value::Null,
            &[],
        ),
    ] {
        let reasoning = Some(Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        });
        let request = ChatRequest {
            reasoning,
            ..ChatRequest::default()
        };
        check_config(&target, request, (&additional, &config), dropped);
    }
}

#[test]
fn each_kind_of_model_samples_in_its_own_words() {
    for (model, additional, dropped) in [
        (
            "anthropic.claude-3-haiku-20240307-v1:0",
            json!({"top_k": 5}),
            &[][..],
        ),
        (
            "eu.amazon.nova-pro-v1:0",
            json!({"inferenceConfig": {"topK": 5}}),
            &[],
        ),
        ("mistral.mistral-large-2407-v1:0", json!({"top_k": 5}), &[]),
        ("meta.llama3-1-70b-instruct-v1:0", Value::Null, &["top_k"]),
    ] {
        let top_k = Some(Number::from(5));
        let sampling = Sampling {
            top_k,
            ..Sampling::default()
        };
        let request = ChatRequest {
            sampling,
            ..ChatRequest::default()
        };
        check_config(
            &of_model(model),
            request,
            (&additional, &Value::Null),
            dropped,
        );
    }
}

#[test]
fn a_limit_is_not_lost_to_the_highest_effort() {
    let request = ChatRequest {
        reasoning: Some(Reasoning {
            effort: Some(Effort::XHigh),
            ..Reasoning::default()
        }),
        output_tokens_max: Some(100),
        ..of(vec![says(Role::User, "hi")])
    };
    let (upstream, drops) = encode_request(&request, &of_model("amazon.nova-2-lite-v1:0")).unwrap();
    let body = body(&upstream);
    assert_eq!(body["inferenceConfig"]["maxTokens"], 100);
    assert_eq!(
        body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"],
        "medium"
    );
    assert_eq!(named(&drops), ["reasoning_effort"]);
}

#[test]
fn what_has_no_word_is_named() {
    let request = ChatRequest {
        choices: Some(2),
        parallel_tool_calls: Some(false),
        tools: vec![Tool {
            strict: Some(true),
            cache: Some(CacheMark::OneHour),
            ..tool("weather")
        }],
        sampling: Sampling {
            temperature: Number::from_f64(1.5),
            seed: Some(1),
            presence_penalty: Some(Number::from(1)),
            ..Sampling::default()
        },
        ..of(vec![message(
            Role::User,
            vec![marked("hi", CacheMark::OneHour)],
        )])
    };
    let (upstream, drops) =
        encode_request(&request, &of_model("meta.llama3-1-70b-instruct-v1:0")).unwrap();
    check_request(&body(&upstream));
    assert_eq!(body(&upstream)["inferenceConfig"]["temperature"], 1);
    let expected = [
        "messages[0].content[0].cache_control",
        "tools[0].function.strict",
        "tools[0].cache_control",
        "parallel_tool_calls",
        "temperature",
        "n",
        "presence_penalty",
        "seed",
    ];
    assert_eq!(named(&drops), expected);
}

#[test]
fn what_must_not_be_left_out_is_refused() {
    let user = |part| of(vec![message(Role::User, vec![part])]);
    let image = |source| {
        user(Part::Image {
            source,
            detail: None,
            cache: None,
        })
    };
    let document = |media_type: &str, data: &str| {
        let source = Source::Base64 {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        };
        user(Part::Document {
            source,
            name: None,
            cache: None,
        })
    };
    let long = "x".repeat(65);
    for request in [
        image(Source::Url("https://example.com/a.png".to_owned())),
        image(Source::FileId("file-1".to_owned())),
        image(Source::Base64 {
            media_type: "image/bmp".to_owned(),
            data: "AA==".to_owned(),
        }),
        image(Source::Text("a".to_owned())),
        image(Source::Url("data:image/png,raw".to_owned())),
        document("application/zip", "AA=="),
        document("application/pdf", ""),
        of(vec![]),
        of(vec![says(Role::User, " ")]),
        user(call("a", "b", "{}")),
        of(vec![message(Role::Assistant, vec![call("a", &long, "{}")])]),
        ChatRequest {
            tools: vec![tool(&long)],
            ..of(vec![says(Role::User, "hi")])
        },
        ChatRequest {
            tools: vec![tool("sluice_structured_answer")],
            ..of(vec![says(Role::User, "hi")])
        },
    ] {
        let error = encode_request(&request, &target()).unwrap_err();
        assert_eq!(error.dialect, "bedrock", "{request:?}");
    }
    for model in ["", "..", "a\nb"] {
        let request = of(vec![says(Role::User, "hi")]);
        assert!(
            encode_request(&request, &of_model(model)).is_err(),
            "{model:?}"
        );
    }
}

#[test]
fn pictures_may_stand_in_s3_and_sounds_go_too() {
    let request = of(vec![message(
        Role::User,
        vec![
            Part::Image {
                source: Source::Url("s3://bucket/a.JPG".to_owned()),
                detail: None,
                cache: None,
            },
            Part::Image {
                source: Source::Url("data:image/webp;base64,AAAA".to_owned()),
                detail: None,
                cache: None,
            },
            Part::Audio {
                source: Source::Base64 {
                    media_type: "audio/mpeg".to_owned(),
                    data: "AAAA".to_owned(),
                },
                cache: None,
            },
        ],
    )]);
    let (upstream, drops) = encode_request(&request, &target()).unwrap();
    let body = body(&upstream);
    check_request(&body);
    let content = &body["messages"][0]["content"];
    assert_eq!(
        content[0],
        json!({"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.JPG"}}}})
    );
    assert_eq!(content[1]["image"]["format"], "webp");
    assert_eq!(
        content[2],
        json!({"audio": {"format": "mp3", "source": {"bytes": "AAAA"}}})
    );
    assert!(drops.is_empty(), "{drops:?}");
}

#[test]
fn identifiers_are_bounded_and_results_find_their_calls() {
    let long = "call_".repeat(40);
    let request = of(vec![
        says(Role::User, "go"),
        message(Role::Assistant, vec![call(&long, "weather", "{}")]),
        result(&long, vec![Part::text("cold".to_owned())]),
    ]);
    let (upstream, _) = encode_request(&request, &target()).unwrap();
    let body = body(&upstream);
    check_request(&body);
    let called = &body["messages"][1]["content"][0]["toolUse"]["toolUseId"];
    let answered = &body["messages"][2]["content"][0]["toolResult"]["toolUseId"];
    assert_eq!(called, answered);
    assert_eq!(called.as_str().unwrap().len(), 49);
}

#[test]
fn at_most_four_cache_points_go_out() {
    let parts = (0..6)
        .map(|_| marked("a", CacheMark::FiveMinutes))
        .collect();
    let (upstream, drops) =
        encode_request(&of(vec![message(Role::User, parts)]), &target()).unwrap();
    let content = body(&upstream)["messages"][0]["content"].take();
    let marks: Vec<bool> = content
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["cachePoint"].is_object())
        .collect();
    assert_eq!(
        marks,
        [
            false, false, false, true, false, true, false, true, false, true
        ]
    );
    assert_eq!(named(&drops), ["cache_control"]);
}
