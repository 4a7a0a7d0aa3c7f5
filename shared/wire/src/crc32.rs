//! The checksum CRC-32 as IEEE 802.3 has it, which AWS's event streams carry.
//!
//! A byte at a time, with a table of 1 KB: messages are short, and the quicker ways need tables that are a good part of
//! what is built.

/// The polynomial, its lowest power first.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// By byte: what eight steps make of it.
static STEPS: [u32; 256] = steps();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "runs while compiling, and a place that is none would end that"
)]
const fn steps() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0_usize;
    let mut first = 0_u32;
    while byte < table.len() {
        let mut rest = first;
        let mut step = 0;
        while step < 8 {
            let out = rest & 1;
            rest >>= 1;
            if out == 1 {
                rest ^= POLYNOMIAL;
            }
            step += 1;
        }
        table[byte] = rest;
        byte += 1;
        first += 1;
    }
    table
}

/// The checksum of these bytes.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let rest = bytes.iter().fold(u32::MAX, |rest, byte| {
        let [lowest, ..] = rest.to_le_bytes();
        // Every byte has its place in the table.
        let steps = STEPS.get(usize::from(lowest ^ byte)).copied();
        (rest >> 8) ^ steps.unwrap_or_default()
    });
    !rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_check_value_of_the_standard_is_met() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_have_the_checksum_that_another_finds(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(crc32(&bytes), crc32fast::hash(&bytes));
        }
    }
}
