//! Rows in, writes out: the only way in which a machine touches storage.
//!
//! A row is a key and a versioned JSON text (`{"v":1,…}`); keys are compared byte by byte, as SQLite compares text.
//! Knows nothing of what the rows mean.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Bound;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A row's name, such as `s/team/search`. Unique within one object.
pub type RowKey = String;

/// How long the texts of a range are together, unless the read says otherwise: far more than any has.
pub const RANGE_BYTES_MAX: usize = 64 << 20;

/// What a command needs to see before it can be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The row with this key, if there is one.
    Row(RowKey),
    /// The first `limit` rows, in the order of their keys, with `after` < key < `before`; and none after those whose
    /// texts have `bytes_max` bytes together. A store may count characters, of which there are never more.
    Range {
        /// Keys greater than this one.
        after: RowKey,
        /// Keys smaller than this one.
        before: RowKey,
        /// At most so many.
        limit: u32,
        /// No further one once their texts are this long.
        bytes_max: usize,
    },
}

/// The rows that a command asked for. A row that does not exist is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows(BTreeMap<RowKey, String>);

/// What a command changes: rows to write (versioned JSON text) and rows to delete, all or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteSet(BTreeMap<RowKey, Option<String>>);

/// A stored row is not what this code writes. Nothing may be decided on it: the command fails, nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the row {key} cannot be used: {detail}")]
pub struct RowError {
    /// The row.
    pub key: RowKey,
    /// What is wrong with it.
    pub detail: String,
}

impl Read {
    /// The first `limit` rows whose keys begin with `prefix`, which ends with `/`.
    #[must_use]
    pub fn prefix(prefix: &str, limit: u32) -> Self {
        Self::prefix_after(prefix, prefix, limit)
    }

    /// The same, of those after the key `after`.
    #[must_use]
    pub fn prefix_after(prefix: &str, after: &str, limit: u32) -> Self {
        debug_assert!(prefix.ends_with('/'), "a prefix ends with a slash");
        // `0` is the character after `/`.
        let before = format!("{}0", prefix.strip_suffix('/').unwrap_or(prefix));
        Self::Range {
            after: after.to_owned(),
            before,
            limit,
            bytes_max: RANGE_BYTES_MAX,
        }
    }

    /// The single rows among these reads.
    #[must_use]
    pub fn keys(reads: &[Self]) -> Vec<&str> {
        reads
            .iter()
            .filter_map(|read| match read {
                Self::Row(key) => Some(key.as_str()),
                Self::Range { .. } => None,
            })
            .collect()
    }
}

/// Whether a row still belongs to a range that is over once its texts have so many bytes together.
pub fn within<'a>(bytes_max: usize) -> impl FnMut(&(&'a RowKey, &'a String)) -> bool {
    let mut bytes = 0_usize;
    move |(_, value)| {
        let is_within = bytes < bytes_max;
        bytes = bytes.saturating_add(value.len());
        is_within
    }
}

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
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Answers a read as a store does, when these rows are the whole store.
    #[must_use]
    pub fn answer(&self, read: &Read) -> Vec<(RowKey, String)> {
        match read {
            Read::Row(key) => self
                .get(key)
                .map(|value| (key.clone(), value.to_owned()))
                .into_iter()
                .collect(),
            Read::Range {
                after,
                before,
                limit,
                bytes_max,
            } => self
                .0
                .range::<str, _>((Bound::Excluded(after.as_str()), Bound::Unbounded))
                .take_while(|(key, _)| *key < before)
                .take(usize::try_from(*limit).unwrap_or(usize::MAX))
                .take_while(within(*bytes_max))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        }
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

impl Extend<(RowKey, String)> for Rows {
    fn extend<I: IntoIterator<Item = (RowKey, String)>>(&mut self, rows: I) {
        self.0.extend(rows);
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

/// A row that many commands of one batch look at or change: read once, and written once if it was changed.
pub(crate) trait Hot: Any {
    /// Its text.
    fn encode(&self) -> Result<String, serde_json::Error>;

    /// Itself, to be changed as what it is.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Any + Serialize> Hot for T {
    fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// A hot row in memory.
struct Kept {
    row: Box<dyn Hot>,
    is_changed: bool,
}

/// Rows with the writes of the commands that were decided before on top.
pub(crate) struct Work<'a> {
    base: &'a Rows,
    writes: WriteSet,
    /// Hundreds where many commands travel together, in no order.
    hot: BTreeMap<RowKey, Kept>,
    /// Nobody else can be asked.
    pub(crate) is_alone: bool,
}

impl<'a> Work<'a> {
    pub(crate) const fn new(base: &'a Rows) -> Self {
        Self {
            base,
            writes: WriteSet::new(),
            hot: BTreeMap::new(),
            is_alone: false,
        }
    }

    /// The rows as they were read.
    pub(crate) const fn base(&self) -> &'a Rows {
        self.base
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.writes.0.get(key) {
            Some(written) => written.as_deref(),
            None => self.base.get(key),
        }
    }

    /// A row as it stands after the writes so far.
    pub(crate) fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, RowError> {
        self.text(key).map(|text| decode(key, text)).transpose()
    }

    pub(crate) fn put<T: Serialize>(&mut self, key: RowKey, row: &T) -> Result<(), RowError> {
        let text = serde_json::to_string(row).map_err(|error| RowError {
            key: key.clone(),
            detail: error.to_string(),
        })?;
        self.writes.put(key, text);
        Ok(())
    }

    /// A row to look at, its default when there is none. Once looked at or changed, a row is only ever a hot one of
    /// this type, or deleted.
    pub(crate) fn hot<T: Any + Default + Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<&T, RowError> {
        self.kept::<T>(key).map(|(row, _)| &*row)
    }

    /// A row to change, its default when there is none; its text is made when all commands are decided.
    pub(crate) fn hot_mut<T: Any + Default + Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<&mut T, RowError> {
        self.kept::<T>(key).map(|(row, is_changed)| {
            *is_changed = true;
            row
        })
    }

    fn kept<T: Any + Default + Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<(&mut T, &mut bool), RowError> {
        if !self.hot.contains_key(key) {
            let row: T = self.load(key)?.unwrap_or_default();
            let kept = Kept {
                row: Box::new(row),
                is_changed: false,
            };
            self.hot.insert(key.to_owned(), kept);
        }
        self.hot
            .get_mut(key)
            .and_then(|kept| {
                let row: &mut dyn Hot = kept.row.as_mut();
                Some((row.as_any_mut().downcast_mut::<T>()?, &mut kept.is_changed))
            })
            .ok_or_else(|| RowError {
                key: key.to_owned(),
                detail: "it is of another kind".to_owned(),
            })
    }

    /// Whether the row is there, after the writes so far.
    pub(crate) fn has(&self, key: &str) -> bool {
        match self.hot.get(key) {
            Some(kept) if kept.is_changed => true,
            _ => self.text(key).is_some(),
        }
    }

    /// Deletes a row that was read or written before.
    pub(crate) fn delete(&mut self, key: &str) {
        self.hot.remove(key);
        if self.base.get(key).is_some() {
            self.writes.delete(key.to_owned());
        } else {
            self.writes.0.remove(key);
        }
    }

    /// Deletes a row that may exist although it was not read.
    pub(crate) fn delete_unread(&mut self, key: RowKey) {
        self.writes.delete(key);
    }

    /// The rows as they would be after a commit.
    pub(crate) fn snapshot(&self) -> Result<Rows, RowError> {
        let mut rows = self.base.clone();
        rows.apply(&self.writes);
        for (key, kept) in self.changed() {
            rows.insert(key.clone(), text_of(key, kept.row.as_ref())?);
        }
        Ok(rows)
    }

    fn changed(&self) -> impl Iterator<Item = (&RowKey, &Kept)> {
        self.hot.iter().filter(|(_, kept)| kept.is_changed)
    }

    /// All writes.
    ///
    /// # Errors
    /// [`RowError`] when a hot row has no text.
    pub(crate) fn finish(mut self) -> Result<WriteSet, RowError> {
        for (key, kept) in std::mem::take(&mut self.hot) {
            if kept.is_changed {
                let text = text_of(&key, kept.row.as_ref())?;
                self.writes.put(key, text);
            }
        }
        Ok(self.writes)
    }
}

fn text_of(key: &str, row: &dyn Hot) -> Result<String, RowError> {
    row.encode().map_err(|error| RowError {
        key: key.to_owned(),
        detail: error.to_string(),
    })
}

/// Reads a row's text.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, RowError> {
    sluice_units::json::from_slice(text.as_bytes()).map_err(|error| RowError {
        key: key.to_owned(),
        detail: error.to_string(),
    })
}

/// The number 1: the version of every row so far. Any other number does not decode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct V1;

impl Serialize for V1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for V1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "its version is {other}; this code knows version 1"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(keys: &[&str]) -> Rows {
        let mut rows = Rows::new();
        rows.extend(keys.iter().map(|key| ((*key).to_owned(), String::new())));
        rows
    }

    #[test]
    fn a_prefix_reads_its_own_rows_alone() {
        let rows = store(&["a/1", "b", "b/1", "b/2", "b/3", "b0", "c/1"]);
        let keys = |read: &Read| -> Vec<RowKey> {
            rows.answer(read).into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(&Read::prefix("b/", 9)), ["b/1", "b/2", "b/3"]);
        assert_eq!(keys(&Read::prefix("b/", 2)), ["b/1", "b/2"]);
        assert_eq!(keys(&Read::prefix_after("b/", "b/1", 1)), ["b/2"]);
        assert_eq!(keys(&Read::Row("b".to_owned())), ["b"]);
    }

    #[test]
    fn a_row_of_another_version_is_refused() {
        #[derive(Debug, Deserialize)]
        struct Row {
            #[expect(dead_code, reason = "only its decoding is of interest")]
            v: V1,
        }
        assert!(decode::<Row>("k", r#"{"v":1}"#).is_ok());
        let error = decode::<Row>("k", r#"{"v":2}"#).unwrap_err();
        assert!(error.detail.contains("its version is 2"), "{error}");
    }
}
