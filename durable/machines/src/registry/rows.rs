//! The registry's rows.
//!
//! | key | row |
//! |---|---|
//! | `meta` | [`Meta`]: the newest sequence number and configuration version |
//! | `h/HASH` | [`KeyRow`]: a key |
//! | `i/ID`, `g/ORG/ID` | [`Index`]: the hash of the key with this identifier |
//! | `c/SEQUENCE` | [`Index`]: the hash of a key that was created or revoked |
//! | `v/VERSION` | [`ConfigRow`]: a version of the configuration |
//! | `q/SEQUENCE`, `ship` | [`crate::outbox`]: changes on their way to the audit chain |
//! | `seeds` | [`Seeds`]: the documents that were deployed with the code |

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sluice_units::{KeyId, OrgId};

use super::{ConfigVersion, KeyRecord};
use crate::rows::{RowKey, V1};

pub(super) const META: &str = "meta";
pub(super) const SEEDS: &str = "seeds";
pub(super) const IDS: &str = "i/";
pub(super) const CHANGES: &str = "c/";

pub(super) fn hash_key(hash: &str) -> RowKey {
    format!("h/{hash}")
}

pub(super) fn id_key(id: &KeyId) -> RowKey {
    format!("{IDS}{id}")
}

/// The prefix of the index of one organisation's keys, or of all keys.
pub(super) fn index_prefix(org: Option<&OrgId>) -> String {
    org.map_or_else(|| IDS.to_owned(), |org| format!("g/{org}/"))
}

pub(super) fn change_key(sequence: u64) -> RowKey {
    format!("{CHANGES}{sequence:020}")
}

pub(super) fn config_key(version: u64) -> RowKey {
    format!("v/{version:020}")
}

/// Where the registry stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Meta {
    v: V1,
    /// The newest change's sequence number.
    pub(super) sequence: u64,
    /// The current configuration's version; 0 when there is none.
    pub(super) config: u64,
    /// SHA-256 of its document, in lower-case hex; earlier code did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) config_sha256: Option<String>,
    /// How many changes were ever queued for the audit chain.
    #[serde(default)]
    pub(super) audited: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeyRow {
    pub(super) v: V1,
    pub(super) key: KeyRecord,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) v: V1,
    pub(super) hash: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ConfigRow {
    pub(super) v: V1,
    pub(super) config: ConfigVersion,
}

/// The hashes of deployed documents, the newest last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Seeds {
    v: V1,
    pub(super) hashes: VecDeque<String>,
}

impl Seeds {
    /// Whether the document with this hash was handed in.
    pub(super) fn hold(&self, hash: &str) -> bool {
        self.hashes.iter().any(|seen| seen == hash)
    }
}
