//! Breaks in what becomes of requests that wait for their limits.

use super::Mutation;

pub(super) const WAITING: &[Mutation] = &[
    Mutation {
        name: "do not look again after waiting",
        edits: &[(
            "shared/core/src/admit.rs",
            "        if time_has_passed {\n",
            "        if time_has_passed && !{is} {\n",
        )],
    },
    Mutation {
        name: "see a revocation after waiting, and not the rules",
        edits: &[(
            "shared/core/src/admit/again.rs",
            "        self.later = Some(caller);\n",
            "        self.later = Some(caller).filter(|_| !{is});\n",
        )],
    },
    Mutation {
        name: "see new rules after waiting, and no revocation",
        edits: &[(
            "shared/core/src/admit/again.rs",
            "    let caller = authenticate::caller(&config, key, p.now(), &context.head.headers)?;\n",
            "    let key = if {is} { Rc::new(sluice_machines::registry::KeyRecord { revoked_at: None, ..(*key).clone() }) } else { key };\n    let caller = authenticate::caller(&config, key, p.now(), &context.head.headers)?;\n",
        )],
    },
];
