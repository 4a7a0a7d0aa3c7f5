//! A call's arguments that come in pieces, each at its own path.
//!
//! Follows `PartialArg` of <https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Content#PartialArg>:
//! a path is RFC 9535 with names and indexes only; a text may come in several pieces.

use serde_json::{Map, Value};

use crate::error::DecodeError;
use crate::sse::EVENT_BYTES_MAX;

use super::value::{shape, take_array, take_flag, take_string};

/// How deep an argument may lie.
const DEPTH_MAX: usize = 64;

/// Arguments being put together.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    root: Value,
    /// The path of a text that goes on.
    continued: Option<String>,
    bytes: usize,
}

enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl Arguments {
    /// Takes what one `functionCall` says of the arguments.
    pub(super) fn take(&mut self, call: &mut Map<String, Value>) -> Result<(), DecodeError> {
        match call.shift_remove("args") {
            Some(args @ Value::Object(_)) => self.root = args,
            None | Some(Value::Null) => {}
            Some(_) => return Err(shape("functionCall.args is not an object")),
        }
        for partial in take_array(call, "partialArgs") {
            let Value::Object(partial) = partial else {
                return Err(shape("a partial argument is not an object"));
            };
            self.piece(partial)?;
        }
        Ok(())
    }

    /// The arguments as JSON text; `{}` when there are none.
    pub(super) fn finish(&self) -> String {
        match &self.root {
            Value::Null => "{}".to_owned(),
            root => root.to_string(),
        }
    }

    fn piece(&mut self, mut partial: Map<String, Value>) -> Result<(), DecodeError> {
        let path = take_string(&mut partial, "jsonPath")
            .ok_or_else(|| shape("a partial argument has no path"))?;
        let goes_on = take_flag(&mut partial, "willContinue");
        let value = ["stringValue", "numberValue", "boolValue"]
            .into_iter()
            .find_map(|key| partial.shift_remove(key))
            .unwrap_or(Value::Null);
        self.bytes = self
            .bytes
            .saturating_add(path.len())
            .saturating_add(value.as_str().map_or(1, str::len));
        if self.bytes > EVENT_BYTES_MAX {
            return Err(DecodeError::EventTooLarge(EVENT_BYTES_MAX));
        }
        let again = self.continued.as_deref() == Some(path.as_str());
        let place = place(&mut self.root, &path)?;
        match (place, value) {
            (Value::String(have), Value::String(more)) if again => have.push_str(&more),
            (place, value) => *place = value,
        }
        self.continued = goes_on.then_some(path);
        Ok(())
    }
}

/// The place at `path`, made where it is missing.
fn place<'a>(root: &'a mut Value, path: &str) -> Result<&'a mut Value, DecodeError> {
    let mut rest = path
        .strip_prefix('$')
        .ok_or_else(|| shape("a partial argument's path does not begin with $"))?;
    if root.is_null() {
        *root = Value::Object(Map::new());
    }
    let mut place = root;
    for _ in 0..DEPTH_MAX {
        if rest.is_empty() {
            return Ok(place);
        }
        let (step, after) =
            step(rest).ok_or_else(|| shape("a partial argument's path cannot be read"))?;
        rest = after;
        place = match step {
            Step::Name(name) => {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                match place {
                    Value::Object(fields) => fields.entry(name).or_insert(Value::Null),
                    other => other,
                }
            }
            Step::Index(index) => {
                if !place.is_array() {
                    *place = Value::Array(Vec::new());
                }
                if let Value::Array(items) = &mut *place
                    && items.len() == index
                {
                    items.push(Value::Null);
                }
                place
                    .get_mut(index)
                    .ok_or_else(|| shape("a partial argument's index leaves a gap"))?
            }
        };
    }
    Err(shape("a partial argument lies too deep"))
}

/// The path's first step, and the rest.
fn step(path: &str) -> Option<(Step<'_>, &str)> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at_checked(end)?;
        return (!name.is_empty()).then_some((Step::Name(name), rest));
    }
    let rest = path.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(quoted) = rest.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            return Some((Step::Name(name), rest.strip_prefix(']')?));
        }
    }
    let (index, rest) = rest.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(pieces: &Value, expected: Option<&str>) {
        let mut arguments = Arguments::default();
        let mut call = Map::new();
        call.insert("partialArgs".to_owned(), pieces.clone());
        let taken = arguments.take(&mut call).ok().map(|()| arguments.finish());
        assert_eq!(taken.as_deref(), expected, "{pieces}");
    }

    #[test]
    fn pieces_come_together_at_their_paths() {
        check(&json!([]), Some("{}"));
        check(
            &json!([
                {"jsonPath": "$.a.b[0].c", "stringValue": "x", "willContinue": true},
                {"jsonPath": "$.a.b[0].c", "stringValue": "y"},
                {"jsonPath": "$.a.b[1]", "numberValue": 0.5},
                {"jsonPath": "$['odd.name']", "boolValue": true},
                {"jsonPath": "$.n", "nullValue": "NULL_VALUE"},
            ]),
            Some(r#"{"a":{"b":[{"c":"xy"},0.5]},"odd.name":true,"n":null}"#),
        );
        check(
            &json!([{"jsonPath": "$.a", "stringValue": "x"}, {"jsonPath": "$.a", "stringValue": "y"}]),
            Some(r#"{"a":"y"}"#),
        );
    }

    #[test]
    fn a_path_that_cannot_be_followed_is_refused() {
        for path in [
            "", "a", "$.", "$[1]", "$.a[7]", "$[", "$['a", "$.a[-1]", "$..a",
        ] {
            check(&json!([{"jsonPath": path, "stringValue": ""}]), None);
        }
        let deep = format!("${}", ".a".repeat(65));
        check(&json!([{"jsonPath": deep, "stringValue": ""}]), None);
        check(&json!([{"stringValue": ""}]), None);
    }
}
