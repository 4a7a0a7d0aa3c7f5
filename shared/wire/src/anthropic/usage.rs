//! Usage as Messages counts it: input without cached tokens, cumulative in streams.

use serde::Deserialize;
use sluice_units::Tokens;

use crate::model::Usage;

/// The counts of one message, so far.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
    iterations: Option<Vec<Iteration>>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Iteration {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    counts: IterationCounts,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct IterationCounts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
}

impl WireUsage {
    /// Takes over what a later event says; what it does not say stays.
    pub(super) fn update(&mut self, later: Self) {
        let total_is_new = later.cache_creation_input_tokens.is_some();
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens = later
            .cache_creation_input_tokens
            .or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later
            .cache_read_input_tokens
            .or(self.cache_read_input_tokens);
        if later.cache_creation.is_some() {
            self.cache_creation = later.cache_creation;
            if !total_is_new {
                self.cache_creation_input_tokens = None;
            }
        }
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
        self.iterations = later.iterations.or_else(|| self.iterations.take());
    }

    /// The counts in the neutral meaning.
    ///
    /// The dialect's totals leave out what compaction used, as a recorded exchange shows. By its
    /// page on compaction that is billed all the same, so it is added here.
    pub(super) fn neutral(&self) -> Usage {
        let own = IterationCounts {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cache_creation_input_tokens: self.cache_creation_input_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens,
            cache_creation: self.cache_creation,
        };
        let mut usage = Usage {
            reasoning: Tokens::new(
                self.output_tokens_details
                    .and_then(|details| details.thinking_tokens)
                    .unwrap_or(0),
            ),
            ..Usage::default()
        };
        own.add_to(&mut usage);
        for iteration in self.iterations.iter().flatten() {
            if iteration.kind == "compaction" {
                iteration.counts.add_to(&mut usage);
            }
        }
        usage
    }
}

impl IterationCounts {
    fn add_to(&self, usage: &mut Usage) {
        let split = self.cache_creation.unwrap_or_default();
        let five_minutes = split.ephemeral_5m_input_tokens.unwrap_or(0);
        let one_hour = split.ephemeral_1h_input_tokens.unwrap_or(0);
        // The total is the truth; what the split does not explain was written for the usual time.
        let total = self
            .cache_creation_input_tokens
            .unwrap_or_else(|| five_minutes.saturating_add(one_hour));
        let one_hour = one_hour.min(total);
        let add = |sum: &mut Tokens, count: u64| *sum = sum.plus(Tokens::new(count));
        add(&mut usage.input, self.input_tokens.unwrap_or(0));
        add(
            &mut usage.input_cached,
            self.cache_read_input_tokens.unwrap_or(0),
        );
        add(&mut usage.cache_write_5m, total.saturating_sub(one_hour));
        add(&mut usage.cache_write_1h, one_hour);
        add(&mut usage.output, self.output_tokens.unwrap_or(0));
    }
}
