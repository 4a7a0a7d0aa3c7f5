//! RSASSA-PKCS1-v1_5 with SHA-256, the signature that JWT calls RS256, and the one form of key that Google gives out.
//!
//! Follows RFC 8017 (§8.2.1, §9.2) and, for the key, RFC 5208 and RFC 8017 §A.1.2 in DER. The power is taken in
//! constant time by `crypto-bigint`, without the Chinese remainder: half as quick, and no fault can show a prime.

use std::fmt;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use sha2::{Digest, Sha256};

use crate::gemini::base64;

/// The size of a key, in bytes.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
const PEM_HEAD: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_TAIL: &str = "-----END PRIVATE KEY-----";
/// `rsaEncryption`, 1.2.840.113549.1.1.1, with its null parameter.
const RSA_ENCRYPTION: [u8; 13] = [
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// What stands before a SHA-256 digest: RFC 8017 §9.2, note 1.
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// An RSA key that signs.
pub(super) struct PrivateKey {
    modulus: BoxedMontyParams,
    exponent: BoxedUint,
    bytes: usize,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    /// Reads a key in PKCS #8, PEM.
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
        let (_, rest) = pem.split_once(PEM_HEAD)?;
        let (text, _) = rest.split_once(PEM_TAIL)?;
        let text: String = text.split_ascii_whitespace().collect();
        Self::from_der(&base64::decode(&text)?)
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let mut outer = Der(Der(der).take(SEQUENCE)?);
        outer.take(INTEGER)?;
        if outer.take(SEQUENCE)? != RSA_ENCRYPTION {
            return None;
        }
        let mut key = Der(Der(outer.take(OCTET_STRING)?).take(SEQUENCE)?);
        key.take(INTEGER)?;
        let modulus = number(key.take(INTEGER)?);
        let _public_exponent = key.take(INTEGER)?;
        let exponent = number(key.take(INTEGER)?);
        if !MODULUS_BYTES.contains(&modulus.len()) || exponent.len() > modulus.len() {
            return None;
        }
        let bytes = modulus.len();
        let modulus: Odd<BoxedUint> =
            Odd::new(BoxedUint::from_be_slice_vartime(modulus)).into_option()?;
        Some(Self {
            modulus: BoxedMontyParams::new(modulus),
            exponent: BoxedUint::from_be_slice_vartime(exponent),
            bytes,
        })
    }

    /// Signs a message.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let digest = Sha256::digest(message);
        let tail = [DIGEST_INFO.as_slice(), &digest].concat();
        let padding = self.bytes.saturating_sub(tail.len()).saturating_sub(3);
        let mut encoded = vec![0, 1];
        encoded.resize(padding.saturating_add(2), 0xff);
        encoded.push(0);
        encoded.extend_from_slice(&tail);
        // Shorter than the modulus, since its first byte is zero.
        let modulus = self.modulus.modulus().as_nz_ref();
        let encoded = BoxedUint::from_be_slice_vartime(&encoded).rem(modulus);
        let power = BoxedMontyForm::new(encoded, &self.modulus).pow(&self.exponent);
        let signature = power.retrieve().to_be_bytes();
        let start = signature.len().saturating_sub(self.bytes);
        signature.get(start..).unwrap_or_default().to_vec()
    }
}

/// A number without the zero that keeps it from being negative.
fn number(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0, rest @ ..] => rest,
        _ => bytes,
    }
}

/// DER that is left to read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value, when it is of this kind.
    fn take(&mut self, kind: u8) -> Option<&'a [u8]> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (size, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            let (size, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
            let add = |sum: usize, byte: &u8| sum.checked_mul(256)?.checked_add(usize::from(*byte));
            (size.iter().try_fold(0, add)?, rest)
        };
        let (content, rest) = rest.split_at_checked(size)?;
        self.0 = rest;
        (*tag == kind).then_some(content)
    }
}
