//! What a request asks for that no other dialect can do.

use serde_json::{Map, Value};

use crate::Drops;
use crate::error::Malformed;
use crate::model::ChatRequest;

/// State that the provider keeps and the gateway does not.
const STATE: &str = "provider_state_not_portable";
/// A tool that the provider runs itself, or an item of such a tool.
const BUILT_IN: &str = "built_in_tool_not_portable";

const STATE_FIELDS: [(&str, &str); 3] = [
    (
        "previous_response_id",
        "The model's provider keeps no responses. Send the whole conversation in 'input' instead of 'previous_response_id'.",
    ),
    (
        "conversation",
        "The model's provider keeps no conversations. Send the whole conversation in 'input' instead of 'conversation'.",
    ),
    (
        "prompt",
        "The model's provider keeps no prompts. Send the prompt's text in 'instructions' or 'input' instead of 'prompt'.",
    ),
];

/// Fields that mean nothing elsewhere, and the reason to name.
const NAMED: [(&str, &str); 5] = [
    ("truncation", "the provider cuts nothing off"),
    (
        "max_tool_calls",
        "the provider runs no tools whose calls could be counted",
    ),
    (
        "context_management",
        "the provider does not shorten conversations",
    ),
    ("moderation", "the provider does not moderate on request"),
    ("include", "the provider has no such output"),
];

/// Makes a request of this dialect fit for a provider of another one: to be called before it is encoded for one.
/// Fields that only this dialect has are taken out of `extra`, and named where something is lost.
///
/// # Errors
/// [`Malformed`] with `provider_state_not_portable`, `built_in_tool_not_portable` or `unsupported_parameter` when the
/// request counts on what only a provider of this dialect has.
pub fn for_other_dialects(request: &mut ChatRequest) -> Result<Drops, Malformed> {
    for (field, message) in STATE_FIELDS {
        if request.extra.contains_key(field) {
            return Err(refused(STATE, field.to_owned(), message.to_owned()));
        }
    }
    let mut drops = Drops::new();
    for native in natives(&request.extra, "input") {
        if !native.is_dispensable() {
            return Err(item(&native));
        }
        let field = format!("input[{}]", native.index);
        drops.push(field, "nobody keeps what it refers to");
    }
    if let Some(native) = natives(&request.extra, "tools").first() {
        return Err(tool(format!("tools[{}]", native.index), native.kind));
    }
    if let Some(choice) = request.extra.get("tool_choice") {
        let kind = choice.get("type").and_then(Value::as_str);
        return Err(tool("tool_choice".to_owned(), kind.unwrap_or_default()));
    }
    let extra = &mut request.extra;
    extra.shift_remove("input");
    extra.shift_remove("background");
    if extra.shift_remove("store") == Some(Value::Bool(true)) {
        drops.push("store", "the gateway keeps no responses");
    }
    for (field, reason) in NAMED {
        if extra.shift_remove(field).is_some_and(is_something) {
            drops.push(field, reason);
        }
    }
    Ok(drops)
}

/// Whether something is lost with a value: not with the defaults, nor with proofs, which always come back.
fn is_something(value: Value) -> bool {
    match value {
        Value::String(word) => word != "disabled",
        Value::Array(words) => words
            .iter()
            .any(|word| word.as_str() != Some("reasoning.encrypted_content")),
        _ => true,
    }
}

/// An item or tool that only a provider of this dialect knows.
#[derive(Debug, Clone, Copy)]
struct Native<'a> {
    index: u64,
    kind: &'a str,
    id: &'a str,
    /// It stands before calls of the same turn.
    leads: bool,
}

impl Native<'_> {
    /// It refers to what a conversation can do without: reasoning, or words that a model said before its calls, which
    /// are there. Vercel's client refers to both unless it is told that nothing is stored.
    fn is_dispensable(&self) -> bool {
        self.kind == "item_reference" && (self.leads || self.id.starts_with("rs_"))
    }
}

fn natives<'a>(extra: &'a Map<String, Value>, key: &str) -> Vec<Native<'a>> {
    let all = extra.get(key).and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .map(|native| Native {
            index: native
                .get("index")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            kind: native
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            id: native.get("id").and_then(Value::as_str).unwrap_or_default(),
            leads: native.get("leads") == Some(&Value::Bool(true)),
        })
        .collect()
}

fn item(native: &Native<'_>) -> Malformed {
    let param = format!("input[{}]", native.index);
    if native.kind == "item_reference" {
        let message = format!(
            "The model's provider keeps no items: '{param}' refers to nothing. Send the item itself (set 'store' to false)."
        );
        return refused(STATE, param, message);
    }
    let message = format!(
        "The model's provider does not understand items of type '{}'.",
        echo(native.kind)
    );
    refused(BUILT_IN, param, message)
}

fn tool(param: String, kind: &str) -> Malformed {
    let message = format!(
        "The model's provider has no built-in tool '{}'. Only tools of type 'function' can be used with this model.",
        echo(kind)
    );
    refused(BUILT_IN, param, message)
}

fn echo(kind: &str) -> String {
    kind.chars().take(32).collect()
}

fn refused(code: &'static str, param: String, message: String) -> Malformed {
    Malformed {
        code,
        param: Some(param),
        message,
    }
}
