//! Limits, numbers and thinking: what Converse takes for every model, and what each kind of model takes in its own
//! words, as `additionalModelRequestFields`.
//!
//! Follows the pages of <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html> and
//! <https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html>.

use serde_json::{Map, Number, Value, json};

use super::blocks::InferenceConfig;
use super::family::Family;
use crate::anthropic::OUTPUT_TOKENS_DEFAULT;
use crate::anthropic::blocks::Thinking;
use crate::anthropic::reasoning::{self, Plan, Surroundings};
use crate::anthropic::sampling;
use crate::model::{ChatRequest, Effort, Reasoning};
use crate::{Drops, Target};

/// What goes into the body.
#[derive(Debug, Default)]
pub(super) struct Config<'a> {
    pub(super) inference: InferenceConfig<'a>,
    pub(super) effort: Option<&'static str>,
    pub(super) additional: Map<String, Value>,
}

/// What the rest of the request says about thinking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    pub(super) is_forced: bool,
    pub(super) allows_thinking: bool,
}

/// Decides limits, numbers and thinking. What the caller wanted and does not get is named.
pub(super) fn config<'a>(
    request: &'a ChatRequest,
    family: Family,
    target: &Target,
    around: Around,
    drops: &mut Drops,
) -> Config<'a> {
    let mut config = Config::default();
    config.inference.max_tokens = output_tokens_max(request, target, drops);
    config.inference.stop_sequences = sampling::stops(request, drops);
    match family {
        // What cannot be told is most often a profile of one's own around Claude.
        Family::Claude | Family::Unknown => claude(&mut config, request, target, around, drops),
        _ => {
            numbers(&mut config, request, family, target, drops);
            thinking(
                &mut config,
                request.reasoning.as_ref(),
                family,
                target,
                drops,
            );
        }
    }
    config
}

fn output_tokens_max(request: &ChatRequest, target: &Target, drops: &mut Drops) -> Option<u64> {
    match (request.output_tokens_max, target.output_tokens_max) {
        (Some(wanted), Some(most)) if wanted > most => {
            drops.push(
                "max_tokens",
                format!("limited to {most}, the most that the model writes"),
            );
            Some(most)
        }
        (wanted, _) => wanted.map(|wanted| wanted.max(1)),
    }
}

fn claude(
    config: &mut Config<'_>,
    request: &ChatRequest,
    target: &Target,
    around: Around,
    drops: &mut Drops,
) {
    let limit = config.inference.max_tokens;
    let assumed = limit
        .or(target.output_tokens_max)
        .unwrap_or(OUTPUT_TOKENS_DEFAULT);
    let around = Surroundings {
        output_tokens_max: assumed,
        forced: around.is_forced,
        history_allows: around.allows_thinking,
    };
    let plan = reasoning::plan(request.reasoning.as_ref(), target, around, drops);
    if let Some(thinking) = thinking_of(&plan) {
        config.additional.insert("thinking".to_owned(), thinking);
    }
    if matches!(plan.thinking, Some(Thinking::Enabled { .. })) {
        // The budget must stay below a limit, and the one that Bedrock would choose is not known.
        config.inference.max_tokens = Some(assumed);
    }
    config.effort = plan.effort;
    let numbers = sampling::numbers(&request.sampling, target, plan.thinks(), drops);
    config.inference.temperature = numbers.temperature;
    config.inference.top_p = numbers.top_p.cloned();
    if let Some(top_k) = numbers.top_k {
        let value = Value::Number(top_k.clone());
        config.additional.insert("top_k".to_owned(), value);
    }
}

fn thinking_of(plan: &Plan) -> Option<Value> {
    serde_json::to_value(plan.thinking.as_ref()?).ok()
}

fn numbers(
    config: &mut Config<'_>,
    request: &ChatRequest,
    family: Family,
    target: &Target,
    drops: &mut Drops,
) {
    let wanted = &request.sampling;
    if !target.sampling {
        for (field, number) in [
            ("temperature", &wanted.temperature),
            ("top_p", &wanted.top_p),
            ("top_k", &wanted.top_k),
        ] {
            if number.is_some() {
                drops.push(field, "not accepted by the model");
            }
        }
        return;
    }
    let temperature = wanted.temperature.as_ref();
    config.inference.temperature =
        temperature.map(|number| within_one("temperature", number, drops));
    let top_p = wanted.top_p.as_ref();
    config.inference.top_p = top_p.map(|number| within_one("top_p", number, drops));
    let Some(top_k) = &wanted.top_k else {
        return;
    };
    match family {
        Family::Nova | Family::Nova2 => {
            let own = json!({"topK": top_k});
            config.additional.insert("inferenceConfig".to_owned(), own);
        }
        Family::Mistral => {
            let own = Value::Number(top_k.clone());
            config.additional.insert("top_k".to_owned(), own);
        }
        _ => drops.push("top_k", "not accepted by the model"),
    }
}

fn within_one(field: &'static str, number: &Number, drops: &mut Drops) -> Number {
    let limit = match number.as_f64() {
        Some(value) if value > 1.0 => 1_u8,
        Some(value) if value < 0.0 => 0,
        _ => return number.clone(),
    };
    drops.push(field, "limited to the range 0 to 1");
    Number::from(limit)
}

fn thinking(
    config: &mut Config<'_>,
    wanted: Option<&Reasoning>,
    family: Family,
    target: &Target,
    drops: &mut Drops,
) {
    let Some(wanted) = wanted else {
        return;
    };
    let field = match (wanted.effort, wanted.budget_tokens) {
        (_, Some(_)) => "thinking.budget_tokens",
        (Some(_), None) => "reasoning_effort",
        (None, None) => return,
    };
    let nothing = wanted.effort == Some(Effort::None) || wanted.budget_tokens == Some(0);
    let effort = match family {
        _ if nothing => return,
        Family::Nova2 | Family::GptOss if target.reasoning => wanted.effort,
        _ if target.reasoning => {
            drops.push(field, "the model decides itself how much to think");
            return;
        }
        _ => {
            drops.push(field, "the model does not think");
            return;
        }
    };
    if wanted.budget_tokens.is_some() {
        drops.push(field, "the model takes an effort instead of a budget");
    }
    let word = match effort.unwrap_or(Effort::Medium) {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    };
    if family == Family::GptOss {
        let word = Value::from(word);
        config
            .additional
            .insert("reasoning_effort".to_owned(), word);
        return;
    }
    let own = json!({"type": "enabled", "maxReasoningEffort": bounded_effort(config, word, drops)});
    config.additional.insert("reasoningConfig".to_owned(), own);
}

/// Nova refuses its highest effort together with a limit or a temperature, and a limit must not be lost.
fn bounded_effort(config: &Config<'_>, word: &'static str, drops: &mut Drops) -> &'static str {
    let numbers = &config.inference;
    let is_free =
        numbers.max_tokens.is_none() && numbers.temperature.is_none() && numbers.top_p.is_none();
    if word == "high" && !is_free {
        drops.push(
            "reasoning_effort",
            "limited to medium: the model takes no more together with limits",
        );
        return "medium";
    }
    word
}
