//! Usage as Cohere counts it.
//!
//! Cohere tells two counts: `tokens`, with its own prompt's around the conversation, and `billed_units`, without. The
//! second is what costs, so it is what counts here; `cached_tokens` are a part of the first and cost nothing less.

use serde::Deserialize;
use serde_json::Number;
use sluice_units::Tokens;

use crate::model::Usage;

/// The counts of one answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    billed_units: Option<Counts>,
    tokens: Option<Counts>,
}

/// Whole numbers that may be written with a point.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    input_tokens: Option<Number>,
    image_tokens: Option<Number>,
    output_tokens: Option<Number>,
    search_units: Option<Number>,
}

impl WireUsage {
    /// The counts in the neutral meaning.
    pub(super) fn neutral(&self) -> Usage {
        let either = |pick: fn(&Counts) -> Option<&Number>| {
            let billed = self.billed_units.as_ref().and_then(pick);
            let number = billed.or_else(|| self.tokens.as_ref().and_then(pick));
            Tokens::new(number.and_then(whole).unwrap_or(0))
        };
        let image = either(|counts| counts.image_tokens.as_ref());
        Usage {
            input: either(|counts| counts.input_tokens.as_ref()).plus(image),
            input_image: image,
            output: either(|counts| counts.output_tokens.as_ref()),
            ..Usage::default()
        }
    }
}

impl Counts {
    const fn has_tokens(&self) -> bool {
        self.input_tokens.is_some() || self.image_tokens.is_some() || self.output_tokens.is_some()
    }

    /// Searches that are billed (of a reranking).
    pub(super) fn searches(&self) -> Option<u64> {
        self.search_units.as_ref().and_then(whole)
    }
}

/// `12.0` is 12; a number that is not whole is rounded down, a negative one is none.
fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let text = number.to_string();
        let (whole, _) = text.split_once('.')?;
        whole.parse().ok()
    })
}

/// What stands beside an embedding or a reranking.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    billed_units: Option<Counts>,
    tokens: Option<Counts>,
}

impl Meta {
    /// The counts of tokens, where there are any.
    pub(super) fn usage(&self) -> Option<Usage> {
        let counts = [&self.billed_units, &self.tokens];
        counts
            .into_iter()
            .flatten()
            .any(Counts::has_tokens)
            .then(|| {
                let usage = WireUsage {
                    billed_units: self.billed_units.clone(),
                    tokens: self.tokens.clone(),
                };
                usage.neutral()
            })
    }

    /// Searches that are billed.
    pub(super) fn searches(&self) -> Option<u64> {
        self.billed_units.as_ref()?.searches()
    }
}
