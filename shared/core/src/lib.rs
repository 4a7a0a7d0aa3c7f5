//! A request's way through the gateway, in order.
//!
//! parse → authenticate → admit → route → translate → attempt → session → settle.
//! Knows no runtime: all that it needs of one stands in [`platform`].
#![forbid(unsafe_code)]

pub mod config;
pub mod platform;
pub mod price;
