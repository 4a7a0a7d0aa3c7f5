//! Rows in Redis or Valkey: for each object a hash of its rows, a sorted set of their names, and
//! its inbox: a list, and how many have been taken from it.
//!
//! Reads are one script, a commit is one script, so each is atomic. Writers who were in each other's way queue up for a
//! turn; a turn that nobody takes expires. It only orders the writers, the version decides.
//!
//! The names of one object's keys share a hash tag. The set of objects has another, so a cluster of several shards is
//! not supported; one primary with replicas is.

use std::cell::RefCell;
use std::rc::Rc;

use sluice_machines::inbox::PREFIX;
use sluice_machines::rows::{Read, WriteSet};
use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};

use super::{Failure, Manner, Place, Seen, Store, Try, Version};
use crate::clock;

const READ: &str = concat!(include_str!("queue.lua"), include_str!("read.lua"));
const WRITE: &str = concat!(include_str!("queue.lua"), include_str!("write.lua"));
const TURN: &str = concat!(include_str!("queue.lua"), include_str!("turn.lua"));
const PUT: &str = include_str!("put.lua");
/// The set of all objects' names.
const OBJECTS: &str = "sluice:objects";
/// How long a turn is held by somebody who does not come back.
const TURN_MILLIS_MAX: i64 = 3_000;
/// How long a turn waits for its next holder to notice.
const HANDOVER_MILLIS_MAX: i64 = 1_000;

/// The store of a cluster.
pub(crate) struct Redis {
    address: String,
    shared: RefCell<Option<Rc<Connection>>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.write_str("Redis")
    }
}

/// One try.
pub(crate) struct RedisTry<'a> {
    redis: &'a Redis,
    object: &'a str,
    /// Who takes the turn; empty when none is needed.
    token: String,
    /// None is needed either where nobody else is at it.
    is_polite: bool,
}

impl Redis {
    /// The Redis at this address.
    pub(crate) const fn new(address: String) -> Self {
        Self {
            address,
            shared: RefCell::new(None),
        }
    }

    async fn shared(&self) -> Result<Rc<Connection>, Failure> {
        if let Some(connection) = self.shared.borrow().as_ref() {
            return Ok(Rc::clone(connection));
        }
        let opened = Connection::open(&self.address).await;
        let connection = Rc::new(opened.map_err(|error| refused(&error))?);
        self.shared.replace(Some(Rc::clone(&connection)));
        Ok(connection)
    }

    async fn execute(
        &self,
        command: &str,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, Failure> {
        let connection = self.shared().await?;
        connection
            .execute(command, arguments)
            .await
            .map_err(|error| {
                // The next command opens another one.
                self.shared.replace(None);
                refused(&error)
            })
    }

    async fn eval(
        &self,
        script: &str,
        keys: Vec<String>,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, Failure> {
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let mut all = vec![binary(script), RedisParameter::Int64(count)];
        all.extend(keys.into_iter().map(owned));
        all.extend(arguments);
        self.execute("EVAL", all).await
    }
}

fn refused(error: &Error) -> Failure {
    Failure::Store(match error {
        Error::Other(detail) => detail.clone(),
        error => error.to_string(),
    })
}

fn key_of(object: &str, what: &str) -> String {
    format!("sluice:{{{object}}}:{what}")
}

fn binary(text: &str) -> RedisParameter {
    RedisParameter::Binary(text.as_bytes().to_vec())
}

fn owned(text: String) -> RedisParameter {
    RedisParameter::Binary(text.into_bytes())
}

fn text(result: RedisResult) -> Result<String, Failure> {
    match result {
        RedisResult::Binary(bytes) => {
            String::from_utf8(bytes).map_err(|_| Failure::Store("a row is no text".to_owned()))
        }
        RedisResult::Status(text) => Ok(text),
        RedisResult::Int64(number) => Ok(number.to_string()),
        RedisResult::Nil => Err(Failure::Store("a row has no value".to_owned())),
    }
}

fn first_number(found: Vec<RedisResult>) -> Option<i64> {
    let first = found.into_iter().next()?;
    text(first).ok()?.parse().ok()
}

impl Store for Redis {
    type Try<'a> = RedisTry<'a>;

    async fn begin<'a>(&'a self, object: &'a str, manner: Manner) -> Result<RedisTry<'a>, Failure> {
        let token = match manner {
            Manner::Straight => String::new(),
            Manner::Polite | Manner::InTurn => sluice_units::hex(&clock::random()),
        };
        Ok(RedisTry {
            redis: self,
            object,
            token,
            is_polite: manner == Manner::Polite,
        })
    }

    async fn put(&self, object: &str, value: &str) -> Result<Place, Failure> {
        let keys = ["inbox", "taken"].map(|what| key_of(object, what));
        let found = self.eval(PUT, keys.to_vec(), vec![binary(value)]).await?;
        Ok(first_number(found).unwrap_or(Place::MAX))
    }

    async fn oldest(&self, object: &str) -> Result<Place, Failure> {
        let taken = key_of(object, "taken");
        let found = self.execute("GET", vec![owned(taken)]).await?;
        Ok(first_number(found).unwrap_or_default().saturating_add(1))
    }

    async fn objects(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let names = self.execute("SMEMBERS", vec![binary(OBJECTS)]).await?;
        let mut names: Vec<String> = names.into_iter().map(text).collect::<Result<_, _>>()?;
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        Ok(names)
    }
}

impl RedisTry<'_> {
    fn key(&self, what: &str) -> String {
        key_of(self.object, what)
    }

    fn keys(&self) -> Vec<String> {
        ["rows", "names", "turn", "queue", "seen", "inbox", "taken"]
            .map(|what| self.key(what))
            .to_vec()
    }
}

impl Try for RedisTry<'_> {
    async fn read(&mut self, reads: &[Read]) -> Result<Seen, Failure> {
        let mut keys = Vec::new();
        let mut ranges = Vec::new();
        for read in reads {
            match read {
                Read::Row(key) => keys.push(binary(key)),
                Read::Range {
                    after,
                    before,
                    limit,
                    bytes_max,
                } => ranges.extend([
                    binary(after),
                    binary(before),
                    RedisParameter::Int64(i64::from(*limit)),
                    RedisParameter::Int64(i64::try_from(*bytes_max).unwrap_or(i64::MAX)),
                ]),
            }
        }
        let mut arguments = vec![
            binary(&self.token),
            RedisParameter::Int64(i64::from(self.is_polite)),
            RedisParameter::Int64(TURN_MILLIS_MAX),
            RedisParameter::Int64(HANDOVER_MILLIS_MAX),
            RedisParameter::Int64(i64::try_from(keys.len()).unwrap_or(i64::MAX)),
        ];
        arguments.extend(keys);
        arguments.extend(ranges);
        let found = self.redis.eval(READ, self.keys(), arguments).await?;
        let mut found = found.into_iter().map(text);
        let first = found.next().transpose()?.unwrap_or_default();
        let Ok(version) = first.parse() else {
            let before = found.next().transpose()?.unwrap_or_default();
            return Ok(Seen::Later(before.parse().unwrap_or_default()));
        };
        let mut rows = Vec::with_capacity(found.len().div_ceil(2));
        while let (Some(key), Some(value)) = (found.next(), found.next()) {
            rows.push((key?, value?));
        }
        Ok(Seen::Now(version, rows))
    }

    async fn commit(self, seen: Version, writes: &WriteSet) -> Result<bool, Failure> {
        let mut puts = Vec::new();
        let mut deletes = Vec::new();
        let mut count: i64 = 0;
        let mut taken: i64 = 0;
        for (key, value) in writes.iter() {
            match value {
                Some(value) => {
                    count = count.saturating_add(1);
                    puts.extend([binary(key), binary(value)]);
                }
                None if key.starts_with(PREFIX) => taken = taken.saturating_add(1),
                None => deletes.push(binary(key)),
            }
        }
        let mut arguments = vec![
            binary(self.object),
            owned(seen.to_string()),
            binary(&self.token),
            RedisParameter::Int64(HANDOVER_MILLIS_MAX),
            RedisParameter::Int64(taken),
            RedisParameter::Int64(count),
        ];
        arguments.extend(puts);
        arguments.extend(deletes);
        let mut keys = self.keys();
        keys.push(OBJECTS.to_owned());
        let written = self.redis.eval(WRITE, keys, arguments).await?;
        Ok(matches!(written.first(), Some(RedisResult::Int64(1))))
    }

    async fn end(self) -> Result<(), Failure> {
        if self.token.is_empty() {
            return Ok(());
        }
        let keys = ["turn", "queue", "seen"].map(|what| self.key(what));
        let arguments = vec![
            binary(&self.token),
            RedisParameter::Int64(HANDOVER_MILLIS_MAX),
        ];
        self.redis
            .eval(TURN, keys.to_vec(), arguments)
            .await
            .map(drop)
    }
}
