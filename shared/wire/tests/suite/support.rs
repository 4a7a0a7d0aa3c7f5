//! What the tests of the dialects share.

pub(crate) mod command;
pub(crate) mod converse;
pub(crate) mod facts;
pub(crate) mod folders;
pub(crate) mod framing;
pub(crate) mod loss;
pub(crate) mod order;
pub(crate) mod recordings;
pub(crate) mod rules;
pub(crate) mod sides;
pub(crate) mod tally;
