//! What one isolate remembers between requests: the configuration, keys, slices of the allowance, and what waits to be
//! sent to the ledgers.
//!
//! All of it is a copy or a queue; losing it loses nothing. Copies are refreshed by asking the registry what has
//! changed: beside a request while they are fresh enough, before it when they are not.
//! **Invariant:** no request is served on a copy older than [`COPY_AGE_MAX`] unless the registry cannot be reached,
//! and then none older than [`OUTAGE_AGE_MAX`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sluice_machines::chain::Head;
use sluice_machines::ledger::{self, Notices};
use sluice_machines::registry::{self, Changes, KeyRecord};
use sluice_units::{LedgerId, ProviderId, SortedMap, SortedSet, Span, Timestamp};

use crate::capacity::Slots;
use crate::circuit::Circuits;
use crate::commit::{self, Listener, Outgoing};
use crate::config::{self, Config, Document};
use crate::credentials::Tokens;
use crate::lease::Leases;
use crate::line::Lines;
use crate::platform::{Level, Platform, StoreError};
use crate::problem::Problem;
use crate::receipt::Signing;
use crate::refused::Counted;
use crate::residency::Permitted;

/// A copy younger than this is used as it is.
pub const COPY_AGE_FRESH: Span = Span::from_seconds(2);
/// A copy older than this is refreshed before it is used; between the two, beside.
pub const COPY_AGE_MAX: Span = Span::from_seconds(4);
/// A copy older than this is not used at all.
pub const OUTAGE_AGE_MAX: Span = Span::from_seconds(60);
/// How many keys are remembered, unknown ones included.
pub const KEYS_MAX: usize = 4_096;
/// One hedge, in hundredths.
const HEDGE: u32 = 100;
/// As many may be made that nobody has brought in yet.
const HEDGES_MAX: u32 = 10 * HEDGE;
/// The memory of one isolate.
#[derive(Debug, Default)]
pub struct Isolate {
    config: RefCell<Option<Rc<Config>>>,
    seed: RefCell<Option<Rc<Seed>>>,
    keys: RefCell<SortedMap<String, Option<Rc<KeyRecord>>>>,
    suspects: RefCell<SortedSet<String>>,
    /// More keys have changed than are remembered: no copy is trusted any more.
    suspects_all: Cell<bool>,
    sequence: Cell<u64>,
    synced_at: Cell<Option<Timestamp>>,
    syncing_since: Cell<Option<Timestamp>>,
    tokens: Tokens,
    /// Where the ledgers' chains stand; there are no more of those than the configuration names.
    heads: RefCell<SortedMap<LedgerId, Head>>,
    /// What may be let in without asking.
    pub(crate) leases: RefCell<Leases>,
    /// Who waits for a limit, or for a provider to have room.
    pub(crate) lines: RefCell<Lines>,
    /// Whom not to call for a while.
    pub(crate) circuits: RefCell<Circuits>,
    /// How many calls may be made at once to those who take only so many.
    pub(crate) slots: RefCell<Slots>,
    /// Who refuses the country that calls from here come from, and until when that is remembered; there are no more of
    /// those than there are providers.
    refusing: RefCell<SortedMap<ProviderId, Timestamp>>,
    /// What hedges have cost, in hundredths of one, less what requests have brought in since.
    hedged: Cell<u32>,
    /// What goes to the ledgers.
    pub(crate) outgoing: Outgoing,
    /// What signs receipts.
    pub(crate) signing: Signing,
    /// Refusals of nobody's.
    pub(crate) refused: RefCell<Counted>,
}

/// The configuration that was deployed with the code.
#[derive(Debug)]
pub struct Seed {
    /// The resolved document, as JSON text.
    pub document: String,
    /// Its SHA-256, in lower-case hex.
    pub hash: String,
}

impl Isolate {
    /// A new isolate that was deployed with this configuration document.
    #[must_use]
    pub fn new(seed_document: String) -> Self {
        let hash = crate::hash::sha256_hex(seed_document.as_bytes());
        Self {
            seed: RefCell::new(Some(Rc::new(Seed {
                document: seed_document,
                hash,
            }))),
            ..Self::default()
        }
    }

    /// A request came that may be hedged, as may so many of a hundred.
    pub(crate) fn count_hedged(&self, percent: u32) {
        self.hedged.set(self.hedged.get().saturating_sub(percent));
    }

    /// Whether one more request may be hedged now. Where all at once are slow, calling everybody twice helps nobody.
    pub(crate) fn may_hedge(&self) -> bool {
        let hedged = self.hedged.get().saturating_add(HEDGE);
        let may = hedged <= HEDGES_MAX;
        if may {
            self.hedged.set(hedged);
        }
        may
    }

    /// The current configuration, refreshed as far as its age demands.
    ///
    /// # Errors
    /// A 503 when there is none, or none young enough, and the registry does not answer.
    pub async fn config<P: Platform>(self: &Rc<Self>, p: &P) -> Result<Rc<Config>, Problem> {
        let now = p.now();
        // A copy from the future is of no known age: the clock was set back.
        let synced_at = self.synced_at.get().filter(|at| *at <= now);
        let age = synced_at.map(|at| now.since(at));
        let current = self.config.borrow().clone();
        match (current, age) {
            (Some(config), Some(age)) if age < COPY_AGE_FRESH => Ok(config),
            (Some(config), Some(age)) if age < COPY_AGE_MAX => {
                if self.may_sync(now) {
                    let (isolate, platform) = (Rc::clone(self), p.clone());
                    p.spawn(async move {
                        if let Err(error) = isolate.sync(&platform).await {
                            platform.log(Level::Warn, &format!("registry not reached: {error}"));
                        }
                    });
                }
                Ok(config)
            }
            (current, age) => match self.sync(p).await {
                Ok(()) => self
                    .config
                    .borrow()
                    .clone()
                    .ok_or_else(|| Problem::bug("no configuration after a sync")),
                Err(error) => match (current, age) {
                    (Some(config), Some(age)) if age < OUTAGE_AGE_MAX => {
                        p.log(
                            Level::Warn,
                            &format!("registry not reached, serving on copies: {error}"),
                        );
                        Ok(config)
                    }
                    _ => {
                        p.log(Level::Error, &format!("registry not reached: {error}"));
                        Err(error.into())
                    }
                },
            },
        }
    }

    /// The configuration as far as it is known, however old.
    pub(crate) fn known(&self) -> Option<Rc<Config>> {
        self.config.borrow().clone()
    }

    fn may_sync(&self, now: Timestamp) -> bool {
        self.syncing_since
            .get()
            .is_none_or(|since| now.since(since) >= COPY_AGE_FRESH)
    }

    async fn sync<P: Platform>(&self, p: &P) -> Result<(), StoreError> {
        let asked_at = p.now();
        self.syncing_since.set(Some(asked_at));
        let since = self.sequence.get();
        let is_told = since > 0 || p.has_key_copies();
        let seed = self.seed.borrow().clone();
        let command = registry::Command::Sync {
            since: is_told.then_some(since),
            seed: seed.as_ref().map(|seed| seed.hash.clone()),
        };
        let registry::Reply::Changes(changes) = p.registry(&command).await? else {
            return Err(unexpected("sync"));
        };
        self.learn(&changes);
        let mut version = changes.config_version;
        if let Some(seed) = seed.as_ref().filter(|_| !changes.is_seeded) {
            version = self.plant(p, seed, version).await?;
        }
        self.seed.replace(None);
        let known = self.config.borrow().as_ref().map(|config| config.version);
        // Another request may have handed the deployed document in meanwhile, and not loaded it yet.
        if known != Some(version) {
            let is_current = |seed: &Rc<Seed>| changes.config_sha256.as_ref() == Some(&seed.hash);
            match seed.filter(|seed| changes.is_seeded && is_current(seed)) {
                Some(seed) => self.compile(p, version, &seed.document)?,
                None => self.load(p, version).await?,
            }
        }
        // What was answered was true when it was asked for, or later.
        self.synced_at.set(Some(asked_at));
        self.syncing_since.set(None);
        Ok(())
    }

    fn learn(&self, changes: &Changes) {
        let mut keys = self.keys.borrow_mut();
        if changes.everything {
            keys.clear();
        }
        let mut suspects = self.suspects.borrow_mut();
        for hash in &changes.keys {
            keys.remove(hash);
            if suspects.len() < KEYS_MAX {
                suspects.insert(hash.clone());
            } else {
                self.suspects_all.set(true);
            }
        }
        self.sequence.set(changes.sequence);
    }

    /// Hands the deployed document in, once for each isolate; the registry keeps it if it has never seen it.
    async fn plant<P: Platform>(
        &self,
        p: &P,
        seed: &Seed,
        version: u64,
    ) -> Result<u64, StoreError> {
        let reply = p
            .registry(&registry::Command::SeedConfig {
                document: seed.document.clone(),
                hash: seed.hash.clone(),
            })
            .await?;
        match reply {
            registry::Reply::ConfigVersion { version, .. } => Ok(version),
            _ => Ok(version),
        }
    }

    async fn load<P: Platform>(&self, p: &P, version: u64) -> Result<(), StoreError> {
        let reply = p
            .registry(&registry::Command::Config {
                version: (version > 0).then_some(version),
            })
            .await?;
        let registry::Reply::Config(stored) = reply else {
            return Err(unexpected("config"));
        };
        self.compile(p, stored.version, &stored.document)
    }

    /// Puts a version into force.
    fn compile<P: Platform>(&self, p: &P, version: u64, document: &str) -> Result<(), StoreError> {
        let compiled = sluice_units::json::from_slice::<Document>(document.as_bytes())
            .map_err(|error| error.to_string())
            .and_then(|document| {
                config::checked(p, &document)
                    .map_err(|issues| issues.first().map_or_else(String::new, ToString::to_string))
            });
        match compiled {
            Ok(mut config) => {
                config.version = version;
                self.config.replace(Some(Rc::new(config)));
                Ok(())
            }
            // The registry only stores what was validated; an older code may still not understand a newer document.
            Err(error) if self.config.borrow().is_some() => {
                p.log(
                    Level::Error,
                    &format!("configuration version {version} is not understood: {error}"),
                );
                Ok(())
            }
            Err(error) => Err(StoreError::Unavailable {
                store: "configuration",
                detail: error,
            }),
        }
    }

    /// The access tokens that were bought.
    #[must_use]
    pub const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// A provider refuses the country that calls from here come from; that is remembered for a while.
    pub(crate) fn refused_here(&self, until: Timestamp, provider: &ProviderId) {
        self.refusing.borrow_mut().insert(provider.clone(), until);
    }

    /// Whether a provider refuses the country that calls from here come from, as far as is known.
    pub(crate) fn is_refused_here(&self, now: Timestamp, provider: &ProviderId) -> bool {
        let until = self.refusing.borrow().get(provider).copied();
        until.is_some_and(|until| now < until)
    }

    /// Forgets how old the copies are: the next request asks the registry first.
    pub fn distrust(&self) {
        self.synced_at.set(None);
    }

    /// The key with this hash: from memory, from the read copy, from the registry, in this order.
    ///
    /// # Errors
    /// A 503 when neither copy nor registry answers: an outage is never shown as a 401.
    pub async fn key<P: Platform>(
        &self,
        p: &P,
        hash: &str,
    ) -> Result<Option<Rc<KeyRecord>>, Problem> {
        if let Some(known) = self.keys.borrow().get(hash) {
            return Ok(known.clone());
        }
        let learned = self.sequence.get();
        let suspect = self.suspects_all.get() || self.suspects.borrow().contains(hash);
        let copy = if suspect || !p.has_key_copies() {
            None
        } else {
            // A copy that does not answer is no reason to refuse: the authority is asked.
            p.key_copy(hash).await.unwrap_or(None)
        };
        let found = match copy {
            Some(key) => Some(key),
            None => {
                let command = registry::Command::FindKey {
                    hash: hash.to_owned(),
                };
                match p.registry(&command).await? {
                    registry::Reply::Key { key } => Some(*key),
                    registry::Reply::NotFound => None,
                    _ => return Err(Problem::bug("the registry's answer to FindKey")),
                }
            }
        };
        let found = found.filter(|key| key.hash == hash).map(Rc::new);
        // What was read before a change was learned of may be older than the change.
        if self.sequence.get() == learned {
            let mut keys = self.keys.borrow_mut();
            if keys.len() >= KEYS_MAX {
                keys.clear();
            }
            keys.insert(hash.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// Asks a ledger, and hears what it has heard.
    ///
    /// # Errors
    /// [`StoreError`] when it does not answer: whether the commands were carried out is not known.
    pub async fn ask_ledger<P: Platform>(
        &self,
        p: &P,
        ledger: &Permitted<LedgerId>,
        commands: Vec<ledger::Command>,
    ) -> Result<Vec<ledger::Reply>, StoreError> {
        let call = self.call(ledger, commands);
        let answer = p.ledger(ledger, &call).await?;
        self.hear(p.now(), ledger, answer.notices, answer.head);
        Ok(answer.replies)
    }

    /// Commands, with what this isolate knows.
    pub(crate) fn call(&self, ledger: &LedgerId, commands: Vec<ledger::Command>) -> ledger::Call {
        ledger::Call {
            commands,
            batch: self.heads.borrow().get(ledger).map_or(0, |head| head.batch),
            notices: Notices {
                registry_sequence: self.sequence.get(),
                health_version: self.circuits.borrow().version(),
            },
        }
    }

    /// Somebody knows of a change that this isolate does not know of: its copies are not fresh any more, and the next
    /// request has them refreshed.
    pub(crate) fn hear(
        &self,
        now: Timestamp,
        ledger: &LedgerId,
        notices: Notices,
        head: Option<Head>,
    ) {
        self.circuits.borrow_mut().hear_of(notices.health_version);
        if let Some(head) = head {
            self.heads.borrow_mut().insert(ledger.clone(), head);
        }
        if notices.registry_sequence > self.sequence.get() {
            let fresh_since = now.minus(COPY_AGE_FRESH);
            let synced_at = self.synced_at.get();
            self.synced_at.set(synced_at.map(|at| at.min(fresh_since)));
        }
    }

    /// Where a ledger's chain stands, as far as is known.
    pub(crate) fn head(&self, ledger: &LedgerId) -> Option<Head> {
        self.heads.borrow().get(ledger).cloned()
    }

    /// The registry's last change that is known.
    pub(crate) const fn sequence(&self) -> u64 {
        self.sequence.get()
    }

    /// Sends a command to a ledger in company; nobody waits for it. If it is lost with the isolate, the
    /// reservation's expiry makes good for it.
    pub fn defer<P: Platform>(
        self: &Rc<Self>,
        p: &P,
        ledger: &Permitted<LedgerId>,
        command: ledger::Command,
    ) {
        if !commit::send(p, self, ledger, command, Listener::Nobody) {
            p.log(
                Level::Error,
                &format!(
                    "the queue for the ledger {} is full: a settlement is left to expiry",
                    ledger.name()
                ),
            );
        }
    }
}

fn unexpected(what: &'static str) -> StoreError {
    StoreError::Unavailable {
        store: "registry",
        detail: format!("an unexpected answer to {what}"),
    }
}
