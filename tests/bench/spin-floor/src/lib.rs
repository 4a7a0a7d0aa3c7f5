//! The floor of the measurements on Spin: hands each request to one upstream and the answer back, bodies untouched.
//!
//! The upstream's authority stands in the header `x-upstream`, so that it needs no configuration.
//! Where there is a header `x-record` it does besides what no gateway can do without that loses nothing: a row is on
//! record before the answer begins, in SQLite (`sqlite`) or in the Redis whose address that is. No record of the answer,
//! no keys, no rules, not even the body is read.

use std::cell::RefCell;
use std::rc::Rc;

use spin_sdk::redis::{self, RedisParameter};
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use spin_sdk::wasip3::wit_future;

use self::binding::spin::sqlite::sqlite::{Connection, Value};

/// As in the gateway: the part of the interface that answers without a stream costs a fifth.
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

/// How large a reservation is, about.
const ROW_BYTES: usize = 600;
const SCHEMA: [&str; 2] = [
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE IF NOT EXISTS inbox (id INTEGER PRIMARY KEY, value TEXT NOT NULL)",
];
const PUT: &str = "INSERT INTO inbox (value) VALUES (?1)";
/// What the database says to whoever meets others who open it.
const LOCKED: &str = "database is locked";

/// What an instance keeps open.
#[derive(Default)]
struct Stores {
    sqlite: Option<Rc<Connection>>,
    redis: Option<Rc<redis::Connection>>,
}

thread_local! {
    static STORES: RefCell<Stores> = RefCell::default();
}

/// Puts a row on record.
async fn record(store: &str) -> Result<(), ErrorCode> {
    let row = "r".repeat(ROW_BYTES);
    match store {
        "sqlite" => into_sqlite(row),
        address => into_redis(address, row).await,
    }
}

fn into_sqlite(row: String) -> Result<(), ErrorCode> {
    let execute = |connection: &Connection, statement: &str, values: &[Value]| loop {
        match connection.execute(statement, values) {
            Ok(_) => return Ok(()),
            Err(error) if format!("{error:?}").contains(LOCKED) => {}
            Err(error) => return Err(ErrorCode::InternalError(Some(format!("{error:?}")))),
        }
    };
    let kept = STORES.with_borrow(|stores| stores.sqlite.clone());
    let connection = match kept {
        Some(connection) => connection,
        None => {
            let opened = Connection::open("default");
            let opened = opened.map_err(|_| ErrorCode::InternalError(None))?;
            for statement in SCHEMA {
                execute(&opened, statement, &[])?;
            }
            let opened = Rc::new(opened);
            STORES.with_borrow_mut(|stores| stores.sqlite = Some(Rc::clone(&opened)));
            opened
        }
    };
    execute(&connection, PUT, &[Value::Text(row)])
}

async fn into_redis(address: &str, row: String) -> Result<(), ErrorCode> {
    let wrong = |error: redis::Error| ErrorCode::InternalError(Some(error.to_string()));
    let kept = STORES.with_borrow(|stores| stores.redis.clone());
    let connection = match kept {
        Some(connection) => connection,
        None => {
            let opened = Rc::new(redis::Connection::open(address).await.map_err(wrong)?);
            STORES.with_borrow_mut(|stores| stores.redis = Some(Rc::clone(&opened)));
            opened
        }
    };
    let arguments = ["inbox".to_owned(), row].map(|one| RedisParameter::Binary(one.into_bytes()));
    let pushed = connection.execute("RPUSH", arguments).await;
    pushed.map(drop).map_err(wrong)
}

struct Floor;

spin_sdk::wasip3::http::service::export!(Floor);

impl Guest for Floor {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = request.get_headers();
        let upstream = headers.get("x-upstream").pop();
        let upstream = upstream.and_then(|value| String::from_utf8(value).ok());
        let store = headers.get("x-record").pop();
        let store = store.and_then(|value| String::from_utf8(value).ok());
        let kept: Vec<(String, Vec<u8>)> = ["content-type", "content-length", "authorization"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), headers.get(name).pop()?)))
            .collect();
        let fields = Fields::from_list(&kept).map_err(|_| ErrorCode::HttpProtocolError)?;
        let (method, path) = (request.get_method(), request.get_path_with_query());
        let (_, consumed) = wit_future::new::<Result<(), ErrorCode>>(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, consumed);
        let (call, _) = Request::new(fields, Some(body), trailers, None);
        let wrong = |()| ErrorCode::HttpRequestUriInvalid;
        call.set_method(&method).map_err(wrong)?;
        call.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
        call.set_authority(upstream.as_deref()).map_err(wrong)?;
        call.set_path_with_query(path.as_deref()).map_err(wrong)?;
        let answer = client::send(call).await?;
        if let Some(store) = store {
            record(&store).await?;
        }
        Ok(answer)
    }
}
