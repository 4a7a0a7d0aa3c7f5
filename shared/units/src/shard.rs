//! Which of an organisation's ledgers in a region counts a key's requests, where there are several.
//!
//! The choice must be the same in every isolate, on every runtime and in every version of the gateway, for each key has
//! its slices, reservations and records in one of them: so nothing of it is drawn, and the tests hold known answers.
//! It is jump consistent hash (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014) in whole
//! numbers, of FNV-1a (64 bits) over the key's identifier. Where there are more shards than before a key stays or moves
//! to one of the new ones.

use std::fmt;
use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use crate::id::KeyId;

/// One of several ledgers among which an organisation's keys are divided; from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(NonZeroU8);

impl Shard {
    /// How many there may be: whoever looks at an organisation asks each of them.
    pub const COUNT_MAX: u8 = 32;

    /// The shard with this number; none where there is no such number.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        let number = NonZeroU8::new(number)?;
        (number.get() <= Self::COUNT_MAX).then_some(Self(number))
    }

    /// The shards where there are so many.
    pub fn all(count: u8) -> impl Iterator<Item = Self> {
        (1..=count).filter_map(Self::new)
    }

    /// The place of a key's shard among so many, from 0; 0 where there is none.
    #[must_use]
    pub fn place_of(key: &KeyId, count: usize) -> usize {
        let mut hash = fnv(key.as_str());
        let (mut place, mut next) = (0, 0);
        while next < count {
            place = next;
            hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
            next = jump(place, hash);
        }
        place
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// From how many shards on a key is in a later place than this one.
fn jump(place: usize, hash: u64) -> usize {
    let from = u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1);
    let part = (hash >> 33).saturating_add(1);
    let next = from.saturating_mul(1 << 31).div_euclid(part);
    usize::try_from(next).unwrap_or(usize::MAX)
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_of(key: &str, count: usize) -> usize {
        Shard::place_of(&KeyId::new(key).unwrap(), count) + 1
    }

    #[test]
    fn a_key_is_where_every_version_of_the_gateway_looks_for_it() {
        for (key, numbers) in [
            ("key_0", [1, 2, 4, 4, 29]),
            ("key_1", [1, 2, 4, 7, 13]),
            ("key_a", [1, 1, 1, 7, 9]),
            ("key_9f3c", [1, 1, 1, 1, 26]),
            ("key_QkGZ3q5RrW0v", [1, 1, 4, 4, 4]),
        ] {
            let counts = [1, 2, 4, 8, 32];
            assert_eq!(counts.map(|count| number_of(key, count)), numbers, "{key}");
        }
    }

    #[test]
    fn keys_are_divided_evenly() {
        let mut sizes = [0_u32; 32];
        for number in 0..32_000 {
            sizes[number_of(&format!("key_{number}"), 32) - 1] += 1;
        }
        assert!(
            sizes.iter().all(|size| (800..1_200).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn a_further_shard_takes_keys_and_moves_none_between_the_others() {
        for number in 0..1_000 {
            let key = format!("key_{number}");
            for count in 1..32 {
                let (before, after) = (number_of(&key, count), number_of(&key, count + 1));
                assert!(after == before || after == count + 1, "{key} of {count}");
            }
        }
    }

    #[test]
    fn a_shard_has_a_number_that_there_may_be() {
        assert_eq!(Shard::new(0), None);
        assert_eq!(Shard::new(33), None);
        let numbers: Vec<String> = Shard::all(3).map(|shard| shard.to_string()).collect();
        assert_eq!(numbers, ["1", "2", "3"]);
        assert_eq!(Shard::all(u8::MAX).count(), 32);
    }
}
