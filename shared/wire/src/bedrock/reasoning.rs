//! Reasoning that only the provider can read, so that it comes back byte for byte.
//!
//! Converse carries it as bytes, in base64. For Claude those bytes are the text that Messages carries as it is, so
//! the neutral model gets that text: a conversation may go on at Anthropic. Anything else stays base64, marked as
//! Bedrock's.

use std::borrow::Cow;

use crate::gemini::base64;

/// Marks encrypted reasoning as Bedrock's. Base64 holds no colon: nobody else's begins like this.
const OWNER: &str = "bedrock:";

/// What the neutral model holds of `redactedContent`.
pub(super) fn redacted(content: String) -> String {
    let text = base64::decode(&content).and_then(|bytes| String::from_utf8(bytes).ok());
    match text {
        Some(text) if !text.contains(':') && base64::encode(text.as_bytes()) == content => text,
        _ => format!("{OWNER}{content}"),
    }
}

/// The `redactedContent` to send back; `None` when another provider made it.
pub(super) fn own_redacted(data: &str) -> Option<Cow<'_, str>> {
    match data.strip_prefix(OWNER) {
        Some(content) => Some(Cow::Borrowed(content)),
        None if data.contains(':') => None,
        None => Some(Cow::Owned(base64::encode(data.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn encrypted_reasoning_comes_back_byte_for_byte(
            content in "[A-Za-z0-9+/]{0,12}={0,2}|(YWJj|YTpi|w6k=){1,3}",
            data in "[A-Za-z0-9+/=]{0,40}",
        ) {
            let held = redacted(content.clone());
            prop_assert_eq!(own_redacted(&held), Some(Cow::Owned(content)));
            let sent = own_redacted(&data).unwrap().into_owned();
            prop_assert_eq!(redacted(sent), data);
        }
    }

    #[test]
    fn what_another_provider_encrypted_is_not_sent() {
        assert_eq!(own_redacted("gemini:abc"), None);
    }
}
