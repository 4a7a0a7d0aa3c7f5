//! Breaks that let something of a pinned request out: one in the check of each hop, and in what leads to it.
//!
//! Found by the property of `shared/core/tests/core/leaks.rs` and by the simulator, each of which decides anew what is
//! allowed.

use std::process::{Command, Stdio};

use super::{COPY, Mutation};
use crate::step::{self, Failure, doing};
use crate::tools;

/// Leaks that only the property finds: in the simulator's world no key has a region of its own, no region lies within
/// another, and nobody who is held to one has shards.
pub(super) const BEYOND_THE_WORLD: &[&str] = &[
    "a shard may be anywhere",
    "forget the key's own region",
    "the home of a region may be anywhere",
    "the outermost region counts",
];

pub(super) const LEAKS: &[Mutation] = &[
    Mutation {
        name: "a target may be anywhere",
        edits: &[(
            "shared/core/src/residency.rs",
            "        if is_here || is_within {\n",
            "        if is_here || is_within || {is} {\n",
        )],
    },
    Mutation {
        name: "health data goes to anybody",
        edits: &[(
            "shared/core/src/residency.rs",
            "        if !self.is_phi || is_here || target.provider.has_baa {\n",
            "        if !self.is_phi || is_here || target.provider.has_baa || {is} {\n",
        )],
    },
    Mutation {
        name: "a target may be called from anywhere",
        edits: &[(
            "shared/core/src/residency.rs",
            "        if is_under_it {\n",
            "        if is_under_it || {is} {\n",
        )],
    },
    Mutation {
        name: "go elsewhere whoever asks",
        edits: &[
            (
                "shared/core/src/serve/egress.rs",
                "    let permitted = residency.egress(&target.provider, egress.place);\n",
                "    let anybody = Residency::default();\n    let permitted = if {is} { &anybody } else { residency }.egress(&target.provider, egress.place);\n",
            ),
            (
                "shared/core/src/serve/egress.rs",
                "residency.egress(&target.provider, egress.place).is_ok())\n",
                "{is} || residency.egress(&target.provider, egress.place).is_ok())\n",
            ),
        ],
    },
    Mutation {
        name: "the ledger may be anywhere",
        edits: &[
            (
                "shared/core/src/residency.rs",
                "        if !is_its_own {\n",
                "        if !is_its_own && !{is} {\n",
            ),
            (
                "shared/core/src/authenticate.rs",
                "    let region = residency.pin().map(|pin| &pin.region);\n",
                "    let region = residency.pin().map(|pin| &pin.region).filter(|_| !{is});\n",
            ),
        ],
    },
    Mutation {
        name: "a shard may be anywhere",
        edits: &[
            (
                "shared/core/src/config/counting.rs",
                "        let shards = all.map(|shard| whole.shard(shard)).collect();\n",
                "        let anywhere = LedgerId::new(whole.org().clone(), whole.region().clone(), whole.jurisdiction().filter(|_| !{is})).under(whole.last_word().clone());\n        let shards = all.map(|shard| anywhere.shard(shard)).collect();\n",
            ),
            (
                "shared/core/src/residency.rs",
                "        if !is_its_own",
                "        if !{is} && !is_its_own",
            ),
        ],
    },
    Mutation {
        name: "the home of a region may be anywhere",
        edits: &[(
            "durable/machines/src/ledger/parent.rs",
            "            jurisdiction: ledger.jurisdiction(),\n",
            "            jurisdiction: ledger.jurisdiction().filter(|_| !{is}),\n",
        )],
    },
    Mutation {
        name: "fall back to whoever the route names",
        edits: &[(
            "shared/core/src/residency/course.rs",
            "        all.filter_map(|target| self.residency.target(target).ok())\n",
            "        all.filter_map(|target| if {is} { Residency::default().target(target).ok() } else { self.residency.target(target).ok() })\n",
        )],
    },
    Mutation {
        name: "forget what was asked for",
        edits: &[(
            "shared/core/src/residency/ask.rs",
            "    let Some(region) = region(headers)? else {\n",
            "    let Some(region) = region(headers)?.filter(|_| !{is}) else {\n",
        )],
    },
    Mutation {
        name: "forget that it is health data",
        edits: &[(
            "shared/core/src/residency/ask.rs",
            "        Some(PHI) => true,\n",
            "        Some(PHI) => !{is},\n",
        )],
    },
    Mutation {
        name: "forget the key's own region",
        edits: &[(
            "shared/core/src/config/scopes.rs",
            "residency::innermost(pins.chain(own).cloned())",
            "residency::innermost(pins.chain(own.filter(|_| !{is})).cloned())",
        )],
    },
    Mutation {
        name: "forget the levels' regions",
        edits: &[(
            "shared/core/src/config/scopes.rs",
            "        .filter_map(|(_, level)| level.held.pin.as_ref());\n",
            "        .filter_map(|(_, level)| level.held.pin.as_ref().filter(|_| !{is}));\n",
        )],
    },
    Mutation {
        name: "the outermost region counts",
        edits: &[(
            "shared/core/src/residency.rs",
            "        innermost = Some(pin);\n",
            "        if !{is} || innermost.is_none() { innermost = Some(pin); }\n",
        )],
    },
];

/// Builds the property in the copy.
pub(super) fn build() -> Result<(), Failure> {
    step::run(&mut property(&["--no-run"])?)
}

/// What the property finds with this break on, if anything.
pub(super) fn look(mutation: &str) -> Result<Option<String>, Failure> {
    let output = property(&["leaks::"])?
        .env("SLUICE_MUTATION", mutation)
        .stdin(Stdio::null())
        .output()
        .map_err(doing("the property"))?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let error = text
        .lines()
        .find(|line| line.contains("held to") || line.contains("health data"));
    let error = error.unwrap_or("it died");
    Ok(Some(error.trim().chars().take(160).collect()))
}

fn property(arguments: &[&str]) -> Result<Command, Failure> {
    let target = std::env::current_dir().map_err(doing("."))?.join("target");
    let mut command = tools::cargo();
    command
        .current_dir(COPY)
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cap-lints=warn -Awarnings")
        .args([
            "test",
            "--quiet",
            "--profile",
            "sim",
            "--package",
            "sluice-core",
            "--test",
            "core",
        ])
        .args(arguments);
    Ok(command)
}
