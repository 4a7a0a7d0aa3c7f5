//! What one instance of the component remembers.
//!
//! Made with its first request; an instance may serve one or many.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::join;
use sluice_core::circuit;
use sluice_core::config::Deployment;
use sluice_core::isolate::Isolate;
use sluice_machines::chain::Head;
use sluice_machines::events::Receiver;
use sluice_machines::ledger::Parent;
use sluice_units::{LedgerId, Region, Span};
use thiserror::Error;

use crate::bucket::Bucket;
use crate::combine::Queues;
use crate::event::{Event, event};
use crate::inbox::Inbox;
use crate::maintain::Upkeep;
use crate::platform::Spin;
use crate::store::{AnyStore, Failure};
use crate::variables;

/// The configuration that was deployed with the component, among the application's files.
const DOCUMENT_PATH: &str = "/config.json";
/// The component's own hash, which it cannot hold itself.
const CODE_HASH_PATH: &str = "/wasm.sha256";
/// The registry's name in the store.
pub(crate) const REGISTRY: &str = "registry";
/// What the names of ledgers begin with.
pub(crate) const LEDGERS: &str = "ledger/";

/// Why an instance cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum StartError {
    /// The configuration is not there or not understood.
    #[error("the configuration cannot be used: {0}")]
    Document(String),
    /// A variable is not understood.
    #[error("the variable {name} cannot be used: {detail}")]
    Variable {
        /// Which.
        name: &'static str,
        /// Why.
        detail: String,
    },
    /// There is no store.
    #[error(transparent)]
    Store(#[from] Failure),
}

/// What an instance was started with, and its memory.
pub(crate) struct Instance {
    /// The core's memory.
    pub(crate) isolate: Rc<Isolate>,
    /// Where ledgers and the registry are.
    pub(crate) store: AnyStore,
    /// Where usage records go, if anywhere.
    pub(crate) bucket: Option<Bucket>,
    /// Who is told of events.
    pub(crate) receivers: Vec<Receiver>,
    /// How long a record may wait for others.
    pub(crate) ship_interval: Span,
    /// When ledgers are seen to, by their names.
    pub(crate) upkeep: RefCell<BTreeMap<String, Upkeep>>,
    /// Commands on their way to ledgers.
    pub(crate) queues: Queues,
    /// What ledgers were told.
    pub(crate) inbox: Inbox,
    /// Where the ledgers' chains stand, as far as this instance knows.
    pub(crate) heads: RefCell<BTreeMap<String, Head>>,
    /// The SHA-256 of the component, where the build has written it down.
    pub(crate) code_hash: Option<String>,
    /// The region that its machines are in, as the configuration declares.
    region: Region,
    warmth: RefCell<Warmth>,
}

/// Whether the core's memory holds a configuration.
enum Warmth {
    Cold,
    /// Somebody fetches it; these wait.
    Warming(Vec<Event>),
    Warm,
}

thread_local! {
    static INSTANCE: RefCell<Option<Rc<Instance>>> = const { RefCell::new(None) };
}

impl Instance {
    /// This instance, started if it was not.
    ///
    /// # Errors
    /// [`StartError`]; the next request tries again.
    pub(crate) fn current() -> Result<Rc<Self>, StartError> {
        if let Some(instance) = INSTANCE.with_borrow(Clone::clone) {
            return Ok(instance);
        }
        let instance = Rc::new(Self::start()?);
        INSTANCE.set(Some(Rc::clone(&instance)));
        Ok(instance)
    }

    fn start() -> Result<Self, StartError> {
        let unusable = |error: &dyn std::fmt::Display| StartError::Document(error.to_string());
        let text = std::fs::read_to_string(DOCUMENT_PATH).map_err(|error| unusable(&error))?;
        let Deployment {
            region,
            ship_interval,
            receivers,
            ..
        } = Deployment::read(&text).map_err(StartError::Document)?;
        let store = variables::get("sluice_store");
        Ok(Self {
            ship_interval,
            region,
            store: AnyStore::named(store.as_deref().unwrap_or("sqlite"))?,
            bucket: Bucket::from_variables()?,
            receivers,
            isolate: Rc::new(Isolate::new(text)),
            upkeep: RefCell::default(),
            queues: Queues::default(),
            inbox: Inbox::default(),
            heads: RefCell::default(),
            code_hash: std::fs::read_to_string(CODE_HASH_PATH)
                .ok()
                .map(|hash| hash.trim().to_owned()),
            warmth: RefCell::new(Warmth::Cold),
        })
    }

    /// Sees to it that an instance's first requests compile the configuration once, and not each of them, and that none is
    /// sent to a target of which another instance knows that it fails.
    ///
    /// If that fails, every request finds out for itself.
    pub(crate) async fn warm(&self, platform: &Spin) {
        let wait = match &mut *self.warmth.borrow_mut() {
            Warmth::Warm => return,
            Warmth::Warming(waiting) => {
                let (warm, wait) = event();
                waiting.push(warm);
                Some(wait)
            }
            cold @ Warmth::Cold => {
                *cold = Warmth::Warming(Vec::new());
                None
            }
        };
        if let Some(wait) = wait {
            wait.over().await;
            return;
        }
        let (outcome, ()) = join(
            self.isolate.config(platform),
            circuit::hear_first(platform, &self.isolate),
        )
        .await;
        let now = if outcome.is_ok() {
            Warmth::Warm
        } else {
            Warmth::Cold
        };
        drop(self.warmth.replace(now));
    }

    /// The name of what this region knows of its providers.
    pub(crate) fn health(&self) -> String {
        format!("health/{}", self.region)
    }

    /// A ledger's name in the store. None for one that must stay in a region, unless this component and its stores are
    /// there: nothing here knows jurisdictions.
    pub(crate) fn ledger(&self, id: &LedgerId) -> Option<String> {
        let is_here = self.region == *id.region();
        (id.jurisdiction().is_none() || is_here).then(|| format!("{LEDGERS}{}", id.name()))
    }

    /// The same of the ledger that another one leases from.
    pub(crate) fn parent(&self, parent: &Parent) -> Option<String> {
        let region = parent.name.split('/').next();
        let is_here = region == Some(self.region.as_str());
        (parent.jurisdiction.is_none() || is_here).then(|| format!("{LEDGERS}{}", parent.name))
    }
}
