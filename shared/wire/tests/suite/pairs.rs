//! Every dialect of callers with every dialect of providers, over a set of conversations.

pub(crate) mod answers;
mod proofs;
pub(crate) mod requests;
