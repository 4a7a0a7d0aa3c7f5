//! Temperature, its relatives and stop sequences: what Messages takes of them, and what is named as lost.

use serde_json::Number;

use crate::model::{ChatRequest, Sampling};
use crate::{Drops, Target};

const UNSUPPORTED: &str = "not supported by anthropic";
const WITH_THINKING: &str = "not allowed together with thinking";
const BY_MODEL: &str = "not accepted by the model";

/// The numbers that go into the body.
#[derive(Debug, Default)]
pub(crate) struct Numbers<'a> {
    pub(crate) temperature: Option<Number>,
    pub(crate) top_p: Option<&'a Number>,
    pub(crate) top_k: Option<&'a Number>,
}

/// Picks the numbers that are legal for this model, with or without thinking.
///
/// By Anthropic's documentation newer models refuse temperature and `top_p` together, the newest refuse both; with
/// thinking, temperature must be 1 and `top_k` absent. Not verified. A value that is the default anyway is left out in
/// silence.
pub(crate) fn numbers<'a>(
    sampling: &'a Sampling,
    target: &Target,
    thinking: bool,
    drops: &mut Drops,
) -> Numbers<'a> {
    let refusal = if !target.sampling {
        Some(BY_MODEL)
    } else if thinking {
        Some(WITH_THINKING)
    } else {
        None
    };
    let temperature = sampling.temperature.as_ref().filter(|n| !is_one(n));
    let top_p = sampling.top_p.as_ref().filter(|n| !is_one(n));
    if let Some(reason) = refusal {
        for (field, number) in [
            ("temperature", temperature),
            ("top_p", top_p),
            ("top_k", sampling.top_k.as_ref()),
        ] {
            if number.is_some() {
                drops.push(field, reason);
            }
        }
        return Numbers::default();
    }
    if temperature.is_some() && top_p.is_some() {
        drops.push("top_p", "not accepted together with temperature");
    }
    Numbers {
        top_p: top_p.filter(|_| temperature.is_none()),
        temperature: temperature.map(|number| clamped(number, drops)),
        top_k: sampling.top_k.as_ref(),
    }
}

fn is_one(number: &Number) -> bool {
    number.as_f64() == Some(1.0)
}

fn clamped(temperature: &Number, drops: &mut Drops) -> Number {
    let limit = match temperature.as_f64() {
        Some(value) if value > 1.0 => 1_u8,
        Some(value) if value < 0.0 => 0,
        _ => return temperature.clone(),
    };
    drops.push("temperature", "limited to the range 0 to 1");
    Number::from(limit)
}

/// The stop sequences that Messages accepts: each must hold something but white space.
pub(crate) fn stops<'a>(request: &'a ChatRequest, drops: &mut Drops) -> Vec<&'a str> {
    let mut kept = Vec::with_capacity(request.stop.len());
    for (index, stop) in request.stop.iter().enumerate() {
        if stop.trim().is_empty() {
            drops.push(
                format!("stop[{index}]"),
                "a stop sequence of white space is not accepted",
            );
        } else {
            kept.push(stop.as_str());
        }
    }
    kept
}

/// Names what Messages has no word for.
pub(super) fn name_the_rest(request: &ChatRequest, drops: &mut Drops) {
    for field in wants(request) {
        drops.push(field, UNSUPPORTED);
    }
    for key in request.metadata.keys() {
        drops.push(format!("metadata.{key}"), UNSUPPORTED);
    }
    for key in request.extra.keys() {
        drops.push(key.clone(), UNSUPPORTED);
    }
}

/// What the request wants of that which OpenAI's dialect can say and few others can.
pub(crate) fn wants(request: &ChatRequest) -> impl Iterator<Item = &'static str> {
    let sampling = &request.sampling;
    let logprobs = request.logprobs.unwrap_or_default();
    [
        ("n", request.choices.is_some_and(|count| count > 1)),
        ("logprobs", logprobs.enabled),
        ("top_logprobs", logprobs.top.is_some_and(|top| top > 0)),
        (
            "presence_penalty",
            is_set(sampling.presence_penalty.as_ref()),
        ),
        (
            "frequency_penalty",
            is_set(sampling.frequency_penalty.as_ref()),
        ),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", !sampling.logit_bias.is_empty()),
    ]
    .into_iter()
    .filter_map(|(field, is_wanted)| is_wanted.then_some(field))
}

fn is_set(penalty: Option<&Number>) -> bool {
    penalty.is_some_and(|number| number.as_f64() != Some(0.0))
}
