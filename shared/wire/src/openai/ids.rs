//! Identifiers of calls within the providers' bounds.
//!
//! An identifier that a provider would refuse is replaced by a hash of it. The mapping needs no memory: a call and its
//! result are given the same, at each turn and at every target; what the provider itself makes up is legal and stays.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::Target;
use sluice_units::hex;

/// The longest identifier that OpenAI's Chat Completions take, by OpenAI's own error: "string too long. Expected a string
/// with maximum length 40" (2025-06). Compatible providers take longer ones, as recorded exchanges show.
const CHAT_ID_BYTES_MAX: usize = 40;

/// The longest identifier that Responses take, by the API description.
const RESPONSES_ID_BYTES_MAX: usize = 64;

/// Of a hash, so many hexadecimal digits are kept.
const HASH_DIGITS: usize = 32;

/// The length of an identifier where only letters and digits are taken, by Mistral's own error: "Tool call id was … but
/// must be a-z, A-Z, 0-9, with a length of 9." (2025-06)
const SHORT_ID_BYTES: usize = 9;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The identifier as the target's Chat Completions take it.
pub(crate) fn for_chat<'a>(id: &'a str, target: &Target) -> Cow<'a, str> {
    match target {
        _ if target.short_call_ids => short(id),
        _ if target.max_completion_tokens => bounded(id, CHAT_ID_BYTES_MAX),
        _ => Cow::Borrowed(id),
    }
}

/// The identifier as Responses take it.
pub(crate) fn for_responses(id: &str) -> Cow<'_, str> {
    bounded(id, RESPONSES_ID_BYTES_MAX)
}

fn bounded(id: &str, bytes_max: usize) -> Cow<'_, str> {
    if id.len() <= bytes_max {
        return Cow::Borrowed(id);
    }
    let hash = hex(&Sha256::digest(id.as_bytes()));
    let kept = hash.get(..HASH_DIGITS).unwrap_or(&hash);
    Cow::Owned(format!("call_{kept}"))
}

/// Nine letters and digits.
pub(super) fn short(id: &str) -> Cow<'_, str> {
    if id.len() == SHORT_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    let digest = Sha256::digest(id.as_bytes());
    let letters = digest.iter().take(SHORT_ID_BYTES).map(|byte| {
        let letter = ALPHABET.get(usize::from(byte & 31));
        char::from(letter.copied().unwrap_or(b'a'))
    });
    Cow::Owned(letters.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_legal_and_told_apart() {
        let mistral = Target {
            short_call_ids: true,
            ..Target::default()
        };
        let long = "call_".repeat(20);
        let mut seen = std::collections::BTreeSet::new();
        for id in ["", "call_1", "call_2", "D681PevKs", "odd id!!!", &long] {
            let short = for_chat(id, &mistral);
            assert_eq!(short.len(), SHORT_ID_BYTES);
            assert!(short.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(for_chat(&short, &mistral), short, "what is legal stays");
            assert!(seen.insert(short.into_owned()), "{id}");
        }
        assert_eq!(for_chat("D681PevKs", &mistral), "D681PevKs");
        let openai = Target {
            max_completion_tokens: true,
            ..Target::default()
        };
        assert!(for_chat(&long, &openai).len() <= CHAT_ID_BYTES_MAX);
        assert!(for_responses(&long).len() <= RESPONSES_ID_BYTES_MAX);
        assert_eq!(for_chat("call_1", &openai), "call_1");
        assert_eq!(for_chat(&long, &Target::default()), long);
    }
}
