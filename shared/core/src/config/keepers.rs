//! Who keeps files and batches for whom.

use std::sync::Arc;

use sluice_machines::registry::KeyRecord;
use sluice_units::ProviderId;
use sluice_wire::Dialect;

use super::{Config, Offer, Provider, ProviderDialect, ScopeError, canonical, scopes};

impl Config {
    /// The providers that keep files and batches and that the key may use, in the order in which they are written.
    ///
    /// A key that may use certain models only may use a provider that serves one of them.
    ///
    /// # Errors
    /// [`ScopeError`] when the key names something that the configuration does not hold.
    pub fn keepers(&self, key: &KeyRecord) -> Result<Vec<&Arc<Provider>>, ScopeError> {
        let (levels, _) = scopes::levels(&self.orgs, key)?;
        let is_free = key.models.is_empty() && levels.iter().all(|(_, it)| it.models.is_empty());
        let serves_one = |offer: &Offer| {
            let mut known = offer.known.iter();
            let mut routes = self.routes.iter();
            known.any(|(name, target)| scopes::allows(&levels, key, name, Some(&canonical(target))))
                || routes.any(|(name, route)| {
                    let is_here = |id: &ProviderId| *id == offer.provider.id;
                    route
                        .targets
                        .iter()
                        .any(|target| is_here(&target.provider.id))
                        && scopes::allows(&levels, key, name, None)
                })
        };
        let keepers = self.offers.iter().filter(|offer| {
            matches!(
                offer.provider.dialect,
                ProviderDialect::Wire(Dialect::OpenAi | Dialect::Responses)
            ) && (is_free || serves_one(offer))
        });
        Ok(keepers.map(|offer| &offer.provider).collect())
    }

    /// Whether somebody has said which models the key may use at this provider: then what it asks for must be read.
    ///
    /// # Errors
    /// [`ScopeError`] when the key names something that the configuration does not hold.
    pub fn chooses_models(
        &self,
        key: &KeyRecord,
        provider: &ProviderId,
    ) -> Result<bool, ScopeError> {
        let (levels, _) = scopes::levels(&self.orgs, key)?;
        let by_scope = !key.models.is_empty() || levels.iter().any(|(_, it)| !it.models.is_empty());
        let by_provider = self.offers.iter().any(|offer| {
            let some = |allow: &Vec<_>| !allow.iter().any(super::pattern::Pattern::is_any);
            offer.provider.id == *provider
                && (!offer.deny.is_empty() || offer.allow.as_ref().is_some_and(some))
        });
        Ok(by_scope || by_provider)
    }
}
