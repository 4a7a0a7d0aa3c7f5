//! The gateway on Cloudflare Workers: events in, answers out, and the core's ports over what the platform offers.
//!
//! Decides nothing about a request. All JavaScript is in `js/`, and each function there does one whole step, because
//! a crossing costs more than what is done on either side.

mod answer;
mod body;
mod entry;
mod glue;
mod headers;
mod task;
mod worker;

pub use entry::{handle, start};
pub use sluice_objects::{LedgerObject, RegistryObject};
pub use task::tell;
