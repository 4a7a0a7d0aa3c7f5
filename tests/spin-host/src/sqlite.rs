//! The interface of SQLite databases, over files of the state folder. What waits, waits beside the instance.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::types::{Value as Cell, ValueRef};
use wasmtime::Result;
use wasmtime::component::{
    Accessor, ComponentType, FutureReader, Lift, Linker, Lower, Resource, ResourceType,
    StreamReader,
};

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

type Shared = Arc<Mutex<Connection>>;
type Rows = (Vec<String>, Vec<Row>);
type Streamed = (
    Vec<String>,
    StreamReader<Row>,
    FutureReader<Result<(), SqliteError>>,
);

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
    instance.func_wrap_concurrent(
        "[static]connection.open-async",
        |accessor: &Accessor<Host>, (name,): (String,)| {
            Box::pin(async move { Ok((open(accessor, &name).await,)) })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]connection.execute-async",
        |accessor: &Accessor<Host>,
         (connection, statement, parameters): (Resource<Shared>, String, Vec<Value>)| {
            Box::pin(async move {
                let shared = accessor.with(|mut store| store.get().table.get(&connection).cloned());
                let Ok(shared) = shared else {
                    return Ok((Err(SqliteError::InvalidConnection),));
                };
                let done =
                    tokio::task::spawn_blocking(move || execute(&shared, &statement, parameters));
                let answer: std::result::Result<Streamed, SqliteError> = match done.await {
                    Ok(Ok((columns, rows))) => accessor.with(|mut store| {
                        let rows = StreamReader::new(&mut store, rows)?;
                        let end =
                            FutureReader::new(&mut store, async { wasmtime::error::Ok(Ok(())) })?;
                        wasmtime::error::Ok(Ok((columns, rows, end)))
                    })?,
                    Ok(Err(error)) => Err(error),
                    Err(error) => Err(io(error)),
                };
                Ok((answer,))
            })
        },
    )
}

async fn open(
    accessor: &Accessor<Host>,
    name: &str,
) -> std::result::Result<Resource<Shared>, SqliteError> {
    let application = accessor.with(|mut store| Arc::clone(&store.get().application));
    if !application
        .manifest
        .sqlite_databases
        .iter()
        .any(|granted| granted == name)
    {
        return Err(SqliteError::AccessDenied);
    }
    let file = application.state.join(format!("sqlite_{name}.db"));
    let opened = tokio::task::spawn_blocking(move || Connection::open(file)).await;
    let connection = opened.map_err(io)?.map_err(io)?;
    let shared = Arc::new(Mutex::new(connection));
    accessor
        .with(|mut store| store.get().table.push(shared))
        .map_err(io)
}

fn execute(
    shared: &Shared,
    statement: &str,
    parameters: Vec<Value>,
) -> std::result::Result<Rows, SqliteError> {
    let connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
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
    Ok((columns, rows))
}
