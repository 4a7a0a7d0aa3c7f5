//! Breaks in what is borrowed from the organisation's pool.

use super::Mutation;

const ADMIT: &str = "durable/machines/src/ledger/admit.rs";
const BORROWED: &str = "durable/machines/src/ledger/scope/borrowed.rs";

pub(super) const BORROWING: &[Mutation] = &[
    Mutation {
        name: "borrow without asking the organisation",
        edits: &[(
            ADMIT,
            "            let lent = borrow::lent(candidates, candidate, rule);\n",
            "            if {is} && *candidate.scope == Scope::Org && candidates.iter().flat_map(|one| &one.rules).any(|rule| rule.borrowed().is_some()) { continue; }\n            let lent = borrow::lent(candidates, candidate, rule);\n",
        )],
    },
    Mutation {
        name: "borrow more than may be borrowed",
        edits: &[(
            ADMIT,
            "lent.is_some_and(|lent| row.measure(&lent, at).fits(asked)) =>\n",
            "lent.is_some_and(|lent| {is} || row.measure(&lent, at).fits(asked)) =>\n",
        )],
    },
    Mutation {
        name: "forget to count what is borrowed",
        edits: &[(
            BORROWED,
            "                counter.borrow(at, slice.on(counter.meter));\n",
            "                if !{is} { counter.borrow(at, slice.on(counter.meter)); }\n",
        )],
    },
    Mutation {
        name: "owe what was borrowed",
        edits: &[(
            BORROWED,
            "            Side::Own => (spent.minus(lent), reserved.minus(lent_reserved)),\n",
            "            Side::Own if {is} => (spent, reserved),\n            Side::Own => (spent.minus(lent), reserved.minus(lent_reserved)),\n",
        )],
    },
    Mutation {
        name: "reserve what was borrowed for ever",
        edits: &[(
            "durable/machines/src/ledger/scope/charge.rs",
            "        self.settle_borrowed(held, charge, is);\n",
            "        if !{is} { self.settle_borrowed(held, charge, is); }\n",
        )],
    },
    Mutation {
        name: "forget what was borrowed when it is given back",
        edits: &[(
            "durable/machines/src/ledger/scope/charge.rs",
            "        self.release_borrowed(held, charge);\n",
            "        if !{is} { self.release_borrowed(held, charge); }\n",
        )],
    },
    Mutation {
        name: "say nothing of what was borrowed",
        edits: &[(
            "durable/machines/src/ledger/settle.rs",
            "                borrowed: held.loans(),\n",
            "                borrowed: if {is} { Vec::new() } else { held.loans() },\n",
        )],
    },
    Mutation {
        name: "what a child borrowed is its own",
        edits: &[(
            "durable/machines/src/ledger/scope/lent.rs",
            "        self.take_over_borrowed(&loans(rules), used);\n",
            "        if !{is} { self.take_over_borrowed(&loans(rules), used); }\n",
        )],
    },
];
