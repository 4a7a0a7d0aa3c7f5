//! Load → decide → compare-and-set over a store that others use too.
//!
//! Each object (a ledger, the registry) has rows and a version, which every commit raises by one. What was decided is
//! committed only if the version is still the one that was read, so a decision never rests on rows that have changed.
//! The version is all that correctness needs. Who is known to write queues up behind those who wait, and after a
//! conflict everybody does, as far as the store knows turns: many writers would undo each other's work.
//!
//! Knows nothing of what the rows mean.

use sluice_machines::rows::{Read, RowError, Rows, WriteSet};
use sluice_machines::view::View;
pub(crate) use sluice_machines::view::{Found, Stop, Version};
use sluice_units::{Span, Timestamp};
use thiserror::Error;

use crate::clock;

mod redis;
mod sqlite;

/// How often a command is decided before its caller is told that the store is too busy.
const TRIES_MAX: u32 = 5;
/// How long one try waits for its turn.
const TURN_WAIT_MAX: Span = Span::from_seconds(30);
/// How long a turn takes where nothing is known of how the queue moves.
const TURN_TYPICAL: Span = Span::from_millis(2);
/// How long somebody in the queue goes without looking, at most: far less than a turn waits for its next holder.
const TURN_POLL_MAX: Span = Span::from_millis(400);

/// Where an entry lies in an inbox: those behind it have greater ones.
pub(crate) type Place = i64;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// The platform offers no store that can keep strict limits.
    #[error("{0}")]
    NoStore(String),
    /// The store did not answer, or refused.
    #[error("{0}")]
    Store(String),
    /// Others were quicker in every try. Nothing was written.
    #[error("too many writers at once")]
    Busy,
    /// A stored row cannot be used.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// A command in the form that the machines give it.
pub(crate) trait Task {
    /// What it answers.
    type Reply;

    /// What must be seen, where that is known from the beginning.
    fn reads(&self) -> Vec<Read> {
        Vec::new()
    }

    /// Reads what must be seen, in as many rounds as it takes; `read` answers one round.
    ///
    /// It is done again for each round, with the same answers to those before.
    fn load(
        &self,
        _now: Timestamp,
        mut read: impl FnMut(&[Read]) -> Result<Found, Stop>,
    ) -> Result<Rows, Stop> {
        let mut rows = Rows::new();
        rows.extend(read(&self.reads())?);
        Ok(rows)
    }

    /// Whether it writes as a rule: then it does not get in the way of those who are at it already.
    fn writes(&self) -> bool {
        false
    }

    /// The decision.
    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError>;
}

/// How a try goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Without waiting for others.
    Straight,
    /// Behind those who wait; without waiting where nobody does.
    Polite,
    /// Once it is its turn.
    InTurn,
}

/// What a read finds.
pub(crate) enum Seen {
    /// The rows, as they stand together at one version.
    Now(Version, Found),
    /// So many others come first.
    Later(i64),
}

/// A place for rows.
pub(crate) trait Store {
    /// One try.
    type Try<'a>: Try
    where
        Self: 'a;

    /// Begins a try at an object.
    async fn begin<'a>(&'a self, object: &'a str, manner: Manner)
    -> Result<Self::Try<'a>, Failure>;

    /// Adds an entry to the object's inbox, behind all that lie there, whatever version the object has.
    ///
    /// Entries are read as rows below [`sluice_machines::inbox::PREFIX`], the first ones first. A commit deletes the first
    /// ones among them; keys may be used again after that.
    async fn put(&self, object: &str, value: &str) -> Result<Place, Failure>;

    /// All entries that lay before this in the object's inbox are gone.
    async fn oldest(&self, object: &str) -> Result<Place, Failure>;

    /// The names of the objects that begin with `prefix`.
    async fn objects(&self, prefix: &str) -> Result<Vec<String>, Failure>;
}

/// One try: reads, then at most one commit. Dropped before that, it leaves nothing behind.
pub(crate) trait Try {
    /// The rows that are asked for, unless this try is in turn and it is somebody else's.
    async fn read(&mut self, reads: &[Read]) -> Result<Seen, Failure>;

    /// Writes all if the object still has this version, or nothing; says which.
    async fn commit(self, seen: Version, writes: &WriteSet) -> Result<bool, Failure>;

    /// Ends a try that has nothing to write.
    async fn end(self) -> Result<(), Failure>;
}

/// The store that the operator chose.
#[derive(Debug)]
pub(crate) enum AnyStore {
    /// In one file.
    Sqlite(sqlite::Sqlite),
    /// For several machines.
    Redis(redis::Redis),
}

impl AnyStore {
    /// The store with this address: `sqlite`, or what begins with `redis://` or `rediss://`.
    ///
    /// # Errors
    /// [`Failure::NoStore`] for anything else.
    pub(crate) fn named(address: &str) -> Result<Self, Failure> {
        if address == "sqlite" {
            return Ok(Self::Sqlite(sqlite::Sqlite::default()));
        }
        if address.starts_with("redis://") || address.starts_with("rediss://") {
            return Ok(Self::Redis(redis::Redis::new(address.to_owned())));
        }
        Err(Failure::NoStore(format!(
            "the variable sluice_store says {address:?}; limits and budgets are exact, and only `sqlite` and `redis://…` can keep them so: a key-value store cannot"
        )))
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// [`Failure`]. It may have been carried out all the same when the store did not answer.
    pub(crate) async fn run<T: Task>(&self, object: &str, task: &T) -> Result<T::Reply, Failure> {
        match self {
            Self::Sqlite(store) => run(store, object, task).await,
            Self::Redis(store) => run(store, object, task).await,
        }
    }

    /// Carries a command out if nobody else is at it; `None` when somebody is. Nothing was written then.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) async fn run_once<T: Task>(
        &self,
        object: &str,
        task: &T,
    ) -> Result<Option<T::Reply>, Failure> {
        match self {
            Self::Sqlite(store) => attempt(store, object, task, Manner::Straight).await,
            Self::Redis(store) => attempt(store, object, task, Manner::Straight).await,
        }
    }

    /// Adds an entry to the object's inbox, whatever else is written to the object at that time.
    ///
    /// # Errors
    /// What the store says. It may have been added all the same when the store did not answer.
    pub(crate) async fn put(&self, object: &str, value: &str) -> Result<Place, Failure> {
        match self {
            Self::Sqlite(store) => store.put(object, value).await,
            Self::Redis(store) => store.put(object, value).await,
        }
    }

    /// Before what place all entries of the object's inbox are gone.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn oldest(&self, object: &str) -> Result<Place, Failure> {
        match self {
            Self::Sqlite(store) => store.oldest(object).await,
            Self::Redis(store) => store.oldest(object).await,
        }
    }

    /// The names of the objects that begin with `prefix`.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn objects(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        match self {
            Self::Sqlite(store) => store.objects(prefix).await,
            Self::Redis(store) => store.objects(prefix).await,
        }
    }
}

async fn run<S: Store, T: Task>(store: &S, object: &str, task: &T) -> Result<T::Reply, Failure> {
    let mut manner = if task.writes() {
        Manner::Polite
    } else {
        Manner::Straight
    };
    for _ in 0..TRIES_MAX {
        if let Some(reply) = attempt(store, object, task, manner).await? {
            return Ok(reply);
        }
        manner = Manner::InTurn;
    }
    Err(Failure::Busy)
}

/// One try; `None` when others were quicker.
async fn attempt<S: Store, T: Task>(
    store: &S,
    object: &str,
    task: &T,
    manner: Manner,
) -> Result<Option<T::Reply>, Failure> {
    let mut current = store.begin(object, manner).await?;
    let began = clock::now();
    let mut now = began;
    let mut view = View::default();
    let mut queued = Queued::default();
    let rows = loop {
        let reads = match task.load(now, |reads| view.answer(reads)) {
            Ok(rows) => break rows,
            Err(Stop::Missing(reads)) => reads,
            Err(Stop::Row(error)) => return Err(error.into()),
        };
        match current.read(&reads).await? {
            Seen::Now(version, found) if view.is_at(version) => view.add(reads, found),
            Seen::Now(..) => {
                current.end().await?;
                return Ok(None);
            }
            Seen::Later(_) if clock::now().since(began) > TURN_WAIT_MAX => {
                current.end().await?;
                return Err(Failure::Busy);
            }
            Seen::Later(before) => {
                clock::sleep(clock::jitter(queued.pause(clock::now(), before))).await;
                now = clock::now();
            }
        }
    };
    let (reply, writes) = task.decide(&rows, now)?;
    if writes.is_empty() {
        current.end().await?;
        return Ok(Some(reply));
    }
    let committed = current.commit(view.version(), &writes).await?;
    Ok(committed.then_some(reply))
}

/// How a queue moves, as somebody in it sees it. Looking costs the store as much as a turn does, so those far back look
/// rarely: each time when about half of those before them must be through.
#[derive(Default)]
struct Queued(Option<(Timestamp, i64)>);

impl Queued {
    /// How long not to look, with so many others before.
    fn pause(&mut self, now: Timestamp, before: i64) -> Span {
        let (since, first) = *self.0.get_or_insert((now, before));
        let through = first.saturating_sub(before);
        let turn = now.since(since).as_micros().checked_div(through);
        let turn = turn.map_or(TURN_TYPICAL, Span::from_micros);
        let ahead = before.saturating_add(2).div_euclid(2);
        turn.times(ahead).max(TURN_TYPICAL).min(TURN_POLL_MAX)
    }
}
