//! What must survive a request, an instance or a crash: limits, budgets, reservations, keys,
//! configuration versions and the outbox of usage records.
//!
//! Every machine has one shape: a command names the rows that it reads, a pure function looks at those rows and at
//! `now` and answers with a reply and a set of writes, and the runtime commits the set or nothing.
//! So the same code runs in a Durable Object, over Redis or SQLite, and in a simulator.
//! Knows no clock, no randomness, no runtime.
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

pub mod breaker;
pub mod capacity;
pub mod chain;
pub mod events;
pub mod health;
pub mod inbox;
pub mod ledger;
pub mod limit;
pub mod outbox;
pub mod record;
pub mod registry;
pub mod rows;
pub mod view;
