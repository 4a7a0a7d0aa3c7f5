//! The interface of SQLite databases, over files of the state folder: the part that answers without a stream.
//!
//! As in Spin a statement runs on a thread of its own, and its instance waits for it without doing anything else.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::types::{Value as Cell, ValueRef};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

use crate::host::Host;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum SqliteError {
    #[component(name = "no-such-database")]
    NoSuchDatabase,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "invalid-connection")]
    InvalidConnection,
    #[component(name = "database-full")]
    DatabaseFull,
    #[component(name = "io")]
    Io(String),
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum Value {
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "real")]
    Real(f64),
    #[component(name = "text")]
    Text(String),
    #[component(name = "blob")]
    Blob(Vec<u8>),
    #[component(name = "null")]
    Null,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Row {
    values: Vec<Value>,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct QueryResult {
    columns: Vec<String>,
    rows: Vec<Row>,
}

type Outcome<T> = std::result::Result<T, SqliteError>;

/// A connection of an instance.
type Shared = Arc<Mutex<Connection>>;

fn io(error: impl std::fmt::Display) -> SqliteError {
    SqliteError::Io(error.to_string())
}

/// Offers the interface.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    let mut instance = linker.instance("spin:sqlite/sqlite@3.1.0")?;
    instance.resource(
        "connection",
        ResourceType::host::<Shared>(),
        |mut store, rep| {
            store
                .data_mut()
                .table
                .delete(Resource::<Shared>::new_own(rep))?;
            Ok(())
        },
    )?;
    instance.func_wrap(
        "[static]connection.open",
        |mut store: StoreContextMut<'_, Host>, (name,): (String,)| {
            Ok((open(store.data_mut(), &name),))
        },
    )?;
    instance.func_wrap_async(
        "[method]connection.execute",
        |mut store: StoreContextMut<'_, Host>,
         (connection, statement, parameters): (Resource<Shared>, String, Vec<Value>)| {
            let shared = store.data_mut().table.get(&connection).map(Arc::clone);
            Box::new(async move {
                let Ok(shared) = shared else {
                    return Ok((Err(SqliteError::InvalidConnection),));
                };
                let work = move || {
                    let connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    execute(&connection, &statement, parameters)
                };
                let done = tokio::task::spawn_blocking(work).await;
                Ok((done.unwrap_or_else(|error| Err(io(error))),))
            })
        },
    )
}

fn open(host: &mut Host, name: &str) -> Outcome<Resource<Shared>> {
    let granted = &host.application.manifest.sqlite_databases;
    if !granted.iter().any(|granted| granted == name) {
        return Err(SqliteError::AccessDenied);
    }
    let file = host.application.state.join(format!("sqlite_{name}.db"));
    let connection = Connection::open(file).map_err(io)?;
    let shared = Arc::new(Mutex::new(connection));
    host.table.push(shared).map_err(io)
}

fn execute(
    connection: &Connection,
    statement: &str,
    parameters: Vec<Value>,
) -> Outcome<QueryResult> {
    let mut prepared = connection.prepare_cached(statement).map_err(io)?;
    let columns: Vec<String> = prepared
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let parameters = parameters.into_iter().map(|value| match value {
        Value::Integer(number) => Cell::Integer(number),
        Value::Real(number) => Cell::Real(number),
        Value::Text(text) => Cell::Text(text),
        Value::Blob(bytes) => Cell::Blob(bytes),
        Value::Null => Cell::Null,
    });
    let mut found = prepared
        .query(rusqlite::params_from_iter(parameters))
        .map_err(io)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(io)? {
        let mut values = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            values.push(match row.get_ref(column).map_err(io)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            });
        }
        rows.push(Row { values });
    }
    Ok(QueryResult { columns, rows })
}
