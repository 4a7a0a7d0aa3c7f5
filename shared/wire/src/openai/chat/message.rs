//! A caller's messages.

use serde_json::Value;

use super::part::{self, cache_mark};
use super::turn;
use crate::Drops;
use crate::error::Malformed;
use crate::json::{self, Object};
use crate::model::{Message, Part, Role};
use crate::openai::fault;

/// The longest conversation, in messages.
const MESSAGES_MAX: usize = 10_000;

const ROLES: [&str; 6] = [
    "system",
    "assistant",
    "user",
    "function",
    "tool",
    "developer",
];

/// The identifiers that were made up for the deprecated `function_call`s, which have none.
#[derive(Default)]
pub(super) struct Functions {
    last: Option<(String, String)>,
}

impl Functions {
    /// Makes up the identifier of a call.
    pub(super) fn call(&mut self, name: &str, path: &str) -> String {
        let digits: String = path.chars().filter(char::is_ascii_digit).collect();
        let id = format!("call_function_{digits}");
        self.last = Some((name.to_owned(), id.clone()));
        id
    }

    /// The identifier of the call that a result answers.
    fn answered(&mut self, name: &str) -> Option<String> {
        self.last
            .take_if(|(called, _)| called == name)
            .map(|(_, id)| id)
    }
}

/// Takes and reads all messages.
pub(super) fn decode_all(
    fields: &mut Object,
    drops: &mut Drops,
) -> Result<Vec<Message>, Malformed> {
    let items = fault::take_array(fields, "messages", MESSAGES_MAX)?
        .ok_or_else(|| fields.missing("messages"))?;
    if items.is_empty() {
        return Err(fault::empty_array(fields.path("messages")));
    }
    let mut functions = Functions::default();
    items
        .into_iter()
        .enumerate()
        .map(|(at, item)| decode(item, &format!("messages[{at}]"), &mut functions, drops))
        .collect()
}

fn decode(
    value: Value,
    path: &str,
    functions: &mut Functions,
    drops: &mut Drops,
) -> Result<Message, Malformed> {
    let mut fields = Object::new(value, path)?;
    let role = fields.need_string("role")?;
    let name = fields.take_string("name")?;
    let cache = cache_mark(&mut fields, drops)?;
    let (role, mut parts, name) = match role.as_str() {
        "system" => (
            Role::System,
            content(&mut fields, &part::TEXT, drops)?,
            name,
        ),
        "developer" => (
            Role::Developer,
            content(&mut fields, &part::TEXT, drops)?,
            name,
        ),
        "user" => (Role::User, content(&mut fields, &part::USER, drops)?, name),
        "assistant" => {
            let parts = turn::decode(&mut fields, path, functions, drops)?;
            (Role::Assistant, parts, name)
        }
        "tool" => (
            Role::Tool,
            vec![tool_result(&mut fields, name, drops)?],
            None,
        ),
        "function" => {
            let result = function_result(&mut fields, name, functions)?;
            (Role::Tool, vec![result], None)
        }
        other => return Err(fault::unsupported(fields.path("role"), other, &ROLES)),
    };
    if let (Some(mark), Some(last)) = (cache, parts.last_mut()) {
        last.set_cache(mark);
    }
    note_left(&fields, drops);
    Ok(Message { role, parts, name })
}

/// Takes `content` that must be there.
fn content(
    fields: &mut Object,
    allowed: &[&str],
    drops: &mut Drops,
) -> Result<Vec<Part>, Malformed> {
    part::take_content(fields, allowed, drops)?.ok_or_else(|| fields.missing("content"))
}

fn tool_result(
    fields: &mut Object,
    name: Option<String>,
    drops: &mut Drops,
) -> Result<Part, Malformed> {
    let id = fields.need_string("tool_call_id")?;
    Ok(Part::ToolResult {
        id,
        name,
        parts: content(fields, &part::RESULT, drops)?,
        is_error: false,
        cache: None,
    })
}

fn function_result(
    fields: &mut Object,
    name: Option<String>,
    functions: &mut Functions,
) -> Result<Part, Malformed> {
    let name = name.ok_or_else(|| fields.missing("name"))?;
    let text = fields.take_string("content")?.unwrap_or_default();
    Ok(Part::ToolResult {
        id: functions.answered(&name).unwrap_or_default(),
        name: Some(name),
        parts: vec![Part::text(text)],
        is_error: false,
        cache: None,
    })
}

/// Names the nested fields that nobody took.
pub(crate) fn note_left(fields: &Object, drops: &mut Drops) {
    for key in fields.left() {
        drops.push(fields.path(key), "unknown field");
    }
}

/// Reads the text of an array's element.
pub(super) fn text_of(value: Value, path: String) -> Result<String, Malformed> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(json::wrong_type(Some(path), "a string", &other)),
    }
}
