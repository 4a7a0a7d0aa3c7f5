//! Writes `build/worker.json`: what the worker needs of the platform, for whoever deploys it without wrangler.
//!
//! It says what `wrangler.toml` says, so bindings, classes and schedules have one source and travel with the code.
//! Decides only one thing: what the migrations, taken together, leave as classes. Does not know the platform's limits.
//! A setting that it cannot carry over is a failure, not an omission.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use toml_edit::{DocumentMut, Item, TableLike};

use crate::build::OUT;
use crate::step::{Failure, doing};

/// Where the settings are.
const SOURCE: &str = "wrangler.toml";
/// What the manifest is called.
const NAME: &str = "worker.json";
/// What concerns wrangler alone.
const WRANGLERS_OWN: &[&str] = &["build", "send_metrics", "$schema"];
/// What a consumer of a queue may say, and what the manifest calls it.
const CONSUMER_SETTINGS: &[(&str, &str)] = &[
    ("max_batch_size", "batch_size"),
    ("max_batch_timeout", "max_wait_time_s"),
    ("max_retries", "max_retries"),
    ("max_concurrency", "max_concurrency"),
    ("retry_delay", "retry_delay"),
    ("dead_letter_queue", "dead_letter_queue"),
];

/// Writes the manifest beside the worker.
pub(crate) fn write() -> Result<(), Failure> {
    let text = fs::read_to_string(SOURCE).map_err(doing(SOURCE))?;
    let manifest =
        manifest(&text).map_err(|problem| Failure::new(format!("{SOURCE}: {problem}")))?;
    fs::create_dir_all(OUT).map_err(doing(OUT))?;
    let path = Path::new(OUT).join(NAME);
    let shown = path.display().to_string();
    let text = format!("{manifest:#}\n");
    if fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(doing(&shown))
}

/// The manifest of these settings.
fn manifest(text: &str) -> Result<Value, String> {
    let document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    let settings = table(document.as_table());
    let mut manifest = json!({
        "compatibility_flags": [],
        "observability": false,
        "durable_objects": {},
        "classes": {},
        "kv_namespaces": [],
        "r2_buckets": {},
        "queue_producers": {},
        "queue_consumers": {},
        "crons": [],
        "assets": null,
        "vars": {},
    });
    for (name, value) in &settings {
        if WRANGLERS_OWN.contains(&name.as_str()) {
            continue;
        }
        let (name, value) = carried(name, value)?;
        for (name, value) in name.iter().zip(value) {
            manifest[*name] = value;
        }
    }
    Ok(manifest)
}

/// What one setting becomes: fields of the manifest, and their values.
fn carried(name: &str, value: &Value) -> Result<(&'static [&'static str], Vec<Value>), String> {
    let one = |field: &'static [&'static str], value| Ok((field, vec![value]));
    match name {
        "name" => one(&["name"], value.clone()),
        "main" => one(&["main_module"], json!(file_name(value)?)),
        "compatibility_date" => one(&["compatibility_date"], value.clone()),
        "compatibility_flags" => one(&["compatibility_flags"], value.clone()),
        "observability" => one(&["observability"], json!(value["enabled"] == json!(true))),
        "vars" => one(&["vars"], value.clone()),
        "assets" => one(&["assets"], value.clone()),
        "durable_objects" => one(
            &["durable_objects"],
            pairs(&value["bindings"], "name", "class_name")?,
        ),
        "migrations" => one(&["classes"], Value::Object(classes(value)?)),
        "kv_namespaces" => one(&["kv_namespaces"], names(value, "binding")?),
        "r2_buckets" => one(&["r2_buckets"], buckets(value)?),
        "triggers" => one(&["crons"], value["crons"].clone()),
        "queues" => Ok((
            &["queue_producers", "queue_consumers"],
            vec![
                pairs(&value["producers"], "binding", "queue")?,
                consumers(&value["consumers"])?,
            ],
        )),
        unknown => Err(format!(
            "{unknown:?} is not carried over to {NAME}; teach xtask/src/manifest.rs and terraform/ what it means"
        )),
    }
}

/// The classes that there are after all migrations, and what became of those that are gone.
fn classes(migrations: &Value) -> Result<Map<String, Value>, String> {
    let mut classes = Map::new();
    for step in rows(migrations) {
        for (kind, storage) in [
            ("new_sqlite_classes", "sqlite"),
            ("new_classes", "legacy-kv"),
        ] {
            for class in rows(&step[kind]) {
                classes.insert(
                    text(class)?,
                    json!({"state": "created", "storage": storage}),
                );
            }
        }
        for renamed in rows(&step["renamed_classes"]) {
            let (from, to) = (text(&renamed["from"])?, text(&renamed["to"])?);
            let class = classes
                .get(&from)
                .cloned()
                .ok_or_else(|| format!("no class {from:?} to rename"))?;
            classes.insert(from, json!({"state": "renamed", "renamed_to": &to}));
            classes.insert(to, class);
        }
        for class in rows(&step["deleted_classes"]) {
            classes.insert(text(class)?, json!({"state": "deleted"}));
        }
        if step.get("transferred_classes").is_some() {
            return Err(
                "a class that is transferred between workers is not carried over".to_owned(),
            );
        }
    }
    Ok(classes)
}

fn consumers(consumers: &Value) -> Result<Value, String> {
    let mut all = Map::new();
    for consumer in rows(consumers) {
        let mut settings = Map::new();
        for (name, value) in consumer.as_object().into_iter().flatten() {
            if name == "queue" {
                continue;
            }
            let known = CONSUMER_SETTINGS
                .iter()
                .find(|(wranglers, _)| wranglers == name);
            let (_, ours) =
                known.ok_or_else(|| format!("queues.consumers: {name:?} is not carried over"))?;
            settings.insert((*ours).to_owned(), value.clone());
        }
        all.insert(text(&consumer["queue"])?, Value::Object(settings));
    }
    Ok(Value::Object(all))
}

fn names(rows_of: &Value, field: &str) -> Result<Value, String> {
    rows(rows_of)
        .iter()
        .map(|row| text(&row[field]))
        .collect::<Result<Vec<_>, _>>()
        .map(|names| json!(names))
}

/// The buckets by their bindings, and the jurisdiction that each is in whatever the worker's own is.
fn buckets(buckets: &Value) -> Result<Value, String> {
    let bucket = |row: &Value| {
        Ok((
            text(&row["binding"])?,
            json!({"jurisdiction": row["jurisdiction"]}),
        ))
    };
    let all: Result<Map<_, _>, String> = rows(buckets).iter().map(bucket).collect();
    all.map(Value::Object)
}

fn pairs(rows_of: &Value, key: &str, value: &str) -> Result<Value, String> {
    let pair = |row: &Value| Ok((text(&row[key])?, json!(text(&row[value])?)));
    rows(rows_of)
        .iter()
        .map(pair)
        .collect::<Result<Map<_, _>, String>>()
        .map(Value::Object)
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("a name is missing; found {value}"))
}

fn file_name(path: &Value) -> Result<String, String> {
    let path = text(path)?;
    let name = Path::new(&path).file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| format!("main: {path:?} names no file"))
}

/// A table of TOML as JSON.
fn table(table: &dyn TableLike) -> Map<String, Value> {
    table
        .iter()
        .map(|(name, item)| (name.to_owned(), item_value(item)))
        .collect()
}

fn item_value(item: &Item) -> Value {
    match item {
        Item::Value(value) => toml_value(value),
        Item::Table(inner) => Value::Object(table(inner)),
        Item::ArrayOfTables(inner) => inner.iter().map(|one| Value::Object(table(one))).collect(),
        Item::None => Value::Null,
    }
}

fn toml_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => json!(text.value()),
        toml_edit::Value::Integer(number) => json!(number.value()),
        toml_edit::Value::Float(number) => json!(number.value()),
        toml_edit::Value::Boolean(truth) => json!(truth.value()),
        toml_edit::Value::Datetime(time) => json!(time.value().to_string()),
        toml_edit::Value::Array(values) => values.iter().map(toml_value).collect(),
        toml_edit::Value::InlineTable(inner) => Value::Object(table(inner)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, field: &str) -> Result<Value, String> {
        manifest(text).map(|manifest| manifest[field].clone())
    }

    #[test]
    fn every_kind_of_setting_is_carried_over() {
        let text = r#"
            name = "sluice"
            main = "build/shim.js"
            compatibility_date = "2026-04-26"
            durable_objects.bindings = [{ name = "LEDGER", class_name = "Ledger" }]
            kv_namespaces = [{ binding = "KEYS", id = "0" }]
            r2_buckets = [{ binding = "RECORDS", bucket_name = "b" }]
            triggers = { crons = ["* * * * *"] }
            [build]
            command = "make"
            [observability]
            enabled = true
            [[queues.producers]]
            binding = "BATCHES"
            queue = "sluice-batches"
            [[queues.consumers]]
            queue = "sluice-batches"
            max_batch_size = 10
        "#;
        for (field, expected) in [
            ("name", json!("sluice")),
            ("main_module", json!("shim.js")),
            ("compatibility_date", json!("2026-04-26")),
            ("compatibility_flags", json!([])),
            ("observability", json!(true)),
            ("durable_objects", json!({"LEDGER": "Ledger"})),
            ("kv_namespaces", json!(["KEYS"])),
            ("r2_buckets", json!({"RECORDS": {"jurisdiction": null}})),
            ("crons", json!(["* * * * *"])),
            ("queue_producers", json!({"BATCHES": "sluice-batches"})),
            (
                "queue_consumers",
                json!({"sluice-batches": {"batch_size": 10}}),
            ),
            ("assets", Value::Null),
        ] {
            assert_eq!(found(text, field), Ok(expected), "{field}");
        }
    }

    #[test]
    fn migrations_leave_the_last_state_of_each_class() {
        let text = r#"
            [[migrations]]
            tag = "v1"
            new_sqlite_classes = ["Ledger", "Old", "Gone"]
            [[migrations]]
            tag = "v2"
            renamed_classes = [{ from = "Old", to = "New" }]
            deleted_classes = ["Gone"]
        "#;
        let created = json!({"state": "created", "storage": "sqlite"});
        let expected = json!({
            "Ledger": &created,
            "Old": {"state": "renamed", "renamed_to": "New"},
            "Gone": {"state": "deleted"},
            "New": &created,
        });
        assert_eq!(found(text, "classes"), Ok(expected));
    }

    #[test]
    fn what_cannot_be_carried_over_is_a_failure() {
        for (text, expected) in [
            ("ai = { binding = \"AI\" }", "\"ai\" is not carried over"),
            (
                "[[queues.consumers]]\nqueue = \"q\"\nfoo = 1",
                "\"foo\" is not carried over",
            ),
            ("[[kv_namespaces]]\nid = \"0\"", "a name is missing"),
            (
                "[[migrations]]\nrenamed_classes = [{ from = \"A\", to = \"B\" }]",
                "no class \"A\"",
            ),
        ] {
            let problem = manifest(text).map_or_else(|problem| problem, |_| String::new());
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn the_projects_own_settings_are_carried_over() {
        let text =
            fs::read_to_string(Path::new("..").join(SOURCE)).expect("wrangler.toml is there");
        let classes = found(&text, "classes").expect("every setting is carried over");
        assert_eq!(
            classes["Ledger"],
            json!({"state": "created", "storage": "sqlite"})
        );
    }
}
