//! `sluice check`, `sluice compile` and `sluice config apply`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use sluice_catalogue::Catalogue;
use sluice_core::config::Config;
use sluice_core::residency::KnownBy;

use crate::admin::Admin;
use crate::load::{Loaded, Runtime, load};
use crate::{AdminArguments, Failure, read_file, write_file};

const NAMES_SHOWN_MAX: usize = 10;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration and make it the running gateway's
    Apply {
        /// The configuration
        #[arg(default_value = "sluice.toml")]
        file: PathBuf,
        /// Why it changes; kept with the version
        #[arg(long)]
        reason: String,
        /// Who changes it; the account's name where it is not given
        #[arg(long)]
        author: Option<String>,
        #[command(flatten)]
        admin: AdminArguments,
    },
}

pub(crate) fn run(command: ConfigCommand) -> Result<String, Failure> {
    let ConfigCommand::Apply {
        file,
        reason,
        author,
        admin,
    } = command;
    // The gateway itself knows where it runs.
    let loaded = load_file(&file, Runtime::default())?;
    let author = author
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_default();
    let body = json!({"document": loaded.document, "author": author, "reason": reason});
    let answer = Admin::open(&admin)
        .and_then(|admin| admin.put("/admin/config", &body))
        .map_err(Failure::Admin)?;
    let version = answer.get("version").and_then(serde_json::Value::as_u64);
    let version = version.map_or_else(String::new, |version| format!(" {version}"));
    let changed = answer.get("changed") != Some(&json!(false));
    Ok(if changed {
        format!("configuration{version} is in force\n")
    } else {
        format!("nothing to change: configuration{version} says the same\n")
    })
}

pub(crate) fn check(file: &Path, on: Runtime) -> Result<String, Failure> {
    let loaded = load_file(file, on)?;
    Ok(summary(&file.display().to_string(), &loaded))
}

pub(crate) fn compile(file: &Path, out: &Path, on: Runtime) -> Result<String, Failure> {
    let loaded = load_file(file, on)?;
    let mut text = serde_json::to_string(&loaded.document).map_err(Failure::Json)?;
    text.push('\n');
    write_file(out, &text)?;
    Ok(format!("{} written\n", out.display()))
}

fn load_file(file: &Path, on: Runtime) -> Result<Loaded, Failure> {
    let text = read_file(file)?;
    let catalogue = Catalogue::built_in().map_err(Failure::Catalogue)?;
    load(&text, &catalogue, on).map_err(|faults| {
        let name = file.display().to_string();
        Failure::Faults(faults.iter().map(|fault| fault.line(&name)).collect())
    })
}

fn summary(file: &str, loaded: &Loaded) -> String {
    let Loaded { document, config } = loaded;
    let models: usize = document
        .providers
        .iter()
        .map(|(_, provider)| provider.models.len())
        .sum();
    let mut text = format!(
        "{file} is valid: {} and the sandbox, {}, {}, {}\n",
        count(document.providers.len(), "provider"),
        count(models, "model"),
        count(document.models.len(), "route"),
        count(document.orgs.len(), "organisation"),
    );
    let secrets: Vec<String> = config
        .secrets_needed()
        .into_iter()
        .map(|names| names.join(" or "))
        .collect();
    if !secrets.is_empty() {
        let _infallible = writeln!(text, "secrets that must be set: {}", secrets.join(", "));
    }
    text.push_str(&places(config));
    let unpriced = unpriced(loaded, config);
    if !unpriced.is_empty() {
        let shown: Vec<&str> = unpriced
            .iter()
            .map(String::as_str)
            .take(NAMES_SHOWN_MAX)
            .collect();
        let rest = unpriced.len().saturating_sub(shown.len());
        let more = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        let _infallible = writeln!(
            text,
            "no price is known, so refused wherever a budget or a limit on money stands (write [prices.\"provider/model\"]): {}{more}",
            shown.join(", ")
        );
    }
    text
}

/// What pinned callers never reach, and which places nobody has confirmed.
fn places(config: &Config) -> String {
    let mut text = String::new();
    for notice in config
        .closed_to_pinned()
        .into_iter()
        .chain(config.counted_apart())
    {
        let _infallible = writeln!(text, "{notice}");
    }
    let unconfirmed: Vec<String> = config
        .providers()
        .filter_map(|provider| {
            let place = provider
                .place
                .filter(|place| place.by == KnownBy::Endpoint)?;
            Some(format!("{} in {}", provider.id, place.country))
        })
        .collect();
    if config.regions().next().is_some() && !unconfirmed.is_empty() {
        let _infallible = writeln!(
            text,
            "places that only the address says (confirm each, and write country and country_by): {}",
            unconfirmed.join(", ")
        );
    }
    text
}

/// Every model that is known and has no price.
fn unpriced(loaded: &Loaded, config: &Config) -> Vec<String> {
    let mut names = Vec::new();
    for (provider, facts) in loaded.document.providers.iter() {
        for (model, _) in facts.models.iter() {
            let name = format!("{provider}/{model}");
            let route = config.resolve_model(&name);
            let target = route.as_ref().and_then(|route| route.targets.first());
            if target.is_some_and(|target| target.price.is_none()) {
                names.push(name);
            }
        }
    }
    names
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
