//! The outbox: records wait here, numbered, until the store of records has confirmed them.
//!
//! A record is queued in the same commit as the money ([`crate::ledger`]). Before a batch is shipped, its boundaries
//! are committed, so that a retry after a failure or a crash ships the same bytes under the same name.
//!
//! The order for the shell: [`next_batch`] → commit → upload → [`shipped`] → commit, or [`failed`] → commit.
//! **Invariant:** a record leaves the outbox only after the store confirmed its batch; batches are numbered from 1
//! without gaps, each carries the hash of the one before ([`crate::chain`]), and each record is in exactly one.
//!
//! Knows neither compression nor the store, and of a record no more than when it came and whose it is.

use serde::{Deserialize, Serialize};
use sluice_units::{OrgId, Region, Shard, Span, Timestamp};

use crate::chain::{self, Chain, ChainKind, GENESIS, Head};
use crate::ledger;
use crate::record::Record;
use crate::rows::{Read, RowError, RowKey, Rows, V1, Work, WriteSet, decode};

/// How many records one batch holds, at most.
pub const BATCH_RECORDS_MAX: u32 = 1_000;
/// How many bytes the records of one batch have, at most, unless a single record has more.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// How long to wait after the first failure of the store; doubled with each further one.
pub const RETRY_FIRST: Span = Span::from_seconds(1);
/// How long to wait between two tries, at most.
pub const RETRY_MAX: Span = Span::from_seconds(300);

const QUEUE: &str = "q/";
pub(crate) const SHIPPING: &str = "ship";

/// Records that are shipped together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The object's name: `usage/region=R/org=O/date=YYYY-MM-DD/NNNNNNNNNNNN.ndjson.gz`, with `shard=N/` before the
    /// date where it is a shard's, or `registry/date=YYYY-MM-DD/NNNNNNNNNNNN.ndjson.gz`. The date is the first record's
    /// arrival. The same batch always has the same name.
    pub name: String,
    /// The header and the records, one JSON object on each line, not yet compressed.
    pub ndjson: String,
    /// The SHA-256 of `ndjson`, in lower-case hexadecimal.
    pub hash: String,
    /// Its chain.
    pub chain: Chain,
    /// The batch's number in its chain.
    pub number: u64,
    /// How many records.
    pub count: u64,
    /// The first record's sequence number.
    pub first: u64,
    /// The last record's sequence number.
    pub last: u64,
}

impl Batch {
    /// Where the chain stands once the store has confirmed this batch.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            batch: self.number,
            hash: self.hash.clone(),
        }
    }

    /// The records' texts, in order.
    pub fn records(&self) -> impl Iterator<Item = &str> {
        self.ndjson.lines().skip(1)
    }
}

/// A queued record: what a line of a shipped object looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<T = Record> {
    v: V1,
    /// The record's sequence number in its chain.
    pub sequence: u64,
    /// The record.
    #[serde(flatten)]
    pub record: T,
}

impl<T> Line<T> {
    /// A line.
    #[must_use]
    pub const fn new(sequence: u64, record: T) -> Self {
        Self {
            v: V1,
            sequence,
            record,
        }
    }
}

/// What the outbox must know of a record.
#[derive(Debug, Deserialize)]
struct Stamp {
    at_us: Timestamp,
    #[serde(default)]
    latency_us: Span,
    #[serde(default)]
    org: Option<OrgId>,
    #[serde(default)]
    region: Option<Region>,
    #[serde(default)]
    shard: Option<Shard>,
}

/// Which records are in which batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shipping {
    v: V1,
    /// The number of the batch that is being shipped, or of the next one.
    batch: u64,
    /// The first record that was not confirmed.
    first: u64,
    /// The last record of the batch that is being shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    /// How often the store failed on it.
    #[serde(default)]
    failures: u32,
    /// Not to be tried again before.
    #[serde(default)]
    not_before: Timestamp,
    /// The hash of the last batch that was confirmed.
    #[serde(default = "genesis")]
    before: String,
}

fn genesis() -> String {
    GENESIS.to_owned()
}

impl Default for Shipping {
    fn default() -> Self {
        Self {
            v: V1,
            batch: 1,
            first: 1,
            last: None,
            failures: 0,
            not_before: Timestamp::default(),
            before: genesis(),
        }
    }
}

fn queue_key(sequence: u64) -> RowKey {
    format!("{QUEUE}{sequence:020}")
}

/// Adds a record.
pub(crate) fn queue<T: Serialize>(
    work: &mut Work<'_>,
    sequence: u64,
    record: T,
) -> Result<(), RowError> {
    work.put(queue_key(sequence), &Line::new(sequence, record))
}

pub(crate) fn shipping_read() -> Read {
    Read::Row(SHIPPING.to_owned())
}

/// How many records wait, given the last one's sequence number.
pub(crate) fn waiting(work: &Work<'_>, last: u64) -> Result<u64, RowError> {
    let shipping: Shipping = work.load(SHIPPING)?.unwrap_or_default();
    Ok(last.saturating_add(1).saturating_sub(shipping.first))
}

fn shipping(rows: &Rows) -> Result<Shipping, RowError> {
    Ok(Work::new(rows).load(SHIPPING)?.unwrap_or_default())
}

/// What [`next_batch`], [`shipped`], [`failed`] and [`next_alarm`] must see of the outbox.
#[must_use]
pub fn reads() -> Vec<Read> {
    let mut queue = Read::prefix(QUEUE, BATCH_RECORDS_MAX);
    if let Read::Range { bytes_max, .. } = &mut queue {
        // No batch has more.
        *bytes_max = BATCH_BYTES_MAX;
    }
    vec![shipping_read(), queue]
}

/// The batch to ship now, and the writes to commit before; nothing when nothing waits or a retry is not yet due.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn next_batch(
    rows: &Rows,
    now: Timestamp,
    kind: ChainKind,
) -> Result<Option<(Batch, WriteSet)>, RowError> {
    let mut shipping = shipping(rows)?;
    if now < shipping.not_before {
        return Ok(None);
    }
    let (lines, count) = lines(rows, &shipping)?;
    let Some((key, text)) = rows.with_prefix(QUEUE).next().filter(|_| count > 0) else {
        return Ok(None);
    };
    let last = shipping.first.saturating_add(count).saturating_sub(1);
    if shipping.last.is_some_and(|fixed| fixed != last) {
        return Err(missing(last.saturating_add(1)));
    }
    let stamp: Stamp = decode(key, text)?;
    let of_ledger = kind == ChainKind::Usage;
    let chain = Chain {
        kind,
        region: stamp.region.filter(|_| of_ledger),
        org: stamp.org.filter(|_| of_ledger),
        shard: stamp.shard.filter(|_| of_ledger),
    };
    let head = Head {
        batch: shipping.batch.saturating_sub(1),
        hash: shipping.before.clone(),
    };
    let ndjson = chain::write(&chain, &head, shipping.first, &lines).map_err(|error| RowError {
        key: SHIPPING.to_owned(),
        detail: error.to_string(),
    })?;
    let batch = Batch {
        name: format!(
            "{}/date={}/{:012}.ndjson.gz",
            chain.folder(),
            stamp.at_us.date(),
            shipping.batch,
        ),
        hash: chain::hash(ndjson.as_bytes()),
        ndjson,
        chain,
        number: shipping.batch,
        count,
        first: shipping.first,
        last,
    };
    let mut work = Work::new(rows);
    if shipping.last.is_none() {
        shipping.last = Some(last);
        work.put(SHIPPING.to_owned(), &shipping)?;
    }
    Ok(Some((batch, work.finish()?)))
}

/// The lines of the batch to ship, and how many they are.
fn lines(rows: &Rows, shipping: &Shipping) -> Result<(String, u64), RowError> {
    let mut lines = String::new();
    let mut records: u64 = 0;
    for (key, text) in rows.with_prefix(QUEUE) {
        let sequence = shipping.first.saturating_add(records);
        let fits = lines.len().saturating_add(text.len()) < BATCH_BYTES_MAX
            && records < u64::from(BATCH_RECORDS_MAX);
        let belongs = match shipping.last {
            Some(last) => sequence <= last,
            None => fits || records == 0,
        };
        if !belongs {
            break;
        }
        if key != queue_key(sequence) {
            return Err(missing(sequence));
        }
        lines.push_str(text);
        lines.push('\n');
        records = records.saturating_add(1);
    }
    Ok((lines, records))
}

fn missing(sequence: u64) -> RowError {
    RowError {
        key: queue_key(sequence),
        detail: "the record is missing from the outbox".to_owned(),
    }
}

/// The store has confirmed the batch: its records leave the outbox. Harmless when it was said before.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn shipped(rows: &Rows, batch: &Batch) -> Result<WriteSet, RowError> {
    let current = shipping(rows)?;
    let mut work = Work::new(rows);
    if current.first == batch.first && current.last == Some(batch.last) {
        for sequence in batch.first..=batch.last {
            work.delete_unread(queue_key(sequence));
        }
        let next = Shipping {
            batch: current.batch.saturating_add(1),
            first: batch.last.saturating_add(1),
            before: batch.hash.clone(),
            ..Shipping::default()
        };
        work.put(SHIPPING.to_owned(), &next)?;
    }
    work.finish()
}

/// The store did not confirm the batch: it is tried again later, later still with each failure.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn failed(rows: &Rows, now: Timestamp, batch: &Batch) -> Result<WriteSet, RowError> {
    let mut current = shipping(rows)?;
    let mut work = Work::new(rows);
    if current.first == batch.first && current.last == Some(batch.last) {
        let doubled = 1_i64.checked_shl(current.failures.min(32)).unwrap_or(1);
        current.failures = current.failures.saturating_add(1);
        current.not_before = now.plus(RETRY_FIRST.times(doubled).min(RETRY_MAX));
        work.put(SHIPPING.to_owned(), &current)?;
    }
    work.finish()
}

/// When the object must be woken for expiry or shipping: the earliest deadline, the pending retry, or `interval` after
/// the oldest waiting record was written. `rows` holds what [`alarm_reads`] names.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn next_alarm(
    rows: &Rows,
    now: Timestamp,
    interval: Span,
) -> Result<Option<Timestamp>, RowError> {
    let deadline = ledger::next_deadline(rows)?;
    let ship = next_shipment(rows, interval)?;
    let next = match (deadline, ship) {
        (Some(deadline), Some(ship)) => Some(deadline.min(ship)),
        (one, other) => one.or(other),
    };
    Ok(next.map(|next| next.max(now)))
}

/// What [`next_alarm`] must see.
#[must_use]
pub fn alarm_reads() -> Vec<Read> {
    let mut all = ledger::deadline_reads();
    all.extend(reads());
    all
}

/// Where the chain stands: its last batch that the store confirmed. `rows` holds what [`head_reads`] names.
///
/// # Errors
/// [`RowError`] when the stored row is not what this code writes.
pub fn head(rows: &Rows) -> Result<Head, RowError> {
    let shipping = shipping(rows)?;
    Ok(Head {
        batch: shipping.batch.saturating_sub(1),
        hash: shipping.before,
    })
}

/// What [`head`] must see.
#[must_use]
pub fn head_reads() -> Vec<Read> {
    vec![shipping_read()]
}

/// When the next batch is to be shipped, if anything waits. `rows` holds what [`reads`] names.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn next_shipment(rows: &Rows, interval: Span) -> Result<Option<Timestamp>, RowError> {
    let Some((key, text)) = rows.with_prefix(QUEUE).next() else {
        return Ok(None);
    };
    let shipping = shipping(rows)?;
    let stamp: Stamp = decode(key, text)?;
    let (mut waiting, mut bytes) = (0_u32, 0_usize);
    for (_, text) in rows.with_prefix(QUEUE) {
        waiting = waiting.saturating_add(1);
        bytes = bytes.saturating_add(text.len());
    }
    let full = waiting >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX;
    let wanted = if full || shipping.last.is_some() {
        Timestamp::default()
    } else {
        stamp.at_us.plus(stamp.latency_us).plus(interval)
    };
    Ok(Some(wanted.max(shipping.not_before)))
}
