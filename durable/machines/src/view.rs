//! What one try at a command has seen of rows that others write too: all at one version.
//!
//! Rows are read in rounds, because some of them name others. A commit raises the version, and what was read at another
//! one does not go with the rest; nothing that was read is read again. So rows that are added without a commit, between
//! one round and the next, are seen by the next try.
//!
//! Knows nothing of what the rows mean, nor of how they are read.

use std::collections::BTreeSet;

use crate::rows::{Read, RowError, RowKey, Rows};

/// How many commits an object has seen.
pub type Version = u64;

/// The rows that a round of reads found.
pub type Found = Vec<(RowKey, String)>;

/// Why rows could not be loaded.
#[derive(Debug)]
pub enum Stop {
    /// These must be read first.
    Missing(Vec<Read>),
    /// A stored row cannot be used.
    Row(RowError),
}

impl From<RowError> for Stop {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

/// What a try has seen so far.
#[derive(Debug, Default)]
pub struct View {
    version: Option<Version>,
    keys: BTreeSet<RowKey>,
    ranges: Vec<Read>,
    found: Rows,
}

impl View {
    /// The version at which all of it stands.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version.unwrap_or_default()
    }

    /// Whether what is seen at this version goes with the rest.
    pub fn is_at(&mut self, version: Version) -> bool {
        *self.version.get_or_insert(version) == version
    }

    /// Takes over what these reads found.
    pub fn add(&mut self, reads: Vec<Read>, found: Found) {
        for read in reads {
            match read {
                Read::Row(key) => drop(self.keys.insert(key)),
                range @ Read::Range { .. } => self.ranges.push(range),
            }
        }
        self.found.extend(found);
    }

    fn has_seen(&self, read: &Read) -> bool {
        match read {
            Read::Row(key) => self.keys.contains(key),
            range @ Read::Range { .. } => self.ranges.contains(range),
        }
    }

    /// The rows that are asked for.
    ///
    /// # Errors
    /// [`Stop::Missing`] when some of them have not been seen.
    pub fn answer(&self, reads: &[Read]) -> Result<Found, Stop> {
        let missing = reads.iter().filter(|read| !self.has_seen(read));
        let missing: Vec<Read> = missing.cloned().collect();
        if !missing.is_empty() {
            return Err(Stop::Missing(missing));
        }
        let answers = reads.iter().map(|read| self.found.answer(read));
        Ok(answers.flatten().collect())
    }
}
