//! `generationConfig`, `tools` and `toolConfig`: how to generate, with which functions, and how much to think.
//!
//! Follows <https://ai.google.dev/api/generate-content#v1beta.GenerationConfig> and, for effort against budgets and
//! levels, <https://ai.google.dev/gemini-api/docs/openai#thinking>.

use serde_json::{Map, Number, Value};

use crate::error::EncodeError;
use crate::model::{ChatRequest, Effort, Reasoning, ResponseFormat, Tool, ToolChoice};
use crate::{Drops, Target};

use super::schema::Written;
use super::value::{put, single};
use super::{names, own, schema};

/// The most stop sequences that Gemini takes.
const STOPS_MAX: usize = 5;

/// The first generation with thinking levels, and with functions beside JSON answers.
const LEVELS: (u32, u32) = (3, 0);

/// The first generation that reads JSON schemas beside its own.
const JSON_SCHEMAS: (u32, u32) = (2, 5);

/// The largest thinking budgets (<https://ai.google.dev/gemini-api/docs/thinking>).
const BUDGET_MAX: u64 = 24_576;
const BUDGET_MAX_PRO: u64 = 32_768;

/// The smallest budget of a model that cannot stop thinking.
const BUDGET_MIN_PRO: u64 = 128;

/// Fields of `generationConfig` that only Gemini has, as its own callers write them.
pub(super) const OWN_FIELDS: [&str; 7] = [
    "responseMimeType",
    "responseSchema",
    "responseModalities",
    "speechConfig",
    "mediaResolution",
    "imageConfig",
    "enableEnhancedCivicAnswers",
];

/// Says how to generate.
pub(super) fn generation(
    request: &ChatRequest,
    target: &Target,
    format: Option<&ResponseFormat>,
    drops: &mut Drops,
) -> Map<String, Value> {
    let mut config = Map::new();
    if let Some(count) = request.choices.filter(|count| *count > 1) {
        put(&mut config, "candidateCount", count);
    }
    if let Some(max) = request.output_tokens_max {
        put(
            &mut config,
            "maxOutputTokens",
            max.min(i32::MAX.unsigned_abs().into()),
        );
    }
    sampling(request, &mut config, drops);
    if request.stop.len() > STOPS_MAX {
        drops.push("stop", "gemini takes five; the first five are sent");
    }
    if !request.stop.is_empty() {
        let stops: Vec<&str> = request
            .stop
            .iter()
            .map(String::as_str)
            .take(STOPS_MAX)
            .collect();
        put(&mut config, "stopSequences", stops);
    }
    if let Some(logprobs) = request.logprobs.filter(|logprobs| logprobs.enabled) {
        put(&mut config, "responseLogprobs", true);
        if let Some(top) = logprobs.top {
            put(&mut config, "logprobs", top);
        }
    }
    if let Some(format) = format {
        response_format(format, target.known_as(), &mut config, drops);
    }
    if let Some(reasoning) = &request.reasoning {
        thinking(reasoning, target, &mut config, drops);
    }
    if let Some(Value::Object(own)) = own(request, "generationConfig") {
        for (key, value) in own {
            if OWN_FIELDS.contains(&key.as_str()) {
                put(&mut config, key, value.clone());
            } else {
                drops.push(
                    format!("gemini.generationConfig.{key}"),
                    "gemini does not know it",
                );
            }
        }
    }
    config
}

fn sampling(request: &ChatRequest, config: &mut Map<String, Value>, drops: &mut Drops) {
    let sampling = &request.sampling;
    let numbers: [(&str, &Option<Number>); 4] = [
        ("temperature", &sampling.temperature),
        ("topP", &sampling.top_p),
        ("presencePenalty", &sampling.presence_penalty),
        ("frequencyPenalty", &sampling.frequency_penalty),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            put(config, key, number.clone());
        }
    }
    if let Some(top_k) = &sampling.top_k {
        // Google's own client library writes `40.0`.
        let text = top_k.to_string();
        match text.strip_suffix(".0").unwrap_or(&text).parse::<i32>() {
            Ok(top_k) if top_k > 0 => put(config, "topK", top_k),
            _ => drops.push("top_k", "gemini takes a whole number"),
        }
    }
    if let Some(seed) = sampling.seed {
        match i32::try_from(seed) {
            Ok(seed) => put(config, "seed", seed),
            Err(_) => drops.push("seed", "gemini's seeds have 32 bits"),
        }
    }
    if !sampling.logit_bias.is_empty() {
        drops.push("logit_bias", "gemini has none");
    }
}

fn response_format(
    format: &ResponseFormat,
    model: &str,
    config: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    let ResponseFormat::JsonSchema {
        name,
        description,
        schema,
        ..
    } = format
    else {
        let is_text = matches!(format, ResponseFormat::Text);
        let kind = if is_text {
            "text/plain"
        } else {
            "application/json"
        };
        return put(config, "responseMimeType", kind);
    };
    put(config, "responseMimeType", "application/json");
    let path = "response_format.json_schema.schema";
    let (field, mut written) = match schema::write(schema, path, reads_json_schema(model), drops) {
        Written::Lowered(schema) => ("responseSchema", schema),
        Written::Json(schema) => ("responseJsonSchema", schema),
    };
    if let Value::Object(fields) = &mut written
        && fields.contains_key("type")
    {
        for (key, text) in [("title", Some(name)), ("description", description.as_ref())] {
            if let Some(text) = text.filter(|text| !text.is_empty())
                && !fields.contains_key(key)
            {
                put(fields, key, text.as_str());
            }
        }
    }
    put(config, field, written);
}

/// The generations before 3 take a budget, the others a level; a budget that the caller chose is sent as it is.
fn thinking(
    reasoning: &Reasoning,
    target: &Target,
    config: &mut Map<String, Value>,
    drops: &mut Drops,
) {
    if !target.reasoning {
        if reasoning != &Reasoning::default() && !reasoning.is_off() {
            drops.push("reasoning", "the model does not think");
        }
        return;
    }
    let is_pro = names::is_kind(target.known_as(), "pro");
    let mut thinking = Map::new();
    match (reasoning.budget_tokens, reasoning.effort) {
        (Some(budget), _) => put(
            &mut thinking,
            "thinkingBudget",
            bounded(budget, is_pro, drops),
        ),
        (None, Some(effort)) if names::generation(target.known_as()) >= LEVELS => {
            put(
                &mut thinking,
                "thinkingLevel",
                level(effort, target.known_as(), drops),
            );
        }
        (None, Some(effort)) => {
            let budget = match effort {
                Effort::None => 0,
                Effort::Minimal | Effort::Low => 1_024,
                Effort::Medium => 8_192,
                Effort::High => 24_576,
                Effort::XHigh | Effort::Max if is_pro => BUDGET_MAX_PRO,
                Effort::XHigh | Effort::Max => BUDGET_MAX,
            };
            put(
                &mut thinking,
                "thinkingBudget",
                bounded(budget, is_pro, drops),
            );
        }
        (None, None) => {}
    }
    if let Some(include) = reasoning.include {
        put(&mut thinking, "includeThoughts", include);
    }
    if !thinking.is_empty() {
        put(config, "thinkingConfig", thinking);
    }
}

fn bounded(budget: u64, is_pro: bool, drops: &mut Drops) -> u64 {
    let (min, max) = if is_pro {
        (BUDGET_MIN_PRO, BUDGET_MAX_PRO)
    } else {
        (0, BUDGET_MAX)
    };
    let sent = budget.clamp(min, max);
    if sent != budget {
        drops.push(
            "reasoning.budget_tokens",
            format!("the model takes {min} to {max}; {sent} is sent"),
        );
    }
    sent
}

fn level(effort: Effort, model: &str, drops: &mut Drops) -> &'static str {
    let is_flash = names::is_kind(model, "flash");
    let (level, exact) = match effort {
        Effort::None if is_flash => ("minimal", false),
        Effort::None => ("low", false),
        Effort::Minimal if is_flash => ("minimal", true),
        Effort::Minimal => ("low", false),
        Effort::Low => ("low", true),
        Effort::Medium if is_flash || names::generation(model) > LEVELS => ("medium", true),
        Effort::Medium => ("high", false),
        Effort::High => ("high", true),
        Effort::XHigh | Effort::Max => ("high", false),
    };
    if !exact {
        drops.push(
            "reasoning_effort",
            format!("the nearest level is `{level}`"),
        );
    }
    level
}

/// What is said about functions.
pub(super) struct Tools {
    /// `tools`; empty when there are none.
    pub(super) tools: Vec<Value>,
    /// `toolConfig`.
    pub(super) config: Option<Value>,
}

/// Says which functions there are, and whether they must be called.
pub(super) fn tools(
    request: &ChatRequest,
    model: &str,
    drops: &mut Drops,
) -> Result<Tools, EncodeError> {
    let mut declarations = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        declarations.push(declaration(tool, index, model, drops)?);
    }
    if request.parallel_tool_calls == Some(false) && !declarations.is_empty() {
        drops.push(
            "parallel_tool_calls",
            "gemini calls in parallel as it likes",
        );
    }
    let has_functions = !declarations.is_empty();
    let mut tools = Vec::new();
    if has_functions {
        tools.push(Value::Object(single("functionDeclarations", declarations)));
    }
    // Gemini's own tools, such as a search, from a caller who speaks Gemini.
    if let Some(Value::Array(own)) = own(request, "tools") {
        tools.extend(own.iter().filter(|tool| tool.is_object()).cloned());
    }
    let strict = validates(model) && request.tools.iter().any(|tool| tool.strict == Some(true));
    let config = match &request.tool_choice {
        Some(ToolChoice::Auto) | None if has_functions && strict => {
            let calling = single("mode", "VALIDATED");
            Some(Value::Object(single("functionCallingConfig", calling)))
        }
        Some(choice) if has_functions => Some(calling(choice)?),
        Some(ToolChoice::Required | ToolChoice::Named(_)) => {
            drops.push("tool_choice", "there are no tools");
            None
        }
        _ => None,
    };
    Ok(Tools { tools, config })
}

fn declaration(
    tool: &Tool,
    index: usize,
    model: &str,
    drops: &mut Drops,
) -> Result<Value, EncodeError> {
    let path = format!("tools[{index}].function");
    let name = names::encode_function(&tool.name, &format!("{path}.name"))?;
    let mut declaration = single("name", name);
    if let Some(description) = &tool.description {
        put(&mut declaration, "description", description.as_str());
    }
    if tool.strict == Some(true) && !validates(model) {
        drops.push(format!("{path}.strict"), "the model promises no exactness");
    }
    if tool.cache.is_some() {
        drops.push(format!("{path}.cache_control"), "gemini caches by itself");
    }
    if let Some(parameters) = &tool.parameters {
        let path = format!("{path}.parameters");
        match schema::write(parameters, &path, reads_json_schema(model), drops) {
            Written::Json(schema) => put(&mut declaration, "parametersJsonSchema", schema),
            // An object without properties is said by leaving it out: older models refuse an empty one.
            Written::Lowered(schema) if schema.get("properties").is_some() => {
                put(&mut declaration, "parameters", schema);
            }
            Written::Lowered(schema) => {
                if schema.get("type") != Some(&Value::String("OBJECT".to_owned())) {
                    drops.push(path, "not the schema of an object");
                }
            }
        }
    }
    Ok(Value::Object(declaration))
}

fn calling(choice: &ToolChoice) -> Result<Value, EncodeError> {
    let mode = match choice {
        ToolChoice::Auto => "AUTO",
        ToolChoice::None => "NONE",
        ToolChoice::Required | ToolChoice::Named(_) => "ANY",
    };
    let mut calling = single("mode", mode);
    if let ToolChoice::Named(name) = choice {
        let name = names::encode_function(name, "tool_choice.function.name")?;
        put(&mut calling, "allowedFunctionNames", vec![name]);
    }
    Ok(Value::Object(single("functionCallingConfig", calling)))
}

/// Whether the model knows `VALIDATED`: `AUTO` with arguments held to their schema, as `ANY` holds them anyway
/// (<https://ai.google.dev/api/caching#Mode_1>).
fn validates(model: &str) -> bool {
    names::generation(model) >= JSON_SCHEMAS
}

fn reads_json_schema(model: &str) -> bool {
    names::generation(model) >= JSON_SCHEMAS
}

/// Whether the model writes JSON answers while functions are declared; before generation 3 it answers with a 400.
pub(super) fn mixes_functions_and_json(model: &str) -> bool {
    names::generation(model) >= LEVELS
}
