//! The deterministic simulator: the real core and the real machines in a world of many isolates, under a virtual clock
//! and a seed, with everything that can go wrong; and a judge who looks on from outside.
//!
//! What is modelled and what is not stands in `docs/simulator.md`.
#![forbid(unsafe_code)]

mod bars;
mod borders;
mod bucket;
mod callers;
mod capacity;
mod clock;
mod dialects;
mod economy;
mod executor;
mod faults;
mod frames;
mod health;
mod hedges;
mod judge;
mod ledger;
mod nature;
mod network;
mod platform;
mod provider;
mod registry;
mod rng;
mod run;
mod world;

pub use bars::{Added, Rush, added_latency};
pub use faults::Counts;
pub use run::{REQUESTS_PER_SEED, Report, Summary, seed, seeds};
