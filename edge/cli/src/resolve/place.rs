//! Where a provider is, as far as its address says it.

use sluice_catalogue::ProviderFacts;
use sluice_core::config::{Issue, Path, PlaceBy, ProviderDocument};
use sluice_core::residency::{Countries, Country};

use super::REGION;

/// Fills in the country that the provider's address stands for, or says that it is another than the one written.
pub(super) fn complete(
    name: &str,
    provider: &mut ProviderDocument,
    facts: &ProviderFacts,
) -> Option<Issue> {
    let region = region(provider, facts)?;
    let known = facts.countries.get(&region)?;
    let Some(written) = &provider.country else {
        provider.country = Some(known.clone());
        provider.country_by = Some(PlaceBy::Endpoint);
        return None;
    };
    let (written, known) = (Country::new(written)?, Country::new(known)?);
    let agree = Countries::new([written]).hold(known) || Countries::new([known]).hold(written);
    (!agree).then(|| Issue {
        path: Path::root().name("providers").name(name).name("country"),
        problem: format!("says {written}, and the provider's address is in {known}"),
        hint: "leave it out, or call another address".to_owned(),
    })
}

/// The provider's own name for the region that its address stands for.
fn region(provider: &ProviderDocument, facts: &ProviderFacts) -> Option<String> {
    let Some(address) = &provider.base_url else {
        let location = provider.google.location.as_ref();
        return location.or(provider.region.as_ref()).cloned();
    };
    let address = address.trim_end_matches('/');
    let mut regional = facts.endpoints.iter();
    if let Some((region, _)) = regional.find(|(_, known)| known.trim_end_matches('/') == address) {
        return Some(region.clone());
    }
    let (before, after) = facts.base_url.as_deref()?.split_once(REGION)?;
    let region = address.strip_prefix(before)?.strip_suffix(after)?;
    Some(region.to_owned())
}
