//! Cuts a stream's bytes, differently for each input and alike at each run.

/// The longest piece of a ragged cut, in bytes.
const PIECE_BYTES_MAX: u64 = 48;

/// The ways in which `bytes` are cut: at once, byte by byte where that is not too slow, and raggedly.
pub(crate) fn all(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    const SINGLE_BYTES_MAX: usize = 4 << 10;
    let mut all = vec![vec![bytes], ragged(bytes)];
    if bytes.len() <= SINGLE_BYTES_MAX {
        all.push(bytes.chunks(1).collect());
    }
    all
}

fn ragged(bytes: &[u8]) -> Vec<&[u8]> {
    let mut random = Random::of(bytes);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let size = usize::try_from(random.below(PIECE_BYTES_MAX)).unwrap_or(0);
        let (piece, more) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Begins at a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Begins at a hash of `bytes` (FNV-1a).
    fn of(bytes: &[u8]) -> Self {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash)
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number from 0 to below `bound`; 0 where there is none.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        let next = self.next();
        if bound == 0 { 0 } else { next % bound }
    }

    /// One of them; `None` where there is none.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        items.get(usize::try_from(self.below(count)).unwrap_or(0))
    }
}
