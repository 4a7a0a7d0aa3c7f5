//! The built-in provider's place in the configuration: always there, with a made-up price.
//!
//! One dollar for a million input tokens and two for a million output tokens, so that budgets can be tried.

use super::Entries;
use super::compile::Prices;
use super::document::{
    CapabilityName, CircuitDocument, DialectName, ModelDocument, ProviderDocument,
};
use super::pattern::Pattern;
use crate::price::{Price, PriceTable, Rates, UnitRates};
use sluice_units::{NanoUsd, Timestamp};

/// The name of the built-in provider.
pub const SANDBOX: &str = "sandbox";

/// The models that are listed; any other name is answered too.
const MODELS: [&str; 2] = ["echo", "embed"];
const CONTEXT_TOKENS: u64 = 128_000;
const OUTPUT_TOKENS_MAX: u64 = 4_096;
const INPUT_PRICE: NanoUsd = NanoUsd::from_dollars(1);
const OUTPUT_PRICE: NanoUsd = NanoUsd::from_dollars(2);

/// The provider as a document would write it.
pub(super) fn provider() -> ProviderDocument {
    ProviderDocument {
        dialect: Some(DialectName::Sandbox),
        models_allow: Some(vec!["*".to_owned()]),
        // What it plays is no failure, unless one wants to see what comes of it.
        circuit: CircuitDocument {
            failures: Some(Vec::new()),
            ..CircuitDocument::default()
        },
        ..ProviderDocument::default()
    }
}

/// The models that are written and those that are listed; adds the price of all, where the document does not say
/// otherwise.
pub(super) fn completed(
    written: &Entries<ModelDocument>,
    prices: &mut Prices,
) -> Entries<ModelDocument> {
    let mut models = written.clone();
    for name in MODELS {
        let capability = if name == "embed" {
            CapabilityName::Embeddings
        } else {
            CapabilityName::Chat
        };
        models.add(
            name,
            ModelDocument {
                context_tokens: Some(CONTEXT_TOKENS),
                output_tokens_max: Some(OUTPUT_TOKENS_MAX),
                capabilities: Some(vec![capability, CapabilityName::Tools]),
                ..ModelDocument::default()
            },
        );
    }
    let price = Price {
        effective_from: Timestamp::from_micros(i64::MIN),
        per_request: NanoUsd::ZERO,
        units: UnitRates::default(),
        rates: Rates {
            input: INPUT_PRICE,
            input_cached: INPUT_PRICE,
            cache_write_5m: INPUT_PRICE,
            cache_write_1h: INPUT_PRICE,
            input_audio: INPUT_PRICE,
            input_image: INPUT_PRICE,
            output: OUTPUT_PRICE,
            reasoning: OUTPUT_PRICE,
            output_audio: OUTPUT_PRICE,
        },
        tiers: Vec::new(),
    };
    // The shortest pattern: whatever the document says comes first.
    prices
        .patterns
        .push((Pattern::new("*"), PriceTable::new(vec![price])));
    models
}
