//! Every dialect of callers with every dialect of providers, over a set of conversations.

mod answers;
mod requests;
