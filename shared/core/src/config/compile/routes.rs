//! Public model names: where each leads, in order.

use std::ops::RangeInclusive;
use std::sync::Arc;

use sluice_units::{ModelId, SortedMap, Span};

use super::circuits::CIRCUIT_DEFAULT;
use super::{Check, RETRY_DEFAULT};
use crate::config::Entries;
use crate::config::compiled::{FallbackOn, Hedge, Route, TargetRef};
use crate::config::document::{FallbackReason, HedgeDocument, RouteDocument, TargetDocument};
use crate::config::issue::Trail;
use crate::config::offer::Offer;
use crate::config::secrets;

const TARGETS_MAX: usize = 8;
const NAMES_SHOWN_MAX: usize = 5;
const HEDGE_DEFAULT: Hedge = Hedge {
    after: Span::from_seconds(2),
    percent_max: 10,
};
const AFTER_ALLOWED: RangeInclusive<Span> = Span::from_millis(10)..=Span::from_seconds(60);
const PERCENT_ALLOWED: RangeInclusive<u64> = 1..=100;

pub(super) fn compile(
    check: &mut Check,
    documents: &Entries<RouteDocument>,
    offers: &[Offer],
) -> SortedMap<String, Arc<Route>> {
    let root = Trail::Root.name("models");
    let mut routes = SortedMap::new();
    for (name, document) in documents.iter() {
        let path = root.name(name);
        if let Some(route) = check.route(&path, name, document, offers) {
            routes.insert(name.to_owned(), Arc::new(route));
        }
    }
    routes
}

impl Check {
    fn route(
        &mut self,
        path: &Trail<'_>,
        name: &str,
        document: &RouteDocument,
        offers: &[Offer],
    ) -> Option<Route> {
        let id = self.id(path, name, ModelId::new);
        let targets_path = path.name("targets");
        if document.targets.is_empty() {
            let hint = "write targets = [{ provider = \"openai\", model = \"gpt-4o-mini\" }]";
            self.0
                .add(&targets_path, "names nobody who serves it", hint);
        }
        if document.targets.len() > TARGETS_MAX {
            let problem = format!("has {} targets", document.targets.len());
            self.0.add(
                &targets_path,
                problem,
                format!("allowed are up to {TARGETS_MAX}"),
            );
        }
        self.retry(&path.name("retry"), &document.retry, &RETRY_DEFAULT);
        self.circuit(&path.name("circuit"), &document.circuit, &CIRCUIT_DEFAULT);
        let mut targets = Vec::new();
        for (index, target) in document.targets.iter().enumerate() {
            let path = targets_path.index(index);
            targets.extend(self.target(&path, target, document, offers));
        }
        for (index, target) in document.targets.iter().enumerate() {
            let before = document.targets.iter().take(index);
            if before.into_iter().any(|other| same(other, target)) {
                let hint = "to try it again, raise retry.attempts_max";
                self.0.add(
                    &targets_path.index(index),
                    "stands twice in this route",
                    hint,
                );
            }
        }
        Some(Route {
            name: id?,
            targets,
            fallback_on: document
                .fallback_on
                .as_deref()
                .map_or_else(FallbackOn::default, fallback_on),
            hedge: self.hedge(&path.name("hedge"), document),
        })
    }

    fn hedge(&mut self, path: &Trail<'_>, route: &RouteDocument) -> Option<Hedge> {
        let HedgeDocument { after, percent_max } = &route.hedge;
        if after.is_none() && percent_max.is_none() {
            return None;
        }
        if after.is_none() {
            let hint = "write after = \"2s\", or how long an answer may take to begin";
            self.0.add(path, "does not say when", hint);
        }
        if route.targets.len() == 1 {
            let hint = "name another target";
            self.0
                .add(path, "has nobody to call beside the only target", hint);
        }
        let written = after.as_deref();
        let after = self.span(
            &path.name("after"),
            written,
            HEDGE_DEFAULT.after,
            &AFTER_ALLOWED,
        );
        let usual = u64::from(HEDGE_DEFAULT.percent_max);
        let percent = self.number(
            &path.name("percent_max"),
            *percent_max,
            usual,
            &PERCENT_ALLOWED,
        );
        Some(Hedge {
            after,
            percent_max: u32::try_from(percent).ok()?,
        })
    }

    fn target(
        &mut self,
        path: &Trail<'_>,
        document: &TargetDocument,
        route: &RouteDocument,
        offers: &[Offer],
    ) -> Option<TargetRef> {
        let provider = self.required(path, "provider", document.provider.as_deref());
        let model = self.required(path, "model", document.model.as_deref());
        let provider = provider?;
        let offer = offers
            .iter()
            .find(|offer| offer.provider.id.as_str() == provider);
        let Some(offer) = offer else {
            let problem = format!("no provider is named {}", secrets::shown(provider));
            let names: Vec<&str> = offers.iter().map(|o| o.provider.id.as_str()).collect();
            let hint = format!("configured are {}", names.join(", "));
            self.0.add(&path.name("provider"), problem, hint);
            return None;
        };
        let model = model?;
        let Some(mut target) = offer.target(model) else {
            let problem = format!("{provider} serves no model named {}", secrets::shown(model));
            self.0
                .add(&path.name("model"), problem, similar(offer, model));
            return None;
        };
        // The route's own problems are reported once, with the route.
        let of_route = Self::default().retry(&Trail::Root, &route.retry, &target.retry);
        target.retry = self.retry(&path.name("retry"), &document.retry, &of_route);
        let of_route = Self::default().circuit(&Trail::Root, &route.circuit, &target.circuit);
        target.circuit = self.circuit(&path.name("circuit"), &document.circuit, &of_route);
        let egress = self.egress(path, document.egress, document.egress_when);
        target.egress = egress.or(target.egress);
        Some(target)
    }

    fn required<'a>(
        &mut self,
        path: &Trail<'_>,
        name: &str,
        written: Option<&'a str>,
    ) -> Option<&'a str> {
        if written.is_none() {
            let hint = "a target is { provider = \"…\", model = \"…\" }";
            self.0.add(path, format!("names no {name}"), hint);
        }
        written
    }
}

fn same(one: &TargetDocument, other: &TargetDocument) -> bool {
    one.provider == other.provider && one.model == other.model
}

fn fallback_on(reasons: &[FallbackReason]) -> FallbackOn {
    FallbackOn {
        error: reasons.contains(&FallbackReason::Error),
        rate_limit: reasons.contains(&FallbackReason::RateLimit),
        context_length: reasons.contains(&FallbackReason::ContextLength),
        content_policy: reasons.contains(&FallbackReason::ContentPolicy),
    }
}

/// Names that begin as this one does, or else how to make one known.
fn similar(offer: &Offer, model: &str) -> String {
    let provider = offer.provider.id.as_str();
    let shared = |known: &str| {
        let both = known.bytes().zip(model.bytes());
        both.take_while(|(a, b)| a == b).count()
    };
    let mut names: Vec<&str> = offer.known.keys().map(String::as_str).collect();
    names.retain(|name| shared(name) >= 3);
    names.sort_by_key(|name| (std::cmp::Reverse(shared(name)), name.len(), *name));
    names.truncate(NAMES_SHOWN_MAX);
    let make = format!(
        "to use one that the catalogue does not know, write [providers.{provider}.models.\"…\"] and its price"
    );
    if names.is_empty() {
        return make;
    }
    format!("similar are {}; {make}", names.join(", "))
}
