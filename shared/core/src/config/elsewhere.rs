//! What a configuration asks of a platform that not every one has: calls that leave from a place, and the secrets that
//! bodies on record are sealed under.

use sluice_units::OrgId;

use super::Config;
use super::document::{Document, EgressName};
use super::issue::{Issue, Path};
use crate::bodies::{self, KeyFault};
use crate::platform::Platform;

/// A configuration that this platform can carry out.
///
/// # Errors
/// Everything that is wrong with it, never nothing.
pub(crate) fn checked<P: Platform>(p: &P, document: &Document) -> Result<Config, Vec<Issue>> {
    let placed = if p.has_places() {
        Vec::new()
    } else {
        document.placed()
    };
    if !placed.is_empty() {
        return Err(placed);
    }
    let config = Config::compile(document)?;
    let issues: Vec<Issue> = config
        .body_keys()
        .filter_map(|(org, name)| unsealed(p, org, name))
        .collect();
    if issues.is_empty() {
        Ok(config)
    } else {
        Err(issues)
    }
}

/// What is wrong with the secret that an organisation's bodies are to be sealed under.
fn unsealed<P: Platform>(p: &P, org: &OrgId, name: &str) -> Option<Issue> {
    let problem = match bodies::key(p, name) {
        Ok(_) => return None,
        Err(KeyFault::Absent) => format!("the secret {name}, which seals them, is not set"),
        Err(KeyFault::Unusable) => format!("the secret {name}, which seals them, is no key"),
    };
    Some(Issue {
        path: Path::root().name("orgs").name(org.as_str()).name("bodies"),
        problem,
        hint: "`sluice audit key` makes one".to_owned(),
    })
}

impl Document {
    /// What a platform that can place no calls refuses: everything that is to be called from a place.
    #[must_use]
    pub fn placed(&self) -> Vec<Issue> {
        let root = Path::root().name("providers");
        let providers = self.providers.iter();
        let mut issues: Vec<Issue> = providers
            .filter_map(|(name, provider)| issue(&root.name(name), provider.egress))
            .collect();
        let root = Path::root().name("models");
        for (name, route) in self.models.iter() {
            let path = root.name(name).name("targets");
            let targets = route.targets.iter().enumerate();
            issues.extend(
                targets.filter_map(|(index, target)| issue(&path.index(index), target.egress)),
            );
        }
        issues
    }
}

fn issue(path: &Path, egress: Option<EgressName>) -> Option<Issue> {
    let place = egress?.name();
    Some(Issue {
        path: path.name("egress"),
        problem: format!(
            "asks for calls that leave from {place}, and this platform can place no calls"
        ),
        hint: "leave it out: here calls leave from the machines that the gateway runs on"
            .to_owned(),
    })
}
