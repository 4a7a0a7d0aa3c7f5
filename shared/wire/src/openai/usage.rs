//! `usage` in both directions.
//!
//! OpenAI's `prompt_tokens` include cached tokens, the neutral `input` does not.

use serde_json::{Map, Value, json};
use sluice_units::Tokens;

use crate::model::Usage;

/// Reads a provider's usage; `None` when there is none.
pub(super) fn decode(value: &Value) -> Option<Usage> {
    let fields = value.as_object()?;
    let prompt = count(fields, "prompt_tokens");
    let completion = count(fields, "completion_tokens");
    let total = count(fields, "total_tokens");
    if prompt.is_none() && completion.is_none() && total.is_none() {
        return None;
    }
    // Embeddings of some providers say only the total.
    let prompt = prompt.or(total).unwrap_or(0);
    let completion = completion.unwrap_or(0);
    let input = details(fields, "prompt_tokens_details");
    let output = details(fields, "completion_tokens_details");
    let cached = count(&input, "cached_tokens")
        // DeepSeek; then Moonshot; then Mistral, as recorded exchanges show.
        .or_else(|| count(fields, "prompt_cache_hit_tokens"))
        .or_else(|| count(fields, "cached_tokens"))
        .or_else(|| count(fields, "num_cached_tokens"))
        .unwrap_or(0)
        .min(prompt);
    let fresh = prompt.saturating_sub(cached);
    // OpenRouter, as recorded exchanges show.
    let written = count(&input, "cache_write_tokens").unwrap_or(0).min(fresh);
    let reasoning = count(&output, "reasoning_tokens")
        .or_else(|| count(fields, "reasoning_tokens"))
        .unwrap_or(0);
    let tokens = |fields: &Map<String, Value>, key| Tokens::new(count(fields, key).unwrap_or(0));
    Some(Usage {
        input: Tokens::new(fresh.saturating_sub(written)),
        input_cached: Tokens::new(cached),
        cache_write_5m: Tokens::new(written),
        cache_write_1h: Tokens::ZERO,
        input_audio: tokens(&input, "audio_tokens"),
        input_image: tokens(&input, "image_tokens"),
        output: Tokens::new(whole_output(prompt, completion, reasoning, total)),
        reasoning: Tokens::new(reasoning),
        output_audio: tokens(&output, "audio_tokens"),
        prediction_accepted: tokens(&output, "accepted_prediction_tokens"),
        prediction_rejected: tokens(&output, "rejected_prediction_tokens"),
    })
}

/// xAI counts reasoning beside `completion_tokens`, not in it, as recorded exchanges show; its total gives it away.
fn whole_output(prompt: u64, completion: u64, reasoning: u64, total: Option<u64>) -> u64 {
    let with_reasoning = completion.saturating_add(reasoning);
    if total == Some(prompt.saturating_add(with_reasoning)) {
        with_reasoning
    } else {
        completion
    }
}

/// Writes usage as Chat Completions does.
pub(super) fn encode(usage: &Usage) -> Value {
    let written = usage.cache_write_5m.plus(usage.cache_write_1h);
    let mut input = json!({
        "cached_tokens": usage.input_cached.count(),
        "audio_tokens": usage.input_audio.count(),
    });
    if let Some(input) = input.as_object_mut() {
        for (key, tokens) in [
            ("image_tokens", usage.input_image),
            ("cache_write_tokens", written),
        ] {
            if tokens != Tokens::ZERO {
                input.insert(key.to_owned(), tokens.count().into());
            }
        }
    }
    json!({
        "prompt_tokens": usage.input_total().count(),
        "completion_tokens": usage.output.count(),
        "total_tokens": usage.total().count(),
        "prompt_tokens_details": input,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning.count(),
            "audio_tokens": usage.output_audio.count(),
            "accepted_prediction_tokens": usage.prediction_accepted.count(),
            "rejected_prediction_tokens": usage.prediction_rejected.count(),
        },
    })
}

fn count(fields: &Map<String, Value>, key: &str) -> Option<u64> {
    fields.get(key)?.as_u64()
}

fn details(fields: &Map<String, Value>, key: &str) -> Map<String, Value> {
    fields
        .get(key)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}
