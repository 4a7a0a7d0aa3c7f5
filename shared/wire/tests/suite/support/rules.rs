//! What providers accept and what callers' clients understand, by the providers' own descriptions (`SLUICE_SPECS`).
//!
//! OpenAI's two dialects by its API description, Messages by the schema of Anthropic's SDK, Gemini by the fields of its
//! protocol buffers, Converse by AWS's service model. Cohere publishes none: its rules are written down here. Rules that
//! only documentation says (turns, results, names) are checked beside the schemas.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::folders::beside;
use super::sides::{Downstream, Upstream};

#[path = "../../../src/anthropic/tests/schema.rs"]
mod messages;

#[path = "../../../src/bedrock/tests/spec.rs"]
mod converse;

/// Whether a provider of this dialect would take this request.
pub(crate) fn check_request(upstream: Upstream, body: &Value) -> Result<(), String> {
    match upstream {
        Upstream::Chat => {
            check(&CHAT_REQUEST, &as_openai(body))?;
            check_results(body)
        }
        Upstream::Responses => check(&RESPONSES_REQUEST, body),
        Upstream::Anthropic => {
            caught(|| messages::check_request(body))?;
            check_messages(body)
        }
        Upstream::Gemini => check_generate(body),
        Upstream::Bedrock => caught(|| converse::check_request(body)),
        Upstream::Cohere => check_command(body),
    }
}

/// Whether this is a Converse request at all, legal conversation or not.
pub(crate) fn check_converse(body: &Value) {
    converse::check_shape("ConverseRequest", body);
}

/// Whether a client of this dialect would understand this answer.
pub(crate) fn check_answer(downstream: Downstream, body: &Value) -> Result<(), String> {
    match downstream {
        Downstream::Chat => check(&CHAT_ANSWER, body),
        Downstream::Responses => check(&RESPONSES_ANSWER, body),
        Downstream::Anthropic => Ok(()),
        Downstream::Gemini => check_generated(body),
    }
}

/// Whether it would understand this piece of a stream.
pub(crate) fn check_chunk(downstream: Downstream, chunk: &Value) -> Result<(), String> {
    match downstream {
        Downstream::Chat => check(&CHAT_CHUNK, chunk),
        Downstream::Responses => check(&RESPONSES_EVENT, chunk),
        Downstream::Anthropic => Ok(()),
        Downstream::Gemini => check_generated(chunk),
    }
}

/// What only compatible providers take is no fault: more stop sequences, `top_k`, thoughts.
fn as_openai(body: &Value) -> Value {
    let mut body = body.clone();
    let is_compatible = body["max_completion_tokens"].is_null();
    let stop = body.get_mut("stop").filter(|_| is_compatible);
    if let Some(stop) = stop.and_then(Value::as_array_mut) {
        stop.truncate(4);
    }
    body
}

fn caught(check: impl FnOnce() + std::panic::UnwindSafe) -> Result<(), String> {
    std::panic::catch_unwind(check).map_err(|fault| {
        let text = fault.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| "a rule is broken".to_owned())
    })
}

type Schema = LazyLock<Option<jsonschema::Validator>>;

static CHAT_REQUEST: Schema = LazyLock::new(|| openai("CreateChatCompletionRequest", true));
static CHAT_ANSWER: Schema = LazyLock::new(|| openai("CreateChatCompletionResponse", false));
static CHAT_CHUNK: Schema = LazyLock::new(|| openai("CreateChatCompletionStreamResponse", false));
static RESPONSES_REQUEST: Schema = LazyLock::new(|| openai("CreateResponse", true));
static RESPONSES_ANSWER: Schema = LazyLock::new(|| openai("Response", false));
static RESPONSES_EVENT: Schema = LazyLock::new(|| openai("ResponseStreamEvent", false));

static OPENAI: LazyLock<Option<String>> = LazyLock::new(|| spec("openai.openapi.json"));

fn spec(name: &str) -> Option<String> {
    let folder = beside("SLUICE_SPECS", "specs")?;
    Some(fs::read_to_string(Path::new(&folder).join(name)).unwrap())
}

/// OpenAI's description of one of its schemas. What a request holds is often of several kinds at once: there the
/// description says `oneOf` and means `anyOf`.
fn openai(name: &str, is_request: bool) -> Option<jsonschema::Validator> {
    let text = OPENAI.as_ref()?;
    let mut document: Value = if is_request {
        serde_json::from_str(&text.replace("\"oneOf\"", "\"anyOf\"")).unwrap()
    } else {
        serde_json::from_str(text).unwrap()
    };
    nullable(&mut document);
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"),
        "components": {"schemas": document["components"]["schemas"].take()},
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong = json!({"object": 5, "type": 5, "input": 5, "messages": 5});
    assert!(!validator.is_valid(&wrong), "the schema checks nothing");
    Some(validator)
}

/// The description says "nullable" as its format's older version did.
fn nullable(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(nullable);
            if fields.shift_remove("nullable") == Some(Value::Bool(true)) {
                let inner = std::mem::take(fields);
                fields.insert("anyOf".to_owned(), json!([inner, {"type": "null"}]));
            }
        }
        Value::Array(values) => values.iter_mut().for_each(nullable),
        _ => {}
    }
}

fn check(schema: &Schema, body: &Value) -> Result<(), String> {
    let Some(schema) = &**schema else {
        return Ok(());
    };
    let faults: Vec<String> = schema
        .iter_errors(body)
        .map(|fault| format!("{fault:.300} at {}", fault.instance_path()))
        .collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.join("; "))
}

/// Turns alternate from the user on, each call is answered right after, and nothing follows thoughts but words.
fn check_messages(body: &Value) -> Result<(), String> {
    let turns = body["messages"].as_array().unwrap();
    for (at, turn) in turns.iter().enumerate() {
        if turn["role"] != ["user", "assistant"][at % 2] {
            return Err(format!("turn {at} is out of order"));
        }
        let blocks = turn["content"].as_array().into_iter().flatten();
        for block in blocks {
            if block["text"]
                .as_str()
                .is_some_and(|text| text.trim().is_empty())
            {
                return Err(format!("turn {at} holds a blank text"));
            }
        }
    }
    let ids = |turn: &Value, kind: &str, field: &str| -> BTreeSet<String> {
        let blocks = turn["content"].as_array().into_iter().flatten();
        blocks
            .filter(|block| block["type"] == kind)
            .map(|block| block[field].as_str().unwrap().to_owned())
            .collect()
    };
    for (at, pair) in turns.windows(2).enumerate() {
        let called = ids(&pair[0], "tool_use", "id");
        let answered = ids(&pair[1], "tool_result", "tool_use_id");
        if called != answered {
            return Err(format!(
                "turn {at} calls {called:?}, the next answers {answered:?}"
            ));
        }
    }
    Ok(())
}

static PROTO: LazyLock<Option<Value>> =
    LazyLock::new(|| Some(serde_json::from_str(&spec("gemini.proto.json")?).unwrap()));

const PACKAGE: &str = "google.ai.generativelanguage.v1beta.";

/// Known fields of the right shape, and turns that alternate.
fn check_generate(body: &Value) -> Result<(), String> {
    if let Some(proto) = &*PROTO {
        let name = format!("{PACKAGE}GenerateContentRequest");
        check_message(proto, &name, body, "")?;
    }
    let turns = body["contents"].as_array().ok_or("no contents")?;
    let mut last = "";
    for (at, turn) in turns.iter().enumerate() {
        let role = turn["role"].as_str().ok_or("a turn has no role")?;
        let parts = turn["parts"].as_array().map_or(0, Vec::len);
        if role == last || parts == 0 {
            return Err(format!("turn {at} is out of order or empty"));
        }
        last = role;
    }
    Ok(())
}

fn check_generated(body: &Value) -> Result<(), String> {
    let Some(proto) = &*PROTO else {
        return Ok(());
    };
    check_message(
        proto,
        &format!("{PACKAGE}GenerateContentResponse"),
        body,
        "",
    )
}

/// As much of protobuf's JSON mapping as is needed: known names, lists, messages, enums, scalars.
fn check_message(proto: &Value, name: &str, value: &Value, path: &str) -> Result<(), String> {
    let fields = &proto["messages"][name];
    if fields.is_null() {
        // A message that is free JSON, or that is not described.
        return Ok(());
    }
    let object = value
        .as_object()
        .ok_or_else(|| format!("{path} is no {name}: {value}"))?;
    for (key, value) in object {
        let path = format!("{path}.{key}");
        // Names are read in both spellings.
        let mut snakes = fields.as_object().unwrap().values();
        let field = match &fields[key] {
            Value::Null => snakes
                .find(|field| field["snake"] == *key)
                .unwrap_or(&Value::Null),
            field => field,
        };
        if field.is_null() {
            return Err(format!("{path} is not known to {name}"));
        }
        let is_list = field["rep"] == true && !field["msg"].is_null() && value.is_array();
        if field["rep"] == true && !value.is_array() && !value.is_object() {
            return Err(format!("{path} is no list: {value}"));
        }
        let values: Vec<&Value> = match value {
            Value::Object(entries) if field["map"] == true => entries.values().collect(),
            Value::Array(values) if is_list || field["rep"] == true => values.iter().collect(),
            _ => vec![value],
        };
        for value in values {
            check_value(proto, field, value, &path)?;
        }
    }
    Ok(())
}

fn check_value(proto: &Value, field: &Value, value: &Value, path: &str) -> Result<(), String> {
    if let Some(message) = field["msg"].as_str() {
        return check_message(proto, message, value, path);
    }
    if let Some(list) = field["enum"].as_str() {
        let known = proto["enums"][list].as_array();
        if known.is_some_and(|known| !known.contains(value)) {
            return Err(format!("{path}: {value} is not one of {list}"));
        }
        return Ok(());
    }
    // The numbers of protobuf's descriptor: 1 and 2 are floats, 8 is a flag, 9 a string, 12 bytes.
    let is_right = match field["t"].as_u64() {
        Some(8) => value.is_boolean(),
        Some(9 | 12) => value.is_string(),
        Some(1 | 2) => value.is_number(),
        Some(3 | 5) => value.is_i64() || value.is_string(),
        _ => true,
    };
    if is_right {
        return Ok(());
    }
    Err(format!("{path} is of the wrong type: {value}"))
}

/// Cohere's rules, by <https://docs.cohere.com/v2/reference/chat>.
fn check_command(body: &Value) -> Result<(), String> {
    const KNOWN: [&str; 24] = [
        "model",
        "messages",
        "stream",
        "tools",
        "strict_tools",
        "documents",
        "citation_options",
        "response_format",
        "safety_mode",
        "max_tokens",
        "stop_sequences",
        "temperature",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "k",
        "p",
        "logprobs",
        "tool_choice",
        "thinking",
        "priority",
        "raw_prompting",
        "bedrock",
        "cohere",
    ];
    for key in body.as_object().unwrap().keys() {
        if !KNOWN.contains(&key.as_str()) {
            return Err(format!("{key} is not known"));
        }
    }
    for turn in body["messages"].as_array().unwrap() {
        check_turn(turn)?;
        for call in turn["tool_calls"].as_array().into_iter().flatten() {
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            if !serde_json::from_str(arguments).is_ok_and(|value: Value| value.is_object()) {
                return Err(format!("arguments are no object: {arguments}"));
            }
        }
    }
    check_results(body)
}

/// Each result answers a call of the turn right before the results.
fn check_results(body: &Value) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    for turn in body["messages"].as_array().unwrap() {
        if turn["role"] == "tool" {
            let id = turn["tool_call_id"]
                .as_str()
                .ok_or("a result has no call")?;
            let at = open.iter().position(|known| *known == id);
            open.remove(at.ok_or_else(|| format!("a result of no call: {id}"))?);
        } else {
            open.clear();
        }
        for call in turn["tool_calls"].as_array().into_iter().flatten() {
            open.push(call["id"].as_str().ok_or("a call has no identifier")?);
        }
    }
    Ok(())
}

fn check_turn(turn: &Value) -> Result<(), String> {
    let role = turn["role"].as_str().unwrap_or_default();
    if !["system", "user", "assistant", "tool"].contains(&role) {
        return Err(format!("{role} is no role"));
    }
    let content = &turn["content"];
    if content.is_null() && role != "assistant" {
        return Err(format!("a turn without content: {turn}"));
    }
    let blocks = content.as_array().into_iter().flatten();
    let texts = blocks.filter_map(|block| block["text"].as_str());
    for text in texts.chain(content.as_str()) {
        if text.trim().is_empty() {
            return Err(format!("a blank text: {turn}"));
        }
    }
    Ok(())
}
