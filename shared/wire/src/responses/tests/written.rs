//! What goes to a provider, and what must not.

use serde_json::{Value, json};

use super::{dropped, openai};
use crate::Target;
use crate::model::{
    ChatRequest, Message, Part, Reasoning, Role, Sampling, Source, Tool, ToolChoice,
};
use crate::responses::encode_request;

fn user(parts: Vec<Part>) -> Message {
    Message {
        role: Role::User,
        parts,
        name: None,
    }
}

fn hello() -> ChatRequest {
    ChatRequest {
        messages: vec![user(vec![Part::text("Hi.".to_owned())])],
        ..ChatRequest::default()
    }
}

fn written(request: &ChatRequest, target: &Target) -> (Value, String) {
    let (upstream, drops) = encode_request(request, target).unwrap();
    assert_eq!(upstream.path, "/responses");
    let body = serde_json::from_slice(&upstream.body).unwrap();
    (body, dropped(&drops))
}

#[test]
fn nothing_is_kept_at_the_provider_unasked() {
    let (body, drops) = written(&hello(), &openai());
    assert_eq!(body["store"], false);
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(drops, "");
    let plain = Target {
        reasoning: false,
        ..openai()
    };
    assert_eq!(written(&hello(), &plain).0["include"], Value::Null);
    let mut stored = hello();
    stored.extra.insert("store".to_owned(), true.into());
    assert_eq!(written(&stored, &openai()).0["store"], true);
}

#[test]
fn what_the_dialect_cannot_say_is_named() {
    let mut request = ChatRequest {
        sampling: Sampling {
            top_k: Some(5.into()),
            presence_penalty: Some(1.into()),
            frequency_penalty: Some(1.into()),
            seed: Some(1),
            logit_bias: [("1".to_owned(), json!(1))].into_iter().collect(),
            ..Sampling::default()
        },
        stop: vec!["x".to_owned()],
        choices: Some(2),
        output_tokens_max: Some(5),
        tool_choice: Some(ToolChoice::Required),
        reasoning: Some(Reasoning {
            budget_tokens: Some(4_096),
            include: Some(true),
            ..Reasoning::default()
        }),
        ..hello()
    };
    request.extra.insert("audio".to_owned(), json!({}));
    let (body, drops) = written(&request, &openai());
    let fields: Vec<&str> = drops
        .lines()
        .map(|line| {
            let field = line.strip_prefix("dropped ").unwrap();
            field.split(": ").next().unwrap()
        })
        .collect();
    let expected = [
        "tool_choice",
        "max_output_tokens",
        "reasoning.budget_tokens",
        "top_k",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "logit_bias",
        "stop",
        "n",
        "audio",
    ];
    assert_eq!(fields, expected);
    assert_eq!(body["max_output_tokens"], 16);
    let reasoning = json!({"effort": "medium", "summary": "auto"});
    assert_eq!(body["reasoning"], reasoning);
    assert_eq!(body["audio"], Value::Null);
}

#[test]
fn a_model_without_sampling_gets_none() {
    let request = ChatRequest {
        sampling: Sampling {
            temperature: Some(1.into()),
            ..Sampling::default()
        },
        ..hello()
    };
    let target = Target {
        sampling: false,
        ..openai()
    };
    let (body, drops) = written(&request, &target);
    assert_eq!(body["temperature"], Value::Null);
    assert_eq!(drops, "dropped temperature: the model takes none\n");
}

#[test]
fn a_function_is_strict_only_if_the_caller_says_so() {
    let request = ChatRequest {
        tools: vec![Tool {
            name: "f".to_owned(),
            description: None,
            parameters: None,
            strict: None,
            cache: None,
        }],
        ..hello()
    };
    assert_eq!(written(&request, &openai()).0["tools"][0]["strict"], false);
}

#[test]
fn what_the_model_must_not_miss_is_refused() {
    let sound = Part::Audio {
        source: Source::Base64 {
            media_type: "audio/wav".to_owned(),
            data: "UklG".to_owned(),
        },
        cache: None,
    };
    let call = Part::ToolCall {
        id: "a".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        signature: None,
        cache: None,
    };
    let picture = Part::Image {
        source: Source::Url("https://x".to_owned()),
        detail: None,
        cache: None,
    };
    let assistant = |part| Message {
        role: Role::Assistant,
        parts: vec![part],
        name: None,
    };
    for message in [user(vec![sound]), user(vec![call]), assistant(picture)] {
        let request = ChatRequest {
            messages: vec![message],
            ..ChatRequest::default()
        };
        let error = encode_request(&request, &openai()).unwrap_err();
        assert_eq!(error.field, "messages[0].content");
    }
}

#[test]
fn calls_without_identifiers_find_their_results() {
    let call = |name: &str| Part::ToolCall {
        id: String::new(),
        name: name.to_owned(),
        arguments: "{}".to_owned(),
        signature: None,
        cache: None,
    };
    let result = |name: &str| Message {
        role: Role::Tool,
        parts: vec![Part::ToolResult {
            id: String::new(),
            name: Some(name.to_owned()),
            parts: vec![Part::text(name.to_owned())],
            is_error: false,
            cache: None,
        }],
        name: None,
    };
    let request = ChatRequest {
        messages: vec![
            user(vec![Part::text("Hi.".to_owned())]),
            Message {
                role: Role::Assistant,
                parts: vec![call("f"), call("g")],
                name: None,
            },
            result("g"),
            result("f"),
        ],
        ..ChatRequest::default()
    };
    let (body, _) = written(&request, &openai());
    let input = &body["input"];
    assert_eq!(input[1]["call_id"], input[4]["call_id"]);
    assert_eq!(input[2]["call_id"], input[3]["call_id"]);
    assert_ne!(input[1]["call_id"], input[2]["call_id"]);
}
