//! `sluice report`: what the records of a period say, added up.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::Value;
use sluice_units::NanoUsd;

use crate::audit::{Chains, Days, LocationArguments, Place, walk};
use crate::{Failure, table};

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// What was processed where and what was refused, by team
    Residency(ResidencyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ResidencyArguments {
    #[command(flatten)]
    location: LocationArguments,
    /// A month or a day, in UTC: 2026-11 or 2026-11-21
    #[arg(long)]
    period: String,
    /// Only this organisation's
    #[arg(long)]
    org: Option<String>,
}

/// What is counted together.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    org: String,
    team: String,
    region: String,
    provider: String,
    place: String,
    egress: String,
    outcome: String,
}

#[derive(Debug, Default)]
struct Sum {
    requests: u64,
    cost: i64,
}

pub(crate) fn run(command: ReportCommand) -> Result<String, Failure> {
    match command {
        ReportCommand::Residency(arguments) => residency(&arguments),
    }
}

fn residency(arguments: &ResidencyArguments) -> Result<String, Failure> {
    let days = Days::period(&arguments.period)?;
    let place = Place::open(&arguments.location.location)?;
    let chains = Chains::sort(place.names(&arguments.location.only)?);
    let mut sums: BTreeMap<Row, Sum> = BTreeMap::new();
    let followed = walk(&place, &chains, &mut |line: &str| {
        let record: Value = serde_json::from_str(line).map_err(Failure::Json)?;
        let at_us = record.get("at_us").and_then(Value::as_i64);
        let of_org = |org: &String| record.get("org").and_then(Value::as_str) == Some(org);
        if !at_us.is_some_and(|at_us| days.hold(at_us))
            || !arguments.org.as_ref().is_none_or(of_org)
            || record.get("org").is_none()
        {
            return Ok(());
        }
        let sum = sums.entry(row(&record)).or_default();
        let cost = record.get("cost_nano_usd").and_then(Value::as_i64);
        sum.cost = sum.cost.saturating_add(cost.unwrap_or_default());
        // A correction speaks of a request that was counted before.
        let is_new = record.get("kind").and_then(Value::as_str) != Some("correction");
        sum.requests += u64::from(is_new);
        Ok(())
    })?;
    let text = rendered(&arguments.period, &sums);
    let faults: Vec<String> = followed
        .iter()
        .filter_map(|chain| chain.fault.as_ref())
        .map(|(object, fault)| format!("{object}: {fault}"))
        .collect();
    if faults.is_empty() {
        Ok(text)
    } else {
        Err(Failure::Broken { text, faults })
    }
}

fn row(record: &Value) -> Row {
    let text = |field: &str| {
        let found = record.get(field).and_then(Value::as_str);
        found.unwrap_or("-").to_owned()
    };
    let error = text("error");
    let outcome = match text("outcome").as_str() {
        "completed" => "answered".to_owned(),
        _ if error == "-" => text("outcome"),
        outcome => format!("{outcome}: {error}"),
    };
    Row {
        org: text("org"),
        team: text("team"),
        region: text("region"),
        provider: text("provider"),
        place: text("place"),
        egress: text("egress"),
        outcome,
    }
}

fn rendered(period: &str, sums: &BTreeMap<Row, Sum>) -> String {
    let head = [
        "org", "team", "region", "provider", "place", "egress", "outcome", "requests", "usd",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut total: u64 = 0;
    for (row, sum) in sums {
        total += sum.requests;
        rows.push(vec![
            row.org.clone(),
            row.team.clone(),
            row.region.clone(),
            row.provider.clone(),
            row.place.clone(),
            row.egress.clone(),
            row.outcome.clone(),
            sum.requests.to_string(),
            NanoUsd::from_nanos(sum.cost).to_string(),
        ]);
    }
    format!(
        "Requests of {period} (UTC), out of proven chains\n\n{}\n{total} requests\n",
        table(&rows)
    )
}
