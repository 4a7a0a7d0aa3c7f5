//! `sluice audit export`: the records of a time, a team or an organisation, as an auditor's tools read them.
//!
//! The chains are proven on the way: what is written was not tampered with. Bodies are written as they are sealed, or
//! opened where their key is given.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;
use sluice_units::{NanoUsd, Timestamp};

use super::bodies::{BodyKeyArguments, Opener};
use super::{Chains, Days, LocationArguments, Place, walk};
use crate::Failure;

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    location: LocationArguments,
    /// The first day, in UTC
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day, in UTC
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Only this organisation's
    #[arg(long)]
    org: Option<String>,
    /// Only this team's
    #[arg(long)]
    team: Option<String>,
    /// Every field, one JSON object on each line; or the usual columns
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,
    /// Where to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    body_keys: BodyKeyArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Ndjson,
    Csv,
}

/// The columns and where they are in a record.
const COLUMNS: [(&str, &str); 27] = [
    ("at", "/at_us"),
    ("sequence", "/sequence"),
    ("kind", "/kind"),
    ("request", "/request"),
    ("org", "/org"),
    ("team", "/team"),
    ("app", "/app"),
    ("user", "/user"),
    ("key", "/key"),
    ("operation", "/operation"),
    ("model", "/model"),
    ("provider", "/provider"),
    ("provider_model", "/provider_model"),
    ("region", "/region"),
    ("shard", "/shard"),
    ("place", "/place"),
    ("egress", "/egress"),
    ("input_tokens", "/usage/input"),
    ("output_tokens", "/usage/output"),
    ("cost_usd", "/cost_nano_usd"),
    ("status", "/status"),
    ("outcome", "/outcome"),
    ("error", "/error"),
    ("bodies", "/bodies/keep"),
    ("change", "/change"),
    ("author", "/author"),
    ("reason", "/reason"),
];

pub(crate) fn run(arguments: &ExportArguments) -> Result<String, Failure> {
    let days = Days::between(arguments.from.as_deref(), arguments.to.as_deref())?;
    let mut opener = Opener::new(&arguments.body_keys)?;
    let place = Place::open(&arguments.location.location)?;
    let chains = Chains::sort(place.names(&arguments.location.only)?);
    let failed = |error: std::io::Error| Failure::File {
        path: arguments.out.clone(),
        error,
    };
    let mut out = BufWriter::new(fs::File::create(&arguments.out).map_err(failed)?);
    if arguments.format == Format::Csv {
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        writeln!(out, "{}", names.join(",")).map_err(failed)?;
    }
    let mut written: u64 = 0;
    let followed = walk(&place, &chains, &mut |line: &str| {
        let mut record: Value = serde_json::from_str(line).map_err(Failure::Json)?;
        if !is_wanted(&record, days, arguments) {
            return Ok(());
        }
        written += 1;
        let opened = opener.opened;
        opener.open(&mut record);
        match arguments.format {
            Format::Ndjson if opener.opened > opened => writeln!(out, "{record}"),
            Format::Ndjson => writeln!(out, "{line}"),
            Format::Csv => writeln!(out, "{}", row(&record)),
        }
        .map_err(failed)
    })?;
    out.flush().map_err(failed)?;
    let mut faults: Vec<String> = followed
        .iter()
        .filter_map(|chain| chain.fault.as_ref())
        .map(|(object, fault)| format!("{object}: {fault}"))
        .collect();
    let mut text = format!("{written} records in {}\n", arguments.out.display());
    text.push_str(&opener.told());
    faults.append(&mut opener.faults);
    if faults.is_empty() {
        Ok(text)
    } else {
        Err(Failure::Broken { text, faults })
    }
}

fn is_wanted(record: &Value, days: Days, arguments: &ExportArguments) -> bool {
    let is = |field: &str, wanted: &Option<String>| {
        let found = record.get(field).and_then(Value::as_str);
        wanted.is_none() || found == wanted.as_deref()
    };
    let at_us = record.get("at_us").and_then(Value::as_i64);
    at_us.is_some_and(|at_us| days.hold(at_us))
        && is("org", &arguments.org)
        && is("team", &arguments.team)
}

fn row(record: &Value) -> String {
    let cells: Vec<String> = COLUMNS
        .iter()
        .map(|(name, pointer)| match record.pointer(pointer) {
            None | Some(Value::Null) => String::new(),
            Some(value) => cell(name, value),
        })
        .collect();
    cells.join(",")
}

fn cell(name: &str, value: &Value) -> String {
    match (name, value.as_i64(), value) {
        ("at", Some(at_us), _) => Timestamp::from_micros(at_us).to_string(),
        ("cost_usd", Some(nanos), _) => NanoUsd::from_nanos(nanos).to_string(),
        (_, _, Value::String(text)) => quoted(text),
        (_, _, value) => quoted(&value.to_string()),
    }
}

/// A text as RFC 4180 writes it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
