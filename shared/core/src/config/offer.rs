//! What one provider offers: its models, by name or by pattern, each ready to be a target.

use std::sync::Arc;

use sluice_units::{ModelId, SortedMap, Tokens};
use sluice_wire::{Dialect, Hosting, Target};

use super::compile::Prices;
use super::compiled::{Capabilities, Provider, ProviderDialect, TargetRef};
use super::document::{CapabilityName, ModelDocument, PlaceBy, QuirksDocument};
use super::pattern::Pattern;
use crate::residency::{Country, Place, of_bedrock};

/// A provider and what it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) provider: Arc<Provider>,
    /// Only these; absent means those that are known.
    pub(super) allow: Option<Vec<Pattern>>,
    /// Not these.
    pub(super) deny: Vec<Pattern>,
    /// What holds for models that do not say otherwise.
    pub(super) quirks: QuirksDocument,
    pub(super) prices: Prices,
    /// The models that are known and allowed.
    pub(super) known: SortedMap<String, TargetRef>,
}

impl Offer {
    /// The target for this model, if it is served.
    pub(super) fn target(&self, model: &str) -> Option<TargetRef> {
        if let Some(target) = self.known.get(model) {
            return Some(target.clone());
        }
        // A name that nobody knows is served only where the operator's own words cover it.
        let covered = self.allow.is_some() && self.allows(model);
        covered.then(|| self.build(model, None))?
    }

    /// Whether the operator's patterns let this model through.
    pub(super) fn allows(&self, model: &str) -> bool {
        let allowed = self
            .allow
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|p| p.matches(model)));
        allowed && !self.deny.iter().any(|p| p.matches(model))
    }

    /// A target from what is known of the model; none when the name cannot be a model's.
    pub(super) fn build(&self, model: &str, facts: Option<&ModelDocument>) -> Option<TargetRef> {
        let id = ModelId::new(model).ok()?;
        let capabilities = facts.and_then(|facts| facts.capabilities.as_ref()).map_or(
            Capabilities::UNKNOWN,
            |names| {
                names
                    .iter()
                    .fold(Capabilities::NONE, |all, name| all.with(*name))
            },
        );
        let output_tokens_max = facts.and_then(|facts| facts.output_tokens_max);
        let context_tokens = facts.and_then(|facts| facts.context_tokens);
        Some(TargetRef {
            provider: Arc::clone(&self.provider),
            model: id,
            place: self.place(model, facts),
            egress: self.provider.egress,
            wire: self.wire(model, facts, capabilities),
            price: self.prices.find(model).cloned(),
            context_tokens: context_tokens.map(Tokens::new),
            output_tokens_max: output_tokens_max.map(Tokens::new),
            capabilities,
            retry: self.provider.retry,
            circuit: self.provider.circuit,
        })
    }

    /// Where a model is served: the operator's word for it, then what its name says, then its provider's place.
    fn place(&self, model: &str, facts: Option<&ModelDocument>) -> Option<Place> {
        let own = facts.and_then(|facts| {
            let country = Country::new(facts.country.as_deref()?)?;
            let by = facts.country_by.unwrap_or(PlaceBy::Declared);
            Some(Place {
                country,
                by: by.into(),
            })
        });
        if own.is_some() {
            return own;
        }
        let called = facts.and_then(|facts| facts.deployment.as_deref());
        match self.provider.dialect {
            ProviderDialect::Wire(Dialect::Bedrock) => {
                of_bedrock(called.unwrap_or(model), self.provider.place)
            }
            _ => self.provider.place,
        }
    }

    /// What an encoder must know: the model's word, then the provider's, then what is usual.
    fn wire(
        &self,
        model: &str,
        facts: Option<&ModelDocument>,
        capabilities: Capabilities,
    ) -> Target {
        let said = |quirk: fn(&QuirksDocument) -> Option<bool>, usual: bool| {
            let own = facts.and_then(|facts| quirk(&facts.quirks));
            own.or_else(|| quirk(&self.quirks)).unwrap_or(usual)
        };
        let usual = Target::default();
        let deployment = facts.and_then(|facts| facts.deployment.as_deref());
        // The stand-in for a schema works everywhere; so what nobody knows is not tried here.
        let structured = capabilities != Capabilities::UNKNOWN
            && capabilities.has(CapabilityName::StructuredOutput);
        Target {
            model: deployment.unwrap_or(model).to_owned(),
            family: deployment.map(|_| model.to_owned()),
            output_tokens_max: facts.and_then(|facts| facts.output_tokens_max),
            max_completion_tokens: said(
                |quirks| quirks.max_completion_tokens,
                usual.max_completion_tokens,
            ),
            stream_usage: said(|quirks| quirks.stream_usage, usual.stream_usage),
            developer_role: said(|quirks| quirks.developer_role, usual.developer_role),
            reasoning: capabilities.has(CapabilityName::Reasoning),
            reasoning_content: said(|quirks| quirks.reasoning_content, usual.reasoning_content),
            thought_signatures: said(|quirks| quirks.thought_signatures, usual.thought_signatures),
            reasoning_adaptive: said(|quirks| quirks.reasoning_adaptive, usual.reasoning_adaptive),
            sampling: said(|quirks| quirks.sampling, usual.sampling),
            reasoning_key: said(|quirks| quirks.reasoning_key, usual.reasoning_key),
            thinking_chunks: said(|quirks| quirks.thinking_chunks, usual.thinking_chunks),
            short_call_ids: said(|quirks| quirks.short_call_ids, usual.short_call_ids),
            random_seed: said(|quirks| quirks.random_seed, usual.random_seed),
            output_dimension: said(|quirks| quirks.output_dimension, usual.output_dimension),
            assistant_prefix: said(|quirks| quirks.assistant_prefix, usual.assistant_prefix),
            strict_fields: said(|quirks| quirks.strict_fields, usual.strict_fields),
            json_schema: said(|quirks| quirks.json_schema, usual.json_schema),
            fields_refused: {
                let own = facts.and_then(|facts| facts.quirks.fields_refused.as_ref());
                let refused = own.or(self.quirks.fields_refused.as_ref());
                refused.cloned().unwrap_or_default()
            },
            structured_outputs: said(|quirks| quirks.structured_outputs, structured),
            chat_completions: said(|quirks| quirks.chat_completions, usual.chat_completions),
            // Behind deployments there is none.
            responses: said(|quirks| quirks.responses, usual.responses)
                && !matches!(self.provider.hosting, Hosting::AzureDeployments { .. }),
            completions: said(|quirks| quirks.completions, usual.completions),
        }
    }
}
