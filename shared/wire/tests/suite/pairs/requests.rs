//! A caller's request becomes one that the provider accepts, and the loss report names exactly what it does not say.

use serde_json::{Value, json};
use sluice_wire::anthropic::STRUCTURED_ANSWER_TOOL;
use sluice_wire::model::{ChatRequest, Effort, Reasoning, ResponseFormat, ToolChoice};
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
fn faults(
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
            Err(fault) => return vec![format!("not portable: {fault}")],
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
    loss::faults(&said, &carried, &drops)
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
    if upstream == Upstream::Gemini {
        // What is not described is not generated.
        let tools = request.tools.iter_mut();
        let mut schemas: Vec<&mut Value> =
            tools.filter_map(|tool| tool.parameters.as_mut()).collect();
        if let Some(ResponseFormat::JsonSchema { schema, .. }) = &mut request.format {
            schemas.push(schema);
        }
        schemas.into_iter().for_each(open);
    }
    request
}

fn open(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.shift_remove("additionalProperties");
            }
            let null = json!({"type": "null"});
            if let Some([one, other]) = fields
                .get("anyOf")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                && *other == null
            {
                // "Nullable" is another word for it.
                let kind = json!([one["type"], "null"]);
                fields.shift_remove("anyOf");
                fields.insert("type".to_owned(), kind);
            }
            fields.values_mut().for_each(open);
        }
        Value::Array(values) => values.iter_mut().for_each(open),
        _ => {}
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
