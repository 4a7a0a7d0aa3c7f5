//! The configuration: as it is written ([`Document`]) and as the request path reads it ([`Config`]).
//!
//! Decides what is a legal configuration, every default, where a model's name leads and which rules stand over a key.
//! Knows no file, no catalogue and no secret: the command line fills in the catalogue's facts beforehand, and secrets
//! appear by name only. The same checks run there and in the worker.

mod compile;
mod compiled;
mod counting;
mod deployment;
mod document;
mod elsewhere;
mod entries;
mod issue;
mod keepers;
mod offer;
mod pattern;
mod sandbox;
mod scopes;
mod secrets;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluice_machines::limit::Rule;
use sluice_machines::registry::KeyRecord;
use sluice_units::{KeyId, LedgerId, ModelId, OrgId, Region, SortedMap, SortedSet, Timestamp};

pub(crate) use compile::shown_span;
pub use compile::{KeyRules, rules};
pub use compiled::{
    Accounting, Auth, AwsKeys, Capabilities, Capacity, Circuit, Egress, Failures, FallbackOn,
    Gateway, Hedge, KeyDefaults, Provider, ProviderDialect, Retry, Route, TargetRef, Timeouts,
};
pub use deployment::Deployment;
pub use document::{
    AccountingDocument, AccountingName, AuthDocument, AwsDocument, AzureDocument, BudgetDocument,
    CapabilityName, CapacityDocument, CircuitDocument, DataName, DialectName, Document, EgressName,
    EgressWhen, FailureName, FallbackReason, GatewayDocument, GoogleDocument, HedgeDocument,
    JurisdictionName, KeyDefaultsDocument, KeyDocument, LimitDocument, MemberDocument,
    ModelDocument, OrgDocument, PeriodName, PlaceBy, PriceDocument, PricesDocument,
    ProviderDocument, QuantityDocument, QuirksDocument, RegionDocument, RetryDocument,
    RouteDocument, TargetDocument, TeamDocument, TierDocument, TimeoutsDocument,
    ZoneChangeDocument, ZoneDocument,
};
pub(crate) use elsewhere::checked;
pub use entries::Entries;
pub use issue::{Issue, Path, Step};
pub use pattern::matches as pattern_matches;
pub use sandbox::SANDBOX;
pub use scopes::{Place, ScopeError};
pub use secrets::without_values;

use counting::{Counting, Ledgers};
use offer::Offer;
use scopes::Org;

use crate::residency::RegionRules;

impl Document {
    /// Reads a resolved document.
    ///
    /// # Errors
    /// One [`Issue`] that names the line and what is wrong there.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Issue> {
        sluice_units::json::from_slice(bytes).map_err(|error| Issue {
            path: Path::root(),
            problem: without_values(&error.to_string()),
            hint: String::new(),
        })
    }
}

/// A configuration without faults. Only [`Config::compile`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The registry's number for it; 0 until it has one.
    pub version: u64,
    /// The gateway itself.
    pub gateway: Gateway,
    /// Reservations and records.
    pub accounting: Accounting,
    offers: Vec<Offer>,
    routes: SortedMap<String, Arc<Route>>,
    orgs: BTreeMap<OrgId, Org>,
    regions: SortedMap<Region, Arc<RegionRules>>,
    ledgers: Ledgers,
    notify_secrets: Vec<String>,
}

impl Config {
    /// Checks a resolved document and makes it ready for use.
    ///
    /// # Errors
    /// Everything that is wrong with it, never nothing.
    pub fn compile(document: &Document) -> Result<Self, Vec<Issue>> {
        compile::compile(document)
    }

    /// Where a model's name leads: a configured name first, then `provider/model`, then a bare name that a provider
    /// knows, providers in the order in which they are written. None when nobody serves it.
    #[must_use]
    pub fn resolve_model(&self, name: &str) -> Option<Arc<Route>> {
        if let Some(route) = self.routes.get(name) {
            return Some(Arc::clone(route));
        }
        let target = self.direct(name)?;
        Some(Arc::new(Route {
            name: ModelId::new(name).ok()?,
            targets: vec![target],
            fallback_on: FallbackOn::default(),
            hedge: None,
        }))
    }

    /// Whether the key and every level above it let this model through.
    ///
    /// A pattern is held against the name as the caller wrote it, and for a name that is not a configured route
    /// against `provider/model` too.
    ///
    /// # Errors
    /// [`ScopeError`] when the key names something that the configuration does not hold.
    pub fn allows_model(&self, key: &KeyRecord, route: &Route) -> Result<bool, ScopeError> {
        let (levels, _) = scopes::levels(&self.orgs, key)?;
        let name = route.name.as_str();
        let canonical = match route.targets.first() {
            Some(target) if !self.routes.contains_key(name) => Some(canonical(target)),
            _ => None,
        };
        Ok(scopes::allows(&levels, key, name, canonical.as_deref()))
    }

    /// The public model names that this key may use, for the list of models: configured names, then each provider's
    /// models, bare where the bare name leads to it and as `provider/model` where not.
    ///
    /// # Errors
    /// [`ScopeError`] when the key names something that the configuration does not hold.
    pub fn models_for(&self, key: &KeyRecord) -> Result<Vec<String>, ScopeError> {
        let (levels, _) = scopes::levels(&self.orgs, key)?;
        let mut names: Vec<String> = self
            .routes
            .keys()
            .filter(|name| scopes::allows(&levels, key, name, None))
            .cloned()
            .collect();
        let mut taken: BTreeSet<&str> = self.routes.keys().map(String::as_str).collect();
        for offer in &self.offers {
            for (model, target) in &offer.known {
                let full = canonical(target);
                let free = !is_sandbox(offer) && taken.insert(model);
                let name = if free { model } else { &full };
                if !self.routes.contains_key(name)
                    && scopes::allows(&levels, key, name, Some(&full))
                {
                    names.push(name.clone());
                }
            }
        }
        Ok(names)
    }

    /// A key's place at this moment. A key without rules of its own has those of its organisation's key defaults.
    ///
    /// # Errors
    /// [`ScopeError`] when the key names something that the configuration does not hold.
    pub fn place_of(&self, key: &KeyRecord, at: Timestamp) -> Result<Place, ScopeError> {
        scopes::place(&self.orgs, key, at, &self.regions)
    }

    /// A region that requests can be held to.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<&Arc<RegionRules>> {
        let region = Region::new(name).ok()?;
        self.regions.get(&region).filter(|rules| rules.can_hold())
    }

    /// Every region, in the order of their names.
    pub fn regions(&self) -> impl Iterator<Item = &Arc<RegionRules>> {
        self.regions.values()
    }

    /// An organisation's ledger in a region, or where the gateway is, whether or not the configuration names the
    /// organisation (any more). Where it has shards, it counts no requests by itself.
    #[must_use]
    pub fn ledger(&self, org: &OrgId, region: Option<&Region>) -> LedgerId {
        let known = self.counting(org, region).map(Counting::whole);
        known.cloned().unwrap_or_else(|| {
            let region = region.unwrap_or(&self.gateway.region);
            let rules = self.regions.get(region);
            let jurisdiction = rules.and_then(|rules| rules.jurisdiction);
            LedgerId::new(org.clone(), region.clone(), jurisdiction)
        })
    }

    /// The ledger that counts the requests of a key of this organisation in a region, or where the gateway is.
    #[must_use]
    pub fn ledger_of(&self, (org, key): (&OrgId, &KeyId), region: Option<&Region>) -> LedgerId {
        let known = self.counting(org, region).map(|all| all.of_key(key));
        known.cloned().unwrap_or_else(|| self.ledger(org, region))
    }

    /// The ledgers that an organisation's keys are divided among in a region, or where the gateway is; none where one
    /// counts all.
    #[must_use]
    pub fn shards(&self, org: &OrgId, region: Option<&Region>) -> &[LedgerId] {
        self.counting(org, region).map_or(&[], Counting::shards)
    }

    fn counting(&self, org: &OrgId, region: Option<&Region>) -> Option<&Counting> {
        let region = region.unwrap_or(&self.gateway.region);
        self.ledgers.get(org)?.get(region)
    }

    /// What a new key of this organisation gets; none where there is no such organisation.
    #[must_use]
    pub fn key_defaults(&self, org: &OrgId) -> Option<&KeyDefaults> {
        self.orgs.get(org).map(|org| &org.key_defaults)
    }

    /// An organisation's own rules.
    #[must_use]
    pub fn rules_of(&self, org: &OrgId) -> Option<&[Rule]> {
        self.orgs.get(org).map(|org| org.level.rules.as_slice())
    }

    /// Every organisation, in the order of their names.
    pub fn orgs(&self) -> impl Iterator<Item = &OrgId> {
        self.orgs.keys()
    }

    /// Every provider, in the order in which they are asked for a bare model name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.offers.iter().map(|offer| &offer.provider)
    }

    /// Whether any call to this provider depends on its circuit.
    #[must_use]
    pub fn depends_on_circuit(&self, provider: &Provider) -> bool {
        let counts = |circuit: &Circuit| circuit.failures != Failures::NONE;
        let mut targets = self.routes.values().flat_map(|route| &route.targets);
        counts(&provider.circuit)
            || targets.any(|one| one.provider.id == provider.id && counts(&one.circuit))
    }

    /// The targets that pinned callers never reach, though their routes name them: what an operator should know.
    #[must_use]
    pub fn closed_to_pinned(&self) -> Vec<Issue> {
        compile::closed(&self.orgs, &self.routes)
    }

    /// The regions that count by themselves beside an organisation's home: what an operator should know.
    #[must_use]
    pub fn counted_apart(&self) -> Vec<Issue> {
        compile::apart(&self.orgs, &self.ledgers)
    }

    /// The organisations of whose requests and answers something is on record, and the names of the secrets that it is
    /// sealed under.
    pub fn body_keys(&self) -> impl Iterator<Item = (&OrgId, &str)> {
        let wants = |(id, org)| Some((id, scopes::body_key(org)?));
        self.orgs.iter().filter_map(wants)
    }

    /// The names of all secrets that providers, receivers of events and bodies on record need, sorted; of names that stand together one suffices.
    #[must_use]
    pub fn secrets_needed(&self) -> SortedSet<Vec<&str>> {
        self.providers()
            .flat_map(|provider| provider.secrets_needed())
            .chain(self.notify_secrets.iter().map(|name| vec![name.as_str()]))
            .chain(self.body_keys().map(|(_, name)| vec![name]))
            .collect()
    }

    fn direct(&self, name: &str) -> Option<TargetRef> {
        let qualified = name.split_once('/').and_then(|(provider, model)| {
            let found = self
                .offers
                .iter()
                .find(|o| o.provider.id.as_str() == provider);
            found.and_then(|offer| offer.target(model))
        });
        qualified.or_else(|| {
            let mut known = self.offers.iter().filter(|offer| !is_sandbox(offer));
            known.find_map(|offer| offer.known.get(name).cloned())
        })
    }
}

/// The sandbox is always there: its names must not shadow anybody's.
fn is_sandbox(offer: &Offer) -> bool {
    offer.provider.dialect == ProviderDialect::Sandbox
}

fn canonical(target: &TargetRef) -> String {
    format!("{}/{}", target.provider.id, target.model)
}

#[cfg(test)]
mod tests;
