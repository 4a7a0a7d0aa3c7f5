//! Kinds of tokens that a dialect does not tell apart: the sums are said, the kinds are named as dropped.

use sluice_units::{Tokens, Usage};

use crate::Drops;

/// What OpenAI's dialects do not tell apart.
pub(crate) const OPENAI: [Kind; 1] = [Kind::CacheWrite1h];

/// What Messages does not tell apart.
pub(crate) const ANTHROPIC: [Kind; 5] = [
    Kind::InputAudio,
    Kind::InputImage,
    Kind::OutputAudio,
    Kind::PredictionAccepted,
    Kind::PredictionRejected,
];

/// What Gemini does not tell apart.
pub(crate) const GEMINI: [Kind; 4] = [
    Kind::CacheWrite5m,
    Kind::CacheWrite1h,
    Kind::PredictionAccepted,
    Kind::PredictionRejected,
];

/// A kind of tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    CacheWrite5m,
    CacheWrite1h,
    InputAudio,
    InputImage,
    OutputAudio,
    PredictionAccepted,
    PredictionRejected,
}

impl Kind {
    const fn of(self, usage: &Usage) -> (&'static str, Tokens) {
        match self {
            Self::CacheWrite5m => ("usage.cache_write_5m", usage.cache_write_5m),
            Self::CacheWrite1h => ("usage.cache_write_1h", usage.cache_write_1h),
            Self::InputAudio => ("usage.input_audio", usage.input_audio),
            Self::InputImage => ("usage.input_image", usage.input_image),
            Self::OutputAudio => ("usage.output_audio", usage.output_audio),
            Self::PredictionAccepted => ("usage.prediction_accepted", usage.prediction_accepted),
            Self::PredictionRejected => ("usage.prediction_rejected", usage.prediction_rejected),
        }
    }
}

/// Names the kinds of which some were used.
pub(crate) fn note(usage: Option<&Usage>, unsaid: &[Kind], drops: &mut Drops) {
    for kind in unsaid {
        if let Some((field, tokens)) = usage.map(|usage| kind.of(usage))
            && tokens != Tokens::ZERO
        {
            drops.push(field, "counted with the others of its side");
        }
    }
}
