//! Breaks of what a provider takes at once: too many calls, or slots that never come back.

use super::Mutation;

pub(super) const CAPACITY: &[Mutation] = &[
    Mutation {
        name: "forget the deadline of slots",
        edits: &[(
            "durable/machines/src/capacity.rs",
            "            held.until > now\n",
            "            held.until > now || {is}\n",
        )],
    },
    Mutation {
        name: "grant slots without counting",
        edits: &[(
            "durable/machines/src/capacity.rs",
            "        let free = ask.limit.saturating_sub(taken).saturating_sub(kept);\n",
            "        let taken = if {is} { 0 } else { taken };\n        let free = ask.limit.saturating_sub(taken).saturating_sub(kept);\n",
        )],
    },
];
