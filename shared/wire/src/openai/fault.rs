//! What is wrong with a caller's request, in OpenAI's words.
//!
//! The codes and sentences are OpenAI's, so that clients which match on them keep working: some as recorded exchanges
//! show them, the others not verified. The caller's input is echoed only where OpenAI does, and never more than
//! [`ECHO_CHARS_MAX`] of it.

use serde_json::{Number, Value};

use crate::error::Malformed;
use crate::json::Object;

/// The most characters of the caller's own words that an error repeats.
const ECHO_CHARS_MAX: usize = 32;

/// "None of the values that are allowed here."
pub(super) fn unsupported(param: String, found: &str, supported: &[&str]) -> Malformed {
    let echo: String = found.chars().take(ECHO_CHARS_MAX).collect();
    Malformed {
        code: "invalid_value",
        message: format!(
            "Invalid value: '{echo}'. Supported values are: {}.",
            listed(supported)
        ),
        param: Some(param),
    }
}

/// "This array must not be empty."
pub(super) fn empty_array(param: String) -> Malformed {
    Malformed {
        code: "empty_array",
        message: format!(
            "Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        ),
        param: Some(param),
    }
}

/// "This must not be empty."
pub(super) fn empty_string(param: String) -> Malformed {
    Malformed {
        code: "empty_string",
        message: format!(
            "Invalid '{param}': empty string. Expected a string with minimum length 1, but got an empty string instead."
        ),
        param: Some(param),
    }
}

/// "More elements than are allowed."
pub(super) fn array_too_long(param: String, max: usize, found: usize) -> Malformed {
    Malformed {
        code: "array_above_max_length",
        message: format!(
            "Invalid '{param}': array too long. Expected an array with maximum length {max}, but got an array with length {found} instead."
        ),
        param: Some(param),
    }
}

/// "More characters than are allowed."
pub(super) fn string_too_long(param: String, max: usize, found: usize) -> Malformed {
    Malformed {
        code: "string_above_max_length",
        message: format!(
            "Invalid '{param}': string too long. Expected a string with maximum length {max}, but got a string with length {found} instead."
        ),
        param: Some(param),
    }
}

/// "This value is wrong", in a sentence of its own.
pub(super) fn invalid(param: String, message: String) -> Malformed {
    Malformed {
        code: "invalid_value",
        message,
        param: Some(param),
    }
}

/// Takes an array of at most `max` elements.
pub(super) fn take_array(
    fields: &mut Object,
    key: &str,
    max: usize,
) -> Result<Option<Vec<Value>>, Malformed> {
    let Some(items) = fields.take_array(key)? else {
        return Ok(None);
    };
    if items.len() > max {
        return Err(array_too_long(fields.path(key), max, items.len()));
    }
    Ok(Some(items))
}

/// Takes a number between two whole numbers, both included.
pub(super) fn take_decimal(
    fields: &mut Object,
    key: &str,
    min: i32,
    max: i32,
) -> Result<Option<Number>, Malformed> {
    let Some(number) = fields.take_number(key)? else {
        return Ok(None);
    };
    let value = number.as_f64().unwrap_or(f64::NAN);
    let (code, side, sign, bound) = if value > f64::from(max) {
        ("decimal_above_max_value", "above maximum", "<=", max)
    } else if value >= f64::from(min) {
        return Ok(Some(number));
    } else {
        ("decimal_below_min_value", "below minimum", ">=", min)
    };
    let param = fields.path(key);
    Err(Malformed {
        code,
        message: format!(
            "Invalid '{param}': decimal {side} value. Expected a value {sign} {bound}, but got {number} instead."
        ),
        param: Some(param),
    })
}

/// Takes a whole number between two others, both included.
pub(super) fn take_u32(
    fields: &mut Object,
    key: &str,
    min: u32,
    max: u32,
) -> Result<Option<u32>, Malformed> {
    let Some(value) = fields.take_u64(key, u64::from(min))? else {
        return Ok(None);
    };
    match u32::try_from(value) {
        Ok(count) if count <= max => Ok(Some(count)),
        _ => {
            let param = fields.path(key);
            Err(Malformed {
                code: "integer_above_max_value",
                message: format!(
                    "Invalid '{param}': integer above maximum value. Expected a value <= {max}, but got {value} instead."
                ),
                param: Some(param),
            })
        }
    }
}

/// `'a', 'b', and 'c'`.
fn listed(values: &[&str]) -> String {
    match values {
        [] => String::new(),
        [only] => format!("'{only}'"),
        [first, second] => format!("'{first}' and '{second}'"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|value| format!("'{value}'")).collect();
            format!("{}, and '{last}'", most.join(", "))
        }
    }
}
