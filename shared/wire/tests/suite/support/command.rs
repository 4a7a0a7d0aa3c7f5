//! What a request for Cohere's second API says, read anew by its documentation and not by the encoder that wrote it.

use serde_json::{Number, Value};
use sluice_wire::model::{
    ChatRequest, Logprobs, Message, Part, Reasoning, ResponseFormat, Role, Sampling, Source, Tool,
    ToolChoice,
};

/// Reads a request's body.
pub(crate) fn read(body: &Value) -> ChatRequest {
    let turns = body["messages"].as_array().unwrap();
    let tools = body["tools"].as_array().into_iter().flatten();
    let strict = body["strict_tools"].as_bool();
    ChatRequest {
        model: "fast".to_owned(),
        messages: turns.iter().map(turn).collect(),
        tools: tools.map(|one| tool(&one["function"], strict)).collect(),
        tool_choice: match body["tool_choice"].as_str() {
            Some("REQUIRED") => Some(ToolChoice::Required),
            Some("NONE") => Some(ToolChoice::None),
            _ => None,
        },
        output_tokens_max: body["max_tokens"].as_u64(),
        sampling: Sampling {
            temperature: body["temperature"].as_number().cloned(),
            // The most that it takes is no limit.
            top_p: match body["p"].as_number() {
                Some(number) if number.as_f64() == Some(0.99) => Some(Number::from(1)),
                number => number.cloned(),
            },
            top_k: body["k"].as_number().cloned(),
            presence_penalty: body["presence_penalty"].as_number().cloned(),
            frequency_penalty: body["frequency_penalty"].as_number().cloned(),
            seed: body["seed"].as_i64(),
            ..Sampling::default()
        },
        stop: body["stop_sequences"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect(),
        format: format(&body["response_format"]),
        reasoning: body["thinking"].is_object().then(|| Reasoning {
            effort: None,
            budget_tokens: match body["thinking"]["type"].as_str() {
                Some("disabled") => Some(0),
                _ => body["thinking"]["token_budget"].as_u64(),
            },
            // A model that thinks shows it.
            include: Some(body["thinking"]["type"] != "disabled"),
        }),
        logprobs: (body["logprobs"] == true).then_some(Logprobs {
            enabled: true,
            top: None,
        }),
        ..ChatRequest::default()
    }
}

fn turn(turn: &Value) -> Message {
    let mut parts = Vec::new();
    let role = match turn["role"].as_str().unwrap() {
        "system" => Role::System,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => Role::User,
    };
    if let Some(plan) = turn["tool_plan"].as_str() {
        parts.push(Part::text(plan.to_owned()));
    }
    let said = content(&turn["content"], &turn["citations"]);
    if role == Role::Tool {
        parts.push(Part::ToolResult {
            id: turn["tool_call_id"].as_str().unwrap().to_owned(),
            name: None,
            parts: said,
            is_error: false,
            cache: None,
        });
    } else {
        parts.extend(said);
    }
    for call in turn["tool_calls"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        parts.push(Part::ToolCall {
            id: text(&call["id"]),
            name: text(&call["function"]["name"]),
            arguments: text(&call["function"]["arguments"]),
            signature: None,
            cache: None,
        });
    }
    Message {
        role,
        parts,
        name: None,
    }
}

fn content(content: &Value, citations: &Value) -> Vec<Part> {
    let text = |text: &str| Part::Text {
        text: text.to_owned(),
        cache: None,
        annotations: citations.as_array().cloned().unwrap_or_default(),
    };
    if let Some(said) = content.as_str() {
        return vec![text(said)];
    }
    let blocks = content.as_array().into_iter().flatten();
    blocks
        .map(|block| match block["type"].as_str().unwrap() {
            "text" => text(block["text"].as_str().unwrap()),
            "thinking" => Part::Thinking {
                text: block["thinking"].as_str().unwrap().to_owned(),
                signature: None,
            },
            "image_url" => Part::Image {
                source: Source::Url(block["image_url"]["url"].as_str().unwrap().to_owned()),
                detail: block["image_url"]["detail"].as_str().map(str::to_owned),
                cache: None,
            },
            other => panic!("{other} is not known"),
        })
        .collect()
}

fn tool(function: &Value, strict: Option<bool>) -> Tool {
    Tool {
        name: function["name"].as_str().unwrap().to_owned(),
        description: function["description"].as_str().map(str::to_owned),
        parameters: Some(function["parameters"].clone()),
        strict,
        cache: None,
    }
}

fn format(format: &Value) -> Option<ResponseFormat> {
    match format["type"].as_str()? {
        "json_object" => Some(match format.get("json_schema") {
            Some(schema) => ResponseFormat::JsonSchema {
                name: String::new(),
                description: None,
                schema: schema.clone(),
                strict: None,
            },
            None => ResponseFormat::JsonObject,
        }),
        _ => None,
    }
}
