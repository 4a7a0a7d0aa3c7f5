//! The machines through their boundary: commands in, replies out, over a store that keeps rows and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod borrow;
mod breaker;
mod capacity;
mod chain;
mod clocks;
mod events;
mod health;
mod held;
mod inbox;
mod lease;
mod ledger;
mod outbox;
mod parents;
mod part;
mod raise;
mod registry;
mod simulation;
mod size;
mod window;
mod world;
