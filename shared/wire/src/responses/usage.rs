//! `usage` in both directions. Counts as Chat Completions does, under other names.

use serde_json::{Map, Value, json};
use sluice_units::Tokens;

use crate::model::Usage;
use crate::openai::usage;

const NAMES: [(&str, &str); 4] = [
    ("input_tokens", "prompt_tokens"),
    ("output_tokens", "completion_tokens"),
    ("input_tokens_details", "prompt_tokens_details"),
    ("output_tokens_details", "completion_tokens_details"),
];

/// Reads a provider's usage; `None` when there is none.
pub(super) fn decode(value: &Value) -> Option<Usage> {
    let fields = value.as_object()?;
    let mut renamed = Map::new();
    for (key, value) in fields {
        let known = NAMES.iter().find(|(name, _)| name == key);
        let key = known.map_or(key.as_str(), |(_, name)| name);
        renamed.insert(key.to_owned(), value.clone());
    }
    usage::decode(&Value::Object(renamed))
}

/// Writes usage.
pub(super) fn encode(usage: &Usage) -> Value {
    let written = usage.cache_write_5m.plus(usage.cache_write_1h);
    let mut input = Map::new();
    input.insert(
        "cached_tokens".to_owned(),
        usage.input_cached.count().into(),
    );
    input.insert("cache_write_tokens".to_owned(), written.count().into());
    put_some(&mut input, "audio_tokens", usage.input_audio);
    put_some(&mut input, "image_tokens", usage.input_image);
    let mut output = Map::new();
    output.insert(
        "reasoning_tokens".to_owned(),
        usage.reasoning.count().into(),
    );
    for (key, tokens) in [
        ("audio_tokens", usage.output_audio),
        ("accepted_prediction_tokens", usage.prediction_accepted),
        ("rejected_prediction_tokens", usage.prediction_rejected),
    ] {
        put_some(&mut output, key, tokens);
    }
    json!({
        "input_tokens": usage.input_total().count(),
        "input_tokens_details": input,
        "output_tokens": usage.output.count(),
        "output_tokens_details": output,
        "total_tokens": usage.total().count(),
    })
}

fn put_some(fields: &mut Map<String, Value>, key: &str, tokens: Tokens) {
    if tokens != Tokens::ZERO {
        fields.insert(key.to_owned(), tokens.count().into());
    }
}
