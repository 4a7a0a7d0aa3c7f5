//! Tells names of secrets from secrets, so that a key pasted into a document is refused and never repeated.

const NAME_BYTES_MAX: usize = 64;
const SHOWN_CHARS_MAX: usize = 80;
const UNBROKEN_BYTES_MAX: usize = 30;
const PREFIXES: [&str; 14] = [
    "sk-", "sk_", "pk-", "pk_", "rk_", "gsk_", "xai-", "hf_", "AIza", "AKIA", "ASIA", "ghp_",
    "r8_", "Bearer ",
];

/// Whether a text is the name of an environment variable and cannot be a key.
pub(super) fn is_name(text: &str) -> bool {
    let first = text.as_bytes().first();
    first.is_some_and(u8::is_ascii_uppercase)
        && text.len() <= NAME_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && !looks_like_one(text)
}

/// Whether a text may be a key.
pub(super) fn looks_like_one(text: &str) -> bool {
    let access_key = (text.starts_with("AKIA") || text.starts_with("ASIA")) && text.len() == 20;
    let known = PREFIXES
        .iter()
        .any(|prefix| text.starts_with(prefix) && text.len() >= prefix.len().saturating_add(12));
    // Words are short; a long run of letters and digits is random.
    let random = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|run| run.len() > UNBROKEN_BYTES_MAX && run.bytes().any(|byte| byte.is_ascii_digit()));
    access_key || known || random
}

/// A written text as a message may show it: quoted, bounded, and not at all when it may be a key.
pub(super) fn shown(text: &str) -> String {
    if looks_like_one(text) {
        return "the text (not shown, it looks like a secret)".to_owned();
    }
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", text.split_at(end).0),
        None => format!("{text:?}"),
    }
}

/// Takes quoted texts out of a parser's message about a wrong type, since the text may be a secret.
#[must_use]
pub fn without_values(message: &str) -> String {
    let Some((before, rest)) = message.split_once("string \"") else {
        return message.to_owned();
    };
    let after = rest.rsplit_once("\", ").map_or("", |(_, after)| after);
    format!("{before}a string, {after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_are_names() {
        for name in [
            "OPENAI_API_KEY",
            "KEY2",
            "SLUICE_PROVIDER_OPENAI_EU_PRODUCTION_KEY_2026",
        ] {
            assert!(is_name(name), "{name}");
        }
    }

    #[test]
    fn keys_are_not_names_and_are_not_shown() {
        for key in [
            "sk-proj-0123456789abcdef",
            "sk-ant-api03-aaaaaaaaaaaaaaaaaaaa",
            "AIzaSyA-0123456789abcdefghij",
            "AKIA0123456789ABCDEF",
            "F0123456789ABCDEF0123456789ABCDEF",
            "gsk_0123456789abcdefghij",
        ] {
            assert!(!is_name(key), "{key}");
            assert!(!shown(key).contains(key), "{key}");
        }
        for wrong in ["", "openai_api_key", "1KEY", "MY-KEY", "MY KEY"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_parser_does_not_repeat_a_text() {
        assert_eq!(
            without_values("invalid type: string \"hunter2\", expected a table"),
            "invalid type: a string, expected a table"
        );
    }
}
