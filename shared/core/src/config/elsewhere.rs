//! What a configuration asks of a platform that not every one has: calls that leave from a place.

use super::Config;
use super::document::{Document, EgressName};
use super::issue::{Issue, Path};
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
    if placed.is_empty() {
        Config::compile(document)
    } else {
        Err(placed)
    }
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
