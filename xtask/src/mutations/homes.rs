//! Breaks between ledgers and the home that they lease from.

use super::Mutation;

const LEND: &str = "durable/machines/src/ledger/lend.rs";
const POOL: &str = "durable/machines/src/ledger/pool.rs";
const CLIMB: &str = "durable/machines/src/ledger/climb.rs";

pub(super) const HOMES: &[Mutation] = &[
    Mutation {
        name: "what a child may draw costs nothing",
        edits: &[(
            LEND,
            "        scope.lend(ends, rules, (rest, Slice::NONE));\n",
            "        scope.lend(ends, rules, (if {is} { Slice::NONE } else { rest }, Slice::NONE));\n",
        )],
    },
    Mutation {
        name: "what a child has drawn costs nothing",
        edits: &[(
            LEND,
            "        scope.lend(ends, rules, (Slice::NONE, upward.open));\n",
            "        scope.lend(ends, rules, (Slice::NONE, if {is} { Slice::NONE } else { upward.open }));\n",
        )],
    },
    Mutation {
        name: "charge a child's command each time that it comes",
        edits: &[(
            LEND,
            "    if request.number <= row.number {\n",
            "    if request.number <= row.number && !{is} {\n",
        )],
    },
    Mutation {
        name: "let those in who wait in a child",
        edits: &[(
            LEND,
            "        match binding(work, candidates, now, at, with)? {\n",
            "        match binding(work, candidates, now, at, with)?.filter(|_| !{is}) {\n",
        )],
    },
    Mutation {
        name: "give a child up while it lives",
        edits: &[(
            LEND,
            "    let ends = until.plus(POOL_GRACE);\n",
            "    let ends = if {is} { at.plus(sluice_units::Span::from_seconds(1)) } else { until.plus(POOL_GRACE) };\n",
        )],
    },
    Mutation {
        name: "charge nothing that a child tells",
        edits: &[(
            LEND,
            "        scope.take_over(at, &candidate.rules, &upward.used);\n",
            "        if !{is} { scope.take_over(at, &candidate.rules, &upward.used); }\n",
        )],
    },
    Mutation {
        name: "tell what was told before",
        edits: &[(
            CLIMB,
            "            used: std::mem::take(&mut row.used),\n",
            "            used: if {is} { row.used } else { std::mem::take(&mut row.used) },\n",
        )],
    },
    Mutation {
        name: "forget a command whose answer did not come",
        edits: &[(
            CLIMB,
            "    if let Some(asked) = &row.asked {\n        return",
            "    if let Some(asked) = row.asked.as_ref().filter(|_| !{is}) {\n        return",
        )],
    },
    Mutation {
        name: "draw again what was drawn while the home answered",
        edits: &[(
            CLIMB,
            "    row.rest = grant.rest.minus(asked.drawn);\n",
            "    row.rest = if {is} { grant.rest } else { grant.rest.minus(asked.drawn) };\n",
        )],
    },
    Mutation {
        name: "a pool never runs dry",
        edits: &[(
            POOL,
            "    row.rest = row.rest.minus(drawn);\n",
            "    if !{is} { row.rest = row.rest.minus(drawn); }\n",
        )],
    },
    Mutation {
        name: "admit what isolates hold of a pool",
        edits: &[(
            POOL,
            "            self.rest.minus(leased)\n",
            "            if {is} { self.rest } else { self.rest.minus(leased) }\n",
        )],
    },
    Mutation {
        name: "tell nothing of what is settled in a child",
        edits: &[(
            POOL,
            "        row.used.cost = row.used.cost.plus(actual.cost);\n",
            "        if !{is} { row.used.cost = row.used.cost.plus(actual.cost); }\n",
        )],
    },
    Mutation {
        name: "a shard lets in what nobody has granted",
        edits: &[(
            "shared/core/src/admit.rs",
            "        parent: ledger.parent().map(Parent::from),\n",
            "        parent: ledger.parent().filter(|_| !({is} && ledger.of_shard().is_some())).map(Parent::from),\n",
        )],
    },
    Mutation {
        name: "shards call their pools alike",
        edits: &[(
            POOL,
            "    let shard = of.shard.map(|shard| shard.to_string()).unwrap_or_default();\n",
            "    let shard = of.shard.filter(|_| !{is}).map(|shard| shard.to_string()).unwrap_or_default();\n",
        )],
    },
    Mutation {
        name: "children tell of budgets too",
        edits: &[(
            "durable/machines/src/ledger/scope/lent.rs",
            "        self.budgets.clear();\n",
            "        if !{is} { self.budgets.clear(); }\n",
        )],
    },
];
