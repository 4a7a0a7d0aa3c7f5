//! Requests for Anthropic.

use serde_json::{Number, Value, json};

use super::{call, golden, marked, message, named, result, says, schema, target};
use crate::Target;
use crate::anthropic::encode_request;
use crate::model::{
    CacheMark, ChatRequest, Effort, Logprobs, Part, Reasoning, ResponseFormat, Role, Sampling,
    Source, Tool, ToolChoice,
};

/// Encodes, checks against the published schema, and returns the body and the names of what was dropped.
fn encode(request: &ChatRequest, target: &Target) -> (Value, Vec<String>) {
    let (upstream, drops) = encode_request(request, target).unwrap();
    assert_eq!(upstream.path, "/messages");
    assert_eq!(upstream.headers["anthropic-version"], "2023-06-01");
    let body: Value = serde_json::from_slice(&upstream.body).unwrap();
    schema::check_request(&body);
    (body, named(&drops).into_iter().map(str::to_owned).collect())
}

fn check(name: &str, request: &ChatRequest, dropped: &[&str]) {
    let (body, found) = encode(request, &target());
    assert_eq!(found, dropped, "{name}");
    golden(name, &body);
}

fn asks(text: &str) -> ChatRequest {
    with(vec![says(Role::User, text)])
}

fn with(messages: Vec<crate::model::Message>) -> ChatRequest {
    ChatRequest {
        model: "anything".to_owned(),
        messages,
        ..ChatRequest::default()
    }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: Some("What it does".to_owned()),
        parameters: Some(json!({"type": "object", "properties": {"city": {"type": "string"}}})),
        strict: None,
        cache: None,
    }
}

fn refused(request: &ChatRequest, field: &str) {
    let error = encode_request(request, &target()).unwrap_err();
    assert_eq!(error.field, field, "{error}");
}

#[test]
fn a_question_needs_little() {
    check("request_plain", &asks("Hello"), &[]);
}

#[test]
fn what_the_dialect_can_say_is_said() {
    let request = ChatRequest {
        tools: vec![
            tool("weather"),
            Tool {
                name: "now.utc".to_owned(),
                description: None,
                parameters: None,
                strict: None,
                cache: Some(CacheMark::OneHour),
            },
        ],
        tool_choice: Some(ToolChoice::Named("now.utc".to_owned())),
        parallel_tool_calls: Some(false),
        output_tokens_max: Some(500),
        sampling: Sampling {
            temperature: Number::from_f64(0.5),
            top_k: Some(Number::from(40)),
            ..Sampling::default()
        },
        stop: vec!["END".to_owned()],
        user: Some("user-1".to_owned()),
        stream: true,
        ..with(vec![
            message(Role::System, vec![marked("Be brief.", CacheMark::OneHour)]),
            message(Role::User, vec![marked("Hello", CacheMark::FiveMinutes)]),
        ])
    };
    check("request_full", &request, &[]);
}

#[test]
fn what_the_dialect_cannot_say_is_named() {
    let mut request = ChatRequest {
        sampling: Sampling {
            temperature: Number::from_f64(1.5),
            top_p: Number::from_f64(0.9),
            presence_penalty: Some(Number::from(1)),
            frequency_penalty: Some(Number::from(0)),
            seed: Some(7),
            ..Sampling::default()
        },
        stop: vec!["\n".to_owned(), "END".to_owned()],
        logprobs: Some(Logprobs {
            enabled: true,
            top: Some(2),
        }),
        choices: Some(2),
        output_tokens_max: Some(100_000),
        tool_choice: Some(ToolChoice::Required),
        user: Some("u".repeat(257)),
        ..asks("Hello")
    };
    request
        .sampling
        .logit_bias
        .insert("50256".to_owned(), json!(-100));
    request.metadata.insert("team".to_owned(), json!("a"));
    request.extra.insert("store".to_owned(), json!(false));
    request.messages[0].name = Some("Ann".to_owned());
    check(
        "request_drops",
        &request,
        &[
            "messages[0].name",
            "tool_choice",
            "max_tokens",
            "top_p",
            "temperature",
            "stop[0]",
            "user",
            "n",
            "logprobs",
            "top_logprobs",
            "presence_penalty",
            "seed",
            "logit_bias",
            "metadata.team",
            "store",
        ],
    );
}

#[test]
fn a_history_is_made_legal() {
    let request = with(vec![
        says(Role::System, "Be brief."),
        says(Role::Assistant, "Hello, I am here."),
        says(Role::User, "One"),
        says(Role::User, "  "),
        says(Role::Developer, "Be kind."),
        says(Role::User, "Two"),
        says(Role::Assistant, "Three"),
        says(Role::Assistant, ""),
        says(Role::Assistant, "Four \n"),
    ]);
    check(
        "request_history",
        &request,
        &[
            "messages[3].content[0]",
            "messages[4]",
            "messages[8]",
            "messages[1]",
        ],
    );
}

#[test]
fn results_stand_together_before_text() {
    let request = ChatRequest {
        tools: vec![tool("weather")],
        ..with(vec![
            says(Role::User, "Weather?"),
            message(
                Role::Assistant,
                vec![
                    call("call.1", "weather", r#"{ "city":"Oslo", "n": 1.50 }"#),
                    call("call_2", "weather", ""),
                ],
            ),
            message(Role::Tool, vec![result("call_2", "warm")]),
            says(Role::User, "And?"),
            message(
                Role::Tool,
                vec![Part::ToolResult {
                    id: "call.1".to_owned(),
                    name: None,
                    parts: vec![
                        Part::text(String::new()),
                        Part::Image {
                            source: Source::Url("https://example.com/map.png".to_owned()),
                            detail: None,
                            cache: None,
                        },
                    ],
                    is_error: true,
                    cache: Some(CacheMark::FiveMinutes),
                }],
            ),
            message(Role::Assistant, vec![call("call_2", "weather", "[1]")]),
            message(
                Role::Tool,
                vec![Part::ToolResult {
                    id: "call_2".to_owned(),
                    name: None,
                    parts: Vec::new(),
                    is_error: false,
                    cache: None,
                }],
            ),
        ])
    };
    check(
        "request_results",
        &request,
        &["messages[5].content[0].arguments"],
    );
    let (upstream, _) = encode_request(&request, &target()).unwrap();
    let body = String::from_utf8(upstream.body.to_vec()).unwrap();
    assert!(
        body.contains(r#""input":{ "city":"Oslo", "n": 1.50 }"#),
        "arguments keep their bytes"
    );
}

#[test]
fn a_history_with_calls_declares_their_tools() {
    let request = with(vec![
        says(Role::User, "Weather?"),
        message(Role::Assistant, vec![call("call_1", "weather", "oops")]),
        message(Role::Tool, vec![result("call_1", "warm")]),
    ]);
    check(
        "request_undeclared_tools",
        &request,
        &["messages[1].content[0].arguments"],
    );
}

#[test]
fn pictures_and_documents_are_carried() {
    let image = |source| Part::Image {
        source,
        detail: None,
        cache: None,
    };
    let document = |source, name: Option<&str>| Part::Document {
        source,
        name: name.map(str::to_owned),
        cache: None,
    };
    let base64 = |media_type: &str, data: &str| Source::Base64 {
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    };
    let request = with(vec![message(
        Role::User,
        vec![
            image(base64("image/jpg", "AAAA")),
            image(Source::Url("data:image/png;base64,BBBB".to_owned())),
            image(Source::FileId("file_1".to_owned())),
            Part::Image {
                source: Source::Url("https://example.com/a.png".to_owned()),
                detail: Some("low".to_owned()),
                cache: Some(CacheMark::OneHour),
            },
            document(base64("application/pdf", "CCCC"), Some("a.pdf")),
            document(base64("text/csv", "YSxi"), None),
            document(Source::Text("plain".to_owned()), None),
            document(Source::Url("https://example.com/a.pdf".to_owned()), None),
        ],
    )]);
    check(
        "request_media",
        &request,
        &["messages[0].content[3].detail"],
    );
    let (upstream, _) = encode_request(&request, &target()).unwrap();
    assert_eq!(upstream.headers["anthropic-beta"], "files-api-2025-04-14");
}

#[test]
fn what_must_not_be_left_out_is_refused() {
    let user = |part| with(vec![message(Role::User, vec![part])]);
    let picture = |url: &str| Part::Image {
        source: Source::Url(url.to_owned()),
        detail: None,
        cache: None,
    };
    let audio = Part::Audio {
        source: Source::Url("https://example.com/a.mp3".to_owned()),
        cache: None,
    };
    refused(&user(audio), "messages[0].content[0]");
    refused(
        &user(picture("data:image/bmp;base64,AA")),
        "messages[0].content[0]",
    );
    refused(
        &user(picture("data:image/png,AA")),
        "messages[0].content[0]",
    );
    refused(&user(call("a", "b", "{}")), "messages[0].content[0]");
    refused(&with(Vec::new()), "messages");
    refused(&asks(" "), "messages");
    let reserved = ChatRequest {
        tools: vec![tool("sluice_structured_answer")],
        ..asks("Hello")
    };
    refused(&reserved, "tools[0].function.name");
}

#[test]
fn instructions_alone_become_the_users_turn() {
    let request = with(vec![says(Role::System, "Say hello.")]);
    check("request_system_only", &request, &["messages"]);
}

fn thinking(turns: Vec<crate::model::Message>) -> ChatRequest {
    ChatRequest {
        reasoning: Some(Reasoning {
            effort: Some(Effort::Medium),
            ..Reasoning::default()
        }),
        tools: vec![tool("weather")],
        ..with(turns)
    }
}

#[test]
fn thoughts_go_back_as_they_came() {
    let turns = vec![
        says(Role::User, "Weather?"),
        message(
            Role::Assistant,
            vec![
                Part::Thinking {
                    text: "Let me see.".to_owned(),
                    signature: Some("c2ln+/=".to_owned()),
                },
                Part::RedactedThinking {
                    data: "ZGF0YQ==".to_owned(),
                },
                Part::Thinking {
                    text: "Unsigned.".to_owned(),
                    signature: None,
                },
                Part::Thinking {
                    text: "Of another provider.".to_owned(),
                    signature: Some("gemini:c2ln".to_owned()),
                },
                call("call_1", "weather", "{}"),
            ],
        ),
        message(Role::Tool, vec![result("call_1", "warm")]),
    ];
    let mut request = thinking(turns);
    request.sampling.temperature = Number::from_f64(0.2);
    check(
        "request_thinking",
        &request,
        &[
            "messages[1].content[2]",
            "messages[1].content[3]",
            "temperature",
        ],
    );
}

#[test]
fn thinking_gives_way_where_it_is_illegal() {
    let bare_call = vec![
        says(Role::User, "Weather?"),
        message(Role::Assistant, vec![call("call_1", "weather", "{}")]),
        message(Role::Tool, vec![result("call_1", "warm")]),
    ];
    let forced = ChatRequest {
        tool_choice: Some(ToolChoice::Required),
        ..thinking(vec![says(Role::User, "Weather?")])
    };
    let prefilled = thinking(vec![says(Role::User, "Hi"), says(Role::Assistant, "Hello")]);
    for request in [thinking(bare_call), forced, prefilled] {
        let (body, dropped) = encode(&request, &target());
        assert_eq!(body.get("thinking"), None);
        assert_eq!(dropped, ["reasoning_effort"]);
    }
}

#[test]
fn an_adaptive_model_gets_effort_and_no_sampling() {
    let target = Target {
        reasoning_adaptive: true,
        sampling: false,
        ..target()
    };
    let mut request = thinking(vec![says(Role::User, "Hi")]);
    request.sampling.temperature = Number::from_f64(0.2);
    let (body, dropped) = encode(&request, &target);
    assert_eq!(body["thinking"], json!({"type": "adaptive"}));
    assert_eq!(body["output_config"], json!({"effort": "medium"}));
    assert_eq!(dropped, ["temperature"]);
}

fn wants_json(schema: Value) -> ChatRequest {
    ChatRequest {
        format: Some(ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            description: None,
            schema,
            strict: Some(true),
        }),
        ..asks("Hello")
    }
}

#[test]
fn a_schema_is_native_or_a_forced_tool() {
    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let native = Target {
        structured_outputs: true,
        ..target()
    };
    let (body, dropped) = encode(&wants_json(closed.clone()), &native);
    assert_eq!(
        body["output_config"]["format"],
        json!({"type": "json_schema", "schema": closed})
    );
    assert_eq!(body.get("tools"), None);
    assert!(dropped.is_empty());

    check("request_json_schema", &wants_json(closed), &[]);

    let open = json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {}}}});
    let (body, _) = encode(&wants_json(open), &native);
    assert_eq!(body["tools"][0]["input_schema"]["type"], "object");
    assert_eq!(body["tool_choice"]["name"], "sluice_structured_answer");

    refused(
        &wants_json(json!({"type": "array"})),
        "response_format.json_schema.schema",
    );
}

#[test]
fn json_and_tools_leave_the_model_a_choice() {
    let request = ChatRequest {
        format: Some(ResponseFormat::JsonObject),
        tools: vec![tool("weather")],
        ..asks("Hello")
    };
    let (body, dropped) = encode(&request, &target());
    assert_eq!(body["tool_choice"], json!({"type": "any"}));
    assert_eq!(body["tools"][1]["name"], "sluice_structured_answer");
    assert!(dropped.is_empty());

    let request = ChatRequest {
        tool_choice: Some(ToolChoice::Required),
        ..request
    };
    let (body, dropped) = encode(&request, &target());
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!(dropped, ["response_format"]);
}

#[test]
fn the_latest_four_cache_marks_stay() {
    let turn = |text: &str| message(Role::User, vec![marked(text, CacheMark::FiveMinutes)]);
    let request = with(vec![
        message(Role::System, vec![marked("s", CacheMark::OneHour)]),
        turn("a"),
        turn("b"),
        turn("c"),
        turn("d"),
    ]);
    let (body, dropped) = encode(&request, &target());
    assert_eq!(dropped, ["cache_control"]);
    assert_eq!(body["messages"][0]["content"][0].get("cache_control"), None);
    assert_eq!(
        body["messages"][0]["content"][1]["cache_control"]["type"],
        "ephemeral"
    );
    assert_eq!(body["system"][0]["cache_control"]["ttl"], "1h");
    let marks = body.to_string().matches("\"cache_control\"").count();
    assert_eq!(marks, 4);
}
