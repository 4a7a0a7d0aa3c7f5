//! The loss report: what a translation could not express.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The most entries that a report keeps.
pub const DROPS_MAX: usize = 64;

/// What a provider says of itself in each answer: which machine served, and how fast it promised to be.
const OF_THE_PROVIDER: [&str; 2] = ["system_fingerprint", "service_tier"];

/// One thing that was not carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The field's path in the source dialect, such as `messages[2].name` or `logit_bias`.
    pub field: Cow<'static, str>,
    /// Why, in a few words: `not supported by anthropic`.
    pub reason: Cow<'static, str>,
}

/// All that was not carried over, in the order in which it was met. Empty means: nothing was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Drops(Vec<Dropped>);

impl Drops {
    /// A report of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes one loss. The same field is noted once.
    pub fn push(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) {
        let field = field.into();
        if self.0.len() < DROPS_MAX && !self.0.iter().any(|dropped| dropped.field == field) {
            self.0.push(Dropped {
                field,
                reason: reason.into(),
            });
        }
    }

    /// Takes over another report's losses.
    pub fn append(&mut self, other: Self) {
        for dropped in other.0 {
            self.push(dropped.field, dropped.reason);
        }
    }

    /// Whether more was lost than what a provider says of itself: a strict caller does not put up with that.
    #[must_use]
    pub fn lose_content(&self) -> bool {
        self.0
            .iter()
            .any(|dropped| !OF_THE_PROVIDER.contains(&dropped.field.as_ref()))
    }

    /// Nothing was lost.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The losses.
    #[must_use]
    pub fn as_slice(&self) -> &[Dropped] {
        &self.0
    }
}
