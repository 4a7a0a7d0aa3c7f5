//! `sluice explain`: what a request by a key would do, as the gateway itself says.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::admin::Admin;
use crate::{AdminArguments, Failure, read_file, table};

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The request's body, a file of JSON
    #[arg(value_name = "FILE")]
    request: PathBuf,
    /// The key, by its identifier as `sluice key list` shows it
    #[arg(long)]
    key: String,
    /// Where the request would be sent
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// A header that it would carry, as "name: value"; may be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,
    /// As JSON, everything
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "a header is \"name: value\"".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(crate) fn run(explain: &Explain) -> Result<String, Failure> {
    let text = read_file(&explain.request)?;
    let request: Value = serde_json::from_str(&text).map_err(|error| Failure::Request {
        path: explain.request.clone(),
        error,
    })?;
    let headers = explain.headers.iter();
    let headers: Map<String, Value> = headers
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let body =
        json!({"key": explain.key, "request": request, "path": explain.path, "headers": headers});
    let told = Admin::open(&explain.admin)
        .and_then(|admin| admin.post("/admin/explain", &body))
        .map_err(Failure::Admin)?;
    if explain.json {
        return Ok(format!("{told}\n"));
    }
    Ok(shown(&told))
}

/// A value as a person reads it.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn shown(told: &Value) -> String {
    let mut text = String::new();
    match &told["would"]["be_refused"] {
        Value::Null => text.push_str("the request would be served\n"),
        refusal => {
            let _infallible = writeln!(
                text,
                "the request would be refused: {} {}: {}",
                word(&refusal["status"]),
                word(&refusal["code"]),
                word(&refusal["message"])
            );
        }
    }
    let caller = ["org", "team", "app", "user"].map(|name| word(&told["caller"][name]));
    let residency = &told["residency"];
    let _infallible = writeln!(text, "org, team, app, user: {}", caller.join(", "));
    let _infallible = writeln!(
        text,
        "region: {}; ledger: {}; jurisdiction: {}; records: {}; data: {}",
        word(&residency["region"]),
        word(&residency["ledger"]),
        word(&residency["jurisdiction"]),
        word(&residency["bucket"]),
        word(&residency["data"])
    );
    let reservation = &told["reservation"];
    let _infallible = writeln!(
        text,
        "reserves at most {} input tokens, {} output tokens, {} USD",
        word(&reservation["input_tokens"]),
        word(&reservation["output_tokens"]),
        word(&reservation["usd"])
    );
    if let Some(limit) = told["limit"].as_str() {
        let _infallible = writeln!(text, "least is left of: {limit}");
    }
    let borrowed = told["headroom"]["borrowed"].as_array();
    for loan in borrowed.into_iter().flatten() {
        let of = loan["of"].as_object().into_iter().flatten().next();
        let what = of.map_or("-", |(what, _)| what);
        let _infallible = writeln!(
            text,
            "would borrow {what} from the organisation, beyond a limit of {}",
            word(&loan["scope"])
        );
    }
    text.push_str(&targets(told));
    text
}

fn targets(told: &Value) -> String {
    let titles = ["target", "place", "USD at most", "dropped"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for target in told["targets"].as_array().into_iter().flatten() {
        let lost = match &target["cannot"] {
            Value::Null => word(&target["dropped"]),
            why => format!("cannot take it: {}", word(why)),
        };
        rows.push(vec![
            format!("{}/{}", word(&target["provider"]), word(&target["model"])),
            format!("{} {}", word(&target["place"]), word(&target["place_by"])),
            word(&target["usd_at_most"]),
            lost,
        ]);
    }
    for target in told["closed"].as_array().into_iter().flatten() {
        rows.push(vec![
            format!("{}/{}", word(&target["provider"]), word(&target["model"])),
            "never".to_owned(),
            "-".to_owned(),
            word(&target["because"]),
        ]);
    }
    table(&rows)
}
