//! Rows in SQLite: one table for all objects, and one for their inboxes.
//!
//! A commit is one statement, which writes nothing unless the object's version is the one that was read; one that
//! empties an inbox, and a try that waits for its turn, take the database's write lock first, in a transaction. No call
//! here gives up control to another request of the instance, so nothing else is done on its connection meanwhile.
//!
//! An entry of an inbox goes behind the last one of its object, into the same page as long as there is room: each
//! instance has a connection of its own, which forgets its pages whenever another one writes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sluice_machines::inbox::PREFIX;
use sluice_machines::rows::{RANGE_BYTES_MAX, Read, WriteSet};

use self::binding::spin::sqlite::sqlite::{Connection, Error, Value};
use super::{Failure, Manner, Place, Seen, Store, Try, Version};
use crate::clock;

/// The part of the interface that answers without a stream: a fifth of the cost, and an instance that holds the write
/// lock gives up control to nobody, so two requests of one instance cannot wait for each other.
mod binding {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        world: "user",
        inline: "
            package spin:sqlite@3.1.0;
            interface sqlite {
                resource connection {
                    open: static func(database: string) -> result<connection, error>;
                    execute: func(statement: string, parameters: list<value>) -> result<query-result, error>;
                }
                variant error {
                    no-such-database,
                    access-denied,
                    invalid-connection,
                    database-full,
                    io(string),
                }
                record query-result {
                    columns: list<string>,
                    rows: list<row-result>,
                }
                record row-result {
                    values: list<value>,
                }
                variant value {
                    integer(s64),
                    real(f64),
                    text(string),
                    blob(list<u8>),
                    null,
                }
            }
            world user {
                import sqlite;
            }
        ",
    });
}

/// The database in the application's manifest.
const DATABASE: &str = "default";
/// The row that holds the version; no machine has a row without a name.
const VERSION_KEY: &str = "";
/// What the database says before anybody has written.
const NO_TABLE: &str = "no such table";

/// Made when they are first missed. Rows that are written as nothing go, so that a commit is one statement.
const SCHEMA: [&str; 5] = [
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE IF NOT EXISTS rows (object TEXT NOT NULL, key TEXT NOT NULL, value TEXT, \
     PRIMARY KEY (object, key)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS inbox (id INTEGER PRIMARY KEY, object TEXT NOT NULL, value TEXT NOT NULL)",
    "CREATE TRIGGER IF NOT EXISTS rows_updated AFTER UPDATE ON rows WHEN new.value IS NULL \
     BEGIN DELETE FROM rows WHERE object = new.object AND key = new.key; END",
    "CREATE TRIGGER IF NOT EXISTS rows_inserted AFTER INSERT ON rows WHEN new.value IS NULL \
     BEGIN DELETE FROM rows WHERE object = new.object AND key = new.key; END",
];

/// The version, and the rows with the keys of a list.
const SELECT: &str = "SELECT key, value FROM rows WHERE object = ?1 AND key = '' \
     UNION ALL SELECT key, value FROM rows WHERE object = ?1 AND key IN (SELECT value FROM json_each(?2))";

/// Writes all rows of an object if the version is the one that was seen, or nothing; returns as many rows as it wrote.
const WRITE: &str = "INSERT INTO rows (object, key, value) SELECT ?1, key, value FROM json_each(?3) \
     WHERE coalesce((SELECT value FROM rows WHERE object = ?1 AND key = ''), '0') = ?2 \
     ON CONFLICT (object, key) DO UPDATE SET value = excluded.value RETURNING 1";

/// Adds an entry to the inbox of the object `?2`, whose entries lie behind `?1`; not where one lay lately, which `?4` sees
/// to. There is room for as many places as [`SHELF_BITS`] tell.
const PUT: &str = "INSERT INTO inbox (id, object, value) VALUES (max(?4, 1 + coalesce((SELECT id FROM inbox \
     WHERE id > ?1 AND id < ?1 + 4398046511104 ORDER BY id DESC LIMIT 1), ?1)), ?2, ?3) RETURNING id";

/// Where the first entry lies.
const OLDEST: &str = "SELECT id FROM inbox WHERE id > ?1 AND id < ?1 + 4398046511104 AND object = ?2 ORDER BY id LIMIT 1";

/// Takes entries out of an inbox.
const TAKE: &str = "DELETE FROM inbox WHERE id IN (SELECT value FROM json_each(?1))";

/// The embedded store.
#[derive(Default)]
pub(crate) struct Sqlite {
    shared: RefCell<Option<Rc<Connection>>>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sqlite")
    }
}

/// One try.
pub(crate) struct SqliteTry<'a> {
    connection: Rc<Connection>,
    object: &'a str,
    /// The connection is in a transaction of this try, and holds the write lock.
    is_locked: bool,
}

impl Drop for SqliteTry<'_> {
    fn drop(&mut self) {
        if self.is_locked {
            // What fails here has ended with the connection.
            let _ = execute(&self.connection, "ROLLBACK", Vec::new());
        }
    }
}

impl Sqlite {
    fn shared(&self) -> Result<Rc<Connection>, Failure> {
        if let Some(connection) = self.shared.borrow().as_ref() {
            return Ok(Rc::clone(connection));
        }
        let connection = Rc::new(open()?);
        self.shared.replace(Some(Rc::clone(&connection)));
        Ok(connection)
    }
}

fn open() -> Result<Connection, Failure> {
    Connection::open(DATABASE).map_err(|error| match error {
        Error::AccessDenied | Error::NoSuchDatabase => Failure::NoStore(
            "this platform gives the component no SQLite database, and limits and budgets are exact only with one, or with Redis: set the variable sluice_store to redis://…".to_owned(),
        ),
        error => refused(&error),
    })
}

fn refused(error: &Error) -> Failure {
    Failure::Store(match error {
        Error::Io(detail) => detail.clone(),
        error => error.to_string(),
    })
}

/// Runs a statement and returns its rows' cells, in order.
fn execute(
    connection: &Connection,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Vec<Value>>, Error> {
    let found = connection.execute(statement, &parameters)?;
    Ok(found.rows.into_iter().map(|row| row.values).collect())
}

/// The same; makes the table when it is missing.
fn ask(
    connection: &Connection,
    statement: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Vec<Value>>, Failure> {
    match execute(connection, statement, parameters.clone()) {
        Err(Error::Io(detail)) if detail.contains(NO_TABLE) => {
            for statement in SCHEMA {
                execute(connection, statement, Vec::new()).map_err(|error| refused(&error))?;
            }
            execute(connection, statement, parameters)
        }
        outcome => outcome,
    }
    .map_err(|error| refused(&error))
}

fn text(cell: Value) -> Option<String> {
    match cell {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn first_number(rows: Vec<Vec<Value>>) -> Option<i64> {
    match rows.into_iter().flatten().next() {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    }
}

impl Store for Sqlite {
    type Try<'a> = SqliteTry<'a>;

    async fn begin<'a>(
        &'a self,
        object: &'a str,
        manner: Manner,
    ) -> Result<SqliteTry<'a>, Failure> {
        let is_locked = manner != Manner::Straight;
        let connection = self.shared()?;
        if is_locked {
            ask(&connection, "BEGIN IMMEDIATE", Vec::new())?;
        }
        Ok(SqliteTry {
            connection,
            object,
            is_locked,
        })
    }

    async fn put(&self, object: &str, value: &str) -> Result<Place, Failure> {
        let shelf = shelf(object);
        let fresh = shelf | clock::now().as_micros().div_euclid(1_000);
        let parameters = vec![
            Value::Integer(shelf),
            Value::Text(object.to_owned()),
            Value::Text(value.to_owned()),
            Value::Integer(fresh),
        ];
        let connection = self.shared()?;
        let rows = ask(&connection, PUT, parameters)?;
        Ok(first_number(rows).unwrap_or(fresh))
    }

    async fn oldest(&self, object: &str) -> Result<Place, Failure> {
        let object_text = Value::Text(object.to_owned());
        let parameters = vec![Value::Integer(shelf(object)), object_text];
        let connection = self.shared()?;
        let rows = ask(&connection, OLDEST, parameters)?;
        Ok(first_number(rows).unwrap_or(Place::MAX))
    }

    async fn objects(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let statement = "SELECT object FROM rows WHERE key = '' AND substr(object, 1, length(?1)) = ?1 ORDER BY object";
        let connection = self.shared()?;
        let rows = ask(&connection, statement, vec![Value::Text(prefix.to_owned())])?;
        Ok(rows.into_iter().flatten().filter_map(text).collect())
    }
}

impl Try for SqliteTry<'_> {
    async fn read(&mut self, reads: &[Read]) -> Result<Seen, Failure> {
        let (statement, parameters) = select(self.object, reads)?;
        let rows = ask(&self.connection, &statement, parameters)?;
        let mut version = 0;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let mut cells = row.into_iter().filter_map(text);
            match (cells.next(), cells.next()) {
                (Some(key), Some(value)) if key == VERSION_KEY => {
                    version = value.parse().unwrap_or_default();
                }
                (Some(key), Some(value)) => found.push((key, value)),
                _ => {}
            }
        }
        Ok(Seen::Now(version, found))
    }

    async fn commit(mut self, seen: Version, writes: &WriteSet) -> Result<bool, Failure> {
        let (parameters, taken) = written(self.object, seen, writes)?;
        if taken.is_some() && !self.is_locked {
            ask(&self.connection, "BEGIN IMMEDIATE", Vec::new())?;
            self.is_locked = true;
        }
        let changed = ask(&self.connection, WRITE, parameters)?;
        if changed.is_empty() {
            return Ok(false);
        }
        if let Some(taken) = taken {
            ask(&self.connection, TAKE, vec![taken])?;
        }
        if self.is_locked {
            ask(&self.connection, "COMMIT", Vec::new())?;
            self.is_locked = false;
        }
        Ok(true)
    }

    async fn end(self) -> Result<(), Failure> {
        Ok(())
    }
}

/// One statement for all reads, so that they see one state, and the same one for any rows: it is compiled once.
fn select(object: &str, reads: &[Read]) -> Result<(String, Vec<Value>), Failure> {
    let keys = Read::keys(reads);
    let keys = serde_json::to_string(&keys).map_err(|error| unwritable(&error))?;
    let mut parameters = vec![Value::Text(object.to_owned()), Value::Text(keys)];
    let mut statement = SELECT.to_owned();
    for read in reads {
        if let Read::Range {
            after,
            before,
            limit,
            bytes_max,
        } = read
        {
            if after == PREFIX {
                parameters.push(Value::Integer(shelf(object)));
                let shelf = parameters.len();
                statement.push_str(&format!(
                    " UNION ALL SELECT * FROM (SELECT printf('{PREFIX}%016x', id), value FROM inbox \
                     WHERE id > ?{shelf} AND id < ?{shelf} + 4398046511104 AND object = ?1 ORDER BY id LIMIT {limit})"
                ));
                continue;
            }
            parameters.push(Value::Text(after.clone()));
            parameters.push(Value::Text(before.clone()));
            let last = parameters.len();
            let first = last.saturating_sub(1);
            let rows = format!(
                "(SELECT key, value FROM rows WHERE object = ?1 AND key > ?{first} AND key < ?{last} \
                 ORDER BY key LIMIT {limit})"
            );
            statement.push_str(&if *bytes_max < RANGE_BYTES_MAX {
                format!(
                    " UNION ALL SELECT key, value FROM (SELECT key, value, \
                     SUM(LENGTH(value)) OVER (ORDER BY key) - LENGTH(value) AS before FROM {rows}) \
                     WHERE before < {bytes_max}"
                )
            } else {
                format!(" UNION ALL SELECT * FROM {rows}")
            });
        }
    }
    Ok((statement, parameters))
}

/// What [`WRITE`] is to write: the next version, and all rows; and what [`TAKE`] is to take, if anything.
fn written(
    object: &str,
    seen: Version,
    writes: &WriteSet,
) -> Result<(Vec<Value>, Option<Value>), Failure> {
    let next = seen.saturating_add(1).to_string();
    let mut rows = BTreeMap::from([(VERSION_KEY, Some(next.as_str()))]);
    let mut taken = Vec::new();
    for (key, value) in writes.iter() {
        match key.strip_prefix(PREFIX) {
            Some(id) => taken.extend(i64::from_str_radix(id, 16)),
            None => drop(rows.insert(key, value)),
        }
    }
    let rows = serde_json::to_string(&rows).map_err(|error| unwritable(&error))?;
    let parameters = vec![
        Value::Text(object.to_owned()),
        Value::Text(seen.to_string()),
        Value::Text(rows),
    ];
    let taken = (!taken.is_empty()).then(|| serde_json::to_string(&taken));
    let taken = taken.transpose().map_err(|error| unwritable(&error))?;
    Ok((parameters, taken.map(Value::Text)))
}

/// How many bits tell the milliseconds since 1970 for as long as anybody will ask.
const SHELF_BITS: u32 = 42;

/// Behind what number the entries of an object's inbox lie, together. Others may have the same.
fn shelf(object: &str) -> i64 {
    let hash = object.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    i64::from(hash >> (u32::BITS + SHELF_BITS - (i64::BITS - 1))) << SHELF_BITS
}

fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::Store(error.to_string())
}
