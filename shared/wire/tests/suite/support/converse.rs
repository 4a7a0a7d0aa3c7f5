//! What a Converse request says, read anew by Bedrock's documentation and not by the encoder that wrote it.

use serde_json::{Map, Value};
use sluice_wire::model::{
    CacheMark, ChatRequest, Effort, Message, Part, Reasoning, ResponseFormat, Role, Sampling,
    Source, Tool, ToolChoice,
};

use super::facts::base64;

/// Reads a request's body.
pub(crate) fn read(body: &Value) -> ChatRequest {
    let mut messages = Vec::new();
    let system = parts(&body["system"]);
    if !system.is_empty() {
        messages.push(message(Role::System, system));
    }
    for turn in body["messages"].as_array().unwrap() {
        let role = match turn["role"].as_str().unwrap() {
            "assistant" => Role::Assistant,
            _ => Role::User,
        };
        messages.push(message(role, parts(&turn["content"])));
    }
    let inference = &body["inferenceConfig"];
    let more = &body["additionalModelRequestFields"];
    ChatRequest {
        model: "fast".to_owned(),
        messages,
        tools: tools(&body["toolConfig"]["tools"]),
        tool_choice: choice(&body["toolConfig"]["toolChoice"]),
        output_tokens_max: inference["maxTokens"].as_u64(),
        sampling: Sampling {
            temperature: inference["temperature"].as_number().cloned(),
            top_p: inference["topP"].as_number().cloned(),
            top_k: more["top_k"].as_number().cloned(),
            ..Sampling::default()
        },
        stop: strings(&inference["stopSequences"]),
        format: format(&body["outputConfig"]["textFormat"]),
        reasoning: reasoning(&more["thinking"], &body["outputConfig"]["effort"]),
        metadata: body["requestMetadata"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
        ..ChatRequest::default()
    }
}

const fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        name: None,
    }
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn parts(content: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    for block in content.as_array().into_iter().flatten() {
        let (kind, value) = block.as_object().unwrap().iter().next().unwrap();
        if kind == "cachePoint" {
            mark(parts.last_mut().unwrap(), value);
        } else {
            parts.push(part(kind, value));
        }
    }
    parts
}

fn mark(part: &mut Part, point: &Value) {
    let found = if point["ttl"] == "1h" {
        CacheMark::OneHour
    } else {
        CacheMark::FiveMinutes
    };
    assert!(part.set_cache(found), "a mark after {part:?}");
}

fn part(kind: &str, value: &Value) -> Part {
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    match kind {
        "text" => Part::text(value.as_str().unwrap().to_owned()),
        "citationsContent" => Part::Text {
            text: value["content"][0]["text"].as_str().unwrap().to_owned(),
            cache: None,
            annotations: value["citations"].as_array().unwrap().clone(),
        },
        "image" => Part::Image {
            source: source("image", value),
            detail: None,
            cache: None,
        },
        "audio" => Part::Audio {
            source: source("audio", value),
            cache: None,
        },
        "document" => Part::Document {
            source: source("application", value),
            name: value["name"].as_str().map(str::to_owned),
            cache: None,
        },
        "toolUse" => Part::ToolCall {
            id: text("toolUseId"),
            name: text("name"),
            arguments: value["input"].to_string(),
            signature: None,
            cache: None,
        },
        "toolResult" => Part::ToolResult {
            id: text("toolUseId"),
            name: None,
            parts: parts(&value["content"]),
            is_error: value["status"] == "error",
            cache: None,
        },
        "reasoningContent" => match value["redactedContent"].as_str() {
            // The bytes are the text that Messages carries.
            Some(data) => Part::RedactedThinking {
                data: String::from_utf8(base64(data)).unwrap(),
            },
            None => {
                let open = &value["reasoningText"];
                Part::Thinking {
                    text: open["text"].as_str().unwrap().to_owned(),
                    signature: open["signature"].as_str().map(str::to_owned),
                }
            }
        },
        other => panic!("{other} is not known"),
    }
}

fn source(family: &str, value: &Value) -> Source {
    if let Some(text) = value["source"]["text"].as_str() {
        return Source::Text(text.to_owned());
    }
    if let Some(uri) = value["source"]["s3Location"]["uri"].as_str() {
        return Source::Url(uri.to_owned());
    }
    let media_type = match value["format"].as_str().unwrap() {
        "txt" => "text/plain".to_owned(),
        "mp3" => "audio/mpeg".to_owned(),
        format => format!("{family}/{format}"),
    };
    Source::Base64 {
        media_type,
        data: value["source"]["bytes"].as_str().unwrap().to_owned(),
    }
}

fn tools(list: &Value) -> Vec<Tool> {
    let mut tools: Vec<Tool> = Vec::new();
    for tool in list.as_array().into_iter().flatten() {
        let spec = &tool["toolSpec"];
        if spec.is_null() {
            let ttl = &tool["cachePoint"]["ttl"];
            tools.last_mut().unwrap().cache = Some(if ttl == "1h" {
                CacheMark::OneHour
            } else {
                CacheMark::FiveMinutes
            });
            continue;
        }
        tools.push(Tool {
            name: spec["name"].as_str().unwrap().to_owned(),
            description: spec["description"].as_str().map(str::to_owned),
            parameters: Some(spec["inputSchema"]["json"].clone()),
            strict: spec["strict"].as_bool(),
            cache: None,
        });
    }
    tools
}

fn choice(choice: &Value) -> Option<ToolChoice> {
    let (kind, value) = choice.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        _ => ToolChoice::Named(value["name"].as_str().unwrap().to_owned()),
    })
}

fn format(format: &Value) -> Option<ResponseFormat> {
    let schema = &format["structure"]["jsonSchema"];
    Some(ResponseFormat::JsonSchema {
        name: schema["name"].as_str().unwrap_or_default().to_owned(),
        description: None,
        schema: serde_json::from_str(schema["schema"].as_str()?).unwrap(),
        strict: Some(true),
    })
}

fn reasoning(thinking: &Value, effort: &Value) -> Option<Reasoning> {
    let is_off = thinking["type"] == "disabled";
    let fields: &Map<String, Value> = thinking.as_object()?;
    Some(Reasoning {
        effort: (effort.is_string() || is_off).then_some(if is_off {
            Effort::None
        } else {
            Effort::Medium
        }),
        budget_tokens: thinking["budget_tokens"].as_u64(),
        include: fields.get("display").map(|shown| shown == "summarized"),
    })
}
