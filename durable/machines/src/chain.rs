//! The chain of batches: what a shipped object says about itself, and how its place in the chain is checked.
//!
//! A batch is text: a [`Header`] on the first line, then one record on each. Its hash is the SHA-256 over exactly these
//! bytes, and the next batch's header carries it. So whoever has a chain's head (the number and the hash of its last
//! batch) can tell from the objects alone whether any byte before was changed, left out or moved.
//!
//! The header also holds a mark for each record (FNV-1a, 32 bits). Marks prove nothing, for whoever forges a record can
//! forge its mark; they say which record of a batch was changed by whoever did not.
//!
//! Knows no store and no compression.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_units::{OrgId, Region, Shard, hex};
use thiserror::Error;

use crate::rows::V1;

/// What the first batch of a chain follows.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// How many hexadecimal digits one record's mark has.
const MARK_DIGITS: usize = 8;

/// Whose records a chain holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainKind {
    /// One ledger's: what was asked of the gateway.
    Usage,
    /// The registry's: what was changed.
    Registry,
}

/// Which chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Chain {
    /// Whose records it holds.
    #[serde(rename = "chain")]
    pub kind: ChainKind,
    /// The ledger's region.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub region: Option<Region>,
    /// The ledger's organisation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub org: Option<OrgId>,
    /// The ledger's shard of the organisation's keys.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<Shard>,
}

/// The first line of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    audit: V1,
    /// The chain.
    #[serde(flatten)]
    pub chain: Chain,
    /// The batch's number, from 1 without gaps.
    pub batch: u64,
    /// The first record's sequence number.
    pub first: u64,
    /// The last record's sequence number.
    pub last: u64,
    /// The hash of the batch before; [`GENESIS`] in the first.
    pub before: String,
    /// Eight hexadecimal digits for each record.
    pub marks: String,
}

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last batch's number; 0 when there is none.
    #[serde(rename = "b")]
    pub batch: u64,
    /// Its hash.
    #[serde(rename = "h")]
    pub hash: String,
}

/// What is wrong at one place of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The first line is no header.
    #[error("it has no header, so it is no batch of a chain: {detail}")]
    NoHeader {
        /// What the line is instead.
        detail: String,
    },
    /// It belongs elsewhere.
    #[error("it belongs to {found}")]
    Elsewhere {
        /// Where.
        found: String,
    },
    /// A batch is not there.
    #[error(
        "batch {expected} is missing, with the records from {sequence} on: batch {found} comes instead"
    )]
    Missing {
        /// What should come.
        expected: u64,
        /// What comes.
        found: u64,
        /// The first record that is not there.
        sequence: u64,
    },
    /// The batch before is not the one that this batch follows.
    #[error(
        "it follows another batch {before} than the one that is there: one of the records {first} to {last} was changed, or this batch's header was"
    )]
    Broken {
        /// The batch before.
        before: u64,
        /// Its first record.
        first: u64,
        /// Its last record.
        last: u64,
    },
    /// A record is not where it should be.
    #[error("record {expected} is not where it should be: {found}")]
    Order {
        /// What should come.
        expected: u64,
        /// What comes.
        found: String,
    },
    /// A record is not the one that was written.
    #[error("record {sequence} was changed")]
    Changed {
        /// Which.
        sequence: u64,
    },
}

impl Chain {
    /// The chain's folder: where its objects are, and what it is called.
    #[must_use]
    pub fn folder(&self) -> String {
        let mut folder = match self.kind {
            ChainKind::Usage => "usage".to_owned(),
            ChainKind::Registry => "registry".to_owned(),
        };
        if let Some(region) = &self.region {
            folder.push_str("/region=");
            folder.push_str(region.as_str());
        }
        if let Some(org) = &self.org {
            folder.push_str("/org=");
            folder.push_str(org.as_str());
        }
        if let Some(shard) = &self.shard {
            folder.push_str("/shard=");
            folder.push_str(&shard.to_string());
        }
        folder
    }
}

impl Default for Head {
    fn default() -> Self {
        Self {
            batch: 0,
            hash: GENESIS.to_owned(),
        }
    }
}

/// A batch's text: its header, then `lines`, each ended by a newline. `head` is where the chain stands.
///
/// # Errors
/// When the header cannot be written as JSON, which does not happen.
pub fn write(
    chain: &Chain,
    head: &Head,
    first: u64,
    lines: &str,
) -> Result<String, serde_json::Error> {
    let mut marks = String::new();
    let mut records: u64 = 0;
    for line in lines.lines() {
        marks.push_str(&mark(line));
        records = records.saturating_add(1);
    }
    let header = Header {
        audit: V1,
        chain: chain.clone(),
        batch: head.batch.saturating_add(1),
        first,
        last: first.saturating_add(records).saturating_sub(1),
        before: head.hash.clone(),
        marks,
    };
    let header = serde_json::to_string(&header)?;
    let mut text =
        String::with_capacity(header.len().saturating_add(lines.len()).saturating_add(1));
    text.push_str(&header);
    text.push('\n');
    text.push_str(lines);
    Ok(text)
}

/// A batch's hash, in lower-case hexadecimal.
#[must_use]
pub fn hash(batch: &[u8]) -> String {
    hex(&Sha256::digest(batch))
}

fn mark(line: &str) -> String {
    let hash = line.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hex(&hash.to_be_bytes())
}

/// Follows one chain from its beginning, a batch at a time; holds no more than its head.
#[derive(Debug, Clone)]
pub struct Follower {
    folder: String,
    head: Head,
    /// The first and the last record of the batch before.
    before: (u64, u64),
}

#[derive(Deserialize)]
struct Numbered {
    sequence: u64,
}

impl Follower {
    /// A follower at the beginning of the chain in this folder.
    #[must_use]
    pub fn new(folder: String) -> Self {
        Self {
            folder,
            head: Head::default(),
            before: (0, 0),
        }
    }

    /// Where the chain stands after the batches so far.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The last record's sequence number; 0 before the first.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.before.1
    }

    /// Takes the next batch; `visit` is shown each record's text, in order.
    ///
    /// # Errors
    /// The first [`Fault`]; the follower is of no use any more then.
    pub fn push(&mut self, batch: &str, mut visit: impl FnMut(u64, &str)) -> Result<(), Fault> {
        let (first_line, records) = batch.split_once('\n').unwrap_or((batch, ""));
        let header: Header =
            sluice_units::json::from_str(first_line).map_err(|error| Fault::NoHeader {
                detail: error.to_string(),
            })?;
        self.check_place(&header)?;
        let mut marks = header.marks.as_str();
        let mut expected = header.first;
        for line in records.split_terminator('\n') {
            let found = match sluice_units::json::from_str::<Numbered>(line) {
                Ok(Numbered { sequence }) if sequence == expected => None,
                Ok(Numbered { sequence }) => Some(format!("record {sequence} is there")),
                Err(error) => Some(format!("what is there is no record: {error}")),
            };
            if let Some(found) = found {
                return Err(Fault::Order { expected, found });
            }
            if expected > header.last {
                let found = "the header says that there is none".to_owned();
                return Err(Fault::Order { expected, found });
            }
            let (wanted, rest) = marks.split_at_checked(MARK_DIGITS).unwrap_or((marks, ""));
            if wanted != mark(line) {
                return Err(Fault::Changed { sequence: expected });
            }
            marks = rest;
            visit(expected, line);
            expected = expected.saturating_add(1);
        }
        if expected != header.last.saturating_add(1) {
            let found = "the batch ends before it".to_owned();
            return Err(Fault::Order { expected, found });
        }
        self.head = Head {
            batch: header.batch,
            hash: hash(batch.as_bytes()),
        };
        self.before = (header.first, header.last);
        Ok(())
    }

    fn check_place(&self, header: &Header) -> Result<(), Fault> {
        let folder = header.chain.folder();
        if folder != self.folder {
            return Err(Fault::Elsewhere { found: folder });
        }
        let expected = self.head.batch.saturating_add(1);
        let sequence = self.before.1.saturating_add(1);
        if header.batch != expected {
            return Err(Fault::Missing {
                expected,
                found: header.batch,
                sequence,
            });
        }
        if header.before != self.head.hash {
            return Err(Fault::Broken {
                before: self.head.batch,
                first: self.before.0,
                last: self.before.1,
            });
        }
        if header.first != sequence {
            return Err(Fault::Order {
                expected: sequence,
                found: format!("the header says that {} comes", header.first),
            });
        }
        Ok(())
    }
}
