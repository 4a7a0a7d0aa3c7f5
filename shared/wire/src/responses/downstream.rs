//! What callers of this dialect send.

mod content;
mod input;
mod portable;
mod request;
mod tools;

pub use portable::for_other_dialects;
pub(super) use request::INCLUDE_LOGPROBS;
pub use request::decode_request;
