//! A request's way through the gateway, in order.
//!
//! receive → authenticate → parse → admit → route → translate → attempt → session → settle.
//! Knows no runtime: all that it needs of one stands in [`platform`].
//! The async spine is [`gateway`], `serve` and [`pump`]; whatever remembers is a synchronous machine
//! ([`plan`], [`session`], and those of `sluice-machines`).
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

pub mod address;
pub mod admit;
mod allowance;
pub mod authenticate;
pub mod bodies;
pub mod circuit;
pub mod commit;
pub mod config;
pub mod credentials;
pub mod estimate;
pub mod files;
pub mod gateway;
pub mod hash;
pub mod headers;
pub mod health;
pub mod isolate;
pub mod lease;
pub mod line;
pub mod look;
pub mod plan;
pub mod platform;
pub mod price;
pub mod problem;
pub mod pump;
pub mod receipt;
pub mod refused;
pub mod residency;
pub mod sandbox;
pub mod secret_key;
pub mod serve;
pub mod session;
pub mod settle;
pub mod translate;
pub mod upload;
pub mod upstream;

mod admin;
mod capacity;
mod count;
mod models;
mod prepare;
mod wait;

pub use admin::TOKEN_SECRET;
