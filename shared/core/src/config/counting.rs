//! The ledgers that count an organisation's requests in one region.

use sluice_units::{KeyId, LedgerId, OrgId, Region, Shard, SortedMap};

/// Each organisation's ledgers in each region.
pub(super) type Ledgers = SortedMap<OrgId, SortedMap<Region, Counting>>;

/// One ledger, or one for each shard of the organisation's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counting {
    whole: LedgerId,
    shards: Vec<LedgerId>,
}

impl Counting {
    /// What a ledger counts, divided among so many.
    pub(super) fn new(whole: LedgerId, shards: u64) -> Self {
        let count = u8::try_from(shards).ok().filter(|count| *count > 1);
        let all = Shard::all(count.unwrap_or_default());
        let shards = all.map(|shard| whole.shard(shard)).collect();
        Self { whole, shards }
    }

    /// The one that all keys had if there were no shards.
    pub(super) const fn whole(&self) -> &LedgerId {
        &self.whole
    }

    /// The shards' ledgers; none where there is one for all keys.
    pub(super) fn shards(&self) -> &[LedgerId] {
        &self.shards
    }

    /// The one that counts a key's requests.
    pub(super) fn of_key(&self, key: &KeyId) -> &LedgerId {
        let place = Shard::place_of(key, self.shards.len());
        self.shards.get(place).unwrap_or(&self.whole)
    }
}
