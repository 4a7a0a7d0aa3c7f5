//! Requests: goldens, what is refused, and the provider's own field list.

use std::env;

use serde_json::Map;

use super::*;
use crate::model::{
    CacheMark, ChatRequest, Effort, Logprobs, Message, Part, Reasoning, ResponseFormat, Role,
    Source, Tool, ToolChoice,
};

fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        ..Target::default()
    }
}

fn says(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn text(text: &str) -> Part {
    Part::text(text.to_owned())
}

fn hello() -> ChatRequest {
    ChatRequest {
        messages: vec![says(Role::User, vec![text("Hello")])],
        ..ChatRequest::default()
    }
}

fn call(id: &str, name: &str, arguments: &str, signature: Option<&str>) -> Part {
    Part::ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: signature.map(str::to_owned),
        cache: None,
    }
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult {
        id: id.to_owned(),
        name: None,
        parts,
        is_error,
        cache: None,
    }
}

fn thinking(text: &str, signature: Option<&str>) -> Part {
    Part::Thinking {
        text: text.to_owned(),
        signature: signature.map(str::to_owned),
    }
}

fn image(source: Source) -> Part {
    Part::Image {
        source,
        detail: Some("low".to_owned()),
        cache: None,
    }
}

fn base64(media_type: &str) -> Source {
    Source::Base64 {
        media_type: media_type.to_owned(),
        data: "AAAA".to_owned(),
    }
}

fn tool(name: &str, parameters: Option<Value>) -> Tool {
    Tool {
        name: name.to_owned(),
        description: Some("What it does.".to_owned()),
        parameters,
        strict: Some(true),
        cache: None,
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn city_schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false})
}

/// A conversation with everything that Gemini can say, and some that it cannot.
fn everything() -> ChatRequest {
    let mut request = hello();
    request.messages = every_turn();
    request.output_tokens_max = Some(100);
    request.choices = Some(2);
    request.stop = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec();
    request.sampling.temperature = serde_json::Number::from_f64(0.7);
    request.sampling.top_p = serde_json::Number::from_f64(0.9);
    request.sampling.top_k = Some(40.into());
    request.sampling.presence_penalty = serde_json::Number::from_f64(0.1);
    request.sampling.frequency_penalty = serde_json::Number::from_f64(-0.1);
    request.sampling.seed = Some(7);
    request.sampling.logit_bias = object(json!({"5": 1}));
    request.logprobs = Some(Logprobs {
        enabled: true,
        top: Some(3),
    });
    request.user = Some("u".to_owned());
    request.metadata = object(json!({"a": "b"}));
    request.extra = object(json!({
        "gemini": {
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "generationConfig": {"responseModalities": ["TEXT"], "nonsense": 1},
            "tools": [{"googleSearch": {}}]
        },
        "service_tier": "auto"
    }));
    request
}

fn every_turn() -> Vec<Message> {
    vec![
        says(Role::System, vec![text("Be brief.")]),
        says(
            Role::Developer,
            vec![
                text("Be kind."),
                image(Source::Url("https://x.test/a.png".to_owned())),
            ],
        ),
        Message {
            name: Some("ada".to_owned()),
            ..says(
                Role::User,
                vec![
                    Part::Text {
                        text: "Look:".to_owned(),
                        cache: Some(CacheMark::OneHour),
                        annotations: vec![],
                    },
                    image(Source::Url("https://x.test/a.png?size=1".to_owned())),
                    image(base64("image/webp")),
                    Part::Audio {
                        source: base64("audio/wav"),
                        cache: None,
                    },
                    Part::Document {
                        source: base64("application/pdf"),
                        name: Some("a.pdf".to_owned()),
                        cache: None,
                    },
                    Part::Document {
                        source: Source::Text("plain".to_owned()),
                        name: None,
                        cache: None,
                    },
                    Part::Document {
                        source: Source::FileId(
                            "https://generativelanguage.googleapis.com/v1beta/files/f".to_owned(),
                        ),
                        name: None,
                        cache: None,
                    },
                    image(Source::Url("data:image/gif;base64,R0lG".to_owned())),
                ],
            )
        },
        says(Role::User, vec![text(""), text("And?")]),
        says(
            Role::Assistant,
            vec![Part::Refusal {
                text: "No.".to_owned(),
            }],
        ),
        says(Role::System, vec![text("Be late.")]),
        says(Role::User, vec![text("Why?")]),
    ]
}

/// Calls of one function twice, in parallel, and their results in another order.
fn round_trip() -> ChatRequest {
    let mut request = hello();
    request.messages.extend([
        says(
            Role::Assistant,
            vec![
                thinking("I look.", Some("gemini:dGhpbms=")),
                thinking("", Some("gemini:dGV4dA==")),
                thinking("Foreign.", Some("RXJDb2==")),
                text("Looking."),
                call("c1", "get weather", r#"{"city":"Ulm"}"#, Some("c2ln")),
                call("c2", "get weather", r#"{"city":"Köln"}"#, None),
                call("c3", "now", "", None),
            ],
        ),
        says(
            Role::Tool,
            vec![result(
                "c2",
                vec![text("rain"), image(base64("image/png"))],
                false,
            )],
        ),
        says(
            Role::Tool,
            vec![result("c1", vec![text(r#"{"sun": true}"#)], false)],
        ),
        says(Role::Tool, vec![result("c3", vec![text("no clock")], true)]),
        says(Role::User, vec![text("So?")]),
    ]);
    request.tools = vec![tool("get weather", Some(city_schema())), tool("now", None)];
    request.tool_choice = Some(ToolChoice::Named("get weather".to_owned()));
    request.parallel_tool_calls = Some(false);
    request
}

fn with_format(tools: bool) -> ChatRequest {
    let mut request = hello();
    request.format = Some(ResponseFormat::JsonSchema {
        name: "place".to_owned(),
        description: Some("A place.".to_owned()),
        schema: city_schema(),
        strict: Some(true),
    });
    if tools {
        request.tools = vec![tool(
            "now",
            Some(json!({"type": "object", "properties": {}})),
        )];
        request.tool_choice = Some(ToolChoice::Required);
    }
    request
}

/// Clients that keep standard fields only: no signatures, no ids, arguments that are no object, an assistant first.
fn bare_history() -> ChatRequest {
    let mut request = hello();
    request.messages = vec![
        says(
            Role::Assistant,
            vec![
                call("", "a", "[1]", None),
                call("", "a", "{\"x\":2}", Some("anthropic:sig")),
            ],
        ),
        says(
            Role::Tool,
            vec![
                Part::ToolResult {
                    id: String::new(),
                    name: Some("a".to_owned()),
                    parts: vec![],
                    is_error: false,
                    cache: None,
                },
                result("", vec![text(r#"{"output": 1}"#)], false),
            ],
        ),
        says(
            Role::Assistant,
            vec![
                Part::RedactedThinking {
                    data: "x".to_owned(),
                },
                text("Done."),
            ],
        ),
        says(Role::User, vec![text("Thanks.")]),
    ];
    request
}

fn cases() -> Vec<(&'static str, ChatRequest, Target)> {
    let mut stream = hello();
    stream.stream = true;
    let mut only_system = hello();
    only_system.messages = vec![says(Role::System, vec![text("Say hello.")])];
    let mut none = with_format(true);
    none.tool_choice = Some(ToolChoice::None);
    let mut json_object = hello();
    json_object.format = Some(ResponseFormat::JsonObject);
    vec![
        ("request_stream", stream, target("gemini-2.5-flash")),
        (
            "request_everything",
            everything(),
            target("gemini-2.5-flash"),
        ),
        (
            "request_round_trip_2_5",
            round_trip(),
            target("gemini-2.5-flash"),
        ),
        (
            "request_round_trip_3",
            round_trip(),
            target("gemini-3-pro-preview"),
        ),
        (
            "request_bare_history_3",
            bare_history(),
            target("gemini-3-flash-preview"),
        ),
        (
            "request_only_system",
            only_system,
            target("gemini-2.5-flash"),
        ),
        (
            "request_json_object",
            json_object,
            target("gemini-2.0-flash"),
        ),
        (
            "request_schema",
            with_format(false),
            target("gemini-2.5-flash"),
        ),
        (
            "request_schema_with_tools_2_5",
            with_format(true),
            target("gemini-2.5-flash"),
        ),
        (
            "request_schema_with_tools_3",
            with_format(true),
            target("gemini-3-flash-preview"),
        ),
        (
            "request_schema_without_tools",
            none,
            target("gemini-2.5-flash"),
        ),
    ]
}

#[test]
fn requests() {
    for (name, request, target) in cases() {
        let (out, drops) = encode_request(&request, &target).unwrap();
        golden(name, &shown(&out, &drops));
    }
}

fn thinking_config(model: &str, reasoning: Reasoning) -> (Value, usize) {
    let mut request = hello();
    request.reasoning = Some(reasoning);
    let (out, drops) = encode_request(&request, &target(model)).unwrap();
    let body: Value = serde_json::from_slice(&out.body).unwrap();
    (
        body["generationConfig"]["thinkingConfig"].clone(),
        drops.as_slice().len(),
    )
}

#[test]
fn effort_is_a_budget_before_generation_3_and_a_level_since() {
    let effort = |model, effort| {
        thinking_config(
            model,
            Reasoning {
                effort: Some(effort),
                ..Reasoning::default()
            },
        )
    };
    let cases = [
        (
            "gemini-2.5-flash",
            Effort::None,
            json!({"thinkingBudget": 0}),
            0,
        ),
        (
            "gemini-2.5-flash",
            Effort::High,
            json!({"thinkingBudget": 24_576}),
            0,
        ),
        (
            "gemini-2.5-pro",
            Effort::None,
            json!({"thinkingBudget": 128}),
            1,
        ),
        (
            "gemini-2.5-pro",
            Effort::XHigh,
            json!({"thinkingBudget": 32_768}),
            0,
        ),
        (
            "gemini-3-pro-preview",
            Effort::Medium,
            json!({"thinkingLevel": "high"}),
            1,
        ),
        (
            "gemini-3.1-pro-preview",
            Effort::Medium,
            json!({"thinkingLevel": "medium"}),
            0,
        ),
        (
            "gemini-3-flash-preview",
            Effort::Minimal,
            json!({"thinkingLevel": "minimal"}),
            0,
        ),
        (
            "gemini-3-flash-preview",
            Effort::None,
            json!({"thinkingLevel": "minimal"}),
            1,
        ),
    ];
    for (model, asked, expected, drops) in cases {
        assert_eq!(effort(model, asked), (expected, drops), "{model} {asked:?}");
    }
}

#[test]
fn a_budget_wins_over_an_effort_and_is_kept_in_bounds() {
    let reasoning = Reasoning {
        effort: Some(Effort::Low),
        budget_tokens: Some(99_999),
        include: Some(true),
    };
    assert_eq!(
        thinking_config("gemini-3-flash-preview", reasoning.clone()),
        (
            json!({"thinkingBudget": 24_576, "includeThoughts": true}),
            1
        )
    );
    let mut request = hello();
    request.reasoning = Some(reasoning);
    let thoughtless = Target {
        reasoning: false,
        ..target("gemini-2.0-flash")
    };
    let (out, drops) = encode_request(&request, &thoughtless).unwrap();
    assert!(!String::from_utf8_lossy(&out.body).contains("thinkingConfig"));
    assert_eq!(drops.as_slice()[0].field, "reasoning");
}

#[test]
fn what_must_not_be_left_out_is_refused() {
    let refused = |messages: Vec<Message>| {
        let request = ChatRequest {
            messages,
            ..ChatRequest::default()
        };
        encode_request(&request, &target("gemini-2.5-flash"))
            .unwrap_err()
            .field
    };
    let user = |part| vec![says(Role::User, vec![part])];
    assert_eq!(refused(vec![]), "messages");
    assert_eq!(refused(user(text(""))), "messages");
    assert_eq!(
        refused(user(image(Source::FileId("file-1".to_owned())))),
        "messages[0].content[0]"
    );
    assert_eq!(
        refused(user(image(Source::Url("file:///etc/passwd".to_owned())))),
        "messages[0].content[0]"
    );
    assert_eq!(
        refused(user(image(Source::Url("data:image/png,x".to_owned())))),
        "messages[0].content[0]"
    );
    assert_eq!(
        refused(user(result("ghost", vec![], false))),
        "messages[0].content[0].tool_call_id"
    );
    assert_eq!(
        refused(user(call("", "", "{}", None))),
        "messages[0].content[0].name"
    );
    assert!(encode_request(&hello(), &target("../x")).is_err());
}

/// Every field that is sent is one that the provider's own library knows.
#[test]
fn requests_hold_only_the_providers_fields() {
    let folder = env::var_os("SLUICE_SPECS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/specs"),
        PathBuf::from,
    );
    let Ok(spec) = fs::read(folder.join("gemini.proto.json")) else {
        println!("skipped: no gemini.proto.json in {}", folder.display());
        return;
    };
    let spec: Value = serde_json::from_slice(&spec).unwrap();
    for (name, request, target) in cases() {
        let (out, _) = encode_request(&request, &target).unwrap();
        let body: Value = serde_json::from_slice(&out.body).unwrap();
        let message = "google.ai.generativelanguage.v1beta.GenerateContentRequest";
        check_message(&spec, message, &body, name);
    }
    let texts = vec![EmbeddingInput::Text("a".to_owned())];
    let (out, _) =
        embeddings::encode_request(&embeddings_request(texts), &target("gemini-embedding-001"))
            .unwrap();
    let body: Value = serde_json::from_slice(&out.body).unwrap();
    let message = "google.ai.generativelanguage.v1beta.BatchEmbedContentsRequest";
    check_message(&spec, message, &body, "embeddings");
}

fn check_message(spec: &Value, message: &str, value: &Value, at: &str) {
    let Some(fields) = spec["messages"].get(message) else {
        assert!(
            message.starts_with("google.protobuf."),
            "{at}: no {message}"
        );
        return;
    };
    for (key, value) in value.as_object().unwrap_or_else(|| panic!("{at}: {value}")) {
        let at = format!("{at}.{key}");
        let field = fields.get(key).unwrap_or_else(|| panic!("{at} is unknown"));
        let values: Vec<&Value> = match (field["map"] == true, field["rep"] == true) {
            (true, _) => value.as_object().unwrap().values().collect(),
            (false, true) => value.as_array().unwrap().iter().collect(),
            (false, false) => vec![value],
        };
        for value in values {
            if let Some(message) = field["msg"].as_str() {
                check_message(spec, message, value, &at);
            } else if let Some(name) = field["enum"].as_str() {
                let known = spec["enums"][name].as_array().unwrap();
                assert!(known.contains(value), "{at}: {value}");
            } else {
                assert!(
                    !value.is_object() && !value.is_array() && !value.is_null(),
                    "{at}: {value}"
                );
            }
        }
    }
}
