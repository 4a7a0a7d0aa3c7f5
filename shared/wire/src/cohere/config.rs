//! Limits, numbers and thinking.
//!
//! Follows <https://docs.cohere.com/v2/reference/chat> and <https://docs.cohere.com/docs/reasoning>. The bounds are those
//! of the OpenAPI description that Cohere publishes (`cohere-openapi.yaml` of August 2026).

use serde_json::{Map, Number, Value, json};

use super::UNSUPPORTED;
use crate::anthropic::sampling::{stops, wants};
use crate::model::{ChatRequest, Effort, Reasoning};
use crate::{Drops, Target};

const STOPS_MAX: usize = 5;
const TOP_K_MAX: u64 = 500;

/// What an effort means, in tokens; Cohere knows budgets only.
const BUDGET_TOKENS_LOW: u64 = 2_048;
const BUDGET_TOKENS_MEDIUM: u64 = 8_192;
const BUDGET_TOKENS_HIGH: u64 = 16_384;
const BUDGET_TOKENS_XHIGH: u64 = 31_000;

/// Wanted fields that [`wants`] names and Cohere has.
const KNOWN: [&str; 4] = ["logprobs", "presence_penalty", "frequency_penalty", "seed"];

/// Writes what the caller wants of them. What it does not get is named.
pub(super) fn write(
    request: &ChatRequest,
    target: &Target,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    let limit = output_tokens_max(request, target, drops);
    if let Some(limit) = limit {
        body.insert("max_tokens".to_owned(), limit.into());
    }
    numbers(request, target, body, drops);
    let mut sequences = stops(request, drops);
    if sequences.len() > STOPS_MAX {
        sequences.truncate(STOPS_MAX);
        drops.push("stop", format!("cohere takes {STOPS_MAX} stop sequences"));
    }
    if !sequences.is_empty() {
        body.insert("stop_sequences".to_owned(), sequences.into());
    }
    if request.logprobs.is_some_and(|logprobs| logprobs.enabled) {
        body.insert("logprobs".to_owned(), true.into());
    }
    if let Some(thinking) = thinking(request.reasoning.as_ref(), target, limit, drops) {
        body.insert("thinking".to_owned(), thinking);
    }
    for field in wants(request).filter(|field| !KNOWN.contains(field)) {
        drops.push(field, UNSUPPORTED);
    }
    if request.user.is_some() {
        drops.push("user", UNSUPPORTED);
    }
    for key in request.metadata.keys() {
        drops.push(format!("metadata.{key}"), UNSUPPORTED);
    }
}

fn output_tokens_max(request: &ChatRequest, target: &Target, drops: &mut Drops) -> Option<u64> {
    let wanted = request.output_tokens_max?;
    match target.output_tokens_max {
        Some(most) if wanted > most => {
            drops.push(
                "max_tokens",
                format!("limited to {most}, the most that the model writes"),
            );
            Some(most)
        }
        _ => Some(wanted),
    }
}

fn numbers(
    request: &ChatRequest,
    target: &Target,
    body: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    let wanted = &request.sampling;
    for (field, key, number, least, most) in [
        ("temperature", "temperature", &wanted.temperature, 0.0, 1.0),
        // No limit on the mass is said as the largest that Cohere takes.
        ("top_p", "p", &wanted.top_p, 0.01, 0.99),
        (
            "presence_penalty",
            "presence_penalty",
            &wanted.presence_penalty,
            0.0,
            1.0,
        ),
        (
            "frequency_penalty",
            "frequency_penalty",
            &wanted.frequency_penalty,
            0.0,
            1.0,
        ),
    ] {
        let Some(number) = number else {
            continue;
        };
        if !target.sampling {
            drops.push(field, "not accepted by the model");
            continue;
        }
        let number = within(field, number, least, most, drops);
        body.insert(key.to_owned(), Value::Number(number));
    }
    if let Some(top_k) = &wanted.top_k {
        match top_k.as_u64() {
            Some(count) if count <= TOP_K_MAX => {
                body.insert("k".to_owned(), count.into());
            }
            _ => drops.push("top_k", format!("cohere takes 0 to {TOP_K_MAX}")),
        }
    }
    match wanted.seed.map(u64::try_from) {
        Some(Ok(seed)) => {
            body.insert("seed".to_owned(), seed.into());
        }
        Some(Err(_)) => drops.push("seed", "cohere takes no negative seeds"),
        None => {}
    }
}

fn within(
    field: &'static str,
    number: &Number,
    least: f64,
    most: f64,
    drops: &mut Drops,
) -> Number {
    let bound = match number.as_f64() {
        Some(value) if value > most => most,
        Some(value) if value < least => least,
        _ => return number.clone(),
    };
    let is_no_limit = field == "top_p" && number.as_f64() == Some(1.0);
    if !is_no_limit {
        drops.push(field, format!("limited to the range {least} to {most}"));
    }
    Number::from_f64(bound).unwrap_or_else(|| number.clone())
}

fn thinking(
    wanted: Option<&Reasoning>,
    target: &Target,
    limit: Option<u64>,
    drops: &mut Drops,
) -> Option<Value> {
    let wanted = wanted?;
    let (field, budget) = match (wanted.budget_tokens, wanted.effort) {
        (Some(budget), _) => ("thinking.budget_tokens", budget),
        (None, Some(effort)) => ("reasoning_effort", of_effort(effort, limit)),
        (None, None) => return None,
    };
    if !target.reasoning {
        if budget > 0 {
            drops.push(field, "the model does not think");
        }
        return None;
    }
    Some(if budget == 0 {
        json!({"type": "disabled"})
    } else {
        json!({"type": "enabled", "token_budget": budget})
    })
}

/// An effort leaves half of the output for the answer.
fn of_effort(effort: Effort, limit: Option<u64>) -> u64 {
    let budget = match effort {
        Effort::None => return 0,
        Effort::Minimal | Effort::Low => BUDGET_TOKENS_LOW,
        Effort::Medium => BUDGET_TOKENS_MEDIUM,
        Effort::High => BUDGET_TOKENS_HIGH,
        Effort::XHigh | Effort::Max => BUDGET_TOKENS_XHIGH,
    };
    limit.map_or(budget, |limit| budget.min(limit / 2).max(1))
}
