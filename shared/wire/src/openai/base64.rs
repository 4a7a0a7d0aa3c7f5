//! Base64 and 32-bit floats, for embeddings.
//!
//! The only place that looks inside a float, and it calculates with none. A vector written in base64 is a list of
//! little-endian 32-bit floats. Widening one to the 64 bits of a JSON number is exact, and narrowing such a number
//! gives back the same 32 bits; a number that was never a 32-bit float is rounded to the nearest, as OpenAI does.

use serde_json::Number;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Numbers to base64.
pub(super) fn of_numbers(numbers: &[Number]) -> String {
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| narrow(number).to_le_bytes())
        .collect();
    encode(&bytes)
}

/// Base64 to numbers; `None` when it is not a list of finite 32-bit floats.
pub(super) fn to_numbers(text: &str) -> Option<Vec<Number>> {
    let bytes = decode(text)?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    floats
        .iter()
        .map(|float| Number::from_f64(f64::from(f32::from_le_bytes(*float))))
        .collect()
}

fn narrow(number: &Number) -> f32 {
    // `as` rounds to the nearest, ties to even; there is no other conversion.
    number.as_f64().unwrap_or_default() as f32
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let sextet = usize::try_from((bits >> shift) & 63).unwrap_or(0);
            let letter = ALPHABET.get(sextet).copied().unwrap_or(b'A');
            text.push(if at > group.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len().saturating_mul(3).div_euclid(4));
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for at in 0..4 {
            bits = (bits << 6) | group.get(at).map_or(Some(0), |letter| sextet(*letter))?;
        }
        let [_, first, second, third] = bits.to_be_bytes();
        match group.len() {
            4 => bytes.extend([first, second, third]),
            3 => bytes.extend([first, second]),
            2 => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

fn sextet(letter: u8) -> Option<u32> {
    let (base, from) = match letter {
        b'A'..=b'Z' => (b'A', 0),
        b'a'..=b'z' => (b'a', 26),
        b'0'..=b'9' => (b'0', 52),
        b'+' => return Some(62),
        b'/' => return Some(63),
        _ => return None,
    };
    Some(u32::from(letter.wrapping_sub(base)).saturating_add(from))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_follows_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode("Zg$="), None);
        assert_eq!(to_numbers("Zm9v"), None);
        // Infinity is no JSON number.
        assert_eq!(to_numbers("AACAfw=="), None);
    }

    proptest! {
        #[test]
        fn floats_come_back_bit_for_bit(bits in proptest::collection::vec(any::<u32>(), 0..20)) {
            let floats: Vec<f32> = bits
                .into_iter()
                .map(f32::from_bits)
                .filter(|float| float.is_finite())
                .collect();
            let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
            let text = encode(&bytes);
            let numbers = to_numbers(&text).unwrap();
            let json = serde_json::to_string(&numbers).unwrap();
            let read: Vec<Number> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(of_numbers(&read), text);
        }
    }
}
