//! The community's price file: dollars for one token, by the model's bare name.
//!
//! Fills in what the table of models does not say, and adds versions of models that it does not list.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Gathered;
use crate::decimal;
use crate::facts::{Ability, ModelFacts, Prices, Quirks, Tier};

/// Prices stand for one token.
const PER_TOKEN: i32 = 6;
const TIERS: [u64; 2] = [200_000, 272_000];

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The provider here, and whether models that are not in the table of models may be added.
fn provider(name: &str) -> Option<(&'static str, bool)> {
    match name {
        "anthropic" => Some(("anthropic", true)),
        "deepseek" => Some(("deepseek", true)),
        "gemini" => Some(("google", true)),
        "moonshot" => Some(("moonshotai", false)),
        "openai" => Some(("openai", true)),
        // The same models at the same price; what is there need not be here.
        "vertex_ai-embedding-models" | "vertex_ai-language-models" => Some(("google", false)),
        "xai" => Some(("xai", true)),
        _ => None,
    }
}

pub(super) fn read(text: &str, gathered: &mut Gathered) -> Result<(), serde_json::Error> {
    let table: BTreeMap<String, Fields<'_>> = serde_json::from_str(text)?;
    for (name, fields) in &table {
        let entry = Entry { fields };
        let label = entry.text("litellm_provider").unwrap_or_default();
        let Some((provider, may_add)) = provider(&label) else {
            let note = format!("{name}: not taken from the price file, provider {label:?}");
            gathered.notes.push(note);
            continue;
        };
        let key = (provider.to_owned(), name.clone());
        let Some(prices) = entry.prices() else {
            continue;
        };
        let prices = plausible(provider, name, prices, &mut gathered.notes);
        if let Some(model) = gathered.models.get_mut(&key) {
            fill(model, &entry, prices, &mut gathered.notes);
        } else if may_add {
            let mut facts = entry.facts(provider, name, prices);
            // A dated version departs where the model itself does.
            let undated = undated(name).map(|name| (provider.to_owned(), name.to_owned()));
            if let Some(model) = undated.and_then(|key| gathered.models.get(&key)) {
                facts.quirks = model.quirks;
            }
            gathered.models.insert(key, facts);
        }
    }
    Ok(())
}

struct Entry<'a> {
    fields: &'a Fields<'a>,
}

impl Entry<'_> {
    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.fields.get(name)?.get()).ok()
    }

    fn count(&self, name: &str) -> Option<u64> {
        serde_json::from_str(self.fields.get(name)?.get()).ok()
    }

    fn yes(&self, name: &str) -> bool {
        self.says(name, "true")
    }

    fn no(&self, name: &str) -> bool {
        self.says(name, "false")
    }

    fn says(&self, name: &str, word: &str) -> bool {
        self.fields
            .get(name)
            .is_some_and(|value| value.get() == word)
    }

    fn usd(&self, name: &str) -> Option<String> {
        let value = self.fields.get(name)?.get();
        decimal::parse(value, PER_TOKEN).map(|price| price.to_string())
    }

    fn above_zero(&self, name: &str) -> Option<String> {
        self.usd(name).filter(|price| price != "0")
    }

    /// What writes images writes tokens of images, which are dearer than those of text.
    fn output(&self) -> Option<String> {
        let draws = self.text("mode").as_deref() == Some("image_generation");
        let of_images = self.usd("output_cost_per_image_token").filter(|_| draws);
        of_images.or_else(|| self.usd("output_cost_per_token"))
    }

    fn prices(&self) -> Option<Prices> {
        Some(Prices {
            input: Some(self.usd("input_cost_per_token")?),
            output: self.output(),
            input_cached: self.above_zero("cache_read_input_token_cost"),
            cache_write_5m: self.above_zero("cache_creation_input_token_cost"),
            cache_write_1h: self.above_zero("cache_creation_input_token_cost_above_1hr"),
            reasoning: self.usd("output_cost_per_reasoning_token"),
            input_audio: self.usd("input_cost_per_audio_token"),
            output_audio: self.usd("output_cost_per_audio_token"),
            input_image: self.usd("input_cost_per_image_token"),
            per_request: None,
            above: TIERS.iter().filter_map(|&size| self.tier(size)).collect(),
        })
    }

    fn tier(&self, input_tokens: u64) -> Option<Tier> {
        let thousands = input_tokens.div_euclid(1_000);
        let name = |kind: &str| format!("{kind}_above_{thousands}k_tokens");
        Some(Tier {
            input_tokens,
            input: Some(self.usd(&name("input_cost_per_token"))?),
            output: self.usd(&name("output_cost_per_token")),
            input_cached: self.above_zero(&name("cache_read_input_token_cost")),
            cache_write_5m: self.above_zero(&name("cache_creation_input_token_cost")),
            cache_write_1h: self.above_zero(&name("cache_creation_input_token_cost_above_1hr")),
            input_audio: None,
        })
    }

    /// For Anthropic the file's other word includes the stand-in by a tool call.
    fn structured(&self, provider: &str) -> bool {
        let other = provider != "anthropic" && self.yes("supports_response_schema");
        other || self.yes("supports_native_structured_output")
    }

    fn quirks(&self, provider: &str, name: &str) -> Quirks {
        let adaptive = self.yes("supports_adaptive_thinking");
        // The file says of Anthropic's models only whether they take temperature.
        let thinks = self.yes("supports_reasoning") && !name.contains("chat");
        let refuses = self.no("supports_sampling_params") || (provider == "openai" && thinks);
        Quirks {
            reasoning_adaptive: adaptive.then_some(true),
            sampling: refuses.then_some(false),
            ..Quirks::default()
        }
    }

    fn facts(&self, provider: &str, name: &str, prices: Prices) -> ModelFacts {
        let mode = self.text("mode").unwrap_or_default();
        let spoken = ["realtime", "live", "tts", "native-audio"];
        let talks = mode == "chat" && !spoken.iter().any(|word| name.contains(word));
        let can = [
            (talks, Ability::Chat),
            (mode == "embedding", Ability::Embeddings),
            (mode == "responses", Ability::Responses),
            (self.yes("supports_function_calling"), Ability::Tools),
            (self.yes("supports_vision"), Ability::Images),
            (self.yes("supports_audio_input"), Ability::Audio),
            (self.yes("supports_pdf_input"), Ability::Documents),
            (self.yes("supports_video_input"), Ability::Video),
            (self.yes("supports_reasoning"), Ability::Reasoning),
            (self.structured(provider), Ability::StructuredOutput),
            (mode == "image_generation", Ability::DrawImages),
            (self.yes("supports_audio_output"), Ability::Speak),
        ];
        let can = can
            .into_iter()
            .filter_map(|(can, ability)| can.then_some(ability));
        ModelFacts {
            id: format!("{provider}/{name}"),
            context: self.count("max_input_tokens"),
            output: self.count("max_output_tokens"),
            can: can.collect(),
            quirks: self.quirks(provider, name),
            released: None,
            retires: self.text("deprecation_date"),
            deprecated: false,
            price: Some(prices),
        }
    }
}

/// The name without the day at its end: `-20250807` or `-2025-08-07`.
fn undated(name: &str) -> Option<&str> {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, day) = name.rsplit_once('-')?;
    if digits(day, 8) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (digits(day, 2) && digits(month, 2) && digits(year, 4)).then_some(rest)
}

/// Fills in what `model` does not say; where both speak and differ, a note.
fn fill(model: &mut ModelFacts, entry: &Entry<'_>, prices: Prices, notes: &mut Vec<String>) {
    model.retires = model
        .retires
        .take()
        .or_else(|| entry.text("deprecation_date"));
    if entry.text("mode").as_deref() == Some("responses") {
        model.can.retain(|ability| *ability != Ability::Chat);
        model.can.push(Ability::Responses);
        model.can.sort_unstable();
    }
    // The table of models is silent on Anthropic's.
    let ability = Ability::StructuredOutput;
    if entry.yes("supports_native_structured_output") && !model.can.contains(&ability) {
        model.can.push(ability);
        model.can.sort_unstable();
    }
    let id = model.id.clone();
    let Some(own) = model.price.as_mut() else {
        model.price = Some(prices);
        return;
    };
    let mut take = |kind: &str, own: &mut Option<String>, other: Option<String>| {
        if let (Some(own), Some(other)) = (own.as_deref(), other.as_deref())
            && own != other
        {
            notes.push(format!(
                "{id}: {kind} is {own}; the price file says {other}"
            ));
        }
        if own.is_none() {
            *own = other;
        }
    };
    take("input", &mut own.input, prices.input);
    take("output", &mut own.output, prices.output);
    take("input_cached", &mut own.input_cached, prices.input_cached);
    take(
        "cache_write_5m",
        &mut own.cache_write_5m,
        prices.cache_write_5m,
    );
    take(
        "cache_write_1h",
        &mut own.cache_write_1h,
        prices.cache_write_1h,
    );
    take("reasoning", &mut own.reasoning, prices.reasoning);
    take("input_audio", &mut own.input_audio, prices.input_audio);
    take("output_audio", &mut own.output_audio, prices.output_audio);
    take("input_image", &mut own.input_image, prices.input_image);
    if own.above.is_empty() {
        own.above = prices.above;
    }
}

/// Anthropic charges twice the input's price for a cache of one hour; where the file says otherwise, it is wrong.
fn plausible(provider: &str, name: &str, mut prices: Prices, notes: &mut Vec<String>) -> Prices {
    if provider != "anthropic" {
        return prices;
    }
    let double = prices
        .input
        .as_deref()
        .and_then(|input| decimal::parse(input, 0));
    let double = double.map(|input| input.plus(input).to_string());
    if prices.cache_write_1h.is_some() && prices.cache_write_1h != double {
        let said = prices.cache_write_1h.as_deref().unwrap_or_default();
        let right = double.as_deref().unwrap_or_default();
        notes.push(format!(
            "{provider}/{name}: cache_write_1h is {right}, twice the input; the price file says {said}"
        ));
        prices.cache_write_1h = double;
    }
    prices
}
