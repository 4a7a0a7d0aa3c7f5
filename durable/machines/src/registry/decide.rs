//! The registry's decisions.

use std::collections::BTreeSet;

use sluice_units::{KeyId, OrgId, Timestamp};

use super::audit;
use super::rows::{
    CHANGES, ConfigRow, Index, KeyRow, META, Meta, SEEDS, Seeds, change_key, config_key, hash_key,
    id_key, index_prefix,
};
use super::{
    Actor, CHANGES_MAX, CONFIG_VERSIONS_MAX, ChangeKind, Changes, Command, ConfigVersion,
    KEYS_PAGE_MAX, KeyRecord, Reply, SEEDS_MAX,
};
use crate::chain;
use crate::rows::{Read, RowError, RowKey, Rows, V1, Work, WriteSet, decode};

const SEED_AUTHOR: &str = "deployment";
const SEED_REASON: &str = "deployed with the code";

/// The rows that a command must see first.
#[must_use]
pub fn reads(command: &Command) -> Vec<Read> {
    let meta = || Read::Row(META.to_owned());
    match command {
        Command::CreateKey { key, .. } => vec![
            meta(),
            Read::Row(id_key(&key.id)),
            Read::Row(hash_key(&key.hash)),
        ],
        Command::RevokeKey { id, .. } => vec![meta(), Read::Row(id_key(id))],
        Command::ListKeys { org, after, limit } => vec![index_read(
            org.as_ref(),
            after.as_ref(),
            // One more tells whether there is a next page.
            page(*limit).saturating_add(1),
        )],
        Command::FindKey { hash } => vec![Read::Row(hash_key(hash))],
        Command::PutConfig { .. } => vec![meta()],
        Command::SeedConfig { .. } => vec![meta(), Read::Row(SEEDS.to_owned())],
        Command::Config { version: None } => vec![meta()],
        Command::Config {
            version: Some(version),
        } => vec![Read::Row(config_key(*version))],
        Command::Sync { since, seed } => {
            let changes =
                since.map(|since| Read::prefix_after(CHANGES, &change_key(since), CHANGES_MAX));
            let seeds = seed.as_ref().map(|_| Read::Row(SEEDS.to_owned()));
            [Some(meta()), changes, seeds]
                .into_iter()
                .flatten()
                .collect()
        }
    }
}

/// The rows that it must see besides, now that the first ones are known.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn then_reads(rows: &Rows, command: &Command) -> Result<Vec<Read>, RowError> {
    let work = Work::new(rows);
    let keys = match command {
        Command::RevokeKey { id, .. } => work
            .load::<Index>(&id_key(id))?
            .map(|index| hash_key(&index.hash))
            .into_iter()
            .collect(),
        Command::ListKeys { org, limit, .. } => page_of(rows, org.as_ref(), *limit)?
            .iter()
            .map(|hash| hash_key(hash))
            .collect(),
        Command::PutConfig { .. }
        | Command::SeedConfig { .. }
        | Command::Config { version: None } => vec![config_key(meta(&work)?.config)],
        Command::CreateKey { .. }
        | Command::FindKey { .. }
        | Command::Config { version: Some(_) }
        | Command::Sync { .. } => Vec::new(),
    };
    Ok(keys.into_iter().map(Read::Row).collect())
}

/// Reads all that a command must see; `read` answers several reads at once.
///
/// # Errors
/// What `read` says, or a [`RowError`].
pub fn load<E: From<RowError>>(
    command: &Command,
    mut read: impl FnMut(&[Read]) -> Result<Vec<(RowKey, String)>, E>,
) -> Result<Rows, E> {
    let mut rows = Rows::new();
    rows.extend(read(&reads(command))?);
    let more = then_reads(&rows, command)?;
    if !more.is_empty() {
        rows.extend(read(&more)?);
    }
    Ok(rows)
}

/// Decides one command.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn decide(
    rows: &Rows,
    now: Timestamp,
    command: &Command,
) -> Result<(Reply, WriteSet), RowError> {
    let mut work = Work::new(rows);
    let reply = match command {
        Command::CreateKey { key, by } => create(&mut work, now, key, by)?,
        Command::RevokeKey { id, by } => revoke(&mut work, now, id, by)?,
        Command::ListKeys { org, limit, .. } => list(rows, org.as_ref(), *limit)?,
        Command::FindKey { hash } => find(&work, hash)?,
        Command::PutConfig {
            document,
            author,
            reason,
        } => put_config(&mut work, now, document, author, reason)?,
        Command::SeedConfig { document, hash } => seed_config(&mut work, now, document, hash)?,
        Command::Config { version } => {
            let version = version.map_or_else(|| Ok(meta(&work)?.config), Ok)?;
            work.load::<ConfigRow>(&config_key(version))?
                .map_or(Reply::NotFound, |row| Reply::Config(Box::new(row.config)))
        }
        Command::Sync { since, seed } => sync(rows, *since, seed.as_deref())?,
    };
    Ok((reply, work.finish()?))
}

fn meta(work: &Work<'_>) -> Result<Meta, RowError> {
    Ok(work.load(META)?.unwrap_or_default())
}

fn create(
    work: &mut Work<'_>,
    now: Timestamp,
    key: &KeyRecord,
    by: &Actor,
) -> Result<Reply, RowError> {
    let same_hash = work.load::<KeyRow>(&hash_key(&key.hash))?;
    let same_id = work.load::<Index>(&id_key(&key.id))?;
    if let Some(row) = same_hash {
        return Ok(if row.key == *key {
            key_reply(row.key)
        } else {
            Reply::Exists
        });
    }
    if same_id.is_some() {
        return Ok(Reply::Exists);
    }
    let index = Index {
        v: V1,
        hash: key.hash.clone(),
    };
    work.put(id_key(&key.id), &index)?;
    work.put(
        format!("{}{}", index_prefix(Some(&key.org)), key.id),
        &index,
    )?;
    write_key(work, key)?;
    audit::of_key(work, now, ChangeKind::KeyCreated, key, by)?;
    Ok(key_reply(key.clone()))
}

fn revoke(work: &mut Work<'_>, now: Timestamp, id: &KeyId, by: &Actor) -> Result<Reply, RowError> {
    let Some(index) = work.load::<Index>(&id_key(id))? else {
        return Ok(Reply::NotFound);
    };
    let Some(KeyRow { mut key, .. }) = work.load(&hash_key(&index.hash))? else {
        return Err(no_key(&index.hash));
    };
    if key.revoked_at.is_none() {
        key.revoked_at = Some(now);
        write_key(work, &key)?;
        audit::of_key(work, now, ChangeKind::KeyRevoked, &key, by)?;
    }
    Ok(key_reply(key))
}

/// Writes a key and, in the change log, that it has changed.
fn write_key(work: &mut Work<'_>, key: &KeyRecord) -> Result<(), RowError> {
    let row = KeyRow {
        v: V1,
        key: key.clone(),
    };
    work.put(hash_key(&key.hash), &row)?;
    let mut meta = meta(work)?;
    meta.sequence = meta.sequence.saturating_add(1);
    let change = Index {
        v: V1,
        hash: key.hash.clone(),
    };
    work.put(change_key(meta.sequence), &change)?;
    if let Some(forgotten @ 1..) = meta.sequence.checked_sub(u64::from(CHANGES_MAX)) {
        work.delete_unread(change_key(forgotten));
    }
    work.put(META.to_owned(), &meta)
}

fn find(work: &Work<'_>, hash: &str) -> Result<Reply, RowError> {
    let row = work.load::<KeyRow>(&hash_key(hash))?;
    Ok(row.map_or(Reply::NotFound, |row| key_reply(row.key)))
}

fn key_reply(key: KeyRecord) -> Reply {
    Reply::Key { key: Box::new(key) }
}

fn no_key(hash: &str) -> RowError {
    RowError {
        key: hash_key(hash),
        detail: "an index names it, but it is missing".to_owned(),
    }
}

const fn page(limit: u32) -> u32 {
    match limit {
        0 => 1,
        KEYS_PAGE_MAX.. => KEYS_PAGE_MAX,
        limit => limit,
    }
}

fn index_read(org: Option<&OrgId>, after: Option<&KeyId>, limit: u32) -> Read {
    let prefix = index_prefix(org);
    let after = after.map_or_else(|| prefix.clone(), |after| format!("{prefix}{after}"));
    Read::prefix_after(&prefix, &after, limit)
}

/// The hashes of the keys of a page, in the order of their identifiers.
fn page_of(rows: &Rows, org: Option<&OrgId>, limit: u32) -> Result<Vec<String>, RowError> {
    rows.with_prefix(&index_prefix(org))
        .take(usize::try_from(page(limit)).unwrap_or(usize::MAX))
        .map(|(key, text)| decode::<Index>(key, text).map(|index| index.hash))
        .collect()
}

fn list(rows: &Rows, org: Option<&OrgId>, limit: u32) -> Result<Reply, RowError> {
    let work = Work::new(rows);
    let hashes = page_of(rows, org, limit)?;
    let mut keys = Vec::with_capacity(hashes.len());
    for hash in &hashes {
        let row: KeyRow = work.load(&hash_key(hash))?.ok_or_else(|| no_key(hash))?;
        keys.push(row.key);
    }
    let is_last = rows
        .with_prefix(&index_prefix(org))
        .nth(keys.len())
        .is_none();
    let next = keys
        .last()
        .filter(|_| !is_last)
        .map(|key: &KeyRecord| key.id.clone());
    Ok(Reply::Keys { keys, next })
}

fn put_config(
    work: &mut Work<'_>,
    now: Timestamp,
    document: &str,
    author: &str,
    reason: &str,
) -> Result<Reply, RowError> {
    let mut meta = meta(work)?;
    let current = work.load::<ConfigRow>(&config_key(meta.config))?;
    if current.is_some_and(|row| row.config.document == document) {
        return Ok(Reply::ConfigVersion {
            version: meta.config,
            changed: false,
        });
    }
    meta.config = meta.config.saturating_add(1);
    let row = ConfigRow {
        v: V1,
        config: ConfigVersion {
            version: meta.config,
            document: document.to_owned(),
            author: author.to_owned(),
            reason: reason.to_owned(),
            at: now,
        },
    };
    work.put(config_key(meta.config), &row)?;
    if let Some(forgotten @ 1..) = meta.config.checked_sub(CONFIG_VERSIONS_MAX) {
        work.delete_unread(config_key(forgotten));
    }
    let sha256 = chain::hash(document.as_bytes());
    meta.config_sha256 = Some(sha256.clone());
    work.put(META.to_owned(), &meta)?;
    audit::of_config(work, &row.config, sha256)?;
    Ok(Reply::ConfigVersion {
        version: meta.config,
        changed: true,
    })
}

fn seed_config(
    work: &mut Work<'_>,
    now: Timestamp,
    document: &str,
    hash: &str,
) -> Result<Reply, RowError> {
    let mut seeds: Seeds = work.load(SEEDS)?.unwrap_or_default();
    if seeds.hold(hash) {
        return Ok(Reply::ConfigVersion {
            version: meta(work)?.config,
            changed: false,
        });
    }
    seeds.hashes.push_back(hash.to_owned());
    while seeds.hashes.len() > SEEDS_MAX {
        seeds.hashes.pop_front();
    }
    work.put(SEEDS.to_owned(), &seeds)?;
    put_config(work, now, document, SEED_AUTHOR, SEED_REASON)
}

fn sync(rows: &Rows, since: Option<u64>, seed: Option<&str>) -> Result<Reply, RowError> {
    let work = Work::new(rows);
    let meta = meta(&work)?;
    let seeds: Option<Seeds> = seed.map_or(Ok(None), |_| work.load(SEEDS))?;
    let mut changes = Changes {
        sequence: meta.sequence,
        config_version: meta.config,
        config_sha256: meta.config_sha256,
        is_seeded: seeds
            .zip(seed)
            .is_some_and(|(seeds, hash)| seeds.hold(hash)),
        ..Changes::default()
    };
    // An asker from the future has seen changes that were lost: what it knows of them is worth nothing.
    let behind = since.and_then(|since| meta.sequence.checked_sub(since));
    changes.everything = behind.is_none_or(|behind| behind > u64::from(CHANGES_MAX));
    let mut hashes = BTreeSet::new();
    for (key, text) in rows.with_prefix(CHANGES) {
        hashes.insert(decode::<Index>(key, text)?.hash);
    }
    changes.keys = hashes.into_iter().collect();
    Ok(Reply::Changes(changes))
}
