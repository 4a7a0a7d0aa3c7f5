//! Rows in, writes out: the only way in which a machine touches storage.

use std::collections::BTreeMap;

/// A row's name, such as `scope/team/search`. Unique within one object.
pub type RowKey = String;

/// The rows that a command asked for. A row that does not exist is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows(BTreeMap<RowKey, String>);

/// What a command changes: rows to write (versioned JSON text) and rows to delete, all or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteSet(BTreeMap<RowKey, Option<String>>);

impl Rows {
    /// No rows.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a row that was read.
    pub fn insert(&mut self, key: RowKey, value: String) {
        self.0.insert(key, value);
    }

    /// A row's text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The rows whose names begin with `prefix`, in order.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Takes over a set of writes, as a commit does.
    pub fn apply(&mut self, writes: &WriteSet) {
        for (key, value) in &writes.0 {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
    }
}

impl WriteSet {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Writes a row.
    pub fn put(&mut self, key: RowKey, value: String) {
        self.0.insert(key, Some(value));
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: RowKey) {
        self.0.insert(key, None);
    }

    /// Nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The writes in order: `None` deletes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
    }
}
