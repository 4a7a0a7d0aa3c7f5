//! What a batch of commands must see, in two rounds: what the commands name, and what those rows name.

use std::collections::BTreeSet;

use sluice_units::LeaseId;

use super::borrow::LENT_POOLS_MAX;
use super::rows::{Charge, Found, LeaseRow, ORG, expired_key, find, lease_key, open_key, pool_key};
use super::{Command, Parent, admit, standing};
use crate::limit::ScopeRules;
use crate::outbox;
use crate::rows::{Read, RowError, RowKey, Rows, Work};

/// The rows that a batch of commands must see first.
#[must_use]
pub fn reads(commands: &[Command]) -> Vec<Read> {
    let mut keys = BTreeSet::new();
    let mut reads = Vec::new();
    for command in commands {
        let request = match command {
            Command::Admit(admission) => {
                keys.extend(admit::scope_keys(&admission.scopes));
                let pool = pool_of(admission.parent.as_ref(), &admission.scopes);
                let rules = || admission.scopes.iter().flat_map(|of| &of.rules);
                if let Some(pool) = &pool
                    && rules().any(|rule| rule.borrowed().is_some())
                {
                    reads.push(Read::prefix(&format!("{pool}/"), LENT_POOLS_MAX));
                }
                keys.extend(pool);
                &admission.draft.request
            }
            Command::Lease(request) => {
                keys.extend(admit::scope_keys(&request.scopes));
                keys.extend(pool_of(request.parent.as_ref(), &request.scopes));
                keys.insert(lease_key(&request.lease));
                continue;
            }
            Command::Intent(intent) => {
                keys.insert(lease_key(&intent.lease));
                &intent.draft.request
            }
            Command::Raise(raise) => &raise.request,
            Command::Settle { record, .. } => {
                if command.body_bytes() > 0 {
                    keys.insert(outbox::SHIPPING.to_owned());
                }
                &record.request
            }
            Command::Extend { request, .. } | Command::Release { request } => request,
            Command::Refuse(refusal) => {
                keys.insert(outbox::SHIPPING.to_owned());
                &refusal.request
            }
            Command::Standing => {
                reads.extend(standing::reads());
                continue;
            }
        };
        keys.insert(open_key(request));
        keys.insert(expired_key(request));
    }
    // What settles queues a record, and what is admitted has a deadline.
    keys.insert(ORG.to_owned());
    reads.extend(keys.into_iter().map(Read::Row));
    reads
}

/// The rows that must be seen besides: the scopes of the reservations that end, and of the leases.
///
/// # Errors
/// [`RowError`] when a reservation's or a lease's row is not what this code writes.
pub fn scope_reads(rows: &Rows, commands: &[Command]) -> Result<Vec<Read>, RowError> {
    let mut work = Work::new(rows);
    let mut keys = BTreeSet::new();
    for command in commands {
        let request = match command {
            Command::Settle { record, .. } => &record.request,
            Command::Release { request } => request,
            Command::Lease(request) => {
                keys.extend(lease_scopes(&mut work, &request.lease)?);
                continue;
            }
            Command::Intent(intent) => {
                keys.extend(lease_scopes(&mut work, &intent.lease)?);
                &intent.draft.request
            }
            Command::Raise(raise) => &raise.request,
            Command::Admit(_) | Command::Extend { .. } | Command::Refuse(_) | Command::Standing => {
                continue;
            }
        };
        let ends = match find(&work, request)? {
            Found::Open(held) => Some(held),
            Found::Expired(_, expired) => expired.charged,
            Found::Nothing => None,
        };
        if let Some(held) = ends {
            keys.extend(held.scopes.into_iter().map(|Charge(key, ..)| key));
            keys.extend(held.pool.map(|(key, _)| key));
        }
    }
    Ok(not_among(rows, keys))
}

fn pool_of(parent: Option<&Parent>, scopes: &[ScopeRules]) -> Option<RowKey> {
    parent.map(|parent| pool_key(parent, scopes))
}

fn lease_scopes(work: &mut Work<'_>, lease: &LeaseId) -> Result<Vec<RowKey>, RowError> {
    let row: &LeaseRow = work.hot(&lease_key(lease))?;
    let scopes = row.scopes.iter().map(|(key, _)| key.clone());
    Ok(scopes.chain(row.pool.clone()).collect())
}

/// Reads those of `keys` that were not read yet.
pub(super) fn not_among(rows: &Rows, keys: BTreeSet<RowKey>) -> Vec<Read> {
    keys.into_iter()
        .filter(|key| rows.get(key).is_none())
        .map(Read::Row)
        .collect()
}

/// Reads all that a batch of commands must see; `read` answers several reads at once.
///
/// # Errors
/// What `read` says, or a [`RowError`].
pub fn load<E: From<RowError>>(
    commands: &[Command],
    mut read: impl FnMut(&[Read]) -> Result<Vec<(RowKey, String)>, E>,
) -> Result<Rows, E> {
    let mut rows = Rows::new();
    rows.extend(read(&reads(commands))?);
    let more = scope_reads(&rows, commands)?;
    if !more.is_empty() {
        rows.extend(read(&more)?);
    }
    Ok(rows)
}
