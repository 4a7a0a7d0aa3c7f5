//! Providers, and the models that each serves.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use sluice_units::{ProviderId, Region, SortedMap, Span};
use sluice_wire::Dialect;

use super::orgs::QUEUE_ALLOWED;
use super::prices::Prices;
use super::{Check, Defaults};
use crate::config::compiled::{Capacity, Provider, ProviderDialect, TargetRef};
use crate::config::document::{
    CapacityDocument, DialectName, Document, ModelDocument, ProviderDocument,
};
use crate::config::issue::Trail;
use crate::config::offer::Offer;
use crate::config::pattern::Pattern;
use crate::config::{Entries, SANDBOX, sandbox, secrets};
use crate::residency::Place;

/// How many calls a provider may take at once.
const CONCURRENT_ALLOWED: RangeInclusive<u64> = 1..=10_000;
/// Headers that belong to HTTP, and never to a configuration.
pub(super) const HEADERS_OF_HTTP: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// Headers that hold a secret, and so never a text that stands in a file.
const HEADERS_OF_KEYS: [&str; 5] = [
    "api-key",
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "x-goog-api-key",
];

/// Every provider that is written, in order, and the sandbox.
pub(super) fn compile(
    check: &mut Check,
    document: &Document,
    defaults: &Defaults,
    mut prices: SortedMap<String, Prices>,
) -> Vec<Offer> {
    let root = Trail::Root.name("providers");
    let mut offers = Vec::new();
    for (name, provider) in document.providers.iter() {
        let path = root.name(name);
        let prices = prices.remove(name).unwrap_or_default();
        offers.extend(check.provider(&path, name, provider, defaults, prices));
    }
    if document.providers.find(SANDBOX).is_none() {
        let path = root.name(SANDBOX);
        let prices = prices.remove(SANDBOX).unwrap_or_default();
        let provider = sandbox::provider();
        offers.extend(check.provider(&path, SANDBOX, &provider, defaults, prices));
    }
    offers
}

impl Check {
    fn provider(
        &mut self,
        path: &Trail<'_>,
        name: &str,
        document: &ProviderDocument,
        defaults: &Defaults,
        mut prices: Prices,
    ) -> Option<Offer> {
        let id = self.id(path, name, ProviderId::new);
        let Some(dialect) = document.dialect else {
            let hint = "write dialect = \"openai\" (or \"anthropic\", \"gemini\", \"responses\", \"bedrock\", \"cohere\") and base_url, or the provider's name in the catalogue as catalogue = \"…\"";
            self.0.add(
                path,
                "has no dialect, and the catalogue does not know it",
                hint,
            );
            return None;
        };
        self.provider_name(path, name, dialect);
        self.percent(path, document.discount_percent);
        let region = document.region.as_deref();
        let region = region.and_then(|text| self.id(&path.name("region"), text, Region::new));
        let access = self.access(path, document, dialect);
        let is_global = access.base_url.contains("/locations/global/");
        let provider = Provider {
            id: id?,
            dialect: compiled_dialect(dialect),
            base_url: access.base_url,
            auth: access.auth,
            keys: access.keys,
            hosting: access.hosting,
            headers: self.headers(&path.name("headers"), document),
            timeouts: self.timeouts(
                &path.name("timeouts"),
                &document.timeouts,
                &defaults.timeouts,
            ),
            retry: self.retry(&path.name("retry"), &document.retry, &defaults.retry),
            circuit: self.circuit(&path.name("circuit"), &document.circuit, &defaults.circuit),
            capacity: self.capacity(&path.name("capacity"), &document.capacity),
            region,
            place: self.provider_place(path, document, is_global),
            has_baa: document.baa.unwrap_or_default(),
            egress: self.egress(path, document.egress, document.egress_when),
        };
        let sandbox = (dialect == DialectName::Sandbox)
            .then(|| sandbox::completed(&document.models, &mut prices));
        let mut offer = Offer {
            provider: Arc::new(provider),
            allow: document.models_allow.as_deref().map(patterns),
            deny: patterns(&document.models_deny),
            quirks: document.quirks.clone(),
            prices,
            known: SortedMap::new(),
        };
        offer.known = self.known(path, &offer, sandbox.as_ref().unwrap_or(&document.models));
        Some(offer)
    }

    fn capacity(&mut self, path: &Trail<'_>, document: &CapacityDocument) -> Option<Capacity> {
        let queue = document.queue.as_deref();
        let queue = queue.map(|text| {
            let path = path.name("queue");
            self.span(&path, Some(text), Span::ZERO, &QUEUE_ALLOWED)
        });
        if document.concurrent.is_none() && queue.is_some() {
            let hint = "write concurrent = 50, or how many calls the provider takes at once";
            self.0
                .add(path, "has a queue, and no bound to wait for", hint);
        }
        let path = path.name("concurrent");
        let concurrent = document.concurrent?;
        let concurrent = self.number(&path, Some(concurrent), 1, &CONCURRENT_ALLOWED);
        Some(Capacity {
            concurrent: u32::try_from(concurrent).ok()?,
            queue,
        })
    }

    fn provider_place(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
        is_global: bool,
    ) -> Option<Place> {
        let place = self.declared_place(path, document.country.as_deref(), document.country_by);
        if is_global && place.is_some() {
            let problem = "is declared for the location \"global\", which serves from anywhere";
            let hint = "name a location, such as \"europe-west4\"";
            self.0.add(&path.name("country"), problem, hint);
        }
        place
    }

    fn provider_name(&mut self, path: &Trail<'_>, name: &str, dialect: DialectName) {
        if name == SANDBOX && dialect != DialectName::Sandbox {
            let hint = "give this provider another name";
            self.0
                .add(path, "is the name of the built-in provider", hint);
        }
    }

    /// The models that are known of a provider and allowed.
    fn known(
        &mut self,
        path: &Trail<'_>,
        offer: &Offer,
        models: &Entries<ModelDocument>,
    ) -> SortedMap<String, TargetRef> {
        // A model that has a price of its own is known too.
        let priced = offer.prices.exact.keys();
        let mut all: SortedMap<&str, Option<&ModelDocument>> = SortedMap::new();
        all.extend(priced.map(|name| (name.as_str(), None)));
        all.extend(models.iter().map(|(name, facts)| (name, Some(facts))));
        let mut known = SortedMap::new();
        let within = path.name("models");
        for (name, facts) in all {
            let path = within.name(name);
            if let Some(facts) = facts {
                self.declared_place(&path, facts.country.as_deref(), facts.country_by);
            }
            match offer.build(name, facts) {
                Some(target) if offer.allows(name) => {
                    known.insert(name.to_owned(), target);
                }
                Some(_) => {}
                None => {
                    let problem = format!("{} cannot be a model's name", secrets::shown(name));
                    let hint = "allowed are letters, digits and -_.:/@+";
                    self.0.add(&path, problem, hint);
                }
            }
        }
        if known.is_empty() && offer.allow.is_none() {
            let id = &offer.provider.id;
            let hint = format!(
                "write models_allow = [\"*\"], or name its models as [providers.{id}.models.\"…\"]"
            );
            self.0.add(path, "serves no model that is known", hint);
        }
        known
    }

    fn headers(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, value) in document.headers.iter() {
            let path = path.name(name);
            let (Ok(header), Ok(static_value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) else {
                self.0
                    .add(&path, "is not a header", "names and values are plain ASCII");
                continue;
            };
            if HEADERS_OF_HTTP.contains(&header.as_str()) {
                self.0
                    .add(&path, "is set by the gateway alone", "leave it out");
            } else if HEADERS_OF_KEYS.contains(&header.as_str()) {
                let hint = "the provider's key is configured by key and auth";
                self.0.add(&path, "is set by the gateway alone", hint);
            } else if secrets::looks_like_one(value) {
                let hint = "headers hold no secrets; use key and auth";
                self.0.add(&path, "looks like a secret", hint);
            } else {
                headers.push((header, static_value));
            }
        }
        headers
    }

    fn percent(&mut self, path: &Trail<'_>, written: Option<u32>) {
        let path = path.name("discount_percent");
        self.number(&path, written.map(u64::from), 0, &(0..=100));
    }
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

const fn compiled_dialect(name: DialectName) -> ProviderDialect {
    match name {
        DialectName::OpenAi => ProviderDialect::Wire(Dialect::OpenAi),
        DialectName::Anthropic => ProviderDialect::Wire(Dialect::Anthropic),
        DialectName::Gemini => ProviderDialect::Wire(Dialect::Gemini),
        DialectName::Responses => ProviderDialect::Wire(Dialect::Responses),
        DialectName::Bedrock => ProviderDialect::Wire(Dialect::Bedrock),
        DialectName::Cohere => ProviderDialect::Wire(Dialect::Cohere),
        DialectName::Sandbox => ProviderDialect::Sandbox,
    }
}
