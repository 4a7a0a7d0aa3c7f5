//! Rows of one object: read from memory where they fit there, written through to SQL.
//!
//! An object is the only one to touch its table and never gives up control between load and commit, so a copy of the
//! table in memory is exact. A table that is too large for that is read from SQL, and stays so until the object starts
//! again. Knows nothing of what the rows mean.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

use sluice_machines::rows::{self, Read, RowError, RowKey, WriteSet};
use thiserror::Error;

/// How large a table is kept in memory, keys, values and [`ROW_BYTES_OVERHEAD`] together.
///
/// Several objects share the 128 MB of one isolate.
pub(crate) const MIRROR_BYTES_MAX: usize = 8 << 20;

/// What a row in memory takes besides its text, about.
pub(crate) const ROW_BYTES_OVERHEAD: usize = 96;

/// Why an object cannot carry out a command. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// The database refused.
    #[error("the database failed: {0}")]
    Sql(String),
    /// A stored row cannot be used.
    #[error(transparent)]
    Row(#[from] RowError),
    /// What was asked is not a command.
    #[error("not a command: {0}")]
    Command(String),
}

/// A table of rows.
pub(crate) trait Table {
    /// The rows with these keys, as far as they exist.
    fn rows(&self, keys: &[&str]) -> Result<Vec<(RowKey, String)>, Failure>;

    /// The first `limit` rows with `after` < key < `before`, in order; none after those with `bytes_max` bytes of text.
    fn range(
        &self,
        after: &str,
        before: &str,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Vec<(RowKey, String)>, Failure>;

    /// The whole table, or `None` when it is larger than `bytes_max`.
    fn all(&self, bytes_max: usize) -> Result<Option<Vec<(RowKey, String)>>, Failure>;

    /// Writes all or nothing.
    fn write(&self, writes: &WriteSet) -> Result<(), Failure>;
}

/// A table with its copy in memory.
#[derive(Debug)]
pub(crate) struct Store<T> {
    table: T,
    mirror: RefCell<Mirror>,
    mirror_bytes_max: usize,
}

#[derive(Debug)]
enum Mirror {
    /// Not loaded yet, or not to be trusted any more.
    Unknown,
    /// The whole table.
    Whole {
        rows: BTreeMap<RowKey, String>,
        bytes: usize,
    },
    /// The table is too large.
    None,
}

impl<T: Table> Store<T> {
    /// A store over this table.
    pub(crate) fn new(table: T, mirror_bytes_max: usize) -> Self {
        Self {
            table,
            mirror: RefCell::new(Mirror::Unknown),
            mirror_bytes_max,
        }
    }

    /// Answers several reads; a row may come twice.
    pub(crate) fn read(&self, reads: &[Read]) -> Result<Vec<(RowKey, String)>, Failure> {
        let mut mirror = self.mirror.borrow_mut();
        if matches!(*mirror, Mirror::Unknown) {
            *mirror = match self.table.all(self.mirror_bytes_max)? {
                Some(rows) => Mirror::whole(rows),
                None => Mirror::None,
            };
        }
        match &*mirror {
            Mirror::Whole { rows, .. } => Ok(reads
                .iter()
                .flat_map(|read| answer(rows, read))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()),
            Mirror::Unknown | Mirror::None => self.ask(reads),
        }
    }

    fn ask(&self, reads: &[Read]) -> Result<Vec<(RowKey, String)>, Failure> {
        let keys = Read::keys(reads);
        let mut found = self.table.rows(&keys)?;
        for read in reads {
            if let Read::Range {
                after,
                before,
                limit,
                bytes_max,
            } = read
            {
                found.extend(self.table.range(after, before, *limit, *bytes_max)?);
            }
        }
        Ok(found)
    }

    /// Writes all or nothing.
    pub(crate) fn commit(&self, writes: &WriteSet) -> Result<(), Failure> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut mirror = self.mirror.borrow_mut();
        if let Err(failure) = self.table.write(writes) {
            *mirror = Mirror::Unknown;
            return Err(failure);
        }
        mirror.apply(writes, self.mirror_bytes_max);
        Ok(())
    }
}

/// The rows that a read names, from the whole table.
fn answer<'a>(table: &'a BTreeMap<RowKey, String>, read: &Read) -> Vec<(&'a RowKey, &'a String)> {
    match read {
        Read::Row(key) => table.get_key_value(key).into_iter().collect(),
        Read::Range {
            after,
            before,
            limit,
            bytes_max,
        } if after < before => table
            .range::<str, _>((
                Bound::Excluded(after.as_str()),
                Bound::Excluded(before.as_str()),
            ))
            .take(usize::try_from(*limit).unwrap_or(usize::MAX))
            .take_while(rows::within(*bytes_max))
            .collect(),
        Read::Range { .. } => Vec::new(),
    }
}

fn row_bytes(key: &str, value: &str) -> usize {
    key.len() + value.len() + ROW_BYTES_OVERHEAD
}

impl Mirror {
    fn whole(rows: Vec<(RowKey, String)>) -> Self {
        let bytes = rows.iter().map(|(key, value)| row_bytes(key, value)).sum();
        Self::Whole {
            rows: rows.into_iter().collect(),
            bytes,
        }
    }

    fn apply(&mut self, writes: &WriteSet, bytes_max: usize) {
        let Self::Whole { rows, bytes } = self else {
            return;
        };
        for (key, value) in writes.iter() {
            let before = match value {
                Some(value) => {
                    *bytes += row_bytes(key, value);
                    rows.insert(key.to_owned(), value.to_owned())
                }
                None => rows.remove(key),
            };
            if let Some(before) = before {
                *bytes -= row_bytes(key, &before);
            }
        }
        if *bytes > bytes_max {
            *self = Self::None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A table in memory that counts how often it is read and fails when it is told to.
    #[derive(Default)]
    struct Fake {
        rows: RefCell<BTreeMap<RowKey, String>>,
        reads: Cell<u32>,
        broken: Cell<bool>,
    }

    impl Table for &Fake {
        fn rows(&self, keys: &[&str]) -> Result<Vec<(RowKey, String)>, Failure> {
            self.reads.set(self.reads.get() + 1);
            let rows = self.rows.borrow();
            Ok(keys
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), rows.get(*key)?.clone())))
                .collect())
        }

        fn range(
            &self,
            after: &str,
            before: &str,
            limit: u32,
            bytes_max: usize,
        ) -> Result<Vec<(RowKey, String)>, Failure> {
            self.reads.set(self.reads.get() + 1);
            let within = |key: &str| after < key && key < before;
            Ok(self
                .rows
                .borrow()
                .iter()
                .filter(|(key, _)| within(key))
                .take(limit as usize)
                .take_while(rows::within(bytes_max))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect())
        }

        fn all(&self, bytes_max: usize) -> Result<Option<Vec<(RowKey, String)>>, Failure> {
            self.reads.set(self.reads.get() + 1);
            let rows = self.rows.borrow();
            let bytes: usize = rows.iter().map(|(key, value)| row_bytes(key, value)).sum();
            Ok((bytes <= bytes_max).then(|| rows.clone().into_iter().collect()))
        }

        fn write(&self, writes: &WriteSet) -> Result<(), Failure> {
            if self.broken.get() {
                return Err(Failure::Sql("broken".to_owned()));
            }
            let mut rows = self.rows.borrow_mut();
            for (key, value) in writes.iter() {
                match value {
                    Some(value) => rows.insert(key.to_owned(), value.to_owned()),
                    None => rows.remove(key),
                };
            }
            Ok(())
        }
    }

    fn writes(rows: &[(&str, Option<&str>)]) -> WriteSet {
        let mut set = WriteSet::new();
        for (key, value) in rows {
            match value {
                Some(value) => set.put((*key).to_owned(), (*value).to_owned()),
                None => set.delete((*key).to_owned()),
            }
        }
        set
    }

    fn every_read() -> Vec<Read> {
        vec![
            Read::Row("a/1".to_owned()),
            Read::Row("missing".to_owned()),
            Read::prefix("a/", 2),
            Read::prefix("b/", 10),
            Read::prefix_after("a/", "a/1", 10),
            Read::Range {
                after: "z".to_owned(),
                before: "a".to_owned(),
                limit: 10,
                bytes_max: 10,
            },
            Read::Range {
                after: "a".to_owned(),
                before: "z".to_owned(),
                limit: 10,
                bytes_max: 4,
            },
        ]
    }

    #[test]
    fn memory_and_sql_answer_alike() {
        let fake = Fake::default();
        let mirrored = Store::new(&fake, MIRROR_BYTES_MAX);
        let plain = Store::new(&fake, 0);
        for step in [
            &[
                ("a/1", Some("one")),
                ("a/2", Some("two")),
                ("b/1", Some("b")),
            ][..],
            &[("a/3", Some("three")), ("a/1", Some("one again"))],
            &[("a/2", None), ("c", Some("c"))],
            &[],
        ] {
            mirrored.commit(&writes(step)).unwrap();
            assert_eq!(
                mirrored.read(&every_read()),
                plain.read(&every_read()),
                "{step:?}"
            );
        }
    }

    #[test]
    fn a_table_that_fits_is_read_once() {
        let fake = Fake::default();
        let store = Store::new(&fake, MIRROR_BYTES_MAX);
        for round in 0..10 {
            let value = format!("{round}");
            store.commit(&writes(&[("a/1", Some(&value))])).unwrap();
            assert_eq!(
                store.read(&[Read::Row("a/1".to_owned())]).unwrap()[0].1,
                value
            );
        }
        assert_eq!(fake.reads.get(), 1);
    }

    #[test]
    fn a_table_that_outgrows_memory_is_read_from_sql() {
        let fake = Fake::default();
        let store = Store::new(&fake, 2 * ROW_BYTES_OVERHEAD + 10);
        store.read(&[]).unwrap();
        store
            .commit(&writes(&[("a/1", Some("1")), ("a/2", Some("2"))]))
            .unwrap();
        store.commit(&writes(&[("a/3", Some("3"))])).unwrap();
        let found = store.read(&[Read::prefix("a/", 10)]).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(fake.reads.get(), 3, "whole, rows, range");
    }

    #[test]
    fn rewriting_a_row_does_not_fill_the_memory() {
        let fake = Fake::default();
        let store = Store::new(&fake, 2 * ROW_BYTES_OVERHEAD);
        store.read(&[]).unwrap();
        for _ in 0..100 {
            store.commit(&writes(&[("a/1", Some("1"))])).unwrap();
            store.commit(&writes(&[("a/1", None)])).unwrap();
        }
        store.read(&[Read::Row("a/1".to_owned())]).unwrap();
        assert_eq!(fake.reads.get(), 1);
    }

    #[test]
    fn a_failed_commit_leaves_what_the_table_holds() {
        let fake = Fake::default();
        let store = Store::new(&fake, MIRROR_BYTES_MAX);
        store.commit(&writes(&[("a/1", Some("1"))])).unwrap();
        fake.broken.set(true);
        store.commit(&writes(&[("a/1", Some("2"))])).unwrap_err();
        let found = store.read(&[Read::Row("a/1".to_owned())]).unwrap();
        assert_eq!(found, [("a/1".to_owned(), "1".to_owned())]);
    }
}
