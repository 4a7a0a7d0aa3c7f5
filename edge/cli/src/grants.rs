//! `sluice grants`: what a platform must allow before a configuration works on it.
//!
//! For platforms that let a program call and read nothing that was not named before, such as Spin. Says what the
//! compiled configuration says, addresses that follow from it included.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use sluice_core::config::{Auth, Config, Deployment, Document};
use sluice_wire::service_account;

use crate::{Failure, read_file};

/// Addresses and names of secrets of a resolved document, as JSON.
pub(crate) fn run(file: &Path) -> Result<String, Failure> {
    let text = read_file(file)?;
    let document: Document = serde_json::from_str(&text).map_err(Failure::Json)?;
    let config = Config::compile(&document)
        .map_err(|issues| Failure::Faults(issues.iter().map(ToString::to_string).collect()))?;
    let deployment = Deployment::read(&text).map_err(|problem| Failure::Faults(vec![problem]))?;
    let mut urls: BTreeSet<&str> = BTreeSet::new();
    let mut secrets: BTreeSet<&str> = BTreeSet::new();
    for provider in config.providers() {
        urls.insert(&provider.base_url);
        if let Auth::ServiceAccount(bought_at) = &provider.auth {
            urls.insert(bought_at.as_deref().unwrap_or(service_account::TOKEN_URL));
        }
        secrets.extend(provider.secret_names());
    }
    for receiver in &deployment.receivers {
        urls.insert(&receiver.url);
        secrets.extend(receiver.secret.as_deref());
    }
    secrets.extend(config.body_keys().map(|(_, name)| name));
    let origins: BTreeSet<String> = urls.into_iter().filter_map(origin).collect();
    let grants = json!({"origins": origins, "secrets": secrets});
    Ok(format!("{grants}\n"))
}

/// An address without what follows the port; none for the sandbox, which has no address.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{authority}"))
}
