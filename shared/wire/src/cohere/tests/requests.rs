//! Goldens of requests, and what is named or refused.

use serde_json::{Map, Number, Value, json};

use super::{body, call, golden, message, named, result, says, shown, target};
use crate::Target;
use crate::cohere::encode_request;
use crate::model::{
    CacheMark, ChatRequest, Effort, Logprobs, Message, Part, Reasoning, ResponseFormat, Role,
    Sampling, Source, Tool, ToolChoice,
};

fn of(messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        model: "command".to_owned(),
        messages,
        ..ChatRequest::default()
    }
}

fn hi() -> ChatRequest {
    of(vec![says(Role::User, "hi")])
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: Some("Says the weather.".to_owned()),
        parameters: Some(
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
        ),
        strict: None,
        cache: None,
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn png() -> Part {
    Part::Image {
        source: Source::Base64 {
            media_type: "image/png".to_owned(),
            data: "iVBORw0KGgo=".to_owned(),
        },
        detail: Some("low".to_owned()),
        cache: None,
    }
}

fn conversation() -> Vec<Message> {
    let citation = json!({"start": 0, "end": 2, "text": "It", "sources": []});
    let cited = Part::Text {
        text: "It is cold.".to_owned(),
        cache: Some(CacheMark::FiveMinutes),
        annotations: vec![citation, json!({"type": "url_citation"})],
    };
    let note = Part::Document {
        source: Source::Text("plain".to_owned()),
        name: Some("notes.txt".to_owned()),
        cache: None,
    };
    let thought = |signature: Option<&str>| Part::Thinking {
        text: "Two places.".to_owned(),
        signature: signature.map(str::to_owned),
    };
    vec![
        says(Role::System, "Be brief."),
        message(
            Role::User,
            vec![Part::text("Look:".to_owned()), png(), note],
        ),
        message(
            Role::Assistant,
            vec![
                thought(None),
                thought(Some("sig")),
                thought(Some("cohere:plan")),
                Part::text("I will look.".to_owned()),
                call("call_1", "weather", "{\"city\": \"Oslo\"}"),
                call("call_2", "a.b", ""),
            ],
        ),
        message(
            Role::Tool,
            vec![result("call_1", vec![Part::text("-3".to_owned()), png()])],
        ),
        message(
            Role::User,
            vec![result("call_2", vec![]), Part::text("And?".to_owned())],
        ),
        message(Role::Assistant, vec![cited]),
        says(Role::Assistant, "\n"),
        says(Role::User, "Thanks."),
    ]
}

#[test]
fn everything_that_can_be_said() {
    let request = ChatRequest {
        tools: vec![tool("weather"), tool("a.b")],
        tool_choice: Some(ToolChoice::Auto),
        parallel_tool_calls: Some(false),
        output_tokens_max: Some(9_000),
        sampling: Sampling {
            temperature: Number::from_f64(1.5),
            top_p: Some(Number::from(1)),
            top_k: Some(Number::from(5)),
            presence_penalty: Number::from_f64(-0.5),
            frequency_penalty: Number::from_f64(0.5),
            seed: Some(7),
            ..Sampling::default()
        },
        stop: (0..7).map(|at| format!("S{at}")).collect(),
        reasoning: Some(Reasoning {
            budget_tokens: Some(500),
            ..Reasoning::default()
        }),
        logprobs: Some(Logprobs {
            enabled: true,
            top: Some(2),
        }),
        choices: Some(2),
        user: Some("u".to_owned()),
        metadata: object(json!({"team": "blue"})),
        extra: object(
            json!({"safety_mode": "STRICT", "cohere": {"priority": 1, "novel": 1}, "store": false}),
        ),
        stream: true,
        ..of(conversation())
    };
    let (upstream, drops) = encode_request(&request, &target()).unwrap();
    golden("request_everything", &shown(&upstream, &drops));
}

#[test]
fn choices_have_coheres_names() {
    let offered = || vec![tool("weather"), tool("clock")];
    for (choice, expected, names) in [
        (None, Value::Null, 2),
        (Some(ToolChoice::Auto), Value::Null, 2),
        (Some(ToolChoice::None), json!("NONE"), 2),
        (Some(ToolChoice::Required), json!("REQUIRED"), 2),
        (
            Some(ToolChoice::Named("clock".to_owned())),
            json!("REQUIRED"),
            1,
        ),
    ] {
        let request = ChatRequest {
            tools: offered(),
            tool_choice: choice,
            ..hi()
        };
        let (upstream, drops) = encode_request(&request, &target()).unwrap();
        let body = body(&upstream);
        assert_eq!(body["tool_choice"], expected);
        assert_eq!(body["tools"].as_array().unwrap().len(), names);
        assert!(drops.is_empty(), "{drops:?}");
    }
}

fn schema(required: Value) -> Option<ResponseFormat> {
    Some(ResponseFormat::JsonSchema {
        name: "place".to_owned(),
        description: None,
        schema: json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": required}),
        strict: Some(true),
    })
}

/// Encodes, and compares the form's type and the tools that are offered; a stand-in is required.
fn check_form(request: &ChatRequest, kind: &str, tools: &[&str]) {
    let (upstream, drops) = encode_request(request, &target()).unwrap();
    let body = body(&upstream);
    let found = body["response_format"]["type"].as_str().unwrap_or_default();
    assert_eq!(found, kind, "{body:#}");
    let names: Vec<&str> = body["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tool| tool["function"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, tools);
    let is_required = body["tool_choice"] == "REQUIRED";
    assert_eq!(is_required, tools.contains(&STAND_IN), "{body:#}");
    assert!(drops.is_empty(), "{drops:?}");
}

const STAND_IN: &str = "sluice_structured_answer";

#[test]
fn a_json_answer_is_coheres_own() {
    for format in [schema(json!(["city"])), Some(ResponseFormat::JsonObject)] {
        check_form(&ChatRequest { format, ..hi() }, "json_object", &[]);
    }
}

#[test]
fn a_json_answer_that_cohere_cannot_give_is_a_tool() {
    let none = Some(ToolChoice::None);
    for (format, tools, tool_choice, offered) in [
        (schema(json!([])), vec![], None, &[STAND_IN][..]),
        (
            schema(json!(["city"])),
            vec![tool("a")],
            None,
            &["a", STAND_IN],
        ),
        (
            Some(ResponseFormat::JsonObject),
            vec![tool("a")],
            none,
            &[STAND_IN],
        ),
        (Some(ResponseFormat::Text), vec![tool("a")], None, &["a"]),
    ] {
        let request = ChatRequest {
            format,
            tools,
            tool_choice,
            ..hi()
        };
        check_form(&request, "", offered);
    }
}

#[test]
fn all_tools_are_strict_or_none() {
    let strict = |name| Tool {
        strict: Some(true),
        ..tool(name)
    };
    let nothing = Tool {
        parameters: None,
        ..strict("c")
    };
    for (tools, expected, dropped) in [
        (vec![strict("a"), strict("b")], json!(true), &[][..]),
        (vec![strict("a"), tool("b")], Value::Null, &["tools.strict"]),
        (vec![strict("a"), nothing], Value::Null, &["tools.strict"]),
    ] {
        let request = ChatRequest { tools, ..hi() };
        let (upstream, drops) = encode_request(&request, &target()).unwrap();
        assert_eq!(body(&upstream)["strict_tools"], expected);
        assert_eq!(named(&drops), dropped);
    }
}

#[test]
fn thinking_is_a_budget_or_nothing() {
    let effort = |effort| Reasoning {
        effort: Some(effort),
        ..Reasoning::default()
    };
    let thinker = target();
    let other = Target {
        reasoning: false,
        ..target()
    };
    for (target, reasoning, limit, expected, dropped) in [
        (
            &thinker,
            effort(Effort::Low),
            None,
            json!({"type": "enabled", "token_budget": 2048}),
            &[][..],
        ),
        (
            &thinker,
            effort(Effort::High),
            Some(1_000),
            json!({"type": "enabled", "token_budget": 500}),
            &[],
        ),
        (
            &thinker,
            effort(Effort::None),
            None,
            json!({"type": "disabled"}),
            &[],
        ),
        (
            &other,
            effort(Effort::Low),
            None,
            Value::Null,
            &["reasoning_effort"],
        ),
        (&other, effort(Effort::None), None, Value::Null, &[]),
    ] {
        let request = ChatRequest {
            reasoning: Some(reasoning),
            output_tokens_max: limit,
            ..hi()
        };
        let (upstream, drops) = encode_request(&request, target).unwrap();
        assert_eq!(body(&upstream)["thinking"], expected);
        assert_eq!(named(&drops), dropped);
    }
}

#[test]
fn what_must_not_be_left_out_is_refused() {
    let user = |part| of(vec![message(Role::User, vec![part])]);
    let file = || Source::FileId("file-1".to_owned());
    let pdf = Source::Base64 {
        media_type: "application/pdf".to_owned(),
        data: "AA==".to_owned(),
    };
    for request in [
        user(Part::Image {
            source: file(),
            detail: None,
            cache: None,
        }),
        user(Part::Document {
            source: pdf,
            name: None,
            cache: None,
        }),
        user(Part::Document {
            source: file(),
            name: None,
            cache: None,
        }),
        user(Part::Audio {
            source: file(),
            cache: None,
        }),
        user(call("a", "b", "{}")),
        of(vec![]),
        of(vec![says(Role::User, " ")]),
        ChatRequest {
            tools: vec![tool("sluice_structured_answer")],
            ..hi()
        },
        ChatRequest {
            tools: vec![tool("a")],
            tool_choice: Some(ToolChoice::Named("b".to_owned())),
            ..hi()
        },
    ] {
        let error = encode_request(&request, &target()).unwrap_err();
        assert_eq!(error.dialect, "cohere", "{request:?}");
    }
}

#[test]
fn the_beginning_of_an_answer_is_named_and_left_out() {
    let request = of(vec![says(Role::User, "hi"), says(Role::Assistant, "He")]);
    let (written, drops) = encode_request(&request, &target()).unwrap();
    let turns = body(&written)["messages"].clone();
    assert_eq!(turns, json!([{"role": "user", "content": "hi"}]));
    assert_eq!(named(&drops), ["messages[1]"]);
}
