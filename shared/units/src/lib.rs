//! The words that every other crate speaks: identifiers, time, money, tokens.
//!
//! Decides nothing. Knows no clock, no provider and no store.
//! Time is `i64` microseconds, money `i64` nano-dollars; neither ever becomes a float.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::float_arithmetic
    )
)]

pub mod base64url;
mod hex;
mod id;
pub mod json;
mod ledger;
mod money;
mod secret;
mod shard;
mod sorted;
mod time;
mod tokens;
mod usage;

pub use hex::hex;
pub use id::{
    AppId, ID_BYTES_MAX, IdError, KeyId, LeaseId, ModelId, OrgId, ProviderId, Region, RequestId,
    TeamId, UserId,
};
pub use ledger::{Jurisdiction, LedgerId};
pub use money::{MoneyError, NanoUsd};
pub use secret::Secret;
pub use shard::Shard;
pub use sorted::{SortedEntries, SortedMap, SortedSet};
pub use time::{CivilDate, Span, SpanError, Timestamp};
pub use tokens::Tokens;
pub use usage::Usage;

/// Whether a field says nothing, and need not be written.
#[must_use]
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
