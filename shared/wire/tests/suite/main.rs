//! The dialects as a whole: every pair of them, recorded exchanges, and the table of what each can say.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skipped"
)]

mod pairs;
mod replay;
mod support;
mod table;
mod written;
