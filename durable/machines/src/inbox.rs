//! What a ledger is told and has no say in, where many write to its rows side by side.
//!
//! A request that was drawn from a lease, and how one ended, need no decision before the caller hears of it: they are
//! put down as an entry beside the ledger's rows, durably and without regard to what others write there. Whoever decides
//! next carries the entries out first, in the order of their keys, and takes them away in the same commit. The store gives
//! the keys: a new entry comes after all that lie there.
//!
//! Knows nothing of how rows are read and committed; whoever uses it commits only what was decided on rows that nobody
//! has changed since, but for entries that were added.
//!
//! **Invariant:** a command is decided on the rows as they are when all is carried out that was put down before, and
//! what it commits, it commits with that. An entry is taken away by the commit that carries it out, and by no other.

use std::cell::RefCell;
use std::rc::Rc;

use sluice_units::{Span, Timestamp};

use crate::chain::Head;
use crate::ledger::{self, Command, Reply};
use crate::outbox;
use crate::rows::{RANGE_BYTES_MAX, Read, RowError, RowKey, Rows, WriteSet, decode};

/// What the keys of entries begin with; no machine has a row that does.
pub const PREFIX: &str = "inbox/";
/// How many entries are carried out in one commit.
pub const ENTRIES_MAX: u32 = 256;
/// A request that was drawn longer ago is told of by a command that is decided: its lease may be forgotten.
const DRAWN_AGE_MAX: Span = Span::from_seconds(60);

/// Whether these commands can be put down: what they are answered makes no difference to anybody.
#[must_use]
pub fn takes(now: Timestamp, commands: &[Command]) -> bool {
    let is_told = |command: &Command| match command {
        Command::Intent(intent) => now.since(intent.draft.at_us) < DRAWN_AGE_MAX,
        Command::Extend { .. } | Command::Settle { .. } | Command::Release { .. } => true,
        // Of refusals there may be far more than of all else, and each that is denied would read them.
        Command::Refuse(_)
        | Command::Admit(_)
        | Command::Lease(_)
        | Command::Raise(_)
        | Command::Standing => false,
    };
    commands.iter().all(is_told)
}

/// The text of an entry that tells of these commands.
///
/// # Errors
/// [`RowError`] when they have none.
pub fn entry(commands: &[Command]) -> Result<String, RowError> {
    serde_json::to_string(commands).map_err(|error| RowError {
        key: PREFIX.to_owned(),
        detail: error.to_string(),
    })
}

/// Commands, decided together and after what the ledger was told. Where that alone is enough for one commit the commands
/// are left for the next.
#[derive(Debug)]
pub struct Commands<'a> {
    own: &'a [Command],
    /// The entries as they were read last.
    gathered: RefCell<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    /// Keys and texts: a store may use a key again when its entry is gone.
    entries: Vec<(RowKey, String)>,
    /// What the entries tell of, and then the own commands, unless they must wait.
    all: Rc<[Command]>,
    /// How many of them the entries tell of.
    told: usize,
    /// There may be more entries.
    is_full: bool,
}

/// What was decided, to be committed as a whole.
#[derive(Debug)]
pub struct Decided {
    /// The replies to the commands; none where they were left for the next commit.
    pub replies: Option<Vec<Reply>>,
    /// The replies to what was carried out before them. Nobody waits for these.
    pub told: Vec<Reply>,
    /// Where the ledger's chain stands.
    pub head: Head,
    /// What is to be committed.
    pub writes: WriteSet,
}

impl<'a> Commands<'a> {
    /// These commands, which may be none.
    #[must_use]
    pub fn new(own: &'a [Command]) -> Self {
        let gathered = Gathered {
            all: own.into(),
            ..Gathered::default()
        };
        Self {
            own,
            gathered: RefCell::new(gathered),
        }
    }

    /// Whether they write as a rule.
    #[must_use]
    pub fn writes(&self) -> bool {
        let only_asks = |command| matches!(command, &Command::Admit(_) | &Command::Standing);
        !self.own.iter().any(only_asks)
    }

    /// Reads all that must be seen; `read` answers several reads at once, always from the same state.
    ///
    /// # Errors
    /// What `read` says, or a [`RowError`].
    pub fn load<E: From<RowError>>(
        &self,
        mut read: impl FnMut(&[Read]) -> Result<Vec<(RowKey, String)>, E>,
    ) -> Result<Rows, E> {
        let mut first = ledger::reads(self.own);
        first.extend(outbox::head_reads());
        first.push(Read::prefix(PREFIX, ENTRIES_MAX));
        let mut rows = Rows::new();
        rows.extend(read(&first)?);
        let all = self.gather(&rows)?;
        let loaded = ledger::load(&all, read)?;
        let loaded = loaded.iter();
        rows.extend(loaded.map(|(key, text)| (key.to_owned(), text.to_owned())));
        Ok(rows)
    }

    /// Decides; `rows` holds what [`Self::load`] has read.
    ///
    /// # Errors
    /// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
    pub fn decide(&self, rows: &Rows, now: Timestamp) -> Result<Decided, RowError> {
        let all = self.gather(rows)?;
        let (mut told, mut writes) = ledger::decide_batch(rows, now, &all)?;
        let gathered = self.gathered.borrow();
        for (key, _) in &gathered.entries {
            writes.delete(key.clone());
        }
        let own = told.split_off(gathered.told.min(told.len()));
        let is_answered =
            |reply: &Reply| matches!(reply, Reply::Denied(_) | Reply::Standing { .. });
        if !own.is_empty() && own.iter().all(is_answered) {
            // Whoever is denied or only asks writes nothing, and waits for nobody: the entries are left to others.
            writes = WriteSet::new();
        }
        Ok(Decided {
            replies: (!gathered.is_full).then_some(own),
            told,
            head: outbox::head(rows)?,
            writes,
        })
    }

    /// All that is to be carried out.
    fn gather(&self, rows: &Rows) -> Result<Rc<[Command]>, RowError> {
        let mut gathered = self.gathered.borrow_mut();
        let entries = || rows.with_prefix(PREFIX);
        let known = gathered.entries.iter();
        if !entries().eq(known.map(|(key, text)| (key.as_str(), text.as_str()))) {
            let mut all = Vec::new();
            for (key, text) in entries() {
                let commands: Vec<Command> = decode(key, text)?;
                all.extend(commands);
            }
            let told = all.len();
            let is_full = is_full(entries());
            if !is_full {
                all.extend_from_slice(self.own);
            }
            *gathered = Gathered {
                entries: entries()
                    .map(|(key, text)| (key.to_owned(), text.to_owned()))
                    .collect(),
                all: all.into(),
                told,
                is_full,
            };
        }
        Ok(Rc::clone(&gathered.all))
    }
}

/// Whether there may be more entries than were read.
fn is_full<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let (mut count, mut bytes) = (0_u32, 0_usize);
    for (_, text) in entries {
        count = count.saturating_add(1);
        bytes = bytes.saturating_add(text.len());
    }
    count >= ENTRIES_MAX || bytes >= RANGE_BYTES_MAX
}
