//! The registry's object: commands in, replies out; by alarm, the read copy of the keys is written and the audit chain
//! of changes is shipped.
//!
//! A key that was made or revoked is queued for the copy in the same commit, and leaves the queue when the copy has
//! taken it: the copy lags, but never for good.

use std::cell::Cell;

use sluice_machines::chain::ChainKind;
use sluice_machines::outbox;
use sluice_machines::registry::{self, Command, Reply};
use sluice_machines::rows::{Read, Rows, WriteSet};
use sluice_units::{Span, Timestamp};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::clock;
use crate::ledger::ship_interval;
use crate::log;
use crate::ship::ship_all;
use crate::storage::{Storage, message};
use crate::store::{Failure, MIRROR_BYTES_MAX, Store};

/// The read copy in the environment.
const COPY_NAME: &str = "KEYS";
/// The rows that wait to be copied.
const QUEUE: &str = "copy/";
/// How many keys one alarm copies; the next alarm goes on.
const COPIES_PER_ALARM_MAX: u32 = 100;
/// How long to wait after the first failure; doubled with each further one.
const RETRY_FIRST: Span = Span::from_seconds(1);
/// How often that is doubled, at most.
const RETRY_DOUBLINGS_MAX: u32 = 6;

/// Virtual keys and configuration versions.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RegistryObject {
    storage: Storage,
    store: Store<Storage>,
    copy: JsValue,
    env: JsValue,
    alarm_at: Cell<Option<Timestamp>>,
    failures: Cell<u32>,
}

#[wasm_bindgen(raw_module = "./storage.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = copy)]
    fn put_copy(namespace: &JsValue, key: &str, value: &str) -> Result<js_sys::Promise, JsValue>;
}

#[wasm_bindgen]
impl RegistryObject {
    /// An object over its storage; `alarm` is when it is to be woken, as far as is known.
    ///
    /// # Errors
    /// What the database says.
    #[wasm_bindgen(constructor)]
    pub fn new(storage: JsValue, env: &JsValue, alarm: Option<f64>) -> Result<Self, JsError> {
        let storage = Storage::open(storage)?;
        Ok(Self {
            store: Store::new(storage.clone(), MIRROR_BYTES_MAX),
            storage,
            env: env.clone(),
            copy: js_sys::Reflect::get(env, &COPY_NAME.into()).unwrap_or_default(),
            alarm_at: Cell::new(alarm.map(clock::millis)),
            failures: Cell::new(0),
        })
    }

    /// Commits a command, as JSON, and returns the reply.
    ///
    /// # Errors
    /// What the database says, or what cannot be understood. Nothing was written then.
    pub fn call(&self, command: &str) -> Result<String, JsError> {
        let command: Command = sluice_units::json::from_slice(command.as_bytes())
            .map_err(|error| Failure::Command(error.to_string()))?;
        let now = clock::now();
        let rows = registry::load(&command, |reads| self.store.read(reads))?;
        let (reply, mut writes) = registry::decide(&rows, now, &command).map_err(Failure::Row)?;
        if !writes.is_empty() {
            let changes_copy = queue(&reply, &mut writes)?;
            self.store.commit(&writes)?;
            let wait = if changes_copy {
                Span::ZERO
            } else {
                ship_interval()
            };
            self.wake_by(now.plus(wait))?;
        }
        Ok(serde_json::to_string(&reply)?)
    }

    /// Writes what waits to the read copy, ships the changes, and says when to be woken next.
    ///
    /// # Errors
    /// What the database says; the platform then calls again.
    pub async fn alarm(&self) -> Result<(), JsError> {
        self.alarm_at.set(None);
        // Neither keeps the other from being tried.
        let copied = self.copy_waiting().await;
        match ship_all(&self.store, &self.env, ChainKind::Registry, || ()).await {
            Ok(()) => {}
            Err(failure) => log(&format!("registry: {failure}")),
        }
        copied?;
        let rows = {
            let mut rows = Rows::new();
            rows.extend(self.store.read(&outbox::reads())?);
            rows
        };
        if let Some(next) = outbox::next_shipment(&rows, ship_interval()).map_err(Failure::Row)? {
            self.wake_by(next.max(clock::now()))?;
        }
        Ok(())
    }
}

impl RegistryObject {
    async fn copy_waiting(&self) -> Result<(), JsError> {
        for (row, value) in self.waiting()? {
            let hash = row.strip_prefix(QUEUE).unwrap_or_default();
            match self.put(hash, &value).await {
                Ok(()) => self.taken(row, &value)?,
                Err(error) => {
                    log(&format!("registry: the read copy was not written: {error}"));
                    return Ok(self.wake_by(self.retry_at())?);
                }
            }
        }
        self.failures.set(0);
        if !self.waiting()?.is_empty() {
            self.wake_by(clock::now())?;
        }
        Ok(())
    }

    fn waiting(&self) -> Result<Vec<(String, String)>, Failure> {
        self.store
            .read(&[Read::prefix(QUEUE, COPIES_PER_ALARM_MAX)])
    }

    async fn put(&self, hash: &str, value: &str) -> Result<(), String> {
        let name = format!("key/{hash}");
        let put = put_copy(&self.copy, &name, value).map_err(|error| message(&error))?;
        JsFuture::from(put)
            .await
            .map(drop)
            .map_err(|error| message(&error))
    }

    /// The copy has taken this value; if there is a newer one by now, it stays in the queue.
    fn taken(&self, row: String, value: &str) -> Result<(), Failure> {
        let mut writes = WriteSet::new();
        let current = self.store.read(&[Read::Row(row.clone())])?;
        if current.iter().all(|(_, current)| current == value) {
            writes.delete(row);
        }
        self.store.commit(&writes)
    }

    fn retry_at(&self) -> Timestamp {
        let failures = self.failures.get();
        self.failures.set(failures.saturating_add(1));
        clock::now().plus(RETRY_FIRST.times(1 << failures.min(RETRY_DOUBLINGS_MAX)))
    }

    /// Makes sure that the object is woken by then.
    fn wake_by(&self, at: Timestamp) -> Result<(), Failure> {
        if self.alarm_at.get().is_some_and(|set| set <= at) {
            return Ok(());
        }
        self.storage.wake(at)?;
        self.alarm_at.set(Some(at));
        Ok(())
    }
}

/// Queues what the copy must learn.
fn queue(reply: &Reply, writes: &mut WriteSet) -> Result<bool, serde_json::Error> {
    let Reply::Key { key } = reply else {
        return Ok(false);
    };
    writes.put(format!("{QUEUE}{}", key.hash), serde_json::to_string(key)?);
    Ok(true)
}
