//! Models in the path, and names and identifiers within Converse's bounds.
//!
//! Names share Messages' alphabet and its reversible escape ([`crate::anthropic::names`]); Converse adds a bound on
//! their length. An identifier that is too long is hashed: within one request it only has to be the same for a call
//! and its result.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use sluice_units::hex;

use super::cannot;
use crate::anthropic::names::{PREFIX, legal};
use crate::error::EncodeError;
use crate::sigv4::percent_encode;

/// The longest name of a function and the longest identifier of a call, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The longest model identifier, in bytes.
const MODEL_BYTES_MAX: usize = 2_048;

/// Of a hash, so many hexadecimal digits are kept: 160 bits.
const HASH_DIGITS: usize = 40;

/// A function's name.
///
/// # Errors
/// When it is too long: the answer could not be told what it was.
pub(super) fn function<'a>(name: &'a str, field: &str) -> Result<Cow<'a, str>, EncodeError> {
    let name = legal(name);
    if name.len() > NAME_BYTES_MAX {
        return Err(cannot(
            field,
            format!("a function's name has at most {NAME_BYTES_MAX} letters, digits, `_` and `-`"),
        ));
    }
    Ok(name)
}

/// A call's identifier, which is legal but for its length.
pub(super) fn bounded_id(id: Cow<'_, str>) -> Cow<'_, str> {
    if id.len() <= NAME_BYTES_MAX {
        return id;
    }
    let hash = hex(&Sha256::digest(id.as_bytes()));
    let kept = hash.get(..HASH_DIGITS).unwrap_or(&hash);
    // No escape begins with an underscore and an `h`.
    Cow::Owned(format!("{PREFIX}_h{kept}"))
}

/// The path of a call to this model, percent-encoded: the model cannot leave its segment.
pub(super) fn path(model: &str, stream: bool) -> Result<String, EncodeError> {
    let only_dots = model.bytes().all(|byte| byte == b'.');
    if only_dots || model.len() > MODEL_BYTES_MAX || model.chars().any(char::is_control) {
        return Err(cannot(
            "model",
            "the name must be an identifier or ARN, such as `eu.anthropic.claude-sonnet-4-5-20250929-v1:0`",
        ));
    }
    let operation = if stream {
        "converse-stream"
    } else {
        "converse"
    };
    Ok(format!(
        "/model/{}/{operation}",
        percent_encode(model.as_bytes(), b"")
    ))
}
