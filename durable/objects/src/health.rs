//! The region's health object: reports in, what is open out, slots leased; providers that fail or that nobody calls are
//! looked at by alarm.
//!
//! Which providers there are and how to look at one is not known here: whoever starts the instance says so.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use sluice_machines::health::{self, Command, Finding, Listed};
use sluice_machines::rows::{Read, Rows};
use sluice_units::{ProviderId, Timestamp};
use wasm_bindgen::prelude::*;

use crate::clock;
use crate::log;
use crate::storage::Storage;
use crate::store::{Failure, MIRROR_BYTES_MAX, Store};

/// Somebody who can look at providers, with an object's environment and context.
pub trait Lookout {
    /// Which providers are to be looked at; nothing where that cannot be told.
    fn listed(&self, env: &JsValue, context: &JsValue) -> Told<Vec<Listed>>;

    /// What a look at a provider shows; nothing where that cannot be told.
    fn look(&self, env: &JsValue, context: &JsValue, provider: ProviderId) -> Told<Finding>;
}

/// What a lookout says after a while.
pub type Told<T> = Pin<Box<dyn Future<Output = Option<T>>>>;

thread_local! {
    static LOOKOUT: RefCell<Option<Rc<dyn Lookout>>> = const { RefCell::new(None) };
}

/// Says who can look at providers.
pub fn set_lookout(lookout: Rc<dyn Lookout>) {
    LOOKOUT.set(Some(lookout));
}

/// What a region knows of its providers.
#[wasm_bindgen]
#[derive(Debug)]
pub struct HealthObject {
    storage: Storage,
    store: Store<Storage>,
    env: JsValue,
    context: JsValue,
    alarm_at: Cell<Option<Timestamp>>,
}

#[wasm_bindgen]
impl HealthObject {
    /// An object over its storage; `alarm` is when it is to be woken, as far as is known.
    ///
    /// # Errors
    /// What the database says.
    #[wasm_bindgen(constructor)]
    pub fn new(
        storage: JsValue,
        env: JsValue,
        context: JsValue,
        alarm: Option<f64>,
    ) -> Result<Self, JsError> {
        let storage = Storage::open(storage)?;
        Ok(Self {
            store: Store::new(storage.clone(), MIRROR_BYTES_MAX),
            storage,
            env,
            context,
            alarm_at: Cell::new(alarm.map(clock::millis)),
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
        let rows = self.load(&command.reads())?;
        let (reply, writes) = health::decide(&rows, now, &command).map_err(Failure::Row)?;
        if !writes.is_empty() {
            self.store.commit(&writes)?;
            if let Command::Report(_) = command {
                self.wake(now)?;
            }
        }
        Ok(serde_json::to_string(&reply)?)
    }

    /// Looks at the providers whose turn it is, and says when to be woken next.
    ///
    /// # Errors
    /// What the database says; the platform then calls again.
    pub async fn alarm(&self) -> Result<(), JsError> {
        self.alarm_at.set(None);
        let Some(lookout) = LOOKOUT.with_borrow(Clone::clone) else {
            return Ok(());
        };
        let listed = lookout.listed(&self.env, &self.context).await;
        let rows = self.load(&health::reads())?;
        let (due, writes) =
            health::review(&rows, clock::now(), listed.as_deref()).map_err(Failure::Row)?;
        self.store.commit(&writes)?;
        for provider in due {
            let look = lookout.look(&self.env, &self.context, provider.clone());
            let found = look.await;
            let rows = self.load(&health::reads())?;
            let writes = health::looked(&rows, clock::now(), &provider, found);
            self.store.commit(&writes.map_err(Failure::Row)?)?;
            if let Some(Finding::Fails | Finding::Gone) = found {
                log(&format!(
                    "health: the provider {provider} does not answer as it should"
                ));
            }
        }
        Ok(self.wake(clock::now())?)
    }
}

impl HealthObject {
    fn load(&self, reads: &[Read]) -> Result<Rows, Failure> {
        let mut rows = Rows::new();
        rows.extend(self.store.read(reads)?);
        Ok(rows)
    }

    /// Makes sure that the object is woken when there is somebody to look at.
    fn wake(&self, now: Timestamp) -> Result<(), Failure> {
        let Some(at) = health::next(&self.load(&health::reads())?, now)? else {
            return Ok(());
        };
        if self.alarm_at.get().is_some_and(|set| set <= at) {
            return Ok(());
        }
        self.storage.wake(at)?;
        self.alarm_at.set(Some(at));
        Ok(())
    }
}
