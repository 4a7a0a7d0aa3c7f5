//! Usage as Converse counts it: input without what was read from or written to the prompt cache.

use serde::Deserialize;
use sluice_units::Tokens;

use crate::model::Usage;

/// The counts of one answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    cache_details: Option<Vec<CacheDetail>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CacheDetail {
    ttl: Option<String>,
    input_tokens: Option<u64>,
}

impl WireUsage {
    /// The counts in the neutral meaning.
    pub(super) fn neutral(&self) -> Usage {
        let one_hour = self
            .cache_details
            .iter()
            .flatten()
            .filter(|detail| detail.ttl.as_deref() == Some("1h"))
            .filter_map(|detail| detail.input_tokens)
            .fold(0_u64, u64::saturating_add);
        // The total is the truth; what the details do not explain was written for the usual time.
        let written = self.cache_write_input_tokens.unwrap_or(one_hour);
        let one_hour = one_hour.min(written);
        let count = |count: Option<u64>| Tokens::new(count.unwrap_or(0));
        Usage {
            input: count(self.input_tokens),
            input_cached: count(self.cache_read_input_tokens),
            cache_write_5m: Tokens::new(written.saturating_sub(one_hour)),
            cache_write_1h: Tokens::new(one_hour),
            output: count(self.output_tokens),
            ..Usage::default()
        }
    }
}
