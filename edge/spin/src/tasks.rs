//! The machines' commands as tasks for the store.

use sluice_machines::chain::{ChainKind, Head};
use sluice_machines::events::{self, Delivery};
use sluice_machines::health::{self, Finding, Listed};
use sluice_machines::inbox;
use sluice_machines::ledger;
use sluice_machines::outbox::{self, Batch};
use sluice_machines::registry;
use sluice_machines::rows::{Read, RowError, Rows, WriteSet};
use sluice_units::{ProviderId, Span, Timestamp};

use crate::store::{Found, Stop, Task};

/// Commands of a ledger, with what it was told before them. The answer says besides where the ledger's chain stands.
impl Task for inbox::Commands<'_> {
    type Reply = (Option<Vec<ledger::Reply>>, Head);

    fn load(
        &self,
        _: Timestamp,
        read: impl FnMut(&[Read]) -> Result<Found, Stop>,
    ) -> Result<Rows, Stop> {
        self.load(read)
    }

    fn writes(&self) -> bool {
        self.writes()
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        let decided = self.decide(rows, now)?;
        Ok(((decided.replies, decided.head), decided.writes))
    }
}

/// A command of the registry.
pub(crate) struct Asked<'a>(pub(crate) &'a registry::Command);

impl Task for Asked<'_> {
    type Reply = registry::Reply;

    fn load(
        &self,
        _: Timestamp,
        read: impl FnMut(&[Read]) -> Result<Found, Stop>,
    ) -> Result<Rows, Stop> {
        registry::load(self.0, read)
    }

    fn writes(&self) -> bool {
        self.0.changes()
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        registry::decide(rows, now, self.0)
    }
}

/// A command about what the region knows of its providers.
pub(crate) struct Measured<'a>(pub(crate) &'a health::Command);

impl Task for Measured<'_> {
    type Reply = health::Reply;

    fn reads(&self) -> Vec<Read> {
        self.0.reads()
    }

    fn writes(&self) -> bool {
        // Every call takes a slot and gives it back.
        matches!(self.0, health::Command::Capacity(_))
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        health::decide(rows, now, self.0)
    }
}

/// Takes in which providers are to be looked at, if that is known, and tells whose turn it is.
pub(crate) struct Review(pub(crate) Option<Vec<Listed>>);

impl Task for Review {
    type Reply = Vec<ProviderId>;

    fn reads(&self) -> Vec<Read> {
        health::reads()
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        health::review(rows, now, self.0.as_deref())
    }
}

/// What came of looking at a provider.
pub(crate) struct Looked<'a> {
    /// The provider.
    pub(crate) provider: &'a ProviderId,
    /// What was found, if anything.
    pub(crate) found: Option<Finding>,
}

impl Task for Looked<'_> {
    type Reply = ();

    fn reads(&self) -> Vec<Read> {
        health::reads()
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        let writes = health::looked(rows, now, self.provider, self.found)?;
        Ok(((), writes))
    }
}

/// Charges what has expired.
pub(crate) struct Expire;

impl Task for Expire {
    type Reply = ();

    fn load(
        &self,
        now: Timestamp,
        read: impl FnMut(&[Read]) -> Result<Found, Stop>,
    ) -> Result<Rows, Stop> {
        ledger::load_due(now, read)
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        Ok(((), ledger::expire(rows, now)?))
    }
}

/// Fixes the boundaries of the batch of this chain to ship now, if there is one.
pub(crate) struct NextBatch(pub(crate) ChainKind);

impl Task for NextBatch {
    type Reply = Option<Batch>;

    fn reads(&self) -> Vec<Read> {
        outbox::reads()
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        Ok(outbox::next_batch(rows, now, self.0)?.map_or_else(
            || (None, WriteSet::new()),
            |(batch, writes)| (Some(batch), writes),
        ))
    }
}

/// Says how the shipping of a batch ended.
pub(crate) struct Ended<'a> {
    /// The batch.
    pub(crate) batch: &'a Batch,
    /// The bucket has it.
    pub(crate) is_shipped: bool,
}

impl Task for Ended<'_> {
    type Reply = ();

    fn reads(&self) -> Vec<Read> {
        outbox::head_reads()
    }

    fn writes(&self) -> bool {
        true
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        let writes = if self.is_shipped {
            outbox::shipped(rows, self.batch)?
        } else {
            outbox::failed(rows, now, self.batch)?
        };
        Ok(((), writes))
    }
}

/// The events that these receivers are to be told of now.
pub(crate) struct NextEvents<'a>(pub(crate) &'a [&'a str]);

impl Task for NextEvents<'_> {
    type Reply = Vec<Delivery>;

    fn reads(&self) -> Vec<Read> {
        events::reads()
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        Ok((events::due(rows, now, self.0)?, WriteSet::new()))
    }
}

/// Says how the delivery of an event ended.
pub(crate) struct Told<'a> {
    /// All receivers.
    pub(crate) names: &'a [&'a str],
    /// The delivery.
    pub(crate) delivery: &'a Delivery,
    /// The receiver has it.
    pub(crate) is_taken: bool,
}

impl Task for Told<'_> {
    type Reply = ();

    fn reads(&self) -> Vec<Read> {
        events::reads()
    }

    fn writes(&self) -> bool {
        true
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        let ended = (self.delivery, self.is_taken);
        Ok(((), events::ended(rows, now, self.names, ended)?))
    }
}

/// Takes the upkeep of a ledger on, unless somebody has since; nobody does again before `interval` is over.
pub(crate) struct Claim {
    /// Whoever began after this sees to all that the claimant knows of.
    pub(crate) since: Timestamp,
    /// How often the ledger is seen to, at most.
    pub(crate) interval: Span,
}

/// What comes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// The upkeep is the claimant's.
    Own,
    /// Somebody has seen to it.
    Done,
    /// It is too early; ask again after this.
    Early(Span),
}

/// The one row of a claim's object: when somebody last took it on, in microseconds.
const CLAIM: &str = "claim";

impl Task for Claim {
    type Reply = Claimed;

    fn reads(&self) -> Vec<Read> {
        vec![Read::Row(CLAIM.to_owned())]
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        let last = rows.get(CLAIM).and_then(|text| text.parse().ok());
        let last = last.map(Timestamp::from_micros).filter(|last| *last <= now);
        let mut writes = WriteSet::new();
        if let Some(last) = last {
            if last > self.since {
                return Ok((Claimed::Done, writes));
            }
            let next = last.plus(self.interval);
            if next > now {
                return Ok((Claimed::Early(next.since(now)), writes));
            }
        }
        writes.put(CLAIM.to_owned(), now.as_micros().to_string());
        Ok((Claimed::Own, writes))
    }
}
