//! The registry's own chain: who changed what, when and why, queued in the same commit as the change.

use sluice_units::Timestamp;

use super::rows::{META, Meta};
use super::{Actor, Change, ChangeKind, ConfigVersion, KeyRecord};
use crate::outbox;
use crate::rows::{RowError, Work};

/// A key was made or revoked.
pub(super) fn of_key(
    work: &mut Work<'_>,
    at_us: Timestamp,
    change: ChangeKind,
    key: &KeyRecord,
    by: &Actor,
) -> Result<(), RowError> {
    let change = Change {
        at_us,
        change,
        author: by.author.clone(),
        reason: by.reason.clone(),
        key: Some(key.id.clone()),
        org: Some(key.org.clone()),
        team: key.team.clone(),
        record: Some(Box::new(key.clone())),
        config_version: None,
        config_sha256: None,
    };
    queue(work, &change)
}

/// A version of the configuration was stored, with this hash of its document.
pub(super) fn of_config(
    work: &mut Work<'_>,
    config: &ConfigVersion,
    sha256: String,
) -> Result<(), RowError> {
    let change = Change {
        at_us: config.at,
        change: ChangeKind::ConfigChanged,
        author: config.author.clone(),
        reason: config.reason.clone(),
        key: None,
        org: None,
        team: None,
        record: None,
        config_version: Some(config.version),
        config_sha256: Some(sha256),
    };
    queue(work, &change)
}

fn queue(work: &mut Work<'_>, change: &Change) -> Result<(), RowError> {
    let mut meta: Meta = work.load(META)?.unwrap_or_default();
    meta.audited = meta.audited.saturating_add(1);
    work.put(META.to_owned(), &meta)?;
    outbox::queue(work, meta.audited, change)
}
