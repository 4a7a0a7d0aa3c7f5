//! SHA-256.

use sha2::{Digest, Sha256};
use sluice_units::hex;

/// The SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The SHA-256 of some bytes, in lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// Whether two texts are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same_secret(one: &str, other: &str) -> bool {
    let difference = sha256(one.as_bytes())
        .iter()
        .zip(sha256(other.as_bytes()))
        .fold(0_u8, |difference, (one, other)| difference | (one ^ other));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_standard_one() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret("abc", "abc"));
        assert!(!same_secret("abc", "abd"));
        assert!(!same_secret("abc", "abcd"));
    }
}
