//! The interface of Redis, over the redis crate's connections.

use std::sync::Arc;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use wasmtime::Result;
use wasmtime::component::{Accessor, ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use crate::host::Host;
use crate::manifest::default_port;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum RedisError {
    #[component(name = "invalid-address")]
    InvalidAddress,
    #[component(name = "too-many-connections")]
    TooManyConnections,
    #[component(name = "type-error")]
    TypeError,
    #[component(name = "other")]
    Other(String),
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum Parameter {
    #[component(name = "int64")]
    Int64(i64),
    #[component(name = "binary")]
    Binary(Vec<u8>),
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum Answer {
    #[component(name = "nil")]
    Nil,
    #[component(name = "status")]
    Status(String),
    #[component(name = "int64")]
    Int64(i64),
    #[component(name = "binary")]
    Binary(Vec<u8>),
}

type Outcome<T> = std::result::Result<T, RedisError>;

fn other(error: impl std::fmt::Display) -> RedisError {
    RedisError::Other(error.to_string())
}

/// Offers the interface.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    let mut instance = linker.instance("spin:redis/redis@3.0.0")?;
    instance.resource(
        "connection",
        ResourceType::host::<MultiplexedConnection>(),
        |mut store, rep| {
            store
                .data_mut()
                .table
                .delete(Resource::<MultiplexedConnection>::new_own(rep))?;
            Ok(())
        },
    )?;
    instance.func_wrap_concurrent(
        "[static]connection.open",
        |accessor: &Accessor<Host>, (address,): (String,)| {
            Box::pin(async move { Ok((open(accessor, &address).await,)) })
        },
    )?;
    instance.func_wrap_concurrent(
        "[method]connection.execute",
        |accessor: &Accessor<Host>,
         (connection, command, arguments): (
            Resource<MultiplexedConnection>,
            String,
            Vec<Parameter>,
        )| {
            Box::pin(async move {
                let connection =
                    accessor.with(|mut store| store.get().table.get(&connection).cloned());
                Ok((match connection {
                    Ok(connection) => execute(connection, &command, arguments).await,
                    Err(error) => Err(other(error)),
                },))
            })
        },
    )
}

async fn open(
    accessor: &Accessor<Host>,
    address: &str,
) -> Outcome<Resource<MultiplexedConnection>> {
    let application = accessor.with(|mut store| Arc::clone(&store.get().application));
    let uri: http::Uri = address.parse().map_err(|_| RedisError::InvalidAddress)?;
    let scheme = uri.scheme_str().unwrap_or("redis");
    let port = uri.port_u16().unwrap_or_else(|| default_port(scheme));
    if !application
        .manifest
        .allows(scheme, uri.host().unwrap_or_default(), port)
    {
        return Err(RedisError::InvalidAddress);
    }
    let client = redis::Client::open(address).map_err(|_| RedisError::InvalidAddress)?;
    // The component has timeouts of its own.
    let patient = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let connection = client
        .get_multiplexed_async_connection_with_config(&patient)
        .await
        .map_err(other)?;
    accessor
        .with(|mut store| store.get().table.push(connection))
        .map_err(other)
}

async fn execute(
    mut connection: MultiplexedConnection,
    command: &str,
    arguments: Vec<Parameter>,
) -> Outcome<Vec<Answer>> {
    let mut wanted = redis::cmd(command);
    for argument in arguments {
        match argument {
            Parameter::Int64(number) => wanted.arg(number),
            Parameter::Binary(bytes) => wanted.arg(bytes),
        };
    }
    let value: redis::Value = wanted.query_async(&mut connection).await.map_err(other)?;
    let mut answers = Vec::new();
    flatten(value, &mut answers)?;
    Ok(answers)
}

fn flatten(value: redis::Value, answers: &mut Vec<Answer>) -> Outcome<()> {
    match value {
        redis::Value::Nil => answers.push(Answer::Nil),
        redis::Value::Int(number) => answers.push(Answer::Int64(number)),
        redis::Value::BulkString(bytes) => answers.push(Answer::Binary(bytes)),
        redis::Value::SimpleString(text) => answers.push(Answer::Status(text)),
        redis::Value::Okay => answers.push(Answer::Status("OK".to_owned())),
        redis::Value::Array(values) | redis::Value::Set(values) => {
            for value in values {
                flatten(value, answers)?;
            }
        }
        _ => return Err(RedisError::TypeError),
    }
    Ok(())
}
