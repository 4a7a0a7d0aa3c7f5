//! Tokens by kind, with one meaning for every provider.

use crate::Tokens;
use serde::{Deserialize, Serialize};

/// What one request used.
///
/// The kinds of input are disjoint: `input + input_cached + cache_write_5m + cache_write_1h` is all of it.
/// `output` is all output; `reasoning` and `output_audio` are parts of it, `input_audio` and `input_image` parts of `input`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input that was neither read from nor written to a prompt cache.
    pub input: Tokens,
    /// Input read from the provider's prompt cache.
    pub input_cached: Tokens,
    /// Input written to the prompt cache for five minutes (or the provider's usual time).
    pub cache_write_5m: Tokens,
    /// Input written to the prompt cache for an hour.
    pub cache_write_1h: Tokens,
    /// Of `input`: audio.
    pub input_audio: Tokens,
    /// Of `input`: images, where the provider counts them apart.
    pub input_image: Tokens,
    /// All output, reasoning included.
    pub output: Tokens,
    /// Of `output`: reasoning.
    pub reasoning: Tokens,
    /// Of `output`: audio.
    pub output_audio: Tokens,
    /// Of `output`: predicted tokens that were accepted (OpenAI).
    pub prediction_accepted: Tokens,
    /// Of `output`: predicted tokens that were rejected (OpenAI).
    pub prediction_rejected: Tokens,
}

impl Usage {
    /// Every kind by its name.
    #[must_use]
    pub const fn kinds(&self) -> [(&'static str, Tokens); 11] {
        [
            ("input", self.input),
            ("input_cached", self.input_cached),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
            ("input_audio", self.input_audio),
            ("input_image", self.input_image),
            ("output", self.output),
            ("reasoning", self.reasoning),
            ("output_audio", self.output_audio),
            ("prediction_accepted", self.prediction_accepted),
            ("prediction_rejected", self.prediction_rejected),
        ]
    }

    /// All input, cached or not.
    #[must_use]
    pub const fn input_total(&self) -> Tokens {
        self.input
            .plus(self.input_cached)
            .plus(self.cache_write_5m)
            .plus(self.cache_write_1h)
    }

    /// All tokens.
    #[must_use]
    pub const fn total(&self) -> Tokens {
        self.input_total().plus(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_called_as_it_is_written() {
        let mut usage = serde_json::to_value(Usage::default()).unwrap();
        let fields = usage.as_object_mut().unwrap();
        for (number, (_, tokens)) in fields.iter_mut().enumerate() {
            *tokens = serde_json::json!(number + 1);
        }
        let read: Usage = serde_json::from_value(usage.clone()).unwrap();
        let kinds: serde_json::Map<_, _> = read
            .kinds()
            .iter()
            .map(|(name, tokens)| ((*name).to_owned(), serde_json::json!(tokens)))
            .collect();
        assert_eq!(serde_json::Value::Object(kinds), usage);
    }
}
