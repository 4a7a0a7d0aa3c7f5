//! From a file's text to a configuration, or to every fault in it with its line.

use sluice_catalogue::Catalogue;
use sluice_core::config::{Config, Document, Issue, Path};

use crate::source::{Place, Source};
use crate::{resolve, shape, zones};

/// A configuration without faults.
#[derive(Debug)]
pub struct Loaded {
    /// With the catalogue's facts filled in.
    pub document: Document,
    /// As the request path reads it.
    pub config: Config,
}

/// Where a configuration is to be carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    /// On Cloudflare Workers
    #[default]
    Workers,
    /// In a component on Spin
    Spin,
}

/// A fault and where it stands.
#[derive(Debug)]
pub struct Fault {
    /// Where it stands in the text.
    pub place: Place,
    /// What it is.
    pub issue: Issue,
}

impl Fault {
    /// `sluice.toml:42:7: models.fast…: what is wrong; what is allowed`.
    #[must_use]
    pub fn line(&self, file: &str) -> String {
        format!(
            "{file}:{}:{}: {}",
            self.place.line, self.place.column, self.issue
        )
    }
}

/// Reads, completes and checks a configuration.
///
/// # Errors
/// Every fault, in the order of the text.
pub fn load(text: &str, catalogue: &Catalogue, on: Runtime) -> Result<Loaded, Vec<Fault>> {
    let source = Source::parse(text).map_err(|error| {
        let issue = Issue {
            path: Path::root(),
            problem: error.problem,
            hint: String::new(),
        };
        vec![Fault {
            place: error.place,
            issue,
        }]
    })?;
    let (mut document, mut issues) = shape::read(source.json());
    let unresolved = resolve::resolve(&mut document, catalogue);
    add_new(&mut issues, unresolved);
    add_new(&mut issues, zones::describe(&mut document));
    if on == Runtime::Spin {
        add_new(&mut issues, document.placed());
    }
    let compiled = Config::compile(&document);
    let config = compiled.map_err(|found| add_new(&mut issues, found)).ok();
    match config {
        Some(config) if issues.is_empty() => Ok(Loaded { document, config }),
        _ => {
            let mut faults: Vec<Fault> = issues
                .into_iter()
                .map(|issue| Fault {
                    place: source.place(&issue.path),
                    issue,
                })
                .collect();
            faults.sort_by_key(|fault| fault.place);
            Err(faults)
        }
    }
}

/// Adds what does not follow from before: a thing that was cut out, or could not be filled in, is not also missing.
fn add_new(issues: &mut Vec<Issue>, found: Vec<Issue>) {
    let follows = |new: &Issue| issues.iter().any(|issue| touch(&issue.path, &new.path));
    let new: Vec<Issue> = found.into_iter().filter(|issue| !follows(issue)).collect();
    issues.extend(new);
}

/// Whether one place holds the other.
fn touch(one: &Path, other: &Path) -> bool {
    one.steps().iter().zip(other.steps()).all(|(a, b)| a == b)
}
