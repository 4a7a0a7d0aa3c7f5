//! The table of models: providers, capabilities, bounds and prices for a million tokens.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Gathered, known};
use crate::decimal;
use crate::facts::{Ability, ModelFacts, Prices, ProviderFacts, Quirks, Tier};

/// Names that the gateway can take.
const NAME_BYTES_MAX: usize = 128;
const NAME_PUNCTUATION: &str = "-_.:/@+";

#[derive(Deserialize)]
struct Table<'a> {
    #[serde(borrow)]
    providers: BTreeMap<String, Provider<'a>>,
}

#[derive(Deserialize)]
struct Provider<'a> {
    name: String,
    #[serde(default)]
    api: Option<String>,
    #[serde(default)]
    doc: Option<String>,
    #[serde(default)]
    env: Vec<String>,
    npm: String,
    #[serde(borrow)]
    models: BTreeMap<String, Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow, default)]
    cost: Option<Cost<'a>>,
    #[serde(default)]
    family: Option<String>,
    limit: Limit,
    modalities: Modalities,
    #[serde(default)]
    provider: Option<Elsewhere>,
    #[serde(default)]
    reasoning: bool,
    #[serde(default)]
    reasoning_options: Vec<ReasoningOption>,
    #[serde(default)]
    release_date: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    structured_output: Option<bool>,
    #[serde(default)]
    temperature: Option<bool>,
    #[serde(default)]
    tool_call: bool,
}

/// One of the ways in which a caller says how much a model thinks.
#[derive(Deserialize)]
struct ReasoningOption {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Limit {
    #[serde(default)]
    context: u64,
    #[serde(default)]
    output: u64,
}

#[derive(Deserialize)]
struct Modalities {
    input: Vec<String>,
    output: Vec<String>,
}

/// A model that its provider serves at another address or in another dialect.
#[derive(Deserialize)]
struct Elsewhere {
    #[serde(default)]
    npm: Option<String>,
    #[serde(default)]
    api: Option<String>,
    #[serde(default)]
    shape: Option<String>,
}

#[derive(Deserialize)]
struct Cost<'a> {
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_read: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_write: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_audio: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tiers: Vec<CostTier<'a>>,
}

#[derive(Deserialize)]
struct CostTier<'a> {
    tier: Size,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_read: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_write: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Size {
    size: u64,
}

pub(super) fn read(text: &str, gathered: &mut Gathered) -> Result<(), serde_json::Error> {
    let table: Table<'_> = serde_json::from_str(text)?;
    for (id, provider) in table.providers {
        let known = known::find(&id);
        let dialect = known.map_or_else(
            || known::dialect_of(&provider.npm),
            |known| Some(known.dialect),
        );
        let Some(dialect) = dialect else {
            let note = format!("{id}: left out, no dialect for {}", provider.npm);
            gathered.notes.push(note);
            continue;
        };
        let mut elsewhere = 0_u64;
        for (name, model) in &provider.models {
            if !is_name(name) {
                let note = format!("{id}/{name}: left out, the name is not allowed");
                gathered.notes.push(note);
            } else if is_elsewhere(model, dialect) {
                elsewhere = elsewhere.saturating_add(1);
            } else {
                let facts = model_facts(&id, name, model);
                let key = (id.clone(), name.clone());
                gathered.models.insert(key, facts);
            }
        }
        if elsewhere > 0 {
            let note = format!("{id}: {elsewhere} models left out, served in another dialect");
            gathered.notes.push(note);
        }
        let facts = provider_facts(&id, provider, dialect, known);
        gathered.providers.insert(id, facts);
    }
    Ok(())
}

fn provider_facts(
    id: &str,
    provider: Provider<'_>,
    dialect: &str,
    known: Option<&known::Known>,
) -> ProviderFacts {
    let written = provider.api.map(|api| {
        let api = api.trim_end_matches('/');
        api.strip_suffix("/chat/completions")
            .unwrap_or(api)
            .to_owned()
    });
    let base_url = known
        .and_then(|known| known.base_url)
        .map(str::to_owned)
        .or(written);
    // Of several variables the key is the one that is called so.
    let by_name = provider.env.iter().find(|name| name.ends_with("KEY"));
    let usual = by_name.or_else(|| provider.env.last()).map(String::as_str);
    let key = known.and_then(|known| known.key).or(usual);
    ProviderFacts {
        id: id.to_owned(),
        aliases: known.map_or_else(Vec::new, |known| {
            known
                .aliases
                .iter()
                .map(|&alias| alias.to_owned())
                .collect()
        }),
        name: provider.name,
        dialect: dialect.to_owned(),
        base_url,
        key: key.map(variable),
        header: known.and_then(|known| known.header).map(str::to_owned),
        service_account: known.is_some_and(|known| known.service_account),
        quirks: known.map_or_else(Default::default, |known| known.quirks),
        fields_refused: known.map_or_else(Vec::new, |known| {
            let refused = known.fields_refused.iter();
            refused.map(|&field| field.to_owned()).collect()
        }),
        docs: provider.doc,
        ..ProviderFacts::default()
    }
}

/// A variable's name begins with a letter.
fn variable(name: &str) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("KEY_{name}")
    } else {
        name.to_owned()
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || NAME_PUNCTUATION.contains(c);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(allowed)
}

fn is_elsewhere(model: &Model<'_>, dialect: &str) -> bool {
    model.provider.as_ref().is_some_and(|elsewhere| {
        let package = elsewhere.npm.as_deref();
        let other = package.is_some_and(|npm| known::dialect_of(npm) != Some(dialect));
        other || elsewhere.api.is_some() || elsewhere.shape.is_some()
    })
}

fn model_facts(provider: &str, name: &str, model: &Model<'_>) -> ModelFacts {
    let some = |count: u64| (count > 0).then_some(count);
    let can = abilities(name, model);
    let writes = !can.contains(&Ability::Embeddings);
    ModelFacts {
        id: format!("{provider}/{name}"),
        context: some(model.limit.context),
        // For embeddings the table holds the vector's length here.
        output: some(model.limit.output).filter(|_| writes),
        quirks: quirks(model, &can),
        can,
        released: model.release_date.clone(),
        retires: None,
        deprecated: model.status.as_deref() == Some("deprecated"),
        price: model.cost.as_ref().and_then(prices),
    }
}

fn abilities(name: &str, model: &Model<'_>) -> Vec<Ability> {
    let reads = |kind: &str| model.modalities.input.iter().any(|input| input == kind);
    let writes = |kind: &str| model.modalities.output.iter().any(|output| output == kind);
    let family = model.family.as_deref().unwrap_or("");
    let embeds = name.contains("embed") || family.contains("embed");
    let silent = ["rerank", "whisper", "transcribe"]
        .iter()
        .any(|word| name.contains(word));
    let mut can: Vec<Ability> = [
        (writes("text") && !embeds && !silent, Ability::Chat),
        (embeds, Ability::Embeddings),
        (model.tool_call, Ability::Tools),
        (reads("image"), Ability::Images),
        (reads("audio"), Ability::Audio),
        (reads("pdf"), Ability::Documents),
        (reads("video"), Ability::Video),
        (model.reasoning, Ability::Reasoning),
        (
            model.structured_output == Some(true),
            Ability::StructuredOutput,
        ),
        (writes("image"), Ability::DrawImages),
        (writes("audio"), Ability::Speak),
    ]
    .into_iter()
    .filter_map(|(can, ability)| can.then_some(ability))
    .collect();
    can.sort_unstable();
    can
}

fn quirks(model: &Model<'_>, can: &[Ability]) -> Quirks {
    if !can.contains(&Ability::Chat) {
        return Quirks::default();
    }
    let takes = |kind: &str| model.reasoning_options.iter().any(|way| way.kind == kind);
    let adaptive = takes("effort") && !takes("budget_tokens");
    Quirks {
        reasoning_adaptive: adaptive.then_some(true),
        sampling: model.temperature.filter(|takes| !takes),
        ..Quirks::default()
    }
}

fn prices(cost: &Cost<'_>) -> Option<Prices> {
    let input = usd(cost.input)?;
    let tiers = cost.tiers.iter().map(|tier| Tier {
        input_tokens: tier.tier.size,
        input: usd(tier.input),
        output: usd(tier.output),
        input_cached: above_zero(tier.cache_read),
        cache_write_5m: above_zero(tier.cache_write),
        cache_write_1h: None,
        input_audio: usd(tier.input_audio),
    });
    Some(Prices {
        input: Some(input),
        output: usd(cost.output),
        input_cached: above_zero(cost.cache_read),
        cache_write_5m: above_zero(cost.cache_write),
        cache_write_1h: None,
        reasoning: usd(cost.reasoning),
        input_audio: usd(cost.input_audio),
        output_audio: usd(cost.output_audio),
        input_image: None,
        per_request: usd(cost.request),
        above: tiers.collect(),
    })
}

fn usd(value: Option<&RawValue>) -> Option<String> {
    decimal::parse(value?.get(), 0).map(|price| price.to_string())
}

/// For caches the table writes zero where there is no price: then input's price holds.
fn above_zero(value: Option<&RawValue>) -> Option<String> {
    usd(value).filter(|price| price != "0")
}
