//! How a virtual key's secret is written: `sk-sluice-`, 40 random characters, six check characters.
//!
//! 40 characters of 62 hold 238 bits. The check characters let a typing error, a cut copy or a random guess be
//! refused without asking any store.

use sluice_units::Secret;

use crate::hash::sha256;

/// What every secret begins with.
pub const PREFIX: &str = "sk-sluice-";
const BODY: usize = 40;
const CHECK: usize = 6;
const CHECKED: usize = PREFIX.len().saturating_add(BODY);
const LENGTH: usize = CHECKED.saturating_add(CHECK);
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes a secret from random bytes.
#[must_use]
pub fn mint(random: &[[u8; 16]; 3]) -> Secret {
    let mut text = String::from(PREFIX);
    // 48 bytes are 384 bits: enough for 40 digits of base 62 with a bias below 2^-100.
    text.push_str(&base62(&random.concat(), BODY));
    let check = check_characters(&text);
    text.push_str(&check);
    Secret::new(text)
}

/// Whether a text can be a secret at all.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    text.len() == LENGTH
        && text.starts_with(PREFIX)
        && text
            .split_at_checked(CHECKED)
            .is_some_and(|(body, check)| check_characters(body) == check)
}

/// A short identifier from random bytes, such as `key_8JtB…`.
#[must_use]
pub fn identifier(prefix: &str, random: [u8; 16]) -> String {
    format!("{prefix}{}", base62(&random, 20))
}

fn check_characters(text: &str) -> String {
    base62(&sha256(text.as_bytes()), CHECK)
}

/// The lowest `digits` digits of a big-endian number in base 62.
fn base62(bytes: &[u8], digits: usize) -> String {
    let mut number: Vec<u8> = bytes.to_vec();
    (0..digits)
        .map(|_| {
            let mut remainder = 0_u32;
            for byte in &mut number {
                let value = (remainder << 8) | u32::from(*byte);
                *byte = u8::try_from(value / 62).unwrap_or(0);
                remainder = value % 62;
            }
            ALPHABET
                .get(remainder as usize)
                .map_or('0', |byte| char::from(*byte))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_secret_is_well_formed_and_no_other_is() {
        let secret = mint(&[[7; 16], [9; 16], [200; 16]]);
        let text = secret.expose();
        assert!(is_well_formed(text), "{text}");
        assert_eq!(text.len(), 56);
        for at in PREFIX.len()..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            assert!(
                !is_well_formed(std::str::from_utf8(&wrong).unwrap()),
                "{at}"
            );
        }
        for wrong in [
            "",
            "sk-sluice-",
            "sk-proj-abc",
            &text[..55],
            "sk-sluice-ééééééééééééééééééééééé",
        ] {
            assert!(!is_well_formed(wrong), "{wrong}");
        }
    }

    #[test]
    fn different_bytes_give_different_secrets() {
        let one = mint(&[[1; 16], [0; 16], [0; 16]]);
        let two = mint(&[[0; 16], [0; 16], [1; 16]]);
        assert_ne!(one.expose(), two.expose());
    }
}
