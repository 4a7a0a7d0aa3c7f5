//! `docs/configuration.md` names every field that there is, and no other; so does Terraform's `modules/governance`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

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

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap()
}

fn page() -> String {
    read("docs/configuration.md")
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

/// The objects in the types of the module's variables, and where each is written; those of rules are looked for besides.
const OBJECTS: [(&str, &str); 19] = [
    ("regions", "[regions.eu]"),
    ("model_providers", "[providers.openai]"),
    ("model_providers.retry", "[providers.openai.retry]"),
    ("model_providers.circuit", "[providers.openai.circuit]"),
    ("model_providers.capacity", "[providers.openai.capacity]"),
    ("routes", "[models.x]"),
    ("routes.retry", "[models.x.retry]"),
    ("routes.circuit", "[models.x.circuit]"),
    ("routes.hedge", "[models.x.hedge]"),
    ("routes.targets", "[[models.x.targets]]"),
    (
        "routes.targets.retry",
        "[[models.x.targets]]\n[models.x.targets.retry]",
    ),
    (
        "routes.targets.circuit",
        "[[models.x.targets]]\n[models.x.targets.circuit]",
    ),
    ("prices", "[prices.\"a/b\"]"),
    ("prices.above", "[[prices.\"a/b\".above]]"),
    ("orgs", "[orgs.x]"),
    ("orgs.key_defaults", "[orgs.x.key_defaults]"),
    ("orgs.users", "[orgs.x.users.y]"),
    ("orgs.teams", "[orgs.x.teams.y]"),
    ("orgs.teams.apps", "[orgs.x.teams.y.apps.z]"),
];

/// The fields of each object in the types of the module's variables, by where it stands: `orgs.teams.limits`.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let text = read("terraform/modules/governance/variables.tf");
    let mut objects = BTreeMap::<String, BTreeSet<String>>::new();
    for variable in text.split("\nvariable \"").skip(1) {
        let (name, rest) = variable.split_once('"').unwrap();
        let (_, rest) = rest.split_once("\n  type").unwrap();
        let (types, _) = rest.split_once("\n  default").unwrap();
        let types = types.replace('{', " { ").replace('}', " } ");
        let (mut path, mut field) = (Vec::new(), name);
        let words: Vec<&str> = types.split_whitespace().collect();
        for pair in words.windows(2) {
            match pair {
                ["{", _] => path.push(field),
                ["}", _] => drop(path.pop()),
                [word, "="] if !path.is_empty() => {
                    field = word;
                    let fields = objects.entry(path.join(".")).or_default();
                    fields.insert(field.to_owned());
                }
                _ => {}
            }
        }
    }
    objects
}

/// The fields that `sluice key sync` takes.
fn wished() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nonsense.json");
    fs::write(&file, r#"{"x": {"nonsense": 1}}"#).unwrap();
    let mut sluice = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let sluice = sluice.args(["key", "sync", "--dry-run"]).arg(file);
    let refusal = String::from_utf8(sluice.output().unwrap().stderr).unwrap();
    let (_, names) = refusal.split_once("expected one of ").unwrap();
    let names = names.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// Terraform drops what a type does not name, without a word.
#[test]
fn the_terraform_module_names_every_field_and_no_other() {
    let nonsense = |table: &str| allowed(&format!("{table}\nnonsense = 1"));
    let mut expected = BTreeMap::from([("keys".to_owned(), wished())]);
    expected.extend(OBJECTS.map(|(object, table)| (object.to_owned(), nonsense(table))));
    for kind in ["limits", "budgets"] {
        let holders = expected.iter().filter(|(_, fields)| fields.contains(kind));
        let holders: Vec<String> = holders
            .map(|(object, _)| format!("{object}.{kind}"))
            .collect();
        let fields = nonsense(&format!("[[orgs.x.{kind}]]"));
        expected.extend(holders.into_iter().map(|object| (object, fields.clone())));
    }
    // They are a list.
    expected
        .entry("model_providers".to_owned())
        .or_default()
        .insert("name".to_owned());
    let named = named();
    for (object, fields) in &expected {
        assert_eq!(named.get(object), Some(fields), "{object}");
    }
    assert!(named.keys().eq(expected.keys()), "{:?}", named.keys());
}
