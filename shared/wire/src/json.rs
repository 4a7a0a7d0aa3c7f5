//! One strict JSON parser for what callers send, and a reader that names the field at fault.
//!
//! Stricter than RFC 8259 allows a parser to be: duplicate keys are refused, because two parties that keep
//! different ones could be made to disagree; nesting is bounded by `serde_json` (128 levels).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::Malformed;

const DUPLICATE: &str = "duplicate key";

/// Parses a body strictly.
///
/// # Errors
/// [`Malformed`] with `invalid_json`, `duplicate_key` or `nesting_too_deep`.
pub fn parse(body: &[u8]) -> Result<Value, Malformed> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| malformed(&error))
}

/// Parses a body that must be one JSON object.
///
/// # Errors
/// As [`parse`], and `invalid_type` when it is something else.
pub fn parse_object(body: &[u8]) -> Result<Object, Malformed> {
    match parse(body)? {
        Value::Object(fields) => Ok(Object {
            path: String::new(),
            fields,
        }),
        other => Err(wrong_type(None, "an object", &other)),
    }
}

fn malformed(error: &serde_json::Error) -> Malformed {
    let text = error.to_string();
    let place = format!("line {} column {}", error.line(), error.column());
    let (code, message) = if text.starts_with(DUPLICATE) {
        (
            "duplicate_key",
            format!("The JSON body names a key twice in one object ({place}). Send each key once."),
        )
    } else if text.starts_with("recursion limit") {
        (
            "nesting_too_deep",
            format!("The JSON body is nested deeper than 127 levels ({place})."),
        )
    } else {
        (
            "invalid_json",
            format!(
                "We could not parse the JSON body of your request: {text}. The Content-Type must be application/json and the body valid JSON in UTF-8."
            ),
        )
    };
    Malformed {
        code,
        param: None,
        message,
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(Self)?;
            if fields.insert(key, value).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(fields))
    }
}

/// A JSON object that is taken apart field by field; what is left at the end was unknown.
///
/// `null` counts as absent, as it does at the providers.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Object {
    /// Reads `value`, which stands at `path`, as an object.
    ///
    /// # Errors
    /// `invalid_type`.
    pub fn new(value: Value, path: &str) -> Result<Self, Malformed> {
        match value {
            Value::Object(fields) => Ok(Self {
                path: path.to_owned(),
                fields,
            }),
            other => Err(wrong_type(Some(path.to_owned()), "an object", &other)),
        }
    }

    /// The path of a field of this object, such as `messages[0].content`.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Takes a field out, whatever it is. `null` is `None`.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        match self.fields.shift_remove(key) {
            None | Some(Value::Null) => None,
            some => some,
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    /// `invalid_type`.
    pub fn take_string(&mut self, key: &str) -> Result<Option<String>, Malformed> {
        self.take(key)
            .map(|value| match value {
                Value::String(text) => Ok(text),
                other => Err(self.wrong(key, "a string", &other)),
            })
            .transpose()
    }

    /// Takes a text that must be there.
    ///
    /// # Errors
    /// `missing_required_parameter`, `invalid_type`.
    pub fn need_string(&mut self, key: &str) -> Result<String, Malformed> {
        self.take_string(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes `true` or `false`.
    ///
    /// # Errors
    /// `invalid_type`.
    pub fn take_bool(&mut self, key: &str) -> Result<Option<bool>, Malformed> {
        self.take(key)
            .map(|value| match value {
                Value::Bool(flag) => Ok(flag),
                other => Err(self.wrong(key, "a boolean", &other)),
            })
            .transpose()
    }

    /// Takes a whole number of at least `min`.
    ///
    /// # Errors
    /// `invalid_type`, `integer_below_min_value`.
    pub fn take_u64(&mut self, key: &str, min: u64) -> Result<Option<u64>, Malformed> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let Value::Number(number) = &value else {
            return Err(self.wrong(key, "an integer", &value));
        };
        match number.as_u64() {
            Some(count) if count >= min => Ok(Some(count)),
            Some(_) => Err(self.below(key, min)),
            None if number.as_i64().is_some() => Err(self.below(key, min)),
            None => Err(self.wrong(key, "an integer", &value)),
        }
    }

    /// Takes a number, as it was written.
    ///
    /// # Errors
    /// `invalid_type`.
    pub fn take_number(&mut self, key: &str) -> Result<Option<Number>, Malformed> {
        self.take(key)
            .map(|value| match value {
                Value::Number(number) => Ok(number),
                other => Err(self.wrong(key, "a number", &other)),
            })
            .transpose()
    }

    /// Takes an array.
    ///
    /// # Errors
    /// `invalid_type`.
    pub fn take_array(&mut self, key: &str) -> Result<Option<Vec<Value>>, Malformed> {
        self.take(key)
            .map(|value| match value {
                Value::Array(items) => Ok(items),
                other => Err(self.wrong(key, "an array", &other)),
            })
            .transpose()
    }

    /// Takes an object.
    ///
    /// # Errors
    /// `invalid_type`.
    pub fn take_object(&mut self, key: &str) -> Result<Option<Self>, Malformed> {
        self.take(key)
            .map(|value| Self::new(value, &self.path(key)))
            .transpose()
    }

    /// What has not been taken.
    #[must_use]
    pub fn rest(self) -> Map<String, Value> {
        self.fields
    }

    /// The names of what has not been taken; `null` is nothing.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        let some = self.fields.iter().filter(|(_, value)| !value.is_null());
        some.map(|(key, _)| key.as_str())
    }

    /// "This field is missing."
    #[must_use]
    pub fn missing(&self, key: &str) -> Malformed {
        let param = self.path(key);
        Malformed {
            code: "missing_required_parameter",
            message: format!("Missing required parameter: '{param}'."),
            param: Some(param),
        }
    }

    /// "This field's value is not allowed; these are."
    #[must_use]
    pub fn invalid(&self, key: &str, allowed: &str) -> Malformed {
        let param = self.path(key);
        Malformed {
            code: "invalid_value",
            message: format!("Invalid value for '{param}': expected {allowed}."),
            param: Some(param),
        }
    }

    /// "This field is of the wrong type."
    #[must_use]
    pub fn wrong(&self, key: &str, expected: &str, found: &Value) -> Malformed {
        wrong_type(Some(self.path(key)), expected, found)
    }

    fn below(&self, key: &str, min: u64) -> Malformed {
        let param = self.path(key);
        Malformed {
            code: "integer_below_min_value",
            message: format!(
                "Invalid '{param}': integer below minimum value. Expected a value >= {min}."
            ),
            param: Some(param),
        }
    }
}

/// "Something of the wrong type stands here."
#[must_use]
pub fn wrong_type(param: Option<String>, expected: &str, found: &Value) -> Malformed {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let place = param
        .as_ref()
        .map_or_else(|| "the body".to_owned(), |param| format!("'{param}'"));
    Malformed {
        code: "invalid_type",
        message: format!("Invalid type for {place}: expected {expected}, but got {found} instead."),
        param,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &[u8]) -> &'static str {
        parse(body).unwrap_err().code
    }

    #[test]
    fn what_is_not_one_json_value_is_refused() {
        assert_eq!(code(b""), "invalid_json");
        assert_eq!(code(b"{} {}"), "invalid_json");
        assert_eq!(code(b"{\"a\":\"\xff\"}"), "invalid_json");
        assert_eq!(code(b"{\"a\":1,\"a\":2}"), "duplicate_key");
        assert_eq!(code(b"[{\"\\u0061\":1,\"a\":2}]"), "duplicate_key");
        assert_eq!(code("[".repeat(10_000).as_bytes()), "nesting_too_deep");
        assert_eq!(code(b"1e999"), "invalid_json");
    }

    #[test]
    fn a_value_survives() {
        let body = br#"{"z":1,"a":[true,null,-2,0.5,"x"],"big":18446744073709551615}"#;
        assert_eq!(
            parse(body).unwrap(),
            serde_json::from_slice::<Value>(body).unwrap()
        );
    }

    #[test]
    fn the_reader_names_the_field() {
        let mut object = parse_object(br#"{"n":-1,"s":5,"o":{"k":[]},"nothing":null}"#).unwrap();
        assert_eq!(
            object.take_u64("n", 0).unwrap_err().code,
            "integer_below_min_value"
        );
        assert_eq!(
            object.take_string("s").unwrap_err().param.as_deref(),
            Some("s")
        );
        let mut inner = object.take_object("o").unwrap().unwrap();
        assert_eq!(
            inner.take_bool("k").unwrap_err().param.as_deref(),
            Some("o.k")
        );
        assert_eq!(object.take_string("nothing"), Ok(None));
        assert_eq!(
            object.need_string("m").unwrap_err().code,
            "missing_required_parameter"
        );
    }
}
