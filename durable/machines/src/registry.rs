//! The registry: virtual keys and configuration versions, and what changed when.
//!
//! It is the authority; read copies lag. Whoever keeps a copy calls `Sync` and learns what has changed since.
//!
//! **Invariants**
//! - A key's identifier and hash never change and never belong to two keys; a revoked key stays revoked.
//! - Every created or revoked key raises the sequence number by one, in the same commit.
//! - Configuration versions are numbered from 1 without gaps; the last [`CONFIG_VERSIONS_MAX`] are kept.
//! - Every change is queued for the audit chain in the same commit, with who, what, when and why.
//! - Each command may come twice: the same key again, the same document again and a second revocation change nothing.
//!
//! Knows no secrets and does not judge documents. What a command must see is read in two rounds: [`reads`], then
//! [`then_reads`]. [`load`] does both.

use serde::{Deserialize, Serialize};
use sluice_units::{AppId, KeyId, OrgId, Region, Span, TeamId, Timestamp, UserId};

use crate::limit::Rule;

mod audit;
mod decide;
mod rows;

pub use decide::{decide, load, reads, then_reads};

/// How many keys a page holds, at most.
pub const KEYS_PAGE_MAX: u32 = 100;
/// How many versions of the configuration are kept.
pub const CONFIG_VERSIONS_MAX: u64 = 100;
/// How many changes are remembered for `Sync`; whoever asks for older ones is told to forget everything.
pub const CHANGES_MAX: u32 = 1_000;
/// How many deployed documents are remembered by their hash; an older one would be taken for new.
pub const SEEDS_MAX: usize = 100;

/// A virtual key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its public identifier.
    pub id: KeyId,
    /// SHA-256 of the whole secret, in lower-case hex.
    pub hash: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who pays.
    pub org: OrgId,
    /// The team that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// The application that it belongs to; needs a team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// The person or service account that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The model names that it may use, `*` standing for any rest; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Its own rules, beside those of its scopes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Those of its rules that its requests wait for, and how long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<(Rule, Span)>,
    /// Its requests are refused where a translation would lose something.
    #[serde(default, skip_serializing_if = "sluice_units::is_default")]
    pub strict: bool,
    /// Each of its requests is on record before its provider is called.
    #[serde(default, skip_serializing_if = "sluice_units::is_default")]
    pub accounting_strict: bool,
    /// The region that its requests are held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The regions that its requests may ask for, among those that the levels above allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<Region>>,
    /// Its requests hold health data of persons.
    #[serde(default, skip_serializing_if = "sluice_units::is_default")]
    pub phi: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// Who changes something, and why, in their own words: whoever holds the admin token is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A key was made.
    KeyCreated,
    /// A key was revoked.
    KeyRevoked,
    /// The configuration has a new version.
    ConfigChanged,
}

/// One change, as the audit chain has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When, in microseconds.
    pub at_us: Timestamp,
    /// What.
    pub change: ChangeKind,
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The key that was made or revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// The key's organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The key's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// The key as it stands after the change, without its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<KeyRecord>>,
    /// The configuration's new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_version: Option<u64>,
    /// The SHA-256 of its document, in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
}

/// What the registry is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Adds a key. The very same key again is answered with the key.
    CreateKey {
        /// The key.
        key: Box<KeyRecord>,
        /// Who, and why.
        #[serde(default)]
        by: Actor,
    },
    /// Revokes a key; again is harmless.
    RevokeKey {
        /// The key.
        id: KeyId,
        /// Who, and why.
        #[serde(default)]
        by: Actor,
    },
    /// The keys in the order of their identifiers, a page at a time.
    ListKeys {
        /// Only this organisation's.
        org: Option<OrgId>,
        /// Those after this one.
        after: Option<KeyId>,
        /// At most so many; bounded by the registry.
        limit: u32,
    },
    /// The key with this hash.
    FindKey {
        /// SHA-256 of the secret, in lower-case hex.
        hash: String,
    },
    /// Stores a configuration document as the newest version, unless it is the same as the current one.
    PutConfig {
        /// The resolved document, as JSON text.
        document: String,
        /// Who.
        author: String,
        /// Why.
        reason: String,
    },
    /// Stores the document that was deployed with the code, once for each content.
    SeedConfig {
        /// The resolved document, as JSON text.
        document: String,
        /// SHA-256 of the document, in lower-case hex: a seed that was seen before changes nothing.
        hash: String,
    },
    /// A configuration document; the current one where no version is named.
    Config {
        /// Which.
        version: Option<u64>,
    },
    /// What has changed after this sequence number.
    Sync {
        /// The last sequence number that the asker knows; 0 for a new one, which is told whom not to look up in a copy.
        /// None for one that trusts no copy and forgets what it knows of keys.
        since: Option<u64>,
        /// SHA-256 of the document that the asker was deployed with, as long as it does not know that it was handed in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<String>,
    },
}

impl Command {
    /// Whether it may change something.
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::CreateKey { .. }
            | Self::RevokeKey { .. }
            | Self::PutConfig { .. }
            | Self::SeedConfig { .. } => true,
            Self::ListKeys { .. }
            | Self::FindKey { .. }
            | Self::Config { .. }
            | Self::Sync { .. } => false,
        }
    }
}

/// What the registry answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The key as it stands now.
    Key {
        /// The key.
        key: Box<KeyRecord>,
    },
    /// A page of keys.
    Keys {
        /// The keys.
        keys: Vec<KeyRecord>,
        /// To be sent as `after` for the next page, if there is one.
        next: Option<KeyId>,
    },
    /// There is no such key or version.
    NotFound,
    /// A key with this identifier or hash exists.
    Exists,
    /// The version that is current now.
    ConfigVersion {
        /// Its number, from 1.
        version: u64,
        /// It is new.
        changed: bool,
    },
    /// A configuration document.
    Config(Box<ConfigVersion>),
    /// What has changed.
    Changes(Changes),
}

/// One version of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigVersion {
    /// Its number, from 1.
    pub version: u64,
    /// The resolved document, as JSON text.
    pub document: String,
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What a copy's keeper must know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The newest sequence number of the keys' changes; to be sent with the next `Sync`.
    pub sequence: u64,
    /// The current configuration's version; 0 when there is none.
    pub config_version: u64,
    /// SHA-256 of its document, in lower-case hex, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
    /// The document that the asker was deployed with was handed in before.
    #[serde(default, skip_serializing_if = "sluice_units::is_default")]
    pub is_seeded: bool,
    /// Hashes of keys that were created or revoked: forget what you know of them and ask the registry, not a copy.
    pub keys: Vec<String>,
    /// There were more changes than are listed, which are the latest, or nobody asked for any: forget every key.
    pub everything: bool,
}
