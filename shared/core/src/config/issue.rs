//! What is wrong with a document, and where.
//!
//! A place is a path of names and indexes, as TOML would write it. Whoever has the source text maps it to a line.

use std::fmt;

use serde::{Serialize, Serializer};

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A name in a table.
    Name(String),
    /// A place in an array, from 0.
    Index(usize),
}

/// A place in a document: `orgs.acme.teams.search.budgets[0].usd`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(Vec<Step>);

impl Path {
    /// The document itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The place of that name within this one.
    #[must_use]
    pub fn name(&self, name: &str) -> Self {
        self.with(Step::Name(name.to_owned()))
    }

    /// The place of that index within this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The steps, outermost first.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// A place in a document while it is looked at: borrowed, and made a [`Path`] only where something is wrong there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trail<'a> {
    /// The document itself.
    Root,
    /// A name within a place.
    Name(&'a Self, &'a str),
    /// An index within a place.
    Index(&'a Self, usize),
}

impl Trail<'_> {
    /// The place of that name within this one.
    pub(super) const fn name<'a>(&'a self, name: &'a str) -> Trail<'a> {
        Trail::Name(self, name)
    }

    /// The place of that index within this one.
    pub(super) const fn index(&self, index: usize) -> Trail<'_> {
        Trail::Index(self, index)
    }

    /// The place by itself.
    pub(super) fn path(&self) -> Path {
        match self {
            Self::Root => Path::root(),
            Self::Name(before, name) => before.path().name(name),
            Self::Index(before, index) => before.path().index(*index),
        }
    }
}

impl FromIterator<Step> for Path {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for step in &self.0 {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Name(name) => {
                    if !first {
                        f.write_str(".")?;
                    }
                    if is_bare(name) {
                        f.write_str(name)?;
                    } else {
                        write!(f, "{name:?}")?;
                    }
                }
            }
            first = false;
        }
        Ok(())
    }
}

fn is_bare(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// One thing that is wrong with a document. Never holds a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// Where.
    #[serde(serialize_with = "as_text")]
    pub path: Path,
    /// What is wrong.
    pub problem: String,
    /// What is allowed instead; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}

/// `providers.openai.key: is not the name of a secret; write …`.
impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.steps().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// The issues found so far.
#[derive(Debug, Default)]
pub(super) struct Issues(Vec<Issue>);

impl Issues {
    pub(super) fn add(
        &mut self,
        path: &Trail<'_>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.0.push(Issue {
            path: path.path(),
            problem: problem.into(),
            hint: hint.into(),
        });
    }

    pub(super) fn push(&mut self, issue: Issue) {
        self.0.push(issue);
    }

    pub(super) fn finish(self) -> Vec<Issue> {
        self.0
    }
}
