//! Fills in what the catalogue knows of configured providers. What the operator wrote always holds.

use sluice_catalogue::{Ability, Catalogue, ModelFacts, Prices, ProviderFacts, Quirks, Tier};
use sluice_core::config::{
    AuthDocument, CapabilityName, DialectName, Document, Entries, Issue, KeyDocument,
    ModelDocument, Path, PriceDocument, PricesDocument, ProviderDocument, QuirksDocument, SANDBOX,
    TierDocument, pattern_matches,
};

use crate::similar::similar;

mod place;

/// What stands for the region in the catalogue's addresses.
const REGION: &str = "${REGION}";
/// What stands for the account's own name in Azure's.
const AZURE_RESOURCE: &str = "${AZURE_RESOURCE_NAME}";

/// Completes the document; returns what is wrong with references to the catalogue.
pub(crate) fn resolve(document: &mut Document, catalogue: &Catalogue) -> Vec<Issue> {
    let mut issues = Vec::new();
    let Document {
        providers, prices, ..
    } = document;
    for (name, provider) in providers.iter_mut() {
        let wanted = provider.catalogue.clone();
        let wanted_name = wanted.as_deref().unwrap_or(name);
        match catalogue.provider(wanted_name) {
            Some(facts) => {
                // Models first: over a model's own facts holds only what the operator wrote of the provider.
                let models = catalogue.models(facts);
                complete_models(name, provider, prices, models);
                complete(provider, facts);
                issues.extend(place::complete(name, provider, facts));
            }
            None if wanted.is_some() => {
                issues.push(unknown(name, wanted_name, catalogue));
            }
            None if name == SANDBOX && provider.dialect.is_none() => {
                provider.dialect = Some(DialectName::Sandbox);
                provider
                    .models_allow
                    .get_or_insert_with(|| vec!["*".to_owned()]);
            }
            None if provider.dialect.is_none() => issues.push(nameless(name, catalogue)),
            None => {}
        }
    }
    issues
}

fn unknown(name: &str, wanted: &str, catalogue: &Catalogue) -> Issue {
    Issue {
        path: Path::root().name("providers").name(name).name("catalogue"),
        problem: format!("the catalogue knows no provider {wanted:?}"),
        hint: meant(wanted, catalogue),
    }
}

/// A provider that neither the catalogue nor the operator describes.
fn nameless(name: &str, catalogue: &Catalogue) -> Issue {
    let hint = meant(name, catalogue);
    Issue {
        path: Path::root().name("providers").name(name),
        problem: "the catalogue does not know it, and it has no dialect".to_owned(),
        hint: format!(
            "{hint}; for a provider of your own write dialect = \"openai\" (or \"anthropic\", \"gemini\", \"responses\", \"bedrock\", \"cohere\") and base_url"
        ),
    }
}

fn meant(wanted: &str, catalogue: &Catalogue) -> String {
    let ids = catalogue.providers().iter().map(|facts| facts.id.as_str());
    match similar(wanted, ids) {
        Some(known) => format!("did you mean {known}"),
        None => "`sluice catalogue list` shows those that it knows".to_owned(),
    }
}

fn complete(provider: &mut ProviderDocument, facts: &ProviderFacts) {
    if provider.dialect.is_none() {
        let mut dialects = DialectName::ALL.iter();
        provider.dialect = dialects.find(|d| d.name() == facts.dialect).copied();
    }
    if provider.base_url.is_none() {
        let regional = provider.region.as_ref();
        let regional = regional.and_then(|region| facts.endpoints.get(region));
        provider.base_url = regional.or(facts.base_url.as_ref()).cloned();
        for (place, written) in [
            (REGION, &provider.region),
            (AZURE_RESOURCE, &provider.azure.resource),
        ] {
            if let (Some(address), Some(written)) = (&mut provider.base_url, written) {
                *address = address.replace(place, written);
            }
        }
    }
    if provider.auth.is_none() {
        provider.auth = match (&facts.header, &facts.key, &provider.key) {
            _ if facts.service_account => Some(AuthDocument::ServiceAccount),
            (Some(header), _, _) => Some(AuthDocument::Header(header.clone())),
            (None, None, None) => Some(AuthDocument::None),
            _ => None,
        };
    }
    let keyless = matches!(
        provider.auth,
        Some(AuthDocument::None | AuthDocument::SigV4)
    );
    if provider.key.is_none() && !keyless {
        provider.key = facts.key.clone().map(|key| KeyDocument(vec![key]));
    }
    let mut known = quirks_document(facts.quirks);
    if !facts.fields_refused.is_empty() {
        known.fields_refused = Some(facts.fields_refused.clone());
    }
    provider.quirks.fill(&known);
}

/// The catalogue's words are the configuration's; a test holds them together.
fn quirks_document(quirks: Quirks) -> QuirksDocument {
    let words = serde_json::to_value(quirks).and_then(serde_json::from_value);
    words.unwrap_or_default()
}

/// Adds the models that can be served and are let through, and their prices.
fn complete_models<'a>(
    name: &str,
    provider: &mut ProviderDocument,
    prices: &mut Entries<PricesDocument>,
    models: impl Iterator<Item = &'a ModelFacts>,
) {
    // Only what the operator wrote: the catalogue's own prices are exact names.
    let covered: Vec<String> = prices.iter().map(|(key, _)| key.to_owned()).collect();
    for facts in models {
        let (_, model) = facts.names();
        if !served(provider, facts, model) {
            continue;
        }
        let mut own = model_document(facts);
        own.quirks.cut(&provider.quirks);
        if !provider.models.add(model, own.clone()) {
            let mut written = provider.models.iter_mut();
            if let Some((_, written)) = written.find(|(found, _)| *found == model) {
                fill(written, own);
            }
        }
        let full = format!("{name}/{model}");
        if let Some(price) = &facts.price
            && !covered
                .iter()
                .any(|pattern| pattern_matches(pattern, &full))
        {
            prices.add(&full, PricesDocument(vec![price_document(price)]));
        }
    }
}

fn served(provider: &ProviderDocument, facts: &ModelFacts, model: &str) -> bool {
    let matches = |patterns: &[String]| patterns.iter().any(|p| pattern_matches(p, model));
    let can = [Ability::Chat, Ability::Embeddings, Ability::Responses]
        .iter()
        .any(|ability| facts.can.contains(ability));
    let allowed = provider.models_allow.as_deref().is_none_or(matches);
    can && allowed && !matches(&provider.models_deny)
}

fn fill(written: &mut ModelDocument, own: ModelDocument) {
    written.context_tokens = written.context_tokens.or(own.context_tokens);
    written.output_tokens_max = written.output_tokens_max.or(own.output_tokens_max);
    if written.capabilities.is_none() {
        written.capabilities = own.capabilities;
    }
    written.quirks.fill(&own.quirks);
}

fn model_document(facts: &ModelFacts) -> ModelDocument {
    let capabilities = facts.can.iter().filter_map(|ability| match ability {
        Ability::Chat | Ability::Responses => Some(CapabilityName::Chat),
        Ability::Embeddings => Some(CapabilityName::Embeddings),
        Ability::Tools => Some(CapabilityName::Tools),
        Ability::Images => Some(CapabilityName::Images),
        Ability::Audio => Some(CapabilityName::Audio),
        Ability::Documents => Some(CapabilityName::Documents),
        Ability::Reasoning => Some(CapabilityName::Reasoning),
        Ability::StructuredOutput => Some(CapabilityName::StructuredOutput),
        Ability::Video | Ability::DrawImages | Ability::Speak => None,
    });
    let mut quirks = quirks_document(facts.quirks);
    if facts.can.contains(&Ability::Responses) {
        quirks.chat_completions = Some(false);
    }
    ModelDocument {
        context_tokens: facts.context,
        output_tokens_max: facts.output,
        capabilities: Some(capabilities.collect()),
        deployment: None,
        country: None,
        country_by: None,
        quirks,
    }
}

fn price_document(prices: &Prices) -> PriceDocument {
    let prices = prices.clone();
    PriceDocument {
        effective_from: None,
        per_request: prices.per_request,
        per_image: None,
        per_million_characters: None,
        per_second: None,
        above: prices.above.into_iter().map(tier_document).collect(),
        input: prices.input,
        output: prices.output,
        input_cached: prices.input_cached,
        cache_write_5m: prices.cache_write_5m,
        cache_write_1h: prices.cache_write_1h,
        reasoning: prices.reasoning,
        input_audio: prices.input_audio,
        output_audio: prices.output_audio,
        input_image: prices.input_image,
    }
}

fn tier_document(tier: Tier) -> TierDocument {
    TierDocument {
        input_tokens: Some(tier.input_tokens),
        input: tier.input,
        output: tier.output,
        input_cached: tier.input_cached,
        cache_write_5m: tier.cache_write_5m,
        cache_write_1h: tier.cache_write_1h,
        input_audio: tier.input_audio,
        ..TierDocument::default()
    }
}
