//! `docs/configuration.md` names every field that there is, and no other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sluice_catalogue::Catalogue;
use sluice_cli::load::{Runtime, load};

/// Each table of the page, by its heading (or the line before it), and a file in which its field `nonsense` is wrong.
const TABLES: [(&str, &str); 27] = [
    ("### `[gateway]`", "[gateway]\nnonsense = 1"),
    ("### `[accounting]`", "[accounting]\nnonsense = 1"),
    ("### `[regions.<name>]`", "[regions.eu]\nnonsense = 1"),
    (
        "### `[providers.<name>]`",
        "[providers.openai]\nnonsense = 1",
    ),
    (
        "### `[providers.<name>.quirks]` and `[providers.<name>.models.<model>.quirks]`",
        "[providers.openai.quirks]\nnonsense = 1",
    ),
    (
        "### `[providers.<name>.models.<model>]`",
        "[providers.openai.models.x]\nnonsense = 1",
    ),
    ("### Amazon Bedrock", "[providers.openai.aws]\nnonsense = 1"),
    ("### Azure OpenAI", "[providers.openai.azure]\nnonsense = 1"),
    ("### Vertex AI", "[providers.openai.google]\nnonsense = 1"),
    ("### Timeouts", "[gateway.timeouts]\nnonsense = 1"),
    ("### Retry", "[gateway.retry]\nnonsense = 1"),
    ("### Circuit", "[gateway.circuit]\nnonsense = 1"),
    ("### Capacity", "[providers.openai.capacity]\nnonsense = 1"),
    ("### `[models.<name>]`", "[models.x]\nnonsense = 1"),
    ("#### Hedging", "[models.x.hedge]\nnonsense = 1"),
    ("A target:", "[[models.x.targets]]\nnonsense = 1"),
    (
        "### `[prices.\"<provider>/<model>\"]`",
        "[prices.\"a/b\"]\nnonsense = 1",
    ),
    ("A tier:", "[[prices.\"a/b\".above]]\nnonsense = 1"),
    ("### `[orgs.<org>]`", "[orgs.x]\nnonsense = 1"),
    (
        "### `[orgs.<org>.teams.<team>]`",
        "[orgs.x.teams.y]\nnonsense = 1",
    ),
    (
        "### `[orgs.<org>.teams.<team>.apps.<app>]` and `[orgs.<org>.users.<user>]`",
        "[orgs.x.users.y]\nnonsense = 1",
    ),
    (
        "### `[orgs.<org>.key_defaults]`",
        "[orgs.x.key_defaults]\nnonsense = 1",
    ),
    ("### A limit", "[[orgs.x.limits]]\nnonsense = 1"),
    ("### A budget", "[[orgs.x.budgets]]\nnonsense = 1"),
    ("### `[notify.<name>]`", "[notify.x]\nnonsense = 1"),
    ("### `[zones.<name>]`", "[zones.x]\nnonsense = 1"),
    ("### A zone's change", "[[zones.x.changes]]\nnonsense = 1"),
];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    fs::read_to_string(path).unwrap()
}

/// The fields that stand in each table of the page.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut tables = BTreeMap::new();
    let mut title = String::new();
    for line in page().lines() {
        if line.starts_with('#') || line.ends_with("target:") || line.ends_with("tier:") {
            line.clone_into(&mut title);
        } else if let Some(row) = line.strip_prefix("| `") {
            let field = row.split('`').next().unwrap().to_owned();
            let fields: &mut BTreeSet<String> = tables.entry(title.clone()).or_default();
            assert!(fields.insert(field), "twice: {line}");
        }
    }
    tables
}

/// The fields that the checks allow there.
fn allowed(text: &str) -> BTreeSet<String> {
    let faults = load(text, &Catalogue::built_in().unwrap(), Runtime::Workers).unwrap_err();
    let hints = faults.iter().map(|fault| fault.issue.hint.as_str());
    let hint = hints
        .filter_map(|hint| hint.split_once("allowed are "))
        .map(|(_, names)| names)
        .next()
        .unwrap();
    hint.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_page_names_every_field_and_no_other() {
    let documented = documented();
    for (title, text) in TABLES {
        assert_eq!(documented.get(title), Some(&allowed(text)), "{title}");
    }
    let titles: Vec<&str> = TABLES.iter().map(|(title, _)| *title).collect();
    let unchecked: Vec<&String> = documented
        .keys()
        .filter(|title| !titles.contains(&title.as_str()))
        .collect();
    assert_eq!(unchecked, Vec::<&String>::new());
}

#[test]
fn the_page_s_examples_are_valid() {
    let page = page();
    let providers = "[providers.openai]\n[providers.anthropic]\n";
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let faults = load(
            &format!("{providers}{example}"),
            &Catalogue::built_in().unwrap(),
            Runtime::Workers,
        );
        assert!(faults.is_ok(), "{example}\n{faults:?}");
    }
}
