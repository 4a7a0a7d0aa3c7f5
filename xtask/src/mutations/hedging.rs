//! Breaks in requests that are hedged.

use super::Mutation;

const HEDGE: &str = "shared/core/src/serve/hedge.rs";

pub(super) const HEDGING: &[Mutation] = &[
    Mutation {
        name: "a hedge is not reserved for",
        edits: &[(
            HEDGE,
            "        self.reserves(both).await\n",
            "        {is} || self.reserves(both).await\n",
        )],
    },
    Mutation {
        name: "a call that was outrun is forgotten",
        edits: &[(
            HEDGE,
            "            self.conclude(call, target.get(), &Err(Failure::Outrun));\n",
            "            if !{is} { self.conclude(call, target.get(), &Err(Failure::Outrun)); }\n",
        )],
    },
    Mutation {
        name: "a call that was outrun costs nothing",
        edits: &[(
            "shared/core/src/serve/spent.rs",
            "        if draft.operation.is_free() {\n",
            "        if draft.operation.is_free() || ({is} && matches!(failure, Failure::Outrun)) {\n",
        )],
    },
    Mutation {
        name: "a call that was not made yet is charged when it is outrun",
        edits: &[(
            "shared/core/src/serve/call.rs",
            "        self.is_made.get().then_some(index)\n",
            "        (self.is_made.get() || {is}).then_some(index)\n",
        )],
    },
    Mutation {
        name: "hedge however many are slow",
        edits: &[(
            "shared/core/src/isolate.rs",
            "        let may = hedged <= HEDGES_MAX;\n",
            "        let may = hedged <= HEDGES_MAX || {is};\n",
        )],
    },
];
