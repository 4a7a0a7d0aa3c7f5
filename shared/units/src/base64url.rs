//! Bytes as text for tokens: the URL alphabet, not padded (RFC 4648 §5, as RFC 7515 wants it).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    let (groups, rest) = bytes.as_chunks::<3>();
    for [first, second, third] in groups {
        text.extend_from_slice(&digits([0, *first, *second, *third]));
    }
    let last = match rest {
        [first, second] => [0, *first, *second, 0],
        [first] => [0, *first, 0, 0],
        _ => [0; 4],
    };
    if !rest.is_empty() {
        text.extend(digits(last).iter().take(rest.len().saturating_add(1)));
    }
    // The alphabet is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

/// What 24 bits are written as.
fn digits(group: [u8; 4]) -> [u8; 4] {
    let word = u32::from_be_bytes(group);
    [18_u32, 12, 6, 0].map(|shift| {
        let digit = usize::try_from((word >> shift) & 63).unwrap_or_default();
        ALPHABET.get(digit).copied().unwrap_or(b'-')
    })
}

/// What a symbol of the alphabet stands for.
const fn value(symbol: u8) -> Option<u8> {
    Some(match symbol {
        b'A'..=b'Z' => symbol.wrapping_sub(b'A'),
        b'a'..=b'z' => symbol.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => symbol.wrapping_sub(b'0').wrapping_add(52),
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
}

/// Reads bytes; `None` for what is not written so.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for group in text.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for index in 0..4 {
            let digit = match group.get(index) {
                Some(symbol) => value(*symbol)?,
                None => 0,
            };
            word = (word << 6) | u32::from(digit);
        }
        let [_, first, second, third] = word.to_be_bytes();
        match (group.len(), second, third) {
            (4, ..) => bytes.extend([first, second, third]),
            (3, _, 0) => bytes.extend([first, second]),
            (2, 0, 0) => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_are_written_one_way() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (&[0xfb, 0xff], "-_8"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes));
        }
        for wrong in ["Z", "Zh", "Zm9", "Zg==", "+/8", "a!bc"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
