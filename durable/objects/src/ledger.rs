//! The ledger's object: commands in, replies out; expiry and shipping by alarm.

use std::cell::{Cell, RefCell};

use sluice_machines::chain::{ChainKind, Head};
use sluice_machines::ledger::{self, Answer, Call, Notices};
use sluice_machines::rows::{Read, Rows};
use sluice_machines::{events, outbox};
use sluice_units::{Span, Timestamp};
use wasm_bindgen::prelude::*;

use crate::clock;
use crate::log;
use crate::notify;
use crate::ship::ship_all;
use crate::storage::Storage;
use crate::store::{Failure, MIRROR_BYTES_MAX, Store};

/// When to try again what no rule says when to try again.
const RETRY_INTERVAL: Span = Span::from_seconds(60);
/// How often one alarm tells each receiver of an event; the next alarm goes on.
const EVENTS_PER_ALARM_MAX: usize = 8;

thread_local! {
    static SHIP_INTERVAL: Cell<Span> = const { Cell::new(Span::from_seconds(5)) };
}

/// Says how long a record may wait for others before it is shipped.
pub fn set_ship_interval(interval: Span) {
    SHIP_INTERVAL.set(interval);
}

pub(crate) fn ship_interval() -> Span {
    SHIP_INTERVAL.get()
}

/// One organisation's ledger in one region.
#[wasm_bindgen]
#[derive(Debug)]
pub struct LedgerObject {
    storage: Storage,
    store: Store<Storage>,
    env: JsValue,
    alarm_at: Cell<Option<Timestamp>>,
    notices: Cell<Notices>,
    /// Where the chain stands, as far as it was looked at.
    head: RefCell<Option<Head>>,
}

#[wasm_bindgen]
impl LedgerObject {
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
            alarm_at: Cell::new(alarm.map(clock::millis)),
            notices: Cell::default(),
            head: RefCell::default(),
        })
    }

    /// Commits a [`Call`]'s commands together, and returns an [`Answer`], both as JSON.
    ///
    /// # Errors
    /// What the database says, or what cannot be understood. Nothing was written then.
    pub fn call(&self, call: &str) -> Result<String, JsError> {
        let Call {
            commands,
            notices,
            batch,
        } = serde_json::from_slice(call.as_bytes())
            .map_err(|error| Failure::Command(error.to_string()))?;
        let now = clock::now();
        let rows = ledger::load(&commands, |reads| self.store.read(reads))?;
        let (replies, writes) =
            ledger::decide_batch(&rows, now, &commands).map_err(Failure::Row)?;
        if !writes.is_empty() {
            self.store.commit(&writes)?;
            self.wake_by(now.plus(ship_interval()))?;
        }
        let notices = self.notices.get().merge(notices);
        self.notices.set(notices);
        Ok(serde_json::to_string(&Answer {
            replies,
            notices,
            head: self.head_after(batch)?,
        })?)
    }

    /// Charges what has expired, ships what waits, tells of events, and says when to be woken next.
    ///
    /// # Errors
    /// What the database says; the platform then calls again.
    pub async fn alarm(&self) -> Result<(), JsError> {
        self.alarm_at.set(None);
        // Neither keeps the other from being tried.
        for outcome in [self.expire(), self.ship().await, self.tell().await] {
            if let Err(failure) = outcome {
                log(&format!("ledger: {failure}"));
            }
        }
        let next = self.next_alarm().unwrap_or_else(|failure| {
            log(&format!("ledger: {failure}"));
            Some(clock::now().plus(RETRY_INTERVAL))
        });
        if let Some(next) = next {
            self.wake_by(next)?;
        }
        Ok(())
    }
}

impl LedgerObject {
    fn load(&self, reads: &[Read]) -> Result<Rows, Failure> {
        let mut rows = Rows::new();
        rows.extend(self.store.read(reads)?);
        Ok(rows)
    }

    /// Where the chain stands, for whoever knows this batch and none after it.
    fn head_after(&self, known: u64) -> Result<Option<Head>, Failure> {
        let mut head = self.head.borrow_mut();
        let head = match &mut *head {
            Some(head) => head,
            unknown => unknown.insert(outbox::head(&self.load(&outbox::head_reads())?)?),
        };
        Ok((head.batch > known).then(|| head.clone()))
    }

    fn next_alarm(&self) -> Result<Option<Timestamp>, Failure> {
        let now = clock::now();
        let rows = self.load(&outbox::alarm_reads())?;
        let next = outbox::next_alarm(&rows, now, ship_interval())?;
        let receivers = notify::receivers();
        let names: Vec<&str> = receivers.iter().map(|one| one.name.as_str()).collect();
        let told = events::next_alarm(&self.load(&events::reads())?, &names)?;
        let told = told.map(|told| told.max(now));
        Ok(next.into_iter().chain(told).min())
    }

    fn expire(&self) -> Result<(), Failure> {
        let now = clock::now();
        let rows = ledger::load_due(now, |reads| self.store.read(reads))?;
        let writes = ledger::expire(&rows, now)?;
        self.store.commit(&writes)
    }

    async fn ship(&self) -> Result<(), Failure> {
        let forget = || drop(self.head.replace(None));
        ship_all(&self.store, &self.env, ChainKind::Usage, forget).await
    }

    async fn tell(&self) -> Result<(), Failure> {
        let receivers = notify::receivers();
        let names: Vec<&str> = receivers.iter().map(|one| one.name.as_str()).collect();
        for _ in 0..EVENTS_PER_ALARM_MAX {
            let rows = self.load(&events::reads())?;
            let due = events::due(&rows, clock::now(), &names)?;
            if due.is_empty() {
                return Ok(());
            }
            for delivery in due {
                let Some(receiver) = receivers.iter().find(|one| one.name == delivery.to) else {
                    continue;
                };
                // What it may not hear of is over for it.
                let outcome = if receiver.hears(&delivery.event.region) {
                    notify::send(&self.env, receiver, &delivery).await
                } else {
                    Ok(())
                };
                if let Err(error) = &outcome {
                    log(&format!(
                        "ledger: event {} to {}: {error}",
                        delivery.event.id, delivery.to
                    ));
                }
                let rows = self.load(&events::reads())?;
                let ended = (&delivery, outcome.is_ok());
                self.store
                    .commit(&events::ended(&rows, clock::now(), &names, ended)?)?;
            }
        }
        Ok(())
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
