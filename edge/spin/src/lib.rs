//! The gateway on Fermyon Spin: requests in, answers out, and the core's ports over what the platform offers.
//!
//! Decides nothing about a request. Correct where an instance serves one request, quick where it serves many: what is
//! remembered between requests is a copy.

mod answer;
mod bucket;
mod climb;
mod clock;
mod combine;
mod entry;
mod event;
mod headers;
mod inbox;
mod instance;
mod maintain;
mod notify;
mod platform;
mod store;
mod tasks;
mod upstream;
mod variables;
