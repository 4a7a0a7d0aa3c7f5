//! Names that must survive the way there and back: functions, models in paths, the owners of signatures.
//!
//! A function's name at Gemini begins with a letter or an underscore and holds letters, digits and `_.:-`
//! (<https://ai.google.dev/api/caching#FunctionDeclaration>). Any other name is written as `_.` followed by
//! its bytes, those but letters, digits, `_` and `-` as `.` and two hexadecimal digits. A legal name that begins with
//! `_.` is written so too: the way back is unambiguous and needs no memory of the request.

use std::fmt::Write as _;

use crate::error::EncodeError;
use crate::model::Part;

use super::base64;
use super::value::inexpressible;

/// The longest function name, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// The longest model name, in bytes.
const MODEL_BYTES_MAX: usize = 256;

const ESCAPED: &str = "_.";

/// What Gemini 3 takes in place of a signature when the history's call was not its own
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>), as recorded exchanges show: base64 of
/// `skip_thought_signature_validator`.
pub(super) const NO_SIGNATURE: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// Marks a thinking signature as Gemini's. Base64 holds no colon: no other provider's signature begins like this.
const SIGNATURE_OWNER: &str = "gemini:";

/// A function's name as Gemini takes it.
pub(super) fn encode_function(name: &str, field: &str) -> Result<String, EncodeError> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let legal = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
    let encoded = if starts_well && legal && !name.starts_with(ESCAPED) {
        name.to_owned()
    } else {
        escape(name)
    };
    if name.is_empty() || encoded.len() > NAME_BYTES_MAX {
        return Err(inexpressible(
            field,
            format!("a function's name has 1 to {NAME_BYTES_MAX} bytes"),
        ));
    }
    Ok(encoded)
}

fn escape(name: &str) -> String {
    let mut escaped = String::from(ESCAPED);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, ".{byte:02x}");
        }
    }
    escaped
}

/// The function's name as the caller knows it. A name that is not an escape is returned as it is.
pub(super) fn decode_function(name: String) -> String {
    name.strip_prefix(ESCAPED)
        .and_then(unescape)
        .unwrap_or(name)
}

fn unescape(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'.' {
            let high = hex(rest.next()?)?;
            let low = hex(rest.next()?)?;
            bytes.push((high << 4) | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// The model's resource name, percent-encoded: it cannot leave its place in the path.
pub(super) fn model_resource(model: &str) -> Result<String, EncodeError> {
    let (collection, name) = match model.split_once('/') {
        Some((collection @ ("models" | "tunedModels"), name)) => (collection, name),
        _ => ("models", model),
    };
    let only_dots = name.bytes().all(|byte| byte == b'.');
    let barred = name
        .chars()
        .any(|c| c.is_control() || c == '/' || c == '\\');
    if only_dots || barred || name.len() > MODEL_BYTES_MAX {
        return Err(inexpressible(
            "model",
            "the name must be one path segment, such as `gemini-2.5-flash`",
        ));
    }
    let mut resource = format!("{collection}/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            resource.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(resource, "%{byte:02X}");
        }
    }
    Ok(resource)
}

/// A thinking signature under its owner's name: other dialects' encoders can tell that it is not theirs.
pub(super) fn own_signature(signature: &str) -> String {
    format!("{SIGNATURE_OWNER}{signature}")
}

/// The bare signature, when Gemini made it.
pub(super) fn owned_signature(signature: &str) -> Option<&str> {
    signature.strip_prefix(SIGNATURE_OWNER)
}

/// Begins the base64 of a signature that another provider made, in the hands of a caller who speaks Gemini.
/// Nine bytes, so that base64 keeps the border.
const CARRIED: &[u8] = b"sluice/1:";

/// Another provider's signature as Gemini's callers can carry it: base64, with a mark.
pub(super) fn carry(signature: &str) -> String {
    let mut bytes = CARRIED.to_vec();
    bytes.extend_from_slice(signature.as_bytes());
    base64::encode(&bytes)
}

/// Behind the mark: what follows is no signature but encrypted reasoning.
const REDACTED: &str = "redacted:";

/// Another provider's encrypted reasoning, as Gemini's callers can carry it.
pub(super) fn carry_redacted(data: &str) -> String {
    carry(&format!("{REDACTED}{data}"))
}

/// The encrypted reasoning in what was carried, if it is some.
pub(super) fn carried_redacted(carried: &str) -> Option<&str> {
    carried.strip_prefix(REDACTED)
}

/// The signature that [`carry`] wrapped, if it did.
pub(super) fn carried(signature: &str) -> Option<String> {
    let bytes = base64::decode(signature)?;
    let bare = bytes.strip_prefix(CARRIED)?;
    String::from_utf8(bare.to_vec()).ok()
}

/// The bare signature of a call: only Gemini signs calls, so an unmarked one is Gemini's.
pub(super) fn call_signature(signature: &str) -> Option<&str> {
    match owned_signature(signature) {
        Some(bare) => Some(bare),
        None if signature.contains(':') => None,
        None => Some(signature),
    }
}

/// Whether a part carries a proof that another provider made.
pub(crate) fn holds_foreign_proof(part: &Part) -> bool {
    match part {
        Part::Thinking {
            signature: Some(signature),
            ..
        } => owned_signature(signature).is_none(),
        Part::ToolCall {
            signature: Some(signature),
            ..
        } => call_signature(signature).is_none(),
        Part::RedactedThinking { .. } => true,
        _ => false,
    }
}

/// A model's generation, such as (2, 5). A name without one counts as 2.5, whose fields newer models still read.
pub(super) fn generation(model: &str) -> (u32, u32) {
    let name = model.rsplit('/').next().unwrap_or(model);
    let version = name
        .strip_prefix("gemini-")
        .and_then(|rest| rest.split('-').next());
    let parsed = version.and_then(|version| {
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    parsed.unwrap_or((2, 5))
}

/// What a name is made of, for quirks by kind of model.
pub(super) fn is_kind(model: &str, kind: &str) -> bool {
    model.split(['-', '/']).any(|word| word == kind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn legal_names_stay_and_others_are_escaped() {
        let cases = [
            ("get_weather", "get_weather"),
            ("_private.v1:go-on", "_private.v1:go-on"),
            ("1st", "_.1st"),
            ("-x", "_.-x"),
            ("a/b", "_.a.2fb"),
            ("wetter für", "_.wetter.20f.c3.bcr"),
            ("_.a", "_._.2ea"),
        ];
        for (name, expected) in cases {
            assert_eq!(encode_function(name, "tools[0].name").unwrap(), expected);
        }
        assert!(encode_function("", "tools[0].name").is_err());
        assert!(encode_function(&"x".repeat(129), "tools[0].name").is_err());
        assert_eq!(decode_function("_.zz.q".to_owned()), "_.zz.q");
    }

    #[test]
    fn a_model_cannot_leave_its_path() {
        assert_eq!(
            model_resource("gemini-2.5-flash").unwrap(),
            "models/gemini-2.5-flash"
        );
        assert_eq!(model_resource("models/x").unwrap(), "models/x");
        assert_eq!(
            model_resource("tunedModels/x-1").unwrap(),
            "tunedModels/x-1"
        );
        assert_eq!(
            model_resource("x?key=1#:%2e é").unwrap(),
            "models/x%3Fkey%3D1%23%3A%252e%20%C3%A9"
        );
        for model in [
            "",
            ".",
            "..",
            "a/b",
            "models/../x",
            "models/",
            "a\\b",
            "a\nb",
        ] {
            assert!(model_resource(model).is_err(), "{model:?}");
        }
    }

    #[test]
    fn a_generation_is_read_from_the_name() {
        assert_eq!(generation("gemini-2.0-flash"), (2, 0));
        assert_eq!(generation("models/gemini-3-pro-preview"), (3, 0));
        assert_eq!(generation("gemini-3.1-pro-preview"), (3, 1));
        assert_eq!(generation("gemini-flash-latest"), (2, 5));
        assert_eq!(generation(""), (2, 5));
    }

    proptest! {
        #[test]
        fn a_function_name_comes_back(name in "\\PC{1,40}|[_.:a-f0-9-]{1,20}") {
            if let Ok(encoded) = encode_function(&name, "") {
                prop_assert!(encoded.len() <= NAME_BYTES_MAX);
                prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b)));
                prop_assert!(!encoded.starts_with(|c: char| c.is_ascii_digit() || c == '-'));
                prop_assert_eq!(decode_function(encoded), name);
            }
        }
    }
}
