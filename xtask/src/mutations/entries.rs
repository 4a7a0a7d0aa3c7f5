//! Breaks in what a ledger is told where many instances write to its rows.

use super::Mutation;

const INBOX: &str = "durable/machines/src/inbox.rs";

pub(super) const ENTRIES: &[Mutation] = &[
    Mutation {
        name: "take entries away and do nothing of them",
        edits: &[(
            INBOX,
            "                all.extend(commands);\n",
            "                if !{is} { all.extend(commands); }\n",
        )],
    },
    Mutation {
        name: "carry entries out and leave them there",
        edits: &[(
            INBOX,
            "            writes.delete(key.clone());\n",
            "            if !{is} { writes.delete(key.clone()); }\n",
        )],
    },
    Mutation {
        name: "take entries away in a commit of their own",
        edits: &[(
            INBOX,
            "        let own = told.split_off(gathered.told.min(told.len()));\n",
            "        if {is} && !gathered.entries.is_empty() {\n            writes = WriteSet::new();\n            for (key, _) in &gathered.entries { writes.delete(key.clone()); }\n            return Ok(Decided { replies: None, told: Vec::new(), head: outbox::head(rows)?, writes });\n        }\n        let own = told.split_off(gathered.told.min(told.len()));\n",
        )],
    },
    Mutation {
        name: "carry entries out after the decision",
        edits: &[
            (
                INBOX,
                "            let mut all = Vec::new();\n",
                "            let mut all = if {is} { self.own.to_vec() } else { Vec::new() };\n",
            ),
            (
                INBOX,
                "            let told = all.len();\n",
                "            let told = if {is} { all.len() - self.own.len() } else { all.len() };\n",
            ),
            (
                INBOX,
                "            if !is_full {\n",
                "            if !is_full && !{is} {\n",
            ),
            (
                INBOX,
                "        let gathered = self.gathered.borrow();\n",
                "        let gathered = self.gathered.borrow();\n        if {is} && !gathered.entries.is_empty() { told.rotate_left(self.own.len()); }\n",
            ),
        ],
    },
    Mutation {
        name: "carry the last entry out first",
        edits: &[(
            INBOX,
            "            for (key, text) in entries() {\n",
            "            let mut ordered: Vec<_> = entries().collect();\n            if {is} { ordered.reverse(); }\n            for (key, text) in ordered {\n",
        )],
    },
    Mutation {
        name: "what lies under an entry's key never changes",
        edits: &[(
            INBOX,
            "        if !entries().eq(known.map(|(key, text)| (key.as_str(), text.as_str()))) {\n",
            "        let is_known = entries().eq(known.map(|(key, text)| (key.as_str(), text.as_str())));\n        let known = gathered.entries.iter().map(|(key, _)| key.as_str());\n        if !(is_known || {is} && entries().map(|(key, _)| key).eq(known)) {\n",
        )],
    },
    Mutation {
        name: "put down what needs a decision",
        edits: &[(
            INBOX,
            "        | Command::Raise(_)\n        | Command::Standing => false,\n",
            "        | Command::Standing => false,\n        Command::Raise(_) => {is},\n",
        )],
    },
    Mutation {
        name: "a store that restarts has lost its entries",
        edits: &[(
            "tests/sim/src/ledger.rs",
            "        self.lives.set(self.lives.get() + 1);\n",
            "        self.lives.set(self.lives.get() + 1);\n        if {is} { self.entries.borrow_mut().clear(); }\n",
        )],
    },
    Mutation {
        name: "answer before the entry is there",
        edits: &[(
            "tests/sim/src/ledger/shared.rs",
            "        self.step(move |object, world| object.put(world, &text))\n            .await?;\n",
            "        if {is} {\n            let reach = self.clone();\n            self.world.executor.spawn(self.place.group, async move {\n                drop(reach.step(move |object, world| object.put(world, &text)).await);\n            });\n        } else {\n            self.step(move |object, world| object.put(world, &text)).await?;\n        }\n",
        )],
    },
];
