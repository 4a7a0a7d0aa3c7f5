//! A caller's request becomes one that the provider accepts, and the loss report names exactly what it does not say.

use serde_json::{Value, json};
use sluice_wire::anthropic::STRUCTURED_ANSWER_TOOL;
use sluice_wire::model::{
    ChatRequest, Effort, Message, Part, Reasoning, ResponseFormat, Role, ToolChoice,
};
use sluice_wire::{Target, responses};

use crate::support::facts::{NO_CALLS, Names, of_request};
use crate::support::folders::fixtures;
use crate::support::loss;
use crate::support::rules::check_request;
use crate::support::sides::{Downstream, Upstream};

/// The conversations, each in the words of every caller that can say it.
fn conversations() -> Vec<(String, Downstream, Value)> {
    let mut all = Vec::new();
    for (name, mut words) in fixtures("pairs", "request_") {
        for downstream in Downstream::ALL {
            let body = words[downstream.name()].take();
            if !body.is_null() {
                all.push((name.clone(), downstream, body));
            }
        }
    }
    all
}

/// Sends a conversation from one dialect to another and returns what is wrong with what arrives.
pub(crate) fn faults(
    downstream: Downstream,
    upstream: Upstream,
    target: &Target,
    body: &Value,
) -> Vec<String> {
    let (mut request, mut drops) = match downstream.decode(body.to_string().as_bytes()) {
        Ok(decoded) => decoded,
        Err(fault) => return vec![format!("not understood: {fault} {:?}", fault.param)],
    };
    if downstream == Downstream::Responses && upstream != Upstream::Responses {
        match responses::for_other_dialects(&mut request) {
            Ok(more) => drops.append(more),
            // What only a provider of this dialect can do is refused.
            Err(_) => return Vec::new(),
        }
    }
    let (written, drops) = match upstream.encode(&request, target) {
        Ok(written) => written,
        // What must not be left out is refused, with its reason.
        Err(refusal) if !refusal.reason.is_empty() => return Vec::new(),
        Err(refusal) => return vec![format!("refused without a reason: {refusal}")],
    };
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    if let Err(fault) = check_request(upstream, &body) {
        return vec![format!("not accepted: {fault}")];
    }
    let mut carried = match upstream.read_back(&body) {
        Ok(carried) => carried,
        Err(fault) => return vec![format!("not understood there: {fault}")],
    };
    unfold(&mut carried);
    let request = plain(request, upstream, target);
    let carried = plain(carried, upstream, target);
    let names = Names::between(&request, &carried);
    let mut said = of_request(&request, &Names::default());
    if request.tools.is_empty() {
        // Nobody said so.
        said.retain(|fact| fact.what != NO_CALLS);
    }
    let carried = of_request(&carried, &names);
    let mut faults = loss::faults(&said, &carried, &drops);
    if upstream == Upstream::Gemini {
        // What a sketch of a schema leaves out, such as a limit, may well be lost and named.
        let limits =
            |fault: &String| fault.contains(".parameters.") || fault.contains("json_schema.schema");
        faults.retain(|fault| !(fault.starts_with("named") && limits(fault)));
    }
    faults
}

/// One way of saying what can be said in several: a forced call of the only tool that is offered is that of the tool
/// by its name, numbers that are the default anyway are not said, and what does not think need not be told so.
fn plain(mut request: ChatRequest, upstream: Upstream, target: &Target) -> ChatRequest {
    match &request.tool_choice {
        Some(ToolChoice::Named(name)) => {
            let name = name.clone();
            request.tools.retain(|tool| tool.name == name);
        }
        Some(ToolChoice::Required) if request.tools.len() == 1 => {
            request.tool_choice = Some(ToolChoice::Named(request.tools[0].name.clone()));
        }
        _ => {}
    }
    if !matches!(upstream, Upstream::Gemini | Upstream::Cohere) {
        for number in [
            &mut request.sampling.temperature,
            &mut request.sampling.top_p,
        ] {
            *number = number.take().filter(|number| number.as_f64() != Some(1.0));
        }
    }
    // These think when they are asked to.
    let is_asked = matches!(upstream, Upstream::Anthropic | Upstream::Bedrock);
    let thinks_not = |reasoning: &Reasoning| {
        reasoning.budget_tokens == Some(0) || reasoning.effort == Some(Effort::None)
    };
    if request.reasoning.as_ref().is_some_and(thinks_not) && (is_asked || !target.reasoning) {
        request.reasoning = None;
    }
    if matches!(upstream, Upstream::Chat | Upstream::Cohere) {
        one_turn(&mut request.messages);
        request.messages.iter_mut().for_each(planned);
    }
    if upstream == Upstream::Gemini {
        for tool in &mut request.tools {
            let takes = tool.parameters.take();
            let takes = takes.map(|schema| sketch(&schema, &schema, DEPTH_MAX));
            tool.parameters = takes.filter(|schema| *schema != "object");
        }
        if let Some(ResponseFormat::JsonSchema { schema, .. }) = &mut request.format {
            *schema = sketch(schema, schema, DEPTH_MAX);
        }
    }
    request
}

/// What follows calls that wait for their results belongs to their turn.
fn one_turn(messages: &mut [Message]) {
    let mut waiting: Option<&mut Message> = None;
    for message in messages {
        if message.role != Role::Assistant {
            waiting = None;
            continue;
        }
        match &mut waiting {
            Some(first) => first.parts.append(&mut message.parts),
            None if message.parts.iter().any(is_call) => waiting = Some(message),
            None => {}
        }
    }
}

const fn is_call(part: &Part) -> bool {
    matches!(part, Part::ToolCall { .. })
}

/// What is said beside calls is one text.
fn planned(message: &mut Message) {
    if message.role != Role::Assistant || !message.parts.iter().any(is_call) {
        return;
    }
    let mut plan: Option<&mut String> = None;
    for part in &mut message.parts {
        let Part::Text { text, .. } = part else {
            continue;
        };
        match &mut plan {
            Some(plan) => {
                plan.push('\n');
                plan.push_str(&std::mem::take(text));
            }
            None => plan = Some(text),
        }
    }
}

/// A schema that holds itself is followed so far.
const DEPTH_MAX: usize = 4;

/// What a schema asks for, whatever words are used: fields, kinds, choices. Titles and limits aside; what is not
/// described is not generated.
fn sketch(root: &Value, schema: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let inner = |schema: &Value| sketch(root, schema, depth - 1);
    if let Some(target) = schema["$ref"]
        .as_str()
        .and_then(|place| place.strip_prefix('#'))
    {
        let target = root.pointer(target);
        return target.map_or(Value::Null, |target| sketch(root, target, depth));
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let options = options.iter();
        let mut kinds: Vec<Value> = options.map(|one| sketch(root, one, depth)).collect();
        kinds.retain(|kind| *kind != json!("null"));
        return match kinds.as_slice() {
            [kind] => kind.clone(),
            _ => kinds.into(),
        };
    }
    if let Some(fields) = schema["properties"].as_object() {
        let fields = fields
            .iter()
            .map(|(key, field)| (key.clone(), inner(field)));
        return Value::Object(fields.collect());
    }
    if let Some(constant) = schema.get("const") {
        return json!([constant]);
    }
    if schema["enum"].is_array() {
        return schema["enum"].clone();
    }
    if schema["items"].is_object() {
        return json!({"[]": inner(&schema["items"])});
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let kinds: Vec<&Value> = kinds
                .iter()
                .filter(|kind| **kind != json!("null"))
                .collect();
            match kinds.as_slice() {
                [kind] => (*kind).clone(),
                _ => json!(kinds),
            }
        }
        kind => kind.clone(),
    }
}

/// A tool that stands in for the form of the answer is that form.
fn unfold(request: &mut ChatRequest) {
    let at = request
        .tools
        .iter()
        .position(|tool| tool.name == STRUCTURED_ANSWER_TOOL);
    let Some(tool) = at.map(|at| request.tools.remove(at)) else {
        return;
    };
    request.tool_choice = None;
    let schema = tool.parameters.unwrap_or_default();
    request.format = Some(if schema == json!({"type": "object"}) {
        ResponseFormat::JsonObject
    } else {
        ResponseFormat::JsonSchema {
            name: String::new(),
            description: None,
            schema,
            strict: None,
        }
    });
}

#[test]
fn every_request_is_accepted_and_loses_nothing_in_silence() {
    let mut failures = Vec::new();
    let mut count = 0;
    for (name, downstream, body) in conversations() {
        for upstream in Upstream::ALL {
            for target in upstream.targets() {
                count += 1;
                for fault in faults(downstream, upstream, &target, &body) {
                    let (from, to) = (downstream.name(), upstream.name());
                    let able = if target.reasoning { "able" } else { "plain" };
                    failures.push(format!("{name} {from} → {able} {to}: {fault}"));
                }
            }
        }
    }
    failures.dedup();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{count} requests went from each dialect to each");
}

/// The words and numbers of a body, each with the keys on the way to it.
fn leaves(value: &Value, path: &[&str], found: &mut Vec<(Vec<String>, Value)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                leaves(value, &[path, &[key]].concat(), found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| leaves(value, path, found)),
        Value::String(_) | Value::Number(_) => {
            let path = path.iter().map(|key| (*key).to_owned()).collect();
            found.push((path, value.clone()));
        }
        _ => {}
    }
}

#[test]
fn what_a_caller_says_is_understood_or_named() {
    // Words of the dialect itself, not of the caller.
    const WORDS: [&str; 9] = [
        "type",
        "role",
        "mode",
        "effort",
        "summary",
        "responseMimeType",
        "format",
        "ttl",
        "include",
    ];
    // What the provider made up for an item, and what the address of a file tells too.
    const MADE_UP: [[&str; 2]; 3] = [
        ["input", "id"],
        ["input", "status"],
        ["fileData", "mimeType"],
    ];
    let mut failures = Vec::new();
    let mut count = 0;
    for (name, downstream, body) in conversations() {
        let (request, drops) = downstream.decode(body.to_string().as_bytes()).unwrap();
        let understood = format!("{request:?}").to_lowercase();
        let mut found = Vec::new();
        leaves(&body, &[], &mut found);
        for (path, leaf) in found {
            let key = path.last().map_or("", String::as_str);
            let is_made_up = MADE_UP
                .iter()
                .any(|end| path.ends_with(&end.map(str::to_owned)));
            if WORDS.contains(&key) || is_made_up {
                continue;
            }
            count += 1;
            let text = match &leaf {
                // Behind the type of inline data, or the mark of a proof.
                Value::String(text) => text
                    .split([',', ':'])
                    .next_back()
                    .unwrap_or_default()
                    .to_owned(),
                other => other.to_string(),
            };
            let text = format!("{text:?}").trim_matches('"').to_lowercase();
            let is_named = drops
                .as_slice()
                .iter()
                .any(|drop| path.iter().any(|key| drop.field.contains(key.as_str())));
            if !understood.contains(&text) && !is_named {
                failures.push(format!("{name} {}: {path:?} {leaf}", downstream.name()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{count} words and numbers were understood");
}
