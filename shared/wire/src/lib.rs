//! The wire dialects of model providers around one neutral conversation model.
//!
//! N decoders and N encoders meet in [`model`]; there are no N × M pairs.
//! Every function is pure: bytes in, values out, and a list of what could not be expressed ([`Drops`]).
//! Knows nothing of keys, prices, retries, clocks or sockets.
//!
//! A page that a comment names is the specification that the code follows. What recorded exchanges show says so;
//! nothing was verified against a live API, and what only hearsay tells is marked "not verified".
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

pub mod anthropic;
pub mod bedrock;
mod citations;
pub mod cohere;
mod crc32;
pub mod dialect;
pub mod downstream;
pub mod drops;
pub mod error;
pub mod event_stream;
pub mod gemini;
mod halves;
pub mod hosting;
pub mod json;
mod kinds;
pub mod model;
pub mod openai;
pub mod responses;
pub mod s3;
pub mod service_account;
pub mod sigv4;
pub mod sse;
mod tokens;

pub use dialect::{Dialect, StreamDecoder, Target, UpstreamRequest};
pub use downstream::Downstream;
pub use drops::{Dropped, Drops};
pub use error::{DecodeError, EncodeError, ErrorClass, Malformed, UpstreamError};
pub use hosting::Hosting;
pub use tokens::TokenBound;
