//! The ledger's object: commands in, replies out; expiry and shipping by alarm.

use std::cell::{Cell, RefCell};

use sluice_machines::chain::{ChainKind, Head};
use sluice_machines::ledger::{self, Answer, Call, Climb, Lacking, Notices, Parent};
use sluice_machines::rows::{Read, Rows, WriteSet};
use sluice_machines::{events, outbox};
use sluice_units::{Jurisdiction, Span, Timestamp};
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
/// How soon an alarm looks again whether the parent is to be asked.
const CLIMB_AGAIN: Span = Span::from_millis(100);

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
    /// Requests that wait for the parent and are in no call to it yet.
    lacking: RefCell<Vec<Lacking>>,
    /// When the parent is to be asked though nobody waits, where that was looked at.
    climbs_at: Cell<Option<Option<Timestamp>>>,
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
            lacking: RefCell::default(),
            climbs_at: Cell::default(),
        })
    }

    /// Commits a [`Call`]'s commands together, and returns an [`Answer`], both as JSON; nothing when the parent must be
    /// asked first, and when it must be and cannot.
    ///
    /// # Errors
    /// What the database says, or what cannot be understood. Nothing was written then.
    pub fn call(&self, call: &str, is_alone: bool) -> Result<Option<String>, JsError> {
        let Call {
            commands,
            notices,
            batch,
        } = sluice_units::json::from_slice(call.as_bytes())
            .map_err(|error| Failure::Command(error.to_string()))?;
        let now = clock::now();
        let rows = ledger::load(&commands, |reads| self.store.read(reads))?;
        let decide = if is_alone {
            ledger::decide_alone
        } else {
            ledger::decide_batch
        };
        let (replies, writes) = decide(&rows, now, &commands).map_err(Failure::Row)?;
        let lacking = ledger::lacking(&replies);
        if !lacking.is_empty() {
            if !is_alone {
                self.lacking.borrow_mut().extend(lacking);
            }
            return Ok(None);
        }
        if !writes.is_empty() {
            self.commit(now, &writes)?;
            self.wake_by(now.plus(ship_interval()))?;
        }
        let notices = self.notices.get().merge(notices);
        self.notices.set(notices);
        Ok(Some(serde_json::to_string(&Answer {
            replies,
            notices,
            head: self.head_after(batch)?,
        })?))
    }

    /// Whether the parent is to be asked now though nobody waits.
    ///
    /// # Errors
    /// What the database says.
    pub fn climbs(&self) -> Result<bool, JsError> {
        let at = self.climbs_at()?;
        Ok(at.is_some_and(|at| at <= clock::now()))
    }

    /// Writes down what the parent is to be told and asked: its name, its jurisdiction or nothing, and the call as JSON.
    ///
    /// # Errors
    /// What the database says.
    pub fn ask(&self) -> Result<Option<Vec<String>>, JsError> {
        let now = clock::now();
        let lacking = self.lacking.take();
        let rows = ledger::load_climb(&lacking, |reads| self.store.read(reads))?;
        let (climb, writes) = ledger::climb(&rows, now, &lacking).map_err(Failure::Row)?;
        self.commit(now, &writes)?;
        let Some(Climb { parent, call }) = climb else {
            return Ok(None);
        };
        let place = parent.jurisdiction.map_or("", Jurisdiction::as_str);
        let text = serde_json::to_string(&call)?;
        Ok(Some(vec![parent.name, place.to_owned(), text]))
    }

    /// Takes over what the parent of this name has answered to a call.
    ///
    /// # Errors
    /// What the database says, or what cannot be understood. Nothing was written then.
    pub fn hear(&self, parent: String, call: &str, answer: &str) -> Result<(), JsError> {
        let unread = |error: serde_json::Error| Failure::Command(error.to_string());
        let climb = Climb {
            parent: Parent {
                name: parent,
                jurisdiction: None,
            },
            call: sluice_units::json::from_slice(call.as_bytes()).map_err(unread)?,
        };
        let answer: Answer = sluice_units::json::from_slice(answer.as_bytes()).map_err(unread)?;
        let now = clock::now();
        let rows = ledger::load_climb(&[], |reads| self.store.read(reads))?;
        let writes = ledger::hear(&rows, now, &climb, &answer).map_err(Failure::Row)?;
        self.commit(now, &writes)?;
        Ok(())
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
    /// Commits, and sees to it that the object is woken when the parent is to be asked.
    fn commit(&self, now: Timestamp, writes: &WriteSet) -> Result<(), Failure> {
        self.store.commit(writes)?;
        if ledger::touches_pools(writes) {
            self.climbs_at.set(None);
        }
        match self.climbs_at()? {
            Some(at) => self.wake_by(at.max(now)),
            None => Ok(()),
        }
    }

    fn climbs_at(&self) -> Result<Option<Timestamp>, Failure> {
        if let Some(known) = self.climbs_at.get() {
            return Ok(known);
        }
        let at = ledger::climbs_at(&self.load(&ledger::deadline_reads())?)?;
        self.climbs_at.set(Some(at));
        Ok(at)
    }

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
        // What is due now is under way, or was in vain a moment ago.
        let climbs = self.climbs_at()?.map(|at| at.max(now.plus(CLIMB_AGAIN)));
        Ok(next.into_iter().chain(told).chain(climbs).min())
    }

    fn expire(&self) -> Result<(), Failure> {
        let now = clock::now();
        let rows = ledger::load_due(now, |reads| self.store.read(reads))?;
        let writes = ledger::expire(&rows, now)?;
        self.commit(now, &writes)
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
                if let Some(loss) = delivery.loss(outcome.is_ok()) {
                    log(&format!("ledger: {loss}"));
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
